package ledger

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// A Log is an open log. Its methods may be called concurrently.
type Log struct {
	dir     string
	options Options
	own     *checkpoint.Verifier   // of options.Signer
	keys    []*checkpoint.Verifier // own and those of retired keys
	store   *store
	metrics *metrics
	tiles   *tileCache
	space   *spaceGuard

	queue *queue
	// slots bounds the groups between the sequencer and their release. A group
	// is only formed when there is room, so that callers gather meanwhile.
	slots chan struct{}
	// groups carries what the sequencer has applied to the releaser, in order.
	groups   chan *group
	finished chan struct{} // closed when both goroutines have returned

	// sequencing is held while a group is made and applied; Reindex holds it to
	// keep the index rows still.
	sequencing sync.Mutex
	edge       *edge         // under sequencing
	head       tlog.Hash     // root of edge; under sequencing
	recent     *recentUnique // under sequencing
	// applied is the size that readers of Pebble see, at least. Part of it may
	// not be synced.
	applied atomic.Uint64

	// maintenance keeps Fsck, Reindex and ErasePrivate apart: whoever has put a
	// value in works.
	maintenance chan struct{}

	// released is what callers may know of.
	released atomic.Pointer[released]

	halt struct {
		sync.Mutex
		err error
	}

	// life is read-locked by every method while it runs; Close takes it last.
	life    sync.RWMutex
	closing atomic.Bool
	closed  bool // under life
}

// released is the state of the log after a group was released.
type released struct {
	head checkpoint.Signed
	edge *edge
}

// use keeps the log from being closed until the returned function is called.
func (l *Log) use() (release func(), err error) {
	l.life.RLock()
	if l.closed {
		l.life.RUnlock()
		return nil, ErrClosed
	}
	return l.life.RUnlock, nil
}

// Halt refuses entries from now on, for a cause that was found outside the log: a
// shared ledger that contradicts it. Reading goes on. A restart ends it.
func (l *Log) Halt(cause error) { l.stop(cause) }

// maintain waits until no other maintenance goes on, and keeps it out until the
// returned function is called.
func (l *Log) maintain(ctx context.Context) (done func(), err error) {
	select {
	case l.maintenance <- struct{}{}:
		return func() { <-l.maintenance }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("ledger: waiting for other maintenance: %w", context.Cause(ctx))
	}
}

// stop halts the log for the given cause, unless it has halted already.
func (l *Log) stop(cause error) {
	l.halt.Lock()
	first := l.halt.err == nil
	if first {
		l.halt.err = fmt.Errorf("%w: %w", ErrHalted, cause)
	}
	l.halt.Unlock()
	if first {
		l.metrics.halted.Set(1)
		l.options.Logger.Error("the log has halted", "origin", l.options.Origin, "error", cause)
		l.options.Alarm(cause)
	}
}

// Halted returns nil while the log works, and afterwards why it has halted: an
// error that wraps ErrHalted and the cause.
func (l *Log) Halted() error {
	l.halt.Lock()
	defer l.halt.Unlock()
	return l.halt.err
}

// Latest returns the newest released checkpoint. Its note must not be changed.
func (l *Log) Latest() checkpoint.Signed { return l.released.Load().head }

// Close finishes what is queued, refuses what comes, waits for methods that are
// running, and closes the files.
func (l *Log) Close() error {
	if l.closing.Swap(true) {
		return ErrClosed
	}
	l.queue.close()
	<-l.finished
	l.metrics.unregister(l.options.Registerer)
	l.life.Lock()
	defer l.life.Unlock()
	l.closed = true
	if err := l.store.close(); err != nil {
		return fmt.Errorf("ledger: closing: %w", err)
	}
	return nil
}
