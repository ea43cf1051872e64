package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// fill makes a log of n entries of 600 bytes, by default 200,000.
func fill(b *testing.B) (l *Log, dir string, o Options, n uint64) {
	b.Helper()
	n = 200_000
	if s := os.Getenv("CUNZHENG_BENCH_ENTRIES"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			b.Fatal(err)
		}
	}
	dir = benchDir(b) + "/log"
	o = testOptions(b)
	if err := Create(dir, o); err != nil {
		b.Fatal(err)
	}
	l = openLog(b, dir, o)
	const each = 4000
	var next atomic.Uint64
	start := time.Now()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for from := next.Add(each) - each; from < n; from = next.Add(each) - each {
				entries := make([]Entry, min(each, n-from))
				for i := range entries {
					entries[i] = testEntry(from+uint64(i), 600)
				}
				if _, err := l.AppendAll(context.Background(), entries); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.Logf("%d entries appended in batches, %.0f/s", n, float64(n)/time.Since(start).Seconds())
	return l, dir, o, n
}

// BenchmarkStored measures what is done with a log that has entries: restart
// after a kill, look-ups, proofs, fsck and reindex.
func BenchmarkStored(b *testing.B) {
	l, dir, o, n := fill(b)
	rng := rand.New(rand.NewPCG(1, 1))
	b.Run("lookup-by-digest", func(b *testing.B) {
		load(b, 1, func(uint64) error {
			term := testEntry(rng.Uint64N(n), 600).Terms[kindSM3-1]
			hits, _, err := l.Find(Query{Kind: term.Kind, From: term.Value, To: term.Value, Limit: 10})
			if err == nil && len(hits) != 1 {
				err = fmt.Errorf("%d hits", len(hits))
			}
			return err
		})
	})
	b.Run("entry", func(b *testing.B) {
		load(b, 1, func(uint64) error {
			_, err := l.Entry(rng.Uint64N(n))
			return err
		})
	})
	b.Run("inclusion-proof", func(b *testing.B) {
		load(b, 1, func(uint64) error {
			_, err := l.InclusionProof(rng.Uint64N(n), n)
			return err
		})
	})
	// These take long; they run once however large b.N is.
	once := func(b *testing.B, op func() error) {
		s0, t0 := steal()
		start := time.Now()
		if err := op(); err != nil {
			b.Fatal(err)
		}
		elapsed := time.Since(start)
		s1, t1 := steal()
		b.ReportMetric(float64(n)/elapsed.Seconds(), "entries/s")
		b.ReportMetric(elapsed.Seconds()*1000, "ms")
		b.ReportMetric(100*(s1-s0)/max(t1-t0, 1), "steal-%")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("fsck", func(b *testing.B) {
		once(b, func() error {
			return l.Fsck(context.Background(), func(d Difference) { b.Error(d) })
		})
	})
	b.Run("reindex", func(b *testing.B) {
		once(b, func() error { return l.Reindex(context.Background()) })
	})
	b.Run("restart", func(b *testing.B) {
		closeLog(b, l)
		once(b, func() error {
			l = openLog(b, dir, o)
			_, err := l.Entry(n - 1)
			return err
		})
	})
	closeLog(b, l)
}
