package notary_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cunzheng/crypto/sm3"
	"cunzheng/notary"
)

// BenchmarkDepositDigest is a single deposit with everything on, by so many callers at once: number, statement,
// durable append, proof, receipt signed and verified, one in 64 re-checked by the second implementation.
func BenchmarkDepositDigest(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			n := newNode(b)
			var next atomic.Int64
			var group sync.WaitGroup
			before := cpuTime()
			b.ResetTimer()
			for range callers {
				group.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						_, err := n.DepositDigest(b.Context(), depositor, notary.DigestDeposit{
							SM3: digestOf(fmt.Sprint(i)), Name: "document.pdf", Case: "case", IdempotencyKey: fmt.Sprint("key-", i)})
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deposits/s")
			b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-µs/deposit")
		})
	}
}

// BenchmarkBatch is 10,000 digests in one call.
func BenchmarkBatch(b *testing.B) {
	n := newNode(b)
	deposits := sequence("batch", notary.MaxBatch)
	before := cpuTime()
	for b.Loop() {
		for _, r := range n.DepositDigests(b.Context(), depositor, deposits) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	}
	b.ReportMetric(float64(b.N*len(deposits))/b.Elapsed().Seconds(), "deposits/s")
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N*len(deposits)), "cpu-µs/deposit")
}

// cpuTime is the processor time of this process, which says more than the clock on a machine that others use too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDepositFile is one stream of a gigabyte, and its ratio to what one core hashes with SM3 in the same run.
func BenchmarkDepositFile(b *testing.B) {
	const size = 1 << 30
	n := newNode(b)
	b.SetBytes(size)
	var raw float64
	for range b.N {
		b.StopTimer()
		raw = max(raw, sm3Rate())
		b.StartTimer()
		if _, err := n.DepositFile(b.Context(), depositor, notary.FileDeposit{Name: "big"}, io.LimitReader(zeros{}, size)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(raw/1e6, "sm3-MB/s")
	b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds()/raw, "of-raw-SM3")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// sm3Rate is what one core hashes, in bytes per second.
func sm3Rate() float64 {
	const size = 128 << 20
	p := make([]byte, 1<<20)
	h := sm3.New()
	start := time.Now()
	for range size / len(p) {
		h.Write(p)
	}
	return size / time.Since(start).Seconds()
}

func BenchmarkSmallFile(b *testing.B) {
	n := newNode(b)
	content := strings.Repeat("x", 100_000)
	var group sync.WaitGroup
	var next atomic.Int64
	b.ResetTimer()
	for range 16 {
		group.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if _, err := n.DepositFile(b.Context(), depositor, notary.FileDeposit{Name: "f"}, strings.NewReader(content)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkGetAndBundle(b *testing.B) {
	n := newNode(b)
	var number string
	for _, r := range n.DepositDigests(b.Context(), depositor, sequence("x", 10_000)) {
		number = r.Deposit.Number
	}
	n.anchorNow(b)
	b.Run("get", func(b *testing.B) {
		for b.Loop() {
			if _, err := n.Get(b.Context(), depositor, number); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bundle", func(b *testing.B) {
		for b.Loop() {
			if err := n.Bundle(b.Context(), depositor, number, io.Discard, notary.BundleOptions{Disclose: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("search", func(b *testing.B) {
		for b.Loop() {
			if _, err := n.Search(b.Context(), depositor, notary.Query{NewestFirst: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
