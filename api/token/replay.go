package token

import (
	"container/heap"
	"crypto/sha256"
	"sync"
)

// replay remembers used assertions until they expire. When it is full it refuses rather than forgets: forgetting
// would let an assertion be used twice.
type replay struct {
	mu      sync.Mutex
	limit   int
	marks   map[[sha256.Size]byte]struct{} // guarded by mu
	expires expiryHeap                     // guarded by mu
}

type expiry struct {
	at   int64 // seconds
	mark [sha256.Size]byte
}

func newReplay(limit int) *replay {
	return &replay{limit: limit, marks: make(map[[sha256.Size]byte]struct{})}
}

// mark records the assertion id of issuer until expires, or refuses it.
func (r *replay) mark(issuer, id string, expires, now int64) error {
	mark := sha256.Sum256([]byte(issuer + "\x00" + id))
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.expires) > 0 && r.expires[0].at <= now {
		delete(r.marks, heap.Pop(&r.expires).(expiry).mark)
	}
	if _, used := r.marks[mark]; used {
		return refuse(CodeReplayed, "jti was used before")
	}
	if len(r.marks) >= r.limit {
		return refuse(CodeBusy, "%d assertions are remembered", r.limit)
	}
	r.marks[mark] = struct{}{}
	heap.Push(&r.expires, expiry{at: expires, mark: mark})
	return nil
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
