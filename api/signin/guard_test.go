package signin

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

type world struct {
	*Guard
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
	var err error
	if w.Guard, err = New(func() time.Time { return w.now }); err != nil {
		t.Fatal(err)
	}
	return w
}

// try makes one attempt from beginning to end.
func (w *world) try(account, address string, right bool) error {
	a, err := w.Enter(account, address)
	if err != nil {
		return err
	}
	defer a.Leave()
	if right {
		a.Succeeded()
	} else {
		a.Failed()
	}
	return nil
}

func (w *world) must(t *testing.T, account, address string, right bool) {
	t.Helper()
	if err := w.try(account, address, right); err != nil {
		t.Fatalf("%.20s from %s at %s: %v", account, address, w.now.Format(time.TimeOnly), err)
	}
}

func wantRefusal(t *testing.T, err error, locked bool, retry time.Duration) {
	t.Helper()
	r, ok := errors.AsType[*Refusal](err)
	if !ok || r.Locked != locked || r.Retry != retry {
		t.Fatalf("got %v, want a refusal, locked %v, for %v", err, locked, retry)
	}
}

const office, abroad = "192.0.2.1", "198.51.100.7"

// TestSeries: five failures are free, then the wait doubles, against the right password too; success ends the series.
func TestSeries(t *testing.T) {
	for _, account := range []string{"alice", "", strings.Repeat("n", 100_000)} {
		w := newWorld(t)
		for range freeFailures {
			w.must(t, account, office, false)
		}
		for _, minutes := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			wantRefusal(t, w.try(account, office, true), true, minutes*time.Minute)
			w.now = w.now.Add(minutes*time.Minute - 1)
			wantRefusal(t, w.try(account, office, true), true, 1)
			w.now = w.now.Add(1)
			w.must(t, account, office, false)
		}
		w.now = w.now.Add(longestWait)
		w.must(t, account, office, true)
		for range freeFailures {
			w.must(t, account, office, false)
		}
		wantRefusal(t, w.try(account, office, false), true, firstWait)
		w.now = w.now.Add(forgetFailures + 1)
		for range freeFailures {
			w.must(t, account, office, false)
		}
	}
}

// TestHolderIsNotShutOut: whatever one stranger does, the holder signs in elsewhere, be it for the first time.
func TestHolderIsNotShutOut(t *testing.T) {
	w := newWorld(t)
	for i := range 2000 {
		w.try("alice", abroad, false)
		w.try(fmt.Sprint("made up ", i), abroad, false)
		w.now = w.now.Add(time.Second)
		if i%100 == 0 {
			w.must(t, "alice", office, true)
			w.must(t, "alice", fmt.Sprint("192.0.2.", i/100), true)
		}
	}
}

// TestCrowd: a crowd of addresses is bounded by the account's budget, which does not bind the account at home.
func TestCrowd(t *testing.T) {
	w := newWorld(t)
	w.must(t, "alice", office, true)
	crowd := func() (guesses int) {
		for i := range 500 {
			if w.try("alice", fmt.Sprint("crowd ", i), false) == nil {
				guesses++
			}
		}
		return guesses
	}
	if n := crowd(); n != accountBudget.size {
		t.Errorf("%d guesses, want %d", n, accountBudget.size)
	}
	wantRefusal(t, w.try("alice", "crowd 999", true), false, accountBudget.refill)
	w.must(t, "alice", office, true)
	w.must(t, "alice", office, false)
	w.must(t, "bob", "crowd 1", true)
	w.now = w.now.Add(10 * accountBudget.refill)
	if n := crowd(); n != 9 { // the holder's own failure took one
		t.Errorf("%d guesses came back, want 9", n)
	}
}

// TestSpraying: one address that tries many accounts is bounded too, without harm to those at home behind it.
func TestSpraying(t *testing.T) {
	w := newWorld(t)
	w.must(t, "alice", abroad, true)
	guesses := 0
	for i := range 500 {
		if w.try(fmt.Sprint("account ", i), abroad, false) == nil {
			guesses++
		}
	}
	if guesses != addressBudget.size {
		t.Errorf("%d guesses, want %d", guesses, addressBudget.size)
	}
	wantRefusal(t, w.try("bob", abroad, true), false, addressBudget.refill)
	w.must(t, "alice", abroad, true)
	w.must(t, "bob", office, true)
	for i := range 500 { // nobody knows the address: it may be everybody's
		w.must(t, fmt.Sprint("account ", i), "", false)
	}
}

// TestRightPasswordsCostNothing: an office behind one address signs in all at once.
func TestRightPasswordsCostNothing(t *testing.T) {
	w := newWorld(t)
	for i := range 10_000 {
		w.must(t, fmt.Sprint("account ", i), office, true)
		w.must(t, "alice", fmt.Sprint("address ", i), true)
	}
}

func TestPlaces(t *testing.T) {
	w := newWorld(t)
	w.must(t, "alice", office, true)
	var under []*Attempt
	enter := func(account, address string) error {
		a, err := w.Enter(account, address)
		if err == nil {
			under = append(under, a)
		}
		return err
	}
	for i := range placesAddress {
		if err := enter(fmt.Sprint("account ", i), abroad); err != nil {
			t.Fatal(err)
		}
	}
	wantRefusal(t, enter("bob", abroad), false, time.Second)
	for i := placesAddress; i < placesNewcomers; i++ {
		if err := enter(fmt.Sprint("account ", i), fmt.Sprint("address ", i)); err != nil {
			t.Fatal(err)
		}
	}
	wantRefusal(t, enter("bob", "another address"), false, time.Second)
	for range freeFailures {
		if err := enter("alice", office); err != nil {
			t.Fatalf("no place at home: %v", err)
		}
	}
	wantRefusal(t, enter("alice", office), false, time.Second)
	for _, a := range under {
		a.Leave()
		a.Leave() // counts once
	}
	if w.underWay != 0 || w.newcomers != 0 || len(w.byPair) != 0 || len(w.byAddress) != 0 {
		t.Errorf("%d under way, %d newcomers, places held: %d and %d", w.underWay, w.newcomers, len(w.byPair), len(w.byAddress))
	}
	for range 3 * freeFailures { // what was not checked was no failure
		a, err := w.Enter("account 1", abroad)
		if err != nil {
			t.Fatal(err)
		}
		a.Leave()
	}
}

// TestParallelGuesses: guessing in parallel gains nothing over guessing one by one.
func TestParallelGuesses(t *testing.T) {
	w := newWorld(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	guesses := 0
	for range 200 {
		group.Go(func() {
			a, err := w.Enter("alice", abroad)
			if err != nil {
				return
			}
			mu.Lock()
			guesses++
			mu.Unlock()
			a.Failed()
		})
	}
	group.Wait()
	if guesses > freeFailures {
		t.Errorf("%d guesses, want at most %d", guesses, freeFailures)
	}
}

// TestTogether: programs of one account that sign in at the same time are told to come back, and not taken for guessing.
func TestTogether(t *testing.T) {
	w := newWorld(t)
	var under []*Attempt
	for i := range 100 {
		a, err := w.Enter("alice", office)
		if i < placesAddress {
			under = append(under, a)
		} else {
			wantRefusal(t, err, false, time.Second)
		}
	}
	for _, a := range under {
		a.Succeeded()
	}
	for range 100 {
		w.must(t, "alice", office, true)
	}
}

// TestReset: a new password ends all waits, and old homes, which may be whose who stole the old one.
func TestReset(t *testing.T) {
	w := newWorld(t)
	w.must(t, "alice", abroad, true)
	for range freeFailures {
		w.must(t, "alice", office, false)
	}
	w.now = w.now.Add(time.Second)
	w.Reset("alice")
	w.now = w.now.Add(time.Second)
	w.must(t, "alice", office, true)
	for i := range accountBudget.size {
		w.must(t, "alice", fmt.Sprint("crowd ", i), false)
	}
	wantRefusal(t, w.try("alice", abroad, true), false, accountBudget.refill)
	w.must(t, "alice", office, true)
	w.now = w.now.Add(homeFor + 1)
	for i := range accountBudget.size {
		w.must(t, "alice", fmt.Sprint("crowd ", i), false)
	}
	wantRefusal(t, w.try("alice", office, true), false, accountBudget.refill)
}

func TestNew(t *testing.T) {
	if _, err := New(nil); err == nil {
		t.Error("made without a clock")
	}
}
