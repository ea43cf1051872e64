package ledger

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sortDir is where sorters keep what does not fit in memory, below the log's
// directory. Open and Reindex empty it.
const sortDir = "sort"

func removeRuns(dir string, fsys vfs.FS) error {
	if err := fsys.RemoveAll(fsys.PathJoin(dir, sortDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// sorterMemory is how many bytes of rows a sorter holds before it writes a run.
const sorterMemory = 32 << 20

// A sorter takes rows in any order and gives them back sorted by key, then
// value, in memory of a fixed size.
type sorter struct {
	fs     vfs.FS
	prefix string // of the names of runs
	memory int

	// rows holds the pending rows: key length (2 bytes), value length (1 byte),
	// key, value.
	rows  []byte
	order []rowRef
	runs  []string
}

// A rowRef is a pending row. Most comparisons end with the head.
type rowRef struct {
	head uint64 // first eight bytes of the key, zero-filled
	at   int    // in rows
}

func newSorter(fsys vfs.FS, dir, name string, memory int) *sorter {
	return &sorter{fs: fsys, prefix: fsys.PathJoin(dir, sortDir, name), memory: memory}
}

// add takes one row. The key has at most maxIndexKey bytes, the value at most 255.
func (s *sorter) add(key, value []byte) error {
	if len(s.rows)+3+len(key)+len(value) > s.memory && len(s.order) > 0 {
		if err := s.spill(); err != nil {
			return err
		}
	}
	var head [8]byte
	copy(head[:], key)
	s.order = append(s.order, rowRef{binary.BigEndian.Uint64(head[:]), len(s.rows)})
	s.rows = binary.BigEndian.AppendUint16(s.rows, uint16(len(key)))
	s.rows = append(s.rows, byte(len(value)))
	s.rows = append(append(s.rows, key...), value...)
	return nil
}

func (s *sorter) row(at int) (key, value []byte) {
	k, v := int(binary.BigEndian.Uint16(s.rows[at:])), int(s.rows[at+2])
	at += 3
	return s.rows[at : at+k], s.rows[at+k : at+k+v]
}

func (s *sorter) sort() {
	slices.SortFunc(s.order, func(a, b rowRef) int {
		if a.head != b.head {
			if a.head < b.head {
				return -1
			}
			return 1
		}
		ak, av := s.row(a.at)
		bk, bv := s.row(b.at)
		if c := bytes.Compare(ak, bk); c != 0 {
			return c
		}
		return bytes.Compare(av, bv)
	})
}

// spill writes the pending rows as a run.
func (s *sorter) spill() error {
	s.sort()
	name := fmt.Sprintf("%s-%06d.run", s.prefix, len(s.runs))
	if err := s.fs.MkdirAll(s.fs.PathDir(name), 0o700); err != nil {
		return err
	}
	f, err := s.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	s.runs = append(s.runs, name)
	w := bufio.NewWriterSize(f, 256<<10)
	for _, ref := range s.order {
		k, v := s.row(ref.at)
		if _, err := w.Write(s.rows[ref.at : ref.at+3+len(k)+len(v)]); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	s.rows, s.order = s.rows[:0], s.order[:0]
	return errors.Join(w.Flush(), f.Close())
}

// A run is a sorted sequence of rows that is read from the front.
type run struct {
	key, value []byte
	next       func() (key, value []byte, err error) // io.EOF at the end
}

func (r *run) step() (err error) {
	r.key, r.value, err = r.next()
	return err
}

type runHeap []*run

func (h runHeap) Len() int { return len(h) }
func (h runHeap) Less(i, j int) bool {
	if c := bytes.Compare(h[i].key, h[j].key); c != 0 {
		return c < 0
	}
	return bytes.Compare(h[i].value, h[j].value) < 0
}
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)   { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// merge calls fn for the rows of all sorters in order. Rows that are alike come
// once. key and value are valid until the call returns.
func merge(sorters []*sorter, fn func(key, value []byte) error) (err error) {
	var h runHeap
	add := func(r *run) error {
		switch err := r.step(); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		h = append(h, r)
		return nil
	}
	for _, s := range sorters {
		s.sort()
		i := 0
		inMemory := &run{next: func() (key, value []byte, err error) {
			if i == len(s.order) {
				return nil, nil, io.EOF
			}
			key, value = s.row(s.order[i].at)
			i++
			return key, value, nil
		}}
		if err := add(inMemory); err != nil {
			return err
		}
		for _, name := range s.runs {
			f, err := s.fs.Open(name, vfs.SequentialReadsOption)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			if err := add(&run{next: rowReader(f)}); err != nil {
				return err
			}
		}
	}
	heap.Init(&h)
	var key, value []byte
	for first := true; len(h) > 0; {
		r := h[0]
		if first || !bytes.Equal(r.key, key) || !bytes.Equal(r.value, value) {
			first = false
			key, value = append(key[:0], r.key...), append(value[:0], r.value...)
			if err := fn(key, value); err != nil {
				return err
			}
		}
		switch err := r.step(); {
		case err == io.EOF:
			heap.Pop(&h)
		case err != nil:
			return err
		default:
			heap.Fix(&h, 0)
		}
	}
	return nil
}

// rowReader reads what spill writes.
func rowReader(f io.Reader) func() (key, value []byte, err error) {
	r := bufio.NewReaderSize(f, 256<<10)
	var row []byte
	return func() (key, value []byte, err error) {
		var lengths [3]byte
		if _, err := io.ReadFull(r, lengths[:]); err != nil {
			return nil, nil, err // io.EOF between rows
		}
		k, v := int(binary.BigEndian.Uint16(lengths[:])), int(lengths[2])
		row = slices.Grow(row[:0], k+v)[:k+v]
		if _, err := io.ReadFull(r, row); err != nil {
			return nil, nil, fmt.Errorf("ledger: a run ends early: %w", io.ErrUnexpectedEOF)
		}
		return row[:k], row[k:], nil
	}
}
