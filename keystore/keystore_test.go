package keystore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cunzheng/crypto/sm2"
)

var allRoles = []Role{RoleLog, RoleReceipt, RoleToken, RoleSeal, RoleLedger}

func TestCreateOpenSign(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	created, err := Create(dir, Passphrase("correct horse"), allRoles...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, Passphrase("other"), allRoles...); !errors.Is(err, ErrExists) {
		t.Errorf("second Create: %v", err)
	}
	if _, err := Open(dir, Passphrase("battery staple")); !errors.Is(err, ErrWrongPassphrase) {
		t.Errorf("wrong passphrase: %v", err)
	}
	opened, err := Open(dir, Passphrase("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range allRoles {
		s, err := opened.Signer(r)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := sm2.Sign(s, []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		keys := created.Keys(r)
		if len(keys) != 1 || keys[0].ID != s.KeyID() || keys[0].Key.Verify([]byte("m"), sig) != nil {
			t.Errorf("role %s: the reopened keystore signs with another key", r)
		}
	}
	next, err := opened.Rotate(RoleLog, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := created.Rotate(RoleLog, time.Now()); !errors.Is(err, ErrChanged) {
		t.Errorf("stale store: %v", err)
	}
	again, err := Open(dir, Passphrase("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if keys := again.Keys(RoleLog); len(keys) != 2 || keys[1].ID != next.ID || keys[0].Retired.IsZero() {
		t.Errorf("after a rotation: %+v", keys)
	}
	raw, _ := os.ReadFile(filepath.Join(dir, "keystore.json"))
	t.Logf("%s", raw)
}
