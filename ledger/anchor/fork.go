package anchor

import (
	"context"
	"errors"
	"time"
)

// ForkReporter is a ledger that takes the proof of a fork and tells all who follow it. Shared ledgers are.
type ForkReporter interface {
	// ReportFork files two heads of one log that have the same size and different roots, each signed by the log. They
	// prove themselves, so that anybody may file them. The same pair again is a success.
	ReportFork(ctx context.Context, origin string, noteA, noteB []byte) error
}

// Proves says whether the two heads alone convince a stranger that the log has forked: they have the same size. Heads of
// different sizes contradict each other only to who has the entries between.
func (c *Contradiction) Proves() bool {
	return c.Anchored.Size == c.Local.Size && c.Anchored.Root != c.Local.Root &&
		len(c.Anchored.Note) > 0 && len(c.Local.Note) > 0
}

// evidence returns the contradiction in err that the ledger can be shown, or nil.
func (w *Worker) evidence(err error) *Contradiction {
	var c *Contradiction
	if _, ok := w.o.Ledger.(ForkReporter); !ok || !errors.As(err, &c) || !c.Proves() {
		return nil
	}
	return c
}

// pendingFork returns the fork that the ledger has to be told of now.
func (w *Worker) pendingFork(now time.Time) *Contradiction {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Before(w.next) {
		return nil
	}
	return w.fork
}

// report files a fork. It is repeated until the ledger has taken it, or refused it for good.
func (w *Worker) report(ctx context.Context, c *Contradiction) {
	ctx, cancel := context.WithTimeout(ctx, w.o.Timeout)
	defer cancel()
	err := w.o.Ledger.(ForkReporter).ReportFork(ctx, c.Local.Origin, c.Anchored.Note, c.Local.Note)
	log := w.o.Logger.With("ledger", w.o.Ledger.Describe().Name, "size", c.Local.Size)
	switch {
	case err == nil:
		w.settle(true)
		log.Error("the fork of the log is filed on the ledger")
	case errors.Is(ctx.Err(), context.Canceled):
	case errors.Is(err, ErrUnavailable):
		log.Warn("could not file the fork of the log", "error", err, "next", w.postpone())
	default:
		w.settle(false)
		log.Error("the ledger does not take the proof of the fork", "error", err)
	}
}

func (w *Worker) settle(reported bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fork, w.reported, w.next = nil, reported, time.Time{}
}

func (w *Worker) postpone() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures++
	w.next = time.Now().Add(w.o.Backoff.delay(w.failures))
	return w.next
}
