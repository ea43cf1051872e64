package ledger

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// steal returns the time that the host took from this machine, in ticks.
func steal() (stolen, total float64) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 1
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(line)[1:] {
		v, _ := strconv.ParseFloat(f, 64)
		if total += v; i == 7 {
			stolen = v
		}
	}
	return stolen, total
}

// load runs b.N operations from a number of callers and reports rate and latency.
func load(b *testing.B, callers int, op func(i uint64) error) (perSecond float64) {
	b.Helper()
	var next atomic.Int64
	latencies := make([][]time.Duration, callers)
	var wg sync.WaitGroup
	s0, t0 := steal()
	start := time.Now()
	for c := range callers {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(b.N) {
					return
				}
				began := time.Now()
				if err := op(uint64(i)); err != nil {
					b.Error(err)
					return
				}
				latencies[c] = append(latencies[c], time.Since(began))
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	s1, t1 := steal()
	all := slices.Concat(latencies...)
	slices.Sort(all)
	perSecond = float64(b.N) / elapsed.Seconds()
	b.ReportMetric(perSecond, "entries/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(100*(s1-s0)/max(t1-t0, 1), "steal-%")
	b.ReportMetric(0, "ns/op")
	return perSecond
}

// benchDir is a directory on the disk that is measured, and not in memory.
func benchDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp(os.Getenv("CUNZHENG_BENCH_DIR"), "ledger-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// BenchmarkAppend measures Append with four terms and a unique value, each
// answer waiting for a durable checkpoint that both SM2 implementations accept
// and carrying its checked proof. Beside each it measures what Pebble
// alone takes to store as many bytes durably for as many callers.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{256, 600} {
		for _, callers := range []int{1, 64, 256, 1024} {
			b.Run(fmt.Sprintf("size=%d/callers=%d", size, callers), func(b *testing.B) {
				dir := benchDir(b)
				o := testOptions(b)
				if err := Create(dir+"/log", o); err != nil {
					b.Fatal(err)
				}
				l := openLog(b, dir+"/log", o)
				defer closeLog(b, l)
				b.ResetTimer()
				load(b, callers, func(i uint64) error {
					_, err := l.Append(context.Background(), testEntry(i, size))
					return err
				})
			})
			b.Run(fmt.Sprintf("size=%d/callers=%d/pebble-alone", size, callers), func(b *testing.B) {
				s, err := openStore(benchDir(b), testOptions(b).withDefaults(), storeEvents{}, orExisting)
				if err != nil {
					b.Fatal(err)
				}
				defer s.close()
				b.ResetTimer()
				load(b, callers, func(i uint64) error {
					return s.db.Set(numberKey(rowEntry, i), testEntry(i, size).Data, pebble.Sync)
				})
			})
		}
	}
}
