package sm2

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"cunzheng/crypto/sm3"
)

// auditQueue bounds what waits for the second implementation.
const auditQueue = 256

// Auditor asks the second implementation, in the background, about a sample of
// the signatures that the first one accepted. It never delays the caller: when
// its queue is full, the signature is dropped and counted.
type Auditor struct {
	n      uint64
	secret [sm3.Size]byte
	alarm  func(error)
	queue  chan audited
	done   chan struct{}

	mu     sync.RWMutex // held for reading while sending on queue
	closed bool         // guarded by mu

	checked, dropped, disagreed atomic.Uint64
}

type audited struct {
	pub          *PublicKey
	message, sig []byte
}

// NewAuditor starts an Auditor that checks one in n signatures; below 2 it checks
// all. It calls alarm, from its own goroutine, with an error that wraps
// ErrDisagreement for each one that is refused. Close stops it.
//
// Whether a signature is in the sample depends on its digest and on a secret of
// this Auditor, so that no signer can look for signatures that escape.
func NewAuditor(n int, alarm func(error)) *Auditor {
	a := &Auditor{
		n:     uint64(max(n, 1)),
		alarm: alarm,
		queue: make(chan audited, auditQueue),
		done:  make(chan struct{}),
	}
	rand.Read(a.secret[:])
	go a.run()
	return a
}

// Observe considers a signature that Verify has accepted. It keeps copies.
func (a *Auditor) Observe(pub *PublicKey, message, sig []byte) {
	if !a.chosen(sig) {
		return
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed || len(a.queue) == cap(a.queue) {
		a.dropped.Add(1)
		return
	}
	select {
	case a.queue <- audited{pub, bytes.Clone(message), bytes.Clone(sig)}:
	default:
		a.dropped.Add(1)
	}
}

func (a *Auditor) chosen(sig []byte) bool {
	h := sm3.New()
	h.Write(a.secret[:])
	h.Write(sig)
	return binary.BigEndian.Uint64(h.Sum(nil))%a.n == 0
}

func (a *Auditor) run() {
	defer close(a.done)
	for s := range a.queue {
		err := s.pub.CrossCheck(s.message, s.sig)
		a.checked.Add(1)
		if err != nil {
			a.disagreed.Add(1)
			a.alarm(err)
		}
	}
}

// Checked returns how many signatures the second implementation has looked at.
func (a *Auditor) Checked() uint64 { return a.checked.Load() }

// Dropped returns how many were in the sample but not looked at.
func (a *Auditor) Dropped() uint64 { return a.dropped.Load() }

// Disagreed returns how many it refused. It must stay 0.
func (a *Auditor) Disagreed() uint64 { return a.disagreed.Load() }

// Close finishes what is queued and stops. Later signatures count as dropped.
func (a *Auditor) Close() {
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.queue)
	}
	a.mu.Unlock()
	<-a.done
}
