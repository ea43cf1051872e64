//go:build unix

package network

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// contract is the chaincode package of the network and its identifier on the peers.
type contract struct {
	path string // of the package
	id   string
}

// packageContract makes the chaincode package, once per version: peers know it by its hash. It is the same for all
// organisations, because it holds neither code nor addresses.
func (l layout) packageContract(c Chaincode) (contract, error) {
	label := c.Name + "_" + c.Version
	path := l.join("channel", label+".tar.gz")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if data, err = packageOf(label); err == nil {
			err = writeFile(path, data)
		}
	}
	if err != nil {
		return contract{}, fmt.Errorf("chaincode package: %w", err)
	}
	return contract{path: path, id: fmt.Sprintf("%s:%x", label, sha256.Sum256(data))}, nil
}

// packageOf makes a chaincode package of the form that Fabric's lifecycle installs: metadata.json and code.tar.gz.
func packageOf(label string) ([]byte, error) {
	metadata, err := json.Marshal(map[string]string{"type": "ccaas", "label": label})
	if err != nil {
		return nil, err
	}
	code, err := archive(entry{"README", []byte("The chaincode is a service: see cmd/cunzheng-chaincode.\n")})
	if err != nil {
		return nil, err
	}
	return archive(entry{"metadata.json", metadata}, entry{"code.tar.gz", code})
}

// archive makes a tar.gz whose bytes follow from the files alone.
func archive(files ...entry) ([]byte, error) {
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	packed := tar.NewWriter(zipped)
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: 0o644, Size: int64(len(f.data)), Format: tar.FormatUSTAR}
		if err := packed.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := packed.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(packed.Close(), zipped.Close()); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

// deploy brings the contract on the channel: installed on every peer, approved by every organisation, committed. What
// is done already is left as it is.
func (n *Network) deploy(ctx context.Context, c contract) error {
	if err := n.each(ctx, func(ctx context.Context, o Organisation) error { return n.install(ctx, o, c) }); err != nil {
		return err
	}
	committed, err := n.awaitDefinition(ctx)
	if err != nil {
		return err
	}
	sequence := committed.Sequence
	commit := committed.Version != n.Consortium.Chaincode.Version
	if commit {
		sequence++
	}
	if err := n.each(ctx, func(ctx context.Context, o Organisation) error { return n.approve(ctx, o, c, sequence) }); err != nil {
		return err
	}
	if !commit {
		return nil
	}
	n.say("committing the chaincode · 提交智能合约")
	return n.commit(ctx, sequence)
}

func (n *Network) install(ctx context.Context, o Organisation, c contract) error {
	output, err := n.peerTool(ctx, o, adminUser, "lifecycle", "chaincode", "queryinstalled", "--output", "json")
	if err != nil {
		return n.files.failure(peerName(o), err)
	}
	var installed struct {
		Chaincodes []struct {
			ID string `json:"package_id"`
		} `json:"installed_chaincodes"`
	}
	if err := json.Unmarshal(output, &installed); err != nil {
		return fmt.Errorf("installed chaincodes of %s: %w", peerName(o), err)
	}
	for _, found := range installed.Chaincodes {
		if found.ID == c.id {
			return nil
		}
	}
	if _, err := n.peerTool(ctx, o, adminUser, "lifecycle", "chaincode", "install", c.path); err != nil {
		return n.files.failure(peerName(o), err)
	}
	return nil
}

// definition is what the channel holds of the chaincode.
type definition struct {
	Sequence int    `json:"sequence"`
	Version  string `json:"version"`
}

// committed asks for the chaincode's definition; it is zero if there is none yet.
func (n *Network) committed(ctx context.Context) (definition, error) {
	o := n.here()[0]
	output, err := n.peerTool(ctx, o, adminUser, "lifecycle", "chaincode", "querycommitted",
		"--channelID", n.Consortium.Channel, "--output", "json")
	if err != nil {
		return definition{}, n.files.failure(peerName(o), err)
	}
	var answer struct {
		Definitions []struct {
			Name string `json:"name"`
			definition
		} `json:"chaincode_definitions"`
	}
	if err := json.Unmarshal(output, &answer); err != nil {
		return definition{}, fmt.Errorf("committed chaincodes: %w", err)
	}
	for _, d := range answer.Definitions {
		if d.Name == n.Consortium.Chaincode.Name {
			return d.definition, nil
		}
	}
	return definition{}, nil
}

func (n *Network) definitionFlags(sequence int) []string {
	c := n.Consortium
	return []string{"--channelID", c.Channel, "--name", c.Chaincode.Name, "--version", c.Chaincode.Version, "--sequence", strconv.Itoa(sequence)}
}

// approve is one organisation's consent to a definition, which names its own package.
func (n *Network) approve(ctx context.Context, o Organisation, c contract, sequence int) error {
	approved, err := n.peerTool(ctx, o, adminUser, "lifecycle", "chaincode", "queryapproved",
		"--channelID", n.Consortium.Channel, "--name", n.Consortium.Chaincode.Name, "--sequence", strconv.Itoa(sequence), "--output", "json")
	if err == nil && bytes.Contains(approved, []byte(c.id)) {
		return nil
	}
	arguments := append([]string{"lifecycle", "chaincode", "approveformyorg", "--package-id", c.id}, n.definitionFlags(sequence)...)
	arguments = append(arguments, n.ordererFlags(n.ordererOf(o))...)
	err = retry(ctx, "approval by "+o.ID, func(ctx context.Context) error {
		_, err := n.peerTool(ctx, o, adminUser, arguments...)
		if err != nil && strings.Contains(err.Error(), "attempted to redefine uncommitted sequence") {
			return nil // an earlier try went through
		}
		return err
	})
	if err != nil {
		return n.files.failure(ordererName(n.ordererOf(o)), err)
	}
	return nil
}

// awaitDefinition returns the definition on the channel. Organisations here that are no majority cannot put another in
// force, so that theirs is waited for: a peer that has just joined does not have the blocks yet.
func (n *Network) awaitDefinition(ctx context.Context) (definition, error) {
	if 2*len(n.here()) > len(n.Consortium.Organisations) {
		return n.committed(ctx)
	}
	var found definition
	err := retry(ctx, "version of the chaincode", func(ctx context.Context) (err error) {
		want := n.Consortium.Chaincode.Version
		if found, err = n.committed(ctx); err == nil && found.Version != want {
			err = fmt.Errorf("the channel has %q, the consortium file %q", found.Version, want)
		}
		return err
	})
	return found, err
}

// commit puts the approved definition into force, endorsed by the peers here, which are those of a majority.
func (n *Network) commit(ctx context.Context, sequence int) error {
	first := n.here()[0]
	orderer := n.ordererOf(first)
	arguments := append([]string{"lifecycle", "chaincode", "commit"}, n.definitionFlags(sequence)...)
	arguments = append(arguments, n.ordererFlags(orderer)...)
	for _, o := range n.here() {
		arguments = append(arguments, "--peerAddresses", peerAddress(o), "--tlsRootCertFiles", n.files.tlsRoot(o))
	}
	err := retry(ctx, "commit", func(ctx context.Context) error {
		if _, err := n.peerTool(ctx, first, adminUser, arguments...); err != nil {
			if now, queryErr := n.committed(ctx); queryErr == nil && now.Sequence >= sequence {
				return nil // an earlier try went through
			}
			return err
		}
		return nil
	})
	if err != nil {
		return n.files.failure(ordererName(orderer), err)
	}
	return nil
}

// readyQuery is a query that the contract answers on an empty ledger: the first page of the directory of keys.
const readyQuery = `{"Args":["Keys","","","1"]}`

// answers says whether a peer answers a query by its chaincode.
func (n *Network) answers(ctx context.Context, o Organisation) error {
	_, err := n.peerTool(ctx, o, clientUser, "chaincode", "query",
		"--channelID", n.Consortium.Channel, "--name", n.Consortium.Chaincode.Name, "--ctor", readyQuery)
	return err
}

// endorsers asks a peer who can endorse, as clients do, and says whether it names every organisation here, and a majority
// of all. That is so when the peers have found each other and told each other what they have installed.
func (n *Network) endorsers(ctx context.Context, o Organisation) error {
	msp := n.files.user(o, clientUser)
	output, err := n.tool(ctx, nil, "discover",
		"--peerTLSCA", n.files.tlsRoot(o), "--userKey", signingKey(msp), "--userCert", signingCertificate(msp), "--MSP", o.MSP,
		"endorsers", "--server", peerAddress(o), "--channel", n.Consortium.Channel, "--chaincode", n.Consortium.Chaincode.Name)
	if err != nil {
		return err
	}
	var plans []struct {
		EndorsersByGroups map[string][]struct{ MSPID string }
	}
	if err := json.Unmarshal(output, &plans); err != nil {
		return fmt.Errorf("endorsers: %w", err)
	}
	named := map[string]bool{}
	for _, plan := range plans {
		for _, group := range plan.EndorsersByGroups {
			for _, endorser := range group {
				named[endorser.MSPID] = true
			}
		}
	}
	for _, other := range n.here() {
		if !named[other.MSP] {
			return fmt.Errorf("%s does not see the peer of %s yet", peerName(o), other.ID)
		}
	}
	if all := len(n.Consortium.Organisations); len(named) < Majority(all) {
		return fmt.Errorf("%s sees peers of %d organisations, %d of %d are needed", peerName(o), len(named), Majority(all), all)
	}
	return nil
}

// each does something for every organisation here at once and waits for all.
func (n *Network) each(ctx context.Context, do func(context.Context, Organisation) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, o := range n.here() {
		group.Go(func() error { return do(ctx, o) })
	}
	return group.Wait()
}
