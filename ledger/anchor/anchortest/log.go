// Package anchortest holds the test that every driver of a ledger must pass, and a log in memory to anchor on it.
package anchortest

import (
	"bytes"
	"errors"
	"maps"
	"sync"
	"testing"

	"cunzheng/chaincode/chaincodetest"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// Log is an [anchor.Source] in memory. It is safe for concurrent use.
type Log struct {
	t testing.TB

	mu       sync.Mutex
	tree     *chaincodetest.Log           // under mu
	head     checkpoint.Signed            // under mu
	heads    map[uint64]checkpoint.Signed // under mu; those it signed, by size
	anchors  map[uint64][]byte            // under mu; proofs by size
	greatest uint64                       // under mu; greatest size in anchors
	putErr   error                        // under mu
}

var _ anchor.Source = (*Log)(nil)

// NewLog returns a log with a fresh key and n entries.
func NewLog(t testing.TB, origin string, n int) *Log {
	l := &Log{t: t}
	tree := chaincodetest.NewLog(t, origin)
	l.Replace(tree)
	l.Append(n)
	return l
}

// Append adds n entries and signs the new head.
func (l *Log) Append(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tree.Append(n)
	l.sign()
}

// Fork returns what the log would be if its first keep entries had been followed by n others. It has the same anchors.
func (l *Log) Fork(keep, n int) *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	fork := &Log{t: l.t, anchors: maps.Clone(l.anchors), greatest: l.greatest}
	fork.Replace(l.tree.Fork(keep, n))
	return fork
}

// Replace puts another tree in place of the present one, as a restore does. The stored proofs stay.
func (l *Log) Replace(tree *chaincodetest.Log) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tree, l.heads = tree, make(map[uint64]checkpoint.Signed)
	l.sign()
}

// sign is called under mu.
func (l *Log) sign() {
	l.head = l.tree.Head(l.t, l.tree.Size())
	l.heads[l.head.Size] = l.head
}

// CheckpointAt implements [anchor.Source].
func (l *Log) CheckpointAt(size uint64) (checkpoint.Signed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	head, ok := l.heads[size]
	if !ok {
		return checkpoint.Signed{}, errors.New("no head of this size")
	}
	return head, nil
}

// Tree returns the tree for use while nobody appends.
func (l *Log) Tree() *chaincodetest.Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tree
}

// FailPuts makes PutAnchor fail with err, until it is called with nil.
func (l *Log) FailPuts(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.putErr = err
}

// Anchors returns the stored proofs by size.
func (l *Log) Anchors() map[uint64][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.anchors)
}

func (l *Log) Latest() checkpoint.Signed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

func (l *Log) ConsistencyProof(oldSize, newSize uint64) ([]tlog.Hash, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tree.Consistency(l.t, oldSize, newSize), nil
}

func (l *Log) LatestAnchor() (uint64, []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.greatest == 0 {
		return 0, nil, errors.New("anchortest: no anchor")
	}
	return l.greatest, l.anchors[l.greatest], nil
}

func (l *Log) PutAnchor(size uint64, proof []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.putErr != nil {
		return l.putErr
	}
	if l.anchors == nil {
		l.anchors = make(map[uint64][]byte)
	}
	l.anchors[size] = bytes.Clone(proof)
	l.greatest = max(l.greatest, size)
	return nil
}
