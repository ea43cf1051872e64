package notary

import (
	"sync"
	"time"

	"cunzheng/evidence"
	"cunzheng/ledger"
)

// clock gives the times of receipt, which never go back: not when the machine's clock does, not over a restart.
type clock struct {
	now func() time.Time

	mu   sync.Mutex
	last evidence.Instant // guarded by mu
}

// receipt returns the time of receipt for something that has arrived now.
func (c *clock) receipt() evidence.Instant {
	now := evidence.InstantOf(c.now())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, now)
	return c.last
}

// atLeast makes later times of receipt no earlier than t.
func (c *clock) atLeast(t evidence.Instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last, t)
}

// latest returns the latest time of receipt given out or found in the log.
func (c *clock) latest() evidence.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// wall returns the machine's time.
func (c *clock) wall() time.Time { return c.now() }

// resumeClock finds the latest time of receipt in the log.
func (s *Service) resumeClock() error {
	hits, _, err := s.log.Find(ledger.Query{Kind: evidence.TermTime, Limit: 1, Reverse: true})
	if err != nil || len(hits) == 0 {
		return err
	}
	statement, err := s.statement(hits[0].Index)
	if err != nil {
		return err
	}
	s.clock.atLeast(statement.ReceivedAt)
	return nil
}
