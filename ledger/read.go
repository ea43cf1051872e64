package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// isMissing reports whether a row was not found in Pebble.
func isMissing(err error) bool { return errors.Is(err, pebble.ErrNotFound) }

// Entry returns the data of an entry. Fails with ErrNotFound.
func (l *Log) Entry(index uint64) ([]byte, error) {
	return l.numbered(rowEntry, index, "entry")
}

// Private returns the private data beside an entry. Fails with ErrNotFound if
// there is no such entry, if it had none, or if it was erased.
func (l *Log) Private(index uint64) ([]byte, error) {
	return l.numbered(rowPrivate, index, "private data of entry")
}

// numbered reads a row that belongs to an entry.
func (l *Log) numbered(row byte, index uint64, what string) ([]byte, error) {
	release, err := l.use()
	if err != nil {
		return nil, err
	}
	defer release()
	if size := l.Latest().Size; index >= size {
		return nil, fmt.Errorf("%w: %s %d, the log has %d", ErrNotFound, what, index, size)
	}
	value, err := get(l.store.db, numberKey(row, index))
	if err != nil {
		return nil, fmt.Errorf("%s %d: %w", what, index, err)
	}
	return value, nil
}

// ErasePrivate removes the private data beside an entry for good and returns
// when that is durable. The entry and its proofs stay.
//
// Nobody can read the data from the first moment on. Then the rows around it are
// rewritten, so that no table file holds the data any more. A Fsck that goes on
// keeps a snapshot in which it is still there, and a Reindex puts table files in
// place, so the rewriting waits for them. If ctx ends before, the error says so,
// and the call is to be repeated.
//
// Copies remain in the write-ahead log until Pebble overwrites the file (it
// reuses the last few), in backups and copies of the folder, in snapshots of the
// file system, and in blocks that it has freed. Who must exclude those stores
// Private sealed and destroys the key; a backup that is restored brings the data
// back, and the erasure must be repeated on it.
func (l *Log) ErasePrivate(ctx context.Context, index uint64) error {
	release, err := l.use()
	if err != nil {
		return err
	}
	defer release()
	if err := l.Halted(); err != nil {
		return err
	}
	if size := l.Latest().Size; index >= size {
		return fmt.Errorf("%w: entry %d, the log has %d", ErrNotFound, index, size)
	}
	key := numberKey(rowPrivate, index)
	b := l.store.db.NewBatch()
	if err := b.Delete(key, nil); err != nil {
		return err
	}
	if err := l.store.commit(b); err != nil {
		l.stop(err)
		return l.Halted()
	}
	if err := l.rewrite(ctx, key, numberKey(rowPrivate, index+1)); err != nil {
		return fmt.Errorf("ledger: entry %d: the private data is removed, its bytes are not overwritten yet: %w", index, err)
	}
	return nil
}

// rewrite has all table files with rows in a range written anew.
func (l *Log) rewrite(ctx context.Context, lower, upper []byte) error {
	done, err := l.maintain(ctx)
	if err != nil {
		return err
	}
	defer done()
	return l.store.db.Compact(ctx, lower, upper, false)
}

// LookupUnique returns the entry with the given Unique, if there is one.
func (l *Log) LookupUnique(unique []byte) (index uint64, found bool, err error) {
	release, err := l.use()
	if err != nil {
		return 0, false, err
	}
	defer release()
	size := l.Latest().Size
	index, found, err = l.lookupUnique(unique)
	if index >= size {
		return 0, false, err
	}
	return index, found, err
}

// CheckpointFor returns the checkpoint under which an entry was accepted: the
// smallest that covers it. Fails with ErrNotFound.
func (l *Log) CheckpointFor(index uint64) (checkpoint.Signed, error) {
	release, err := l.use()
	if err != nil {
		return checkpoint.Signed{}, err
	}
	defer release()
	return l.checkpointFor(l.released.Load(), index)
}

func (l *Log) checkpointFor(at *released, index uint64) (checkpoint.Signed, error) {
	var head checkpoint.Signed
	if index >= at.head.Size {
		return head, fmt.Errorf("%w: entry %d, the log has %d", ErrNotFound, index, at.head.Size)
	}
	err := iterate(l.store.db, numberKey(rowCheckpoint, index+1), rowEnd(rowCheckpoint), false, func(key, value []byte) (bool, error) {
		var err error
		head, err = decodeCheckpoint(key, value)
		return false, err
	})
	if err == nil && head.Note == nil {
		err = fmt.Errorf("%w: no checkpoint covers entry %d", ErrCorrupt, index)
	}
	return head, err
}

// CheckpointAt returns the checkpoint of the given size. Fails with ErrNotFound
// if none was made at that size.
func (l *Log) CheckpointAt(size uint64) (checkpoint.Signed, error) {
	release, err := l.use()
	if err != nil {
		return checkpoint.Signed{}, err
	}
	defer release()
	if latest := l.Latest().Size; size > latest {
		return checkpoint.Signed{}, fmt.Errorf("%w: checkpoint of size %d, the log has %d", ErrNotFound, size, latest)
	}
	key := numberKey(rowCheckpoint, size)
	note, err := get(l.store.db, key)
	if err != nil {
		return checkpoint.Signed{}, fmt.Errorf("checkpoint of size %d: %w", size, err)
	}
	return decodeCheckpoint(key, note)
}

// InclusionProof returns the proof that an entry is in the tree of the given
// size, which need not be that of a checkpoint. Fails with ErrNotFound if
// the log is not that large.
func (l *Log) InclusionProof(index, size uint64) ([]tlog.Hash, error) {
	return l.proof(index < size, size, func(tree *tlog.Tree) ([]tlog.Hash, error) { return tree.Inclusion(index) })
}

// ConsistencyProof returns the proof that the tree of size oldSize is a prefix
// of that of size newSize. Fails with ErrNotFound if the log is not that large.
func (l *Log) ConsistencyProof(oldSize, newSize uint64) ([]tlog.Hash, error) {
	return l.proof(oldSize <= newSize, newSize, func(tree *tlog.Tree) ([]tlog.Hash, error) { return tree.Consistency(oldSize) })
}

func (l *Log) proof(sensible bool, size uint64, prove func(*tlog.Tree) ([]tlog.Hash, error)) ([]tlog.Hash, error) {
	release, err := l.use()
	if err != nil {
		return nil, err
	}
	defer release()
	at := l.released.Load()
	if !sensible || size > at.head.Size {
		return nil, fmt.Errorf("%w: no such proof at size %d, the log has %d", ErrNotFound, size, at.head.Size)
	}
	tree, err := tlog.NewTree(size, l.nodes(at))
	if err != nil {
		return nil, err
	}
	return prove(tree)
}

// Tile returns a hash tile of the present tree. Fails with ErrNotFound if the
// tree does not fill it to that width.
func (l *Log) Tile(t tlog.Tile) ([]byte, error) {
	release, err := l.use()
	if err != nil {
		return nil, err
	}
	defer release()
	at := l.released.Load()
	width := tlog.WidthAt(t.Level, t.Index, at.head.Size)
	if t.Width < 1 || t.Width > width {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, t.Path())
	}
	if e := at.edge.tile(t.Level, t.Index); e != nil {
		return e.row(t.Width), nil
	}
	row, err := l.tileRow(t.Level, t.Index)
	if err != nil {
		return nil, err
	}
	return row[:t.Width*tlog.HashSize], nil
}

// EntryBundle returns a row of entries as tlog-tiles has it. Fails with
// ErrNotFound if the log does not fill it to that width.
func (l *Log) EntryBundle(b tlog.EntryBundle) ([]byte, error) {
	release, err := l.use()
	if err != nil {
		return nil, err
	}
	defer release()
	if b.Width < 1 || b.Width > tlog.WidthAt(0, b.Index, l.Latest().Size) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, b.Path())
	}
	next := b.Index * tlog.TileWidth
	end := next + uint64(b.Width)
	var bundle []byte
	err = iterate(l.store.db, numberKey(rowEntry, next), numberKey(rowEntry, end), false, func(key, value []byte) (bool, error) {
		index, err := parseNumberKey(rowEntry, key)
		if err != nil || index != next {
			return false, fmt.Errorf("%w: entry %d is missing", ErrCorrupt, next)
		}
		next++
		bundle, err = tlog.AppendEntry(bundle, value)
		return true, err
	})
	if err == nil && next != end {
		err = fmt.Errorf("%w: entry %d is missing", ErrCorrupt, next)
	}
	return bundle, err
}

// PutAnchor stores durably what the ledger gave as proof that it holds the
// checkpoint of the given size. It replaces an earlier proof.
func (l *Log) PutAnchor(size uint64, proof []byte) error {
	release, err := l.use()
	if err != nil {
		return err
	}
	defer release()
	if err := l.Halted(); err != nil {
		return err
	}
	if latest := l.Latest().Size; size > latest {
		return fmt.Errorf("%w: checkpoint of size %d, the log has %d", ErrNotFound, size, latest)
	}
	b := l.store.db.NewBatch()
	if err := b.Set(numberKey(rowAnchor, size), proof, nil); err != nil {
		return err
	}
	if err := l.store.commit(b); err != nil {
		l.stop(err)
		return l.Halted()
	}
	return nil
}

// Anchor returns the smallest anchored checkpoint size that is at least minSize,
// and its proof. Fails with ErrNotFound.
func (l *Log) Anchor(minSize uint64) (size uint64, proof []byte, err error) {
	return l.anchor(numberKey(rowAnchor, minSize), false)
}

// LatestAnchor returns the greatest anchored checkpoint size, and its proof.
// Fails with ErrNotFound.
func (l *Log) LatestAnchor() (size uint64, proof []byte, err error) {
	return l.anchor([]byte{rowAnchor}, true)
}

func (l *Log) anchor(from []byte, last bool) (size uint64, proof []byte, err error) {
	release, err := l.use()
	if err != nil {
		return 0, nil, err
	}
	defer release()
	found := false
	err = iterate(l.store.db, from, rowEnd(rowAnchor), last, func(key, value []byte) (bool, error) {
		var err error
		size, err = parseNumberKey(rowAnchor, key)
		proof, found = bytes.Clone(value), true
		return false, err
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: no such anchor", ErrNotFound)
	}
	return size, proof, err
}
