package tlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// TileWidth is the number of hashes in a full tile and of entries in a full
// entry bundle; TileHeight is the number of tree levels between two tile levels.
const (
	TileHeight = 8
	TileWidth  = 1 << TileHeight
)

// MaxEntrySize is the longest entry that an entry bundle can hold, in bytes.
const MaxEntrySize = math.MaxUint16

// A Tile names a row of hashes in the layout of C2SP tlog-tiles. Tile (Level,
// Index) of full width holds the nodes
//
//	(8*Level, 256*Index) … (8*Level, 256*Index+255)
//
// as 32 bytes each; a partial tile holds the first Width of them.
type Tile struct {
	Level uint   // 0 to 63
	Index uint64 // counted in full tiles
	Width int    // 1 to 256
}

// An EntryBundle names the entries 256*Index … 256*Index+Width-1, each preceded
// by its length as two bytes, big endian.
type EntryBundle struct {
	Index uint64
	Width int // 1 to 256
}

// WidthAt returns how many hashes of tile (level, index) a tree of the given
// size fills, 0 if none. Level 0 also answers for entry bundles.
func WidthAt(level uint, index, size uint64) int {
	if level*TileHeight >= 64 || index > math.MaxUint64/TileWidth {
		return 0
	}
	nodes, first := size>>(level*TileHeight), index*TileWidth
	if nodes <= first {
		return 0
	}
	return int(min(nodes-first, TileWidth))
}

// Path returns the name of the tile below the log's base URL, for example
// "tile/0/x001/067.p/12".
func (t Tile) Path() string {
	return "tile/" + strconv.FormatUint(uint64(t.Level), 10) + "/" + formatIndex(t.Index, t.Width)
}

// Path returns the name of the bundle below the log's base URL, for example
// "tile/entries/x001/067".
func (b EntryBundle) Path() string { return "tile/entries/" + formatIndex(b.Index, b.Width) }

// ParseTilePath is the inverse of [Tile.Path]. It accepts no other spelling.
func ParseTilePath(path string) (Tile, error) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return Tile{}, pathError(path)
	}
	level, rest, _ := strings.Cut(rest, "/")
	l, err := strconv.ParseUint(level, 10, 8)
	if err != nil || l > 63 {
		return Tile{}, pathError(path)
	}
	t := Tile{Level: uint(l)}
	if t.Index, t.Width, err = parseIndex(rest); err != nil || t.Path() != path {
		return Tile{}, pathError(path)
	}
	return t, nil
}

// ParseEntryBundlePath is the inverse of [EntryBundle.Path]. It accepts no other spelling.
func ParseEntryBundlePath(path string) (EntryBundle, error) {
	rest, ok := strings.CutPrefix(path, "tile/entries/")
	if !ok {
		return EntryBundle{}, pathError(path)
	}
	var b EntryBundle
	var err error
	if b.Index, b.Width, err = parseIndex(rest); err != nil || b.Path() != path {
		return EntryBundle{}, pathError(path)
	}
	return b, nil
}

func pathError(path string) error {
	if len(path) > 100 {
		path = path[:100]
	}
	return fmt.Errorf("tlog: %q is not a tile path", path)
}

// formatIndex writes 1234067 as "x001/x234/067", with ".p/W" after it when the
// width is not full.
func formatIndex(index uint64, width int) string {
	s := fmt.Sprintf("%03d", index%1000)
	for index >= 1000 {
		index /= 1000
		s = fmt.Sprintf("x%03d/%s", index%1000, s)
	}
	if width != TileWidth {
		s += ".p/" + strconv.Itoa(width)
	}
	return s
}

// parseIndex reads what formatIndex writes; the caller compares the spelling.
func parseIndex(s string) (index uint64, width int, err error) {
	width = TileWidth
	if name, w, partial := strings.Cut(s, ".p/"); partial {
		if width, err = strconv.Atoi(w); err != nil || width < 1 || width >= TileWidth {
			return 0, 0, errors.New("bad width")
		}
		s = name
	}
	digits := strings.NewReplacer("x", "", "/", "").Replace(s)
	index, err = strconv.ParseUint(digits, 10, 64)
	return index, width, err
}

// AppendHashes appends the hashes to b as a tile holds them.
func AppendHashes(b []byte, hashes []Hash) []byte {
	for i := range hashes {
		b = append(b, hashes[i][:]...)
	}
	return b
}

// ParseHashes reads a tile. It fails if tile does not hold exactly width hashes.
func ParseHashes(tile []byte, width int) ([]Hash, error) {
	if width < 1 || width > TileWidth || len(tile) != width*HashSize {
		return nil, fmt.Errorf("tlog: tile of %d bytes, want %d hashes", len(tile), width)
	}
	hashes := make([]Hash, width)
	for i := range hashes {
		copy(hashes[i][:], tile[i*HashSize:])
	}
	return hashes, nil
}

// AppendEntry appends one entry to b as an entry bundle holds it.
func AppendEntry(b, entry []byte) ([]byte, error) {
	if len(entry) > MaxEntrySize {
		return nil, fmt.Errorf("tlog: entry of %d bytes, the longest is %d", len(entry), MaxEntrySize)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(entry)))
	return append(b, entry...), nil
}

// ParseEntries splits an entry bundle. It fails if bundle does not hold exactly
// width entries. The entries share memory with bundle.
func ParseEntries(bundle []byte, width int) ([][]byte, error) {
	if width < 1 || width > TileWidth {
		return nil, fmt.Errorf("tlog: bundle of %d entries", width)
	}
	entries := make([][]byte, 0, width)
	for len(entries) < width {
		if len(bundle) < 2 {
			return nil, fmt.Errorf("tlog: bundle ends after %d of %d entries", len(entries), width)
		}
		n := int(binary.BigEndian.Uint16(bundle))
		bundle = bundle[2:]
		if len(bundle) < n {
			return nil, fmt.Errorf("tlog: bundle ends in entry %d of %d", len(entries), width)
		}
		entries = append(entries, bundle[:n:n])
		bundle = bundle[n:]
	}
	if len(bundle) != 0 {
		return nil, fmt.Errorf("tlog: %d bytes after the last entry of a bundle", len(bundle))
	}
	return entries, nil
}
