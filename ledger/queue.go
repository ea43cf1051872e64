package ledger

import (
	"sync"
	"time"

	"cunzheng/ledger/tlog"
)

// A request is one call of Append or AppendAll on its way.
type request struct {
	items []item
	left  int           // items without an answer; owned by the releaser
	err   error         // set before done is closed
	done  chan struct{} // closed when every item has its answer
}

// An item is one entry of a request.
type item struct {
	entry Entry
	leaf  tlog.Hash
	// looked is the size of the log at which a look-up of entry.Unique found
	// nothing: entries below it need not be asked again.
	looked uint64

	// Set by the sequencer, read by the caller after done.
	index     uint64
	duplicate bool
	group     *group // nil for a duplicate
}

// size is the number of bytes that the item adds to a batch, roughly.
func (it *item) size() int { return len(it.entry.Data) + len(it.entry.Private) }

// A part is a run of items of one request that share a group.
type part struct {
	request *request
	items   []item
}

// The queue holds what waits for the sequencer, in order of arrival.
type queue struct {
	limit int // entries

	mu      sync.Mutex
	arrived sync.Cond // on mu
	waiting []part
	entries int // in waiting
	wanted  int // entries that take waits for
	closed  bool
}

func newQueue(limit int) *queue {
	q := &queue{limit: limit}
	q.arrived.L = &q.mu
	return q
}

// put adds a request: all of it, or with ErrBusy or ErrClosed nothing.
func (q *queue) put(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrClosed
	case q.entries+len(r.items) > q.limit:
		return ErrBusy
	}
	q.waiting = append(q.waiting, part{r, r.items})
	q.entries += len(r.items)
	if q.entries >= q.wanted {
		q.arrived.Signal()
	}
	return nil
}

// take waits until something is there, then up to patience for the expected
// number of entries, and returns up to the given number of entries and bytes, at
// least one entry. It returns nothing when the queue is closed and empty.
func (q *queue) take(entries, bytes, expected int, patience time.Duration) (parts []part) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wanted = 1
	for len(q.waiting) == 0 {
		if q.closed {
			return nil
		}
		q.arrived.Wait()
	}
	if q.wanted = min(expected, entries); q.entries < q.wanted {
		late := false
		timer := time.AfterFunc(patience, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			late = true
			q.arrived.Broadcast()
		})
		for q.entries < q.wanted && !late && !q.closed {
			q.arrived.Wait()
		}
		timer.Stop()
	}
	taken := 0
	for len(q.waiting) > 0 && taken < entries && bytes > 0 {
		p := &q.waiting[0]
		n := 0
		for n < len(p.items) && taken < entries && bytes > 0 {
			bytes -= p.items[n].size()
			n++
			taken++
		}
		parts = append(parts, part{p.request, p.items[:n]})
		if p.items = p.items[n:]; len(p.items) == 0 {
			q.waiting[0] = part{}
			q.waiting = q.waiting[1:]
		}
	}
	q.entries -= taken
	return parts
}

// close refuses further requests; take goes on until the queue is empty.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.arrived.Broadcast()
}

// length returns the number of waiting entries.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.entries
}
