package anchor_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"cunzheng/chaincode"
	"cunzheng/chaincode/chaincodetest"
	"cunzheng/crypto/sm2"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/anchor/anchortest"
)

// keyChain makes n keys, each handed over to by the one before at an anchored head of this size.
func keyChain(t *testing.T, first *sm2.PrivateKey, n int, size uint64) (keys []anchor.LogKey, last *sm2.PrivateKey) {
	t.Helper()
	last = first
	keys = []anchor.LogKey{{Key: first.Public().(*sm2.PublicKey)}}
	for range n - 1 {
		next := chaincodetest.NewKey(t)
		from, to := last.Public().(*sm2.PublicKey), next.Public().(*sm2.PublicKey)
		handover, err := sm2.Sign(last, chaincode.RotationMessage(origin, from.SPKI(), to.SPKI(), size))
		if err != nil {
			t.Fatal(err)
		}
		keys, last = append(keys, anchor.LogKey{Key: to, Handover: handover}), next
	}
	return keys, last
}

func TestIntroduce(t *testing.T) {
	const all = 4
	for known := range all + 1 { // how many of the keys the ledger has seen
		log := anchortest.NewLog(t, origin, 5)
		ledger := newMemory()
		keys, last := keyChain(t, log.Tree().Key, all, 0)
		for n := 1; n <= known; n++ {
			if err := anchor.Introduce(t.Context(), ledger, origin, keys[:n]); err != nil {
				t.Fatalf("key %d of %d: %v", n, known, err)
			}
		}
		for range 2 {
			if err := anchor.Introduce(t.Context(), ledger, origin, keys); err != nil {
				t.Fatalf("%d of %d keys known: %v", known, all, err)
			}
		}
		tree := log.Tree()
		tree.Key = last
		if _, err := ledger.Anchor(t.Context(), tree.Head(t, 5), nil); err != nil {
			t.Errorf("%d of %d keys known: anchoring with the last: %v", known, all, err)
		}
		before := ledger.chain.Rows()
		if err := anchor.Introduce(t.Context(), ledger, origin, keys); err != nil {
			t.Errorf("after the next head: %v", err)
		}
		if after := ledger.chain.Rows(); len(after) != len(before) {
			t.Errorf("introducing again changed the state from %d to %d rows", len(before), len(after))
		}
	}
}

func TestIntroduceRefused(t *testing.T) {
	log := anchortest.NewLog(t, origin, 5)
	first := log.Tree().Key
	keys, _ := keyChain(t, first, 3, 0)
	late, _ := keyChain(t, first, 2, 4)
	for _, test := range []struct {
		name  string
		owner string
		keys  []anchor.LogKey
		code  chaincode.Code
	}{
		{"log of another organisation", "bureau", keys, chaincode.NotOwner},
		{"log of another organisation, first key", "bureau", keys[:1], chaincode.LogExists},
		{"a handover is missing", "notary", []anchor.LogKey{keys[0], keys[2]}, chaincode.Signature},
		{"handover at another size", "notary", late, chaincode.Signature},
		{"another log with this name", "notary", []anchor.LogKey{{Key: chaincodetest.NewKey(t).Public().(*sm2.PublicKey)}}, chaincode.LogExists},
	} {
		t.Run(test.name, func(t *testing.T) {
			ledger := newMemory()
			if _, err := ledger.chain.Invoke(test.owner, chaincode.FuncRegisterLog, []byte(origin), keys[0].Key.SPKI()); err != nil {
				t.Fatal(err)
			}
			err := anchor.Introduce(t.Context(), ledger, origin, test.keys)
			var refusal *chaincode.Error
			if !errors.Is(err, anchor.ErrRefused) || !errors.As(err, &refusal) || refusal.Code != test.code {
				t.Errorf("%v, want a refusal with %s", err, test.code)
			}
		})
	}
	if err := anchor.Introduce(t.Context(), newMemory(), origin, nil); err == nil {
		t.Error("a log without keys was introduced")
	}
}

// TestWorkerIntroduces starts the worker while the ledger is away and the log's key has changed meanwhile.
func TestWorkerIntroduces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 3)
		if err := b.worker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		tree := b.log.Tree()
		b.o.Keys, tree.Key = keyChain(t, tree.Key, 3, 3)
		b.log.Append(2)
		b.restart()
		b.ledger.fail(times(3, anchor.ErrUnavailable), nil)
		b.run()
		if err := b.worker.Status().LastError; !errors.Is(err, anchor.ErrUnavailable) {
			t.Errorf("last error %v, want ErrUnavailable", err)
		}
		b.pass(time.Minute)
		b.wantAnchored(3, 5)
		registered := b.ledger.count("RegisterLog")
		b.log.Append(2)
		b.pass(time.Minute)
		b.wantAnchored(3, 5, 7)
		if n := b.ledger.count("RegisterLog"); n != registered {
			t.Errorf("the log was introduced again")
		}
		if len(b.alarms) != 0 {
			t.Errorf("alarms %v", b.alarms)
		}
	})
}
