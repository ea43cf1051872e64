package embedded

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"cunzheng/chaincode"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/blockproof"
)

// TestSubmit runs functions by their names: a transaction is named by its block, and one that changes nothing has none.
func TestSubmit(t *testing.T) {
	l := create(t, options(t, vfs.NewMem()))
	log := registered(t, l, 2)
	head := log.Head(t, 2)
	args := [][]byte{[]byte(log.Origin), head.Note, nil}
	before := dump(t, l)
	if result, err := l.Evaluate(t.Context(), chaincode.FuncAnchor, args...); err != nil || len(result) != 0 {
		t.Errorf("evaluated: %q, %v", result, err)
	}
	if dump(t, l) != before {
		t.Error("Evaluate changed the database")
	}
	transaction, err := l.Submit(t.Context(), chaincode.FuncAnchor, args...)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := l.Proof(t.Context(), log.Origin, 2)
	if err != nil {
		t.Fatal(err)
	}
	anchored, err := blockproof.VerifyEmbedded(proof, l.keys)
	if err != nil || anchored.BlockHash.String() != transaction {
		t.Errorf("transaction %q, block %s, %v", transaction, anchored.BlockHash, err)
	}
	if again, err := l.Submit(t.Context(), chaincode.FuncAnchor, args...); again != "" || err != nil {
		t.Errorf("again: %q, %v", again, err)
	}
	var refusal *chaincode.Error
	if _, err := l.Evaluate(t.Context(), "None"); !errors.As(err, &refusal) || refusal.Code != chaincode.Syntax {
		t.Errorf("unknown function: %v", err)
	}
}

// TestEvents reads old events and waits for new ones, until the ledger is closed.
func TestEvents(t *testing.T) {
	l := create(t, options(t, vfs.NewMem()))
	log := registered(t, l, 3) // block 1
	anchorHead(t, l, log, 0, 1)
	type seen struct {
		block uint64
		name  string
	}
	events, ended := make(chan seen), make(chan error, 1)
	go func() {
		ended <- l.Events(context.Background(), 1, func(block uint64, a chaincode.Announcement) error {
			events <- seen{block, a.Name}
			return nil
		})
	}()
	want := func(block uint64, name string) {
		t.Helper()
		if got := <-events; got != (seen{block, name}) {
			t.Fatalf("%+v, want %s in block %d", got, name, block)
		}
	}
	want(1, chaincode.EventLogRegistered)
	want(2, chaincode.EventAnchored)
	anchorHead(t, l, log, 1, 2)
	want(3, chaincode.EventAnchored)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, anchor.ErrUnavailable) {
		t.Errorf("ended with %v", err)
	}
}

func TestEventsStop(t *testing.T) {
	l := create(t, options(t, vfs.NewMem()))
	registered(t, l, 1)
	enough := errors.New("enough")
	if err := l.Events(t.Context(), 0, func(uint64, chaincode.Announcement) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("ended with %v, want %v", err, enough)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Events(ctx, 9, nil); !errors.Is(err, anchor.ErrUnavailable) {
		t.Errorf("ended with %v, want ErrUnavailable", err)
	}
}
