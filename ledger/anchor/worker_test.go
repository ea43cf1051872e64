package anchor_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"cunzheng/chaincode"
	"cunzheng/chaincode/chaincodetest"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/anchor/anchortest"
)

const origin = "cunzheng.test/log"

// bench is a worker with its log and its ledger. The tests run it in a bubble of synctest, so that hours pass at once.
type bench struct {
	*testing.T
	log    *anchortest.Log
	ledger *memory
	worker *anchor.Worker
	o      anchor.Options
	stop   func() error // ends Run and returns what it returned

	mu     sync.Mutex
	alarms []error // under mu
}

// newBench returns a registered log with n entries.
func newBench(t *testing.T, n int) *bench {
	t.Helper()
	b := &bench{T: t, log: anchortest.NewLog(t, origin, n), ledger: newMemory()}
	if err := b.ledger.RegisterLog(t.Context(), origin, b.log.Tree().PublicKey()); err != nil {
		t.Fatal(err)
	}
	b.o = anchor.Options{
		Log:       b.log,
		Ledger:    b.ledger,
		Interval:  time.Minute,
		Threshold: 100,
		Backoff:   anchor.Backoff{Min: time.Second, Max: time.Minute},
		Alarm: func(err error) {
			_ = b.worker.Status() // an alarm may ask
			b.mu.Lock()
			defer b.mu.Unlock()
			b.alarms = append(b.alarms, err)
		},
	}
	b.restart()
	return b
}

// restart replaces the worker by a new one, which does not run yet.
func (b *bench) restart() {
	b.Helper()
	w, err := anchor.NewWorker(b.o)
	if err != nil {
		b.Fatal(err)
	}
	b.worker = w
}

func (b *bench) run() {
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- b.worker.Run(ctx) }()
	b.stop = sync.OnceValue(func() error { cancel(); return <-done })
	b.Cleanup(func() { _ = b.stop() })
	synctest.Wait()
}

// pass lets time pass and waits until the worker has done what is due.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// wantAnchored checks which heads are anchored, and that the log has the proof of each.
func (b *bench) wantAnchored(sizes ...uint64) {
	b.Helper()
	var anchored []uint64
	for key := range b.ledger.chain.Rows() {
		var size uint64
		if hex, ok := strings.CutPrefix(key, "head "+origin+" "); ok {
			if _, err := fmt.Sscanf(hex, "%x", &size); err != nil {
				b.Fatal(err)
			}
			anchored = append(anchored, size)
		}
	}
	slices.Sort(anchored)
	if !slices.Equal(anchored, sizes) {
		b.Fatalf("anchored at %d, want %d", anchored, sizes)
	}
	if stored := slices.Sorted(maps.Keys(b.log.Anchors())); !slices.Equal(stored, sizes) {
		b.Fatalf("proofs stored of %d, want %d", stored, sizes)
	}
	for size, proof := range b.log.Anchors() {
		if want, _ := b.ledger.chain.Reader().Get(chaincode.HeadKey(origin, size)); string(proof) != string(want) {
			b.Fatalf("the stored proof of size %d is %q, want %q", size, proof, want)
		}
	}
}

func (b *bench) wantHalted(kind error, alarms int) {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.alarms) != alarms {
		b.Fatalf("%d alarms, want %d: %v", len(b.alarms), alarms, b.alarms)
	}
	status := b.worker.Status()
	if !errors.Is(status.Halted, kind) || !errors.Is(status.LastError, kind) {
		b.Fatalf("halted by %v, last error %v, want %v", status.Halted, status.LastError, kind)
	}
	if alarms > 0 && !errors.Is(b.alarms[0], kind) {
		b.Fatalf("alarm %v, want %v", b.alarms[0], kind)
	}
}

func TestInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.run()
		b.wantAnchored(3)
		b.log.Append(1)
		b.pass(30 * time.Second)
		b.wantAnchored(3)
		if status := b.worker.Status(); status.AnchoredSize != 3 || status.Lag != 1 || status.LastError != nil {
			t.Errorf("status %+v", status)
		}
		b.log.Append(1)
		b.pass(31 * time.Second)
		b.wantAnchored(3, 5)
		if status := b.worker.Status(); status.AnchoredSize != 5 || status.Lag != 0 || time.Since(status.LastSuccess) > 2*time.Second {
			t.Errorf("status %+v", status)
		}
		if err := b.stop(); err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestThreshold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		b.run()
		b.log.Append(99)
		b.pass(2 * time.Second)
		b.wantAnchored(1)
		b.log.Append(1)
		b.pass(time.Second)
		b.wantAnchored(1, 101)
	})
}

// TestQuietLog holds that a log without new entries anchors nothing and does not bother the ledger, and that the entry
// that ends the silence need not wait.
func TestQuietLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 0)
		b.run()
		b.pass(24 * time.Hour)
		b.wantAnchored()
		if n := b.ledger.count("Latest"); n != 1 || b.ledger.count("Anchor") != 0 {
			t.Errorf("the worker asked the quiet log's ledger %d times and anchored %d times", n, b.ledger.count("Anchor"))
		}
		b.log.Append(1)
		b.pass(time.Second)
		b.wantAnchored(1)
		b.pass(24 * time.Hour)
		b.wantAnchored(1)
		if n := b.ledger.count("Anchor"); n != 1 {
			t.Errorf("%d transactions, want 1", n)
		}
	})
}

// TestFaults has the ledger fail in each way that passes. The worker comes through, anchors nothing twice, and has all
// proofs.
func TestFaults(t *testing.T) {
	down := fmt.Errorf("%w: connection refused", anchor.ErrUnavailable)
	for _, test := range []struct {
		name          string
		before, after func() func(op string) error
	}{
		{"all fails once", func() func(string) error { return times(1, down) }, nil},
		{"all fails seven times", func() func(string) error { return times(7, down) }, nil},
		{"asking fails", func() func(string) error { return on("Latest", times(3, down)) }, nil},
		{"anchoring fails", func() func(string) error { return on("Anchor", times(3, down)) }, nil},
		{"anchored, but not confirmed", nil, func() func(string) error { return on("Anchor", times(1, down)) }},
		{
			"anchored, not confirmed, and then out of reach",
			func() func(string) error { return on("Proof", times(3, down)) },
			func() func(string) error { return on("Anchor", times(1, down)) },
		},
		{"an error of unknown kind", func() func(string) error { return times(2, errors.New("what is this")) }, nil},
		{"refused for a while", func() func(string) error { return on("Anchor", times(2, anchor.ErrRefused)) }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, 3)
				b.run()
				b.wantAnchored(3)
				b.log.Append(2)
				var before, after func(string) error
				if test.before != nil {
					before = test.before()
				}
				if test.after != nil {
					after = test.after()
				}
				b.ledger.fail(before, after)
				b.pass(61 * time.Second)
				status := b.worker.Status()
				if status.LastError == nil && status.Lag > 0 {
					t.Errorf("no error in %+v", status)
				}
				b.pass(10 * time.Minute)
				b.wantAnchored(3, 5)
				status = b.worker.Status()
				if status.LastError != nil || status.Failures != 0 || status.Lag != 0 || !status.NextAttempt.IsZero() {
					t.Errorf("after healing: %+v", status)
				}
				if len(b.alarms) != 0 {
					t.Errorf("alarms %v", b.alarms)
				}
			})
		})
	}
}

// TestHang has the ledger accept calls and never answer.
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 3)
		b.o.Timeout = 10 * time.Second
		b.restart()
		b.ledger.fail(func(string) error { time.Sleep(20 * time.Second); return nil }, nil)
		b.run()
		b.pass(21 * time.Second)
		if status := b.worker.Status(); !errors.Is(status.LastError, anchor.ErrUnavailable) || status.Failures != 1 {
			t.Errorf("status %+v", status)
		}
		b.ledger.fail(nil, nil)
		b.pass(time.Minute)
		b.wantAnchored(3)
	})
}

// TestBackoff measures the pauses between attempts on a ledger that stays away.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 3)
		var attempts []time.Time
		b.ledger.fail(func(string) error {
			attempts = append(attempts, time.Now())
			return anchor.ErrUnavailable
		}, nil)
		b.run()
		b.pass(time.Hour)
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		const poll = 250 * time.Millisecond
		for i := 1; i < len(attempts); i++ {
			full := min(time.Second<<min(i-1, 10), time.Minute)
			if d := attempts[i].Sub(attempts[i-1]); d < full/2 || d > full+poll {
				t.Errorf("pause %d was %v, want %v to %v", i, d, full/2, full)
			}
		}
		if n := len(attempts); n < 60 || n > 150 {
			t.Errorf("%d attempts in an hour", n)
		}
		b.ledger.fail(nil, nil)
		if err := b.worker.Flush(t.Context()); err != nil { // does not wait for the back-off
			t.Error(err)
		}
		b.wantAnchored(3)
	})
}

// TestRestart has the process end between the anchor and PutAnchor.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 3)
		full := errors.New("disk full")
		b.log.FailPuts(full)
		if err := b.worker.Flush(t.Context()); !errors.Is(err, full) {
			t.Fatalf("flush: %v, want %v", err, full)
		}
		b.log.FailPuts(nil)
		b.restart()
		if status := b.worker.Status(); status.AnchoredSize != 0 {
			t.Errorf("before the ledger answers: %+v", status)
		}
		b.run()
		b.wantAnchored(3)
		if b.ledger.count("Anchor") != 1 || b.ledger.count("Proof") != 1 {
			t.Errorf("anchored %d times and fetched %d proofs, want 1 each", b.ledger.count("Anchor"), b.ledger.count("Proof"))
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}

		// The next start knows from the log what is anchored, even if the ledger is away.
		b.ledger.fail(func(string) error { return anchor.ErrUnavailable }, nil)
		b.log.Append(1)
		b.restart()
		b.run()
		if status := b.worker.Status(); status.AnchoredSize != 3 || status.Lag != 1 || !errors.Is(status.LastError, anchor.ErrUnavailable) {
			t.Errorf("status %+v", status)
		}
	})
}

// TestContradiction has the log go back, or fork, behind the ledger's back.
func TestContradiction(t *testing.T) {
	for _, test := range []struct {
		name  string
		kind  error
		other func(tree *chaincodetest.Log) *chaincodetest.Log // in place of a log of 10 anchored entries
	}{
		{"rollback", anchor.ErrRollback, func(tree *chaincodetest.Log) *chaincodetest.Log { return tree.Fork(6, 0) }},
		{"rollback to nothing", anchor.ErrRollback, func(tree *chaincodetest.Log) *chaincodetest.Log { return tree.Fork(0, 0) }},
		{"rollback, then other entries", anchor.ErrRollback, func(tree *chaincodetest.Log) *chaincodetest.Log { return tree.Fork(6, 3) }},
		{"fork at the same size", anchor.ErrFork, func(tree *chaincodetest.Log) *chaincodetest.Log { return tree.Fork(6, 4) }},
		{"fork that grew", anchor.ErrFork, func(tree *chaincodetest.Log) *chaincodetest.Log { return tree.Fork(6, 10) }},
		{"fork that grew, at a power of two", anchor.ErrFork, func(tree *chaincodetest.Log) *chaincodetest.Log { return tree.Fork(8, 8) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, 10)
				if err := b.worker.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				b.log.Replace(test.other(b.log.Tree()))
				b.restart()
				b.run()
				b.wantHalted(test.kind, 1)
				var contradiction *anchor.Contradiction
				if !errors.As(b.worker.Status().Halted, &contradiction) {
					t.Fatalf("halted by %v, want a Contradiction", b.worker.Status().Halted)
				}
				if contradiction.Anchored.Size != 10 || contradiction.Local.Root != b.log.Latest().Root {
					t.Errorf("contradiction %+v", contradiction)
				}
				if text := contradiction.Error(); !strings.Contains(text, origin+" has size 10 and root ") {
					t.Errorf("contradiction %q", text)
				}

				// It stays so, whatever comes.
				b.log.Append(200)
				b.pass(time.Hour)
				if err := b.worker.Flush(t.Context()); !errors.Is(err, test.kind) {
					t.Errorf("flush: %v, want %v", err, test.kind)
				}
				b.wantHalted(test.kind, 1)
				b.wantAnchored(10)
				if n := b.ledger.count("Anchor"); n != 1 {
					t.Errorf("%d transactions, want 1", n)
				}
				if err := b.stop(); !errors.Is(err, test.kind) {
					t.Errorf("Run returned %v, want %v", err, test.kind)
				}
			})
		})
	}
}

// TestContradictionSeenByTheContract has the ledger answer with an old head, so that only the contract notices.
func TestContradictionSeenByTheContract(t *testing.T) {
	for _, kind := range []error{anchor.ErrFork, anchor.ErrRollback} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, 3)
			b.ledger.fail(on("Anchor", times(1, kind)), nil)
			b.run()
			b.wantHalted(kind, 1)
			b.pass(time.Hour)
			b.wantAnchored()
		})
	}
}

// TestLedgerMadeAnew has the ledger lose what it proved. This is no contradiction of the log, but nothing is anchored.
func TestLedgerMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 3)
		if err := b.worker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.ledger = newMemory()
		if err := b.ledger.RegisterLog(t.Context(), origin, b.log.Tree().PublicKey()); err != nil {
			t.Fatal(err)
		}
		b.o.Ledger = b.ledger
		b.restart()
		b.log.Append(1)
		b.run()
		b.pass(time.Hour)
		status := b.worker.Status()
		if !errors.Is(status.LastError, anchor.ErrUnavailable) || status.Halted != nil || status.AnchoredSize != 3 || status.Lag != 1 {
			t.Errorf("status %+v", status)
		}
		if n := b.ledger.count("Anchor"); n != 0 {
			t.Errorf("%d transactions on the new ledger", n)
		}
	})
}

func TestForeignOrganisation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, log: anchortest.NewLog(t, origin, 3), ledger: newMemory()}
		if _, err := b.ledger.chain.Invoke(b.ledger.chain.Foreign(), chaincode.FuncRegisterLog, []byte(origin), b.log.Tree().SPKI()); err != nil {
			t.Fatal(err)
		}
		b.o = anchor.Options{Log: b.log, Ledger: b.ledger}
		b.restart()
		b.run()
		var refusal *chaincode.Error
		status := b.worker.Status()
		if !errors.Is(status.LastError, anchor.ErrRefused) || !errors.As(status.LastError, &refusal) || refusal.Code != chaincode.NotOwner {
			t.Errorf("status %+v, want NOT_OWNER", status)
		}
		b.wantAnchored()
	})
}

// TestFlushWhileRunning has many callers flush beside Run and an appender.
func TestFlushWhileRunning(t *testing.T) {
	b := newBench(t, 1)
	b.o.Interval = time.Millisecond
	b.restart()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() { _ = b.worker.Run(ctx) })
	var flushes sync.WaitGroup
	for range 4 {
		flushes.Go(func() {
			for range 10 {
				b.log.Append(1)
				size := b.log.Latest().Size
				if err := b.worker.Flush(ctx); err != nil {
					t.Error(err)
				}
				if anchored := b.worker.Status().AnchoredSize; anchored < size {
					t.Errorf("flushed to %d, want at least %d", anchored, size)
				}
			}
		})
	}
	flushes.Wait()
	cancel()
	group.Wait()
	if size, _, err := b.log.LatestAnchor(); err != nil || size != 41 {
		t.Errorf("anchored to %d, %v; want 41", size, err)
	}
}

func TestFlushWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		b.ledger.fail(func(string) error { time.Sleep(time.Second); return nil }, nil)
		b.run() // its attempt takes two seconds
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := b.worker.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flush: %v, want a timeout", err)
		}
		b.pass(time.Minute)
		b.wantAnchored(1)
	})
}

// TestShutdown ends Run during an attempt: this is no failure of the ledger.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 1)
		b.ledger.fail(func(string) error { time.Sleep(time.Second); return nil }, nil)
		b.run()
		if err := b.stop(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		if status := b.worker.Status(); status.LastError != nil || status.Failures != 0 {
			t.Errorf("status %+v", status)
		}
		b.ledger.fail(nil, nil)
		if err := b.worker.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		b.wantAnchored(1)
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 3)
		registry := prometheus.NewPedanticRegistry()
		b.o.Registerer = registry
		b.restart()
		if _, err := anchor.NewWorker(b.o); err == nil {
			t.Error("the same metrics were registered twice")
		}
		b.ledger.fail(times(1, anchor.ErrUnavailable), nil)
		_ = b.worker.Flush(t.Context())
		for range 2 {
			if err := b.worker.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		b.log.Append(2)
		want := map[string]float64{
			"cunzheng_anchor_attempts_total anchored":    1,
			"cunzheng_anchor_attempts_total unavailable": 1,
			"cunzheng_anchor_attempts_total unchanged":   1,
			"cunzheng_anchor_duration_seconds":           3,
			"cunzheng_anchor_halted":                     0,
			"cunzheng_anchor_lag_entries":                2,
			"cunzheng_anchor_last_success_seconds":       float64(time.Now().Unix()),
			"cunzheng_anchor_size":                       3,
		}
		if diff := cmp.Diff(want, gather(t, registry)); diff != "" {
			t.Error(diff)
		}
		b.log.Replace(b.log.Tree().Fork(2, 1))
		_ = b.worker.Flush(t.Context())
		if got := gather(t, registry); got["cunzheng_anchor_halted"] != 1 || got["cunzheng_anchor_attempts_total contradiction"] != 1 {
			t.Errorf("after a contradiction: %v", got)
		}
	})
}

// gather returns the values of all metrics by name and label values, of a histogram the number of observations.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
		if family.GetHelp() == "" {
			t.Errorf("%s has no help text", family.GetName())
		}
	}
	return values
}
