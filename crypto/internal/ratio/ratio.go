// Package ratio reports in a benchmark how fast the code under test is compared
// with other implementations on the same machine in the same run.
//
//	for b.Loop() { ours() }
//	ratio.Report(b, ours, ratio.Of("tjfoc", theirs)) // "2.41 x-tjfoc": ours is 2.41 times as fast
package ratio

import (
	"slices"
	"testing"
	"time"
)

// Reference is another implementation of the same operation.
type Reference struct {
	name string
	run  func()
}

// Of names a reference.
func Of(name string, run func()) Reference { return Reference{name, run} }

const (
	rounds = 5
	slice  = 20 * time.Millisecond
)

// Report measures ours and each reference in turns, so that a busy machine slows
// both, and reports the median of their ratios.
func Report(b *testing.B, ours func(), references ...Reference) {
	b.Helper()
	b.StopTimer()
	for _, ref := range references {
		var ratios []float64
		for range rounds {
			ratios = append(ratios, perOp(ref.run)/perOp(ours))
		}
		slices.Sort(ratios)
		b.ReportMetric(ratios[rounds/2], "x-"+ref.name)
	}
}

// perOp returns the seconds of one call.
func perOp(f func()) float64 {
	n := 0
	start := time.Now()
	for time.Since(start) < slice {
		f()
		n++
	}
	return time.Since(start).Seconds() / float64(n)
}
