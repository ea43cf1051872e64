package anchor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"cunzheng/chaincode"
	"cunzheng/ledger/tlog"
)

// EventSource is a ledger that can be followed.
type EventSource interface {
	Describe() Description

	// Events calls fn for each event from a block on, in the order of the ledger, those of the blocks to come included,
	// until ctx is done, the ledger fails or fn returns an error, which it returns. It may return
	// [ErrUnavailable] at any time.
	Events(ctx context.Context, fromBlock uint64, fn func(block uint64, a chaincode.Announcement) error) error
}

// Bookmark keeps what a [Follower] knows over restarts.
type Bookmark interface {
	// Load returns what was stored last, nil if nothing was.
	Load() ([]byte, error)

	// Store replaces it, durably and at once.
	Store([]byte) error
}

// FollowerOptions configure a [Follower]. Ledger is required.
type FollowerOptions struct {
	Ledger   EventSource
	Bookmark Bookmark // if nil, the ledger is followed from its beginning each time

	// Backoff spaces the attempts after failures.
	Backoff Backoff

	// Alarm is called once for each *[Finding]. It must not block.
	Alarm func(error)

	Logger     *slog.Logger          // discards if nil
	Registerer prometheus.Registerer // no metrics if nil
}

// Finding is an alarm of a [Follower]: a log that others keep, too, has two histories. Errors.Is finds [ErrFork] or
// [ErrRollback] in it.
type Finding struct {
	Origin string `json:"origin"`
	Block  uint64 `json:"block"` // of the ledger

	// Organisation filed the proof of a fork, which the contract has checked. It is empty if the follower itself saw
	// the ledger accept what contradicts an earlier head: then the ledger is not what it should be.
	Organisation string `json:"organisation"`

	Size  uint64       `json:"size"`  // of the later head, or of both
	Roots [2]tlog.Hash `json:"roots"` // of the two heads
	Known uint64       `json:"known"` // size of the earlier head; differs from Size after a rollback
}

func (f *Finding) Error() string {
	switch {
	case f.Organisation != "":
		return fmt.Sprintf("%v: block %d: %s has shown two heads of %s of size %d, with roots %s and %s",
			ErrFork, f.Block, f.Organisation, f.Origin, f.Size, f.Roots[0], f.Roots[1])
	case f.Known != f.Size:
		return fmt.Sprintf("%v: block %d: the ledger took size %d of %s after size %d", ErrRollback, f.Block, f.Size, f.Origin, f.Known)
	}
	return fmt.Sprintf("%v: block %d: the ledger took size %d of %s with root %s after root %s",
		ErrFork, f.Block, f.Size, f.Origin, f.Roots[1], f.Roots[0])
}

func (f *Finding) Unwrap() error {
	if f.Known != f.Size {
		return ErrRollback
	}
	return ErrFork
}

// Head is the last head of a log that a [Follower] saw anchored.
type Head struct {
	Block uint64    `json:"block"` // of the ledger
	Root  tlog.Hash `json:"root"`
	Size  uint64    `json:"size"`
}

const (
	maxFindings = 1000 // that are kept; the alarm and the metric know them all
	saveEvery   = time.Second
)

// progress is what a follower stores. A place on the ledger is a block and the number of its events that are done.
type progress struct {
	Ledger   string          `json:"ledger"`
	Block    uint64          `json:"block"`
	Events   int             `json:"events"`
	Heads    map[string]Head `json:"heads"`
	Findings []Finding       `json:"findings"`
}

// Follower follows the events of a ledger for all logs on it and raises an alarm when one of them has two histories:
// the owner of a log cannot rewrite it unseen while one organisation follows. It takes part in nothing.
type Follower struct {
	o       FollowerOptions
	metrics *followerMetrics

	skip  int       // used by Run; events of the first block that were done before
	saved time.Time // used by Run

	mu       sync.Mutex
	progress progress  // under mu
	seen     time.Time // under mu; when the last event came
	err      error     // under mu; why the last attempt ended; nil once events come again
	failures int       // under mu; in a row
	next     time.Time // under mu; no attempt before
}

// NewFollower returns a follower that knows what the bookmark holds. It fails if that is of another ledger or cannot be
// read, or if the metrics are registered already.
func NewFollower(o FollowerOptions) (*Follower, error) {
	o.Backoff = o.Backoff.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Follower{o: o, metrics: newFollowerMetrics()}
	if err := f.load(); err != nil {
		return nil, err
	}
	f.metrics.block.Set(float64(f.progress.Block))
	f.metrics.logs.Set(float64(len(f.progress.Heads)))
	f.metrics.findings.Set(float64(len(f.progress.Findings)))
	if o.Registerer != nil {
		if err := f.metrics.register(o.Registerer); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *Follower) load() error {
	f.progress = progress{Ledger: f.o.Ledger.Describe().Name, Heads: make(map[string]Head)}
	if f.o.Bookmark == nil {
		return nil
	}
	stored, err := f.o.Bookmark.Load()
	if err != nil {
		return fmt.Errorf("anchor: loading the bookmark: %w", err)
	}
	if stored == nil {
		return nil
	}
	var p progress
	if err := json.Unmarshal(stored, &p, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("anchor: bookmark: %w", err)
	}
	if p.Ledger != f.progress.Ledger {
		return fmt.Errorf("anchor: the bookmark is of the ledger %q, not %q", p.Ledger, f.progress.Ledger)
	}
	if p.Heads == nil {
		p.Heads = make(map[string]Head)
	}
	f.progress = p
	return nil
}

// Run follows the ledger until ctx is done.
func (f *Follower) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		failures, delay := f.failed(err)
		f.o.Logger.Warn("the ledger cannot be followed", "ledger", f.progress.Ledger, "error", err, "failures", failures, "pause", delay)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// follow follows until something fails.
func (f *Follower) follow(ctx context.Context) error {
	f.mu.Lock()
	from := f.progress.Block
	f.skip = f.progress.Events
	f.mu.Unlock()
	err := f.o.Ledger.Events(ctx, from, f.event)
	return errors.Join(err, f.save())
}

// event takes one event of the ledger.
func (f *Follower) event(block uint64, a chaincode.Announcement) error {
	if block == f.at() && f.skip > 0 {
		f.skip--
		f.alive()
		return nil
	}
	f.skip = 0
	found, err := f.apply(block, a)
	if err != nil {
		// The contract makes no such event. It is left behind, so that it cannot keep the others from being seen.
		f.o.Logger.Error("an event of the ledger cannot be read", "block", block, "event", a.Name, "error", err)
	}
	f.alive()
	f.metrics.events.Inc()
	if found != nil {
		f.o.Logger.Error("a log on the ledger has two histories", "error", found)
		f.metrics.findings.Inc()
		if f.o.Alarm != nil {
			f.o.Alarm(found)
		}
	}
	// What is not saved is seen again after a restart, and comes to the same.
	if found != nil || time.Since(f.saved) >= saveEvery {
		return f.save()
	}
	return nil
}

func (f *Follower) at() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.progress.Block
}

// alive notes that the ledger answers.
func (f *Follower) alive() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = time.Now()
	f.err, f.failures, f.next = nil, 0, time.Time{}
	f.metrics.lastEvent.Set(float64(f.seen.Unix()))
}

// apply moves on over one event and says what is wrong with it, if anything is.
func (f *Follower) apply(block uint64, a chaincode.Announcement) (*Finding, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if block < f.progress.Block {
		return nil, fmt.Errorf("anchor: block %d comes after block %d", block, f.progress.Block)
	}
	if block > f.progress.Block {
		f.progress.Block, f.progress.Events = block, 0
	}
	f.progress.Events++
	f.metrics.block.Set(float64(block))
	var found *Finding
	var err error
	switch a.Name {
	case chaincode.EventAnchored:
		found, err = f.progress.anchored(block, a.Payload)
	case chaincode.EventForkReported:
		found, err = reported(block, a.Payload)
	}
	if found != nil && len(f.progress.Findings) < maxFindings {
		f.progress.Findings = append(f.progress.Findings, *found)
	}
	f.metrics.logs.Set(float64(len(f.progress.Heads)))
	return found, err
}

func (p *progress) anchored(block uint64, payload []byte) (*Finding, error) {
	var event struct {
		Origin string    `json:"origin"`
		Root   tlog.Hash `json:"root"`
		Size   uint64    `json:"size"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	last, known := p.Heads[event.Origin]
	if known && (event.Size < last.Size || event.Size == last.Size && event.Root != last.Root) {
		return &Finding{
			Origin: event.Origin, Block: block, Size: event.Size, Known: last.Size,
			Roots: [2]tlog.Hash{last.Root, event.Root},
		}, nil
	}
	p.Heads[event.Origin] = Head{Block: block, Root: event.Root, Size: event.Size}
	return nil, nil
}

func reported(block uint64, payload []byte) (*Finding, error) {
	var event struct {
		Organisation string       `json:"organisation"`
		Origin       string       `json:"origin"`
		Roots        [2]tlog.Hash `json:"roots"`
		Size         uint64       `json:"size"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	return &Finding{
		Origin: event.Origin, Block: block, Organisation: event.Organisation,
		Size: event.Size, Known: event.Size, Roots: event.Roots,
	}, nil
}

// save stores the progress.
func (f *Follower) save() error {
	f.saved = time.Now()
	if f.o.Bookmark == nil {
		return nil
	}
	f.mu.Lock()
	text, err := json.Marshal(f.progress, json.Deterministic(true))
	f.mu.Unlock()
	if err == nil {
		err = f.o.Bookmark.Store(text)
	}
	if err != nil {
		return fmt.Errorf("anchor: storing the bookmark: %w", err)
	}
	return nil
}

func (f *Follower) failed(err error) (failures int, delay time.Duration) {
	f.metrics.failures.Inc()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures++
	delay = f.o.Backoff.delay(f.failures)
	f.err, f.next = err, time.Now().Add(delay)
	return f.failures, delay
}

// FollowerStatus is what a [Follower] knows.
type FollowerStatus struct {
	Ledger      Description
	Block       uint64          // of the last event
	Heads       map[string]Head // last head of each log, by origin
	Findings    []Finding       // oldest first, up to the thousandth
	LastEvent   time.Time       // zero if none came since the start
	LastError   error           // why following was interrupted; nil once events come again
	Failures    int             // attempts in a row that failed
	NextAttempt time.Time       // zero unless the follower waits after a failure
}

// Status returns the present state. It does not ask the ledger.
func (f *Follower) Status() FollowerStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return FollowerStatus{
		Ledger:      f.o.Ledger.Describe(),
		Block:       f.progress.Block,
		Heads:       maps.Clone(f.progress.Heads),
		Findings:    slices.Clone(f.progress.Findings),
		LastEvent:   f.seen,
		LastError:   f.err,
		Failures:    f.failures,
		NextAttempt: f.next,
	}
}
