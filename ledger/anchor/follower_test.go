package anchor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"cunzheng/chaincode"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/anchor/anchortest"
	"cunzheng/ledger/tlog"
)

// watch is a follower of a ledger in memory, in a bubble of synctest.
type watch struct {
	*testing.T
	ledger   *memory
	o        anchor.FollowerOptions
	follower *anchor.Follower
	stop     func()

	mu     sync.Mutex
	alarms []error // under mu
}

func newWatch(t *testing.T) *watch {
	w := &watch{T: t, ledger: newMemory()}
	w.o = anchor.FollowerOptions{
		Ledger:   w.ledger,
		Bookmark: new(anchortest.Bookmark),
		Backoff:  anchor.Backoff{Min: time.Second, Max: time.Minute},
		Alarm: func(err error) {
			_ = w.follower.Status() // an alarm may ask
			w.mu.Lock()
			defer w.mu.Unlock()
			w.alarms = append(w.alarms, err)
		},
	}
	w.restart()
	return w
}

// restart replaces the follower by a new one, which runs.
func (w *watch) restart() {
	w.Helper()
	if w.stop != nil {
		w.stop()
	}
	f, err := anchor.NewFollower(w.o)
	if err != nil {
		w.Fatal(err)
	}
	w.follower = f
	ctx, cancel := context.WithCancel(w.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	w.stop = func() { cancel(); running.Wait() }
	w.Cleanup(w.stop)
	synctest.Wait()
}

// anchored has the ledger announce a head, whatever it was before.
func (w *watch) anchored(origin string, size uint64, root byte) {
	w.ledger.announce(anchored(origin, size, root))
	synctest.Wait()
}

func anchored(origin string, size uint64, root byte) chaincode.Announcement {
	payload := fmt.Appendf(nil, `{"origin":%q,"root":"%s","size":%d}`, origin, tlog.Hash{root}, size)
	return chaincode.Announcement{Name: chaincode.EventAnchored, Payload: payload}
}

func (w *watch) wantAlarms(want ...error) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.alarms) != len(want) {
		w.Fatalf("alarms %v, want %v", w.alarms, want)
	}
	for i, kind := range want {
		if !errors.Is(w.alarms[i], kind) {
			w.Errorf("alarm %q, want %v", w.alarms[i], kind)
		}
	}
}

func TestFollowerContradictions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		w.anchored("a", 5, 1)
		w.anchored("b", 3, 2)
		w.anchored("a", 5, 1)
		w.anchored("a", 7, 3)
		w.wantAlarms()
		w.anchored("a", 6, 4)
		w.wantAlarms(anchor.ErrRollback)
		w.anchored("b", 3, 5)
		w.wantAlarms(anchor.ErrRollback, anchor.ErrFork)
		want := map[string]anchor.Head{
			"a": {Block: 4, Root: tlog.Hash{3}, Size: 7},
			"b": {Block: 2, Root: tlog.Hash{2}, Size: 3},
		}
		if diff := cmp.Diff(want, w.follower.Status().Heads); diff != "" {
			t.Error(diff)
		}
		wantFindings := []anchor.Finding{
			{Origin: "a", Block: 5, Size: 6, Known: 7, Roots: [2]tlog.Hash{{3}, {4}}},
			{Origin: "b", Block: 6, Size: 3, Known: 3, Roots: [2]tlog.Hash{{2}, {5}}},
		}
		if diff := cmp.Diff(wantFindings, w.follower.Status().Findings); diff != "" {
			t.Error(diff)
		}

		// After a restart they are known still, and nobody is alarmed a second time.
		w.restart()
		w.anchored("a", 8, 6)
		w.wantAlarms(anchor.ErrRollback, anchor.ErrFork)
		if diff := cmp.Diff(wantFindings, w.follower.Status().Findings); diff != "" {
			t.Error(diff)
		}
		w.anchored("a", 1, 6)
		w.wantAlarms(anchor.ErrRollback, anchor.ErrFork, anchor.ErrRollback)
	})
}

func TestFollowerReportedFork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		w.ledger.announce(chaincode.Announcement{Name: chaincode.EventForkReported, Payload: fmt.Appendf(nil,
			`{"organisation":"bureau","origin":"a","roots":["%s","%s"],"size":9}`, tlog.Hash{1}, tlog.Hash{2})})
		synctest.Wait()
		w.wantAlarms(anchor.ErrFork)
		var found *anchor.Finding
		if !errors.As(w.alarms[0], &found) || *found != (anchor.Finding{
			Origin: "a", Block: 1, Organisation: "bureau", Size: 9, Known: 9, Roots: [2]tlog.Hash{{1}, {2}},
		}) {
			t.Errorf("found %+v", found)
		}
		if text := found.Error(); !strings.Contains(text, "bureau") || !strings.Contains(text, "size 9") {
			t.Errorf("text %q", text)
		}
	})
}

// TestFollowerPlace has several events in one block and a ledger that breaks off between them: each counts once.
func TestFollowerPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Seen a second time, the first event of block 7 would be a rollback.
		blocks := &oneBlock{events: []chaincode.Announcement{anchored("a", 1, 1), anchored("a", 2, 2), anchored("a", 3, 3)}}
		var alarms []error
		f, err := anchor.NewFollower(anchor.FollowerOptions{Ledger: blocks, Alarm: func(err error) { alarms = append(alarms, err) }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { f.Run(ctx) })
		time.Sleep(time.Hour)
		cancel()
		running.Wait()
		if len(alarms) != 0 || f.Status().Heads["a"].Size != 3 {
			t.Errorf("alarms %v, heads %+v", alarms, f.Status().Heads)
		}
		if blocks.calls < 3 {
			t.Errorf("%d calls", blocks.calls)
		}
	})
}

// oneBlock is a ledger of one block, number 7, of which each call gives one event more before it fails.
type oneBlock struct {
	events []chaincode.Announcement
	calls  int
}

func (o *oneBlock) Describe() anchor.Description { return anchor.Description{Name: "one"} }

func (o *oneBlock) Events(_ context.Context, from uint64, fn func(uint64, chaincode.Announcement) error) error {
	o.calls++
	for _, e := range o.events[:min(o.calls, len(o.events))] {
		if from > 7 {
			break
		}
		if err := fn(7, e); err != nil {
			return err
		}
	}
	return anchor.ErrUnavailable
}

func TestFollowerReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		w.anchored("a", 1, 1)
		down := errors.New("down")
		w.ledger.fail(func(string) error { return down }, nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		status := w.follower.Status()
		if !errors.Is(status.LastError, down) || status.Failures < 60 || status.NextAttempt.IsZero() {
			t.Fatalf("status %+v", status)
		}
		w.ledger.fail(nil, nil)
		w.anchored("a", 2, 2)
		time.Sleep(time.Minute)
		synctest.Wait()
		status = w.follower.Status()
		if status.LastError != nil || status.Failures != 0 || !status.NextAttempt.IsZero() || status.Heads["a"].Size != 2 {
			t.Errorf("status %+v", status)
		}
		w.wantAlarms()
	})
}

// TestFollowerUnreadableEvent holds that an event in another form does not hide those that follow.
func TestFollowerUnreadableEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		for _, name := range []string{chaincode.EventAnchored, chaincode.EventForkReported} {
			w.ledger.announce(chaincode.Announcement{Name: name, Payload: []byte("{")})
		}
		w.anchored("a", 1, 1)
		if w.follower.Status().Heads["a"].Size != 1 {
			t.Errorf("status %+v", w.follower.Status())
		}
		w.wantAlarms()
	})
}

func TestFollowerBookmarkFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		full := errors.New("disk full")
		bookmark := w.o.Bookmark.(*anchortest.Bookmark)
		bookmark.Fail(full)
		time.Sleep(time.Minute)
		w.anchored("a", 1, 1)
		if status := w.follower.Status(); !errors.Is(status.LastError, full) || status.Heads["a"].Size != 1 {
			t.Fatalf("status %+v", status)
		}
		bookmark.Fail(nil)
		time.Sleep(time.Minute)
		w.restart()
		if got := w.follower.Status().Heads["a"].Size; got != 1 {
			t.Errorf("size %d after a restart", got)
		}
	})
}

func TestFollowerWrongBookmark(t *testing.T) {
	for _, text := range []string{"{", `{"ledger":"other"}`, `{"ledger":"test","more":1}`} {
		bookmark := new(anchortest.Bookmark)
		if err := bookmark.Store([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := anchor.NewFollower(anchor.FollowerOptions{Ledger: newMemory(), Bookmark: bookmark}); err == nil {
			t.Errorf("bookmark %s was taken", text)
		}
	}
}

func TestFollowerMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		w.stop()
		registry := prometheus.NewRegistry()
		w.o.Registerer = registry
		w.restart()
		w.anchored("a", 2, 1)
		w.anchored("a", 1, 1)
		w.anchored("b", 1, 1)
		got := make(map[string]float64)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			m := f.Metric[0]
			got[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
		want := map[string]float64{
			"cunzheng_follower_block": 3, "cunzheng_follower_logs": 2, "cunzheng_follower_findings": 1,
			"cunzheng_follower_events_total": 3, "cunzheng_follower_failures_total": 0,
			"cunzheng_follower_last_event_seconds": float64(time.Now().Unix()),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if _, err := anchor.NewFollower(w.o); err == nil {
			t.Error("the metrics were registered twice")
		}
	})
}

func TestFileBookmark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bookmark.json")
	b := anchor.FileBookmark(path)
	if text, err := b.Load(); text != nil || err != nil {
		t.Errorf("before the first: %q, %v", text, err)
	}
	for _, want := range []string{"one", "two"} {
		if err := b.Store([]byte(want)); err != nil {
			t.Fatal(err)
		}
		if text, err := b.Load(); string(text) != want || err != nil {
			t.Errorf("loaded %q, %v; want %q", text, err, want)
		}
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("files %v, %v", files, err)
	}
	if err := anchor.FileBookmark(filepath.Join(path, "none")).Store(nil); err == nil {
		t.Error("stored in a folder that is none")
	}
}

// TestForkIsFiled has the ledger out of reach when the worker wants to file the proof.
func TestForkIsFiled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 5)
		b.run()
		b.pass(time.Minute)
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		b.o.Log = b.log.Fork(4, 1)
		b.restart()
		b.ledger.fail(on("ReportFork", times(3, fmt.Errorf("%w: down", anchor.ErrUnavailable))), nil)
		b.run()
		b.wantHalted(anchor.ErrFork, 1)
		if b.worker.Status().ForkReported {
			t.Error("reported although the ledger was down")
		}
		b.pass(time.Hour)
		if n := b.ledger.count("ReportFork"); n != 4 || !b.worker.Status().ForkReported {
			t.Errorf("%d attempts, status %+v", n, b.worker.Status())
		}
		b.wantHalted(anchor.ErrFork, 1)
	})
}

// TestForkIsFoundWhileAnchoring has another copy of the log anchor between the comparison and the anchoring.
func TestForkIsFoundWhileAnchoring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 5)
		b.o.Log = b.log.Fork(4, 1)
		b.restart()
		first := true
		b.ledger.fail(on("Anchor", func(string) error {
			if first {
				first = false
				if _, err := b.ledger.Anchor(t.Context(), b.log.Latest(), nil); err != nil {
					t.Error(err)
				}
			}
			return nil
		}), nil)
		b.run()
		b.wantHalted(anchor.ErrFork, 1)
		b.pass(time.Hour)
		if n := b.ledger.count("ReportFork"); n != 1 || !b.worker.Status().ForkReported {
			t.Errorf("%d attempts, status %+v", n, b.worker.Status())
		}
	})
}

// TestRefusedReport holds that a proof which the ledger does not take is not sent for ever.
func TestRefusedReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 5)
		b.run()
		b.pass(time.Minute)
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		b.o.Log = b.log.Fork(4, 1)
		b.restart()
		b.ledger.fail(on("ReportFork", func(string) error { return anchor.ErrRefused }), nil)
		b.run()
		b.pass(time.Hour)
		if n := b.ledger.count("ReportFork"); n != 1 || b.worker.Status().ForkReported {
			t.Errorf("%d attempts, status %+v", n, b.worker.Status())
		}
	})
}
