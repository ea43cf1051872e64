package consortium

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// cache keeps what was read from the directory for a while. Whoever asks for the same at the same time shares one
// reading. It is safe for concurrent use.
type cache[T any] struct {
	load    func(ctx context.Context, key string) (T, error)
	clock   func() time.Time
	limit   int           // entries kept
	timeout time.Duration // of one reading
	loading singleflight.Group

	mu   sync.Mutex
	kept map[string]cached[T] // under mu
}

type cached[T any] struct {
	value T
	read  time.Time // when the reading began
}

func newCache[T any](limit int, timeout time.Duration, clock func() time.Time, load func(context.Context, string) (T, error)) *cache[T] {
	return &cache[T]{load: load, clock: clock, limit: limit, timeout: timeout, kept: make(map[string]cached[T])}
}

// get returns a value that is not older than maxAge, and when it was read.
func (c *cache[T]) get(ctx context.Context, key string, maxAge time.Duration) (T, time.Time, error) {
	if held, ok := c.held(key, maxAge); ok {
		return held.value, held.read, nil
	}
	// The reading is for all who wait for it, so it does not end with the first of them.
	result := c.loading.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
		defer cancel()
		read := c.clock()
		value, err := c.load(ctx, key)
		if err != nil {
			return nil, err
		}
		fresh := cached[T]{value, read}
		c.keep(key, fresh)
		return fresh, nil
	})
	var none T
	select {
	case <-ctx.Done():
		return none, time.Time{}, fmt.Errorf("waiting for the directory: %w", ctx.Err())
	case r := <-result:
		if r.Err != nil {
			return none, time.Time{}, r.Err
		}
		fresh := r.Val.(cached[T])
		return fresh.value, fresh.read, nil
	}
}

func (c *cache[T]) held(key string, maxAge time.Duration) (cached[T], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held, ok := c.kept[key]
	return held, ok && c.clock().Sub(held.read) < maxAge
}

// keep stores a value, in place of the one that was read first if there are too many.
func (c *cache[T]) keep(key string, fresh cached[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, replaces := c.kept[key]; !replaces && len(c.kept) >= c.limit {
		var oldest string
		for k, v := range c.kept {
			if oldest == "" || v.read.Before(c.kept[oldest].read) {
				oldest = k
			}
		}
		delete(c.kept, oldest)
	}
	c.kept[key] = fresh
}
