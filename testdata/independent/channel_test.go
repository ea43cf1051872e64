package independent_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"cunzheng/ledger/blockproof"
)

// program makes the independent verifier judge proofs of channels: for each line "PROOF CONFIG" of the input it prints
// invalid, unknown, or the origin and the time.
const program = `
import sys
sys.dont_write_bytecode = True
import consortium, formats
for line in sys.stdin:
    proof, config = (open(name, "rb").read() for name in line.split())
    try:
        trusted = consortium.Config(consortium.Block(config, False))
        origin, _, moment = consortium.Proof(proof).verify("cunzheng", [trusted])
        print(origin, moment)
    except formats.Bad:
        print("invalid")
    except consortium.Unknown:
        print("unknown")
`

// channelCase is one proof and the config block that is trusted.
type channelCase struct {
	name          string
	proof, config []byte
}

// kernelSays judges a case with package blockproof, in the words of program.
func kernelSays(c channelCase) string {
	config, err := blockproof.ParseFabricConfig(c.config)
	if err != nil {
		return "invalid"
	}
	got, err := blockproof.VerifyFabric(c.proof, "cunzheng", config)
	switch {
	case errors.Is(err, blockproof.ErrUnknownKey):
		return "unknown"
	case err != nil:
		return "invalid"
	}
	return fmt.Sprintf("%s %d", got.Origin, got.Time.UnixMilli())
}

func pythonSays(t *testing.T, cases []channelCase) []string {
	t.Helper()
	dir := t.TempDir()
	var input strings.Builder
	for i, c := range cases {
		proof, config := filepath.Join(dir, fmt.Sprintf("%d.json", i)), filepath.Join(dir, fmt.Sprintf("%d.block", i))
		for name, data := range map[string][]byte{proof: c.proof, config: c.config} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintln(&input, proof, config)
	}
	cmd := exec.Command("python3", "-c", program)
	cmd.Stdin = strings.NewReader(input.String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(cases) {
		t.Fatalf("%d answers to %d cases\n%s", len(lines), len(cases), stderr.Bytes())
	}
	return lines
}

// TestRealChannel has both verifiers judge blocks of a real Fabric network, as they are and with single bytes of block
// and configuration changed.
func TestRealChannel(t *testing.T) {
	requireTools(t)
	const anchor5 = "711a2ecaf39526c8545b1f72ef4c305c2901c259e3ff184226c29754b18fb15d"
	const anchor7 = "b750da28b9cbf976ba7d6a7ea71963d2c88cfeecf9e04d213c636e29b9180b6f"
	block := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("../../ledger/blockproof/testdata/fabric", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	encode := func(p blockproof.FabricProof) []byte {
		text, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	zero, six := block("config-0.block"), block("config-6.block")
	first := encode(blockproof.FabricProof{Block: block("anchor-5.block"), Transaction: anchor5})
	linked := encode(blockproof.FabricProof{Block: block("anchor-7.block"), Configs: [][]byte{six}, Transaction: anchor7})
	cases := []channelCase{
		{"first", first, zero},
		{"linked", linked, zero},
		{"linked, later configuration", linked, six},
		{"first, later configuration", first, six},
		{"no link", encode(blockproof.FabricProof{Block: block("anchor-7.block"), Transaction: anchor7}), zero},
		{"no such transaction", bytes.Replace(first, []byte(anchor5), []byte(anchor7), 1), zero},
	}
	for i := 1; i < len(first); i += len(first) / 24 {
		changed := slices.Clone(first)
		changed[i] ^= 1
		cases = append(cases, channelCase{fmt.Sprintf("proof, byte %d", i), changed, zero})
	}
	for i := range 48 {
		b := &common.Block{}
		if err := proto.Unmarshal(zero, b); err != nil {
			t.Fatal(err)
		}
		at := (2*i + 1) * len(b.Data.Data[0]) / 96
		b.Data.Data[0][at] ^= []byte{0x01, 0x02, 0x40}[i%3]
		sum := sha256.Sum256(b.Data.Data[0])
		b.Header.DataHash = sum[:]
		changed, err := proto.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, channelCase{fmt.Sprintf("configuration, byte %d", at), first, changed})
	}
	seen := make(map[string]int)
	for i, got := range pythonSays(t, cases) {
		want := kernelSays(cases[i])
		if got != want {
			t.Errorf("%s: %q; package blockproof says %q", cases[i].name, got, want)
		}
		seen[strings.Fields(want)[0]]++
	}
	if len(seen) != 3 || seen["log.notary.example"] < 3 {
		t.Errorf("answers %v: the cases tell nothing apart", seen)
	}
	t.Log(seen)
}
