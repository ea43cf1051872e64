package keystore

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
)

const testPassphrase = "correct-horse-battery-staple"

// Secrets show themselves in no output that can be made of them by accident.
func TestSecretsAreNeverPrinted(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, dir, Passphrase([]byte(testPassphrase)), RoleLog)
	signer := mustSigner(t, s, RoleLog)
	type holder struct {
		Store   *Store
		store   *Store
		Pass    passphrase
		pass    passphrase
		Unlock  Unlock
		Signer  Signer
		signer  Signer
		Map     map[string]any
		List    []Unlock
		Pointer *Unlock
	}
	pass := Passphrase([]byte(testPassphrase))
	h := holder{s, s, pass.(passphrase), pass.(passphrase), pass, signer, signer, map[string]any{"s": s, "p": pass}, []Unlock{pass}, &pass}

	var out bytes.Buffer
	for _, v := range []any{s, pass, &pass, signer, h, &h, fmt.Errorf("with %v and %+v", s, pass)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%T", "%p", "%-30v|"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(handler).Info("secret", "value", v, slog.Group("g", "v", v))
		}
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		if b, err := jsonv2.Marshal(v); err == nil {
			out.Write(b)
		}
	}
	out.WriteString(s.String() + s.GoString() + fmt.Sprint(pass) + pass.(passphrase).String() + pass.(passphrase).GoString())
	// Errors, one of each kind.
	tampered := bytes.Clone(s.raw)
	tampered[len(tampered)-20] ^= 1
	for _, err := range []error{
		second(Open(dir, Passphrase([]byte("wrong-"+testPassphrase)))),
		second(Open(filepath.Join(dir, "none"), pass)),
		second(Create(dir, pass, RoleLog)),
		second(s.Rotate("none", time.Now())),
		second(s.Unwrap([]byte("x"), nil)),
		second(s.RotateWith(RoleLog, time.Now(), func(Signer, PublicKey) ([]byte, error) { return nil, errors.New("no") })),
		new(Store).load(tampered, pass),
	} {
		if err == nil {
			t.Error("an error is missing")
		}
		fmt.Fprintf(&out, "%v %+v %#v\n", err, err, err)
	}
	for name, secret := range secretsOf(t, s) {
		for _, form := range forms(secret) {
			if bytes.Contains(out.Bytes(), []byte(form)) {
				t.Errorf("%s is printed as %q", name, form)
			}
		}
	}
	if got := fmt.Sprintf("%v %+v %#v", s, s, s); got != strings.TrimSpace(strings.Repeat(redacted+" ", 3)) {
		t.Errorf("a Store is printed as %q", got)
	}
}

func second[T any](_ T, err error) error { return err }

func secretsOf(t *testing.T, s *Store) map[string][]byte {
	t.Helper()
	var plain secrets
	if err := decode(sealedPart(t, s), &plain); err != nil {
		t.Fatal(err)
	}
	seal, err := sealKey(s.fileKey())
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"the passphrase":   []byte(testPassphrase),
		"the file key":     s.fileKey(),
		"the sealing key":  seal,
		"the master key":   plain.Master,
		"the private key":  plain.Private[0].PKCS8[36:68],
		"the PKCS#8 bytes": plain.Private[0].PKCS8[30:],
	}
}

// forms returns the ways in which the start of a secret could be written.
func forms(secret []byte) []string {
	b := secret[:9]
	decimals := strings.Trim(fmt.Sprint(b), "[]")
	return []string{
		string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), base64.StdEncoding.EncodeToString(b),
		decimals, strings.ReplaceAll(decimals, " ", ","), strings.ReplaceAll(decimals, " ", ", "),
		strings.ReplaceAll(strings.TrimSuffix(fmt.Sprintf("%#v", b), "}"), "[]byte{", ""),
	}
}

// Neither in the trace of a crash, with the Store at work on the stack.
func TestSecretsAreNotInCrash(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		s := mustOpen(t, dir, KeyFile(os.Getenv(crashKey)))
		s.fault = func(step string) error {
			if step == "rename" {
				panic(s)
			}
			return nil
		}
		s.Rotate(RoleLog, time.Now())
		t.Fatal("still alive")
	}
	dir, keyFile := t.TempDir(), newKeyFile(t)
	s := mustCreate(t, dir, keyFile, RoleLog)
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashKey+"="+string(keyFile), "GOTRACEBACK=system")
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("panic:")) || !bytes.Contains(out, []byte("goroutine ")) {
		t.Fatalf("the program did not crash: %v\n%s", err, out)
	}
	for name, secret := range secretsOf(t, s) {
		for _, form := range forms(secret) {
			if bytes.Contains(out, []byte(form)) {
				t.Errorf("%s is in the crash as %q", name, form)
			}
		}
	}
}
