package fabric_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"cunzheng/deploy/fabric/network"
	"cunzheng/ledger/anchor/fabric"
	"cunzheng/ledger/blockproof"
)

// TestConfigChange has an organisation change its part of the channel's configuration. Ledgers that are open notice, and
// proofs lead from the configuration pinned before to the one in force.
func TestConfigChange(t *testing.T) {
	before, old := pinned(t)
	open := openAs(t, "notary", func(o *fabric.Options) { o.Config = before })
	log := registered(t, open, 4).Tree()
	mustAnchor(t, open, log, 0, 1)

	changeConfig(t)
	after, current := pinned(t)
	if current.Number() <= old.Number() {
		t.Fatalf("config block %d follows %d", current.Number(), old.Number())
	}
	for i, l := range []*fabric.Ledger{
		open,
		openAs(t, "notary", func(o *fabric.Options) { o.Config = before }),
		openAs(t, "notary", func(o *fabric.Options) { o.Config = after }),
	} {
		size := uint64(i + 2)
		proof, err := l.Anchor(t.Context(), log.Head(t, size), log.Consistency(t, size-1, size))
		if err != nil {
			t.Fatal(err)
		}
		pins := []*blockproof.FabricConfig{current}
		if i < 2 { // the proof brings what leads from the old one
			pins = append(pins, old)
		}
		for _, pin := range pins {
			if anchored, err := blockproof.VerifyFabric(proof, "cunzheng", pin); err != nil || anchored.Config != current.Number() {
				t.Errorf("ledger %d, pinned %d: config %d, %v", i, pin.Number(), anchored.Config, err)
			}
		}
	}
	// Who pins the later configuration cannot prove what was anchored under the earlier one, and is told so.
	late := openAs(t, "notary", func(o *fabric.Options) { o.Config = after })
	if proof, err := late.Proof(t.Context(), log.Origin, 1); err == nil {
		t.Errorf("proof %s", proof)
	}
	blocks, err := open.ConfigBlocks(t.Context())
	if err != nil || len(blocks) != 2 {
		t.Fatalf("%d config blocks, %v", len(blocks), err)
	}
}

// changeConfig has the notary name another anchor peer of its own, which its administrator may do alone.
func changeConfig(t *testing.T) {
	t.Helper()
	n, dir := testNetwork(t), t.TempDir()
	binaries, err := network.DefaultBinaries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	block, _ := pinned(t)
	if err := os.WriteFile(file("block"), block, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(environment []string, name string, arguments ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(binaries, name), arguments...)
		cmd.Env = append(os.Environ(), environment...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	decode := func(kind, from string) (object map[string]any) {
		t.Helper()
		run(nil, "configtxlator", "proto_decode", "--type", kind, "--input", file(from), "--output", file("json"))
		text, err := os.ReadFile(file("json"))
		if err == nil {
			err = json.Unmarshal(text, &object)
		}
		if err != nil {
			t.Fatal(err)
		}
		return object
	}
	encode := func(kind, to string, object any) {
		t.Helper()
		text, err := json.Marshal(object)
		if err == nil {
			err = os.WriteFile(file("json"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		run(nil, "configtxlator", "proto_encode", "--type", kind, "--input", file("json"), "--output", file(to))
	}

	envelope := decode("common.Block", "block")["data"].(map[string]any)["data"].([]any)[0]
	config := at(envelope, "payload", "data", "config")
	encode("common.Config", "original", config)
	peers := at(config, "channel_group", "groups", "Application", "groups", "NotaryMSP", "values", "AnchorPeers", "value")
	peers["anchor_peers"] = append(peers["anchor_peers"].([]any), map[string]any{"host": "127.0.0.1", "port": 1})
	encode("common.Config", "modified", config)
	run(nil, "configtxlator", "compute_update", "--channel_id", "cunzheng",
		"--original", file("original"), "--updated", file("modified"), "--output", file("update"))
	encode("common.Envelope", "envelope", map[string]any{"payload": map[string]any{
		"header": map[string]any{"channel_header": map[string]any{"channel_id": "cunzheng", "type": 2}},
		"data":   map[string]any{"config_update": decode("common.ConfigUpdate", "update")},
	}})
	notary := n.Consortium.Organisations[0]
	home := filepath.Join(shared.dir, "organisations", notary.ID)
	root := filepath.Join(home, "msp", "tlscacerts", "ca.pem")
	run([]string{
		"FABRIC_CFG_PATH=" + filepath.Join(home, "peer"),
		"CORE_PEER_LOCALMSPID=" + notary.MSP,
		"CORE_PEER_MSPCONFIGPATH=" + filepath.Join(home, "users", "admin", "msp"),
		"CORE_PEER_ADDRESS=" + fmt.Sprintf("%s:%d", notary.Peer.Host, notary.Peer.Port),
		"CORE_PEER_TLS_ENABLED=true",
		"CORE_PEER_TLS_ROOTCERT_FILE=" + root,
	}, "peer", "channel", "update", "--file", file("envelope"), "--channelID", "cunzheng",
		"--orderer", fmt.Sprintf("%s:%d", notary.Orderer.Host, notary.Orderer.Port), "--tls", "--cafile", root)
	awaitConfig(t, block)
}

// awaitConfig waits until the peers have another config block than the one before.
func awaitConfig(t *testing.T, before []byte) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for {
		block, err := testNetwork(t).ConfigBlock(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if string(block) != string(before) {
			return
		}
	}
}

func at(object any, path ...string) map[string]any {
	for _, name := range path {
		object = object.(map[string]any)[name]
	}
	return object.(map[string]any)
}
