package api

import (
	"context"
	"sync"
	"time"
)

// places are what transfers under way take up: there are few, and no organisation gets all of them. An organisation
// takes one only while it holds fewer than are free (the dynamic threshold of Choudhury and Hahne, 1998): alone it gets
// half of them, two get a third each, and there is room for who comes next without anything set aside that nobody uses.
type places struct {
	total int

	mu    sync.Mutex
	held  map[string]int // by organisation; guarded by mu
	taken int            // guarded by mu
	freed chan struct{}  // closed, and made anew, when a place comes free; guarded by mu
}

func newPlaces(total int) *places {
	return &places{total: total, held: make(map[string]int), freed: make(chan struct{})}
}

// take takes a place for organisation, for which it waits as long as patience; it returns what gives the place back. The
// caller must know who the organisation is: a place is for those who have signed in.
func (p *places) take(ctx context.Context, organisation string, patience time.Duration) (release func(), err error) {
	enough := time.NewTimer(patience)
	defer enough.Stop()
	for {
		freed, ok := p.try(organisation)
		if ok {
			return func() { p.release(organisation) }, nil
		}
		select {
		case <-freed:
		case <-enough.C:
			return nil, &failure{code: codeTooMany, retry: max(time.Second, patience)}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// try takes a place, or returns a channel that is closed when there may be one.
func (p *places) try(organisation string) (freed <-chan struct{}, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[organisation] >= p.total-p.taken {
		return p.freed, false
	}
	p.held[organisation]++
	p.taken++
	return nil, true
}

func (p *places) release(organisation string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.held[organisation]--; p.held[organisation] == 0 {
		delete(p.held, organisation)
	}
	close(p.freed)
	p.freed = make(chan struct{})
}

// scarce reports whether half of the places or more are taken: then who holds one must make good use of it.
func (p *places) scarce() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return 2*p.taken >= p.total
}
