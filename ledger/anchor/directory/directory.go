// Package directory is the consortium's directory as Go types: which node runs which log and answers for which office
// code, and whose public keys are good. It lies on the shared ledger, in the contract of package chaincode.
//
//	d := directory.New(ledger, organisation)
//	err := d.PublishNode(ctx, directory.Node{Origin: origin, Office: "XM-350200-NOT01", URL: "https://cz.example", Name: "…"})
//	nodes, err := d.Nodes(ctx, "XM-350200-NOT01")
//	keys, err := d.Keys(ctx, nodes[0].Origin)
//
// # What is checked where
//
// The contract checks every record before it is written, on the peers of a majority of the organisations: its form, that
// only a log's owner speaks for the log, that an office code has one owner, that a key signed its own registration.
//
// A reading is answered by one peer. This package checks of an answer what an answer alone can show, and fails with
// [ErrAnswer] otherwise: that it has the contract's form and bounds, that it is about what was asked, that pages follow
// one another in order and come to an end, and that each key has signed its record for the organisation that is said to
// answer for it, so that no key can be put into another record or under another organisation without its holder's doing.
// It cannot notice a peer that leaves something out, hides a revocation, or invents a key of its own. So a reading is
// worth what the peer is worth: the driver asks those of the node's own organisation.
//
// What a node serves is never trusted for its place in the directory alone: whoever fetches a proof verifies it.
package directory

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"cunzheng/chaincode"
	"cunzheng/crypto/sm2"
)

// Ledger runs the contract's functions in the name of one organisation. Errors wrap those of
// package anchor. Both drivers offer it.
type Ledger interface {
	// Submit runs a function as a transaction and returns once it is durable on the ledger: the transaction's name, or
	// an empty one if the contract accepted the call and nothing had to change.
	Submit(ctx context.Context, function string, args ...[]byte) (transaction string, err error)

	// Evaluate runs a function on one peer and returns its result. It changes nothing.
	Evaluate(ctx context.Context, function string, args ...[]byte) ([]byte, error)
}

var (
	// ErrAnswer says that an answer is not one the contract gives. Ask another peer, and find out why.
	ErrAnswer = errors.New("directory: the answer is not one of the contract")

	// ErrNotFound says that the directory holds no such node.
	ErrNotFound = errors.New("directory: not found")

	// ErrTooMany says that there is more than this package reads at once.
	ErrTooMany = errors.New("directory: too many entries")
)

// Bounds of one reading.
const (
	MaxNodes = 4096
	MaxKeys  = 1024 // of one log
)

// Directory reads and writes the directory in the name of one organisation. It is safe for concurrent use.
type Directory struct {
	ledger       Ledger
	organisation string
}

// New returns the directory on a ledger. The organisation is the one under which the ledger knows the caller: on Fabric
// the MSP ID. Keys prove their possession for it.
func New(l Ledger, organisation string) *Directory {
	return &Directory{ledger: l, organisation: organisation}
}

// Node says which node runs a log.
type Node struct {
	Origin       string // of the log
	Organisation string // owner of the log; filled in by the directory
	Name         string // of the office, for people
	Office       string // fixed part of the node's evidence numbers, as in XM-350200-NOT01
	URL          string // base URL of its public API, without a slash at the end; not verified to be the node's
}

func (n Node) record() chaincode.NodeRecord {
	return chaincode.NodeRecord{Name: n.Name, Office: n.Office, URL: n.URL}
}

// PublishNode says which node runs the log n.Origin, which must be the caller's own, in place of what was said before.
// Saying the same again changes nothing.
func (d *Directory) PublishNode(ctx context.Context, n Node) error {
	record := n.record()
	arg, err := record.Encode()
	if err != nil {
		return fmt.Errorf("directory: node of %s: %w", n.Origin, err)
	}
	if _, err := d.ledger.Submit(ctx, chaincode.FuncPublishNode, []byte(n.Origin), arg); err != nil {
		return fmt.Errorf("directory: publishing the node of %s: %w", n.Origin, err)
	}
	return nil
}

// Node returns the node that runs a log, or [ErrNotFound].
func (d *Directory) Node(ctx context.Context, origin string) (Node, error) {
	answer, err := d.ledger.Evaluate(ctx, chaincode.FuncNode, []byte(origin))
	if refusal, ok := errors.AsType[*chaincode.Error](err); ok && refusal.Code == chaincode.NodeUnknown {
		return Node{}, fmt.Errorf("%w: node of %s", ErrNotFound, origin)
	}
	if err != nil {
		return Node{}, fmt.Errorf("directory: node of %s: %w", origin, err)
	}
	var held chaincode.PublishedNode
	if err := decode(answer, &held); err != nil {
		return Node{}, err
	}
	n, err := nodeOf(held)
	if err == nil && n.Origin != origin {
		err = fmt.Errorf("%w: the node of %q instead of %q", ErrAnswer, n.Origin, origin)
	}
	return n, err
}

// Nodes returns the nodes that answer for an office code, or all nodes if it is empty, in the order of their origins.
func (d *Directory) Nodes(ctx context.Context, office string) ([]Node, error) {
	nodes, err := walk(MaxNodes, func(n Node) string { return n.Origin }, func(from string) ([]Node, string, error) {
		answer, err := d.page(ctx, chaincode.FuncNodes, office, from)
		if err != nil {
			return nil, "", err
		}
		var page chaincode.NodePage
		if err := decode(answer, &page); err != nil {
			return nil, "", err
		}
		nodes := make([]Node, len(page.Nodes))
		for i, held := range page.Nodes {
			if nodes[i], err = nodeOf(held); err != nil {
				return nil, "", err
			}
			if office != "" && held.Record.Office != office {
				return nil, "", fmt.Errorf("%w: a node of office %q instead of %q", ErrAnswer, held.Record.Office, office)
			}
		}
		return nodes, page.Next, nil
	})
	if err != nil {
		return nil, fmt.Errorf("directory: nodes: %w", err)
	}
	return nodes, nil
}

func nodeOf(held chaincode.PublishedNode) (Node, error) {
	if _, err := held.Record.Encode(); err != nil {
		return Node{}, fmt.Errorf("%w: node of %q: %w", ErrAnswer, held.Origin, err)
	}
	if held.Organisation == "" || held.Origin == "" || len(held.Origin) > chaincode.MaxOrigin {
		return Node{}, fmt.Errorf("%w: a node of log %.80q and organisation %.80q", ErrAnswer, held.Origin, held.Organisation)
	}
	r := held.Record
	return Node{Origin: held.Origin, Organisation: held.Organisation, Name: r.Name, Office: r.Office, URL: r.URL}, nil
}

// Key is a public key and who answers for it.
type Key struct {
	Key          *sm2.PublicKey
	Organisation string // answers for it; filled in by the directory
	Log          string // origin of the log it serves; may be empty
	Role         string // one of chaincode.Role
	Holder       string // identifier of an institution or account, never a person's name
	From         time.Time
	Revoked      *Revocation // nil: not revoked; filled in by the directory
}

// Revocation says from when and why a key is not to be trusted.
type Revocation struct {
	At     time.Time
	Reason string // one of chaincode.Reason
}

// RegisterKey enters a key into the directory. The signer holds the key and proves its possession; both implementations
// must accept the proof before it is sent. Registering the same again changes nothing.
func (d *Directory) RegisterKey(ctx context.Context, k Key, signer crypto.Signer) error {
	record := chaincode.KeyRecord{
		From: formatTime(k.From), Holder: k.Holder, Key: k.Key.SPKI(), Log: k.Log, Role: chaincode.Role(k.Role),
	}
	arg, err := record.Encode()
	if err != nil {
		return fmt.Errorf("directory: key %x: %w", k.Key.Fingerprint(), err)
	}
	if public, ok := signer.Public().(*sm2.PublicKey); !ok || public.Fingerprint() != k.Key.Fingerprint() {
		return fmt.Errorf("directory: key %x: the signer holds another key", k.Key.Fingerprint())
	}
	proof, err := sm2.Sign(sm2.Verified(signer), chaincode.KeyMessage(d.organisation, arg))
	if err != nil {
		return fmt.Errorf("directory: key %x: proving its possession: %w", k.Key.Fingerprint(), err)
	}
	if _, err := d.ledger.Submit(ctx, chaincode.FuncRegisterKey, arg, proof); err != nil {
		return fmt.Errorf("directory: registering the key %x: %w", k.Key.Fingerprint(), err)
	}
	return nil
}

// RevokeKey marks a key of the caller's organisation as not to be trusted. It cannot be taken back or changed; doing the
// same again changes nothing.
func (d *Directory) RevokeKey(ctx context.Context, key *sm2.PublicKey, r Revocation) error {
	fingerprint := fmt.Sprintf("%x", key.Fingerprint())
	_, err := d.ledger.Submit(ctx, chaincode.FuncRevokeKey, []byte(fingerprint), []byte(r.Reason), []byte(formatTime(r.At)))
	if err != nil {
		return fmt.Errorf("directory: revoking the key %s: %w", fingerprint, err)
	}
	return nil
}

// Keys returns the keys that serve a log, revoked ones too, in the order of their fingerprints. All belong to the
// organisation that owns the log.
func (d *Directory) Keys(ctx context.Context, log string) ([]Key, error) {
	if log == "" {
		return nil, errors.New("directory: keys of which log?")
	}
	fingerprint := func(k Key) string { return fmt.Sprintf("%x", k.Key.Fingerprint()) }
	keys, err := walk(MaxKeys, fingerprint, func(from string) ([]Key, string, error) {
		answer, err := d.page(ctx, chaincode.FuncKeys, log, from)
		if err != nil {
			return nil, "", err
		}
		var page chaincode.KeyPage
		if err := decode(answer, &page); err != nil {
			return nil, "", err
		}
		keys := make([]Key, len(page.Keys))
		for i, held := range page.Keys {
			if keys[i], err = keyOf(held, log); err != nil {
				return nil, "", err
			}
		}
		return keys, page.Next, nil
	})
	if err != nil {
		return nil, fmt.Errorf("directory: keys of %s: %w", log, err)
	}
	for _, k := range keys {
		if k.Organisation != keys[0].Organisation {
			return nil, fmt.Errorf("%w: keys of %s belong to %q and %q", ErrAnswer, log, keys[0].Organisation, k.Organisation)
		}
	}
	return keys, nil
}

func keyOf(held chaincode.RegisteredKey, log string) (Key, error) {
	record, err := held.Record.Encode()
	if err != nil {
		return Key{}, fmt.Errorf("%w: key: %w", ErrAnswer, err)
	}
	key, err := sm2.ParsePublicKey(held.Record.Key)
	if err != nil {
		return Key{}, fmt.Errorf("%w: key: %w", ErrAnswer, err)
	}
	if held.Record.Log != log {
		return Key{}, fmt.Errorf("%w: key %x serves %q instead of %q", ErrAnswer, key.Fingerprint(), held.Record.Log, log)
	}
	if err := key.Verify(chaincode.KeyMessage(held.Organisation, record), held.Proof); err != nil {
		return Key{}, fmt.Errorf("%w: key %x does not prove its possession: %w", ErrAnswer, key.Fingerprint(), err)
	}
	k := Key{Key: key, Organisation: held.Organisation, Log: log, Role: string(held.Record.Role), Holder: held.Record.Holder}
	if k.From, err = parseTime(held.Record.From); err != nil {
		return Key{}, err
	}
	if r := held.Revocation; r != nil {
		at, err := parseTime(r.At)
		if err != nil {
			return Key{}, err
		}
		switch r.Reason {
		case chaincode.ReasonCompromise, chaincode.ReasonSuperseded, chaincode.ReasonCessation:
		default:
			return Key{}, fmt.Errorf("%w: key %x was revoked for %.80q", ErrAnswer, key.Fingerprint(), r.Reason)
		}
		k.Revoked = &Revocation{At: at, Reason: string(r.Reason)}
	}
	return k, nil
}

func (d *Directory) page(ctx context.Context, function, what, from string) ([]byte, error) {
	return d.ledger.Evaluate(ctx, function, []byte(what), []byte(from), []byte(strconv.Itoa(chaincode.MaxPage)))
}

// walk reads page after page: up to limit items, whose keys ascend from one to the next.
func walk[T any](limit int, key func(T) string, read func(from string) ([]T, string, error)) ([]T, error) {
	var all []T
	// Pages may be short, even empty, where entries have moved away. Whoever makes more of them than this is up to
	// something.
	maxPages := 2 + 2*limit/chaincode.MaxPage
	for from := ""; maxPages > 0; maxPages-- {
		page, next, err := read(from)
		if err != nil {
			return nil, err
		}
		if len(page) > chaincode.MaxPage {
			return nil, fmt.Errorf("%w: a page of %d entries", ErrAnswer, len(page))
		}
		for _, item := range page {
			if k := key(item); k < from || len(all) > 0 && k <= key(all[len(all)-1]) {
				return nil, fmt.Errorf("%w: %.80q is out of order", ErrAnswer, k)
			}
			all = append(all, item)
		}
		switch {
		case next == "" && len(all) <= limit:
			return all, nil
		case len(all) > limit:
			return nil, fmt.Errorf("%w: more than %d", ErrTooMany, limit)
		case next <= from || len(all) > 0 && next <= key(all[len(all)-1]) || len(next) > chaincode.MaxOrigin:
			return nil, fmt.Errorf("%w: page after %.80q begins at %.80q", ErrAnswer, from, next)
		}
		from = next
	}
	return nil, fmt.Errorf("%w: too many pages", ErrTooMany)
}

func decode(answer []byte, into any) error {
	if err := json.Unmarshal(answer, into, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return nil
}

// timeLayout is the contract's form of a time.
const timeLayout = "2006-01-02T15:04:05.000Z"

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(timeLayout, text)
	if err != nil || t.Format(timeLayout) != text {
		return time.Time{}, fmt.Errorf("%w: time %.40q", ErrAnswer, text)
	}
	return t, nil
}
