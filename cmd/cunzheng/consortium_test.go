package main

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"

	"cunzheng/api/client"
	"cunzheng/api/wire"
	"cunzheng/chaincode"
	"cunzheng/crypto/sm3"
	"cunzheng/deploy/fabric/network"
	"cunzheng/evidence"
	"cunzheng/ledger/anchor/fabric"
)

// patience is far more than anything here takes on a machine that does nothing else.
const patience = 2 * time.Minute

// newConsortium starts a Fabric network of four organisations.
func newConsortium(t *testing.T) *network.Network {
	t.Helper()
	port, release, err := network.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	n, err := network.Up(t.Context(), t.TempDir(), network.Default(port), network.Options{Tied: true, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// newMember makes a node of one of the network's organisations, which anchors every second.
func newMember(t *testing.T, n *network.Network, organisation, office string) *testNode {
	t.Helper()
	node := newTestNode(t, "--ledger", "fabric", "--fabric-profile", n.Profile(organisation), "--office", office, "--organisation", organisation)
	path := filepath.Join(node.dir, "node", configFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(text, []byte("interval = '10s'"), []byte("interval = '1s'"), 1)
	if bytes.Equal(text, changed) {
		t.Fatalf("no anchoring interval in\n%s", text)
	}
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	return node
}

// eventually repeats check until it returns nil.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// deposit deposits n digests with several clients and returns the evidence numbers.
func deposit(t *testing.T, c *client.Client, n int, seed string) []string {
	t.Helper()
	numbers := make([]string, n)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error {
			answer, err := c.DepositDigest(ctx, wire.DigestDeposit{SM3: sm3.Sum([]byte(seed + numeral(i)))})
			if err != nil {
				return err
			}
			numbers[i] = answer.Number
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return numbers
}

func numeral(i int) string { return strings.Repeat("i", i%7) + time.Duration(i).String() }

func anchored(t *testing.T, c *client.Client, number string) {
	t.Helper()
	eventually(t, number+" is anchored", func() error {
		e, err := c.Get(t.Context(), number)
		if err == nil && e.Level != string(evidence.LevelAnchored) {
			err = errNotAnchored
		}
		return err
	})
}

type stillWaiting string

func (w stillWaiting) Error() string { return string(w) }

const errNotAnchored = stillWaiting("not anchored yet")

// onChannel is the contract as another organisation sees it.
func onChannel(t *testing.T, n *network.Network, organisation string) *fabric.Ledger {
	t.Helper()
	l, err := fabric.Open(t.Context(), fabric.Options{Profile: n.Profile(organisation)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func (n *testNode) origin() string {
	n.t.Helper()
	config, err := loadConfig(filepath.Join(n.dir, "node"))
	if err != nil {
		n.t.Fatal(err)
	}
	return config.Origin
}

// heads returns the anchored heads of a log, as another organisation reads them. The first comes soon after the start.
func heads(t *testing.T, l *fabric.Ledger, origin string) []string {
	t.Helper()
	var page chaincode.Page
	eventually(t, "the log has a head on the channel", func() error {
		answer, err := l.Evaluate(t.Context(), chaincode.FuncHistory, []byte(origin), []byte("0"), []byte("100"))
		if err == nil {
			err = json.Unmarshal(answer, &page)
		}
		if err == nil && len(page.Heads) == 0 {
			err = errNotAnchored
		}
		return err
	})
	return page.Heads
}

// TestConsortium has a node anchor on a real Fabric network. What it exports verifies when nothing runs any more.
func TestConsortium(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Fabric network")
	}
	channel := newConsortium(t)
	n := newMember(t, channel, "notary", "NOT01")
	n.start()
	c := n.client()
	court := onChannel(t, channel, "court")
	before := len(heads(t, court, n.origin()))
	began := time.Now()
	numbers := deposit(t, c, 1000, "first")
	took := time.Since(began)
	for _, number := range numbers { // the last to be taken is not the last in the list
		anchored(t, c, number)
	}
	transactions := len(heads(t, court, n.origin())) - before
	t.Logf("1000 deposits in %v, anchored %v after the first by %d transactions", took, time.Since(began), transactions)
	if seconds := int(time.Since(began).Seconds()); transactions > 2+seconds {
		t.Errorf("%d transactions in %d s: more than one an interval", transactions, seconds)
	}
	bundles := exportAll(t, c, numbers)
	trust, _, err := c.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n.run("cunzheng", "bundle", numbers[0], "-o", "one.zip")
	n.run("cunzheng", "trust", "export", "-o", "trust.json")

	if rate, seconds := os.Getenv("CUNZHENG_TEST_RATE"), 20; rate != "" {
		perSecond, err := strconv.Atoi(rate)
		if err != nil {
			t.Fatal(err)
		}
		latencyOfAnchors(t, c, court, n.origin(), perSecond, seconds)
	}
	killsOfTheNode(t, n, numbers)
	ordererOutage(t, channel, n)
	n.start()
	oldCopyRefused(t, channel, n)
	if err := channel.Down(context.Background()); err != nil {
		t.Fatal(err)
	}

	n.run("cunzheng-verify", "--trust", "trust.json", "one.zip")
	size := 0
	for i, b := range bundles {
		size += len(b)
		report, err := evidence.Verify(evidence.Input{
			Bundle: bytes.NewReader(b), Size: int64(len(b)), Trust: trust, At: time.Now(),
		})
		if err != nil || report.Verdict != evidence.Passed || report.Level != evidence.LevelAnchored {
			t.Fatalf("bundle of %s: %v %+v", numbers[i], err, report)
		}
	}
	t.Logf("%d bundles of %d bytes on average verify with everything stopped", len(bundles), size/len(bundles))
}

func exportAll(t *testing.T, c *client.Client, numbers []string) [][]byte {
	t.Helper()
	bundles := make([][]byte, len(numbers))
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(4)
	for i, number := range numbers {
		group.Go(func() error {
			var b bytes.Buffer
			err := c.Bundle(ctx, number, false, &b)
			bundles[i] = b.Bytes()
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return bundles
}

// latencyOfAnchors deposits digests at a steady rate and logs how long it takes until another organisation's peer shows a
// head over each. It is a measurement, not a test.
func latencyOfAnchors(t *testing.T, c *client.Client, court *fabric.Ledger, origin string, perSecond, seconds int) {
	t.Helper()
	taken := make(map[uint64]time.Time) // by index
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(64)
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	began := time.Now()
	last := make(chan uint64, 1)
	go func() {
		for i := range perSecond * seconds {
			<-ticker.C
			group.Go(func() error {
				sent := time.Now()
				answer, err := c.DepositDigest(ctx, wire.DigestDeposit{SM3: sm3.Sum([]byte("rate" + numeral(i)))})
				if err != nil {
					return err
				}
				receipt, err := evidence.ParseReceipt(answer.Receipt)
				if err != nil {
					return err
				}
				mu.Lock()
				taken[receipt.Index] = sent
				mu.Unlock()
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		mu.Lock()
		last <- slices.Max(slices.Collect(maps.Keys(taken)))
		mu.Unlock()
	}()
	var waits []time.Duration
	var anchors int
	var size, want uint64
	for want == 0 || size <= want {
		select {
		case want = <-last:
			t.Logf("%d deposits in %v", perSecond*seconds, time.Since(began))
		default:
		}
		head, err := court.Latest(t.Context(), origin)
		if err != nil {
			t.Fatal(err)
		}
		if head.Size != size {
			anchors, size = anchors+1, head.Size
		}
		now := time.Now()
		mu.Lock()
		for index, sent := range taken {
			if index < size {
				waits = append(waits, now.Sub(sent))
				delete(taken, index)
			}
		}
		mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	slices.Sort(waits)
	t.Logf("deposit to anchored, as another organisation sees it: p50 %v, p99 %v; %d anchors",
		waits[len(waits)/2], waits[len(waits)*99/100], anchors-1)
}

// killsOfTheNode kills the node while it anchors: between submit and commit, and at whatever other moment comes. Nothing
// is anchored twice, and everything in the end.
func killsOfTheNode(t *testing.T, n *testNode, numbers []string) {
	t.Helper()
	var last string
	for round, delay := range []time.Duration{950, 1050, 1150, 1250, 1350, 1500} {
		c := n.client()
		last = deposit(t, c, 20, "killed"+numeral(round))[19]
		time.Sleep(delay * time.Millisecond) // a moment of the anchoring, not a wait for it
		n.server.stop(syscall.SIGKILL)
		n.start()
	}
	c := n.client()
	anchored(t, c, last)
	anchored(t, c, numbers[len(numbers)-1])
}

// ordererOutage kills orderers and a peer. Of four orderers one may fail, as may one peer beside it; with two down
// intake goes on and anchoring waits.
func ordererOutage(t *testing.T, channel *network.Network, n *testNode) {
	t.Helper()
	c := n.client()
	kill := func(name string) {
		if err := channel.Kill(name); err != nil {
			t.Fatal(err)
		}
	}
	restart := func(name string) {
		if err := channel.Start(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	kill("orderer.notary") // the leader
	kill("peer.health")
	anchored(t, c, deposit(t, c, 1, "one orderer and one peer down")[0])

	kill("orderer.court")
	number := deposit(t, c, 1, "two orderers down")[0]
	eventually(t, "health says that anchoring is delayed", func() error {
		if r := readiness(t, n); !r.Ready || checkOf(r, "ledger").OK {
			return stillWaiting("it says otherwise")
		}
		return nil
	})
	if e, err := c.Get(t.Context(), number); err != nil || e.Level != string(evidence.LevelAccepted) {
		t.Errorf("without a quorum of orderers: %+v, %v", e, err)
	}
	var down sync.WaitGroup
	for _, name := range []string{"orderer.notary", "orderer.court", "peer.health"} {
		down.Go(func() { restart(name) })
	}
	down.Wait()
	anchored(t, c, number)

	kill("chaincode.notary")
	anchored(t, c, deposit(t, c, 1, "no chaincode at the own peer")[0])
	restart("chaincode.notary")
	anchored(t, c, deposit(t, c, 1, "chaincode back")[0])
	if err := n.server.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

func readiness(t *testing.T, n *testNode) (r wire.Readiness) {
	t.Helper()
	answer, err := http.Get(n.server.url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.UnmarshalRead(answer.Body, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func checkOf(r wire.Readiness, name string) wire.Check {
	for _, check := range r.Checks {
		if check.Name == name {
			return check
		}
	}
	return wire.Check{}
}

// oldCopyRefused puts an old copy of a node's folder back. It may not start; one that starts while the ledger is out of
// reach stops taking deposits once it sees the ledger, and its fork is on record.
func oldCopyRefused(t *testing.T, channel *network.Network, n *testNode) {
	t.Helper()
	if err := n.server.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	current, old := filepath.Join(n.dir, "node"), filepath.Join(n.dir, "old")
	if out, err := exec.Command("cp", "-a", current, old).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n.start()
	anchored(t, n.client(), deposit(t, n.client(), 1, "the history that counts")[0])
	if err := n.server.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(current); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(old, current); err != nil {
		t.Fatal(err)
	}
	out, err := n.command("cunzheng", "serve", "--data", "node", "--listen", "127.0.0.1:0").CombinedOutput()
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) || !strings.Contains(string(out), "must not grow") {
		t.Fatalf("an old copy started: %v\n%s", err, out)
	}
	peers := []string{"peer.notary", "peer.bureau", "peer.health", "peer.court"}
	for _, name := range peers {
		if err := channel.Kill(name); err != nil {
			t.Fatal(err)
		}
	}
	n.start()
	c := n.client()
	deposit(t, c, 1, "the history that does not count")
	for _, name := range peers {
		if err := channel.Start(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the forked log stops", func() error {
		if r := readiness(t, n); r.Ready || checkOf(r, "log").OK {
			return stillWaiting("it is ready for deposits")
		}
		return nil
	})
	if _, err := c.DepositDigest(t.Context(), wire.DigestDeposit{SM3: sm3.Sum([]byte("too late"))}); err == nil {
		t.Error("a log whose fork is known took a deposit")
	}
	court := onChannel(t, channel, "court")
	eventually(t, "the court sees the fork", func() error {
		answer, err := court.Evaluate(t.Context(), chaincode.FuncForks, []byte(n.origin()), []byte("0"), []byte("10"))
		if err == nil && !bytes.Contains(answer, []byte(n.origin())) {
			err = stillWaiting("it sees " + string(answer))
		}
		return err
	})
	n.server.stop(syscall.SIGTERM)
}
