package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// A numberedEntry is an entry on its way to a worker.
type numberedEntry struct {
	index uint64
	data  []byte
}

// indexRows derives all i and j rows from the entries [0, size) and sorts them.
// If an entry has no proper rows, it calls bad, which may be called concurrently,
// and goes on when that returns nil.
func indexRows(ctx context.Context, r reader, size uint64, o Options, dir string, bad func(index uint64, err error) error) ([]*sorter, error) {
	if o.Index == nil {
		return nil, errors.New("ledger: no Index function given")
	}
	workers := runtime.GOMAXPROCS(0)
	batches := make(chan []numberedEntry, workers)
	sorters := make([]*sorter, workers)
	g, ctx := errgroup.WithContext(ctx)
	for i := range sorters {
		s := newSorter(o.FS, dir, fmt.Sprintf("rows%d", i), sorterMemory)
		sorters[i] = s
		g.Go(func() error {
			for batch := range batches {
				for _, e := range batch {
					if err := addIndexRows(s, o, e.index, e.data); err != nil {
						if err := bad(e.index, err); err != nil {
							return err
						}
					}
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(batches)
		return readEntries(r, size, o, func(batch []numberedEntry) error {
			select {
			case batches <- batch:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	return sorters, g.Wait()
}

// readEntries hands out copies of the entries [0, size), some at a time.
func readEntries(r reader, size uint64, o Options, send func([]numberedEntry) error) error {
	const perBatch = 256
	var batch []numberedEntry
	var buffer []byte
	err := iterate(r, numberKey(rowEntry, 0), numberKey(rowEntry, size), false, func(key, value []byte) (bool, error) {
		index, err := parseNumberKey(rowEntry, key)
		if err != nil {
			return true, nil // the tree pass of Fsck reports it
		}
		if batch == nil {
			batch, buffer = make([]numberedEntry, 0, perBatch), make([]byte, 0, perBatch*(len(value)+64))
		}
		buffer = append(buffer, value...)
		batch = append(batch, numberedEntry{index, buffer[len(buffer)-len(value) : len(buffer) : len(buffer)]})
		if index%(1<<16) == 0 {
			o.Progress("index rows", index, size)
		}
		if len(batch) < perBatch {
			return true, nil
		}
		full := batch
		batch, buffer = nil, nil
		return true, send(full)
	})
	if err != nil || len(batch) == 0 {
		return err
	}
	return send(batch)
}

// errDerive wraps what Index says about an entry that it cannot read.
var errDerive = errors.New("ledger: no index rows can be derived")

func addIndexRows(s *sorter, o Options, index uint64, data []byte) error {
	terms, unique, err := o.Index(data)
	if err == nil {
		err = checkIndex(terms, unique)
	}
	if err != nil {
		return fmt.Errorf("%w from entry %d: %w", errDerive, index, err)
	}
	var key [maxIndexKey]byte
	for _, t := range terms {
		if err := s.add(appendTermKey(key[:0], t, index), nil); err != nil {
			return err
		}
	}
	if unique != nil {
		var value [numberSize]byte
		return s.add(appendUniqueKey(key[:0], unique), appendNumber(value[:0], index))
	}
	return nil
}

// withIndexRows calls fn with the sorted rows and removes them afterwards.
func withIndexRows(ctx context.Context, r reader, size uint64, o Options, dir string, bad func(uint64, error) error, fn func([]*sorter) error) (err error) {
	defer func() { err = errors.Join(err, removeRuns(dir, o.FS)) }()
	sorters, err := indexRows(ctx, r, size, o, dir, bad)
	if err != nil {
		return err
	}
	return fn(sorters)
}
