package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"cunzheng/ledger/anchor"
	"cunzheng/ledger/blockproof"
)

const (
	blockPrefix = 'b'
	rowPrefix   = 's'
	numberSize  = 8
)

func blockKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{blockPrefix}, number)
}

func rowKey(key string) []byte { return append([]byte{rowPrefix}, key...) }

// state is the contract's view of the database.
type state struct{ db pebble.Reader }

// Get implements chaincode.Reader.
func (s state) Get(key string) ([]byte, error) {
	_, value, err := s.row(key)
	return value, err
}

// row returns a value and the number of the block that set it; nil if there is none.
func (s state) row(key string) (block uint64, value []byte, err error) {
	stored, closer, err := s.db.Get(rowKey(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("embedded: reading %q: %w", key, err)
	}
	block, value, err = splitRow(key, bytes.Clone(stored))
	return block, value, errors.Join(err, closer.Close())
}

func splitRow(key string, stored []byte) (block uint64, value []byte, err error) {
	if len(stored) <= numberSize {
		return 0, nil, fmt.Errorf("%w: row %q", ErrDamaged, key)
	}
	return binary.BigEndian.Uint64(stored), stored[numberSize:], nil
}

// Scan implements chaincode.Reader.
func (s state) Scan(from, to string, fn func(key string, value []byte) (bool, error)) error {
	return s.each(rowKey(from), rowKey(to), func(key string, _ uint64, value []byte) (bool, error) {
		return fn(key, value)
	})
}

// each calls fn for the rows between two database keys. The value is valid only during the call.
func (s state) each(from, to []byte, fn func(key string, block uint64, value []byte) (bool, error)) (err error) {
	rows, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return fmt.Errorf("embedded: scanning: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for more := rows.First(); more; more = rows.Next() {
		key := string(rows.Key()[1:])
		stored, err := rows.ValueAndErr()
		if err != nil {
			return fmt.Errorf("embedded: reading %q: %w", key, err)
		}
		block, value, err := splitRow(key, stored)
		if err != nil {
			return err
		}
		if more, err := fn(key, block, value); err != nil || !more {
			return err
		}
	}
	return rows.Error()
}

// block returns a stored block. The caller holds mu.
func (l *Ledger) block(number uint64) ([]byte, error) {
	proof, err := readBlock(l.db, number)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, fmt.Errorf("%w: block %d is missing", ErrDamaged, number)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: block %d: %w", anchor.ErrUnavailable, number, err)
	}
	return proof, nil
}

func readBlock(db pebble.Reader, number uint64) ([]byte, error) {
	stored, closer, err := db.Get(blockKey(number))
	if err != nil {
		return nil, err
	}
	return bytes.Clone(stored), closer.Close()
}

// last returns the last block, or [ErrNotFound] if there is none at all. The caller is the only one to know the ledger.
func (l *Ledger) last() (number uint64, proof []byte, err error) {
	blocks, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{blockPrefix}, UpperBound: []byte{blockPrefix + 1}})
	if err != nil {
		return 0, nil, fmt.Errorf("embedded: looking for the last block: %w", err)
	}
	defer func() { err = errors.Join(err, blocks.Close()) }()
	if !blocks.Last() {
		if err := blocks.Error(); err != nil {
			return 0, nil, fmt.Errorf("embedded: looking for the last block: %w", err)
		}
		return 0, nil, ErrNotFound
	}
	number, err = blockNumber(blocks.Key())
	if err != nil {
		return 0, nil, err
	}
	return number, bytes.Clone(blocks.Value()), nil
}

func blockNumber(key []byte) (uint64, error) {
	if len(key) != 1+numberSize {
		return 0, fmt.Errorf("%w: block key %x", ErrDamaged, key)
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

// open checks that a stored block is the one of this number, on this ledger, and signed by one of its keys.
func (l *Ledger) open(number uint64, proof []byte) (*blockproof.EmbeddedBlock, blockproof.Hash, error) {
	block, err := blockproof.OpenEmbedded(proof, l.keys)
	if err != nil {
		return nil, blockproof.Hash{}, fmt.Errorf("%w: block %d: %w", ErrDamaged, number, err)
	}
	if block.Number != number || block.Ledger != l.o.Name {
		return nil, blockproof.Hash{}, fmt.Errorf("%w: block %d of %q stands where block %d of %q belongs",
			ErrDamaged, block.Number, block.Ledger, number, l.o.Name)
	}
	hash, err := block.Hash()
	return block, hash, err
}
