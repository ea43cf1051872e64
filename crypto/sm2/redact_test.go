package sm2

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
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
)

// A private key shows itself in no output that can be made of it by accident.
func TestPrivateKeyIsNeverPrinted(t *testing.T) {
	key, _ := newTestKey(t)
	type holder struct {
		Key     *PrivateKey
		Value   PrivateKey
		private *PrivateKey
		value   PrivateKey
		Any     any
		List    []*PrivateKey
		Map     map[string]PrivateKey
	}
	h := holder{key, *key, key, *key, key, []*PrivateKey{key}, map[string]PrivateKey{"k": *key}}

	var out bytes.Buffer
	for _, v := range []any{key, *key, h, &h, []any{key}, Verified(key), fmt.Errorf("signing with %v", key), errors.Join(fmt.Errorf("%+v", h))} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%T", "%p", "%08v", "%-40s|"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(handler).Info("key", "key", v, slog.Group("g", "k", v))
		}
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		if b, err := jsonv2.Marshal(v); err == nil {
			out.Write(b)
		}
	}
	out.WriteString(key.String() + key.GoString() + key.LogValue().String())
	for _, format := range secretForms(t, key) {
		if bytes.Contains(out.Bytes(), []byte(format)) {
			t.Errorf("the private number is printed as %q", format)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s %x", key, *key, key, key, *key); got != strings.TrimSpace(strings.Repeat(redacted+" ", 5)) {
		t.Errorf("printed as %q", got)
	}
}

// secretForms returns the ways in which the number of key could be written.
func secretForms(t *testing.T, key *PrivateKey) []string {
	t.Helper()
	d := number(t, key)
	b := d.Bytes()
	decimals := strings.Trim(fmt.Sprint(b[:8]), "[]")
	return []string{
		d.String(), d.Text(8), hex.EncodeToString(b[:8]), strings.ToUpper(hex.EncodeToString(b[:8])),
		decimals, strings.ReplaceAll(decimals, " ", ", "), strings.ReplaceAll(decimals, " ", ","), string(b[:8]),
		base64.StdEncoding.EncodeToString(b[:9]), fmt.Sprintf("%d", d.Bits()[0]), fmt.Sprintf("%x", d.Bits()[0]),
	}
}

const crashEnv = "SM2_TEST_CRASH"

// A crash with a key in every place where Go prints values does not show it.
func TestPrivateKeyIsNotInCrash(t *testing.T) {
	if pkcs8 := os.Getenv(crashEnv); pkcs8 != "" {
		key, err := ParsePrivateKey(unhex(t, pkcs8))
		if err != nil {
			t.Fatal(err)
		}
		crash(key, *key)
	}
	key, _ := newTestKey(t)
	pkcs8, err := key.PKCS8()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPrivateKeyIsNotInCrash$")
	cmd.Env = append(os.Environ(), crashEnv+"="+hex.EncodeToString(pkcs8), "GOTRACEBACK=system")
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("panic:")) || !bytes.Contains(out, []byte("goroutine ")) {
		t.Fatalf("the program did not crash: %v\n%s", err, out)
	}
	for _, form := range secretForms(t, key) {
		if bytes.Contains(out, []byte(form)) {
			t.Errorf("the crash shows the private number as %q", form)
		}
	}
}

//go:noinline
func crash(key *PrivateKey, value PrivateKey) {
	defer func() { panic(fmt.Errorf("%v: %v %+v", recover(), key, value)) }()
	panic(value)
}
