package embedded

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/mod/sumdb/note"

	"cunzheng/chaincode/chaincodetest"
	"cunzheng/crypto/sm2"
	"cunzheng/ledger"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/blockproof"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// realLog opens the log in folder, which it makes if it is not there.
func realLog(t *testing.T, folder string, key *sm2.PrivateKey) *ledger.Log {
	t.Helper()
	const origin = "cunzheng.test/log"
	verifier, err := checkpoint.NewVerifier(origin, key.Public().(*sm2.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	o := ledger.Options{
		Origin:    origin,
		Signer:    key,
		Verifiers: []note.Verifier{verifier},
		Index:     func([]byte) ([]ledger.Term, []byte, error) { return nil, nil, nil },
	}
	if err := ledger.Create(folder, o); err != nil && !errors.Is(err, ledger.ErrExists) {
		t.Fatal(err)
	}
	log, err := ledger.Open(folder, o)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func appendEntries(t *testing.T, log *ledger.Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := log.Append(t.Context(), ledger.Entry{Data: fmt.Appendf(nil, "entry %d", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRealLog anchors the real log while entries come in, and checks each entry as a court does: from the entry to a
// head by an inclusion proof, from the head to the ledger by the block.
func TestRealLog(t *testing.T) {
	key := chaincodetest.NewKey(t)
	log := realLog(t, t.TempDir(), key)
	defer log.Close()
	o := options(t, nil)
	folder := filepath.Join(t.TempDir(), "ledger")
	if err := Create(folder, o); err != nil {
		t.Fatal(err)
	}
	l, err := Open(folder, o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	origin := log.Latest().Origin
	if err := l.RegisterLog(t.Context(), origin, key.Public().(*sm2.PublicKey)); err != nil {
		t.Fatal(err)
	}
	w, err := anchor.NewWorker(anchor.Options{Log: log, Ledger: l, Interval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	appendEntries(t, log, 0, 100)
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	verifier, err := checkpoint.NewVerifier(origin, key.Public().(*sm2.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	for index := range uint64(100) {
		size, proof, err := log.Anchor(index + 1)
		if err != nil {
			t.Fatal(err)
		}
		anchored, err := blockproof.VerifyEmbedded(proof, l.keys)
		if err != nil {
			t.Fatal(err)
		}
		head, err := checkpoint.Open(anchored.Checkpoint, origin, verifier)
		if err != nil || head.Size != size {
			t.Fatalf("entry %d: head of size %d, %v; want %d", index, head.Size, err, size)
		}
		path, err := log.InclusionProof(index, size)
		if err != nil {
			t.Fatal(err)
		}
		entry, err := log.Entry(index)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.VerifyInclusion(path, index, size, tlog.LeafHash(entry), head.Root); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRestoredLog puts an older state of the log beside the ledger.
func TestRestoredLog(t *testing.T) {
	key := chaincodetest.NewKey(t)
	log := realLog(t, t.TempDir(), key)
	defer log.Close()
	l := create(t, options(t, vfs.NewMem()))
	if err := l.RegisterLog(t.Context(), log.Latest().Origin, key.Public().(*sm2.PublicKey)); err != nil {
		t.Fatal(err)
	}
	appendEntries(t, log, 0, 10)
	w, err := anchor.NewWorker(anchor.Options{Log: log, Ledger: l})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}

	older := realLog(t, t.TempDir(), key)
	defer older.Close()
	appendEntries(t, older, 0, 6)
	if _, err := anchor.Compare(t.Context(), older, l); !errors.Is(err, anchor.ErrRollback) {
		t.Errorf("six of ten anchored entries: %v, want ErrRollback", err)
	}
	appendEntries(t, older, 6, 10)
	if _, err := anchor.Compare(t.Context(), older, l); err != nil {
		t.Errorf("the same entries again: %v", err)
	}
	appendEntries(t, older, 11, 12)
	if _, err := anchor.Compare(t.Context(), older, l); err != nil {
		t.Errorf("and one more: %v", err)
	}

	forked := realLog(t, t.TempDir(), key)
	defer forked.Close()
	appendEntries(t, forked, 1, 12)
	if _, err := anchor.Compare(t.Context(), forked, l); !errors.Is(err, anchor.ErrFork) {
		t.Errorf("other entries: %v, want ErrFork", err)
	}
}
