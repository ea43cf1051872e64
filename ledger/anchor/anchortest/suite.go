package anchortest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"golang.org/x/sync/errgroup"

	"cunzheng/chaincode"
	"cunzheng/chaincode/chaincodetest"
	"cunzheng/crypto/sm2"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/tlog"
)

// Driver is a ledger under test.
type Driver struct {
	anchor.Ledger

	// Verify checks a proof offline and returns the note that it proves to be anchored.
	Verify func(proof []byte) (note []byte, err error)
}

// Run tests a driver. The ledgers that open returns may share their state.
func Run(t *testing.T, open func(t *testing.T) Driver) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, d Driver)
	}{
		{"Register", testRegister},
		{"Anchor", testAnchor},
		{"Refused", testRefused},
		{"Rotate", testRotate},
		{"Canceled", testCanceled},
		{"Concurrent", testConcurrent},
		{"Worker", testWorker},
		{"Follower", testFollower},
		{"Fork", testFork},
		{"Closed", testClosed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// newLog returns a log with n entries under a fresh origin.
func newLog(t *testing.T, n int) *Log {
	t.Helper()
	return NewLog(t, "cunzheng.test/"+rand.Text(), n)
}

func registered(t *testing.T, d Driver, n int) *Log {
	t.Helper()
	log := newLog(t, n)
	if err := d.RegisterLog(t.Context(), log.Latest().Origin, log.Tree().PublicKey()); err != nil {
		t.Fatal(err)
	}
	return log
}

func mustAnchor(t *testing.T, d Driver, log *chaincodetest.Log, from, size uint64) []byte {
	t.Helper()
	head := log.Head(t, size)
	proof, err := d.Anchor(t.Context(), head, log.Consistency(t, from, size))
	if err != nil {
		t.Fatalf("anchoring size %d: %v", size, err)
	}
	if note, err := d.Verify(proof); err != nil {
		t.Errorf("proof of size %d: %v", size, err)
	} else if !bytes.Equal(note, head.Note) {
		t.Errorf("proof of size %d anchors %q, not %q", size, note, head.Note)
	}
	return proof
}

// wantRefusal checks that err is of this kind and carries the contract's code.
func wantRefusal(t *testing.T, err, kind error, code chaincode.Code) {
	t.Helper()
	var refusal *chaincode.Error
	if !errors.Is(err, kind) || !errors.As(err, &refusal) || refusal.Code != code {
		t.Errorf("error %v, want %v with code %s", err, kind, code)
	}
}

func testRegister(t *testing.T, d Driver) {
	if about := d.Describe(); about.Kind == "" || about.Name == "" || len(about.Operators) == 0 {
		t.Errorf("description %+v is incomplete", about)
	}
	log := newLog(t, 1)
	origin := log.Latest().Origin
	_, err := d.Latest(t.Context(), origin)
	wantRefusal(t, err, anchor.ErrRefused, chaincode.LogUnknown)
	_, err = d.Anchor(t.Context(), log.Latest(), nil)
	wantRefusal(t, err, anchor.ErrRefused, chaincode.LogUnknown)
	for range 2 {
		if err := d.RegisterLog(t.Context(), origin, log.Tree().PublicKey()); err != nil {
			t.Fatal(err)
		}
	}
	err = d.RegisterLog(t.Context(), origin, newLog(t, 0).Tree().PublicKey())
	wantRefusal(t, err, anchor.ErrRefused, chaincode.LogExists)
	if _, err = d.Latest(t.Context(), origin); !errors.Is(err, anchor.ErrNoAnchor) {
		t.Errorf("latest head of a new log: %v, want ErrNoAnchor", err)
	}
	if _, err = d.Proof(t.Context(), origin, 1); !errors.Is(err, anchor.ErrNoAnchor) {
		t.Errorf("proof for a new log: %v, want ErrNoAnchor", err)
	}
}

func testAnchor(t *testing.T, d Driver) {
	log := registered(t, d, 20).Tree()
	last := uint64(0)
	for _, size := range []uint64{1, 8, 20} {
		proof := mustAnchor(t, d, log, last, size)
		head, err := d.Latest(t.Context(), log.Origin)
		if err != nil || head.Size != size || head.Root != log.Root(t, size) {
			t.Fatalf("latest head is %+v, %v; want size %d", head.Checkpoint, err, size)
		}

		// The same head again, signed again: the first proof.
		again, err := d.Anchor(t.Context(), log.Head(t, size), nil)
		if err != nil || !bytes.Equal(again, proof) {
			t.Errorf("size %d again: %v, proof\n%s\nwant\n%s", size, err, again, proof)
		}
		fetched, err := d.Proof(t.Context(), log.Origin, size)
		if err != nil || !bytes.Equal(fetched, proof) {
			t.Errorf("fetching the proof of size %d: %v, proof\n%s\nwant\n%s", size, err, fetched, proof)
		}
		if _, err := d.Proof(t.Context(), log.Origin, size+1); !errors.Is(err, anchor.ErrNoAnchor) {
			t.Errorf("proof of size %d: %v, want ErrNoAnchor", size+1, err)
		}
		last = size
	}
}

func testRefused(t *testing.T, d Driver) {
	log := registered(t, d, 20).Tree()
	mustAnchor(t, d, log, 0, 10)
	stranger := log.Fork(20, 0)
	stranger.Key = chaincodetest.NewKey(t)
	for _, test := range []struct {
		name  string
		kind  error
		code  chaincode.Code
		log   *chaincodetest.Log
		size  uint64
		proof []tlog.Hash
	}{
		{"fork", anchor.ErrFork, chaincode.Fork, log.Fork(9, 1), 10, nil},
		{"rollback", anchor.ErrRollback, chaincode.Rollback, log, 9, nil},
		{"forked log that grew", anchor.ErrRefused, chaincode.Proof, log.Fork(9, 11), 20, log.Fork(9, 11).Consistency(t, 10, 20)},
		{"proof from another size", anchor.ErrRefused, chaincode.Proof, log, 20, log.Consistency(t, 9, 20)},
		{"another key", anchor.ErrRefused, chaincode.Signature, stranger, 20, log.Consistency(t, 10, 20)},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := d.Anchor(t.Context(), test.log.Head(t, test.size), test.proof)
			wantRefusal(t, err, test.kind, test.code)
		})
	}
	mustAnchor(t, d, log, 10, 20)
}

func testRotate(t *testing.T, d Driver) {
	log := registered(t, d, 20).Tree()
	mustAnchor(t, d, log, 0, 10)
	fresh := chaincodetest.NewKey(t)
	key := fresh.Public().(*sm2.PublicKey)
	message := chaincode.RotationMessage(log.Origin, log.SPKI(), key.SPKI(), 10)
	signature, err := sm2.Sign(log.Key, message)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.RotateLogKey(t.Context(), log.Origin, key, signature); err != nil {
			t.Fatal(err)
		}
	}
	_, err = d.Anchor(t.Context(), log.Head(t, 20), log.Consistency(t, 10, 20))
	wantRefusal(t, err, anchor.ErrRefused, chaincode.Signature)
	err = d.RotateLogKey(t.Context(), log.Origin, log.PublicKey(), signature)
	wantRefusal(t, err, anchor.ErrRefused, chaincode.KeyUsed)
	log.Key = fresh
	mustAnchor(t, d, log, 10, 20)
}

func testCanceled(t *testing.T, d Driver) {
	log := registered(t, d, 2).Tree()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Anchor(ctx, log.Head(t, 2), nil); !errors.Is(err, anchor.ErrUnavailable) {
		t.Errorf("anchoring with a canceled context: %v, want ErrUnavailable", err)
	}
	if _, err := d.Latest(ctx, log.Origin); !errors.Is(err, anchor.ErrUnavailable) {
		t.Errorf("asking with a canceled context: %v, want ErrUnavailable", err)
	}
	mustAnchor(t, d, log, 0, 2)
}

// testConcurrent has many callers anchor, ask and fetch at once. Whoever comes late sees a rollback, nobody anything
// worse, and the chain is in order afterwards.
func testConcurrent(t *testing.T, d Driver) {
	const callers, heads = 4, 8
	log := registered(t, d, heads).Tree()
	mustAnchor(t, d, log, 0, 1)
	var group errgroup.Group
	for range callers {
		group.Go(func() error {
			for size := uint64(2); size <= heads; size++ {
				_, err := d.Anchor(t.Context(), log.Head(t, size), log.Consistency(t, size-1, size))
				if err != nil && !errors.Is(err, anchor.ErrRollback) && !errors.Is(err, anchor.ErrUnavailable) {
					return err
				}
				head, err := d.Latest(t.Context(), log.Origin)
				if err != nil {
					return err
				}
				proof, err := d.Proof(t.Context(), log.Origin, head.Size)
				if err != nil {
					return err
				}
				if _, err := d.Verify(proof); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// testWorker runs the worker on the driver, over a restart that lost a proof.
func testWorker(t *testing.T, d Driver) {
	log := registered(t, d, 5)
	worker := func() *anchor.Worker {
		w, err := anchor.NewWorker(anchor.Options{Log: log, Ledger: d})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if err := worker().Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	log.Append(3)
	lost := errors.New("disk full")
	log.FailPuts(lost)
	if err := worker().Flush(t.Context()); !errors.Is(err, lost) {
		t.Fatalf("flush: %v, want %v", err, lost)
	}
	log.FailPuts(nil)
	if err := worker().Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	anchors := log.Anchors()
	if len(anchors) != 2 || anchors[5] == nil || anchors[8] == nil {
		t.Fatalf("proofs of %d sizes are stored, want those of 5 and 8", len(anchors))
	}
	for size, proof := range anchors {
		if _, err := d.Verify(proof); err != nil {
			t.Errorf("proof of size %d: %v", size, err)
		}
	}
}

func testClosed(t *testing.T, d Driver) {
	log := registered(t, d, 1)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	origin := log.Latest().Origin
	_, anchorErr := d.Anchor(t.Context(), log.Latest(), nil)
	_, latestErr := d.Latest(t.Context(), origin)
	_, proofErr := d.Proof(t.Context(), origin, 1)
	registerErr := d.RegisterLog(t.Context(), origin, log.Tree().PublicKey())
	for _, err := range []error{anchorErr, latestErr, proofErr, registerErr} {
		if !errors.Is(err, anchor.ErrUnavailable) {
			t.Errorf("after Close: %v, want ErrUnavailable", err)
		}
	}
}
