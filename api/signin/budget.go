package signin

import "time"

// budget is an amount that is spent one by one and comes back one each refill (the generic cell rate algorithm of
// ITU-T I.371).
type budget struct {
	size   int
	refill time.Duration
}

// spent is when all that was spent will have come back.
type spent time.Time

// wait returns for how long nothing can be spent; 0 or less: something can.
func (b budget) wait(s spent, now time.Time) time.Duration {
	return time.Time(s).Add(-time.Duration(b.size-1) * b.refill).Sub(now)
}

func (b budget) spend(s spent, now time.Time) spent {
	from := time.Time(s)
	if from.Before(now) {
		from = now
	}
	return spent(from.Add(b.refill))
}

func (b budget) giveBack(s spent) spent { return spent(time.Time(s).Add(-b.refill)) }
