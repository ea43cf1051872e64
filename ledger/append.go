package ledger

import (
	"context"
	"errors"
	"fmt"

	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// Append adds one entry and returns when it is durable and provable.
//
// Fails with ErrInvalid or ErrTooLarge, ErrBusy, ErrFull, ErrClosed or ErrHalted. If ctx ends
// while the entry waits, its error is returned, and the entry may be appended
// nevertheless: repeat the call with the same Unique to learn where.
func (l *Log) Append(ctx context.Context, e Entry) (Appended, error) {
	done, err := l.AppendAll(ctx, []Entry{e})
	if err != nil {
		return Appended{}, err
	}
	return done[0], nil
}

// AppendAll adds entries in this order, not necessarily next to each other, and
// returns when all of them are durable and provable. They may span several
// checkpoints. On ErrInvalid, ErrTooLarge, ErrBusy, ErrFull and ErrClosed none was added;
// on ErrHalted and the errors of ctx any number may have been.
func (l *Log) AppendAll(ctx context.Context, entries []Entry) ([]Appended, error) {
	release, err := l.use()
	if err != nil {
		return nil, err
	}
	defer release()
	if err := l.Ready(); err != nil || len(entries) == 0 {
		return nil, err
	}
	if len(entries) > l.options.Queue {
		return nil, fmt.Errorf("%w: %d entries at once, the queue holds %d", ErrTooLarge, len(entries), l.options.Queue)
	}
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("ledger: nothing was appended: %w", err)
	}
	r, known, err := l.newRequest(entries)
	if err != nil {
		return nil, err
	}
	// When all are duplicates of released entries there is nothing to wait for.
	if known < len(entries) {
		if err := l.wait(ctx, r); err != nil {
			return nil, err
		}
	}
	appended := make([]Appended, len(r.items))
	for i := range r.items {
		if appended[i], err = l.answer(&r.items[i]); err != nil {
			return nil, err
		}
	}
	return appended, nil
}

// Ready returns nil if Append takes entries now, however many are waiting, and
// otherwise ErrClosed, or an error that wraps ErrHalted or ErrFull. It may be
// called often.
func (l *Log) Ready() error {
	if l.closing.Load() {
		return ErrClosed
	}
	if err := l.Halted(); err != nil {
		return err
	}
	return l.space.check()
}

// newRequest checks the entries and prepares them. It returns how many are known
// to be duplicates.
func (l *Log) newRequest(entries []Entry) (r *request, known int, err error) {
	r = &request{items: make([]item, len(entries)), left: len(entries), done: make(chan struct{})}
	for i, e := range entries {
		if err := e.check(); err != nil {
			if len(entries) > 1 {
				err = fmt.Errorf("entry %d: %w", i, err)
			}
			return nil, 0, err
		}
		it := &r.items[i]
		it.entry = e
		if err := l.prepare(it); err != nil {
			return nil, 0, err
		}
		if it.duplicate {
			known++
		}
	}
	return r, known, nil
}

// wait queues a request and waits until its items have their answers.
func (l *Log) wait(ctx context.Context, r *request) error {
	if err := l.queue.put(r); err != nil {
		if errors.Is(err, ErrBusy) {
			l.metrics.busy.Inc()
		}
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("ledger: waiting for the log: %w", context.Cause(ctx))
	}
}

// check reports whether the entry can be stored.
func (e *Entry) check() error {
	switch {
	case len(e.Data) == 0:
		return fmt.Errorf("%w: it is empty", ErrInvalid)
	case len(e.Data) > tlog.MaxEntrySize:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(e.Data), tlog.MaxEntrySize)
	case len(e.Private) > MaxPrivateSize:
		return fmt.Errorf("%w: %d bytes of private data, at most %d", ErrTooLarge, len(e.Private), MaxPrivateSize)
	}
	return checkIndex(e.Terms, e.Unique)
}

// checkIndex reports whether the terms and the unique value make index rows.
func checkIndex(terms []Term, unique []byte) error {
	for _, t := range terms {
		if len(t.Value) == 0 || len(t.Value) > maxTermSize {
			return fmt.Errorf("%w: a term of kind %d has %d bytes, want 1 to %d", ErrInvalid, t.Kind, len(t.Value), maxTermSize)
		}
	}
	if unique != nil && len(unique) == 0 || len(unique) > maxUniqueSize {
		return fmt.Errorf("%w: the unique value has %d bytes, want 1 to %d", ErrInvalid, len(unique), maxUniqueSize)
	}
	return nil
}

// prepare does what can be done for an item before its turn, in the caller's
// goroutine.
func (l *Log) prepare(it *item) error {
	it.leaf = tlog.LeafHash(it.entry.Data)
	if it.entry.Unique == nil {
		return nil
	}
	it.looked = l.applied.Load() // before the look-up, which sees at least that much
	index, found, err := l.lookupUnique(it.entry.Unique)
	if err != nil {
		return err
	}
	// A first entry that is not released yet is found again, and waited for, by
	// the sequencer.
	if found && index < l.Latest().Size {
		it.index, it.duplicate = index, true
	}
	return nil
}

// lookupUnique returns the applied entry with a unique value.
func (l *Log) lookupUnique(unique []byte) (index uint64, found bool, err error) {
	var key [maxIndexKey]byte
	value, closer, err := l.store.db.Get(appendUniqueKey(key[:0], unique))
	if isMissing(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, readError(err)
	}
	defer closer.Close()
	if index, err = parseNumber(value); err != nil {
		return 0, false, fmt.Errorf("%w: unique value %x: %w", ErrCorrupt, unique, err)
	}
	return index, true, nil
}

// answer makes the proof for a released item and checks it.
func (l *Log) answer(it *item) (Appended, error) {
	a := Appended{Index: it.index, Duplicate: it.duplicate}
	leaf := it.leaf
	var err error
	if it.duplicate {
		l.metrics.duplicates.Inc()
		a.Checkpoint, a.Proof, leaf, err = l.answerDuplicate(it.index)
	} else {
		a.Checkpoint = it.group.head
		a.Proof, err = it.group.tree.Inclusion(it.index)
	}
	if err != nil {
		return Appended{}, err
	}
	if err := verify(a, leaf); err != nil {
		l.metrics.selfCheck.Inc()
		l.stop(err)
		return Appended{}, l.Halted()
	}
	return a, nil
}

func verify(a Appended, leaf tlog.Hash) error {
	return tlog.VerifyInclusion(a.Proof, a.Index, a.Checkpoint.Size, leaf, a.Checkpoint.Root)
}

func (l *Log) answerDuplicate(index uint64) (head checkpoint.Signed, proof []tlog.Hash, leaf tlog.Hash, err error) {
	at := l.released.Load()
	if head, err = l.checkpointFor(at, index); err != nil {
		return head, nil, leaf, err
	}
	data, err := get(l.store.db, numberKey(rowEntry, index))
	if err != nil {
		return head, nil, leaf, fmt.Errorf("entry %d: %w", index, err)
	}
	proof, err = tlog.InclusionProof(index, head.Size, l.nodes(at))
	return head, proof, tlog.LeafHash(data), err
}
