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
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
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

	// After freeFailures wrong passwords in a row an account is locked for firstLock, and each time twice as long.
	freeFailures = 5
	firstLock    = time.Minute
	longestLock  = time.Hour

	// maxFailures bounds the names whose failures are remembered: anybody can make up names.
	maxFailures = 10_000
	// forgetFailures: a series of failures that is this old has ended.
	forgetFailures = 24 * time.Hour

	// passwordTurns bounds the memory that checking passwords takes at the same time.
	passwordTurns = 2

	accountsFile   = "accounts.sealed"
	schemaAccounts = "cunzheng/accounts/v1"
)

// accounts holds what must not be in the log: password hashes and failed attempts. The file is JSON, sealed under the
// master key and replaced as a whole.
type accounts struct {
	path  string
	keys  *keystore.Store
	cost  PasswordCost
	now   func() time.Time
	turns chan struct{}
	dummy passwordHash // checked for names without a password, so that they take the same time

	mu    sync.Mutex
	state accountState // guarded by mu
}

type accountState struct {
	Schema    string                  `json:"schema"`
	Passwords map[string]passwordHash `json:"passwords"` // by account
	// Failures by the digest of the name that was given. Names that do not exist are counted like others: otherwise
	// the lock would tell which do.
	Failures map[string]failures `json:"failures"`
}

type passwordHash struct {
	Cost PasswordCost `json:"cost"`
	Salt []byte       `json:"salt"`
	Hash []byte       `json:"hash"`
}

type failures struct {
	Count  int       `json:"count"`
	Last   time.Time `json:"last"`
	Locked time.Time `json:"locked,omitzero"` // until then
	Known  bool      `json:"known,omitzero"`  // the account exists
}

func openAccounts(path string, keys *keystore.Store, cost PasswordCost, now func() time.Time) (*accounts, error) {
	if cost == (PasswordCost{}) {
		cost = defaultPasswordCost
	}
	a := &accounts{path: path, keys: keys, cost: cost, now: now, turns: make(chan struct{}, passwordTurns)}
	a.dummy = a.hash([]byte(rand.Text()))
	sealed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		a.state = accountState{Schema: schemaAccounts, Passwords: map[string]passwordHash{}, Failures: map[string]failures{}}
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
	if a.state.Schema != schemaAccounts || a.state.Passwords == nil || a.state.Failures == nil {
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

// failureKey keeps what somebody typed out of the file; it may well be a password.
func failureKey(account string) string {
	sum := sm3.Sum([]byte("cunzheng/failures/v1\x00" + account))
	return hex.EncodeToString(sum[:16])
}

// change applies edit to a copy of the state, writes it, and makes it the state. The caller holds mu.
func (a *accounts) change(edit func(*accountState)) error {
	changed := accountState{Schema: schemaAccounts, Passwords: maps.Clone(a.state.Passwords), Failures: maps.Clone(a.state.Failures)}
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

// setPassword gives the account a password and ends its lock.
func (a *accounts) setPassword(account string, hashed passwordHash) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.change(func(s *accountState) {
		s.Passwords[account] = hashed
		delete(s.Failures, failureKey(account))
	})
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
	key := failureKey(account)
	a.mu.Lock()
	stored, known := a.state.Passwords[account]
	locked := a.state.Failures[key].Locked.Sub(a.now())
	a.mu.Unlock()
	if locked > 0 {
		return "", lockedError(locked)
	}
	if !known {
		stored = a.dummy
	}
	if len(password) > maxPassword {
		password = ""
	}
	same := subtle.ConstantTimeCompare(derive([]byte(password), stored.Salt, stored.Cost), stored.Hash) == 1

	a.mu.Lock()
	defer a.mu.Unlock()
	if same && known {
		if _, failed := a.state.Failures[key]; failed {
			err = a.change(func(s *accountState) { delete(s.Failures, key) })
		}
		return stored.credential(), err
	}
	if err := a.change(func(s *accountState) { s.fail(key, known, a.now()) }); err != nil {
		return "", err
	}
	if locked := a.state.Failures[key].Locked.Sub(a.now()); locked > 0 {
		return "", lockedError(locked)
	}
	return "", refuse(CodeLoginFailed, "账号或口令有误。", "The account or the password is wrong.")
}

func lockedError(left time.Duration) error {
	left = left.Truncate(time.Second) + time.Second
	e := refuse(CodeAccountLocked, fmt.Sprintf("失败次数过多，请在 %d 秒后再试。", int(left.Seconds())),
		fmt.Sprintf("Too many failed attempts; try again in %d seconds.", int(left.Seconds())))
	e.Retry = left
	return e
}

// fail counts a failure.
func (s *accountState) fail(key string, known bool, now time.Time) {
	f := s.Failures[key]
	if now.Sub(f.Last) > forgetFailures {
		f = failures{}
	}
	f.Count++
	f.Last, f.Known = now, known
	if over := f.Count - freeFailures; over >= 0 {
		lock := longestLock
		if over < 6 { // 1, 2, 4 … 32 minutes
			lock = min(firstLock<<over, longestLock)
		}
		f.Locked = now.Add(lock)
	}
	if _, there := s.Failures[key]; !there && len(s.Failures) >= maxFailures {
		s.forget(now)
	}
	s.Failures[key] = f
}

// forget makes room: old series first, then the oldest of made-up names, so that whoever makes up names cannot lift
// the lock of a real one.
func (s *accountState) forget(now time.Time) {
	maps.DeleteFunc(s.Failures, func(_ string, f failures) bool { return now.Sub(f.Last) > forgetFailures })
	for len(s.Failures) >= maxFailures {
		oldest, at := "", failures{}
		for key, f := range s.Failures {
			if oldest == "" || at.Known && !f.Known || at.Known == f.Known && f.Last.Before(at.Last) {
				oldest, at = key, f
			}
		}
		delete(s.Failures, oldest)
	}
}
