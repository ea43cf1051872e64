package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// wait sleeps before the next attempt: as long as the server asked, or twice as long each time, with some chance in it
// so that many clients do not return together.
func (c *Client) wait(ctx context.Context, attempt int, problem *Problem) error {
	pause := min(200*time.Millisecond<<(attempt-1), c.patience)
	pause = pause/2 + rand.N(pause/2+1)
	if problem != nil && problem.RetryAfter > 0 {
		pause = problem.RetryAfter + rand.N(pause)
	}
	if pause > c.patience {
		return &impatience{problem}
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// impatience is a problem that could be tried again, but only after longer than Options.Patience.
type impatience struct{ problem *Problem }

func (i *impatience) Error() string {
	return i.problem.Error() + " (the server asks to wait " + i.problem.RetryAfter.String() + ")"
}
func (i *impatience) Unwrap() error { return i.problem }
