package keystore

import (
	"bytes"
	"crypto"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm4"
)

var allRoles = []Role{RoleLog, RoleReceipt, RoleToken, RoleSeal, RoleLedger}

// newKeyFile makes a key file; unlocking with it is fast.
func newKeyFile(t testing.TB) keyFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := NewKeyFile(path); err != nil {
		t.Fatal(err)
	}
	return keyFile(path)
}

func mustCreate(t testing.TB, dir string, u Unlock, roles ...Role) *Store {
	t.Helper()
	s, err := Create(dir, u, roles...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustOpen(t testing.TB, dir string, u Unlock) *Store {
	t.Helper()
	s, err := Open(dir, u)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustSigner(t testing.TB, s *Store, r Role) Signer {
	t.Helper()
	signer, err := s.Signer(r)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// check fails unless the store signs with the current key of each role, and that
// key is the last of its list, and all earlier ones are retired.
func check(t *testing.T, s *Store, roles ...Role) {
	t.Helper()
	for _, r := range roles {
		keys := s.Keys(r)
		signer := mustSigner(t, s, r)
		sig, err := sm2.Sign(sm2.Verified(signer), []byte("message"))
		if err != nil {
			t.Errorf("%s: %v", r, err)
			continue
		}
		current := keys[len(keys)-1]
		if err := current.Key.Verify([]byte("message"), sig); err != nil {
			t.Errorf("%s: signature under the current key: %v", r, err)
		}
		if signer.KeyID() != current.ID || !signer.PublicKey().Equal(current.Key) || !current.Key.Equal(signer.Public()) {
			t.Errorf("%s: the signer is %s, the current key %s", r, signer.KeyID(), current.ID)
		}
		for i, k := range keys {
			if k.Role != r || k.Retired.IsZero() != (i == len(keys)-1) || keyID(k.Key) != k.ID {
				t.Errorf("%s: key %d of %d: %+v", r, i, len(keys), k)
			}
		}
	}
}

func TestCreateOpen(t *testing.T) {
	keyFile := newKeyFile(t)
	for name, test := range map[string]struct{ right, wrong, other Unlock }{
		"passphrase": {Passphrase([]byte("correct horse 口令")), Passphrase([]byte("battery staple")), keyFile},
		"key file":   {keyFile, newKeyFile(t), Passphrase([]byte("correct horse"))},
	} {
		dir := filepath.Join(t.TempDir(), "a", "keys")
		if _, err := Open(dir, test.right); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: Open before Create: %v", name, err)
		}
		created := mustCreate(t, dir, test.right, allRoles...)
		check(t, created, allRoles...)
		before, err := os.ReadFile(filepath.Join(dir, fileName))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Create(dir, test.wrong, allRoles...); !errors.Is(err, ErrExists) {
			t.Errorf("%s: second Create: %v", name, err)
		}
		if after, err := os.ReadFile(filepath.Join(dir, fileName)); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the second Create has changed the file", name)
		}
		for _, u := range []Unlock{test.wrong, test.other, Passphrase(nil), KeyFile(filepath.Join(dir, "none"))} {
			if s, err := Open(dir, u); !errors.Is(err, ErrWrongPassphrase) || s != nil {
				t.Errorf("%s: opened with %v: %v", name, u, err)
			}
		}
		opened := mustOpen(t, dir, test.right)
		check(t, opened, allRoles...)
		for _, r := range allRoles {
			a, b := created.Keys(r)[0], opened.Keys(r)[0]
			if a.ID != b.ID || !a.Created.Equal(b.Created) || time.Since(b.Created) > time.Minute {
				t.Errorf("%s: created %+v, opened %+v", name, a, b)
			}
		}
		for path, want := range map[string]fs.FileMode{dir: fs.ModeDir | 0o700, filepath.Join(dir, fileName): 0o600, filepath.Join(dir, "keystore.lock"): 0o600} {
			if info, err := os.Stat(path); err != nil || info.Mode() != want {
				t.Errorf("%s: %s has mode %v, want %v (%v)", name, path, info.Mode(), want, err)
			}
		}
	}
}

func TestRoles(t *testing.T) {
	keyFile := newKeyFile(t)
	for name, roles := range map[string][]Role{"unknown": {"root"}, "empty": {""}, "twice": {RoleLog, RoleSeal, RoleLog}} {
		dir := t.TempDir()
		if _, err := Create(dir, keyFile, roles...); err == nil {
			t.Errorf("%s: a keystore is created", name)
		}
		if _, err := Open(dir, keyFile); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: the refused keystore: %v", name, err)
		}
	}
	dir := t.TempDir()
	s := mustCreate(t, dir, keyFile, RoleLog)
	if _, err := s.Signer(RoleSeal); !errors.Is(err, ErrNoKey) {
		t.Errorf("a role without a key: %v", err)
	}
	if keys := s.Keys(RoleSeal); len(keys) != 0 {
		t.Errorf("keys of a role without a key: %v", keys)
	}
	if _, err := s.Rotate("root", time.Now()); err == nil {
		t.Error("an unknown role gets a key")
	}
	// A role that came later gets its first key by a rotation.
	if _, err := s.Rotate(RoleSeal, time.Now()); err != nil {
		t.Fatal(err)
	}
	check(t, mustOpen(t, dir, keyFile), RoleLog, RoleSeal)
}

func TestRotate(t *testing.T) {
	dir, keyFile := t.TempDir(), newKeyFile(t)
	s := mustCreate(t, dir, keyFile, allRoles...)
	held := mustSigner(t, s, RoleLog)
	var ids []string
	now := time.Now()
	for range 3 {
		now = now.Add(time.Hour)
		next, err := s.Rotate(RoleLog, now)
		if err != nil {
			t.Fatal(err)
		}
		if !next.Created.Equal(now.UTC().Truncate(time.Millisecond)) || !next.Retired.IsZero() || next.Handover != nil {
			t.Errorf("new key: %+v", next)
		}
		ids = append(ids, next.ID)
	}
	reopened := mustOpen(t, dir, keyFile)
	for name, s := range map[string]*Store{"same": s, "reopened": reopened} {
		check(t, s, allRoles...)
		keys := s.Keys(RoleLog)
		if len(keys) != 4 || keys[0].ID != held.KeyID() || keys[1].ID != ids[0] || keys[2].ID != ids[1] || keys[3].ID != ids[2] {
			t.Errorf("%s: keys are %v, want %s and %v", name, keys, held.KeyID(), ids)
		}
		for i := range 3 {
			if !keys[i].Retired.Equal(keys[i+1].Created) {
				t.Errorf("%s: key %d retired %v, the next created %v", name, i, keys[i].Retired, keys[i+1].Created)
			}
		}
		if len(s.Keys(RoleSeal)) != 1 {
			t.Errorf("%s: another role was rotated", name)
		}
	}
	// A signer that was handed out keeps its key, whose signatures still verify.
	sig, err := sm2.Sign(held, []byte("m"))
	if err != nil || reopened.Keys(RoleLog)[0].Key.Verify([]byte("m"), sig) != nil {
		t.Errorf("the old signer: %v", err)
	}
	if _, err := s.Rotate(RoleLog, now.Add(-time.Minute)); err == nil {
		t.Error("a key is created before the one it replaces")
	}

	// The private part of a retired key is neither in memory nor in the file.
	if len(s.private) != len(allRoles) {
		t.Errorf("%d private keys are in memory for %d roles", len(s.private), len(allRoles))
	}
	var plain secrets
	if err := decode(sealedPart(t, s), &plain); err != nil {
		t.Fatal(err)
	}
	if len(plain.Private) != len(allRoles) {
		t.Errorf("%d private keys are kept for %d roles", len(plain.Private), len(allRoles))
	}
	for _, p := range plain.Private {
		key, err := sm2.ParsePrivateKey(p.PKCS8)
		if err != nil {
			t.Fatal(err)
		}
		for _, retired := range s.Keys(RoleLog)[:3] {
			if retired.Key.Equal(key.Public()) || retired.ID == p.ID {
				t.Errorf("the private key %s is kept after its rotation", retired.ID)
			}
		}
	}
}

// sealedPart decrypts what the file of s seals.
func sealedPart(t testing.TB, s *Store) []byte {
	t.Helper()
	doc, err := parseDocument(s.raw)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sealKey(s.fileKey())
	if err != nil {
		t.Fatal(err)
	}
	additional, err := doc.additional()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := sm4.Open(key, doc.Sealed, additional)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestHandover(t *testing.T) {
	dir, keyFile := t.TempDir(), newKeyFile(t)
	s := mustCreate(t, dir, keyFile, RoleLog)
	old := s.Keys(RoleLog)[0]
	statement := func(next PublicKey) []byte { return append([]byte("next key: "), next.Key.SPKI()...) }

	failure := errors.New("no")
	_, err := s.RotateWith(RoleLog, time.Now(), func(Signer, PublicKey) ([]byte, error) { return nil, failure })
	if !errors.Is(err, failure) {
		t.Errorf("a handover that fails: %v", err)
	}
	if keys := mustOpen(t, dir, keyFile).Keys(RoleLog); len(keys) != 1 || keys[0].ID != old.ID {
		t.Errorf("after a handover that failed: %v", keys)
	}

	next, err := s.RotateWith(RoleLog, time.Now(), func(signer Signer, next PublicKey) ([]byte, error) {
		if signer.KeyID() != old.ID {
			t.Errorf("the old key is %s, want %s", signer.KeyID(), old.ID)
		}
		return sm2.Sign(signer, statement(next))
	})
	if err != nil {
		t.Fatal(err)
	}
	clear(next.Handover)               // what callers get is theirs
	clear(s.Keys(RoleLog)[1].Handover) // here too
	for _, s := range []*Store{s, mustOpen(t, dir, keyFile)} {
		check(t, s, RoleLog)
		keys := s.Keys(RoleLog)
		if err := keys[0].Key.Verify(statement(keys[1]), keys[1].Handover); err != nil {
			t.Errorf("the handover: %v", err)
		}
	}
	_, err = s.RotateWith(RoleSeal, time.Now(), func(Signer, PublicKey) ([]byte, error) {
		t.Error("handover is called for a first key")
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestChangeUnlock(t *testing.T) {
	dir, keyFile := t.TempDir(), newKeyFile(t)
	s := mustCreate(t, dir, Passphrase([]byte("first")), RoleLog, RoleReceipt)
	wrapped, err := s.Wrap([]byte("data key"), []byte("object"))
	if err != nil {
		t.Fatal(err)
	}
	id := s.Keys(RoleLog)[0].ID
	previous := Unlock(Passphrase([]byte("first")))
	for _, next := range []Unlock{Passphrase([]byte("second")), keyFile, Passphrase([]byte("third"))} {
		if err := s.ChangeUnlock(next); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, previous); !errors.Is(err, ErrWrongPassphrase) {
			t.Errorf("the previous passphrase: %v", err)
		}
		opened := mustOpen(t, dir, next)
		check(t, opened, RoleLog, RoleReceipt)
		if opened.Keys(RoleLog)[0].ID != id {
			t.Error("the keys have changed")
		}
		if key, err := opened.Unwrap(wrapped, []byte("object")); err != nil || string(key) != "data key" {
			t.Errorf("what was wrapped before: %q, %v", key, err)
		}
		previous = next
	}
	for _, bad := range []Unlock{Passphrase(nil), KeyFile(filepath.Join(dir, "none"))} {
		if err := s.ChangeUnlock(bad); err == nil {
			t.Errorf("changed to %v", bad)
		}
	}
	if _, err := s.Rotate(RoleLog, time.Now()); err != nil {
		t.Fatal(err)
	}
	check(t, mustOpen(t, dir, previous), RoleLog, RoleReceipt)
}

func TestWrap(t *testing.T) {
	dir, keyFile := t.TempDir(), newKeyFile(t)
	s := mustCreate(t, dir, keyFile, RoleLog)
	other := mustCreate(t, t.TempDir(), keyFile, RoleLog)
	key, object := []byte("0123456789abcdef"), []byte("object 1")
	wrapped, err := s.Wrap(key, object)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Wrap(key, object)
	if err != nil || bytes.Equal(wrapped, again) {
		t.Errorf("wrapping twice gives the same, %v", err)
	}
	if _, err := s.Rotate(RoleLog, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Store{s, mustOpen(t, dir, keyFile)} {
		if got, err := s.Unwrap(wrapped, object); err != nil || !bytes.Equal(got, key) {
			t.Errorf("got %x, %v", got, err)
		}
	}
	refused := func(name string, s *Store, wrapped, additional []byte) {
		t.Helper()
		if got, err := s.Unwrap(wrapped, additional); !errors.Is(err, sm4.ErrAuthentication) || got != nil {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	refused("another object", s, wrapped, []byte("object 2"))
	refused("another keystore", other, wrapped, object)
	refused("nothing", s, nil, object)
	for i := range len(wrapped) {
		refused("cut off", s, wrapped[:i], object)
	}
	for i := range len(wrapped) * 8 {
		changed := bytes.Clone(wrapped)
		changed[i/8] ^= 1 << (i % 8)
		refused("one bit changed", s, changed, object)
	}
	// The master key is not a key of its own file, nor the other way round.
	if _, err := sm4.Open(s.fileKey()[:sm4.KeySize], wrapped[wrapSaltSize:], object); err == nil {
		t.Error("the file key unwraps")
	}
}

func TestKeyFile(t *testing.T) {
	good := newKeyFile(t)
	text, err := os.ReadFile(string(good))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(string(good)); err != nil || info.Mode() != 0o600 || info.Size() != 65 {
		t.Errorf("key file: %v, %v", info, err)
	}
	if err := NewKeyFile(string(good)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key file is overwritten: %v", err)
	}
	dir := t.TempDir()
	mustCreate(t, dir, good, RoleLog)
	for name, test := range map[string]struct {
		content string
		mode    fs.FileMode
		want    error
	}{
		"without line end":     {string(text[:64]), 0o600, nil},
		"read-only":            {string(text), 0o400, nil},
		"upper case":           {strings.ToUpper(string(text)), 0o600, ErrWrongPassphrase},
		"empty":                {"", 0o600, ErrWrongPassphrase},
		"short":                {string(text[:63]), 0o600, ErrWrongPassphrase},
		"not hexadecimal":      {strings.Repeat("g", 64), 0o600, ErrWrongPassphrase},
		"readable by group":    {string(text), 0o640, ErrPermissions},
		"readable by others":   {string(text), 0o604, ErrPermissions},
		"writable by others":   {string(text), 0o602, ErrPermissions},
		"executable by others": {string(text), 0o601, ErrPermissions},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir, KeyFile(path))
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if test.want == ErrPermissions && !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("%s: no hint in %q", name, err)
		}
	}
	for name, content := range map[string]string{"two line ends": string(text) + "\n", "long": string(text) + "00"} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, KeyFile(path)); err == nil {
			t.Errorf("%s: opens", name)
		}
	}
	if _, err := Open(dir, KeyFile(dir)); err == nil {
		t.Error("a folder is a key file")
	}
}

func TestUnsafePermissions(t *testing.T) {
	dir, keyFile := t.TempDir(), newKeyFile(t)
	mustCreate(t, dir, keyFile, RoleLog)
	path := filepath.Join(dir, fileName)
	for _, mode := range []fs.FileMode{0o640, 0o644, 0o660, 0o606} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir, keyFile)
		if !errors.Is(err, ErrPermissions) || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

// A keystore that another Store, in this process or another one, has changed is
// not overwritten.
func TestStaleStore(t *testing.T) {
	dir, keyFile := t.TempDir(), newKeyFile(t)
	first := mustCreate(t, dir, keyFile, RoleLog)
	second := mustOpen(t, dir, keyFile)
	if _, err := second.Rotate(RoleLog, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Rotate(RoleLog, time.Now()); !errors.Is(err, ErrChanged) {
		t.Errorf("Rotate: %v", err)
	}
	if err := first.ChangeUnlock(keyFile); !errors.Is(err, ErrChanged) {
		t.Errorf("ChangeUnlock: %v", err)
	}
	if len(first.Keys(RoleLog)) != 1 {
		t.Error("a failed rotation changes the Store")
	}
	if err := os.Remove(filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Rotate(RoleLog, time.Now()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Rotate without the file: %v", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	dir, keyFile := t.TempDir(), newKeyFile(t)
	s := mustCreate(t, dir, keyFile, RoleLog, RoleReceipt)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				signer, err := s.Signer(RoleReceipt)
				if err != nil {
					t.Error(err)
					return
				}
				sig, err := signer.Sign(nil, []byte("m"), crypto.Hash(0))
				if err != nil || signer.PublicKey().Verify([]byte("m"), sig) != nil {
					t.Error("signing fails")
				}
				if wrapped, err := s.Wrap([]byte("k"), nil); err != nil {
					t.Error(err)
				} else if _, err := s.Unwrap(wrapped, nil); err != nil {
					t.Error(err)
				}
				s.Keys(RoleLog)
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			if _, err := s.Rotate(RoleReceipt, time.Now()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	check(t, mustOpen(t, dir, keyFile), RoleLog, RoleReceipt)
	if n := len(s.Keys(RoleReceipt)); n != 6 {
		t.Errorf("%d keys after 5 rotations", n)
	}
}
