// Package chaincodetest holds the test of the contract, which every ledger that runs it must pass, and what such tests
// need: a ledger in memory and a log with a real key and a real tree.
//
//	func TestContract(t *testing.T) {
//		chaincodetest.Run(t, func(t *testing.T) chaincodetest.Chain { return chaincodetest.NewMemory() })
//	}
package chaincodetest

import (
	"bytes"
	"maps"
	"slices"
	"sync"

	"cunzheng/chaincode"
)

// Memory is the contract over a map. It is safe for concurrent use and loses everything at the end.
type Memory struct {
	mu   sync.Mutex
	rows map[string][]byte // under mu
}

// NewMemory returns a ledger without any log.
func NewMemory() *Memory { return &Memory{rows: make(map[string][]byte)} }

// Owner and Foreign name two organisations; in memory any name is one.
func (m *Memory) Owner() string { return "notary" }

func (m *Memory) Foreign() string { return "bureau" }

// Invoke runs one transaction: it is applied whole or not at all.
func (m *Memory) Invoke(org, function string, args ...[]byte) (Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tx := chaincode.NewTransaction(rows(m.rows), org)
	result, err := chaincode.Invoke(tx, function, args)
	if err != nil {
		return Outcome{}, err
	}
	writes := tx.Writes()
	for _, w := range writes {
		m.rows[w.Key] = w.Value
	}
	return Outcome{Result: result, Event: tx.Announced(), Changed: len(writes) > 0}, nil
}

// Reader returns the present state, as a transaction reads it.
func (m *Memory) Reader() chaincode.Reader { return rows(m.Rows()) }

// Rows returns a copy of the state.
func (m *Memory) Rows() map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.rows)
}

type rows map[string][]byte

func (r rows) Get(key string) ([]byte, error) { return r[key], nil }

func (r rows) Scan(from, to string, fn func(key string, value []byte) (bool, error)) error {
	for _, key := range slices.Sorted(maps.Keys(r)) {
		if key < from || key >= to {
			continue
		}
		// What fn gets is good only during the call: a contract that keeps it is found out.
		value := bytes.Clone(r[key])
		more, err := fn(key, value)
		clear(value)
		if err != nil || !more {
			return err
		}
	}
	return nil
}
