package embedded

import (
	"bytes"
	"context"
	"crypto"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"cunzheng/chaincode"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/blockproof"
)

// TestDamage changes what is stored behind the ledger's back. Verify finds each, and opening finds those at the end.
func TestDamage(t *testing.T) {
	origin := "cunzheng.test/log"
	set := func(t *testing.T, l *Ledger, key, value []byte) {
		t.Helper()
		if err := l.db.Set(key, value, pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, l *Ledger, key []byte) {
		t.Helper()
		if err := l.db.Delete(key, pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	get := func(t *testing.T, l *Ledger, key []byte) []byte {
		t.Helper()
		value, closer, err := l.db.Get(key)
		if err != nil {
			t.Fatal(err)
		}
		defer closer.Close()
		return bytes.Clone(value)
	}
	logRow := rowKey("log " + origin)
	headRow := func(size uint64) []byte { return rowKey(chaincode.HeadKey(origin, size)) }

	// The ledger has block 0, the registration, and heads of size 1 to 3 in blocks 2 to 4.
	for _, test := range []struct {
		name   string
		change func(t *testing.T, l *Ledger)
		opens  bool // whether it goes unnoticed at the start
	}{
		{"a block is changed", func(t *testing.T, l *Ledger) {
			set(t, l, blockKey(2), bytes.Replace(get(t, l, blockKey(2)), []byte("notary"), []byte("bureau"), 1))
		}, true},
		{"a block is missing", func(t *testing.T, l *Ledger) { remove(t, l, blockKey(2)) }, true},
		{"a block stands twice", func(t *testing.T, l *Ledger) { set(t, l, blockKey(2), get(t, l, blockKey(3))) }, true},
		{"block 0 is missing", func(t *testing.T, l *Ledger) { remove(t, l, blockKey(0)) }, true},
		{"all blocks are missing", func(t *testing.T, l *Ledger) {
			for n := range uint64(5) {
				remove(t, l, blockKey(n))
			}
		}, false},
		{"the last block is changed", func(t *testing.T, l *Ledger) {
			set(t, l, blockKey(4), bytes.Replace(get(t, l, blockKey(4)), []byte("notary"), []byte("bureau"), 1))
		}, false},
		{"the last block is missing", func(t *testing.T, l *Ledger) { remove(t, l, blockKey(4)) }, false},
		{"the block before the last is missing", func(t *testing.T, l *Ledger) { remove(t, l, blockKey(3)) }, false},
		{"a signed block follows another one", func(t *testing.T, l *Ledger) {
			resign(t, l, 4, func(b *blockproof.EmbeddedBlock) { b.Previous[0] ^= 1 })
		}, false},
		{"a signed block of another ledger", func(t *testing.T, l *Ledger) {
			resign(t, l, 4, func(b *blockproof.EmbeddedBlock) { b.Ledger = "other" })
		}, false},
		{"a block is signed anew with other content", func(t *testing.T, l *Ledger) {
			resign(t, l, 2, func(b *blockproof.EmbeddedBlock) { b.Organisation = "bureau" })
		}, true},
		{"a head is changed", func(t *testing.T, l *Ledger) {
			row := get(t, l, headRow(1))
			row[len(row)-2] ^= 1
			set(t, l, headRow(1), row)
		}, true},
		{"a head is missing", func(t *testing.T, l *Ledger) { remove(t, l, headRow(1)) }, true},
		{"a head is cut off", func(t *testing.T, l *Ledger) { set(t, l, headRow(1), []byte{1}) }, true},
		{"a head that nobody anchored", func(t *testing.T, l *Ledger) { set(t, l, headRow(9), get(t, l, headRow(3))) }, true},
		{"a head that a later block anchored", func(t *testing.T, l *Ledger) {
			row := get(t, l, headRow(1))
			binary.BigEndian.PutUint64(row, 3)
			set(t, l, headRow(1), row)
		}, true},
		{"the last head is missing", func(t *testing.T, l *Ledger) { remove(t, l, headRow(3)) }, false},
		{"the record of the log is changed", func(t *testing.T, l *Ledger) {
			set(t, l, logRow, bytes.Replace(get(t, l, logRow), []byte("notary"), []byte("bureau"), 1))
		}, false},
		{"the record of the log claims a later block", func(t *testing.T, l *Ledger) {
			row := get(t, l, logRow)
			binary.BigEndian.PutUint64(row, 9)
			set(t, l, logRow, row)
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := options(t, vfs.NewMem())
			l := create(t, o)
			log := registered(t, l, 3)
			for size := uint64(1); size <= 3; size++ {
				anchorHead(t, l, log, size-1, size)
			}
			verify(t, l)
			test.change(t, l)
			if err := l.Verify(t.Context()); !errors.Is(err, ErrDamaged) {
				t.Errorf("verified: %v, want ErrDamaged", err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l, err := Open(dir, o)
			if (err == nil) != test.opens {
				t.Errorf("opened: %v, expected to go unnoticed: %v", err, test.opens)
			}
			if err == nil {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// resign changes a stored block and signs it with the ledger's key, as only the operator can.
func resign(t *testing.T, l *Ledger, number uint64, change func(*blockproof.EmbeddedBlock)) {
	t.Helper()
	proof, err := l.block(number)
	if err != nil {
		t.Fatal(err)
	}
	block, err := blockproof.OpenEmbedded(proof, l.keys)
	if err != nil {
		t.Fatal(err)
	}
	change(block)
	if proof, err = blockproof.SealEmbedded(block, l.o.Signer); err != nil {
		t.Fatal(err)
	}
	if err := l.db.Set(blockKey(number), proof, pebble.Sync); err != nil {
		t.Fatal(err)
	}
}

// TestWrongProof has a stored block that proves another head: Anchor notices before it answers.
func TestWrongProof(t *testing.T) {
	l := create(t, options(t, vfs.NewMem()))
	log := registered(t, l, 2)
	anchorHead(t, l, log, 0, 1)
	anchorHead(t, l, log, 1, 2)
	first, err := l.block(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.db.Set(blockKey(3), first, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Anchor(t.Context(), log.Head(t, 2), nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("anchoring again: %v, want ErrDamaged", err)
	}
}

// TestVerifyBesideTransactions verifies while heads come in, and closes the ledger in the midst of it.
func TestVerifyBesideTransactions(t *testing.T) {
	l := create(t, options(t, vfs.NewMem()))
	log := registered(t, l, 20)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Verify(ctx); !errors.Is(err, anchor.ErrUnavailable) {
		t.Errorf("verifying with a canceled context: %v, want ErrUnavailable", err)
	}
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for {
				if err := l.Verify(t.Context()); errors.Is(err, anchor.ErrUnavailable) {
					return
				} else if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for size := uint64(1); size <= 20; size++ {
		anchorHead(t, l, log, size-1, size)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	group.Wait()
}

// TestSignerFails has the key refuse: nothing is written, and the next transaction goes through.
func TestSignerFails(t *testing.T) {
	o := options(t, vfs.NewMem())
	signer := &unwilling{Signer: o.Signer}
	o.Signer = signer
	l := create(t, o)
	log := registered(t, l, 2)
	anchorHead(t, l, log, 0, 1)
	before := dump(t, l)
	signer.err = errors.New("key is locked")
	if _, err := l.Anchor(t.Context(), log.Head(t, 2), log.Consistency(t, 1, 2)); !errors.Is(err, anchor.ErrUnavailable) || !errors.Is(err, signer.err) {
		t.Errorf("anchoring: %v", err)
	}
	if after := dump(t, l); after != before {
		t.Error("the database changed")
	}
	signer.err = nil
	anchorHead(t, l, log, 1, 2)
	verify(t, l)
}

// TestClockGoesBack holds that the ledger goes on when the time it claims does not.
func TestClockGoesBack(t *testing.T) {
	o := options(t, vfs.NewMem())
	now := testTime
	o.Clock = func() time.Time { return now }
	l := create(t, o)
	log := registered(t, l, 2)
	anchorHead(t, l, log, 0, 1)
	now = now.Add(-time.Hour)
	proof := anchorHead(t, l, log, 1, 2)
	anchored, err := blockproof.VerifyEmbedded(proof, l.keys)
	if err != nil || !anchored.Time.Equal(now.Truncate(time.Millisecond)) {
		t.Errorf("block time %v, %v; want %v", anchored.Time, err, now)
	}
	verify(t, l)
}

type unwilling struct {
	crypto.Signer
	err error
}

func (u *unwilling) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if u.err != nil {
		return nil, u.err
	}
	return u.Signer.Sign(rand, message, opts)
}
