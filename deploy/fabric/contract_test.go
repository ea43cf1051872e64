package main

import (
	"context"
	"errors"
	"testing"

	"cunzheng/chaincode"
	"cunzheng/chaincode/chaincodetest"
	"cunzheng/deploy/fabric/network"
	"cunzheng/ledger/anchor/fabric"
)

// TestContract runs the contract's own test on a network: through the driver, the peers of four organisations and their
// chaincode servers.
func TestContract(t *testing.T) {
	port, release, err := network.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	n, err := network.Up(t.Context(), t.TempDir(), network.Default(port), network.Options{Tied: true, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	shared := chain{
		t:         t,
		member:    newMember(t, n, "notary"),
		foreigner: newMember(t, n, "bureau"),
	}
	chaincodetest.Run(t, func(t *testing.T) chaincodetest.Chain {
		c := shared
		c.t = t
		return c
	})
	// Each change was announced once, and nothing else was.
	for _, m := range []*member{shared.member, shared.foreigner} {
		select {
		case event := <-m.events:
			t.Errorf("%s sees an event that no transaction explains: %s %s", m.ledger.Organisation(), event.Name, event.Payload)
		default:
		}
	}
}

// member is one organisation's access to the ledger.
type member struct {
	ledger *fabric.Ledger
	events <-chan chaincode.Announcement // of the contract, as the organisation's own peer delivers them
}

func newMember(t *testing.T, n *network.Network, organisation string) *member {
	t.Helper()
	ledger, err := fabric.Open(t.Context(), fabric.Options{Profile: n.Profile(organisation)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	events, done := make(chan chaincode.Announcement), make(chan error, 1)
	go func() {
		done <- ledger.Events(ctx, 0, func(_ uint64, a chaincode.Announcement) error {
			select {
			case events <- a:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(events)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("events of %s: %v", organisation, err)
		}
		if err := ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	return &member{ledger, events}
}

// chain lets the contract's own test drive the network. It sends one transaction after the other.
type chain struct {
	t                 *testing.T
	member, foreigner *member
}

func (c chain) Owner() string   { return c.member.ledger.Organisation() }
func (c chain) Foreign() string { return c.foreigner.ledger.Organisation() }

func (c chain) Invoke(org, function string, args ...[]byte) (chaincodetest.Outcome, error) {
	m := c.member
	if org == c.Foreign() {
		m = c.foreigner
	}
	if !chaincode.ChangesState(function) {
		result, err := m.ledger.Evaluate(c.t.Context(), function, args...)
		return chaincodetest.Outcome{Result: result}, err
	}
	transaction, err := m.ledger.Submit(c.t.Context(), function, args...)
	if err != nil || transaction == "" {
		return chaincodetest.Outcome{}, err
	}
	// Each peer delivers the event once it has the new state, so that whoever is asked next knows of it.
	event := c.next(c.member)
	if seen := c.next(c.foreigner); seen.Name != event.Name || string(seen.Payload) != string(event.Payload) {
		c.t.Errorf("%s: %s %s and %s %s at two peers", function, event.Name, event.Payload, seen.Name, seen.Payload)
	}
	return chaincodetest.Outcome{Event: &event, Changed: true}, nil
}

// next waits for the next event, which is that of the last transaction.
func (c chain) next(m *member) chaincode.Announcement {
	select {
	case event, ok := <-m.events:
		if !ok {
			c.t.Fatalf("the events of %s have ended", m.ledger.Organisation())
		}
		return event
	case <-c.t.Context().Done():
		c.t.Fatal("no event")
		return chaincode.Announcement{}
	}
}
