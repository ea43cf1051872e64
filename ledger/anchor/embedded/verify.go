package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"cunzheng/crypto/sm3"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/blockproof"
)

// resume finds the last block and checks it, its link to the block before, and the rows that it set.
func (l *Ledger) resume() error {
	number, proof, err := l.last()
	if err != nil {
		return err
	}
	block, hash, err := l.open(number, proof)
	if err != nil {
		return err
	}
	if number > 0 {
		proof, err := l.block(number - 1)
		if err != nil {
			return err
		}
		_, before, err := l.open(number-1, proof)
		if err != nil {
			return err
		}
		if block.Previous != before {
			return fmt.Errorf("%w: block %d does not follow block %d", ErrDamaged, number, number-1)
		}
	}
	if current, err := currentRows(state{l.db}, block); err != nil {
		return err
	} else if current != len(block.Writes) {
		return fmt.Errorf("%w: block %d set a row that a later block changed, but it is the last", ErrDamaged, number)
	}
	l.number, l.tip = number, hash
	return nil
}

// Verify walks the whole chain: every block is signed by a key of the ledger and follows the one before, and the state
// is what the blocks wrote, no row more, less or other. It works on a snapshot, beside transactions.
//
// The error wraps [ErrDamaged] and names the first difference.
func (l *Ledger) Verify(ctx context.Context) (err error) {
	snapshot, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	defer l.walks.Done()
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.closing, func() { cancel(errClosed) })()
	written, err := l.verifyBlocks(ctx, snapshot)
	if err != nil {
		return err
	}
	rows := 0
	err = (state{snapshot}).each([]byte{rowPrefix}, []byte{rowPrefix + 1}, func(string, uint64, []byte) (bool, error) {
		rows++
		return true, interrupted(ctx)
	})
	if err != nil {
		return err
	}
	if rows != written {
		return fmt.Errorf("%w: %d rows of state, of which the blocks wrote %d", ErrDamaged, rows, written)
	}
	return nil
}

// snapshot returns the present state of the database. The caller closes it and then calls walks.Done.
func (l *Ledger) snapshot(ctx context.Context) (*pebble.Snapshot, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := l.available(ctx); err != nil {
		return nil, err
	}
	l.walks.Add(1)
	return l.db.NewSnapshot(), nil
}

func interrupted(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("%w: %w", anchor.ErrUnavailable, err)
	}
	return nil
}

// verifyBlocks returns the number of rows whose present value a block wrote.
func (l *Ledger) verifyBlocks(ctx context.Context, db pebble.Reader) (written int, err error) {
	blocks, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{blockPrefix}, UpperBound: []byte{blockPrefix + 1}})
	if err != nil {
		return 0, fmt.Errorf("embedded: reading blocks: %w", err)
	}
	defer func() { err = errors.Join(err, blocks.Close()) }()
	var previous blockproof.Hash
	next := uint64(0)
	for more := blocks.First(); more; more = blocks.Next() {
		if err := interrupted(ctx); err != nil {
			return 0, err
		}
		if !bytes.Equal(blocks.Key(), blockKey(next)) {
			return 0, fmt.Errorf("%w: block %d is missing", ErrDamaged, next)
		}
		proof, err := blocks.ValueAndErr()
		if err != nil {
			return 0, fmt.Errorf("%w: block %d: %w", anchor.ErrUnavailable, next, err)
		}
		block, hash, err := l.open(next, proof)
		if err != nil {
			return 0, err
		}
		if block.Previous != previous {
			return 0, fmt.Errorf("%w: block %d does not follow the block before", ErrDamaged, next)
		}
		current, err := currentRows(state{db}, block)
		if err != nil {
			return 0, err
		}
		written += current
		previous = hash
		next++
	}
	if next == 0 {
		return 0, fmt.Errorf("%w: no blocks", ErrDamaged)
	}
	return written, blocks.Error()
}

// currentRows counts the rows set by block that no later block has set again, and compares their values.
func currentRows(db state, block *blockproof.EmbeddedBlock) (int, error) {
	current := 0
	for _, w := range block.Writes {
		number, value, err := db.row(w.Key)
		switch {
		case err != nil:
			return 0, err
		case value == nil || number < block.Number:
			return 0, fmt.Errorf("%w: row %q, set by block %d, is lost", ErrDamaged, w.Key, block.Number)
		case number > block.Number:
			continue
		case sm3.Sum(value) != w.SM3:
			return 0, fmt.Errorf("%w: row %q is not what block %d wrote", ErrDamaged, w.Key, block.Number)
		}
		current++
	}
	return current, nil
}
