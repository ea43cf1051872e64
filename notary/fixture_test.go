package notary_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/ledger"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/anchor/embedded"
	"cunzheng/ledger/checkpoint"
	"cunzheng/notary"
	"cunzheng/notary/vault"
)

const testOrigin = "log.test.example/xm"

var testFormat = evidence.NumberFormat{Area: "XM", Region: "350200", Office: "NOT01"}

// node is a service with everything real below it.
type node struct {
	*notary.Service
	dir    string
	log    *ledger.Log
	vault  *vault.Vault
	keys   *keystore.Store
	chain  *embedded.Ledger
	clock  *testClock
	config notary.Config
	closed bool

	wrapLog func(*ledger.Log) notary.Log // for tests that make it fail
	alarms  *[]error
	reserve int64 // of the vault

	logger     *slog.Logger
	registerer prometheus.Registerer
}

// testClock is a machine's clock and, beside it, the time that really passes.
type testClock struct {
	mu     sync.Mutex
	now    time.Time
	passed time.Duration
}

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed
}

// add lets time pass. A negative d makes the clock wrong without a leap, as if it had been wrong all the time.
func (c *testClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.passed += d
}

// set moves the machine's clock and lets no time pass.
func (c *testClock) set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// cheap makes passwords cheap to check; the default is dear on purpose.
var cheap = notary.PasswordCost{Memory: 64, Passes: 1, Lanes: 1}

// bareNode has keys and nothing opened.
func bareNode(dir string, keys *keystore.Store) *node {
	return &node{
		dir:    dir,
		keys:   keys,
		closed: true,
		clock:  &testClock{now: time.Now().UTC().Truncate(time.Millisecond)},
		config: notary.Config{
			Origin: testOrigin, Number: testFormat, Office: "厦门测试公证处", Organisation: "xm-notary", Password: cheap,
			Ledgers: []notary.Ledger{{Kind: evidence.LedgerEmbedded, Name: "test-chain", Operators: []string{"厦门测试公证处"}}},
		},
		wrapLog: func(l *ledger.Log) notary.Log { return l },
		alarms:  new([]error),
	}
}

func newNode(t testing.TB, edit ...func(*node)) *node {
	t.Helper()
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "unlock.key")
	if err := keystore.NewKeyFile(keyFile); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Create(filepath.Join(dir, "keys"), keystore.KeyFile(keyFile),
		keystore.RoleLog, keystore.RoleReceipt, keystore.RoleToken, keystore.RoleSeal, keystore.RoleLedger)
	if err != nil {
		t.Fatal(err)
	}
	n := bareNode(dir, keys)
	for _, e := range edit {
		e(n)
	}
	if err := ledger.Create(filepath.Join(dir, "log"), n.logOptions(t)); err != nil {
		t.Fatal(err)
	}
	n.start(t)
	t.Cleanup(func() { n.stop(t) })
	return n
}

func (n *node) logOptions(t testing.TB) ledger.Options {
	t.Helper()
	signer, err := n.keys.Signer(keystore.RoleLog)
	if err != nil {
		t.Fatal(err)
	}
	var verifiers []note.Verifier
	for _, k := range n.keys.Keys(keystore.RoleLog) {
		v, err := checkpoint.NewVerifier(testOrigin, k.Key)
		if err != nil {
			t.Fatal(err)
		}
		verifiers = append(verifiers, v)
	}
	return ledger.Options{Origin: testOrigin, Signer: signer, Verifiers: verifiers, Index: notary.IndexEntry, CacheSize: 8 << 20}
}

// start opens everything, as a server does.
func (n *node) start(t testing.TB) {
	t.Helper()
	if err := n.open(t); err != nil {
		t.Fatal(err)
	}
}

// open is start for tests that expect it to fail; the service only.
func (n *node) open(t testing.TB) error {
	t.Helper()
	var err error
	if n.log, err = ledger.Open(filepath.Join(n.dir, "log"), n.logOptions(t)); err != nil {
		t.Fatal(err)
	}
	n.vault, err = vault.Open(t.Context(), "file://"+filepath.Join(n.dir, "originals"), filepath.Join(n.dir, "intents"), n.keys, vault.Options{Reserve: n.reserve})
	if err != nil {
		t.Fatal(err)
	}
	n.Service, err = notary.New(t.Context(), notary.Deps{
		Log: n.wrapLog(n.log), Vault: n.vault, Keys: n.keys, Dir: filepath.Join(n.dir, "notary"), Config: n.config,
		Clock: n.clock.Now, Elapsed: n.clock.Elapsed, Logger: n.logger, Registerer: n.registerer, Alarm: func(err error) { *n.alarms = append(*n.alarms, err) },
	})
	if err != nil {
		return errors.Join(err, n.vault.Close(), n.log.Close())
	}
	n.closed = false
	return nil
}

// wantAlarms holds how many alarms there were since the last call.
func (n *node) wantAlarms(t testing.TB, count int) {
	t.Helper()
	if len(*n.alarms) != count {
		t.Errorf("%d alarms, want %d: %v", len(*n.alarms), count, *n.alarms)
	}
	*n.alarms = nil
}

func (n *node) stop(t testing.TB) {
	t.Helper()
	if n.closed {
		return
	}
	n.closed = true
	if err := errors.Join(n.Service.Close(), n.vault.Close(), n.log.Close()); err != nil {
		t.Error(err)
	}
	if n.chain != nil {
		if err := n.chain.Close(); err != nil {
			t.Error(err)
		}
		n.chain = nil
	}
	if len(*n.alarms) > 0 {
		t.Errorf("alarms: %v", *n.alarms)
	}
}

func (n *node) restart(t testing.TB) {
	t.Helper()
	n.stop(t)
	n.start(t)
}

// anchorNow anchors the log on an embedded ledger.
func (n *node) anchorNow(t testing.TB) {
	t.Helper()
	if n.chain == nil {
		signer, err := n.keys.Signer(keystore.RoleLedger)
		if err != nil {
			t.Fatal(err)
		}
		options := embedded.Options{Name: "test-chain", Org: "xm-notary", Signer: sm2.Verified(signer)}
		if err := embedded.Create(filepath.Join(n.dir, "chain"), options); err != nil && !errors.Is(err, embedded.ErrExists) {
			t.Fatal(err)
		}
		if n.chain, err = embedded.Open(filepath.Join(n.dir, "chain"), options); err != nil {
			t.Fatal(err)
		}
		if err := n.chain.RegisterLog(t.Context(), testOrigin, n.keys.Keys(keystore.RoleLog)[0].Key); err != nil {
			t.Fatal(err)
		}
	}
	head := n.log.Latest()
	var from uint64
	if last, err := n.chain.Latest(t.Context(), testOrigin); err == nil {
		from = last.Size
	} else if !errors.Is(err, anchor.ErrNoAnchor) {
		t.Fatal(err)
	}
	consistency, err := n.log.ConsistencyProof(from, head.Size)
	if err != nil {
		t.Fatal(err)
	}
	block, err := n.chain.Anchor(t.Context(), head, consistency)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.log.PutAnchor(head.Size, block); err != nil {
		t.Fatal(err)
	}
}

// actor of an organisation that need not be registered.
func actor(organisation string, roles ...notary.Role) notary.Actor {
	return notary.Actor{Organisation: organisation, Account: organisation + "-1", Roles: roles}
}

var (
	depositor = actor("org-a", notary.RoleDepositor)
	officer   = actor("xm-notary", notary.RoleNotary)
	peopleAdm = actor("xm-notary", notary.RoleSystemAdmin)
	secretAdm = actor("xm-notary", notary.RoleSecurityAdmin)
	auditAdm  = actor("xm-notary", notary.RoleAuditAdmin)
)

func digestOf(s string) evidence.Digest { return sm3.Sum([]byte(s)) }

func (n *node) mustDepositFile(t testing.TB, by notary.Actor, d notary.FileDeposit, content string) *notary.Deposit {
	t.Helper()
	deposit, err := n.DepositFile(t.Context(), by, d, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return deposit
}

func (n *node) mustDepositDigest(t testing.TB, by notary.Actor, d notary.DigestDeposit) *notary.Deposit {
	t.Helper()
	deposit, err := n.DepositDigest(t.Context(), by, d)
	if err != nil {
		t.Fatal(err)
	}
	return deposit
}

// verify checks a bundle as a court does, with a trust file of its own.
func (n *node) verify(t testing.TB, by notary.Actor, number string, o notary.BundleOptions) *evidence.Report {
	t.Helper()
	var b bytes.Buffer
	if err := n.Bundle(t.Context(), by, number, &b, o); err != nil {
		t.Fatal(err)
	}
	trust, err := n.Trust()
	if err != nil {
		t.Fatal(err)
	}
	report, err := evidence.Verify(evidence.Input{
		Bundle: bytes.NewReader(b.Bytes()), Size: int64(b.Len()), Trust: trust, At: n.clock.Now().Add(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func (n *node) wantPassed(t testing.TB, by notary.Actor, number string, o notary.BundleOptions) *evidence.Report {
	t.Helper()
	report := n.verify(t, by, number, o)
	if report.Verdict != evidence.Passed {
		t.Fatalf("%s: %s", number, report.Text("en"))
	}
	return report
}

// wantClean holds that the log agrees with itself and nothing unfinished lies about.
func (n *node) wantClean(t testing.TB) {
	t.Helper()
	err := n.log.Fsck(context.Background(), func(d ledger.Difference) { t.Errorf("fsck: %v", d) })
	if err != nil {
		t.Errorf("fsck: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(n.dir, "intents", "*.intent")); err != nil || len(left) > 0 {
		t.Errorf("unfinished: %q, %v", left, err)
	}
}

// originals counts the objects in the vault.
func (n *node) originals(t testing.TB) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.dir, "originals", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func wantCode(t testing.TB, err error, code string) *notary.Error {
	t.Helper()
	e, ok := errors.AsType[*notary.Error](err)
	if !ok || e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	if e.ZH == "" || e.EN == "" {
		t.Errorf("%s speaks no Chinese or no English: %q, %q", code, e.ZH, e.EN)
	}
	return e
}

func receiptOf(t testing.TB, d *notary.Deposit) *evidence.Receipt {
	t.Helper()
	r, err := evidence.ParseReceipt(d.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func statementOf(t testing.TB, d *notary.Deposit) *evidence.Statement {
	t.Helper()
	s, err := evidence.ParseStatement(d.Statement)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newKey is a department's own key.
func newKey(t testing.TB) *sm2.PrivateKey {
	t.Helper()
	k, err := sm2.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sequence(prefix string, n int) []notary.DigestDeposit {
	deposits := make([]notary.DigestDeposit, n)
	for i := range deposits {
		deposits[i].SM3 = digestOf(fmt.Sprint(prefix, i))
	}
	return deposits
}
