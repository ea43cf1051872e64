package anchor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options configure a [Worker]. Log and Ledger are required, the zero value of each other field has a meaning.
type Options struct {
	Log    Source
	Ledger Ledger

	// Keys are all keys of the log, oldest first. The worker introduces the log by them before it first compares and
	// anchors, as often as it takes. If nil, the log is introduced already.
	Keys []LogKey

	// Interval is the time from one anchor to the next while entries come in; one minute if zero. After a pause the
	// first new entry is anchored at once.
	Interval time.Duration

	// Threshold is the number of new entries that are anchored without waiting for Interval; 10,000 if zero.
	Threshold uint64

	// Timeout bounds an attempt by Run; two minutes if zero.
	Timeout time.Duration

	// Backoff spaces the attempts after failures.
	Backoff Backoff

	// Alarm is called once, when the ledger contradicts the log. It must not block.
	Alarm func(error)

	Logger     *slog.Logger          // discards if nil
	Registerer prometheus.Registerer // no metrics if nil
}

// Backoff is an exponential back-off with jitter: after n failures in a row one waits between half of
// Min·2^(n-1) and all of it, and never more than Max.
type Backoff struct {
	Min time.Duration // one second if zero
	Max time.Duration // five minutes if zero
}

func (b Backoff) withDefaults() Backoff {
	if b.Min <= 0 {
		b.Min = time.Second
	}
	if b.Max <= 0 {
		b.Max = 5 * time.Minute
	}
	return b
}

func (b Backoff) delay(failures int) time.Duration {
	d := b.Min
	for range failures - 1 {
		if d >= b.Max/2 {
			d = b.Max
			break
		}
		d *= 2
	}
	d = min(d, b.Max)
	return d - rand.N(d/2+1)
}

// Worker anchors the heads of one log on one ledger.
type Worker struct {
	o       Options
	poll    time.Duration
	metrics *metrics

	turn       chan struct{} // holds a value while an attempt runs
	introduced bool          // used by the attempt that runs

	mu       sync.Mutex
	anchored uint64         // under mu; greatest size known to be anchored
	success  time.Time      // under mu; when the ledger last confirmed
	err      error          // under mu; of the last attempt
	failures int            // under mu; in a row
	next     time.Time      // under mu; no attempt by Run before
	ask      bool           // under mu; an attempt is due even without new entries
	halted   error          // under mu; set once
	fork     *Contradiction // under mu; that the ledger has to be told of
	reported bool           // under mu; the ledger has been told
}

// NewWorker returns a worker that has not asked the ledger yet. It fails only if the metrics are registered already.
func NewWorker(o Options) (*Worker, error) {
	if o.Interval <= 0 {
		o.Interval = time.Minute
	}
	if o.Threshold == 0 {
		o.Threshold = 10_000
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Minute
	}
	o.Backoff = o.Backoff.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w := &Worker{
		o: o,
		// The size of the log is read this often. It costs nothing, and spares the log from knowing its worker.
		poll:       min(o.Interval, 250*time.Millisecond),
		turn:       make(chan struct{}, 1),
		introduced: o.Keys == nil,
		ask:        true,
	}
	// Until the ledger answers, the log's own record is the best knowledge there is.
	if size, _, err := o.Log.LatestAnchor(); err == nil {
		w.anchored = size
	}
	w.metrics = newMetrics(func() float64 { return float64(w.Status().Lag) })
	w.metrics.size.Set(float64(w.anchored))
	if o.Registerer != nil {
		if err := w.metrics.register(o.Registerer); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Run anchors until ctx is done. It returns nil, or the reason for which it had stopped anchoring: then the ledger
// contradicts the log, and Run went on only to file the proof of a fork, and to wait for the end of ctx.
func (w *Worker) Run(ctx context.Context) error {
	ticker := time.NewTicker(w.poll)
	defer ticker.Stop()
	for {
		if w.due(time.Now()) {
			w.attempt(ctx)
		}
		if fork := w.pendingFork(time.Now()); fork != nil {
			w.report(ctx, fork)
		}
		select {
		case <-ctx.Done():
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.halted
		case <-ticker.C:
		}
	}
}

// attempt runs one attempt under the worker's own time limit. Its error is in the status.
func (w *Worker) attempt(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, w.o.Timeout)
	defer cancel()
	_ = w.Flush(ctx)
}

func (w *Worker) due(now time.Time) bool {
	size := w.o.Log.Latest().Size
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.halted != nil, now.Before(w.next):
		return false
	case w.ask:
		return true
	case size <= w.anchored:
		return false
	}
	return size-w.anchored >= w.o.Threshold || now.Sub(w.success) >= w.o.Interval
}

// Flush anchors the log's latest head now, whether or not Run is running and whatever the back-off. After nil, all that
// the log held at the call is anchored and its proof is stored.
func (w *Worker) Flush(ctx context.Context) error {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("anchor: waiting for another attempt: %w", context.Cause(ctx))
	}
	defer func() { <-w.turn }()
	if err := w.Status().Halted; err != nil {
		return err
	}
	start := time.Now()
	size, result, err := w.anchor(ctx)
	w.metrics.duration.Observe(time.Since(start).Seconds())
	w.record(size, result, err, errors.Is(ctx.Err(), context.Canceled))
	return err
}

// anchor brings the ledger to the log's latest head and returns its size.
//
// A crash or an error after any step leaves the next attempt to find out from the ledger what was done: if the head
// went through, it is there, and only its proof is fetched and stored.
func (w *Worker) anchor(ctx context.Context) (size uint64, result string, err error) {
	if !w.introduced {
		if err := Introduce(ctx, w.o.Ledger, w.o.Log.Latest().Origin, w.o.Keys); err != nil {
			return 0, failure(err), err
		}
		w.introduced = true
	}
	c, err := Compare(ctx, w.o.Log, w.o.Ledger)
	if err != nil {
		return 0, failure(err), err
	}
	if !c.Stored {
		proof, err := w.o.Ledger.Proof(ctx, c.Anchored.Origin, c.Anchored.Size)
		if err != nil {
			err = fmt.Errorf("anchor: fetching the proof of size %d: %w", c.Anchored.Size, err)
			return 0, failure(err), err
		}
		if err := w.store(c.Anchored.Size, proof); err != nil {
			return 0, failure(err), err
		}
	}
	if c.Local.Size == c.Anchored.Size {
		return c.Local.Size, resultUnchanged, nil
	}
	proof, err := w.o.Ledger.Anchor(ctx, c.Local, c.Consistency)
	if err != nil {
		err = w.explain(ctx, fmt.Errorf("anchor: anchoring size %d: %w", c.Local.Size, err))
		return 0, failure(err), err
	}
	if err := w.store(c.Local.Size, proof); err != nil {
		return 0, failure(err), err
	}
	return c.Local.Size, resultAnchored, nil
}

// explain finds the two heads behind a contradiction that the ledger saw while it was anchoring: somebody else had
// anchored meanwhile.
func (w *Worker) explain(ctx context.Context, err error) error {
	var known *Contradiction
	if !contradicts(err) || errors.As(err, &known) {
		return err
	}
	if _, found := Compare(ctx, w.o.Log, w.o.Ledger); contradicts(found) {
		return fmt.Errorf("%w: %w", err, found)
	}
	return err
}

func (w *Worker) store(size uint64, proof []byte) error {
	if err := w.o.Log.PutAnchor(size, proof); err != nil {
		return fmt.Errorf("anchor: storing the proof of size %d: %w", size, err)
	}
	return nil
}

// record keeps the outcome of an attempt. An attempt that the caller gave up says nothing about the ledger.
func (w *Worker) record(size uint64, result string, err error, canceled bool) {
	if err != nil && canceled {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ask = true
		return
	}
	w.metrics.attempts.WithLabelValues(result).Inc()
	switch log := w.o.Logger.With("ledger", w.o.Ledger.Describe().Name); {
	case err == nil:
		w.succeeded(size)
		if result == resultAnchored {
			log.Info("anchored the log", "size", size)
		}
	case contradicts(err):
		w.stopped(err)
		log.Error("the ledger contradicts the log; anchoring has stopped", "error", err)
		if w.o.Alarm != nil {
			w.o.Alarm(err)
		}
	default:
		failures, next := w.failed(err)
		log.Warn("could not anchor the log", "error", err, "failures", failures, "next", next)
	}
}

func (w *Worker) succeeded(size uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.anchored, w.success, w.next = size, time.Now(), time.Time{}
	w.err, w.failures, w.ask = nil, 0, false
	w.metrics.size.Set(float64(size))
	w.metrics.lastSuccess.Set(float64(w.success.Unix()))
}

func (w *Worker) failed(err error) (failures int, next time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures++
	w.err, w.ask = err, true
	w.next = time.Now().Add(w.o.Backoff.delay(w.failures))
	return w.failures, w.next
}

func (w *Worker) stopped(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err, w.halted, w.next = err, err, time.Time{}
	w.fork, w.failures = w.evidence(err), 0
	w.metrics.halted.Set(1)
}

func contradicts(err error) bool { return errors.Is(err, ErrFork) || errors.Is(err, ErrRollback) }

// Status is what a [Worker] knows about the log and the ledger.
type Status struct {
	Ledger       Description
	AnchoredSize uint64    // entries under the last anchored head; after a start the log's own record until the ledger answers
	Lag          uint64    // entries that are not anchored yet
	LastSuccess  time.Time // when the ledger last confirmed; zero if not since the start
	LastError    error     // of the last attempt; nil if it succeeded
	Failures     int       // attempts in a row that failed
	NextAttempt  time.Time // zero unless the worker waits after a failure
	Halted       error     // why anchoring has stopped, with ErrFork or ErrRollback in its chain; nil while it goes on
	ForkReported bool      // the ledger holds the proof that the log has forked
}

// Status returns the present state. It does not ask the ledger.
func (w *Worker) Status() Status {
	size := w.o.Log.Latest().Size
	w.mu.Lock()
	defer w.mu.Unlock()
	s := Status{
		Ledger:       w.o.Ledger.Describe(),
		AnchoredSize: w.anchored,
		LastSuccess:  w.success,
		LastError:    w.err,
		Failures:     w.failures,
		NextAttempt:  w.next,
		Halted:       w.halted,
		ForkReported: w.reported,
	}
	if size > w.anchored {
		s.Lag = size - w.anchored
	}
	return s
}
