package api

import (
	"cmp"
	"fmt"
	"time"
)

// Limits bounds what callers may make the server do. The zero value of each field means its default.
type Limits struct {
	FileBody  int64 // largest file, in bytes; default 64 GiB
	BatchBody int64 // largest batch, in bytes; default 16 MiB
	SmallBody int64 // largest other body, in bytes; default 256 KiB
	Headers   int   // largest request line and headers, in bytes; default 64 KiB

	BatchLines int // most lines of a batch; default 10,000
	Batches    int // batches under way at once; default 8; more are answered 429
	Uploads    int // files under way at once; default 32; more wait, and are then answered 429

	Proofs int // public proofs under way at once, and as many of other nodes; default 32; more wait, and are then answered 429

	Request time.Duration // for a request that is not a transfer, to be read and answered; default 1 min
	Stall   time.Duration // longest silence in a transfer; default 1 min
	MinRate int64         // slowest average upload, in bytes per second; default 1,024
	// BusyRate takes the place of MinRate while half of the batches or uploads there may be are under way; default 64 KiB/s.
	BusyRate int64
	Wait     time.Duration // for a place for a file; default 10 s
	Idle     time.Duration // for a connection between requests; default 2 min
	Drain    time.Duration // for requests under way when the server is stopped; default 30 s
}

func (l Limits) withDefaults() (Limits, error) {
	l = Limits{
		FileBody:   cmp.Or(l.FileBody, 64<<30),
		BatchBody:  cmp.Or(l.BatchBody, 16<<20),
		SmallBody:  cmp.Or(l.SmallBody, 256<<10),
		Headers:    cmp.Or(l.Headers, 64<<10),
		BatchLines: cmp.Or(l.BatchLines, 10_000),
		Batches:    cmp.Or(l.Batches, 8),
		Uploads:    cmp.Or(l.Uploads, 32),
		Proofs:     cmp.Or(l.Proofs, 32),
		Request:    cmp.Or(l.Request, time.Minute),
		Stall:      cmp.Or(l.Stall, time.Minute),
		MinRate:    cmp.Or(l.MinRate, 1024),
		BusyRate:   cmp.Or(l.BusyRate, max(64<<10, l.MinRate)),
		Wait:       cmp.Or(l.Wait, 10*time.Second),
		Idle:       cmp.Or(l.Idle, 2*time.Minute),
		Drain:      cmp.Or(l.Drain, 30*time.Second),
	}
	lowest := min(l.FileBody, l.BatchBody, l.SmallBody, int64(l.Headers), int64(l.BatchLines), int64(l.Batches), int64(l.Uploads), int64(l.Proofs),
		int64(l.Request), int64(l.Stall), l.MinRate, l.BusyRate, int64(l.Wait), int64(l.Idle), int64(l.Drain))
	if lowest < 0 {
		return Limits{}, fmt.Errorf("api: a limit is negative: %+v", l)
	}
	if l.BusyRate < l.MinRate {
		return Limits{}, fmt.Errorf("api: BusyRate %d is below MinRate %d", l.BusyRate, l.MinRate)
	}
	return l, nil
}
