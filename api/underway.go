package api

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// underWay counts the requests that are being handled. Package http knows of connections only: one that was cut off
// may have a handler that is still at work.
type underWay struct {
	mu   sync.Mutex
	n    int           // guarded by mu
	none chan struct{} // closed when n returns to 0; guarded by mu
}

// count wraps a handler.
func (u *underWay) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.enter()
		defer u.leave()
		next.ServeHTTP(w, r)
	})
}

func (u *underWay) enter() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n == 0 {
		u.none = make(chan struct{})
	}
	u.n++
}

func (u *underWay) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n--; u.n == 0 {
		close(u.none)
	}
}

// wait returns when none is under way, or after patience with an error.
func (u *underWay) wait(patience time.Duration) error {
	u.mu.Lock()
	n, none := u.n, u.none
	u.mu.Unlock()
	if n == 0 {
		return nil
	}
	enough := time.NewTimer(patience)
	defer enough.Stop()
	select {
	case <-none:
		return nil
	case <-enough.C:
		return fmt.Errorf("of %d requests some have not ended %v after they were cut off", n, patience)
	}
}
