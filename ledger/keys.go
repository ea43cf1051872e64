package ledger

import (
	"encoding/binary"
	"fmt"
)

// The rows of a log in Pebble. Numbers in keys are eight bytes, big endian, so
// that rows of one kind lie in order of their number. All but the rows 'i' and
// 'j' grow at the end of their range only.
//
//	m                     format line and origin, written by Create
//	e index               the entry
//	p index               the private data kept beside the entry
//	t level(1) index      a full tile: 256 hashes of 32 bytes, level as in tlog-tiles
//	c size                a checkpoint, as signed note
//	a size                what the ledger gave as proof of the anchored checkpoint
//	i kind(1) value index an index row; no value
//	j unique              the index of the entry with that Unique (8 bytes)
//
// A group of entries goes in with one batch: its e, p, i and j rows, the t rows
// it completes, and one c row. No e, t, c or i row is ever changed, and none is
// removed but by Reindex; p rows are removed by ErasePrivate, and an a row may
// be replaced by another proof of the same size. Partial tiles are not stored:
// Open rebuilds them from the entries and tiles below.
const (
	rowMeta       = 'm'
	rowEntry      = 'e'
	rowPrivate    = 'p'
	rowTile       = 't'
	rowCheckpoint = 'c'
	rowAnchor     = 'a'
	rowTerm       = 'i'
	rowUnique     = 'j' // right after rowTerm: Reindex replaces both as one range
)

// formatLine is the first line of the meta row; the origin is the second.
const formatLine = "cunzheng/ledger/v1"

const (
	numberSize    = 8
	maxTermSize   = 255
	maxUniqueSize = 255
	// maxIndexKey bounds the keys of i and j rows.
	maxIndexKey = 2 + maxTermSize + numberSize
)

var metaKey = []byte{rowMeta}

func numberKey(row byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{row}, n)
}

// parseNumberKey is the inverse of numberKey.
func parseNumberKey(row byte, key []byte) (uint64, error) {
	if len(key) != 1+numberSize || key[0] != row {
		return 0, fmt.Errorf("key %x is not one of row %q", key, row)
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

func tileKey(level uint, index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{rowTile, byte(level)}, index)
}

// parseTileKey is the inverse of tileKey.
func parseTileKey(key []byte) (level uint, index uint64, err error) {
	if len(key) != 2+numberSize || key[0] != rowTile {
		return 0, 0, fmt.Errorf("key %x is not one of row %q", key, rowTile)
	}
	return uint(key[1]), binary.BigEndian.Uint64(key[2:]), nil
}

func appendTermKey(b []byte, t Term, index uint64) []byte {
	b = append(b, rowTerm, t.Kind)
	b = append(b, t.Value...)
	return binary.BigEndian.AppendUint64(b, index)
}

// parseTermKey is the inverse of appendTermKey. The value shares memory with key.
func parseTermKey(key []byte) (t Term, index uint64, err error) {
	if len(key) <= 2+numberSize || len(key) > maxIndexKey || key[0] != rowTerm {
		return Term{}, 0, fmt.Errorf("key %x is not one of row %q", key, rowTerm)
	}
	value, number := key[2:len(key)-numberSize], key[len(key)-numberSize:]
	return Term{Kind: key[1], Value: value}, binary.BigEndian.Uint64(number), nil
}

func appendUniqueKey(b []byte, unique []byte) []byte {
	return append(append(b, rowUnique), unique...)
}

func appendNumber(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n) }

// parseNumber reads a row whose value is one number.
func parseNumber(value []byte) (uint64, error) {
	if len(value) != numberSize {
		return 0, fmt.Errorf("number of %d bytes", len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

// rowEnd is the first key after all rows of a kind.
func rowEnd(row byte) []byte { return []byte{row + 1} }
