package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// A Difference is something that Fsck found.
type Difference struct {
	Kind   string // "missing", "extra", "wrong" or "unreadable", a space, and the row: "entry", "tile", "checkpoint", "term", "unique", "private", "anchor" or "row"
	Key    string // which one
	Detail string
}

func (d Difference) String() string { return d.Kind + " " + d.Key + ": " + d.Detail }

// Fsck recomputes everything that the log stores beside its entries and compares:
// every leaf and tile, the root and the signature of every checkpoint (of the
// latest with both SM2 implementations), and every index row in both directions.
// It calls report for each difference, never two at a time, and returns an error
// only if it could not finish. It needs constant memory, and space for temporary
// files beside a large log.
//
// The log stays in use; entries that come meanwhile are not looked at.
func (l *Log) Fsck(ctx context.Context, report func(Difference)) error {
	release, err := l.use()
	if err != nil {
		return err
	}
	defer release()
	l.maintenance.Lock()
	defer l.maintenance.Unlock()
	snapshot := l.store.db.NewSnapshot()
	err = fsck(ctx, snapshot, l.dir, l.options, l.keys, report)
	return errors.Join(err, snapshot.Close())
}

// Fsck is [Log.Fsck] for a log that is not open, and that Open may refuse. It
// needs no signer if o.Verifiers has all keys of the log.
func Fsck(ctx context.Context, dir string, o Options, report func(Difference)) (err error) {
	o = o.withDefaults()
	_, keys, err := o.keys()
	if err != nil {
		return err
	}
	events := storeEvents{log: o.Logger, background: func(error) {}, corruption: func(error) {}}
	s, err := openStore(dir, o, events, toRead)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return fsck(ctx, s.db, dir, o, keys, report)
}

func fsck(ctx context.Context, r reader, dir string, o Options, keys []*checkpoint.Verifier, report func(Difference)) error {
	c := &checker{ctx: ctx, r: r, dir: dir, o: o, keys: keys, reportTo: report}
	for _, step := range []func() error{func() error { return checkMeta(r, o.Origin) }, c.checkTree, c.checkBeside, c.checkUnknown, c.checkIndex} {
		err := step()
		if errors.Is(err, ErrCorrupt) {
			c.report("unreadable", "row", "", "%v", err)
		}
		if err != nil {
			return fmt.Errorf("ledger: fsck could not finish: %w", err)
		}
	}
	return nil
}

// A checker is one run of Fsck.
type checker struct {
	ctx  context.Context
	r    reader
	dir  string
	o    Options
	keys []*checkpoint.Verifier

	mu       sync.Mutex
	reportTo func(Difference) // under mu

	size uint64 // number of entries, set by checkTree
}

func (c *checker) report(problem, row, key, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reportTo(Difference{Kind: problem + " " + row, Key: key, Detail: fmt.Sprintf(format, args...)})
}

func number(n uint64) string { return fmt.Sprint(n) }

// checkTree goes once through all entries and rebuilds tiles and roots beside
// the stored ones.
func (c *checker) checkTree() error {
	head, err := c.countEntries()
	if err != nil {
		return err
	}
	heads, err := c.r.NewIter(iterOptions([]byte{rowCheckpoint}, rowEnd(rowCheckpoint)))
	if err != nil {
		return readError(err)
	}
	signatures, ctx := errgroup.WithContext(c.ctx)
	signatures.SetLimit(2 * runtime.GOMAXPROCS(0))
	more := heads.First()
	// compareHeads looks at the checkpoints up to the size reached.
	compareHeads := func(size uint64, root func() tlog.Hash) {
		for ; more; more = heads.Next() {
			key, value := bytes.Clone(heads.Key()), bytes.Clone(heads.Value())
			if at, err := parseNumberKey(rowCheckpoint, key); err == nil && at > size {
				return
			}
			c.compareHead(key, value, size, root, signatures)
		}
	}

	// The roots come from the frontier, the tiles from the edge: two ways
	// through the tree.
	var frontier tlog.Frontier
	var e edge
	entries, err := c.r.NewIter(iterOptions(numberKey(rowEntry, 0), rowEnd(rowEntry)))
	if err != nil {
		return errors.Join(readError(err), heads.Close())
	}
	valid := entries.First()
	for index := uint64(0); err == nil && index < c.size; index++ {
		compareHeads(index, frontier.Root)
		leaf, ok := c.leafAt(entries.Key, entries.Value, valid, index)
		if ok {
			valid = entries.Next()
		}
		frontier.Append(leaf)
		e.append(leaf)
		if e.size%tlog.TileWidth == 0 {
			err = e.full(c.compareTile)
			e.trim()
		}
		if index%(1<<14) == 0 {
			c.o.Progress("entries", index, c.size)
			err = errors.Join(err, context.Cause(ctx))
		}
	}
	compareHeads(c.size, frontier.Root)
	for ; more; more = heads.Next() {
		c.report("extra", "checkpoint", fmt.Sprintf("%x", heads.Key()[1:]), "it covers more than the %d entries", c.size)
	}
	err = errors.Join(err, signatures.Wait(), entries.Error(), entries.Close(), heads.Error(), heads.Close())
	if err != nil {
		return readError(err)
	}
	if head != c.size {
		c.report("extra", "entry", number(c.size-1), "the latest checkpoint is of size %d", head)
	}
	return c.countTiles()
}

// countEntries sets c.size and returns the size of the latest checkpoint.
func (c *checker) countEntries() (head uint64, err error) {
	err = iterate(c.r, numberKey(rowEntry, 0), rowEnd(rowEntry), true, func(key, _ []byte) (bool, error) {
		index, err := parseNumberKey(rowEntry, key)
		if err != nil {
			c.report("extra", "row", fmt.Sprintf("%x", key), "malformed key")
			return true, nil
		}
		c.size = index + 1
		return false, nil
	})
	if err != nil {
		return 0, err
	}
	found := false
	err = iterate(c.r, []byte{rowCheckpoint}, rowEnd(rowCheckpoint), true, func(key, _ []byte) (bool, error) {
		head, err = parseNumberKey(rowCheckpoint, key)
		found = err == nil
		return !found, nil
	})
	if err != nil {
		return 0, err
	}
	if _, err := get(c.r, numberKey(rowCheckpoint, 0)); errors.Is(err, ErrNotFound) {
		c.report("missing", "checkpoint", "0", "the log has no beginning")
	}
	if head > c.size {
		c.report("missing", "entry", fmt.Sprintf("%d to %d", c.size, head-1), "the latest checkpoint is of size %d", head)
		return c.size, nil
	}
	if !found {
		return c.size, nil
	}
	return head, nil
}

// leafAt returns the leaf of an entry. If the row under the iterator is not
// that entry, it is missing, and the stored tile must say what was there.
func (c *checker) leafAt(key, value func() []byte, valid bool, index uint64) (leaf tlog.Hash, present bool) {
	if valid && bytes.Equal(key(), numberKey(rowEntry, index)) {
		data := value()
		if len(data) == 0 || len(data) > tlog.MaxEntrySize {
			c.report("wrong", "entry", number(index), "it has %d bytes", len(data))
		}
		return tlog.LeafHash(data), true
	}
	c.report("missing", "entry", number(index), "there are later ones")
	if row, err := readTile(c.r, 0, index/tlog.TileWidth); err == nil {
		copy(leaf[:], row[index%tlog.TileWidth*tlog.HashSize:])
	}
	return leaf, false
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

// compareHead checks one checkpoint row against the tree. The signature is
// checked beside.
func (c *checker) compareHead(key, value []byte, size uint64, root func() tlog.Hash, signatures *errgroup.Group) {
	head, err := decodeCheckpoint(key, value)
	if err != nil {
		c.report("wrong", "checkpoint", fmt.Sprintf("%x", key[1:]), "%v", err)
		return
	}
	name := number(head.Size)
	if head.Root != root() {
		c.report("wrong", "checkpoint", name, "its root is %v, the entries lead to %v", head.Root, root())
	}
	latest := size == c.size
	signatures.Go(func() error {
		signer, err := openBy(head.Note, c.o.Origin, c.keys)
		if err == nil && latest {
			err = c.o.crossCheck(signer, head.Note)
		}
		if err != nil {
			c.report("wrong", "checkpoint", name, "%v", err)
		}
		return nil
	})
}
