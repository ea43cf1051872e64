package api

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"cunzheng/api/token"
	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/ledger"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
	"cunzheng/notary"
	"cunzheng/notary/vault"
)

const origin = "log.test.example/xm"

// stack is everything below the interface: real keystore, log, vault and notary in a temporary folder.
type stack struct {
	dir     string
	keys    *keystore.Store
	log     *ledger.Log
	vault   *vault.Vault
	service *notary.Service
	base    uint64 // entries of the log before the test began
}

// operator stands for whoever runs commands on the machine itself.
func operator(role notary.Role) notary.Actor {
	return notary.Actor{Organisation: "xm-notary", Account: "operator", Roles: []notary.Role{role}}
}

// template is the folder of a node with its registry, made once and copied for each test: making it takes as long as
// most tests.
var template = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "cunzheng-api") })

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := template(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func newStack(t testing.TB) *stack {
	t.Helper()
	dir, err := template()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "keys")); errors.Is(err, fs.ErrNotExist) {
		makeTemplate(t, dir)
	}
	s := &stack{dir: t.TempDir()}
	if err := os.CopyFS(s.dir, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"keys", "keys/keystore.json", "unlock.key"} { // CopyFS widens modes
		mode := fs.FileMode(0o600)
		if secret == "keys" {
			mode = 0o700
		}
		if err := os.Chmod(filepath.Join(s.dir, secret), mode); err != nil {
			t.Fatal(err)
		}
	}
	if s.keys, err = keystore.Open(filepath.Join(s.dir, "keys"), keystore.KeyFile(filepath.Join(s.dir, "unlock.key"))); err != nil {
		t.Fatal(err)
	}
	s.open(t)
	s.base = s.log.Latest().Size
	t.Cleanup(func() { s.close(t) })
	return s
}

func makeTemplate(t testing.TB, dir string) {
	t.Helper()
	s := &stack{dir: dir}
	keyFile := filepath.Join(s.dir, "unlock.key")
	if err := keystore.NewKeyFile(keyFile); err != nil {
		t.Fatal(err)
	}
	var err error
	s.keys, err = keystore.Create(filepath.Join(s.dir, "keys"), keystore.KeyFile(keyFile),
		keystore.RoleLog, keystore.RoleReceipt, keystore.RoleToken, keystore.RoleSeal, keystore.RoleLedger)
	if err != nil {
		t.Fatal(err)
	}
	if err := ledger.Create(filepath.Join(s.dir, "log"), s.logOptions(t)); err != nil {
		t.Fatal(err)
	}
	s.open(t)
	s.register(t)
	s.close(t)
}

func (s *stack) logOptions(t testing.TB) ledger.Options {
	t.Helper()
	signer, err := s.keys.Signer(keystore.RoleLog)
	if err != nil {
		t.Fatal(err)
	}
	var verifiers []note.Verifier
	for _, k := range s.keys.Keys(keystore.RoleLog) {
		v, err := checkpoint.NewVerifier(origin, k.Key)
		if err != nil {
			t.Fatal(err)
		}
		verifiers = append(verifiers, v)
	}
	return ledger.Options{Origin: origin, Signer: signer, Verifiers: verifiers, Index: notary.IndexEntry}
}

func (s *stack) open(t testing.TB) {
	t.Helper()
	var err error
	if s.log, err = ledger.Open(filepath.Join(s.dir, "log"), s.logOptions(t)); err != nil {
		t.Fatal(err)
	}
	s.vault, err = vault.Open(t.Context(), "file://"+filepath.Join(s.dir, "originals"), filepath.Join(s.dir, "intents"), s.keys, vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.service, err = notary.New(t.Context(), notary.Deps{
		Log: s.log, Vault: s.vault, Keys: s.keys, Dir: filepath.Join(s.dir, "notary"),
		Config: notary.Config{
			Origin: origin, Number: evidence.NumberFormat{Area: "XM", Region: "350200", Office: "NOT01"}, Office: "厦门测试公证处",
			Organisation: "xm-notary", Password: notary.PasswordCost{Memory: 64, Passes: 1, Lanes: 1},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (s *stack) close(t testing.TB) {
	t.Helper()
	if s.service == nil {
		return
	}
	if err := errors.Join(s.service.Close(), s.vault.Close(), s.log.Close()); err != nil {
		t.Error(err)
	}
	s.service = nil
}

// register makes two organisations, and in the first an account for each role.
func (s *stack) register(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	for _, id := range []string{"xm-notary", "org-b"} {
		err := s.service.RegisterOrganisation(ctx, operator(notary.RoleSystemAdmin), evidence.Organisation{ID: id, Name: "机构 " + id})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, role := range allRoles {
		s.account(t, "xm-notary", string(role), role)
	}
	s.account(t, "org-b", "stranger", notary.RoleDepositor)
}

func (s *stack) account(t testing.TB, organisation, id string, roles ...notary.Role) {
	t.Helper()
	err := s.service.RegisterOfficer(t.Context(), operator(notary.RoleSystemAdmin),
		notary.Account{ID: id, Organisation: organisation, Kind: evidence.AccountPerson, Roles: roles})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.service.SetPassword(t.Context(), operator(notary.RoleSecurityAdmin), id, password); err != nil {
		t.Fatal(err)
	}
}

// stored counts the entries that were made since the test began.
func (s *stack) stored() uint64 { return s.log.Latest().Size - s.base }

// wantClean holds that the log agrees with itself and that no upload left a trace.
func (s *stack) wantClean(t testing.TB) {
	t.Helper()
	if err := s.log.Fsck(t.Context(), func(d ledger.Difference) { t.Errorf("fsck: %v", d) }); err != nil {
		t.Errorf("fsck: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, "intents", "*.intent")); err != nil || len(left) > 0 {
		t.Errorf("unfinished uploads: %q, %v", left, err)
	}
}

// originals counts the files in the vault.
func (s *stack) originals(t testing.TB) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "originals", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// publicLog is the log as Log wants it.
type publicLog struct{ *ledger.Log }

func (l publicLog) Checkpoint() ([]byte, error) { return l.Latest().Note, nil }

func (l publicLog) Tile(path string) ([]byte, error) {
	tile, err := tlog.ParseTilePath(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return absent(l.Log.Tile(tile))
}

func (l publicLog) EntryBundle(path string) ([]byte, error) {
	bundle, err := tlog.ParseEntryBundlePath(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return absent(l.Log.EntryBundle(bundle))
}

func absent(data []byte, err error) ([]byte, error) {
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return data, err
}

// tokenKeys are the keys of the keystore as Tokens wants them.
type tokenKeys struct{ *keystore.Store }

func (k tokenKeys) TokenSigner() (token.Signer, error) { return k.Signer(keystore.RoleToken) }

func (k tokenKeys) TokenKeys() []token.PublicKey {
	var keys []token.PublicKey
	for _, key := range k.Keys(keystore.RoleToken) {
		keys = append(keys, token.PublicKey{ID: key.ID, Key: key.Key, Retired: key.Retired})
	}
	return keys
}
