package blockproof_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cunzheng/ledger/blockproof"
	"cunzheng/ledger/blockproof/fabrictest"
)

// Identifiers of the transactions in testdata/fabric.
const (
	realAnchor5 = "711a2ecaf39526c8545b1f72ef4c305c2901c259e3ff184226c29754b18fb15d"
	realAnchor7 = "b750da28b9cbf976ba7d6a7ea71963d2c88cfeecf9e04d213c636e29b9180b6f"
)

func readBlock(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "fabric", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func realConfig(t testing.TB, name string) *blockproof.FabricConfig {
	t.Helper()
	c, err := blockproof.ParseFabricConfig(readBlock(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func encode(t testing.TB, p blockproof.FabricProof) []byte {
	t.Helper()
	text, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestRealNetwork verifies what a real network made, before and after a change of its configuration.
func TestRealNetwork(t *testing.T) {
	zero, six := realConfig(t, "config-0.block"), realConfig(t, "config-6.block")
	before := encode(t, blockproof.FabricProof{Block: readBlock(t, "anchor-5.block"), Transaction: realAnchor5})
	after := encode(t, blockproof.FabricProof{Block: readBlock(t, "anchor-7.block"), Transaction: realAnchor7})
	linked := encode(t, blockproof.FabricProof{Block: readBlock(t, "anchor-7.block"), Configs: [][]byte{readBlock(t, "config-6.block")}, Transaction: realAnchor7})
	for name, c := range map[string]struct {
		proof  []byte
		pinned []*blockproof.FabricConfig
		want   error
		config uint64
		size   string
	}{
		"before, genesis pinned":         {before, []*blockproof.FabricConfig{zero}, nil, 0, "1"},
		"before, both pinned":            {before, []*blockproof.FabricConfig{six, zero}, nil, 0, "1"},
		"before, later pinned":           {before, []*blockproof.FabricConfig{six}, blockproof.ErrUnknownKey, 0, ""},
		"after, later pinned":            {after, []*blockproof.FabricConfig{six}, nil, 6, "2"},
		"after, genesis pinned":          {after, []*blockproof.FabricConfig{zero}, blockproof.ErrUnknownKey, 0, ""},
		"after, linked to genesis":       {linked, []*blockproof.FabricConfig{zero}, nil, 6, "2"},
		"after, linked, later pinned":    {linked, []*blockproof.FabricConfig{six}, nil, 6, "2"},
		"after, synthetic config pinned": {linked, []*blockproof.FabricConfig{synthetic(t)}, blockproof.ErrInvalid, 0, ""},
	} {
		got, err := blockproof.VerifyFabric(c.proof, "cunzheng", c.pinned...)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err == nil && (got.Config != c.config || got.Origin != "log.notary.example" || got.Org != "NotaryMSP" || got.Orderers != 4 || got.Signatures < 3 ||
			len(got.Endorsers) < 3 || !strings.HasPrefix(string(got.Checkpoint), "log.notary.example\n"+c.size+"\n")) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	mutate(t, before, 7, zero)
	mutate(t, linked, 211, zero)
}

func synthetic(t testing.TB) *blockproof.FabricConfig {
	t.Helper()
	c, err := blockproof.ParseFabricConfig(fabrictest.New().ConfigBlock(0, anchoredAt))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// BenchmarkVerifyFabric measures a proof of a real network: four orderers, three signatures, three endorsements.
func BenchmarkVerifyFabric(b *testing.B) {
	config := realConfig(b, "config-0.block")
	text := encode(b, blockproof.FabricProof{Block: readBlock(b, "anchor-5.block"), Transaction: realAnchor5})
	b.ReportMetric(float64(len(text)), "bytes/proof")
	for b.Loop() {
		if _, err := blockproof.VerifyFabric(text, "cunzheng", config); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleVerifyFabric() {
	block, _ := os.ReadFile("testdata/fabric/anchor-5.block")
	genesis, _ := os.ReadFile("testdata/fabric/config-0.block")
	pinned, err := blockproof.ParseFabricConfig(genesis)
	if err != nil {
		fmt.Println(err)
		return
	}
	proof, err := blockproof.FabricProof{Block: block, Transaction: realAnchor5}.Encode()
	if err != nil {
		fmt.Println(err)
		return
	}
	anchored, err := blockproof.VerifyFabric(proof, "cunzheng", pinned)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(anchored.Origin, anchored.Height, anchored.Org, anchored.Endorsers, anchored.Signatures, anchored.Quorum, anchored.Orderers)
	// Output: log.notary.example 5 NotaryMSP [BureauMSP CourtMSP NotaryMSP] 3 3 4
}

func BenchmarkParseFabricConfig(b *testing.B) {
	raw := readBlock(b, "config-0.block")
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := blockproof.ParseFabricConfig(raw); err != nil {
			b.Fatal(err)
		}
	}
}
