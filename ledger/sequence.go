package ledger

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// inFlight is the number of groups that may be on their way to release. With
// two, the sequencer makes a group while the second SM2 implementation, which is
// slow, looks at the one before; more only make the groups smaller.
const inFlight = 2

// patience is how long the sequencer waits for as many entries as were in the
// group before, once one is there. Callers that were answered together come back
// one after the other; without this the first of them would make a group of its
// own, and the others would wait for the 2 ms that its checkpoint costs.
const patience = 300 * time.Microsecond

// recentEntries is how many of the newest Unique values are held in memory, at
// least. A caller would have to wait for so many entries between its own look-up
// and its turn before the sequencer must look again.
const recentEntries = 64 << 10

// A group is a number of entries that share a batch and a checkpoint. If all
// its items are duplicates it has neither and only keeps the order.
type group struct {
	parts   []part
	started time.Time
	first   uint64 // size of the tree before

	batch *pebble.Batch // nil if there is nothing to store
	head  checkpoint.Signed
	edge  *edge
	tree  *tlog.Tree // at head, over edge: proofs need no disk
	veto  chan error // what the second implementation says about head
}

// sequence makes groups until the queue is closed and empty.
func (l *Log) sequence() {
	defer close(l.groups)
	before := 1 // entries in the last group
	for {
		l.slots <- struct{}{}
		parts := l.queue.take(l.options.MaxBatch, maxBatchBytes, before, patience)
		if parts == nil {
			return
		}
		before = 0
		for _, p := range parts {
			before += len(p.items)
		}
		g := &group{parts: parts, started: time.Now()}
		if l.Halted() == nil {
			if err := l.build(g); err != nil {
				l.stop(err)
			}
		}
		l.groups <- g
	}
}

// build orders the entries of a group, signs the tree over them and applies the
// batch. After an error the log must halt: the edge may be ahead of the batch.
func (l *Log) build(g *group) error {
	l.sequencing.Lock()
	defer l.sequencing.Unlock()

	g.first = l.edge.size
	batch := l.store.db.NewBatch()
	if err := l.assemble(g, batch); err != nil || l.edge.size == g.first {
		return errors.Join(err, batch.Close())
	}

	// The one commit point. The batch goes into the WAL as one record: after a
	// crash that record is there whole or not at all. If it is not, the entries,
	// their index rows, tiles and checkpoint were never known to anybody, and the
	// log continues from the checkpoint before. If it is, the log continues from
	// this checkpoint, whether or not the callers were told; one that was not
	// finds its entry by its Unique. A caller is told only after the sync, in
	// release, so what was acknowledged is on the disk.
	//
	// From here on the rows are visible to Pebble's readers, but every reader of
	// ours stops at what is released.
	if err := l.store.apply(batch); err != nil {
		return fmt.Errorf("writing size %d: %w", g.head.Size, err)
	}
	g.batch = batch
	l.applied.Store(l.edge.size)
	return nil
}

// assemble puts all rows of a group into the batch. It leaves the batch empty
// if all items are duplicates.
func (l *Log) assemble(g *group, batch *pebble.Batch) error {
	l.edge.trim()
	for _, p := range g.parts {
		for i := range p.items {
			if err := l.place(g, batch, &p.items[i]); err != nil {
				return err
			}
		}
	}
	if l.edge.size == g.first {
		return nil
	}
	if err := l.edge.full(func(level uint, index uint64, t *expandedTile) error {
		return batch.Set(tileKey(level, index), t.row(tlog.TileWidth), nil)
	}); err != nil {
		return err
	}
	g.edge = l.edge.snapshot()
	if err := l.sign(g); err != nil {
		return err
	}
	l.head = g.head.Root
	return batch.Set(numberKey(rowCheckpoint, g.head.Size), g.head.Note, nil)
}

// place gives an item its index and adds its rows to the batch, unless it is a
// duplicate.
func (l *Log) place(g *group, batch *pebble.Batch, it *item) error {
	if it.duplicate {
		return nil // of a released entry, as the caller saw
	}
	e := &it.entry
	if e.Unique != nil {
		index, found := l.recent.find(e.Unique)
		if !found && it.looked < l.recent.first {
			var err error
			if index, found, err = l.lookupUnique(e.Unique); err != nil {
				return err
			}
		}
		if found {
			it.index, it.duplicate = index, true
			return nil
		}
	}
	it.index, it.group = l.edge.size, g
	l.edge.append(it.leaf)
	if err := batch.Set(numberKey(rowEntry, it.index), e.Data, nil); err != nil {
		return err
	}
	if e.Private != nil {
		if err := batch.Set(numberKey(rowPrivate, it.index), e.Private, nil); err != nil {
			return err
		}
	}
	var key [maxIndexKey]byte
	for _, t := range e.Terms {
		if err := batch.Set(appendTermKey(key[:0], t, it.index), nil, nil); err != nil {
			return err
		}
	}
	if e.Unique != nil {
		l.recent.add(e.Unique, it.index)
		var value [numberSize]byte
		return batch.Set(appendUniqueKey(key[:0], e.Unique), appendNumber(value[:0], it.index), nil)
	}
	return nil
}

// sign makes the checkpoint of a group and starts the second implementation
// on it. It must continue l.head, the root that was signed last.
func (l *Log) sign(g *group) error {
	tree, err := tlog.NewTree(g.edge.size, forest{g.edge, l.storedTile})
	if err != nil {
		return err
	}
	// Whatever memory or a defect has done to the tree, a head that does not
	// continue the last one is not signed.
	proof, err := tree.Consistency(g.first)
	if err != nil {
		return err
	}
	if err := tlog.VerifyConsistency(proof, g.first, tree.Size(), l.head, tree.Root()); err != nil {
		l.metrics.selfCheck.Inc()
		return err
	}
	head := checkpoint.Checkpoint{Origin: l.options.Origin, Size: tree.Size(), Root: tree.Root()}
	signed, err := checkpoint.Sign(head, l.options.Origin, l.options.Signer)
	if err != nil {
		return err
	}
	if _, err := checkpoint.Open(signed.Note, l.options.Origin, l.own); err != nil {
		l.metrics.vetoes.Inc()
		return fmt.Errorf("%w: a new checkpoint does not verify: %w", sm2.ErrDisagreement, err)
	}
	g.tree, g.head, g.veto = tree, signed, make(chan error, 1)
	go func() {
		start := time.Now()
		err := l.options.crossCheck(l.own, signed.Note)
		l.metrics.crossCheck.Observe(time.Since(start).Seconds())
		g.veto <- err
	}()
	return nil
}

// release answers the callers of each group, in order.
func (l *Log) release() {
	for g := range l.groups {
		if err := l.settle(g); err != nil {
			l.stop(err)
		}
		err := l.Halted()
		if err == nil && g.batch != nil {
			l.released.Store(&released{head: g.head, edge: g.edge})
			l.metrics.size.Set(float64(g.head.Size))
			l.metrics.entries.Add(float64(g.head.Size - g.first))
			l.metrics.group.Observe(float64(g.head.Size - g.first))
		}
		for _, p := range g.parts {
			r := p.request
			if err != nil {
				r.err = err
			}
			if r.left -= len(p.items); r.left == 0 {
				close(r.done)
			}
		}
		<-l.slots
	}
}

// settle waits until a group may be released.
func (l *Log) settle(g *group) error {
	var err error
	if g.batch != nil {
		if err = l.store.sync(g.batch); err != nil {
			err = fmt.Errorf("syncing size %d: %w", g.head.Size, err)
		}
		l.metrics.commit.Observe(time.Since(g.started).Seconds())
	}
	if g.veto != nil {
		if veto := <-g.veto; veto != nil {
			l.metrics.vetoes.Inc()
			err = errors.Join(err, fmt.Errorf("checkpoint of size %d: %w", g.head.Size, veto))
		}
	}
	return err
}
