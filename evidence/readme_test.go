package evidence

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWalkThrough unpacks a bundle and runs every command of its README.txt as it stands there.
func TestWalkThrough(t *testing.T) {
	for _, tool := range []string{"openssl", "unzip", "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here", tool)
		}
	}
	w := newWorld(t)
	// A revoked key and a second one of the role stand in the trust file, to make the commands find the right one.
	w.trusted(RoleReceipt).Revoked = &TrustRevocation{At: tVerdict, Reason: ReasonSuperseded}
	w.trust.Logs[0].Keys = append(w.trust.Logs[0].Keys, trustKey(newKey(t), RoleReceipt))
	bundle := w.fullBundle()

	dir := t.TempDir()
	unpacked := filepath.Join(dir, "unpacked")
	must(t, os.WriteFile(filepath.Join(dir, "bundle.zip"), bundle, 0o600))
	trust, err := w.trust.Encode()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "trusted.json"), trust, 0o600))
	if out, err := exec.Command("unzip", "-q", filepath.Join(dir, "bundle.zip"), "-d", unpacked).CombinedOutput(); err != nil {
		t.Fatalf("unzip: %v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(unpacked, fileReadme))
	must(t, err)
	var script []string
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			script = append(script, strings.TrimRight(strings.ReplaceAll(command, "/tmp/", dir+"/"), "\n"))
		}
	}
	if len(script) < 10 {
		t.Fatalf("only %d commands found in\n%s", len(script), text)
	}
	command := exec.Command("bash", "-euo", "pipefail", "-c", strings.Join(script, "\n"))
	command.Dir = unpacked
	command.Env = append(os.Environ(), "TRUST="+filepath.Join(dir, "trusted.json"))
	raw, err := command.CombinedOutput()
	out := string(raw)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := testStatement()
	r, err := ParseReceipt([]byte(readAll(t, filepath.Join(unpacked, fileReceipt))))
	must(t, err)
	if n := strings.Count(out, "Signature Verified Successfully"); n != 2 {
		t.Errorf("%d signatures verified, want 2:\n%s", n, out)
	}
	for what, want := range map[string]string{"digest of the original": s.Content.SM3.String(), "leaf hash": r.Leaf.String()} {
		if !strings.Contains(out, want) || !strings.Contains(string(text), want) {
			t.Errorf("the %s %s is missing in the text or the output:\n%s", what, want, out)
		}
	}
	if n := strings.Count(out, r.Key.String()); n != 2 {
		t.Errorf("the key is printed %d times, want as name and as digest:\n%s", n, out)
	}
	manifest := readAll(t, filepath.Join(unpacked, fileManifest))
	for _, line := range strings.Split(out, "\n") {
		if digest, name, ok := strings.Cut(line, " *"); ok && (strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".txt")) && !strings.Contains(manifest, digest) {
			t.Errorf("%s: %s is not in the manifest", name, digest)
		}
	}
	if !strings.HasPrefix(string(text), "存证包说明") {
		t.Error("the text does not begin in Chinese")
	}
}

func readAll(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}
