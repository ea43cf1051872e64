package consortium_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"cunzheng/chaincode"
	"cunzheng/chaincode/chaincodetest"
	"cunzheng/crypto/sm2"
	"cunzheng/evidence"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/anchor/directory"
	"cunzheng/notary/consortium"
)

const publishedOrigin = "log.example/published"

// unsteady runs the contract in memory for one organisation, and is down on demand.
type unsteady struct {
	*chaincodetest.Memory

	mu   sync.Mutex
	down int // under mu; calls that are still going to fail
	sent int // under mu; transactions
}

func (u *unsteady) call(transaction bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.down > 0 {
		u.down--
		return fmt.Errorf("%w: no peer", anchor.ErrUnavailable)
	}
	if transaction {
		u.sent++
	}
	return nil
}

func (u *unsteady) transactions() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sent
}

func (u *unsteady) Submit(_ context.Context, function string, args ...[]byte) (string, error) {
	if err := u.call(true); err != nil {
		return "", err
	}
	_, err := u.Invoke("NotaryMSP", function, args...)
	if refusal, ok := errors.AsType[*chaincode.Error](err); ok {
		err = anchor.Refusal(refusal)
	}
	return "transaction", err
}

func (u *unsteady) Evaluate(_ context.Context, function string, args ...[]byte) ([]byte, error) {
	if err := u.call(false); err != nil {
		return nil, err
	}
	done, err := u.Invoke("NotaryMSP", function, args...)
	return done.Result, err
}

// office is a node's own keys, as its keystore and its registry know them.
type office struct {
	mu      sync.Mutex
	keys    []evidence.TrustKey               // under mu
	current map[evidence.Role]*sm2.PrivateKey // under mu
	began   time.Time
	ledger  *unsteady
	entries *directory.Directory
}

func newOffice(t *testing.T) *office {
	t.Helper()
	chain := chaincodetest.NewMemory()
	o := &office{
		current: map[evidence.Role]*sm2.PrivateKey{}, began: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC),
		ledger: &unsteady{Memory: chain},
	}
	o.entries = directory.New(o.ledger, "NotaryMSP")
	o.rotate(t, evidence.RoleLog, 0)
	o.rotate(t, evidence.RoleReceipt, 0)
	if _, err := chain.Invoke("NotaryMSP", chaincode.FuncRegisterLog, []byte(publishedOrigin), o.keys[0].SPKI); err != nil {
		t.Fatal(err)
	}
	return o
}

// rotate takes a new key into use and forgets the private half of the old one.
func (o *office) rotate(t *testing.T, role evidence.Role, after time.Duration) {
	t.Helper()
	key := chaincodetest.NewKey(t)
	public := key.Public().(*sm2.PublicKey)
	o.mu.Lock()
	defer o.mu.Unlock()
	from := evidence.InstantOf(o.began.Add(after))
	for i, k := range o.keys {
		if k.Role == role && k.Until == 0 {
			o.keys[i].Until = from
		}
	}
	o.keys = append(o.keys, evidence.TrustKey{From: from, ID: public.Fingerprint(), Role: role, SPKI: public.SPKI()})
	o.current[role] = key
}

func (o *office) trust() (*evidence.Trust, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	keys := append([]evidence.TrustKey{}, o.keys...)
	return &evidence.Trust{Logs: []evidence.TrustLog{{Origin: publishedOrigin, Keys: keys}}}, nil
}

func (o *office) signer(role evidence.Role) (crypto.Signer, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.current[role], nil
}

func (o *office) publisher(t *testing.T, change ...func(*consortium.PublisherOptions)) *consortium.Publisher {
	t.Helper()
	options := consortium.PublisherOptions{
		Directory: o.entries, Holder: "xm-notary", Trust: o.trust, Signer: o.signer,
		Node:    directory.Node{Origin: publishedOrigin, Name: "厦门公证处", Office: "XM-350200-NOT01", URL: "https://cz.example"},
		MinWait: time.Millisecond, MaxWait: 10 * time.Millisecond, Interval: time.Hour,
	}
	for _, c := range change {
		c(&options)
	}
	p, err := consortium.NewPublisher(options)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// held returns what the directory knows of the office's keys.
func (o *office) held(t *testing.T) map[evidence.Digest]directory.Key {
	t.Helper()
	keys, err := o.entries.Keys(t.Context(), publishedOrigin)
	if err != nil {
		t.Fatal(err)
	}
	held := map[evidence.Digest]directory.Key{}
	for _, k := range keys {
		held[k.Key.Fingerprint()] = k
	}
	return held
}

func publish(t *testing.T, o *office, p *consortium.Publisher, transactions int) {
	t.Helper()
	before := o.ledger.transactions()
	if err := p.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := o.ledger.transactions() - before; got != transactions {
		t.Errorf("publishing took %d transactions, want %d", got, transactions)
	}
}

func TestPublish(t *testing.T) {
	o := newOffice(t)
	p := o.publisher(t)
	publish(t, o, p, 3)
	publish(t, o, p, 0)
	publish(t, o, o.publisher(t), 0) // after a restart
	o.rotate(t, evidence.RoleReceipt, time.Hour)
	publish(t, o, p, 1)
	o.mu.Lock()
	o.keys[1].Revoked = &evidence.TrustRevocation{At: evidence.InstantOf(o.began.Add(2 * time.Hour)), Reason: evidence.ReasonCompromise}
	o.mu.Unlock()
	publish(t, o, p, 1)
	publish(t, o, p, 0)
	held := o.held(t)
	if len(held) != 3 {
		t.Fatalf("the directory has %d keys", len(held))
	}
	for i, k := range o.keys {
		h, ok := held[k.ID]
		if !ok || h.Role != string(k.Role) || !h.From.Equal(k.From.Time()) || h.Holder != "xm-notary" || (h.Revoked != nil) != (i == 1) {
			t.Errorf("key %d: %+v", i, h)
		}
	}
	moved := o.publisher(t, func(o *consortium.PublisherOptions) { o.Node.URL = "https://elsewhere.example" })
	publish(t, o, moved, 1)
	if n, err := o.entries.Node(t.Context(), publishedOrigin); err != nil || n.URL != "https://elsewhere.example" {
		t.Errorf("%+v, %v", n, err)
	}
}

// TestPublishMissedKey holds that a key that was retired before it could be published keeps nothing else back.
func TestPublishMissedKey(t *testing.T) {
	o := newOffice(t)
	o.rotate(t, evidence.RoleReceipt, time.Hour)
	publish(t, o, o.publisher(t), 3)
	if held := o.held(t); len(held) != 2 {
		t.Errorf("the directory has %d keys", len(held))
	}
}

// TestPublishWrongSigner holds that a key that cannot be published keeps the others not back and stays an error.
func TestPublishWrongSigner(t *testing.T) {
	o := newOffice(t)
	right := o.current[evidence.RoleLog]
	o.current[evidence.RoleLog] = o.current[evidence.RoleReceipt]
	p := o.publisher(t)
	if err := p.Publish(t.Context()); err == nil || p.Err() == nil {
		t.Error("published a key that the signer does not hold")
	}
	if _, ok := o.held(t)[o.keys[1].ID]; !ok {
		t.Error("the receipt key is not published")
	}
	o.current[evidence.RoleLog] = right
	publish(t, o, p, 1)
	if p.Err() != nil {
		t.Error(p.Err())
	}
}

// TestPublishContradiction holds that a directory that says something else of a key is an error.
func TestPublishContradiction(t *testing.T) {
	o := newOffice(t)
	publish(t, o, o.publisher(t), 3)
	o.keys[1].From++
	if err := o.publisher(t).Publish(t.Context()); err == nil {
		t.Error("the directory says another time")
	}
}

// TestPublisherRun holds that it tries again until the ledger answers, and looks when it is woken.
func TestPublisherRun(t *testing.T) {
	o := newOffice(t)
	o.ledger.down = 5
	p := o.publisher(t)
	if p.Err() == nil {
		t.Error("published before it ran")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		p.Run(ctx)
		close(ended)
	}()
	eventually(t, func() bool { return p.Err() == nil })
	o.rotate(t, evidence.RoleReceipt, time.Hour)
	p.Wake()
	eventually(t, func() bool { return o.ledger.transactions() == 4 })
	cancel()
	<-ended
	if held := o.held(t); len(held) != 3 {
		t.Errorf("the directory has %d keys", len(held))
	}
}

// eventually waits for what happens on another goroutine.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("did not happen")
}
