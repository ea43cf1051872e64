package chaincodetest

import (
	"fmt"
	"testing"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// Log is a Merkle log in memory with a key of its own. It is used by one goroutine.
type Log struct {
	Origin string
	Key    *sm2.PrivateKey

	leaves leaves
}

// NewLog returns an empty log with a fresh key.
func NewLog(t testing.TB, origin string) *Log {
	t.Helper()
	return &Log{Origin: origin, Key: NewKey(t)}
}

// NewKey returns a fresh key.
func NewKey(t testing.TB) *sm2.PrivateKey {
	t.Helper()
	key, err := sm2.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// PublicKey returns the log's key.
func (l *Log) PublicKey() *sm2.PublicKey { return l.Key.Public().(*sm2.PublicKey) }

// SPKI returns the log's key as the contract wants it.
func (l *Log) SPKI() []byte { return l.PublicKey().SPKI() }

// Size returns the number of entries.
func (l *Log) Size() uint64 { return uint64(len(l.leaves)) }

// Append adds n entries.
func (l *Log) Append(n int) {
	for range n {
		l.leaves = append(l.leaves, tlog.LeafHash(fmt.Appendf(nil, "entry %d", len(l.leaves))))
	}
}

// Fork returns a log with the same key that has the first keep entries of l, followed by n others.
func (l *Log) Fork(keep, n int) *Log {
	fork := &Log{Origin: l.Origin, Key: l.Key, leaves: append(leaves(nil), l.leaves[:keep]...)}
	for range n {
		fork.leaves = append(fork.leaves, tlog.LeafHash(fmt.Appendf(nil, "other entry %d", len(fork.leaves))))
	}
	return fork
}

// Root returns the root of the first size entries.
func (l *Log) Root(t testing.TB, size uint64) tlog.Hash {
	t.Helper()
	root, err := tlog.Root(size, l.leaves)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Head returns the head over the first size entries, newly signed.
func (l *Log) Head(t testing.TB, size uint64) checkpoint.Signed {
	t.Helper()
	head := checkpoint.Checkpoint{Origin: l.Origin, Size: size, Root: l.Root(t, size)}
	signed, err := checkpoint.Sign(head, l.Origin, l.Key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// Consistency returns the proof from one size to another.
func (l *Log) Consistency(t testing.TB, from, to uint64) []tlog.Hash {
	t.Helper()
	path, err := tlog.ConsistencyProof(from, to, l.leaves)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// leaves computes the nodes of a small tree from its leaf hashes.
type leaves []tlog.Hash

func (l leaves) Node(level uint, n uint64) (tlog.Hash, error) {
	if level == 0 {
		if n >= uint64(len(l)) {
			return tlog.Hash{}, fmt.Errorf("chaincodetest: no leaf %d", n)
		}
		return l[n], nil
	}
	left, err := l.Node(level-1, 2*n)
	if err != nil {
		return tlog.Hash{}, err
	}
	right, err := l.Node(level-1, 2*n+1)
	if err != nil {
		return tlog.Hash{}, err
	}
	return tlog.NodeHash(left, right), nil
}
