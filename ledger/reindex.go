package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// reindexTable is the size at which Reindex begins the next table, in bytes.
const reindexTable = 64 << 20

// Reindex derives all index rows anew from the entries and replaces the stored
// ones. Appending waits meanwhile; everything else goes on. The new rows are
// built aside and put in place in one step, so that after a crash or an error
// there are the old rows or the new ones, never a part. It fails with the error of
// Options.Index if an entry has no proper rows.
func (l *Log) Reindex(ctx context.Context) error {
	release, err := l.use()
	if err != nil {
		return err
	}
	defer release()
	done, err := l.maintain(ctx)
	if err != nil {
		return err
	}
	defer done()
	l.sequencing.Lock()
	defer l.sequencing.Unlock()
	if err := l.Halted(); err != nil {
		return err
	}
	size := l.edge.size
	fail := func(_ uint64, err error) error { return err }
	err = withIndexRows(ctx, l.store.db, size, l.options, l.dir, fail, func(rows []*sorter) error {
		w := tableWriter{db: l.store.db, fs: l.options.FS, dir: l.options.FS.PathJoin(l.dir, sortDir)}
		if err := w.write(ctx, rows); err != nil {
			return errors.Join(err, w.abandon())
		}
		// The one step. Pebble logs the new tables and the removal of the old
		// range as one version edit: after a crash it is there or not.
		_, err := l.store.db.IngestAndExcise(ctx, w.paths, nil, nil, pebble.KeyRange{Start: []byte{rowTerm}, End: rowEnd(rowUnique)})
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: reindex: %w", err)
	}
	return nil
}

// A tableWriter writes sorted rows into tables that Pebble can take in.
type tableWriter struct {
	db    *pebble.DB
	fs    vfs.FS
	dir   string
	paths []string

	open *sstable.Writer
	last []byte // key of the row before
}

func (w *tableWriter) write(ctx context.Context, rows []*sorter) error {
	n := 0
	err := merge(rows, func(key, value []byte) error {
		if n++; n%4096 == 0 {
			if err := context.Cause(ctx); err != nil {
				return err
			}
		}
		// Two entries with the same Unique: the first one stands. Append never
		// stores a second; Fsck reports it.
		if bytes.Equal(key, w.last) {
			return nil
		}
		w.last = append(w.last[:0], key...)
		if w.open != nil && w.open.Raw().EstimatedSize() > reindexTable {
			if err := w.finish(); err != nil {
				return err
			}
		}
		if w.open == nil {
			if err := w.begin(); err != nil {
				return err
			}
		}
		return w.open.Set(key, value)
	})
	if err != nil || w.open == nil {
		return err
	}
	return w.finish()
}

func (w *tableWriter) begin() error {
	if err := w.fs.MkdirAll(w.dir, 0o700); err != nil {
		return err
	}
	path := w.fs.PathJoin(w.dir, fmt.Sprintf("index-%06d.sst", len(w.paths)))
	f, err := w.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w.paths = append(w.paths, path)
	o := pebbleOptions(Options{}, storeEvents{})
	o.EnsureDefaults()
	w.open = sstable.NewWriter(objstorageprovider.NewFileWritable(f), o.MakeWriterOptions(0, w.db.TableFormat()))
	return nil
}

// finish syncs and closes the open table.
func (w *tableWriter) finish() error {
	err := w.open.Close()
	w.open = nil
	return err
}

// abandon closes the open table after an error.
func (w *tableWriter) abandon() error {
	if w.open == nil {
		return nil
	}
	return w.finish()
}
