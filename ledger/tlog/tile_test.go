package tlog

import (
	"bytes"
	"math"
	"slices"
	"testing"
)

func TestTilePaths(t *testing.T) {
	for _, c := range []struct {
		tile Tile
		path string
	}{
		{Tile{0, 0, 256}, "tile/0/000"},
		{Tile{0, 0, 1}, "tile/0/000.p/1"},
		{Tile{0, 1067, 12}, "tile/0/x001/067.p/12"},
		{Tile{1, 1234067, 256}, "tile/1/x001/x234/067"},
		{Tile{63, 999, 255}, "tile/63/999.p/255"},
		{Tile{7, math.MaxUint64, 256}, "tile/7/x018/x446/x744/x073/x709/x551/615"},
	} {
		if got := c.tile.Path(); got != c.path {
			t.Errorf("%+v: path %q, want %q", c.tile, got, c.path)
		}
		if got, err := ParseTilePath(c.path); err != nil || got != c.tile {
			t.Errorf("%q: %+v, %v", c.path, got, err)
		}
	}
	for _, bad := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "tile/0/0", "tile/0/00", "tile/0/0000", "tile/00/000", "tile/+1/000",
		"tile/64/000", "tile/-1/000", "tile/0/x000/000", "tile/0/x001", "tile/0/x001/", "tile/0/001/067", "tile/0/x001x067",
		"tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/+1", "tile/0/000.p/", "tile/0/000.p", "tile/0/000/",
		"tile/0/x018/x446/x744/x073/x709/x551/616", "tile/0/xx01/067", "/tile/0/000", "tile/0/٠٠٠", "tile/entries/000",
	} {
		if got, err := ParseTilePath(bad); err == nil {
			t.Errorf("%q accepted as %+v", bad, got)
		}
	}
	if b, err := ParseEntryBundlePath("tile/entries/x001/067.p/3"); err != nil || b != (EntryBundle{1067, 3}) {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := ParseEntryBundlePath("tile/0/000"); err == nil {
		t.Error("hash tile accepted as entry bundle")
	}
}

func TestWidthAt(t *testing.T) {
	for _, c := range []struct {
		level       uint
		index, size uint64
		want        int
	}{
		{0, 0, 0, 0}, {0, 0, 1, 1}, {0, 0, 256, 256}, {0, 1, 256, 0}, {0, 1, 257, 1}, {1, 0, 255, 0}, {1, 0, 256, 1},
		{1, 0, 1 << 16, 256}, {2, 0, 1 << 16, 1}, {7, 0, math.MaxUint64, 255}, {8, 0, math.MaxUint64, 0}, {63, 0, math.MaxUint64, 0},
		{0, math.MaxUint64, math.MaxUint64, 0}, {0, math.MaxUint64 / 256, math.MaxUint64, 255},
	} {
		if got := WidthAt(c.level, c.index, c.size); got != c.want {
			t.Errorf("WidthAt(%d, %d, %d) = %d, want %d", c.level, c.index, c.size, got, c.want)
		}
	}
}

func TestEntryBundle(t *testing.T) {
	entries := [][]byte{[]byte("a"), {}, bytes.Repeat([]byte{7}, MaxEntrySize)}
	var bundle []byte
	var err error
	for _, e := range entries {
		if bundle, err = AppendEntry(bundle, e); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ParseEntries(bundle, len(entries))
	if err != nil || !slices.EqualFunc(got, entries, bytes.Equal) {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	for _, width := range []int{-1, 0, 2, 4, 257} {
		if _, err := ParseEntries(bundle, width); err == nil {
			t.Errorf("width %d accepted", width)
		}
	}
	for _, cut := range []int{1, 2, 3, 4, len(bundle) - 1} {
		if _, err := ParseEntries(bundle[:cut], len(entries)); err == nil {
			t.Errorf("bundle cut to %d bytes accepted", cut)
		}
	}
	if _, err := AppendEntry(nil, make([]byte, MaxEntrySize+1)); err == nil {
		t.Error("too long an entry accepted")
	}
	hashes := testLeaves(3)
	tile := AppendHashes(nil, hashes)
	if back, err := ParseHashes(tile, 3); err != nil || !slices.Equal(back, hashes) {
		t.Errorf("%v %v", back, err)
	}
	if _, err := ParseHashes(tile, 2); err == nil {
		t.Error("tile of another width accepted")
	}
}

func FuzzParseTilePath(f *testing.F) {
	for _, s := range []string{"tile/0/x001/067.p/12", "tile/63/000", "tile/entries/x001/x234/067", "tile/entries/000.p/1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if tile, err := ParseTilePath(path); err == nil && tile.Path() != path {
			t.Errorf("%q parses as %+v, whose path is %q", path, tile, tile.Path())
		}
		if b, err := ParseEntryBundlePath(path); err == nil && b.Path() != path {
			t.Errorf("%q parses as %+v, whose path is %q", path, b, b.Path())
		}
	})
}

func FuzzParseEntries(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 0, 0}, 2)
	f.Fuzz(func(t *testing.T, bundle []byte, width int) {
		entries, err := ParseEntries(bundle, width)
		if err != nil {
			return
		}
		var back []byte
		for _, e := range entries {
			if back, err = AppendEntry(back, e); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(back, bundle) {
			t.Errorf("bundle %x re-encodes as %x", bundle, back)
		}
	})
}
