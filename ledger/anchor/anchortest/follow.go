package anchortest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"cunzheng/ledger/anchor"
)

// Bookmark is an [anchor.Bookmark] in memory. It is safe for concurrent use.
type Bookmark struct {
	mu   sync.Mutex
	text []byte // under mu
	err  error  // under mu
}

// Fail makes Store fail with err, until it is called with nil.
func (b *Bookmark) Fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *Bookmark) Load() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text, nil
}

func (b *Bookmark) Store(text []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.text = bytes.Clone(text)
	return nil
}

func newFollower(t *testing.T, d Driver, bookmark anchor.Bookmark) *anchor.Follower {
	t.Helper()
	source, ok := d.Ledger.(anchor.EventSource)
	if !ok {
		t.Fatalf("%T has no events", d.Ledger)
	}
	f, err := anchor.NewFollower(anchor.FollowerOptions{Ledger: source, Bookmark: bookmark})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// run runs a follower until stop is called.
func run(t *testing.T, f *anchor.Follower) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// eventually waits for what a follower will see.
func eventually(t *testing.T, f *anchor.Follower, seen func(anchor.FollowerStatus) bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !seen(f.Status()) {
		select {
		case <-deadline:
			t.Fatalf("not seen: %+v", f.Status())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// testFollower follows the ledger, over a pause in which it goes on.
func testFollower(t *testing.T, d Driver) {
	log := registered(t, d, 3).Tree()
	at := func(size uint64) func(anchor.FollowerStatus) bool {
		return func(s anchor.FollowerStatus) bool { return s.Heads[log.Origin].Size == size }
	}
	mustAnchor(t, d, log, 0, 1)
	bookmark := new(Bookmark)
	f := newFollower(t, d, bookmark)
	stop := run(t, f)
	eventually(t, f, at(1))
	mustAnchor(t, d, log, 1, 2)
	eventually(t, f, at(2))
	stop()
	before := f.Status()
	mustAnchor(t, d, log, 2, 3)

	f = newFollower(t, d, bookmark)
	if got := f.Status(); got.Block != before.Block || got.Heads[log.Origin] != before.Heads[log.Origin] {
		t.Errorf("after a restart: %+v, want %+v", got, before)
	}
	run(t, f)
	eventually(t, f, at(3))
	if got := f.Status().Heads[log.Origin]; got.Root != log.Root(t, 3) || got.Block <= before.Block {
		t.Errorf("the last head is %+v", got)
	}
	for _, finding := range f.Status().Findings {
		if finding.Origin == log.Origin {
			t.Error(&finding)
		}
	}
}

// testFork has a log fork: its worker stops and files the proof, and who follows the ledger is told.
func testFork(t *testing.T, d Driver) {
	log := registered(t, d, 5)
	origin := log.Latest().Origin
	mustAnchor(t, d, log.Tree(), 0, 5)
	f := newFollower(t, d, nil)
	run(t, f)
	fork := log.Fork(4, 1)
	fork.Append(2) // it has grown past the anchored head, but signed another one of that size
	w, err := anchor.NewWorker(anchor.Options{Log: fork, Ledger: d.Ledger, Interval: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); !errors.Is(err, anchor.ErrFork) {
			t.Errorf("the worker stopped with %v, want ErrFork", err)
		}
	})
	defer running.Wait()
	defer cancel()
	about := func(s anchor.FollowerStatus) int {
		return slices.IndexFunc(s.Findings, func(f anchor.Finding) bool { return f.Origin == origin })
	}
	eventually(t, f, func(s anchor.FollowerStatus) bool { return about(s) >= 0 })
	status := f.Status()
	found := status.Findings[about(status)]
	if found.Size != 5 || found.Organisation == "" || !errors.Is(&found, anchor.ErrFork) {
		t.Errorf("found %+v", found)
	}
	eventually(t, f, func(anchor.FollowerStatus) bool { return w.Status().ForkReported })
	head, err := d.Latest(t.Context(), origin)
	if err != nil || head.Root != log.Tree().Root(t, 5) {
		t.Errorf("the ledger has %+v, %v", head.Checkpoint, err)
	}
}
