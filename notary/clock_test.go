package notary_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cunzheng/evidence"
	"cunzheng/notary"
)

// attempt makes one deposit of each kind and returns the errors.
func (n *node) attempt(t *testing.T, content string) map[string]error {
	t.Helper()
	_, file := n.DepositFile(t.Context(), depositor, notary.FileDeposit{Name: "a"}, strings.NewReader(content))
	_, digest := n.DepositDigest(t.Context(), depositor, notary.DigestDeposit{SM3: digestOf(content)})
	batch := n.DepositDigests(t.Context(), depositor, sequence(content, 1))
	return map[string]error{"file": file, "digest": digest, "batch": batch[0].Err}
}

func (n *node) wantRefused(t *testing.T, code string) *notary.Error {
	t.Helper()
	var last *notary.Error
	for _, err := range n.attempt(t, "refused") {
		last = wantCode(t, err, code)
		if last.Retry < time.Second || last.Retry > time.Hour {
			t.Errorf("come back after %v", last.Retry)
		}
	}
	return last
}

func (n *node) wantTaken(t *testing.T) {
	t.Helper()
	for kind, err := range n.attempt(t, "taken") {
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestClockGoesBack: a time that has passed is given to nothing new, over a restart too; what was deposited before is
// answered.
func TestClockGoesBack(t *testing.T) {
	n := newNode(t)
	file := notary.FileDeposit{Name: "a", IdempotencyKey: "file"}
	digest := notary.DigestDeposit{SM3: digestOf("1"), IdempotencyKey: "digest"}
	first := []string{n.mustDepositFile(t, depositor, file, "1").Number, n.mustDepositDigest(t, depositor, digest).Number}
	size := n.log.Latest().Size

	n.clock.add(-72 * time.Hour)
	for range 2 {
		n.wantRefused(t, notary.CodeClockBehind)
		n.wantAlarms(t, 1)
		n.wantRefused(t, notary.CodeClockBehind) // the same episode
		again := []*notary.Deposit{
			n.mustDepositFile(t, depositor, file, "1"), n.mustDepositDigest(t, depositor, digest),
			n.DepositDigests(t.Context(), depositor, []notary.DigestDeposit{digest})[0].Deposit,
		}
		for i, number := range append(first, first[1]) {
			if !again[i].Duplicate || again[i].Number != number {
				t.Errorf("repeated: %+v, want %s", again[i], number)
			}
		}
		other := digest
		other.SM3 = digestOf("2")
		_, err := n.DepositDigest(t.Context(), depositor, other)
		wantCode(t, err, notary.CodeIdempotencyConflict)
		n.restart(t)
	}
	if n.log.Latest().Size != size || n.originals(t) != 1 {
		t.Errorf("something refused was kept: %d entries more, %d originals", n.log.Latest().Size-size, n.originals(t))
	}
	n.wantAlarms(t, 1)                      // of the start
	n.clock.add(72*time.Hour - time.Second) // all but right
	n.wantTaken(t)
	n.clock.add(time.Minute)
	n.wantTaken(t)
	n.wantAlarms(t, 0)
	n.wantClean(t)
}

// TestTimeNeverGoesBack: small corrections of the clock are followed without going back, neither in time nor in numbers.
func TestTimeNeverGoesBack(t *testing.T) {
	n := newNode(t)
	var last *evidence.Statement
	for range 20 {
		s := statementOf(t, n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("1")}))
		if last != nil && (s.ReceivedAt < last.ReceivedAt || s.Number <= last.Number) {
			t.Errorf("%s at %v after %s at %v", s.Number, s.ReceivedAt, last.Number, last.ReceivedAt)
		}
		last = s
		n.clock.add(-100 * time.Millisecond)
	}
	n.wantTaken(t)
	n.restart(t)
	n.wantTaken(t)
}

// TestClockLeaps: a clock that leaps is not believed before it is right again, or an operator restarts the service.
func TestClockLeaps(t *testing.T) {
	for name, test := range map[string]struct {
		leap time.Duration
		code string
	}{"ahead": {400 * 24 * time.Hour, notary.CodeClockAhead}, "back": {-2 * time.Hour, notary.CodeClockBehind}} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.wantTaken(t)
			n.clock.add(72 * time.Hour) // a quiet time: going back passes nothing that is in the log
			n.wantTaken(t)
			n.clock.add(20 * time.Minute)
			before := n.clock.Now()
			n.clock.set(test.leap)
			n.wantRefused(t, test.code)
			n.wantAlarms(t, 1)
			n.clock.add(30 * time.Minute)
			n.wantRefused(t, test.code)

			// What takes somebody's power away must not wait, and its time is not the wrong one.
			n.wantClosing(t)
			n.clock.set(-test.leap)
			n.wantTaken(t)
			n.wantAlarms(t, 0)
			s := statementOf(t, n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("1")}))
			if at := s.ReceivedAt.Time(); at.Before(before) || at.After(n.clock.Now()) {
				t.Errorf("received at %v, between %v and %v", at, before, n.clock.Now())
			}
			n.clock.set(test.leap)
			n.wantRefused(t, test.code)
			n.wantAlarms(t, 1)
			if test.leap > 0 {
				n.restart(t) // says that the clock is right
				n.wantTaken(t)
			}
		})
	}
}

// wantClosing holds that an organisation can be closed and not registered.
func (n *node) wantClosing(t *testing.T) {
	t.Helper()
	o := evidence.Organisation{ID: "org-z", Name: "Z", Status: evidence.StandingClosed}
	if err := n.RegisterOrganisation(t.Context(), peopleAdm, o); err != nil {
		t.Error(err)
	}
	o.Status = evidence.StandingActive
	if err := n.RegisterOrganisation(t.Context(), peopleAdm, o); err == nil {
		t.Error("an organisation is registered at a wrong time")
	}
}

// TestLeapBeforeTheFirst: the clock is watched from the start on.
func TestLeapBeforeTheFirst(t *testing.T) {
	n := newNode(t)
	n.restart(t) // writes nothing
	n.clock.set(2 * time.Hour)
	n.wantRefused(t, notary.CodeClockAhead)
	n.wantAlarms(t, 1)
}

// TestSlowDrift: what sums up over weeks, because both clocks are a little off, is no leap.
func TestSlowDrift(t *testing.T) {
	n := newNode(t)
	for range 24 * 14 {
		n.clock.add(time.Hour)
		n.clock.set(5 * time.Second)
		n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("1")})
	}
}

// TestRefusalsLeaveNoTime: what is refused while the clock is wrong within bounds does not stand in the way of what comes
// once it is right.
func TestRefusalsLeaveNoTime(t *testing.T) {
	n := newNode(t)
	n.wantTaken(t)
	n.clock.set(50 * time.Second)
	for _, d := range []notary.FileDeposit{{Name: "a/b"}, {Name: "a", Case: "a\nb"}, {Name: "a", ExpectSM3: digestOf("other")}} {
		if _, err := n.DepositFile(t.Context(), depositor, d, strings.NewReader("x")); err == nil {
			t.Fatalf("%+v is accepted", d)
		}
	}
	n.DepositDigests(t.Context(), depositor, []notary.DigestDeposit{{}, {SM3: digestOf("x"), Name: "a/b"}})
	n.clock.set(-50 * time.Second)
	n.wantTaken(t)
	n.wantAlarms(t, 0)
}

// TestNumbersOfTomorrow: numbers given out under tomorrow's date, for deposits that were then refused, hold deposits up
// rather than make statements that no verifier accepts.
func TestNumbersOfTomorrow(t *testing.T) {
	n := newNode(t)
	now := n.clock.Now()
	midnight := now.Truncate(24 * time.Hour).Add(16 * time.Hour) // in China
	for !midnight.After(now) {
		midnight = midnight.Add(24 * time.Hour)
	}
	n.clock.add(midnight.Sub(now) - 20*time.Second)
	n.wantTaken(t)
	n.clock.set(40 * time.Second)
	wrong := notary.FileDeposit{Name: "a", ExpectSM3: digestOf("other")}
	if _, err := n.DepositFile(t.Context(), depositor, wrong, strings.NewReader("x")); err == nil {
		t.Fatal("accepted")
	}
	n.clock.set(-40 * time.Second)
	for range 2 {
		n.wantRefused(t, notary.CodeClockBehind)
		n.wantAlarms(t, 1)
		n.restart(t)
	}
	n.wantAlarms(t, 1)
	n.clock.add(20 * time.Second)
	n.wantTaken(t)
	d := n.mustDepositFile(t, depositor, notary.FileDeposit{Name: "a"}, "x")
	n.wantPassed(t, depositor, d.Number, notary.BundleOptions{WithContent: true})
}

// TestClockDuringUpload: the clock goes wrong while the bytes come in.
func TestClockDuringUpload(t *testing.T) {
	n := newNode(t)
	content := strings.NewReader(strings.Repeat("x", 100_000))
	r := readerFunc(func(p []byte) (int, error) {
		if content.Len() == 100_000 {
			n.clock.set(2 * time.Hour)
		}
		return content.Read(p)
	})
	n.wantTaken(t)
	kept := n.originals(t)
	_, err := n.DepositFile(t.Context(), depositor, notary.FileDeposit{Name: "a"}, r)
	wantCode(t, err, notary.CodeClockAhead)
	n.wantAlarms(t, 1)
	if n.originals(t) != kept {
		t.Error("an original is left")
	}
	n.wantClean(t)
}

func TestClockSkewMetric(t *testing.T) {
	registry := prometheus.NewRegistry()
	n := newNode(t, func(n *node) { n.registerer = registry })
	n.wantTaken(t)
	skew := func() float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "cunzheng_notary_clock_skew_seconds" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatal("no gauge of the clock's skew")
		return 0
	}
	for _, leap := range []time.Duration{0, 2 * time.Hour, -2 * time.Hour} {
		n.clock.set(leap)
		if got := skew(); got != leap.Seconds() {
			t.Errorf("skew %v after a leap of %v", got, leap)
		}
		n.clock.set(-leap)
	}
}

// TestStartWithLostMark: the first number of a new day may be given out before anything is in the log.
func TestStartWithLostMark(t *testing.T) {
	n := newNode(t)
	n.wantTaken(t)
	n.clock.add(-time.Hour)
	n.stop(t)
	if err := os.Remove(filepath.Join(n.dir, "notary", "numbers.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	n.start(t)
	n.wantRefused(t, notary.CodeClockBehind)
	n.wantAlarms(t, 1)
	n.clock.add(time.Hour)
	n.wantTaken(t)
}
