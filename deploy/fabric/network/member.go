//go:build unix

package network

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// How an organisation joins a consortium that runs. Each does its part on its own machine with its own key; what they
// exchange are files without secrets: the newcomer's definition, the update of the channel's configuration that the
// others sign one after the other, and for the newcomer the genesis block and the consortium file.
//
// The newcomer brings a peer. What it may say is only who it is: names, endpoint and certificate authorities. Its
// policies follow from the same template as everybody's, and each organisation that signs derives the update itself
// from its own peer's configuration, so that nothing else can travel in it.

// definitionFile is what an organisation that joins shows the others, in its folder.
const definitionFile = "org.json"

// Errors that callers act upon.
var (
	// ErrIsMember is a newcomer that the channel has already.
	ErrIsMember = errors.New("is an organisation of the channel already")
	// ErrOtherUpdate is an update that does something else than to add the organisation to the configuration in force.
	ErrOtherUpdate = errors.New("the update is not the one that adds this organisation to the channel's present configuration")
)

// Definition is what an organisation that joins shows the others: org.json. It holds no secret. It counts only if it
// came on a way that the others trust; see [Definition.Fingerprints].
type Definition struct {
	ID    string `json:"id"`
	MSP   string `json:"msp"`
	Title string `json:"title"`
	Peer  struct {
		Host           string `json:"host"`
		Port           int    `json:"port"`
		OperationsPort int    `json:"operations_port"`
		ChaincodePort  int    `json:"chaincode_port"`
	} `json:"peer"`
	CA    string `json:"ca"`     // PEM; issues the signing identities
	TLSCA string `json:"tls_ca"` // PEM; issues the TLS certificates
}

// ParseMember reads member.toml: one organisation as in a consortium file, without an orderer.
func ParseMember(data []byte) (Organisation, error) {
	var o Organisation
	if err := decode(data, &o); err != nil {
		return Organisation{}, err
	}
	if o.Orders() {
		return Organisation{}, errors.New("orderer: an organisation joins with a peer only")
	}
	return o, o.validate()
}

// CreateMember makes the folder of an organisation that will join: authorities, identities and the definition for the
// others, whose path it returns. There must be no network in the folder.
func CreateMember(dir string, o Organisation) (path string, d Definition, err error) {
	if err := o.validate(); err != nil {
		return "", Definition{}, err
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", Definition{}, err
	}
	l := layout(absolute)
	unlock, err := l.occupy()
	if err != nil {
		return "", Definition{}, err
	}
	defer unlock()
	issued, err := l.issueAll(Consortium{Organisations: []Organisation{o}}, time.Now())
	if err != nil {
		return "", Definition{}, err
	}
	if !issued {
		return "", Definition{}, fmt.Errorf("%w in %s", ErrOtherNetwork, dir)
	}
	if d, err = l.define(o); err != nil {
		return "", Definition{}, err
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return "", Definition{}, err
	}
	return l.join(definitionFile), d, writeFile(l.join(definitionFile), append(text, '\n'))
}

func (l layout) define(o Organisation) (Definition, error) {
	ca, err := os.ReadFile(filepath.Join(l.msp(o), rootsDir, authorityFile))
	if err != nil {
		return Definition{}, err
	}
	tlsca, err := os.ReadFile(l.tlsRoot(o))
	if err != nil {
		return Definition{}, err
	}
	d := Definition{ID: o.ID, MSP: o.MSP, Title: o.Title, CA: string(ca), TLSCA: string(tlsca)}
	d.Peer.Host, d.Peer.Port = o.Peer.Host, o.Peer.Port
	d.Peer.OperationsPort, d.Peer.ChaincodePort = o.Peer.OperationsPort, o.Peer.ChaincodePort
	return d, nil
}

// ParseDefinition reads org.json. It takes authorities that every part of the consortium can work with, and refuses
// anything that is not a certificate, such as a private key.
func ParseDefinition(data []byte) (Definition, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var d Definition
	if err := decoder.Decode(&d); err != nil {
		return Definition{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Definition{}, errors.New("something follows the definition")
	}
	if err := d.organisation().validate(); err != nil {
		return Definition{}, err
	}
	for _, e := range d.organisation().endpoints() {
		if e.port < 1 || e.port > 65535 {
			return Definition{}, fmt.Errorf("%s: %d is no port", e.field, e.port)
		}
	}
	for _, a := range []struct{ field, text string }{{"ca", d.CA}, {"tls_ca", d.TLSCA}} {
		if _, err := parseAuthority(a.text, time.Now()); err != nil {
			return Definition{}, fmt.Errorf("%s: %w", a.field, err)
		}
	}
	if d.CA == d.TLSCA {
		return Definition{}, errors.New("ca and tls_ca are the same: whoever gets a TLS certificate could sign transactions")
	}
	return d, nil
}

func (d Definition) organisation() Organisation {
	return Organisation{ID: d.ID, MSP: d.MSP, Title: d.Title, Peer: Peer{
		Host: d.Peer.Host, Port: d.Peer.Port, OperationsPort: d.Peer.OperationsPort, ChaincodePort: d.Peer.ChaincodePort,
	}}
}

// parseAuthority reads the self-signed certificate of an authority.
func parseAuthority(text string, now time.Time) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("want one certificate as PEM")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, _ := c.PublicKey.(*ecdsa.PublicKey)
	var signature struct{ R, S *big.Int }
	switch {
	case !c.IsCA || !c.BasicConstraintsValid || c.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, errors.New("not the certificate of an authority")
	case key == nil || key.Curve != elliptic.P256():
		return nil, errors.New("not a key on P-256, which is what Fabric takes")
	case now.After(c.NotAfter) || now.Before(c.NotBefore):
		return nil, fmt.Errorf("valid from %s to %s only", c.NotBefore, c.NotAfter)
	}
	if err := c.CheckSignatureFrom(c); err != nil {
		return nil, fmt.Errorf("not a root: %w", err)
	}
	if _, err := asn1.Unmarshal(c.Signature, &signature); err != nil {
		return nil, err
	}
	if half := new(big.Int).Rsh(elliptic.P256().Params().N, 1); signature.S.Cmp(half) > 0 {
		return nil, errors.New("its signature has the high one of the two values of s, which fabric-sdk-go refuses: let it be issued again")
	}
	return c, nil
}

// Fingerprints are the SHA-256 of both authorities' certificates, for comparing by voice.
func (d Definition) Fingerprints() (ca, tlsca string) {
	of := func(text string) string {
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			return ""
		}
		return fmt.Sprintf("%x", sha256.Sum256(block.Bytes))
	}
	return of(d.CA), of(d.TLSCA)
}

// Change is what an update does.
type Change struct {
	Channel    string
	Before     []string // MSP IDs of the application group, sorted
	Definition Definition
	Signed     []string // MSP IDs whose administrators signed, in the order of signing
}

// Majority is how many of n organisations must agree.
func Majority(n int) int { return n/2 + 1 }

// Propose computes the update of the channel's configuration that adds an organisation, from the configuration that the
// peer of org has, and returns it without a signature. An organisation that is there is [ErrIsMember].
func (n *Network) Propose(ctx context.Context, org string, d Definition) (update []byte, change Change, err error) {
	o, err := n.organisation(org)
	if err != nil {
		return nil, Change{}, err
	}
	w, err := n.translator()
	if err != nil {
		return nil, Change{}, err
	}
	defer w.close()
	computed, change, err := n.compute(ctx, w, o, d)
	if err != nil {
		return nil, Change{}, err
	}
	header := tree{"channel_header": tree{"channel_id": n.Consortium.Channel, "type": configUpdateType}}
	update, err = w.encode(ctx, "common.Envelope", tree{"payload": tree{"header": header, "data": tree{"config_update": computed}}})
	return update, change, err
}

// configUpdateType is common.HeaderType_CONFIG_UPDATE.
const configUpdateType = 2

// CheckUpdate says what an update does, if it is the one that adds the organisation to the configuration that the peer
// of org has, and nothing else. Otherwise the error is [ErrOtherUpdate].
func (n *Network) CheckUpdate(ctx context.Context, org string, d Definition, update []byte) (Change, error) {
	o, err := n.organisation(org)
	if err != nil {
		return Change{}, err
	}
	w, err := n.translator()
	if err != nil {
		return Change{}, err
	}
	defer w.close()
	computed, change, err := n.compute(ctx, w, o, d)
	if err != nil {
		return Change{}, err
	}
	envelope, err := w.decode(ctx, "common.Envelope", update)
	if err != nil {
		return Change{}, fmt.Errorf("%w: %w", ErrOtherUpdate, err)
	}
	if err := w.same(envelope, n.Consortium.Channel, computed); err != nil {
		return Change{}, err
	}
	change.Signed, err = signers(envelope)
	return change, err
}

// SignUpdate adds the signature of org's administrator to the update in a file, once [Network.CheckUpdate] has taken it.
func (n *Network) SignUpdate(ctx context.Context, org string, d Definition, path string) (Change, error) {
	o, path, change, err := n.checkFile(ctx, org, d, path)
	if err != nil || slices.Contains(change.Signed, o.MSP) {
		return change, err
	}
	if _, err := n.peerTool(ctx, o, adminUser, "channel", "signconfigtx", "--file", path); err != nil {
		return Change{}, err
	}
	change.Signed = append(change.Signed, o.MSP)
	return change, nil
}

// SubmitUpdate sends the update in a file to the orderers, with the signature of org's administrator, and waits until
// org's peer has it in force.
func (n *Network) SubmitUpdate(ctx context.Context, org string, d Definition, path string) (Change, error) {
	o, path, change, err := n.checkFile(ctx, org, d, path)
	if err != nil {
		return Change{}, err
	}
	arguments := append([]string{"channel", "update", "--file", path, "--channelID", n.Consortium.Channel}, n.ordererFlags(n.ordererOf(o))...)
	if _, err := n.peerTool(ctx, o, adminUser, arguments...); err != nil {
		return Change{}, err
	}
	if !slices.Contains(change.Signed, o.MSP) {
		change.Signed = append(change.Signed, o.MSP)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return change, retry(ctx, "configuration", func(ctx context.Context) error {
		_, _, err := n.Propose(ctx, org, d)
		if errors.Is(err, ErrIsMember) {
			return nil
		}
		return errors.Join(errors.New("not in force yet"), err)
	})
}

func (n *Network) checkFile(ctx context.Context, org string, d Definition, path string) (Organisation, string, Change, error) {
	o, err := n.organisation(org)
	if err != nil {
		return Organisation{}, "", Change{}, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return Organisation{}, "", Change{}, err
	}
	update, err := os.ReadFile(absolute)
	if err != nil {
		return Organisation{}, "", Change{}, err
	}
	change, err := n.CheckUpdate(ctx, org, d, update)
	return o, absolute, change, err
}

// organisation is one whose keys are here.
func (n *Network) organisation(id string) (Organisation, error) {
	here := n.here()
	i := slices.IndexFunc(here, func(o Organisation) bool { return o.ID == id })
	if i < 0 {
		return Organisation{}, fmt.Errorf("the keys of organisation %q are not in %s", id, string(n.files))
	}
	return here[i], nil
}

// compute returns the update, as JSON, that adds an organisation to the configuration that o's peer has.
func (n *Network) compute(ctx context.Context, w *translator, o Organisation, d Definition) (tree, Change, error) {
	block, err := n.configBlock(ctx, o)
	if err != nil {
		return nil, Change{}, n.files.failure(peerName(o), err)
	}
	config, err := w.config(ctx, block)
	if err != nil {
		return nil, Change{}, err
	}
	groups, err := config.child("channel_group", "groups", "Application", "groups")
	if err != nil {
		return nil, Change{}, err
	}
	change := Change{Channel: n.Consortium.Channel, Before: groups.names(), Definition: d}
	if slices.Contains(change.Before, d.MSP) {
		return nil, change, fmt.Errorf("%s %w", d.MSP, ErrIsMember)
	}
	original, err := w.encode(ctx, "common.Config", config)
	if err != nil {
		return nil, Change{}, err
	}
	if groups[d.MSP], err = n.group(ctx, w, d); err != nil {
		return nil, Change{}, err
	}
	updated, err := w.encode(ctx, "common.Config", config)
	if err != nil {
		return nil, Change{}, err
	}
	update, err := w.difference(ctx, n.Consortium.Channel, original, updated)
	return update, change, err
}

// group is an organisation's part of the application group, with the policies of our own template.
func (n *Network) group(ctx context.Context, w *translator, d Definition) (tree, error) {
	o, draft := d.organisation(), layout(w.dir)
	if err := writeAll(publicMSP(draft.msp(o), []byte(d.CA), []byte(d.TLSCA))); err != nil {
		return nil, err
	}
	one := Consortium{Channel: n.Consortium.Channel, Organisations: []Organisation{o}}
	if err := draft.render(draft.join("channel", "configtx.yaml"), "configtx.yaml", one); err != nil {
		return nil, err
	}
	text, err := n.tool(ctx, []string{"FABRIC_LOGGING_SPEC=error"}, "configtxgen", "-configPath", draft.channel(), "-printOrg", o.MSP)
	if err != nil {
		return nil, err
	}
	return parseTree(text)
}

// Admit makes an organisation that has joined known in this folder: the consortium file and the connection profiles name
// it, so that clients ask its peer for endorsements, too. Clients that run have to be started again.
func (n *Network) Admit(d Definition) error {
	unlock, err := n.files.occupy()
	if err != nil {
		return err
	}
	defer unlock()
	o := d.organisation()
	if !slices.Contains(n.Consortium.Organisations, o) {
		c := n.Consortium
		c.Organisations = append(slices.Clone(c.Organisations), o)
		if err := c.validate(); err != nil {
			return err
		}
		if err := writeAll(publicMSP(n.files.msp(o), []byte(d.CA), []byte(d.TLSCA))); err != nil {
			return err
		}
		if err := n.files.record(c); err != nil {
			return err
		}
		n.Consortium = c
	}
	return n.files.configure(n.Consortium)
}

// Join brings an organisation's peer and contract up in the folder that [CreateMember] made, once the channel has it: the
// peer joins with the genesis block, fetches all blocks, and checks each by the configuration before it; then the
// organisation approves the contract's definition. It returns when clients can use the peer. The consortium file is any
// other member's. It is safe to run again.
func Join(ctx context.Context, dir string, c Consortium, genesis []byte, o Options) (*Network, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	l := layout(absolute)
	text, err := os.ReadFile(l.join(definitionFile))
	if err != nil {
		return nil, err
	}
	own, err := ParseDefinition(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", definitionFile, err)
	}
	if !slices.Contains(c.Organisations, own.organisation()) {
		c.Organisations = append(slices.Clone(c.Organisations), own.organisation())
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	n := &Network{Consortium: c, files: l, options: o, began: time.Now()}
	unlock, err := l.occupy()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := n.findPrograms(ctx); err != nil {
		return nil, err
	}
	if err := n.receive(ctx, genesis); err != nil {
		return nil, err
	}
	if err := n.up(ctx); err != nil {
		return nil, err
	}
	return n, n.learn(ctx)
}

// receive keeps the genesis block, and what it says of the other organisations.
func (n *Network) receive(ctx context.Context, genesis []byte) error {
	kept, err := os.ReadFile(n.files.genesis())
	switch {
	case err == nil && !bytes.Equal(kept, genesis):
		return fmt.Errorf("%w in %s: it has another genesis block", ErrOtherNetwork, string(n.files))
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(n.files.channel(), 0o700); err != nil {
		return err
	}
	if err := n.writeOthers(ctx, genesis, false); err != nil {
		return fmt.Errorf("genesis block: %w", err)
	}
	return writeFile(n.files.genesis(), genesis)
}

// learn takes over what the configuration in force says of the other organisations, as the own peer checked it.
func (n *Network) learn(ctx context.Context) error {
	block, err := n.ConfigBlock(ctx)
	if err != nil {
		return err
	}
	return n.writeOthers(ctx, block, true)
}

// writeOthers writes the public MSPs of the others as a config block has them. If all is set, the organisations of the
// block must be those of the consortium.
func (n *Network) writeOthers(ctx context.Context, block []byte, all bool) error {
	w, err := n.translator()
	if err != nil {
		return err
	}
	defer w.close()
	config, err := w.config(ctx, block)
	if err != nil {
		return err
	}
	groups, err := config.child("channel_group", "groups", "Application", "groups")
	if err != nil {
		return err
	}
	unseen := groups.names()
	for _, o := range n.Consortium.Organisations {
		if _, there := groups[o.MSP]; !there && (all || o.Orders()) {
			return fmt.Errorf("%s of the consortium file is no organisation of channel %s", o.MSP, n.Consortium.Channel)
		} else if !there {
			continue
		}
		unseen = slices.DeleteFunc(unseen, func(msp string) bool { return msp == o.MSP })
		if slices.Contains(n.here(), o) {
			continue
		}
		ca, tlsca, err := authorities(groups, o.MSP)
		if err != nil {
			return fmt.Errorf("%s: %w", o.MSP, err)
		}
		if err := writeAll(publicMSP(n.files.msp(o), ca, tlsca)); err != nil {
			return err
		}
	}
	if len(unseen) > 0 {
		return fmt.Errorf("the consortium file does not name %v: ask a member for the present one", unseen)
	}
	return nil
}
