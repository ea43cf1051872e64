package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable/block"

	"cunzheng/ledger/checkpoint"
)

// A reader is the database or a snapshot of it.
type reader = pebble.Reader

// A store is an open Pebble database that holds a log.
type store struct {
	db   *pebble.DB
	lock *pebble.Lock
}

type storeEvents struct {
	log        *slog.Logger
	background func(error)
	corruption func(error)
}

// fatal is what Pebble's call of Fatalf becomes. In a goroutine of Pebble's it
// ends the process, which is right: nothing was acknowledged, and the next Open
// recovers. In commit it is caught.
type fatal struct{ error }

func (e storeEvents) Infof(string, ...any) {}

func (e storeEvents) Errorf(format string, args ...any) {
	e.log.Error("pebble", "error", fmt.Sprintf(format, args...))
}

func (e storeEvents) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	e.log.Error("pebble cannot go on", "error", err)
	panic(fatal{err})
}

func pebbleOptions(o Options, events storeEvents) *pebble.Options {
	const memTables = 4
	p := &pebble.Options{
		FS: o.FS,
		// Pebble takes the memtables, and one that it keeps for reuse, out of the
		// cache. Without room for both, the filters and index blocks fall out of it
		// and every look-up reads them from the disk again.
		CacheSize:          o.CacheSize + (memTables+1)*int64(o.memTable),
		FormatMajorVersion: pebble.FormatValueSeparation,
		Logger:             events,
		EventListener: &pebble.EventListener{
			BackgroundError: events.background,
			DataCorruption:  func(info pebble.DataCorruptionInfo) { events.corruption(info.Details) },
		},
		// Index rows arrive in random order. Large memtables sort them before
		// they meet the disk; a second compaction keeps up with bursts.
		MemTableSize:                o.memTable,
		MemTableStopWritesThreshold: memTables,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               256 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		// Writing tables and the WAL out bit by bit keeps the sync of a group from
		// waiting for all of a flush.
		BytesPerSync:    1 << 20,
		WALBytesPerSync: 1 << 20,
		MaxOpenFiles:    4096,
	}
	p.TargetFileSizes[0] = 8 << 20
	for i := range p.Levels {
		// Hashes do not compress, statements do a little; cheap is right for both.
		p.Levels[i].Compression = func() *block.CompressionProfile { return block.FastestCompression }
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // for look-ups of Unique, nearly all of which miss
		p.Levels[i].BlockSize = 16 << 10
	}
	return p
}

// An openMode says what openStore may find.
type openMode int

const (
	existing   openMode = iota // a database
	orExisting                 // a database or nothing, which becomes one
	toRead                     // a database, which is not changed
)

// openStore opens the Pebble database in dir. Fails with ErrLocked or ErrNotFound.
func openStore(dir string, o Options, events storeEvents, mode openMode) (*store, error) {
	lock, err := pebble.LockDirectory(dir, o.FS)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: no log in %s", ErrNotFound, dir)
	case errors.Is(err, syscall.EAGAIN), err != nil && err.Error() == "lock held by current process":
		return nil, fmt.Errorf("%w (%s)", ErrLocked, dir)
	case err != nil:
		return nil, fmt.Errorf("ledger: locking %s: %w", dir, err)
	}
	p := pebbleOptions(o, events)
	p.Lock = lock
	p.ErrorIfNotExists, p.ReadOnly = mode != orExisting, mode == toRead
	db, err := openPebble(dir, p)
	if err != nil {
		err = errors.Join(err, lock.Close())
		if errors.Is(err, pebble.ErrDBDoesNotExist) {
			return nil, fmt.Errorf("%w: no log in %s", ErrNotFound, dir)
		}
		if pebble.IsCorruptionError(err) {
			return nil, fmt.Errorf("%w: opening %s: %w", ErrCorrupt, dir, err)
		}
		return nil, fmt.Errorf("ledger: opening %s: %w", dir, err)
	}
	return &store{db, lock}, nil
}

// openPebble is pebble.Open with its fatal errors returned.
func openPebble(dir string, p *pebble.Options) (db *pebble.DB, err error) {
	defer catch(&err)
	return pebble.Open(dir, p)
}

func (s *store) close() (err error) {
	defer catch(&err)
	return errors.Join(s.db.Close(), s.lock.Close())
}

// catch turns a call of Fatalf into an error. Others panic on.
func catch(err *error) {
	switch p := recover().(type) {
	case nil:
	case fatal:
		*err = p.error
	default:
		panic(p)
	}
}

// apply writes a batch into the WAL and makes it visible. The caller must wait
// for it with sync before it tells anybody.
func (s *store) apply(b *pebble.Batch) (err error) {
	defer catch(&err)
	return s.db.ApplyNoSyncWait(b, pebble.Sync)
}

// sync waits until an applied batch is on the disk, and frees it. After an
// error it is unknown whether it is.
func (s *store) sync(b *pebble.Batch) error {
	return errors.Join(b.SyncWait(), b.Close())
}

// commit applies and syncs a batch.
func (s *store) commit(b *pebble.Batch) error {
	if err := s.apply(b); err != nil {
		return err
	}
	return s.sync(b)
}

// get returns a copy of a row, or ErrNotFound.
func get(r reader, key []byte) ([]byte, error) {
	value, closer, err := r.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return nil, ErrNotFound
	case err != nil:
		return nil, readError(err)
	}
	value = bytes.Clone(value)
	return value, closer.Close()
}

// readError says that a failed read may mean damage.
func readError(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return fmt.Errorf("ledger: reading: %w", err)
}

// iterate calls fn for the rows in [lower, upper) until it returns false or an
// error. key and value are valid during the call only.
func iterate(r reader, lower, upper []byte, reverse bool, fn func(key, value []byte) (bool, error)) (err error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return readError(err)
	}
	defer func() {
		if closeErr := it.Close(); closeErr != nil && err == nil {
			err = readError(closeErr)
		}
	}()
	step, valid := it.Next, it.First
	if reverse {
		step, valid = it.Prev, it.Last
	}
	for ok := valid(); ok; ok = step() {
		value, err := it.ValueAndErr()
		if err != nil {
			return readError(err)
		}
		if more, err := fn(it.Key(), value); err != nil || !more {
			return err
		}
	}
	return nil
}

// checkMeta compares the meta row with what this program and its options expect.
func checkMeta(r reader, origin string) error {
	meta, err := get(r, metaKey)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: there is a database, but no log was created in it", ErrNotFound)
	}
	if err != nil {
		return err
	}
	format, named, _ := strings.Cut(string(meta), "\n")
	if format != formatLine {
		return fmt.Errorf("ledger: the log has the format %.300q, want %q", format, formatLine)
	}
	if named != origin {
		return &OriginError{Log: named, Want: origin}
	}
	return nil
}

// lastCheckpoint returns the stored checkpoint of greatest size, unverified.
func lastCheckpoint(r reader) (checkpoint.Signed, error) {
	var head checkpoint.Signed
	err := iterate(r, []byte{rowCheckpoint}, rowEnd(rowCheckpoint), true, func(key, value []byte) (bool, error) {
		var err error
		head, err = decodeCheckpoint(key, value)
		return false, err
	})
	if err == nil && head.Note == nil {
		err = fmt.Errorf("%w: no checkpoint is stored", ErrCorrupt)
	}
	return head, err
}

// decodeCheckpoint reads a checkpoint row without looking at its signature.
func decodeCheckpoint(key, value []byte) (checkpoint.Signed, error) {
	size, err := parseNumberKey(rowCheckpoint, key)
	if err != nil {
		return checkpoint.Signed{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	c, err := checkpoint.Parse(value)
	if err != nil {
		return checkpoint.Signed{}, fmt.Errorf("%w: the checkpoint stored for size %d: %w", ErrCorrupt, size, err)
	}
	if c.Size != size {
		return checkpoint.Signed{}, fmt.Errorf("%w: the checkpoint stored for size %d is for size %d", ErrCorrupt, size, c.Size)
	}
	return checkpoint.Signed{Checkpoint: c, Note: bytes.Clone(value)}, nil
}
