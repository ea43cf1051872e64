package chaincodetest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"cunzheng/chaincode"
	"cunzheng/ledger/tlog"
)

// roots returns the roots of two logs at one size, the lesser first.
func roots(t testing.TB, a, b *Log, size uint64) (tlog.Hash, tlog.Hash) {
	t.Helper()
	x, y := a.Root(t, size), b.Root(t, size)
	if bytes.Compare(x[:], y[:]) > 0 {
		x, y = y, x
	}
	return x, y
}

func testReportFork(t *testing.T, f *fixture) {
	owner, foreign := f.chain.Owner(), f.chain.Foreign()
	log := f.registered(10)
	origin := []byte(log.Origin)
	f.anchor(log, 0, 5)
	fork := log.Fork(3, 7)
	head, forked := log.Head(t, 5).Note, fork.Head(t, 5).Note

	first, second := roots(t, log, fork, 5)
	f.event(f.must(foreign, chaincode.FuncReportFork, origin, head, forked), chaincode.EventForkReported,
		fmt.Sprintf(`{"organisation":%q,"origin":%q,"roots":[%q,%q],"size":5}`, foreign, log.Origin, first, second))
	// The same pair again: in the other order, by another organisation, signed anew.
	f.unchanged(f.must(foreign, chaincode.FuncReportFork, origin, head, forked))
	f.unchanged(f.must(owner, chaincode.FuncReportFork, origin, forked, head))
	f.unchanged(f.must(owner, chaincode.FuncReportFork, origin, fork.Head(t, 5).Note, log.Head(t, 5).Note))

	page := result[chaincode.ForkPage](f, chaincode.FuncForks, log.Origin, "0", "100")
	want := chaincode.ForkReport{Heads: [2]string{string(head), string(forked)}, Organisation: foreign, Size: 5}
	if log.Root(t, 5) != first {
		want.Heads = [2]string{string(forked), string(head)}
	}
	if len(page.Forks) != 1 || page.Forks[0] != want || page.Next != "" {
		t.Errorf("forks are %+v, want %+v", page, want)
	}

	// Heads need not be anchored, and a key that was replaced still binds the log.
	old, fresh := log.Key, NewKey(t)
	f.must(owner, chaincode.FuncRotateLogKey, rotation(t, log.Origin, old, fresh, 5)...)
	log.Key = fresh
	outcome := f.must(owner, chaincode.FuncReportFork, origin, log.Head(t, 9).Note, fork.Head(t, 9).Note)
	first, second = roots(t, log, fork, 9)
	f.event(outcome, chaincode.EventForkReported,
		fmt.Sprintf(`{"organisation":%q,"origin":%q,"roots":[%q,%q],"size":9}`, owner, log.Origin, first, second))

	// A report changes nothing for the log: it goes on, and its heads are judged as before.
	f.anchor(log, 5, 10)
}

func testReportForkRefused(t *testing.T, f *fixture) {
	owner := f.chain.Owner()
	log, other := f.registered(10), f.registered(10)
	fork := log.Fork(3, 7)
	stranger := log.Fork(3, 7)
	stranger.Key = NewKey(t)
	unregistered := f.newLog()
	unregistered.Append(2)
	head := log.Head(t, 5).Note
	otherFork := other.Fork(3, 7)
	for _, test := range []struct {
		name   string
		code   chaincode.Code
		origin string
		a, b   []byte
	}{
		{"same head", chaincode.NoFork, log.Origin, head, head},
		{"same head signed twice", chaincode.NoFork, log.Origin, head, log.Head(t, 5).Note},
		{"heads of two sizes", chaincode.NoFork, log.Origin, head, log.Head(t, 6).Note},
		{"heads of two sizes and trees", chaincode.NoFork, log.Origin, head, fork.Head(t, 6).Note},
		{"unknown log", chaincode.LogUnknown, unregistered.Origin, unregistered.Head(t, 2).Note, unregistered.Fork(1, 1).Head(t, 2).Note},
		{"signed by a stranger", chaincode.Signature, log.Origin, head, stranger.Head(t, 5).Note},
		{"signed by a stranger, other order", chaincode.Signature, log.Origin, stranger.Head(t, 5).Note, head},
		{"changed signature", chaincode.Signature, log.Origin, head, changeSignature(fork.Head(t, 5).Note)},
		{"heads of another log", chaincode.Syntax, log.Origin, other.Head(t, 5).Note, otherFork.Head(t, 5).Note},
		{"head of another log", chaincode.Syntax, log.Origin, head, otherFork.Head(t, 5).Note},
		{"malformed origin", chaincode.Syntax, "a b", head, fork.Head(t, 5).Note},
		{"no note", chaincode.Syntax, log.Origin, head, nil},
		{"bytes after a note", chaincode.Syntax, log.Origin, append(fork.Head(t, 5).Note, '\n'), head},
		{"huge note", chaincode.Syntax, log.Origin, head, bytes.Repeat([]byte("a"), chaincode.MaxNote+1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &fixture{t: t, chain: f.chain}
			f.refused(test.code, owner, chaincode.FuncReportFork, []byte(test.origin), test.a, test.b)
		})
	}
	if page := result[chaincode.ForkPage](f, chaincode.FuncForks, log.Origin, "0", "100"); len(page.Forks) != 0 || page.Next != "" {
		t.Errorf("refused reports left %+v", page)
	}
	f.refused(chaincode.LogUnknown, owner, chaincode.FuncForks, []byte(unregistered.Origin), []byte("0"), []byte("1"))
}

func testForks(t *testing.T, f *fixture) {
	log := f.registered(20)
	trees := []*Log{log, log.Fork(3, 17), log.Fork(2, 18)}
	var want []uint64
	for _, size := range []uint64{20, 5, 16} { // 16 sorts before 5 if a size is written without zeros in front
		for i, a := range trees {
			for _, b := range trees[:i] {
				f.must(f.chain.Foreign(), chaincode.FuncReportFork, []byte(log.Origin), a.Head(t, size).Note, b.Head(t, size).Note)
				want = append(want, size)
			}
		}
	}
	slices.Sort(want)
	list := func(from string, limit int) []chaincode.ForkReport {
		return pages(f, chaincode.FuncForks, log.Origin, from, limit, func(p chaincode.ForkPage) ([]chaincode.ForkReport, string) { return p.Forks, p.Next })
	}
	for _, limit := range []int{1, 2, 5, 8, 9, 10, 100} {
		var got []uint64
		seen := make(map[[2]string]bool)
		for _, fork := range list("0", limit) {
			got, seen[fork.Heads] = append(got, fork.Size), true
		}
		if !slices.Equal(got, want) || len(seen) != len(want) {
			t.Errorf("forks by %d: sizes %d with %d different pairs, want %d", limit, got, len(seen), want)
		}
	}
	if got := list("6", 2); len(got) != 6 {
		t.Errorf("%d forks from size 6 on, want 6", len(got))
	}
	if got := list("16", 2); len(got) != 6 {
		t.Errorf("%d forks from size 16 on, want 6", len(got))
	}
	if got := list("21", 3); len(got) != 0 {
		t.Errorf("%d forks from size 21 on", len(got))
	}
}

// testNeighbouringRows has logs whose names begin alike, to see that what is kept of one is not listed with another.
func testNeighbouringRows(t *testing.T, f *fixture) {
	owner := f.chain.Owner()
	base, code := f.newLog().Origin, office()[:20] // two characters short of the longest code
	for i, suffix := range neighbours {
		log := NewLog(t, base+suffix)
		log.Append(2)
		origin := []byte(log.Origin)
		f.must(owner, chaincode.FuncRegisterLog, origin, log.SPKI())
		f.must(owner, chaincode.FuncRegisterKey, Registration(t, owner, NewKey(t), chaincode.RoleSeal, log.Origin)...)
		f.must(owner, chaincode.FuncPublishNode, origin, nodeRecord(t, code+[]string{"", "0", "A", "00", "ZZ"}[i], "甲"))
		f.must(owner, chaincode.FuncPublishStatus, origin, statusRecord(t, i, chaincode.StateValid, ""))
		f.must(owner, chaincode.FuncReportFork, origin, log.Head(t, 2).Note, log.Fork(1, 1).Head(t, 2).Note)
	}
	for i, suffix := range neighbours {
		log := NewLog(t, base+suffix)
		if got := f.listedKeys(log.Origin, 100); len(got) != 1 {
			t.Errorf("%s has the keys %q", log.Origin, got)
		}
		if got := f.listedNodes(code+[]string{"", "0", "A", "00", "ZZ"}[i], 100); !slices.Equal(got, []string{log.Origin}) {
			t.Errorf("the office of %s has the nodes %q", log.Origin, got)
		}
		f.series(log, statusRecord(t, i, chaincode.StateValid, ""))
		page := result[chaincode.ForkPage](f, chaincode.FuncForks, log.Origin, "0", "100")
		if len(page.Forks) != 1 || page.Next != "" {
			t.Errorf("%s has the forks %+v", log.Origin, page)
		}
	}
}
