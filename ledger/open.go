package ledger

import (
	"errors"
	"fmt"
	"path"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// Create makes an empty log in dir, with a signed checkpoint of size 0. It
// makes the directory, whose parent must exist, and fails with ErrExists if
// there is a log in it.
func Create(dir string, o Options) (err error) {
	o = o.withDefaults()
	own, _, err := o.keys()
	if err != nil {
		return err
	}
	if own == nil {
		return errors.New("ledger: no signer given")
	}
	head, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: o.Origin, Root: tlog.EmptyRoot()}, o.Origin, sm2.Verified(o.Signer))
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := makeDir(dir, o); err != nil {
		return err
	}
	s, err := openStore(dir, o, storeEvents{log: o.Logger, background: func(error) {}, corruption: func(error) {}}, orExisting)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	// An empty database is what a crash in an earlier Create leaves.
	if err := iterate(s.db, nil, nil, false, func(_, _ []byte) (bool, error) {
		return false, fmt.Errorf("%w: %s", ErrExists, dir)
	}); err != nil {
		return err
	}
	b := s.db.NewBatch()
	if err := errors.Join(
		b.Set(numberKey(rowCheckpoint, 0), head.Note, nil),
		b.Set(metaKey, []byte(formatLine+"\n"+o.Origin), nil),
	); err != nil {
		return err
	}
	return s.commit(b)
}

// makeDir makes dir and its entry in the parent durable.
func makeDir(dir string, o Options) error {
	if err := o.FS.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	parent, err := o.FS.OpenDir(o.FS.PathDir(path.Clean(dir)))
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := errors.Join(parent.Sync(), parent.Close()); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// Open opens the log in dir. It recovers from a crash by reading: the right edge
// of the tree is rebuilt from entries and tiles, and the latest checkpoint must
// be of that tree and acceptable to both SM2 implementations.
//
// Fails with ErrNotFound, ErrLocked or ErrCorrupt.
func Open(dir string, o Options) (_ *Log, err error) {
	o = o.withDefaults()
	own, keys, err := o.keys()
	if err != nil {
		return nil, err
	}
	if own == nil {
		return nil, errors.New("ledger: no signer given")
	}
	l := &Log{
		dir:      dir,
		options:  o,
		own:      own,
		keys:     keys,
		tiles:    newTileCache(cachedTiles),
		queue:    newQueue(o.Queue),
		slots:    make(chan struct{}, inFlight),
		groups:   make(chan *group, inFlight),
		finished: make(chan struct{}),

		maintenance: make(chan struct{}, 1),
	}
	l.metrics = newMetrics(func() float64 { return float64(l.queue.length()) }, l.diskBytes)
	l.store, err = openStore(dir, o, storeEvents{
		log: o.Logger,
		background: func(err error) {
			l.metrics.background.Inc()
			o.Logger.Error("flush or compaction failed, Pebble tries again", "origin", o.Origin, "error", err)
		},
		corruption: func(err error) {
			l.metrics.corruption.Inc()
			o.Logger.Error("unreadable data on disk, run fsck", "origin", o.Origin, "error", err)
		},
	}, existing)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.store.close())
		}
	}()
	if err := removeRuns(dir, o.FS); err != nil {
		return nil, err
	}
	l.space = newSpaceGuard(o.FS, dir, o.Reserve)
	if err := l.recover(); err != nil {
		return nil, err
	}
	if err := l.metrics.register(o.Registerer); err != nil {
		return nil, err
	}
	go l.sequence()
	go func() {
		l.release()
		close(l.finished)
	}()
	return l, nil
}

func (l *Log) diskBytes() float64 {
	release, err := l.use()
	if err != nil {
		return 0
	}
	defer release()
	return float64(l.store.db.Metrics().DiskSpaceUsage())
}

// recover reads the state of the log and checks it.
func (l *Log) recover() error {
	if err := checkMeta(l.store.db, l.options.Origin); err != nil {
		return err
	}
	head, err := lastCheckpoint(l.store.db)
	if err != nil {
		return err
	}
	signer, err := openBy(head.Note, l.options.Origin, l.keys)
	if err != nil {
		return fmt.Errorf("latest checkpoint, of size %d: %w", head.Size, err)
	}
	edge, err := rebuildEdge(l.store.db, head.Size)
	if err != nil {
		return err
	}
	root, err := tlog.Root(head.Size, forest{edge, l.storedTile})
	if err != nil {
		return err
	}
	if root != head.Root {
		return fmt.Errorf("%w: the latest checkpoint, of size %d, has root %v, the entries and tiles lead to %v", ErrCorrupt, head.Size, head.Root, root)
	}
	if head, err = l.acceptHead(head, signer); err != nil {
		return err
	}
	l.edge, l.head = edge, head.Root
	l.recent = newRecentUnique(head.Size, recentEntries)
	l.applied.Store(head.Size)
	l.released.Store(&released{head: head, edge: edge.snapshot()})
	l.metrics.size.Set(float64(head.Size))
	return nil
}

// openBy checks a note against the keys and returns the one that signed it.
func openBy(note []byte, origin string, keys []*checkpoint.Verifier) (*checkpoint.Verifier, error) {
	var err error
	for _, k := range keys {
		if _, err = checkpoint.Open(note, origin, k); err == nil {
			return k, nil
		}
		if !errors.Is(err, checkpoint.ErrUnknownKey) {
			break
		}
	}
	if errors.Is(err, checkpoint.ErrUnknownKey) {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// acceptHead asks the second implementation about the latest checkpoint.
//
// If it vetoes, the checkpoint cannot have been released: it is the one at which
// the log halted. The same tree is then signed again, which with the fresh nonce
// is a new chance for the implementations to agree, and says nothing new to anybody.
func (l *Log) acceptHead(head checkpoint.Signed, signer *checkpoint.Verifier) (checkpoint.Signed, error) {
	veto := l.options.crossCheck(signer, head.Note)
	if veto == nil {
		return head, nil
	}
	l.metrics.vetoes.Inc()
	l.options.Logger.Error("the second SM2 implementation refuses the latest checkpoint; signing it again",
		"origin", l.options.Origin, "size", head.Size, "note", string(head.Note), "error", veto)
	signed, err := checkpoint.Sign(head.Checkpoint, l.options.Origin, l.options.Signer)
	if err == nil {
		_, err = checkpoint.Open(signed.Note, l.options.Origin, l.own)
	}
	if err == nil {
		err = l.options.crossCheck(l.own, signed.Note)
	}
	if err != nil {
		return head, fmt.Errorf("ledger: latest checkpoint, of size %d: %w", head.Size, errors.Join(veto, err))
	}
	b := l.store.db.NewBatch()
	if err := b.Set(numberKey(rowCheckpoint, head.Size), signed.Note, nil); err != nil {
		return head, err
	}
	return signed, l.store.commit(b)
}

// rebuildEdge makes the partial tiles at a size: level 0 from the entries, the
// others from the roots of the full tiles below.
func rebuildEdge(r reader, size uint64) (*edge, error) {
	e := &edge{size: size}
	for level := uint(0); ; level++ {
		nodes := size >> (level * tlog.TileHeight)
		if nodes == 0 {
			break
		}
		first := nodes / tlog.TileWidth * tlog.TileWidth
		l := edgeLevel{first: first / tlog.TileWidth}
		if first < nodes {
			t := new(expandedTile)
			l.tiles = append(l.tiles, t)
			for n := first; n < nodes; n++ {
				h, err := rebuildNode(r, level, n)
				if err != nil {
					return nil, err
				}
				t.set(n%tlog.TileWidth, h)
			}
		}
		e.levels = append(e.levels, l)
	}
	// Nothing lies beyond the latest checkpoint: each batch brings its own.
	return e, iterate(r, numberKey(rowEntry, size), rowEnd(rowEntry), false, func(key, _ []byte) (bool, error) {
		return false, fmt.Errorf("%w: entry %x lies beyond the latest checkpoint, of size %d", ErrCorrupt, key[1:], size)
	})
}

// rebuildNode returns node n of a tile level from what is stored below it.
func rebuildNode(r reader, level uint, n uint64) (tlog.Hash, error) {
	if level == 0 {
		data, err := get(r, numberKey(rowEntry, n))
		if errors.Is(err, ErrNotFound) {
			err = fmt.Errorf("%w: entry %d is missing", ErrCorrupt, n)
		}
		return tlog.LeafHash(data), err
	}
	row, err := readTile(r, level-1, n)
	if err != nil {
		return tlog.Hash{}, err
	}
	hashes, err := tlog.ParseHashes(row, tlog.TileWidth)
	if err != nil {
		return tlog.Hash{}, err
	}
	return expand(hashes).root(), nil
}
