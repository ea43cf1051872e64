package vault_test

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"cunzheng/crypto/sm3"
	"cunzheng/notary/vault"
)

// TestMemory holds that memory does not grow with the size: a gigabyte goes in while the heap stays where it was.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a gigabyte")
	}
	checkMemory(t, openFolder(t).Vault, "big", 1<<30)
}

// checkMemory stores size bytes and holds that the heap grows by no more than 64 MiB.
func checkMemory(t *testing.T, v *vault.Vault, id string, size int64) {
	t.Helper()
	done := make(chan struct{})
	var peak uint64
	var watcher sync.WaitGroup
	runtime.GC()
	idle := heap()
	watcher.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
				peak = max(peak, heap())
			}
		}
	})
	_, err := v.Put(t.Context(), id, io.LimitReader(zeros{}, size), 0)
	close(done)
	watcher.Wait()
	if err != nil {
		t.Fatal(err)
	}
	grown := int64(peak) - int64(idle)
	t.Logf("the heap grew by %d MiB", grown>>20)
	if grown > 64<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// BenchmarkPut prints the rate of one stream and its ratio to raw SM3 in the same run.
func BenchmarkPut(b *testing.B) {
	const size = 1 << 30
	raw := sm3Rate()
	v := openFolder(b)
	b.SetBytes(size)
	for i := range b.N {
		id := fmt.Sprintf("b-%d", i)
		if _, err := v.Put(b.Context(), id, io.LimitReader(zeros{}, size), 0); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := v.Abort(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	rate := float64(size) * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(raw/1e6, "sm3-MB/s")
	b.ReportMetric(rate/raw, "of-raw-SM3")
}

// BenchmarkDigest is the same without encryption and disk.
func BenchmarkDigest(b *testing.B) {
	const size = 256 << 20
	raw := sm3Rate()
	b.SetBytes(size)
	for b.Loop() {
		if _, err := vault.Digest(b.Context(), io.LimitReader(zeros{}, size), 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds()/raw, "of-raw-SM3")
}

// sm3Rate is what one core hashes, in bytes per second: the best of three runs, for the machine may be busy.
func sm3Rate() float64 {
	const size = 128 << 20
	p := make([]byte, 1<<20)
	best := math.Inf(1)
	for range 3 {
		start := time.Now()
		h := sm3.New()
		for range size / len(p) {
			h.Write(p)
		}
		best = min(best, time.Since(start).Seconds())
	}
	return size / best
}
