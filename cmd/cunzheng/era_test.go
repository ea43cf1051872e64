package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"cunzheng/ledger"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/blockproof"
)

// emptyLog is the log of a node that was just made.
func emptyLog(t *testing.T) (dir string, log *ledger.Log, chain string) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv(passphraseEnv, "")
	dir = filepath.Join(t.TempDir(), "node")
	config := defaultConfig()
	config.Number = NumberConfig{Area: "XM", Region: "350200", Office: "NOT01"}
	config.Origin = officeOrigin(config.Number)
	config.Organisation = OrganisationConfig{ID: "notary-office", Name: "公证处"}
	if err := initialise(t.Context(), dir, config, io.Discard); err != nil {
		t.Fatal(err)
	}
	config, err := loadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := openKeystore(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	o, err := logOptions(config, keys)
	if err != nil {
		t.Fatal(err)
	}
	if log, err = ledger.Open(filepath.Join(dir, logDir), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return dir, log, config.chainName()
}

// TestEras moves a node from its own chain to a channel and back: an era begins where the last one ended, and only then.
func TestEras(t *testing.T) {
	dir, log, chain := emptyLog(t)
	own := anchor.Description{Kind: blockproof.KindEmbedded, Name: chain}
	channel := anchor.Description{Kind: blockproof.KindFabric, Name: "cunzheng"}
	size := log.Latest().Size
	for i, step := range []struct {
		about anchor.Description
		proof string
		since uint64
	}{
		{own, `{"kind":"embedded"}`, 0},
		{own, "", 0},
		{channel, `{"kind":"fabric"}`, size - 1},
		{channel, "", size - 1},
		{own, "", size},
	} {
		got, err := currentEra(dir, chain, step.about, log)
		if want := (era{step.about.Kind, step.about.Name, step.since}); err != nil || got != want {
			t.Fatalf("step %d: era %+v, %v; want %+v", i, got, err, want)
		}
		if step.proof == "" {
			continue
		}
		at := size
		if step.about.Kind == own.Kind {
			at--
		}
		if err := log.PutAnchor(at, []byte(step.proof)); err != nil {
			t.Fatal(err)
		}
	}
	if got, _, err := (eraLog{log, blockproof.KindFabric}).LatestAnchor(); err != nil || got != size {
		t.Errorf("last anchor on the channel: %d, %v", got, err)
	}
	if _, _, err := (eraLog{log, blockproof.KindEmbedded}).LatestAnchor(); err == nil {
		t.Error("a proof of the channel counts as one of the chain")
	}
}

func TestErasOfANodeWithoutChain(t *testing.T) {
	dir, log, chain := emptyLog(t)
	for _, name := range []string{chainDir, erasFile} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := currentEra(dir, chain, anchor.Description{Kind: blockproof.KindFabric, Name: "cunzheng"}, log)
	if err != nil || got.Since != 0 {
		t.Errorf("era %+v, %v", got, err)
	}
	if eras, err := readEras(filepath.Join(dir, erasFile)); err != nil || len(eras) != 1 {
		t.Errorf("eras %+v, %v", eras, err)
	}
	if err := os.WriteFile(filepath.Join(dir, erasFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := currentEra(dir, chain, anchor.Description{Kind: blockproof.KindFabric, Name: "cunzheng"}, log); err == nil {
		t.Error("a damaged file of eras was accepted")
	}
}
