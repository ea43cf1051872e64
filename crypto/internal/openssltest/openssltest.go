// Package openssltest lets tests ask OpenSSL 3, a third implementation of SM2,
// SM3 and SM4 that shares no code with the two libraries of this module.
//
//	digest := openssltest.Run(t, message, "dgst", "-sm3", "-binary")
package openssltest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Run runs openssl with the input and returns its output. It fails the test if
// openssl fails or is missing: these tests are part of the proof and are not
// skipped.
func Run(t testing.TB, stdin []byte, args ...string) []byte {
	t.Helper()
	out, diagnostics, err := run(t, stdin, args)
	if err != nil {
		t.Fatalf("openssl %q: %v\n%s", args, err, diagnostics)
	}
	return out
}

// Fails runs openssl and tells whether it ended with an error, as it does for a
// signature that does not verify.
func Fails(t testing.TB, stdin []byte, args ...string) bool {
	t.Helper()
	_, _, err := run(t, stdin, args)
	return err != nil
}

func run(t testing.TB, stdin []byte, args []string) (out, diagnostics []byte, err error) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("this test needs OpenSSL 3 as an outside judge; install it (Debian: apt-get install openssl)")
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	err = cmd.Run()
	return stdout.Bytes(), stderr.Bytes(), err
}

// File writes content to a new file and returns its path.
func File(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
