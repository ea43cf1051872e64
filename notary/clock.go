package notary

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"cunzheng/evidence"
	"cunzheng/ledger"
)

const (
	// clockSlack is how far the machine's clock may be behind the floor. Whoever keeps a clock right moves it by less.
	clockSlack = 2 * time.Second
	// clockLeap is by how much the machine's clock may part from the process's own measure of time within leapSpan. It
	// also bounds what a leap that passes costs: once the clock is right again, it is behind for no longer than this.
	clockLeap = time.Minute
	leapSpan  = time.Hour

	// longestClockRetry bounds when a caller is told to come back.
	longestClockRetry = time.Hour
)

// clock gives the times of receipt. They never go back, not over a restart either, and none is given while the machine's
// clock cannot be right: while it shows a time that the log has passed, or after it leapt. A time of receipt is what a
// court reads; a wrong one would stand for ever, and every later one would have to follow it.
//
// Only what is in the log moves the floor. A refused deposit leaves no trace, here neither.
type clock struct {
	now     func() time.Time
	elapsed func() time.Duration // since some moment, whatever happens to now
	alarm   func(error)          // called once when the clock goes wrong; must not block
	logger  *slog.Logger

	mu    sync.Mutex       // guards what follows
	floor evidence.Instant // no time of receipt is before this
	sound *reading         // what both measures of time said when the clock was last found right; nil: never yet
	wrong bool             // the episode that is going on was alarmed about
}

// reading is what both measures of time say at one moment.
type reading struct {
	wall    time.Time
	elapsed time.Duration
}

// newClock returns a clock of the machine's time. A nil elapsed takes the differences of now, which for time.Now come
// from the monotonic clock.
func newClock(now func() time.Time, elapsed func() time.Duration, logger *slog.Logger, alarm func(error)) *clock {
	if elapsed == nil {
		start := now()
		elapsed = func() time.Duration { return now().Sub(start) }
	}
	return &clock{now: now, elapsed: elapsed, logger: logger, alarm: alarm}
}

// receipt returns the time of receipt for something that has arrived now, or an *Error of CodeClockBehind or
// CodeClockAhead.
func (c *clock) receipt() (evidence.Instant, error) {
	r := c.read()
	c.mu.Lock()
	skew := c.skewOf(r)
	begins, ends := skew != 0 && !c.wrong, skew == 0 && c.wrong
	c.wrong = skew != 0
	floor := c.floor
	if skew == 0 && (c.sound == nil || r.elapsed-c.sound.elapsed > leapSpan) {
		c.sound = &r
	}
	c.mu.Unlock()

	if skew == 0 {
		if ends {
			c.logger.Info("the machine's clock is right again; deposits are taken")
		}
		return max(floor, evidence.InstantOf(r.wall)), nil
	}
	err := clockError(skew)
	if begins {
		c.alarm(fmt.Errorf("notary: the machine's clock is wrong by %v; no deposits are taken: %w", skew, err))
	}
	return 0, err
}

// observe looks at the clock while nobody asks, so that a leap is alarmed about, and slow drift is not taken for one.
func (c *clock) observe() { _, _ = c.receipt() } // the error was alarmed about

// estimate returns a time for what must not wait for the clock, such as the revocation of a key: as late as what the log
// has, and not moved by a leap.
func (c *clock) estimate() evidence.Instant {
	r := c.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	wall := r.wall
	if skew := c.skewOf(r); skew > 0 {
		wall = wall.Add(-skew)
	}
	return max(c.floor, evidence.InstantOf(wall))
}

// skew returns by how much the machine's clock is wrong: negative when it is behind, 0 while nothing speaks against it.
func (c *clock) skew() time.Duration {
	r := c.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skewOf(r)
}

func (c *clock) read() reading { return reading{wall: c.now().Round(0), elapsed: c.elapsed()} }

// skewOf is skew for one reading. The caller holds mu.
func (c *clock) skewOf(r reading) time.Duration {
	if behind := c.floor.Time().Sub(r.wall); behind > clockSlack {
		return -behind
	}
	if c.sound == nil {
		return 0
	}
	leap := r.wall.Sub(c.sound.wall) - (r.elapsed - c.sound.elapsed)
	if leap > clockLeap || leap < -clockLeap {
		return leap
	}
	return 0
}

// atLeast says that there is something of time t that no later time of receipt may be before.
func (c *clock) atLeast(t evidence.Instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floor = max(c.floor, t)
}

// latest returns the time that no later time of receipt is before.
func (c *clock) latest() evidence.Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.floor
}

// wall returns the machine's time.
func (c *clock) wall() time.Time { return c.now() }

// clockError says what a clock that is wrong by skew means for a caller, and what to do about it.
func clockError(skew time.Duration) *Error {
	off := skew.Abs().Round(time.Second)
	if skew > 0 {
		e := refuse(CodeClockAhead, fmt.Sprintf("服务器时钟突然前跳 %v，暂停受理。请管理员校时；确认时钟无误后重启服务。", off),
			fmt.Sprintf("The server's clock leapt ahead by %v; nothing is accepted. An administrator must set it right, or restart the service if it is right now.", off))
		e.Retry = time.Minute
		return e
	}
	e := refuse(CodeClockBehind, fmt.Sprintf("服务器时钟落后 %v，暂停受理。请管理员校时；时钟恢复正确后自动恢复受理。", off),
		fmt.Sprintf("The server's clock is behind by %v; nothing is accepted. An administrator must set it right; deposits go on as soon as it is.", off))
	e.Retry = min(max(off, time.Second), longestClockRetry)
	return e
}

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
