// Package consortiumtest holds the test of several nodes on one shared ledger, whichever driver runs it, and the nodes it
// is made of: real keystore, log, vault, notary, anchoring and HTTP on loopback, each in a folder of its own.
//
//	func TestNodes(t *testing.T) {
//		consortiumtest.Run(t, consortiumtest.Shared{Members: members, Trust: trust})
//	}
package consortiumtest

import (
	"context"
	"crypto"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"cunzheng/api"
	"cunzheng/api/client"
	"cunzheng/api/token"
	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/ledger"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/anchor/directory"
	"cunzheng/ledger/checkpoint"
	"cunzheng/notary"
	"cunzheng/notary/consortium"
	"cunzheng/notary/vault"
)

// Ledger is what a node needs of the shared ledger; both drivers are one.
type Ledger interface {
	anchor.Ledger
	directory.Ledger
}

// Member is one organisation's access to the shared ledger.
type Member struct {
	Ledger       Ledger
	Organisation string // under which the ledger knows it: on Fabric the MSP ID
}

// TrustLedgers returns the shared ledger as it is to be trusted.
type TrustLedgers func(context.Context) ([]evidence.TrustLedger, error)

// Node is one node of the consortium.
type Node struct {
	Record     directory.Node
	Number     evidence.NumberFormat
	Keys       *keystore.Store
	Service    *notary.Service
	Directory  *directory.Directory
	Publisher  *consortium.Publisher
	Consortium *consortium.Consortium
	Clock      *Clock // of Consortium

	member Member
	trust  TrustLedgers
	writes *counter
	worker *anchor.Worker
	log    *ledger.Log
	stop   func() // ends the server; nil if it does not run

	mu     sync.Mutex
	alarms []error // under mu
}

// Clock is the present, moved.
type Clock struct {
	mu    sync.Mutex
	ahead time.Duration // under mu
}

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// Add moves the clock, so that what was read before is old.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// Start makes a node for an office and serves it. It is neither published nor anchored yet. Options of its consortium may be
// changed. Everything ends with the test.
func Start(t *testing.T, m Member, trust TrustLedgers, office, origin string, change ...func(*consortium.Options)) *Node {
	t.Helper()
	n := &Node{
		Record: directory.Node{Origin: origin, Name: "测试机构 " + office, Office: "XM-350200-" + office},
		Number: evidence.NumberFormat{Area: "XM", Region: "350200", Office: office},
		Clock:  new(Clock), member: m, trust: trust,
	}
	n.open(t)
	listener := n.listen(t)
	n.join(t, change)
	n.serve(t, listener)
	return n
}

// open makes everything below the network.
func (n *Node) open(t *testing.T) {
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "unlock.key")
	must(t, keystore.NewKeyFile(keyFile))
	var err error
	n.Keys, err = keystore.Create(filepath.Join(dir, "keys"), keystore.KeyFile(keyFile),
		keystore.RoleLog, keystore.RoleReceipt, keystore.RoleToken, keystore.RoleSeal)
	must(t, err)
	signer, err := n.Keys.Signer(keystore.RoleLog)
	must(t, err)
	verifier, err := checkpoint.NewVerifier(n.Record.Origin, signer.PublicKey())
	must(t, err)
	options := ledger.Options{
		Origin: n.Record.Origin, Signer: signer, Verifiers: []note.Verifier{verifier}, Index: notary.IndexEntry, CacheSize: 8 << 20,
	}
	must(t, ledger.Create(filepath.Join(dir, "log"), options))
	n.log, err = ledger.Open(filepath.Join(dir, "log"), options)
	must(t, err)
	t.Cleanup(func() { check(t, n.log.Close()) })
	originals, err := vault.Open(t.Context(), "file://"+filepath.Join(dir, "originals"), filepath.Join(dir, "intents"), n.Keys, vault.Options{})
	must(t, err)
	t.Cleanup(func() { check(t, originals.Close()) })
	n.Service, err = notary.New(t.Context(), notary.Deps{
		Log: n.log, Vault: originals, Keys: n.Keys, Dir: filepath.Join(dir, "notary"),
		Config: notary.Config{
			Origin: n.Record.Origin, Number: n.Number, Office: n.Record.Name, Organisation: "operator",
			Password: notary.PasswordCost{Memory: 64, Passes: 1, Lanes: 1},
		},
	})
	must(t, err)
	t.Cleanup(func() { check(t, n.Service.Close()) })
	n.worker, err = anchor.NewWorker(anchor.Options{
		Log: n.log, Ledger: n.member.Ledger, Keys: []anchor.LogKey{{Key: signer.PublicKey()}},
	})
	must(t, err)
}

// listen takes a port, so that the node's address is known.
func (n *Node) listen(t *testing.T) net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	n.Record.URL = "http://" + listener.Addr().String()
	return listener
}

// join makes what concerns the other nodes.
func (n *Node) join(t *testing.T, change []func(*consortium.Options)) {
	n.writes = &counter{Ledger: n.member.Ledger}
	n.Directory = directory.New(n.writes, n.member.Organisation)
	o := consortium.Options{
		Directory: n.Directory, Node: n.Record, Ledgers: n.trust, Clock: n.Clock.Now,
		Alarm: func(err error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.alarms = append(n.alarms, err)
		},
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	n.Consortium, err = consortium.New(o)
	must(t, err)
	t.Cleanup(n.Consortium.Close)
	n.newPublisher(t)
}

func (n *Node) newPublisher(t *testing.T) {
	var err error
	n.Publisher, err = consortium.NewPublisher(consortium.PublisherOptions{
		Directory: n.Directory, Node: n.Record, Holder: "operator", Trust: n.Service.Trust,
		Signer: func(r evidence.Role) (crypto.Signer, error) { return n.Keys.Signer(keystore.Role(r)) },
	})
	must(t, err)
}

func (n *Node) serve(t *testing.T, listener net.Listener) {
	server, err := api.New(api.Options{
		Evidence: n.Service, Registry: n.Service, Log: noTiles{n.log}, Tokens: tokenKeys{n.Keys},
		Proofs: n.Service, Consortium: n.Consortium, Issuer: n.Record.URL,
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, listener) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		check(t, <-done)
	})
	t.Cleanup(n.stop)
}

// Stop ends the node's server; the rest of it stays.
func (n *Node) Stop() { n.stop() }

// Move serves a stopped node at another address. It is not published yet.
func (n *Node) Move(t *testing.T) {
	t.Helper()
	listener := n.listen(t)
	n.newPublisher(t)
	n.serve(t, listener)
}

// Evidence is what somebody names who asks for a public proof.
type Evidence struct {
	Number string
	SM3    evidence.Digest // of the content
}

// Deposit deposits the digest of a document.
func (n *Node) Deposit(t *testing.T, content string) Evidence {
	t.Helper()
	by := notary.Actor{Organisation: "depositor", Account: "depositor-1", Roles: []notary.Role{notary.RoleDepositor}}
	digest := evidence.Digest(sm3.Sum([]byte(content)))
	d, err := n.Service.DepositDigest(t.Context(), by, notary.DigestDeposit{SM3: digest, Name: "合同.pdf"})
	must(t, err)
	return Evidence{d.Number, digest}
}

// Anchor anchors what was deposited.
func (n *Node) Anchor(t *testing.T) {
	t.Helper()
	must(t, n.worker.Flush(t.Context()))
}

// Publish publishes the node and its keys once and returns how many transactions that took.
func (n *Node) Publish(t *testing.T) int {
	t.Helper()
	before := n.writes.count()
	must(t, n.Publisher.Publish(t.Context()))
	return n.writes.count() - before
}

// Alarms returns what the node raised alarm about.
func (n *Node) Alarms() []error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.alarms
}

// Client returns a client of the node without credentials, which tries once.
func (n *Node) Client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Server: n.Record.URL, Attempts: 1, Language: "en"})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// counter counts the transactions of the directory.
type counter struct {
	directory.Ledger

	mu sync.Mutex
	n  int // under mu
}

func (c *counter) Submit(ctx context.Context, function string, args ...[]byte) (string, error) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	return c.Ledger.Submit(ctx, function, args...)
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// noTiles is a log whose tiles nobody asks for here.
type noTiles struct{ log *ledger.Log }

func (l noTiles) Checkpoint() ([]byte, error)      { return l.log.Latest().Note, nil }
func (noTiles) Tile(string) ([]byte, error)        { return nil, api.ErrNotFound }
func (noTiles) EntryBundle(string) ([]byte, error) { return nil, api.ErrNotFound }

type tokenKeys struct{ keys *keystore.Store }

func (k tokenKeys) TokenSigner() (token.Signer, error) {
	signer, err := k.keys.Signer(keystore.RoleToken)
	return signer, err
}

func (k tokenKeys) TokenKeys() []token.PublicKey {
	var keys []token.PublicKey
	for _, key := range k.keys.Keys(keystore.RoleToken) {
		keys = append(keys, token.PublicKey{ID: key.ID, Key: key.Key})
	}
	return keys
}

// NewKey returns a key, for the embedded ledger's blocks.
func NewKey(t *testing.T) *sm2.PrivateKey {
	t.Helper()
	key, err := sm2.GenerateKey()
	must(t, err)
	return key
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
