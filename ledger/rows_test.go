package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

func TestSorter(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, memory := range []int{1, 200, 5000, 1 << 20} {
		fs := vfs.NewMem()
		if err := fs.MkdirAll("/log", 0o700); err != nil {
			t.Fatal(err)
		}
		type row struct{ key, value string }
		var want []row
		sorters := []*sorter{newSorter(fs, "/log", "a", memory), newSorter(fs, "/log", "b", memory), newSorter(fs, "/log", "c", memory)}
		for range 500 {
			r := row{string(randomBytes(rng, 12)), string(randomBytes(rng, 2))}
			want = append(want, r)
			if err := sorters[rng.IntN(2)].add([]byte(r.key), []byte(r.value)); err != nil {
				t.Fatal(err)
			}
		}
		slices.SortFunc(want, func(a, b row) int {
			if c := bytes.Compare([]byte(a.key), []byte(b.key)); c != 0 {
				return c
			}
			return bytes.Compare([]byte(a.value), []byte(b.value))
		})
		want = slices.Compact(want)
		var got []row
		if err := merge(sorters, func(key, value []byte) error {
			got = append(got, row{string(key), string(value)})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("with %d bytes: %d rows, want %d", memory, len(got), len(want))
		}
		stop := errors.New("stop")
		if err := merge(sorters, func(key, value []byte) error { return stop }); err != stop {
			t.Errorf("got %v", err)
		}
		if err := removeRuns("/log", fs); err != nil {
			t.Fatal(err)
		}
		if memory < 5000 {
			if err := merge(sorters, func(key, value []byte) error { return nil }); err == nil {
				t.Error("merged runs that are gone")
			}
		}
	}
}

// randomBytes returns up to n bytes of few values.
func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, rng.IntN(n+1))
	for i := range b {
		b[i] = byte(rng.IntN(3)) * 0x7f
	}
	return b
}

func TestEdge(t *testing.T) {
	// Snapshots stay as they were while the edge grows and is trimmed.
	var e edge
	var frontier tlog.Frontier
	type kept struct {
		edge *edge
		root tlog.Hash
	}
	var snapshots []kept
	for i := range 2000 {
		leaf := tlog.LeafHash(fmt.Append(nil, i))
		e.append(leaf)
		frontier.Append(leaf)
		switch i % 97 {
		case 50:
			e.trim()
		case 60:
			snapshots = append(snapshots, kept{e.snapshot(), frontier.Root()})
		}
	}
	missing := func(level uint, index uint64) (*expandedTile, error) {
		return nil, fmt.Errorf("tile %d of level %d is not in the edge", index, level)
	}
	for _, s := range snapshots {
		if root, err := tlog.Root(s.edge.size, forest{s.edge, missing}); err != nil || root != s.root {
			t.Errorf("size %d: %v, %v, want %v", s.edge.size, root, err, s.root)
		}
	}
}

func TestTileCache(t *testing.T) {
	c := newTileCache(3)
	put := func(n uint64) { c.put(tileName{0, n}, new(expandedTile)) }
	for n := range uint64(3) {
		put(n)
	}
	first := c.get(tileName{0, 0})
	put(0) // does not replace
	put(3)
	if c.get(tileName{0, 1}) != nil || c.get(tileName{0, 0}) != first || c.get(tileName{0, 2}) == nil || c.get(tileName{0, 3}) == nil || len(c.tiles) != 3 {
		t.Error("not the one used longest ago was dropped")
	}
}

func FuzzRowKeys(f *testing.F) {
	f.Add(numberKey(rowEntry, 7))
	f.Add(tileKey(3, 7))
	f.Add(appendTermKey(nil, Term{1, []byte("value")}, 7))
	f.Fuzz(func(t *testing.T, key []byte) {
		for _, row := range []byte{rowEntry, rowPrivate, rowCheckpoint, rowAnchor} {
			if n, err := parseNumberKey(row, key); err == nil && !bytes.Equal(numberKey(row, n), key) {
				t.Errorf("%x parses as %d", key, n)
			}
		}
		if level, index, err := parseTileKey(key); err == nil && !bytes.Equal(tileKey(level, index), key) {
			t.Errorf("%x parses as tile %d of level %d", key, index, level)
		}
		if term, index, err := parseTermKey(key); err == nil && !bytes.Equal(appendTermKey(nil, term, index), key) {
			t.Errorf("%x parses as %v of %d", key, term, index)
		}
		if n, err := parseNumber(key); err == nil && !bytes.Equal(appendNumber(nil, n), key) {
			t.Errorf("%x parses as %d", key, n)
		}
	})
}

func FuzzDecodeCheckpoint(f *testing.F) {
	note := []byte("log.test.example\n7\nGrIdg1XPoX+OYRlIMegajyK+yMco/vt0ftA161CCqis=\n\n— log.test.example AAAAAAAAAA==\n")
	f.Add(numberKey(rowCheckpoint, 7), note)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		head, err := decodeCheckpoint(key, value)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v", err)
			}
			return
		}
		parsed, err := checkpoint.Parse(value)
		if err != nil || parsed != head.Checkpoint || !bytes.Equal(numberKey(rowCheckpoint, head.Size), key) || !bytes.Equal(head.Note, value) {
			t.Errorf("%x %q decodes as %+v", key, value, head)
		}
	})
}

func FuzzRowReader(f *testing.F) {
	f.Add([]byte{0, 2, 1, 'k', 'k', 'v', 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		next := rowReader(bytes.NewReader(b))
		for range len(b) + 1 {
			if _, _, err := next(); err != nil {
				return
			}
		}
		t.Error("more rows than bytes")
	})
}

// FuzzFsck puts any row into a log: Fsck ends, and finds it unless it says what was there or may be there.
func FuzzFsck(f *testing.F) {
	o := testOptions(f)
	o.FS = vfs.NewMem()
	l, dir := newLog(f, o)
	for i := range uint64(3) {
		mustAppend(f, l, testEntry(i, 40))
	}
	closeLog(f, l)
	o = o.withDefaults()
	_, keys, err := o.keys()
	if err != nil {
		f.Fatal(err)
	}
	s, err := openStore(dir, o, storeEvents{log: o.Logger}, existing)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.close() })
	e := testEntry(1, 40)
	for _, key := range [][]byte{numberKey(rowEntry, 1), numberKey(rowEntry, 1<<50), tileKey(0, 0), numberKey(rowCheckpoint, 2), numberKey(rowCheckpoint, 1<<50),
		appendTermKey(nil, e.Terms[0], 1), appendUniqueKey(nil, e.Unique), {rowEntry}, {rowTerm}, {rowUnique}, {}, []byte("m0"), []byte("e\x00\x00\x00\x00\x00\x00\x00\x01x")} {
		f.Add(key, []byte("value"))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if bytes.Equal(key, metaKey) {
			return // Fsck of another log does not begin
		}
		b := s.db.NewIndexedBatch()
		defer b.Close()
		if err := b.Set(key, value, nil); err != nil {
			t.Fatal(err)
		}
		found := 0
		if err := fsck(t.Context(), b, dir, o, keys, func(Difference) { found++ }); err != nil {
			t.Fatal(err)
		}
		before, err := get(s.db, key)
		same := err == nil && bytes.Equal(before, value)
		beside := len(key) == 1+numberSize && (key[0] == rowPrivate && binary.BigEndian.Uint64(key[1:]) < 3 || key[0] == rowAnchor && binary.BigEndian.Uint64(key[1:]) <= 3)
		if (found == 0) != (same || beside) {
			t.Errorf("%x = %x: %d differences", key, value, found)
		}
		if found > 100 {
			t.Errorf("%x = %x: a flood of %d differences", key, value, found)
		}
	})
}
