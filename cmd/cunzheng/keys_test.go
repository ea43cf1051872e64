package main

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"cunzheng/api/token"
	"cunzheng/evidence"
	"cunzheng/keystore"
)

// TestTokenKeys: tokens of a key that was replaced are taken while they may be good, those of a revoked key no more.
func TestTokenKeys(t *testing.T) {
	dir := initNode(t)
	logger := slog.New(slog.DiscardHandler)
	open := func() (*node, tokenKeys, []keystore.PublicKey) {
		t.Helper()
		n, err := openNode(t.Context(), dir, logger)
		if err != nil {
			t.Fatal(err)
		}
		return n, tokenKeys{n.keys, n.notary}, n.keys.Keys(keystore.RoleToken)
	}
	accepts := func(taken []token.PublicKey, k keystore.PublicKey) bool {
		return slices.ContainsFunc(taken, func(p token.PublicKey) bool { return p.ID == k.ID })
	}

	n, _, _ := open()
	if _, err := n.keys.Rotate(keystore.RoleToken, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n, tokens, keys := open()
	if taken := tokens.TokenKeys(); len(keys) != 2 || len(taken) != 2 || !accepts(taken, keys[0]) || !accepts(taken, keys[1]) {
		t.Errorf("of %d keys the tokens of %+v are taken", len(keys), taken)
	}
	if taken := tokens.at(time.Now().Add(maxTokenLifetime + time.Minute)); len(taken) != 1 || !accepts(taken, keys[1]) {
		t.Errorf("a day after the rotation tokens of %+v are taken", taken)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	if _, _, err := revoke(t.Context(), dir, keys[0].ID, evidence.KeyRevocation{Reason: evidence.ReasonCompromise}, logger); err != nil {
		t.Fatal(err)
	}
	n, tokens, _ = open()
	if taken := tokens.TokenKeys(); len(taken) != 1 || !accepts(taken, keys[1]) {
		t.Errorf("after the revocation tokens of %+v are taken", taken)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}
