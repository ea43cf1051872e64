package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"

	"cunzheng/ledger/tlog"
)

// checkTree goes once through all entries and rebuilds tiles and roots beside
// the stored ones.
func (c *checker) checkTree() error {
	head, err := c.findSize()
	if err != nil {
		return err
	}
	p, err := newTreePass(c)
	if err != nil {
		return err
	}
	if err := errors.Join(p.run(), p.close()); err != nil {
		return readError(err)
	}
	if head != c.size {
		c.report("extra", "entry", number(c.size-1), "the latest checkpoint is of size %d", head)
	}
	return c.countTiles()
}

// findSize sets c.size to the number of entries to look at, and returns the size
// of the latest checkpoint, or c.size if that is smaller or there is none.
func (c *checker) findSize() (head uint64, err error) {
	head, found, err := c.latestHead()
	if err != nil {
		return 0, err
	}
	// Entries that go on where the latest checkpoint ends are looked at like all
	// others; such with a gap before them are not, however great their numbers.
	c.size = head
	err = c.eachEntry(numberKey(rowEntry, head), rowEnd(rowEntry), false, func(index uint64) bool {
		if index == c.size {
			c.size++
			return true
		}
		return false
	})
	if err != nil {
		return 0, err
	}
	if !found {
		return c.size, nil
	}
	if c.size > head {
		return head, nil
	}
	c.size = 0
	err = c.eachEntry(numberKey(rowEntry, 0), numberKey(rowEntry, head), true, func(index uint64) bool {
		c.size = index + 1
		return false
	})
	if err != nil {
		return 0, err
	}
	if c.size < head {
		c.report("missing", "entry", span(c.size, head), "the latest checkpoint is of size %d", head)
	}
	return c.size, nil
}

// latestHead returns the size of the latest checkpoint.
func (c *checker) latestHead() (head uint64, found bool, err error) {
	if _, err := get(c.r, numberKey(rowCheckpoint, 0)); errors.Is(err, ErrNotFound) {
		c.report("missing", "checkpoint", "0", "the log has no beginning")
	} else if err != nil {
		return 0, false, err
	}
	err = iterate(c.r, []byte{rowCheckpoint}, rowEnd(rowCheckpoint), true, func(key, _ []byte) (bool, error) {
		size, err := parseNumberKey(rowCheckpoint, key)
		if err == nil {
			head, found = size, true
		}
		return !found, nil
	})
	return head, found, err
}

// eachEntry calls fn for the entry rows in a range of keys until it returns
// false. It passes over malformed keys, which the tree pass reports.
func (c *checker) eachEntry(lower, upper []byte, reverse bool, fn func(index uint64) bool) error {
	return iterate(c.r, lower, upper, reverse, func(key, _ []byte) (bool, error) {
		index, err := parseNumberKey(rowEntry, key)
		return err != nil || fn(index), nil
	})
}

// span names the entries [from, end).
func span(from, end uint64) string {
	if end-from == 1 {
		return number(from)
	}
	return fmt.Sprintf("%d to %d", from, end-1)
}

// A treePass goes through entries and checkpoints side by side.
type treePass struct {
	*checker
	entries, heads         *pebble.Iterator
	moreEntries, moreHeads bool   // whether they stand on a row
	missingTo              uint64 // entries below are reported

	// The roots come from the frontier, the tiles from the edge: two ways
	// through the tree.
	frontier tlog.Frontier
	edge     edge

	signatures *errgroup.Group // which are checked beside
}

func newTreePass(c *checker) (*treePass, error) {
	entries, err := c.r.NewIter(iterOptions([]byte{rowEntry}, rowEnd(rowEntry)))
	if err != nil {
		return nil, readError(err)
	}
	heads, err := c.r.NewIter(iterOptions([]byte{rowCheckpoint}, rowEnd(rowCheckpoint)))
	if err != nil {
		return nil, errors.Join(readError(err), entries.Close())
	}
	p := &treePass{checker: c, entries: entries, heads: heads, signatures: new(errgroup.Group)}
	p.signatures.SetLimit(2 * runtime.GOMAXPROCS(0))
	return p, nil
}

func (p *treePass) close() error {
	return errors.Join(p.signatures.Wait(), p.entries.Close(), p.heads.Close())
}

func (p *treePass) run() error {
	p.moreEntries, p.moreHeads = p.entries.First(), p.heads.First()
	for index := uint64(0); index < p.size; index++ {
		if err := p.compareHeads(index); err != nil {
			return err
		}
		leaf, err := p.leaf(index)
		if err != nil {
			return err
		}
		p.frontier.Append(leaf)
		p.edge.append(leaf)
		if p.edge.size%tlog.TileWidth == 0 {
			if err := p.edge.full(p.compareTile); err != nil {
				return err
			}
			p.edge.trim()
		}
		if index%(1<<14) == 0 {
			p.o.Progress("entries", index, p.size)
			if err := context.Cause(p.ctx); err != nil {
				return err
			}
		}
	}
	if err := p.compareHeads(p.size); err != nil {
		return err
	}
	for ; p.moreHeads; p.moreHeads = p.heads.Next() {
		p.report("extra", "checkpoint", fmt.Sprintf("%x", p.heads.Key()[1:]), "it covers more than the %d entries", p.size)
	}
	for index, ok := p.nextEntry(); ok; index, ok = p.nextEntry() {
		p.report("extra", "entry", number(index), "there are %d in sequence", p.size)
		p.moreEntries = p.entries.Next()
	}
	return nil
}

// nextEntry returns the index of the entry that the iterator stands on, after
// passing over rows that are none. It is false at the end.
func (p *treePass) nextEntry() (index uint64, ok bool) {
	for ; p.moreEntries; p.moreEntries = p.entries.Next() {
		index, err := parseNumberKey(rowEntry, p.entries.Key())
		if err == nil {
			return index, true
		}
		p.report("extra", "row", fmt.Sprintf("%x", p.entries.Key()), "malformed key")
	}
	return 0, false
}

// leaf returns the leaf of an entry. If that is missing, the stored tile must say
// what was there.
func (p *treePass) leaf(index uint64) (leaf tlog.Hash, err error) {
	next, ok := p.nextEntry()
	if ok && next == index {
		data, err := p.entries.ValueAndErr()
		if err != nil {
			return leaf, err
		}
		if len(data) == 0 || len(data) > tlog.MaxEntrySize {
			p.report("wrong", "entry", number(index), "it has %d bytes", len(data))
		}
		leaf = tlog.LeafHash(data)
		p.moreEntries = p.entries.Next()
		return leaf, nil
	}
	if err := p.entries.Error(); err != nil {
		return leaf, err
	}
	if index >= p.missingTo {
		if p.missingTo = p.size; ok {
			p.missingTo = min(next, p.size)
		}
		p.report("missing", "entry", span(index, p.missingTo), "there are later ones")
	}
	if row, err := readTile(p.r, 0, index/tlog.TileWidth); err == nil {
		copy(leaf[:], row[index%tlog.TileWidth*tlog.HashSize:])
	}
	return leaf, nil
}

// compareHeads looks at the checkpoints up to the size reached.
func (p *treePass) compareHeads(size uint64) error {
	for ; p.moreHeads; p.moreHeads = p.heads.Next() {
		at, err := parseNumberKey(rowCheckpoint, p.heads.Key())
		if err == nil && at > size {
			return nil
		}
		value, err := p.heads.ValueAndErr()
		if err != nil {
			return err
		}
		p.compareHead(p.heads.Key(), value)
	}
	return p.heads.Error()
}

// compareHead checks one checkpoint row against the tree.
func (p *treePass) compareHead(key, value []byte) {
	head, err := decodeCheckpoint(key, value)
	if err != nil {
		p.report("wrong", "checkpoint", fmt.Sprintf("%x", key[1:]), "%v", err)
		return
	}
	name := number(head.Size)
	if root := p.frontier.Root(); head.Root != root {
		p.report("wrong", "checkpoint", name, "its root is %v, the entries lead to %v", head.Root, root)
	}
	latest := p.frontier.Size() == p.size
	p.signatures.Go(func() error {
		signer, err := openBy(head.Note, p.o.Origin, p.keys)
		if err == nil && latest {
			err = p.o.crossCheck(signer, head.Note)
		}
		if err != nil {
			p.report("wrong", "checkpoint", name, "%v", err)
		}
		return nil
	})
}

// compareTile compares a full tile with the stored one.
func (c *checker) compareTile(level uint, index uint64, t *expandedTile) error {
	name := tlog.Tile{Level: level, Index: index, Width: tlog.TileWidth}.Path()
	row, err := get(c.r, tileKey(level, index))
	if errors.Is(err, ErrNotFound) {
		c.report("missing", "tile", name, "the tree fills it")
		return nil
	}
	if err != nil {
		return err
	}
	want := t.row(tlog.TileWidth)
	if bytes.Equal(row, want) {
		return nil
	}
	hashes, err := tlog.ParseHashes(row, tlog.TileWidth)
	if err != nil {
		c.report("wrong", "tile", name, "it has %d bytes", len(row))
		return nil
	}
	for i, h := range hashes {
		if h != t.nodes[i] {
			c.report("wrong", "tile", name, "hash %d is %v, what lies below leads to %v", i, h, t.nodes[i])
		}
	}
	return nil
}

// countTiles looks for tiles that the tree does not have.
func (c *checker) countTiles() error {
	return iterate(c.r, []byte{rowTile}, rowEnd(rowTile), false, func(key, _ []byte) (bool, error) {
		level, index, err := parseTileKey(key)
		if err != nil {
			c.report("extra", "row", fmt.Sprintf("%x", key), "malformed key")
		} else if tlog.WidthAt(level, index, c.size) < tlog.TileWidth {
			c.report("extra", "tile", tlog.Tile{Level: level, Index: index, Width: tlog.TileWidth}.Path(), "a tree of size %d does not fill it", c.size)
		}
		return true, nil
	})
}
