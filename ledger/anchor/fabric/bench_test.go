package fabric_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cunzheng/chaincode"
	"cunzheng/crypto/sm3"
)

// latencies collects how long calls took.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration // under mu
}

func (l *latencies) time(call func()) {
	start := time.Now()
	call()
	took := time.Since(start)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, took)
}

func (l *latencies) report(b *testing.B) {
	slices.Sort(l.all)
	at := func(share float64) float64 {
		return float64(l.all[int(share*float64(len(l.all)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(float64(len(l.all))/b.Elapsed().Seconds(), "tx/s")
}

// BenchmarkAnchor anchors one log's heads one after the other, each with its verified proof.
func BenchmarkAnchor(b *testing.B) {
	l := openAs(b, "notary", nil)
	log := registered(b, l, b.N+1).Tree()
	anchorOne := func(size uint64) {
		if _, err := l.Anchor(b.Context(), log.Head(b, size), log.Consistency(b, size-1, size)); err != nil {
			b.Fatal(err)
		}
	}
	anchorOne(1)
	var took latencies
	size := uint64(1)
	for b.Loop() {
		size++
		if size > log.Size() {
			log.Append(1)
		}
		took.time(func() { anchorOne(size) })
	}
	took.report(b)
}

// BenchmarkAnchorLogs anchors the heads of many logs at once, as many nodes on one channel do.
func BenchmarkAnchorLogs(b *testing.B) {
	for _, logs := range []int{4, 16, 64} {
		b.Run(fmt.Sprint(logs), func(b *testing.B) {
			l := openAs(b, "notary", nil)
			var took latencies
			var left atomic.Int64
			left.Store(int64(b.N))
			var group, ready sync.WaitGroup
			start := make(chan struct{})
			ready.Add(logs)
			for range logs {
				log := registered(b, l, b.N+1).Tree()
				group.Go(func() {
					ready.Done()
					<-start
					for size := uint64(1); left.Add(-1) >= 0; size++ {
						took.time(func() {
							if _, err := l.Anchor(b.Context(), log.Head(b, size), log.Consistency(b, size-1, size)); err != nil {
								b.Error(err)
							}
						})
					}
				})
			}
			ready.Wait()
			b.ResetTimer()
			close(start)
			group.Wait()
			took.report(b)
		})
	}
}

// BenchmarkTransactionPerRecord is what batching is measured against: each record, a digest with a status, is a
// transaction of its own.
func BenchmarkTransactionPerRecord(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			l := openAs(b, "notary", nil)
			log := registered(b, l, 1).Tree()
			var took latencies
			var next atomic.Int64
			var group sync.WaitGroup
			b.ResetTimer()
			for range callers {
				group.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						digest := sm3.Sum(fmt.Appendf(nil, "%s record %d", log.Origin, n))
						record := fmt.Appendf(nil, `{"at":"2026-11-23T11:22:33.456Z","certificate":"%s","entry":%d,"reason":"","status":"valid"}`,
							hex.EncodeToString(digest[:]), n)
						took.time(func() {
							if _, err := l.Submit(b.Context(), chaincode.FuncPublishStatus, []byte(log.Origin), record); err != nil {
								b.Error(err)
							}
						})
					}
				})
			}
			group.Wait()
			took.report(b)
		})
	}
}
