package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"cunzheng/chaincode"
	"cunzheng/chaincode/chaincodetest"
	"cunzheng/crypto/sm2"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/anchor/anchortest"
	"cunzheng/ledger/blockproof"
	"cunzheng/ledger/checkpoint"
)

const dir = "ledger"

var testTime = time.Date(2026, 11, 23, 11, 22, 33, 456_789_000, time.FixedZone("CST", 8*60*60))

func options(t testing.TB, fs vfs.FS) Options {
	t.Helper()
	return Options{
		Name:   "试验链",
		Org:    "notary",
		Signer: sm2.Verified(chaincodetest.NewKey(t)),
		Clock:  func() time.Time { return testTime },
		FS:     fs,
	}
}

func create(t testing.TB, o Options) *Ledger {
	t.Helper()
	if err := Create(dir, o); err != nil {
		t.Fatal(err)
	}
	return reopen(t, o)
}

func reopen(t testing.TB, o Options) *Ledger {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func verify(t testing.TB, l *Ledger) {
	t.Helper()
	if err := l.Verify(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("verifying the chain: %v", err)
	}
}

// contract lets the contract's own test drive the ledger, by two organisations.
type contract struct {
	t *testing.T
	l *Ledger
}

func (c contract) Owner() string   { return c.l.o.Org }
func (c contract) Foreign() string { return "bureau" }

func (c contract) Invoke(org, function string, args ...[]byte) (chaincodetest.Outcome, error) {
	before := c.l.number
	done, err := c.l.submit(c.t.Context(), org, function, args...)
	if (done.proof != nil) != (c.l.number == before+1) || done.proof == nil && c.l.number != before {
		c.t.Errorf("%s went from block %d to %d; new block: %v", function, before, c.l.number, done.proof != nil)
	}
	return chaincodetest.Outcome{Result: done.result, Event: done.event, Changed: done.proof != nil}, err
}

func TestContract(t *testing.T) {
	chaincodetest.Run(t, func(t *testing.T) chaincodetest.Chain {
		l := create(t, options(t, vfs.NewMem()))
		t.Cleanup(func() { verify(t, l) })
		return contract{t, l}
	})
}

func TestDriver(t *testing.T) {
	anchortest.Run(t, func(t *testing.T) anchortest.Driver {
		o := options(t, vfs.NewMem())
		keys := []*sm2.PublicKey{o.Signer.Public().(*sm2.PublicKey)}
		return anchortest.Driver{
			Ledger: create(t, o),
			Verify: func(proof []byte) ([]byte, error) {
				anchored, err := blockproof.VerifyEmbedded(proof, keys)
				return anchored.Checkpoint, err
			},
		}
	})
}

func TestProofContent(t *testing.T) {
	o := options(t, vfs.NewMem())
	l := create(t, o)
	log := registered(t, l, 3)
	key := o.Signer.Public().(*sm2.PublicKey)
	head := log.Head(t, 3)
	proof, err := l.Anchor(t.Context(), head, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := blockproof.VerifyEmbedded(proof, []*sm2.PublicKey{chaincodetest.NewKey(t).Public().(*sm2.PublicKey), key})
	if err != nil {
		t.Fatal(err)
	}
	if got.Ledger != o.Name || got.Org != o.Org || got.Height != 2 || got.BlockHash != l.tip || got.Origin != log.Origin ||
		!got.Time.Equal(testTime.Truncate(time.Millisecond)) || got.Time.Location() != time.UTC ||
		!bytes.Equal(got.Checkpoint, head.Note) || !got.Key.Equal(key) {
		t.Errorf("proof says %+v", got)
	}
	if d := l.Describe(); d.Kind != "embedded" || d.Name != o.Name || len(d.Operators) != 1 || d.Operators[0] != o.Org {
		t.Errorf("description %+v", d)
	}
}

// registered returns a log with n entries that is registered on the ledger.
func registered(t testing.TB, l *Ledger, n int) *chaincodetest.Log {
	t.Helper()
	log := chaincodetest.NewLog(t, "cunzheng.test/log")
	log.Append(n)
	if err := l.RegisterLog(t.Context(), log.Origin, log.PublicKey()); err != nil {
		t.Fatal(err)
	}
	return log
}

func anchorHead(t testing.TB, l *Ledger, log *chaincodetest.Log, from, size uint64) []byte {
	t.Helper()
	proof, err := l.Anchor(t.Context(), log.Head(t, size), log.Consistency(t, from, size))
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func TestCreateAndOpen(t *testing.T) {
	o := options(t, vfs.NewMem())
	if _, err := Open(dir, o); !errors.Is(err, ErrNotFound) {
		t.Fatalf("opening nothing: %v, want ErrNotFound", err)
	}
	if err := Create(dir, o); err != nil {
		t.Fatal(err)
	}
	if err := Create(dir, o); !errors.Is(err, ErrExists) {
		t.Fatalf("creating again: %v, want ErrExists", err)
	}
	l := reopen(t, o)
	log := registered(t, l, 2)
	proof := anchorHead(t, l, log, 0, 1)
	tip := l.tip
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = reopen(t, o)
	if l.number != 2 || l.tip != tip {
		t.Errorf("opened at block %d with hash %s, want 2 and %s", l.number, l.tip, tip)
	}
	again, err := l.Proof(t.Context(), log.Origin, 1)
	if err != nil || !bytes.Equal(again, proof) {
		t.Errorf("proof after reopening: %v, %q", err, again)
	}
	anchorHead(t, l, log, 1, 2)
	verify(t, l)
	if _, err := Open(dir, o); err == nil {
		t.Error("the ledger could be opened twice")
	}
}

// TestCreateResumes has Create end after it made the database and before it wrote block 0.
func TestCreateResumes(t *testing.T) {
	o := options(t, vfs.NewMem())
	db, err := pebble.Open(dir, &pebble.Options{FS: o.FS, FormatMajorVersion: pebble.FormatNewest, Logger: logger{slog.New(slog.DiscardHandler)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, o); !errors.Is(err, ErrNotFound) {
		t.Fatalf("opening a ledger without blocks: %v, want ErrNotFound", err)
	}
	verify(t, create(t, o))
}

func TestOptions(t *testing.T) {
	good := options(t, vfs.NewMem())
	if err := Create(dir, good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"no name":         func(o *Options) { o.Name = "" },
		"no organisation": func(o *Options) { o.Org = "" },
		"no signer":       func(o *Options) { o.Signer = nil },
		"another name":    func(o *Options) { o.Name = "other" },
		"another key":     func(o *Options) { o.Signer = chaincodetest.NewKey(t) },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			if _, err := Open(dir, o); err == nil {
				t.Error("opened")
			}
		})
	}
	o := good
	o.Signer = chaincodetest.NewKey(t)
	if _, err := Open(dir, o); !errors.Is(err, blockproof.ErrUnknownKey) {
		t.Errorf("opening without the old key: %v, want ErrUnknownKey", err)
	}
}

func TestKeyRotation(t *testing.T) {
	o := options(t, vfs.NewMem())
	old := o.Signer.Public().(*sm2.PublicKey)
	l := create(t, o)
	log := registered(t, l, 2)
	first := anchorHead(t, l, log, 0, 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	o.Signer, o.Keys = sm2.Verified(chaincodetest.NewKey(t)), []*sm2.PublicKey{old}
	fresh := o.Signer.Public().(*sm2.PublicKey)
	l = reopen(t, o)
	second := anchorHead(t, l, log, 1, 2)
	verify(t, l)
	for _, test := range []struct {
		proof []byte
		key   *sm2.PublicKey
		want  error
	}{
		{first, old, nil},
		{first, fresh, blockproof.ErrUnknownKey},
		{second, fresh, nil},
		{second, old, blockproof.ErrUnknownKey},
	} {
		if _, err := blockproof.VerifyEmbedded(test.proof, []*sm2.PublicKey{test.key}); !errors.Is(err, test.want) {
			t.Errorf("verifying with one key: %v, want %v", err, test.want)
		}
	}
	if got, err := l.Proof(t.Context(), log.Origin, 1); err != nil || !bytes.Equal(got, first) {
		t.Errorf("proof by the old key: %v", err)
	}
}

// TestRefusedLeavesNothing compares the whole database before and after refusals and repetitions.
func TestRefusedLeavesNothing(t *testing.T) {
	l := create(t, options(t, vfs.NewMem()))
	log := registered(t, l, 10)
	anchorHead(t, l, log, 0, 5)
	before := dump(t, l)
	for name, head := range map[string]checkpoint.Signed{
		"fork":     log.Fork(4, 1).Head(t, 5),
		"rollback": log.Head(t, 4),
		"proof":    log.Head(t, 10),
	} {
		if _, err := l.Anchor(t.Context(), head, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := l.submit(t.Context(), "bureau", chaincode.FuncAnchor, []byte(log.Origin), log.Head(t, 10).Note,
		chaincode.EncodeProof(log.Consistency(t, 5, 10))); !errors.Is(err, anchor.ErrRefused) {
		t.Errorf("foreign organisation: %v", err)
	}
	if _, err := l.Anchor(t.Context(), log.Head(t, 5), nil); err != nil {
		t.Error(err)
	}
	if err := l.RegisterLog(t.Context(), log.Origin, log.PublicKey()); err != nil {
		t.Error(err)
	}
	if after := dump(t, l); after != before {
		t.Errorf("the database changed from\n%s\nto\n%s", before, after)
	}
}

func dump(t testing.TB, l *Ledger) string {
	t.Helper()
	rows, err := l.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for more := rows.First(); more; more = rows.Next() {
		fmt.Fprintf(&text, "%q %q\n", rows.Key(), rows.Value())
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
