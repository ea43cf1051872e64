package consortium_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"cunzheng/crypto/sm2"
	"cunzheng/evidence"
	"cunzheng/ledger/anchor/embedded"
	"cunzheng/notary/consortium/consortiumtest"
)

// sharedChain is an embedded ledger that several nodes of one organisation share.
func sharedChain(t *testing.T) (consortiumtest.Member, consortiumtest.TrustLedgers) {
	t.Helper()
	key := consortiumtest.NewKey(t)
	began := time.Now()
	dir := filepath.Join(t.TempDir(), "chain")
	options := embedded.Options{Name: "chain.example/shared", Org: "operator", Signer: sm2.Verified(key)}
	if err := embedded.Create(dir, options); err != nil {
		t.Fatal(err)
	}
	chain, err := embedded.Open(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chain.Close(); err != nil {
			t.Error(err)
		}
	})
	public := key.Public().(*sm2.PublicKey)
	trust := []evidence.TrustLedger{{
		Kind: evidence.LedgerEmbedded, Name: options.Name, Operators: []string{options.Org},
		Keys: []evidence.TrustKey{{From: evidence.InstantOf(began), ID: public.Fingerprint(), Role: evidence.RoleLedger, SPKI: public.SPKI()}},
	}}
	return consortiumtest.Member{Ledger: chain, Organisation: options.Org},
		func(context.Context) ([]evidence.TrustLedger, error) { return trust, nil }
}

func TestNodes(t *testing.T) {
	member, trust := sharedChain(t)
	consortiumtest.Run(t, consortiumtest.Shared{Members: []consortiumtest.Member{member, member, member}, Trust: trust})
}
