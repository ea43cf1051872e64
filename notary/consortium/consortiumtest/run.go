package consortiumtest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"cunzheng/api/client"
	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/notary"
	"cunzheng/notary/consortium"
)

// Shared is a ledger that several organisations share.
type Shared struct {
	Members []Member // at least three; on a ledger that one organisation runs it may be the same one
	Trust   TrustLedgers
}

// Run is the test of three nodes on a shared ledger: they publish themselves, and each finds, fetches and verifies the
// others' proofs, through rotations, failures and a move. The ledger may hold anything before; Run uses new logs.
func Run(t *testing.T, s Shared) {
	if len(s.Members) < 3 {
		t.Fatalf("%d members, want 3", len(s.Members))
	}
	unique := time.Now().UnixNano()
	n := &network{trust: s.Trust}
	for i, office := range []string{"NOT01", "BUR01", "HEA01"} {
		origin := fmt.Sprintf("log.example/%d/%d", unique, i)
		n.nodes = append(n.nodes, Start(t, s.Members[i], s.Trust, office, origin))
	}
	for i, node := range n.nodes {
		n.deposits = append(n.deposits, node.Deposit(t, fmt.Sprintf("document %d of %d", i, unique)))
		node.Anchor(t)
	}
	// The steps build on one another.
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"publishing", n.publishing},
		{"every node finds every proof", n.everyProof},
		{"what is not there", n.notThere},
		{"a rotated key", n.rotation},
		{"a node that is down and moves", n.moving},
	} {
		if !t.Run(step.name, step.run) {
			return
		}
	}
	for _, node := range n.nodes {
		if alarms := node.Alarms(); len(alarms) > 0 {
			t.Errorf("%s raised alarms: %v", node.Record.Origin, alarms)
		}
	}
}

type network struct {
	trust    TrustLedgers
	nodes    []*Node
	deposits []Evidence // one of each node
}

// publishing takes a transaction for the node and one for each of its keys, and none when it is done again.
func (n *network) publishing(t *testing.T) {
	for _, node := range n.nodes {
		if err := node.Publisher.Err(); err == nil {
			t.Error("published before it is published")
		}
		if got := node.Publish(t); got != 5 {
			t.Errorf("publishing took %d transactions, want 5", got)
		}
		if got := node.Publish(t); got != 0 {
			t.Errorf("publishing again took %d transactions", got)
		}
		if err := node.Publisher.Err(); err != nil {
			t.Error(err)
		}
		n.settled(t, node, 4)
	}
}

// settled waits until all see what a node published: where each reads from a peer of its own, some peers are behind.
func (n *network) settled(t *testing.T, published *Node, keys int) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for _, reader := range n.nodes {
		for !sees(t, reader, published, keys) {
			if time.Now().After(deadline) {
				t.Fatalf("%s does not see what %s published", reader.Record.Origin, published.Record.Origin)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func sees(t *testing.T, reader, published *Node, keys int) bool {
	node, err := reader.Directory.Node(t.Context(), published.Record.Origin)
	if err != nil || node.URL != published.Record.URL {
		return false
	}
	held, err := reader.Directory.Keys(t.Context(), published.Record.Origin)
	return err == nil && len(held) == keys
}

func (n *network) everyProof(t *testing.T) {
	trust, err := n.nodes[0].Consortium.Trust(t.Context())
	must(t, err)
	for _, node := range n.nodes {
		if log := trust.Log(node.Record.Origin); log == nil || log.Office != node.Record.Name || len(log.Keys) != 4 {
			t.Errorf("the consortium's trust file says of %s: %+v", node.Record.Origin, log)
		}
	}
	for i, from := range n.nodes {
		for j, deposit := range n.deposits {
			bundle, node := ask(t, from, deposit)
			if want := n.nodes[j].Record.Origin; i != j && node != want || i == j && node != "" {
				t.Errorf("node %d says that the proof by %d is from %q", i, j, node)
			}
			passed(t, bundle, trust, deposit.Number)
		}
	}
}

func (n *network) notThere(t *testing.T) {
	here, there := n.nodes[0], n.nodes[1]
	for number, code := range map[string]string{
		"nothing":                             notary.CodeNumberInvalid,
		there.Number.Format(time.Now(), 4711): notary.CodeNotFound,
		here.Number.Format(time.Now(), 4711):  notary.CodeNotFound,
		evidence.NumberFormat{Area: "ZZ", Region: "999999", Office: "NON99"}.Format(time.Now(), 1): consortium.CodeOfficeUnknown,
	} {
		refused(t, here, Evidence{number, n.deposits[1].SM3}, code)
	}
	for i := range n.deposits[:2] { // neither its own proof nor that of another is shown for the digest of something else
		refused(t, here, Evidence{n.deposits[i].Number, n.deposits[2].SM3}, notary.CodeNotFound)
	}
}

// rotation holds that a new key is asked for when it is met, and that what the old one signed stays good.
func (n *network) rotation(t *testing.T) {
	here, there := n.nodes[0], n.nodes[1]
	before, _ := ask(t, here, n.deposits[1])
	_, err := there.Keys.Rotate(keystore.RoleReceipt, time.Now())
	must(t, err)
	refused(t, here, n.deposits[1], consortium.CodeProofUndecided)
	if got := there.Publish(t); got != 1 {
		t.Errorf("publishing the new key took %d transactions", got)
	}
	n.settled(t, there, 5)
	here.Clock.Add(10 * time.Second)
	after, _ := ask(t, here, n.deposits[1])
	trust, err := n.nodes[2].Consortium.Trust(t.Context())
	must(t, err)
	passed(t, before, trust, n.deposits[1].Number)
	passed(t, after, trust, n.deposits[1].Number)
	for _, k := range trust.Log(there.Record.Origin).Keys {
		if retired := k.Role == evidence.RoleReceipt && k.ID != there.Keys.Keys(keystore.RoleReceipt)[1].Key.Fingerprint(); retired != (k.Until != 0) {
			t.Errorf("%s key %s is in use until %s", k.Role, k.ID, k.Until)
		}
	}
}

func (n *network) moving(t *testing.T) {
	here, gone := n.nodes[0], n.nodes[2]
	gone.Stop()
	problem := refused(t, here, n.deposits[2], consortium.CodeNodeUnavailable)
	if problem.RetryAfter <= 0 {
		t.Error("it does not say when to try again")
	}
	ask(t, here, n.deposits[1]) // the others are there
	gone.Move(t)
	if got := gone.Publish(t); got != 1 {
		t.Errorf("publishing the new address took %d transactions", got)
	}
	n.settled(t, gone, 4)
	here.Clock.Add(2 * time.Minute)
	if _, node := ask(t, here, n.deposits[2]); node != gone.Record.Origin {
		t.Errorf("the proof is from %q", node)
	}
}

// ask asks a node for a public proof, as anybody does.
func ask(t *testing.T, n *Node, e Evidence) (bundle []byte, node string) {
	t.Helper()
	var b bytes.Buffer
	node, err := n.Client(t).Proof(t.Context(), e.Number, e.SM3, &b)
	must(t, err)
	return b.Bytes(), node
}

func refused(t *testing.T, n *Node, e Evidence, code string) *client.Problem {
	t.Helper()
	_, err := n.Client(t).Proof(t.Context(), e.Number, e.SM3, new(bytes.Buffer))
	problem, ok := errors.AsType[*client.Problem](err)
	if !ok || problem.Code != code {
		t.Fatalf("%s: got %v, want %s", e.Number, err, code)
	}
	return problem
}

// passed verifies a bundle as a court does.
func passed(t *testing.T, bundle []byte, trust *evidence.Trust, number string) {
	t.Helper()
	report, err := evidence.Verify(evidence.Input{
		Bundle: bytes.NewReader(bundle), Size: int64(len(bundle)), Trust: trust, At: time.Now().Add(time.Minute),
	})
	must(t, err)
	if report.Verdict != evidence.Passed || report.Level != evidence.LevelAnchored || report.Number != number {
		t.Errorf("%s: %s", number, report.Text("en"))
	}
}
