package fabric_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cunzheng/chaincode"
	"cunzheng/chaincode/chaincodetest"
	"cunzheng/deploy/fabric/network"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/anchor/anchortest"
	"cunzheng/ledger/anchor/fabric"
	"cunzheng/ledger/blockproof"
)

// kill ends processes of the network and starts them again when the test has ended, if it has not done so.
func kill(t *testing.T, names ...string) (restart func()) {
	t.Helper()
	n := testNetwork(t)
	for _, name := range names {
		if err := n.Kill(name); err != nil {
			t.Fatal(err)
		}
	}
	down := slices.Clone(names)
	restart = func() {
		t.Helper()
		for _, name := range down {
			if err := n.Start(context.Background(), name); err != nil {
				t.Errorf("starting %s: %v", name, err)
			}
		}
		down = nil
	}
	t.Cleanup(restart)
	return restart
}

// registered returns a log of the ledger's organisation with n entries.
func registered(t testing.TB, l *fabric.Ledger, n int) *anchortest.Log {
	t.Helper()
	log := anchortest.NewLog(t, "cunzheng.test/"+rand.Text(), n)
	if err := l.RegisterLog(t.Context(), log.Latest().Origin, log.Tree().PublicKey()); err != nil {
		t.Fatal(err)
	}
	return log
}

// mustAnchor anchors the next head and checks its proof as a court would.
func mustAnchor(t testing.TB, l *fabric.Ledger, log *chaincodetest.Log, from, size uint64) blockproof.Fabric {
	t.Helper()
	head := log.Head(t, size)
	proof, err := l.Anchor(t.Context(), head, log.Consistency(t, from, size))
	if err != nil {
		t.Fatalf("anchoring size %d: %v", size, err)
	}
	_, config := pinned(t)
	anchored, err := blockproof.VerifyFabric(proof, "cunzheng", config)
	if err != nil {
		t.Fatalf("proof of size %d: %v", size, err)
	}
	if !bytes.Equal(anchored.Checkpoint, head.Note) {
		t.Fatalf("size %d: %q is anchored", size, anchored.Checkpoint)
	}
	return anchored
}

func wantPhase(t *testing.T, err error, phase fabric.Phase, kind error) {
	t.Helper()
	var at *fabric.PhaseError
	if !errors.As(err, &at) || at.Phase != phase || !errors.Is(err, kind) {
		t.Fatalf("error %v, want %v in phase %s", err, kind, phase)
	}
	if at.Transaction == "" && (phase == fabric.PhaseSubmit || phase == fabric.PhaseCommit) {
		t.Errorf("error %v names no transaction", err)
	}
}

// TestOneIsDown kills what one organisation runs, and whatever it is, anchoring goes on.
func TestOneIsDown(t *testing.T) {
	for _, names := range [][]string{
		{"orderer.court"},
		{"orderer.notary"}, // that leads
		{"peer.court"},
		{"peer.notary"}, // that is asked first
		{"chaincode.notary"},
		{"orderer.health", "peer.health"},
		{"orderer.bureau", "peer.court"},
	} {
		t.Run(fmt.Sprint(names), func(t *testing.T) {
			l := openAs(t, "notary", nil)
			log := registered(t, l, 3).Tree()
			mustAnchor(t, l, log, 0, 1)
			restart := kill(t, names...)
			anchored := mustAnchor(t, l, log, 1, 2)
			if len(anchored.Endorsers) < 3 || anchored.Signatures < 3 {
				t.Errorf("%d endorsers, %d orderers", len(anchored.Endorsers), anchored.Signatures)
			}
			if head, err := l.Latest(t.Context(), log.Origin); err != nil || head.Size != 2 {
				t.Errorf("latest: %d, %v", head.Size, err)
			}
			restart()
			mustAnchor(t, l, log, 2, 3)
		})
	}
}

// TestTwoOrderersDown has a node that is restarted while its transaction is with the orderers, who are too few. When
// they return it catches up, and the head is on the ledger once.
func TestTwoOrderersDown(t *testing.T) {
	first := openAs(t, "notary", func(o *fabric.Options) { o.Timeout = 3 * time.Second })
	log := registered(t, first, 2)
	mustAnchor(t, first, log.Tree(), 0, 1)
	restart := kill(t, "orderer.bureau", "orderer.court")
	w, err := anchor.NewWorker(anchor.Options{Log: log, Ledger: first})
	if err != nil {
		t.Fatal(err)
	}
	wantPhase(t, w.Flush(t.Context()), fabric.PhaseCommit, anchor.ErrUnavailable)
	if head, err := first.Latest(t.Context(), log.Latest().Origin); err != nil || head.Size != 1 {
		t.Errorf("latest: %d, %v", head.Size, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	restart()
	second := openAs(t, "notary", nil)
	if w, err = anchor.NewWorker(anchor.Options{Log: log, Ledger: second}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if proof := log.Anchors()[2]; proof == nil {
		t.Error("no proof is stored")
	}
	if heads := history(t, second, log.Latest().Origin); len(heads) != 2 {
		t.Errorf("%d heads are anchored, want 2", len(heads))
	}
}

func history(t *testing.T, l *fabric.Ledger, origin string) []string {
	t.Helper()
	text, err := l.Evaluate(t.Context(), chaincode.FuncHistory, []byte(origin), []byte("0"), []byte("100"))
	if err != nil {
		t.Fatal(err)
	}
	var page chaincode.Page
	if err := json.Unmarshal(text, &page); err != nil {
		t.Fatal(err)
	}
	return page.Heads
}

// TestRestartAfterCommit has a node restarted after its transaction was committed and before it had the proof.
func TestRestartAfterCommit(t *testing.T) {
	first := openAs(t, "notary", nil)
	log := registered(t, first, 2)
	head := log.Latest()
	transaction, err := first.Submit(t.Context(), chaincode.FuncAnchor, []byte(head.Origin), head.Note, nil)
	if err != nil || transaction == "" {
		t.Fatal(transaction, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := openAs(t, "notary", nil)
	w, err := anchor.NewWorker(anchor.Options{Log: log, Ledger: second})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, config := pinned(t)
	anchored, err := blockproof.VerifyFabric(log.Anchors()[2], "cunzheng", config)
	if err != nil || anchored.Transaction != transaction {
		t.Errorf("proven by transaction %q, %v; want %q", anchored.Transaction, err, transaction)
	}
}

func TestChaincodeDown(t *testing.T) {
	l := openAs(t, "notary", nil)
	log := registered(t, l, 2).Tree()
	mustAnchor(t, l, log, 0, 1)
	restart := kill(t, "chaincode.notary", "chaincode.bureau", "chaincode.health", "chaincode.court")
	_, err := l.Anchor(t.Context(), log.Head(t, 2), log.Consistency(t, 1, 2))
	if !errors.Is(err, anchor.ErrUnavailable) {
		t.Fatalf("anchoring: %v, want ErrUnavailable", err)
	}
	restart()
	mustAnchor(t, l, log, 1, 2)
}

// TestRefusals holds that what the contract refuses comes out with its code, and says in which phase and transaction.
func TestRefusals(t *testing.T) {
	notary, bureau := openAs(t, "notary", nil), openAs(t, "bureau", nil)
	log := registered(t, notary, 20).Tree()
	mustAnchor(t, notary, log, 0, 10)
	for _, test := range []struct {
		name string
		as   *fabric.Ledger
		log  *chaincodetest.Log
		size uint64
		from uint64
		kind error
		code chaincode.Code
	}{
		{"forked log", notary, log.Fork(9, 1), 10, 10, anchor.ErrFork, chaincode.Fork},
		{"rolled-back log", notary, log, 9, 9, anchor.ErrRollback, chaincode.Rollback},
		{"foreign organisation", bureau, log, 20, 10, anchor.ErrRefused, chaincode.NotOwner},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.as.Anchor(t.Context(), test.log.Head(t, test.size), test.log.Consistency(t, test.from, test.size))
			wantPhase(t, err, fabric.PhaseEndorse, test.kind)
			var refusal *chaincode.Error
			if !errors.As(err, &refusal) || refusal.Code != test.code {
				t.Errorf("error %v, want the code %s", err, test.code)
			}
			var at *fabric.PhaseError
			if errors.As(err, &at); at.Transaction == "" {
				t.Error("no transaction is named")
			}
		})
	}
	mustAnchor(t, notary, log, 10, 20)
}

// TestOneEndorsement has a transaction ordered that only one organisation endorsed: it has no effect, and its block is
// no proof.
func TestOneEndorsement(t *testing.T) {
	l := openAs(t, "notary", nil)
	log := registered(t, l, 1)
	head := log.Latest()
	proof, judged, err := l.OrderWithOneEndorsement(t.Context(), chaincode.FuncAnchor, []byte(head.Origin), head.Note, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantPhase(t, judged, fabric.PhaseCommit, anchor.ErrUnavailable)
	_, config := pinned(t)
	if anchored, err := blockproof.VerifyFabric(proof, "cunzheng", config); !errors.Is(err, blockproof.ErrInvalid) {
		t.Errorf("verified: %+v, %v", anchored, err)
	}
	if _, err := l.Latest(t.Context(), head.Origin); !errors.Is(err, anchor.ErrNoAnchor) {
		t.Errorf("latest: %v, want ErrNoAnchor", err)
	}
}

// TestEvents follows the transactions of another organisation, and goes on from a block.
func TestEvents(t *testing.T) {
	notary, court := openAs(t, "notary", nil), openAs(t, "court", nil)
	log := registered(t, notary, 3).Tree()
	blocks := make(map[uint64]uint64) // by size
	for size := uint64(1); size <= 3; size++ {
		blocks[size] = mustAnchor(t, notary, log, size-1, size).Height
	}
	enough := errors.New("enough")
	for from := uint64(1); from <= 3; from++ {
		next := from
		err := court.Events(t.Context(), blocks[from], func(block uint64, a chaincode.Announcement) error {
			var event struct {
				Origin string `json:"origin"`
				Size   uint64 `json:"size"`
			}
			if err := json.Unmarshal(a.Payload, &event); err != nil {
				return err
			}
			if event.Origin != log.Origin {
				return nil
			}
			if a.Name != chaincode.EventAnchored || event.Size != next || block != blocks[next] {
				return fmt.Errorf("%s of size %d in block %d, want size %d in block %d", a.Name, event.Size, block, next, blocks[next])
			}
			if next++; next > 3 {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Errorf("from block %d: %v", blocks[from], err)
		}
	}
}

// TestEventsBreakOff has the peer that is followed die: the follower goes on where it was.
func TestEventsBreakOff(t *testing.T) {
	notary, court := openAs(t, "notary", nil), openAs(t, "court", nil)
	log := registered(t, notary, 2).Tree()
	f, err := anchor.NewFollower(anchor.FollowerOptions{Ledger: court, Backoff: anchor.Backoff{Min: 100 * time.Millisecond, Max: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	mustAnchor(t, notary, log, 0, 1)
	seen(t, f, func(s anchor.FollowerStatus) bool { return s.Heads[log.Origin].Size == 1 })
	restart := kill(t, "peer.court")
	seen(t, f, func(s anchor.FollowerStatus) bool { return s.Failures > 0 })
	mustAnchor(t, notary, log, 1, 2)
	restart()
	seen(t, f, func(s anchor.FollowerStatus) bool { return s.Heads[log.Origin].Size == 2 && s.LastError == nil })
}

func seen(t *testing.T, f *anchor.Follower, reached func(anchor.FollowerStatus) bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !reached(f.Status()) {
		select {
		case <-deadline:
			t.Fatalf("not seen: %+v", f.Status())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestConfigBlocks(t *testing.T) {
	block, config := pinned(t)
	for _, pin := range [][]byte{nil, block} {
		l := openAs(t, "notary", func(o *fabric.Options) { o.Config = pin })
		blocks, err := l.ConfigBlocks(t.Context())
		if err != nil || len(blocks) == 0 {
			t.Fatalf("%d blocks, %v", len(blocks), err)
		}
		last, err := blockproof.ParseFabricConfig(blocks[len(blocks)-1])
		if err != nil || last.Number() != config.Number() || last.Hash() != config.Hash() {
			t.Errorf("the last config block is %+v, %v", last, err)
		}
		first, err := blockproof.ParseFabricConfig(blocks[0])
		if err != nil || pin == nil && first.Number() != 0 || pin != nil && first.Number() != config.Number() {
			t.Errorf("the first config block is %+v, %v", first, err)
		}
		// A proof made from this pin leads to the configuration in force.
		log := registered(t, l, 1)
		proof, err := l.Anchor(t.Context(), log.Latest(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := blockproof.VerifyFabric(proof, "cunzheng", first); err != nil {
			t.Error(err)
		}
	}
}

// TestUnreachable opens a ledger of which nothing runs.
func TestUnreachable(t *testing.T) {
	text, err := os.ReadFile(testNetwork(t).Profile("notary"))
	if err != nil {
		t.Fatal(err)
	}
	port, release, err := network.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	text = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAll(text, fmt.Appendf(nil, "127.0.0.1:%d", port))
	profile := filepath.Join(t.TempDir(), "connection.yaml")
	if err := os.WriteFile(profile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	l := openAs(t, "notary", func(o *fabric.Options) { o.Profile, o.Timeout = profile, 2*time.Second })
	if about := l.Describe(); len(about.Operators) != 4 || about.Kind != blockproof.KindFabric {
		t.Errorf("description %+v", about)
	}
	log := anchortest.NewLog(t, "cunzheng.test/"+rand.Text(), 1)
	_, err = l.Latest(t.Context(), log.Latest().Origin)
	wantPhase(t, err, fabric.PhaseTransport, anchor.ErrUnavailable)
	_, err = l.Anchor(t.Context(), log.Latest(), nil)
	wantPhase(t, err, fabric.PhaseTransport, anchor.ErrUnavailable)
	err = l.Events(t.Context(), 0, func(uint64, chaincode.Announcement) error { return nil })
	wantPhase(t, err, fabric.PhaseTransport, anchor.ErrUnavailable)
}

func TestOpenRefuses(t *testing.T) {
	profile := testNetwork(t).Profile("notary")
	text, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	noEvents := filepath.Join(t.TempDir(), "connection.yaml")
	if err := os.WriteFile(noEvents, bytes.ReplaceAll(text, []byte("eventSource: true"), []byte("eventSource: false")), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]fabric.Options{
		"no profile":           {Profile: filepath.Join(t.TempDir(), "none.yaml")},
		"no source of events":  {Profile: noEvents},
		"unknown user":         {Profile: profile, User: "Nobody"},
		"unknown organisation": {Profile: profile, Organisation: "nobody"},
		"damaged pin":          {Profile: profile, Config: []byte("no block")},
		"pin of other channel": {Profile: profile, Channel: "other", Config: func() []byte { b, _ := pinned(t); return b }()},
	} {
		if l, err := fabric.Open(t.Context(), o); err == nil {
			l.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

// TestCloseLeavesNothing holds that all that a ledger has started ends with it.
func TestCloseLeavesNothing(t *testing.T) {
	l := openAs(t, "notary", nil)
	log := registered(t, l, 1).Tree()
	mustAnchor(t, l, log, 0, 1)
	following := make(chan error, 1)
	go func() {
		following <- l.Events(context.Background(), 0, func(uint64, chaincode.Announcement) error { return nil })
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-following; !errors.Is(err, anchor.ErrUnavailable) {
		t.Errorf("Events ended with %v", err)
	}
	deadline := time.After(time.Minute)
	for {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if !regexp.MustCompile(`fabric-sdk-go|anchor/fabric\.\(`).Match(stacks) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("still running:\n%s", stacks)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
