package anchor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"cunzheng/chaincode"
	"cunzheng/chaincode/chaincodetest"
	"cunzheng/crypto/sm2"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/anchor/anchortest"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// memory is a ledger that runs the contract in memory and fails on demand. Its proof is the anchored note.
type memory struct {
	chain *chaincodetest.Memory

	mu     sync.Mutex
	before func(op string) error    // under mu; an error comes out before anything is done
	after  func(op string) error    // under mu; an error comes out although it was done
	calls  map[string]int           // under mu
	events []chaincode.Announcement // under mu; event n is of block n+1
	grown  chan struct{}            // under mu; closed and replaced when there is an event more, or a fault
}

var (
	_ anchor.Ledger       = (*memory)(nil)
	_ anchor.EventSource  = (*memory)(nil)
	_ anchor.ForkReporter = (*memory)(nil)
)

func newMemory() *memory {
	return &memory{chain: chaincodetest.NewMemory(), calls: make(map[string]int), grown: make(chan struct{})}
}

// fail sets the faults. Nil heals.
func (m *memory) fail(before, after func(op string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before, m.after = before, after
	m.wake()
}

// wake lets those who wait for events look again. The caller holds mu.
func (m *memory) wake() {
	close(m.grown)
	m.grown = make(chan struct{})
}

// announce adds an event that the contract did not make.
func (m *memory) announce(a chaincode.Announcement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, a)
	m.wake()
}

func (m *memory) count(op string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[op]
}

func (m *memory) invoke(ctx context.Context, op, org, function string, args ...[]byte) ([]byte, error) {
	m.mu.Lock()
	m.calls[op]++
	before, after := m.before, m.after
	m.mu.Unlock()
	if before != nil {
		if err := before(op); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", anchor.ErrUnavailable, err)
	}
	outcome, err := m.chain.Invoke(org, function, args...)
	if outcome.Event != nil {
		m.announce(*outcome.Event)
	}
	var refusal *chaincode.Error
	if errors.As(err, &refusal) {
		return nil, anchor.Refusal(refusal)
	}
	if err == nil && after != nil {
		err = after(op)
	}
	return outcome.Result, err
}

func (m *memory) Describe() anchor.Description {
	return anchor.Description{Kind: "memory", Name: "test", Operators: []string{m.chain.Owner()}}
}

func (m *memory) RegisterLog(ctx context.Context, origin string, key *sm2.PublicKey) error {
	_, err := m.invoke(ctx, "RegisterLog", m.chain.Owner(), chaincode.FuncRegisterLog, []byte(origin), key.SPKI())
	return err
}

func (m *memory) RotateLogKey(ctx context.Context, origin string, key *sm2.PublicKey, signature []byte) error {
	_, err := m.invoke(ctx, "RotateLogKey", m.chain.Owner(), chaincode.FuncRotateLogKey, []byte(origin), key.SPKI(), signature)
	return err
}

func (m *memory) Latest(ctx context.Context, origin string) (checkpoint.Signed, error) {
	note, err := m.invoke(ctx, "Latest", m.chain.Foreign(), chaincode.FuncLatest, []byte(origin))
	if err != nil {
		return checkpoint.Signed{}, err
	}
	head, err := checkpoint.Parse(note)
	return checkpoint.Signed{Checkpoint: head, Note: note}, err
}

func (m *memory) Anchor(ctx context.Context, head checkpoint.Signed, consistency []tlog.Hash) ([]byte, error) {
	if _, err := m.invoke(ctx, "Anchor", m.chain.Owner(), chaincode.FuncAnchor,
		[]byte(head.Origin), head.Note, chaincode.EncodeProof(consistency)); err != nil {
		return nil, err
	}
	return m.chain.Reader().Get(chaincode.HeadKey(head.Origin, head.Size))
}

func (m *memory) Proof(ctx context.Context, origin string, size uint64) ([]byte, error) {
	return m.invoke(ctx, "Proof", m.chain.Foreign(), chaincode.FuncAt, []byte(origin), fmt.Append(nil, size))
}

func (m *memory) ReportFork(ctx context.Context, origin string, noteA, noteB []byte) error {
	_, err := m.invoke(ctx, "ReportFork", m.chain.Foreign(), chaincode.FuncReportFork, []byte(origin), noteA, noteB)
	return err
}

func (m *memory) Events(ctx context.Context, fromBlock uint64, fn func(uint64, chaincode.Announcement) error) error {
	for block := max(fromBlock, 1); ; {
		m.mu.Lock()
		before, grown, events := m.before, m.grown, m.events
		m.mu.Unlock()
		if before != nil {
			if err := before("Events"); err != nil {
				return err
			}
		}
		for ; block <= uint64(len(events)); block++ {
			if err := fn(block, events[block-1]); err != nil {
				return err
			}
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", anchor.ErrUnavailable, ctx.Err())
		}
	}
}

func (m *memory) Close() error {
	closed := fmt.Errorf("%w: closed", anchor.ErrUnavailable)
	m.fail(func(string) error { return closed }, nil)
	return nil
}

// times returns a fault that strikes n times in a row.
func times(n int, err error) func(string) error {
	return func(string) error {
		if n--; n >= 0 {
			return err
		}
		return nil
	}
}

// on confines a fault to one operation.
func on(op string, fault func(string) error) func(string) error {
	return func(o string) error {
		if o != op {
			return nil
		}
		return fault(o)
	}
}

func TestMemoryLedger(t *testing.T) {
	anchortest.Run(t, func(*testing.T) anchortest.Driver {
		return anchortest.Driver{
			Ledger: newMemory(),
			Verify: func(proof []byte) ([]byte, error) {
				_, err := checkpoint.Parse(proof)
				return bytes.Clone(proof), err
			},
		}
	})
}
