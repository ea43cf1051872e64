// Package signin stands between strangers and the checking of passwords, which is dear on purpose. Whoever guesses must
// neither get far, nor slow those who know their password, nor shut them out.
//
//	attempt, err := guard.Enter(account, address) // *Refusal: too many
//	defer attempt.Leave()
//	… check the password, then attempt.Succeeded() or attempt.Failed()
//
// Three things bound the guesses:
//
//   - an account from one address: 5 failures in a row are free, then each costs a wait, of 1 minute at first and
//     twice as long each time, up to 1 hour. The same account from another address does not wait;
//   - an account from all addresses together: 100 failures, which come back at 100 an hour;
//   - an address over all accounts: 50 failures, which come back at 300 an hour.
//
// Attempts under way are bounded as well: 64 in all, 48 of newcomers, 4 of the newcomers of one address, and of an account
// from one address as many as it has free failures left, so that guessing in parallel gains nothing.
//
// An account that has signed in from an address within 30 days is at home there: of the three only the first bounds it,
// and the places for newcomers are not its own, so that no crowd of strangers can keep it out. What is remembered is bounded, in memory, and
// counted for names that do not exist as for others, so that nothing tells which do.
package signin

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	freeFailures = 5 // of an account from one address, in a row
	firstWait    = time.Minute
	longestWait  = time.Hour
	// forgetFailures: a series of failures that is this old has ended.
	forgetFailures = 24 * time.Hour

	// homeFor is how long an address is home to an account after it last signed in there.
	homeFor = 30 * 24 * time.Hour

	placesInAll     = 64
	placesNewcomers = 48
	placesAddress   = 4 // for newcomers

	remembered = 32_768 // of each kind, in each generation
)

// The budgets of an account and of an address.
var (
	accountBudget = budget{size: 100, refill: 36 * time.Second}
	addressBudget = budget{size: 50, refill: 12 * time.Second}
)

// Refusal says that an attempt was not admitted.
type Refusal struct {
	// Locked: this account has failed from this address too often. Otherwise there are too many sign-ins.
	Locked bool
	Retry  time.Duration
}

func (r *Refusal) Error() string {
	if r.Locked {
		return fmt.Sprintf("too many failures of this account from this address; wait %v", r.Retry)
	}
	return fmt.Sprintf("too many sign-ins; wait %v", r.Retry)
}

// Guard is safe for concurrent use.
type Guard struct {
	clock func() time.Time

	mu        sync.Mutex
	underWay  int              // attempts; guarded by mu, like all below
	newcomers int              // of them
	byPair    map[digest]int   // of them all
	byAddress map[digest]int   // of the newcomers
	pairs     *memory[pair]    // by account and address
	homes     *memory[home]    // likewise; apart, so that strangers cannot crowd it
	accounts  *memory[account] // by account
	addresses *memory[spent]   // by address
}

// digest stands for what somebody typed, which may be long, and may well be a password.
type digest [sha256.Size]byte

func digestOf(parts ...string) digest {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return digest(h.Sum(nil))
}

// pair is what is known of an account at one address.
type pair struct {
	failures int // in a row
	last     time.Time
	wait     time.Time // until then
}

// home is when an account last signed in at an address.
type home time.Time

type account struct {
	spent spent
	reset time.Time // what is known of its pairs counts from here
}

// New returns a guard without memories.
func New(clock func() time.Time) (*Guard, error) {
	if clock == nil {
		return nil, errors.New("signin: a clock is needed")
	}
	return &Guard{
		clock: clock, byPair: make(map[digest]int), byAddress: make(map[digest]int),
		pairs: newMemory[pair](remembered), homes: newMemory[home](remembered),
		accounts: newMemory[account](remembered), addresses: newMemory[spent](remembered),
	}, nil
}

// Attempt is one attempt to sign in. It spends of the budgets until it is known to be no failure.
type Attempt struct {
	guard   *Guard
	account digest
	address digest
	pair    digest
	shared  bool // nobody knows the address
	home    bool
	ended   bool
}

// Enter admits an attempt of account from address, or returns a *Refusal. The address is one of the network's, or empty if
// it is not known: then all such callers look like one, and what bounds a single address does not apply.
func (g *Guard) Enter(accountName, address string) (*Attempt, error) {
	a := &Attempt{
		guard: g, account: digestOf(accountName), address: digestOf("", address), pair: digestOf(accountName, address),
		shared: address == "",
	}
	now := g.clock()
	g.mu.Lock()
	defer g.mu.Unlock()
	p, owner := g.known(a, now)
	if wait := p.wait.Sub(now); wait > 0 {
		return nil, &Refusal{Locked: true, Retry: wait}
	}
	a.home = g.isHome(a, owner, now)
	if !g.hasPlace(a, p) {
		return nil, &Refusal{Retry: time.Second}
	}
	from, _ := g.addresses.get(a.address)
	if wait := a.poor(owner.spent, from, now); wait > 0 {
		return nil, &Refusal{Retry: wait}
	}
	owner.spent = accountBudget.spend(owner.spent, now)
	g.accounts.put(a.account, owner)
	g.addresses.put(a.address, addressBudget.spend(from, now))
	g.takePlace(a, 1)
	return a, nil
}

// known finds what is remembered of an attempt's pair and account and still counts. The caller holds mu.
func (g *Guard) known(a *Attempt, now time.Time) (pair, account) {
	owner, _ := g.accounts.get(a.account)
	p, _ := g.pairs.get(a.pair)
	if now.Sub(p.last) > forgetFailures || !p.last.After(owner.reset) {
		p = pair{}
	}
	return p, owner
}

// isHome reports whether the account has signed in from the address lately. The caller holds mu.
func (g *Guard) isHome(a *Attempt, owner account, now time.Time) bool {
	h, ok := g.homes.get(a.pair)
	return ok && now.Sub(time.Time(h)) <= homeFor && time.Time(h).After(owner.reset)
}

// poor returns for how long the budgets that bind an attempt are spent; 0 or less: they are not.
func (a *Attempt) poor(owner, from spent, now time.Time) time.Duration {
	switch {
	case a.home:
		return 0
	case a.shared:
		return accountBudget.wait(owner, now)
	}
	return max(accountBudget.wait(owner, now), addressBudget.wait(from, now))
}

// hasPlace reports whether another attempt may be under way. The caller holds mu.
func (g *Guard) hasPlace(a *Attempt, p pair) bool {
	if g.underWay >= placesInAll || g.byPair[a.pair] >= max(1, freeFailures-p.failures) {
		return false
	}
	return a.home || g.newcomers < placesNewcomers && (a.shared || g.byAddress[a.address] < placesAddress)
}

// takePlace takes a place (1) or gives it back (-1). The caller holds mu.
func (g *Guard) takePlace(a *Attempt, n int) {
	count := func(places map[digest]int, key digest) {
		if places[key] += n; places[key] == 0 {
			delete(places, key)
		}
	}
	g.underWay += n
	count(g.byPair, a.pair)
	if !a.home {
		g.newcomers += n
		count(g.byAddress, a.address)
	}
}

// Succeeded says that the password was right.
func (a *Attempt) Succeeded() {
	a.end(true, func(g *Guard) {
		g.pairs.remove(a.pair)
		g.homes.put(a.pair, home(g.clock()))
	})
}

// Failed says that it was wrong.
func (a *Attempt) Failed() {
	a.end(false, func(g *Guard) {
		now := g.clock()
		p, _ := g.known(a, now)
		p.failures++
		p.last = now
		if over := p.failures - freeFailures; over >= 0 {
			p.wait = now.Add(longestWait)
			if over < 6 { // 1, 2, 4 … 32 minutes
				p.wait = now.Add(firstWait << over)
			}
		}
		g.pairs.put(a.pair, p)
	})
}

// Leave says, if nothing was said before, that the password was not checked.
func (a *Attempt) Leave() { a.end(true, func(*Guard) {}) }

// end ends the attempt, if it has not ended, and gives back what it spent if it was harmless.
func (a *Attempt) end(harmless bool, settle func(*Guard)) {
	g := a.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.ended {
		return
	}
	a.ended = true
	g.takePlace(a, -1)
	settle(g)
	if !harmless {
		return
	}
	if owner, ok := g.accounts.get(a.account); ok {
		owner.spent = accountBudget.giveBack(owner.spent)
		g.accounts.put(a.account, owner)
	}
	if from, ok := g.addresses.get(a.address); ok {
		g.addresses.put(a.address, addressBudget.giveBack(from))
	}
}

// Reset forgets all failures of an account, and where it is at home: it has a new password.
func (g *Guard) Reset(accountName string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.accounts.put(digestOf(accountName), account{reset: g.clock()})
}
