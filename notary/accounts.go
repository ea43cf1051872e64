package notary

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/crypto/argon2"

	"cunzheng/crypto/sm3"
	"cunzheng/keystore"
)

// PasswordCost says how dear checking a password is (Argon2id, RFC 9106).
type PasswordCost struct {
	Memory uint32 `json:"memory"` // KiB
	Passes uint32 `json:"passes"`
	Lanes  uint8  `json:"lanes"`
}

// The second recommendation of RFC 9106 §4, with fewer lanes.
var defaultPasswordCost = PasswordCost{Memory: 64 << 10, Passes: 3, Lanes: 2}

const (
	minPassword = 10   // bytes
	maxPassword = 1024 // bytes

	// passwordTurns bounds the memory that checking passwords takes at the same time.
	passwordTurns = 2

	accountsFile   = "accounts.sealed"
	schemaAccounts = "cunzheng/accounts/v1"
)

// accounts holds what must not be in the log: password hashes. The file is JSON, sealed under the master key and replaced
// as a whole.
//
// It counts no failures and locks nobody out: only who knows where an attempt comes from can slow the guesser without
// shutting out the holder. That is package api/signin, in front of Authenticate.
type accounts struct {
	path  string
	keys  *keystore.Store
	cost  PasswordCost
	turns chan struct{}
	dummy passwordHash // checked for names without a password, so that they take the same time

	mu    sync.Mutex
	state accountState // guarded by mu
}

type accountState struct {
	Schema    string                  `json:"schema"`
	Passwords map[string]passwordHash `json:"passwords"` // by account
	// Failures were counted by earlier versions. They are read over and not written again.
	Failures jsontext.Value `json:"failures,omitzero"`
}

type passwordHash struct {
	Cost PasswordCost `json:"cost"`
	Salt []byte       `json:"salt"`
	Hash []byte       `json:"hash"`
}

func openAccounts(path string, keys *keystore.Store, cost PasswordCost) (*accounts, error) {
	if cost == (PasswordCost{}) {
		cost = defaultPasswordCost
	}
	a := &accounts{path: path, keys: keys, cost: cost, turns: make(chan struct{}, passwordTurns)}
	a.dummy = a.hash([]byte(rand.Text()))
	sealed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		a.state = accountState{Schema: schemaAccounts, Passwords: map[string]passwordHash{}}
		return a, nil
	}
	if err != nil {
		return nil, fmt.Errorf("notary: %w", err)
	}
	plain, err := keys.Unwrap(sealed, []byte(schemaAccounts))
	if err != nil {
		return nil, fmt.Errorf("notary: %s is damaged or from another keystore: %w", path, err)
	}
	defer clear(plain)
	if err := json.Unmarshal(plain, &a.state, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("notary: %s: %w", path, err)
	}
	if a.state.Schema != schemaAccounts || a.state.Passwords == nil {
		return nil, fmt.Errorf("notary: %s is of another version", path)
	}
	return a, nil
}

// hash computes a new hash of the password.
func (a *accounts) hash(password []byte) passwordHash {
	salt := make([]byte, 16)
	rand.Read(salt) // never fails: the runtime ends the program instead
	return passwordHash{Cost: a.cost, Salt: salt, Hash: derive(password, salt, a.cost)}
}

func derive(password, salt []byte, c PasswordCost) []byte {
	return argon2.IDKey(password, salt, c.Passes, c.Memory, c.Lanes, 32)
}

// change applies edit to a copy of the state, writes it, and makes it the state. The caller holds mu.
func (a *accounts) change(edit func(*accountState)) error {
	changed := accountState{Schema: schemaAccounts, Passwords: maps.Clone(a.state.Passwords)}
	edit(&changed)
	plain, err := json.Marshal(&changed, json.Deterministic(true))
	if err != nil {
		return err
	}
	defer clear(plain)
	sealed, err := a.keys.Wrap(plain, []byte(schemaAccounts))
	if err != nil {
		return err
	}
	if err := replaceFile(a.path, sealed); err != nil {
		return err
	}
	a.state = changed
	return nil
}

// prepare checks a new password and computes what is kept of it.
func (a *accounts) prepare(ctx context.Context, account, password string) (passwordHash, error) {
	if len(password) < minPassword || len(password) > maxPassword || !utf8.ValidString(password) || password == account {
		return passwordHash{}, refuse(CodePasswordWeak, fmt.Sprintf("口令应有 %d 至 %d 字节，且不同于账号。", minPassword, maxPassword),
			fmt.Sprintf("A password must have %d to %d bytes and differ from the account.", minPassword, maxPassword)).at("password")
	}
	release, err := a.turn(ctx)
	if err != nil {
		return passwordHash{}, err
	}
	defer release()
	return a.hash([]byte(password)), nil
}

// setPassword gives the account a password.
func (a *accounts) setPassword(account string, hashed passwordHash) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.change(func(s *accountState) { s.Passwords[account] = hashed })
}

// passwordCredential begins the credentials of passwords.
const passwordCredential = "password-"

// isPassword tells the credential of a password from the id of a key.
func isPassword(credential string) bool { return strings.HasPrefix(credential, passwordCredential) }

// credential names a password without telling anything about it. Setting a password anew, even the same, gives another.
func (h *passwordHash) credential() string {
	sum := sm3.Sum(slices.Concat([]byte("cunzheng/credential/v1\x00"), h.Salt, h.Hash))
	return passwordCredential + hex.EncodeToString(sum[:16])
}

// credential names the account's password, if it has one.
func (a *accounts) credential(account string) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	stored, there := a.state.Passwords[account]
	if !there {
		return "", false
	}
	return stored.credential(), true
}

// turn waits until a password may be checked.
func (a *accounts) turn(ctx context.Context) (release func(), err error) {
	select {
	case a.turns <- struct{}{}:
		return func() { <-a.turns }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// check returns the credential of the password if it is the account's. Otherwise the error does not tell whether there is
// such an account.
func (a *accounts) check(ctx context.Context, account, password string) (credential string, err error) {
	release, err := a.turn(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	a.mu.Lock()
	stored, known := a.state.Passwords[account]
	a.mu.Unlock()
	if !known {
		stored = a.dummy
	}
	if len(password) > maxPassword {
		password = ""
	}
	same := subtle.ConstantTimeCompare(derive([]byte(password), stored.Salt, stored.Cost), stored.Hash) == 1
	if same && known {
		return stored.credential(), nil
	}
	return "", refuse(CodeLoginFailed, "账号或口令有误。", "The account or the password is wrong.")
}
