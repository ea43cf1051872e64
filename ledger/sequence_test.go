package ledger

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

// holdGroups fills the places between sequencer and release, so that all that is appended afterwards waits.
func holdGroups(t *testing.T, l *Log, wg *sync.WaitGroup) {
	t.Helper()
	for i := range uint64(inFlight) {
		wg.Go(func() { mustAppend(t, l, testEntry(1_000_000+i, 32)) })
		waitFor(t, func() bool { return l.applied.Load() == i+1 })
	}
}

// Callers are served in order of arrival, in groups of up to MaxBatch, and a large call spans groups.
func TestGroupsAndOrder(t *testing.T) {
	o := testOptions(t)
	o.MaxBatch = 10
	l, _, letGo := openHeld(t, o)
	defer closeLog(t, l)
	defer letGo()
	var wg sync.WaitGroup
	holdGroups(t, l, &wg)
	answers := make([][]Appended, 4)
	serial := uint64(0)
	for i, n := range []int{4, 1, 18, 2} {
		entries := make([]Entry, n)
		for j := range entries {
			entries[j] = testEntry(serial, 32)
			serial++
		}
		wg.Go(func() {
			var err error
			if answers[i], err = l.AppendAll(t.Context(), entries); err != nil {
				t.Error(err)
			}
		})
		waitFor(t, func() bool { return l.queue.length() == int(serial) })
	}
	letGo()
	wg.Wait()
	all := slices.Concat(answers...)
	if len(all) != 25 {
		t.Fatalf("%d answers", len(all))
	}
	for i, a := range all {
		head := uint64(inFlight + min((i/10+1)*10, 25))
		if a.Index != uint64(inFlight+i) || a.Checkpoint.Size != head || a.Duplicate {
			t.Errorf("entry %d: index %d under %d, duplicate %v; want %d under %d", i, a.Index, a.Checkpoint.Size, a.Duplicate, inFlight+i, head)
		}
	}
	wantClean(t, l)
}

// Equal values of Unique meet in one call, in one group and across groups that are not released.
func TestDuplicatesInGroups(t *testing.T) {
	o := testOptions(t)
	o.MaxBatch = 3
	l, _, letGo := openHeld(t, o)
	defer closeLog(t, l)
	defer letGo()
	var wg sync.WaitGroup
	holdGroups(t, l, &wg)
	answers := make([][]Appended, 3)
	for i := range answers {
		wg.Go(func() {
			var err error
			if answers[i], err = l.AppendAll(t.Context(), []Entry{testEntry(7, 32), testEntry(7, 32)}); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, func() bool { return l.queue.length() == 6 })
	letGo()
	wg.Wait()
	stored := 0
	for _, a := range slices.Concat(answers...) {
		if a.Index != inFlight {
			t.Errorf("index %d, want %d", a.Index, inFlight)
		}
		if !a.Duplicate {
			stored++
		}
	}
	if stored != 1 || l.Latest().Size != inFlight+1 {
		t.Errorf("%d stored, size %d", stored, l.Latest().Size)
	}
	wantClean(t, l)
}

// A caller that gives up is let go at once; its entry keeps its place, and those behind it theirs.
func TestCancelledCallers(t *testing.T) {
	l, _, letGo := openHeld(t, testOptions(t))
	defer closeLog(t, l)
	defer letGo()
	gone := errors.New("the client has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	var wg sync.WaitGroup
	holdGroups(t, l, &wg)
	left := make(chan error, 1)
	go func() {
		_, err := l.Append(ctx, testEntry(1, 32))
		left <- err
	}()
	waitFor(t, func() bool { return l.queue.length() == 1 })
	var behind Appended
	wg.Go(func() { behind = mustAppend(t, l, testEntry(2, 32)) })
	waitFor(t, func() bool { return l.queue.length() == 2 })
	cancel(gone)
	if err := <-left; !errors.Is(err, gone) { // while the group is held
		t.Errorf("got %v", err)
	}
	letGo()
	wg.Wait()
	if behind.Index != inFlight+1 {
		t.Errorf("the one behind is at %d", behind.Index)
	}
	if again := mustAppend(t, l, testEntry(1, 32)); !again.Duplicate || again.Index != inFlight {
		t.Errorf("%+v", again)
	}

	// A call that begins cancelled adds nothing.
	if _, err := l.Append(ctx, testEntry(3, 32)); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	if _, found, err := l.LookupUnique(testEntry(3, 32).Unique); found || err != nil || l.Latest().Size != inFlight+2 {
		t.Errorf("found %v, %v, size %d", found, err, l.Latest().Size)
	}
	wantClean(t, l)
}

// take waits for as many entries as expected, but not longer than its patience, nor after close.
func TestQueuePatience(t *testing.T) {
	put := func(q *queue, n int) {
		if err := q.put(&request{items: make([]item, n)}); err != nil {
			t.Error(err)
		}
	}
	take := func(q *queue, patience time.Duration) <-chan int {
		taken := make(chan int, 1)
		go func() {
			n := 0
			for _, p := range q.take(10, 1, 3, patience) {
				n += len(p.items)
			}
			taken <- n
		}()
		return taken
	}
	waits := func(q *queue) func() bool { // for three entries
		return func() bool {
			q.mu.Lock()
			defer q.mu.Unlock()
			return q.wanted == 3
		}
	}

	q := newQueue(100)
	put(q, 1)
	taken := take(q, time.Hour)
	waitFor(t, waits(q))
	put(q, 1)
	put(q, 1)
	if n := <-taken; n != 3 {
		t.Errorf("took %d, want the three expected", n)
	}

	q = newQueue(100)
	put(q, 2)
	if n := <-take(q, time.Millisecond); n != 2 {
		t.Errorf("took %d, want the two that came in time", n)
	}

	q = newQueue(100)
	put(q, 2)
	taken = take(q, time.Hour)
	waitFor(t, waits(q))
	q.close()
	if n := <-taken; n != 2 {
		t.Errorf("took %d when closed, want 2", n)
	}
}
