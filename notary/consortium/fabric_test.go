package consortium_test

import (
	"context"
	"testing"

	"cunzheng/deploy/fabric/network"
	"cunzheng/evidence"
	"cunzheng/ledger/anchor/fabric"
	"cunzheng/ledger/blockproof"
	"cunzheng/notary/consortium/consortiumtest"
)

// TestNodesOnFabric is [TestNodes] on a real network, each node as an organisation of its own.
func TestNodesOnFabric(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Fabric network")
	}
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
	pinned, err := n.ConfigBlock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config, err := blockproof.ParseFabricConfig(pinned)
	if err != nil {
		t.Fatal(err)
	}
	trust := []evidence.TrustLedger{{
		Kind: evidence.LedgerFabric, Name: config.Channel(), Operators: config.Organisations(),
		Chaincode: "cunzheng", Configs: [][]byte{config.Block()}, Keys: []evidence.TrustKey{},
	}}
	shared := consortiumtest.Shared{Trust: func(context.Context) ([]evidence.TrustLedger, error) { return trust, nil }}
	for _, organisation := range []string{"notary", "bureau", "health"} {
		l, err := fabric.Open(t.Context(), fabric.Options{Profile: n.Profile(organisation), Config: pinned})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
		shared.Members = append(shared.Members, consortiumtest.Member{Ledger: l, Organisation: l.Organisation()})
	}
	consortiumtest.Run(t, shared)
}
