package chaincode

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Reader reads the state as it was before the transaction.
type Reader interface {
	// Get returns the value of key, or nil if there is none. The caller does not change it.
	Get(key string) ([]byte, error)

	// Scan calls fn for the rows with from <= key < to in ascending byte order of the keys until fn returns false or
	// an error. The slices that fn receives are valid only during the call.
	Scan(from, to string, fn func(key string, value []byte) (bool, error)) error
}

// State is what a transaction of the contract works on. It has the rules of Fabric: reads do not see the writes of the
// same transaction, a transaction announces at most one event, keys and values are not empty.
type State interface {
	Reader

	// Put sets key to value. The value must not be changed afterwards.
	Put(key string, value []byte) error

	// Org names the organisation that sent the transaction, as the ledger authenticated it.
	Org() string

	// Event announces what the transaction did to those who follow the ledger.
	Event(name string, payload []byte) error
}

// Write is a row that a transaction set.
type Write struct {
	Key   string
	Value []byte
}

// Announcement is an event that a transaction announced.
type Announcement struct {
	Name    string
	Payload []byte
}

// Transaction is a [State] that keeps the writes of one transaction apart from the state it reads. Whoever runs it
// applies the writes together or drops them. A Transaction is used by one goroutine.
type Transaction struct {
	reader Reader
	org    string
	writes map[string][]byte
	event  *Announcement
}

// NewTransaction starts a transaction by the organisation org over the state in r, which must not change meanwhile.
func NewTransaction(r Reader, org string) *Transaction {
	return &Transaction{reader: r, org: org, writes: make(map[string][]byte)}
}

func (t *Transaction) Get(key string) ([]byte, error) { return t.reader.Get(key) }

func (t *Transaction) Scan(from, to string, fn func(key string, value []byte) (bool, error)) error {
	return t.reader.Scan(from, to, fn)
}

func (t *Transaction) Org() string { return t.org }

func (t *Transaction) Put(key string, value []byte) error {
	if key == "" || len(value) == 0 {
		return errors.New("chaincode: empty key or value")
	}
	t.writes[key] = bytes.Clone(value)
	return nil
}

func (t *Transaction) Event(name string, payload []byte) error {
	if t.event != nil {
		return fmt.Errorf("chaincode: events %s and %s in one transaction", t.event.Name, name)
	}
	t.event = &Announcement{Name: name, Payload: bytes.Clone(payload)}
	return nil
}

// Writes returns what the transaction set, in the order of the keys.
func (t *Transaction) Writes() []Write {
	writes := make([]Write, 0, len(t.writes))
	for key, value := range t.writes {
		writes = append(writes, Write{key, value})
	}
	slices.SortFunc(writes, func(a, b Write) int { return strings.Compare(a.Key, b.Key) })
	return writes
}

// Announced returns the event of the transaction, or nil.
func (t *Transaction) Announced() *Announcement { return t.event }
