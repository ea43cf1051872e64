package evidence

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cunzheng/ledger/blockproof/fabrictest"
)

// TestBrowser runs verdicts in node, compiled for the browser: they are byte for byte those of this machine.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles for js/wasm")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "verify.wasm")
	build := exec.Command("go", "build", "-o", binary, "./testdata/wasm")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build for js/wasm: %v\n%s", err, out)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("compiled; no node here to run it")
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	must(t, err)
	w := newWorld(t)
	n := fabrictest.New()
	w.trust.Ledgers = append(w.trust.Ledgers, w.channel(n.ConfigBlock(0, tKeys.Time())))
	bundle := w.fullBundle()
	onChannel := w.accept(testStatement(), nil)
	w.anchorOn(n, onChannel, nil)
	consortium := w.write(onChannel, nil)
	changed := bytes.Clone(bundle)
	changed[len(changed)/2] ^= 1
	trust, err := w.trust.Encode()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "trust.json"), trust, 0o600))
	for name, b := range map[string][]byte{"good.zip": bundle, "bad.zip": changed, "consortium.zip": consortium} {
		must(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
		want, err := w.verify(b).Encode()
		must(t, err)
		run := exec.Command(node, filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec_node.js"), binary, name, "trust.json", tVerdict.String())
		run.Dir = dir
		var stderr strings.Builder
		run.Stderr = &stderr
		got, err := run.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, stderr.String())
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: in the browser\n%s\nhere\n%s", name, got, want)
		}
	}
}
