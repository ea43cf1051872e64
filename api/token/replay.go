package token

import (
	"container/heap"
	"crypto/sha256"
	"sync"
)

// replay remembers used assertions until they expire. When it is full, or the share of one issuer is, it refuses rather
// than forgets: forgetting would let an assertion be used twice.
type replay struct {
	limit, share int

	mu      sync.Mutex
	marks   map[[sha256.Size]byte]struct{} // guarded by mu
	held    map[string]int                 // marks of each issuer that has any; guarded by mu
	expires expiryHeap                     // guarded by mu
}

type expiry struct {
	at     int64 // seconds
	mark   [sha256.Size]byte
	issuer string
}

func newReplay(limit, share int) *replay {
	return &replay{limit: limit, share: share, marks: make(map[[sha256.Size]byte]struct{}), held: make(map[string]int)}
}

// mark records the assertion id of issuer until expires, or refuses it. The issuer must have been verified.
func (r *replay) mark(issuer, id string, expires, now int64) error {
	mark := sha256.Sum256([]byte(issuer + "\x00" + id))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now)
	if _, used := r.marks[mark]; used {
		return refuse(CodeReplayed, "jti was used before")
	}
	if len(r.marks) >= r.limit {
		return refuse(CodeBusy, "%d assertions are remembered", r.limit)
	}
	if r.held[issuer] >= r.share {
		return refuse(CodeBusy, "%d assertions of this account are remembered", r.share)
	}
	r.marks[mark] = struct{}{}
	r.held[issuer]++
	heap.Push(&r.expires, expiry{at: expires, mark: mark, issuer: issuer})
	return nil
}

// forget drops the marks of assertions that have expired. The caller holds mu.
func (r *replay) forget(now int64) {
	for len(r.expires) > 0 && r.expires[0].at <= now {
		old := heap.Pop(&r.expires).(expiry)
		delete(r.marks, old.mark)
		if r.held[old.issuer]--; r.held[old.issuer] == 0 {
			delete(r.held, old.issuer)
		}
	}
}

// expiryHeap orders marks by the time they may be forgotten.
type expiryHeap []expiry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *expiryHeap) Push(x any)        { *h = append(*h, x.(expiry)) }
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	popped := (*h)[last]
	*h = (*h)[:last]
	return popped
}
