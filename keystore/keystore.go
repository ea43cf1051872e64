// Package keystore keeps the platform's SM2 keys and its master key in one
// encrypted file and hands out signers.
//
//	s, err := keystore.Create(dir, keystore.Passphrase(p), keystore.RoleLog, keystore.RoleReceipt)
//	s, err = keystore.Open(dir, keystore.Passphrase(p))
//	signer, err := s.Signer(keystore.RoleReceipt)
//	sig, err := sm2.Sign(signer, message)
//
// # File format
//
// The folder (0700) holds keystore.json (0600) and keystore.lock, which is empty.
// keystore.json is JSON in the one form that this package writes, with
//
//	schema   "cunzheng/keystore/v1"
//	unlock   how the file key is derived:
//	           method  "passphrase" (Argon2id) or "keyfile"
//	           salt    16 random bytes, base64 (as all bytes here)
//	           memory, passes, lanes   Argon2id only: memory in KiB, RFC 9106
//	           check   8 bytes derived from the file key, to tell a wrong passphrase from damage
//	keys     all keys, oldest first: role, id (first 16 digits of SM3(SPKI)), public (SPKI),
//	         created, retired and handover (absent while current, or when there is none)
//	sealed   the master key and the private keys
//
// The file key has 32 bytes: Argon2id(passphrase, salt), or
// HKDF-SM3(content of the key file, salt, "cunzheng/keystore/v1 file"). From it
// HKDF-SM3 without salt derives check (info "cunzheng/keystore/v1 check") and the
// SM4 key of sealed (info "cunzheng/keystore/v1 seal"). The value sealed is an
// sm4 record whose additional data is the whole file with sealed empty: no byte of
// the file can change without Open noticing. Its plaintext is JSON: master (32
// bytes) and private (id and PKCS#8 of each current key).
//
// # Retired keys
//
// Rotation keeps the public key for ever, since old signatures must verify, and
// destroys the private key: a key that signs nothing any more can only be stolen.
// What the old key has to say about the new one is said during the rotation and
// kept with the new key; see [Store.RotateWith]. Destroyed means that no later
// version of the file holds it; a disk or a backup may still hold an earlier
// version, which opens with the passphrase of its time.
package keystore

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/crypto/sm4"
)

// Role is what a key signs. Keys never serve two roles.
type Role string

const (
	RoleLog     Role = "log"     // checkpoints of the log
	RoleReceipt Role = "receipt" // receipts and bundles
	RoleToken   Role = "token"   // access tokens of the API
	RoleSeal    Role = "seal"    // certificates
	RoleLedger  Role = "ledger"  // blocks of the embedded ledger
)

func (r Role) valid() bool {
	switch r {
	case RoleLog, RoleReceipt, RoleToken, RoleSeal, RoleLedger:
		return true
	}
	return false
}

var (
	// ErrExists means that the folder holds a keystore already. It is never
	// overwritten.
	ErrExists = errors.New("keystore: there is a keystore already")

	// ErrNotFound means that the folder holds no keystore.
	ErrNotFound = errors.New("keystore: there is no keystore")

	// ErrWrongPassphrase means that the passphrase or key file is not the one of
	// this keystore.
	ErrWrongPassphrase = errors.New("keystore: wrong passphrase or key file")

	// ErrDamaged means that the file was changed by somebody or something else
	// than this package. Restore it from a backup.
	ErrDamaged = errors.New("keystore: the file is damaged or was tampered with")

	// ErrPermissions means that others than the owner have access to a secret file.
	ErrPermissions = errors.New("keystore: unsafe file permissions")

	// ErrLocked means that another process is changing the keystore. Try again.
	ErrLocked = errors.New("keystore: another process is changing it")

	// ErrChanged means that another process has changed the keystore since it was
	// opened here. Open it again.
	ErrChanged = errors.New("keystore: it was changed by another process")

	// ErrNoKey means that the keystore has no key for the role.
	ErrNoKey = errors.New("keystore: no key for this role")
)

// Signer signs with one key. It keeps signing with that key after a rotation; ask
// the Store again for the new one.
type Signer interface {
	crypto.Signer
	// KeyID returns the first 16 hexadecimal digits of the key's fingerprint.
	KeyID() string
	PublicKey() *sm2.PublicKey
}

// PublicKey is the public part of a key, with its history.
type PublicKey struct {
	ID      string // first 16 hexadecimal digits of the fingerprint
	Role    Role
	Key     *sm2.PublicKey
	Created time.Time
	Retired time.Time // zero for the current key

	// Handover is what the previous key of the role said about this one when it
	// was retired; see [Store.RotateWith]. Nil for the first key.
	Handover []byte
}

// Store is an open keystore. It is safe for concurrent use and never prints
// itself.
type Store struct {
	dir    string
	master secret                  // never changes
	fault  func(step string) error // fails a step of a write; set by tests only

	mu      sync.RWMutex
	fileKey secret                     // guarded by mu, as all below
	unlock  unlockParams               // of fileKey
	keys    []PublicKey                // oldest first
	private map[string]*sm2.PrivateKey // of the current keys, by ID
	raw     []byte                     // the file as this Store knows it
}

// lockPatience is how long a write waits for that of another process. Writes
// take milliseconds.
const lockPatience = 5 * time.Second

// Create makes a keystore in dir with one key for each role, and creates dir if
// it is missing. It fails with ErrExists if there is one. Where the disk fails in
// the last moment, Create can fail and yet leave a good keystore behind.
func Create(dir string, u Unlock, roles ...Role) (*Store, error) {
	return create(dir, u, nil, roles)
}

func create(dir string, u Unlock, fault func(string) error, roles []Role) (*Store, error) {
	master := make([]byte, masterSize)
	rand.Read(master)
	s := &Store{dir: dir, fault: fault, master: hide(master), private: map[string]*sm2.PrivateKey{}}
	now := time.Now().UTC().Truncate(time.Millisecond)
	for _, r := range roles {
		if _, err := s.current(r); err == nil {
			return nil, fmt.Errorf("keystore: role %q is named twice", r)
		}
		pub, key, err := newKey(r, now)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, pub)
		s.private[pub.ID] = key
	}
	fileKey, params, err := newFileKey(u)
	if err != nil {
		return nil, err
	}
	s.fileKey, s.unlock = fileKey, params

	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	unlock, err := lock(dir, lockPatience)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := os.Lstat(s.path()); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrExists, dir)
	}
	if err := s.save(); err != nil {
		return nil, err
	}
	return s, nil
}

// Open opens the keystore in dir.
func Open(dir string, u Unlock) (*Store, error) {
	s := &Store{dir: dir}
	raw, err := readSecretFile(s.path(), maxFileSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s; create one first", ErrNotFound, dir)
	}
	if err != nil {
		return nil, err
	}
	if err := s.load(raw, u); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) path() string { return filepath.Join(s.dir, fileName) }

// Signer returns a signer with the current key of the role.
func (s *Store) Signer(r Role) (Signer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, err := s.current(r)
	if err != nil {
		return nil, err
	}
	return &signer{id: s.keys[i].ID, key: s.private[s.keys[i].ID]}, nil
}

// current returns the index of the current key of the role.
func (s *Store) current(r Role) (int, error) {
	for i, k := range s.keys {
		if k.Role == r && k.Retired.IsZero() {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%w: %q", ErrNoKey, r)
}

// Keys returns all keys of the role, oldest first; the last is the current one.
func (s *Store) Keys(r Role) []PublicKey {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var keys []PublicKey
	for _, k := range s.keys {
		if k.Role == r {
			k.Handover = bytes.Clone(k.Handover)
			keys = append(keys, k)
		}
	}
	return keys
}

// Rotate retires the current key of the role, destroys its private part, and
// makes a new one. A role without a key gets its first. The time is rounded down
// to milliseconds.
//
// A log that is registered on a ledger needs [Store.RotateWith]: the ledger takes
// a new key only from the old one.
func (s *Store) Rotate(r Role, now time.Time) (PublicKey, error) {
	return s.RotateWith(r, now, nil)
}

// RotateWith is Rotate with a last word of the old key: handover signs, with the
// old key, a statement about the next, and its result is kept as Handover of the
// new key, in the same write that destroys the old one. So the statement can be
// delivered, and delivered again, after a crash at any moment. If handover fails,
// nothing changes. It is not called for the first key of a role, and must not
// call methods of this Store.
func (s *Store) RotateWith(r Role, now time.Time, handover func(old Signer, next PublicKey) ([]byte, error)) (PublicKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, key, err := newKey(r, now.UTC().Truncate(time.Millisecond))
	if err != nil {
		return PublicKey{}, err
	}
	old, err := s.current(r)
	if err == nil {
		if next.Created.Before(s.keys[old].Created) {
			return PublicKey{}, fmt.Errorf("keystore: the time %v is before the creation of the current key", next.Created)
		}
		if handover != nil {
			id := s.keys[old].ID
			next.Handover, err = handover(&signer{id: id, key: s.private[id]}, next)
			if err != nil {
				return PublicKey{}, fmt.Errorf("keystore: handing over: %w", err)
			}
		}
	}
	err = s.change(func(changed *Store) {
		if old, err := changed.current(r); err == nil {
			changed.keys[old].Retired = next.Created
			delete(changed.private, changed.keys[old].ID)
		}
		changed.keys = append(changed.keys, next)
		changed.private[next.ID] = key
	})
	if err != nil {
		return PublicKey{}, err
	}
	next.Handover = bytes.Clone(next.Handover)
	return next, nil
}

// ChangeUnlock replaces the passphrase or key file. Copies of the earlier file
// still open with the earlier one.
func (s *Store) ChangeUnlock(u Unlock) error {
	fileKey, params, err := newFileKey(u)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.change(func(changed *Store) { changed.fileKey, changed.unlock = fileKey, params })
}

// change applies edit to a copy of the state, writes it, and makes it the state
// of s. The caller holds mu.
func (s *Store) change(edit func(*Store)) error {
	unlock, err := lock(s.dir, lockPatience)
	if err != nil {
		return err
	}
	defer unlock()
	onDisk, err := readSecretFile(s.path(), maxFileSize)
	if err != nil {
		return err
	}
	if !bytes.Equal(onDisk, s.raw) {
		return fmt.Errorf("%w: %s", ErrChanged, s.path())
	}

	changed := &Store{
		dir: s.dir, fault: s.fault,
		fileKey: s.fileKey, unlock: s.unlock, master: s.master,
		keys: slices.Clone(s.keys), private: make(map[string]*sm2.PrivateKey),
	}
	for id, key := range s.private {
		changed.private[id] = key
	}
	edit(changed)
	saveErr := changed.save()
	if saveErr != nil {
		// A failure after the rename leaves the new file in place. What is on disk
		// is the state, whatever the error says about its durability.
		if onDisk, err := readSecretFile(s.path(), maxFileSize); err != nil || !bytes.Equal(onDisk, changed.raw) {
			return saveErr
		}
	}
	s.fileKey, s.unlock, s.keys, s.private, s.raw = changed.fileKey, changed.unlock, changed.keys, changed.private, changed.raw
	return saveErr
}

// wrapInfo separates the keys of Wrap from whatever else the master key will serve.
const wrapInfo = "cunzheng/keystore/v1 wrap"

const wrapSaltSize = 16

// Wrap encrypts a data key under the master key and authenticates it together
// with additional, which should name the object the key belongs to. The result is
// a random salt of 16 bytes and an sm4 record under
// HKDF-SM3(master key, salt, "cunzheng/keystore/v1 wrap"), so that any number of
// keys can be wrapped.
func (s *Store) Wrap(key, additional []byte) ([]byte, error) {
	salt := make([]byte, wrapSaltSize)
	rand.Read(salt)
	kek, err := sm3.HKDF(s.master(), salt, wrapInfo, sm4.KeySize)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	defer clear(kek)
	sealed, err := sm4.Seal(kek, key, additional)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return append(salt, sealed...), nil
}

// Unwrap returns what was given to Wrap. Its error wraps sm4.ErrAuthentication if
// wrapped or additional are not the same, or the keystore is another one.
func (s *Store) Unwrap(wrapped, additional []byte) ([]byte, error) {
	if len(wrapped) < wrapSaltSize {
		return nil, fmt.Errorf("keystore: unwrapping a key: %w", sm4.ErrAuthentication)
	}
	kek, err := sm3.HKDF(s.master(), wrapped[:wrapSaltSize], wrapInfo, sm4.KeySize)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	defer clear(kek)
	key, err := sm4.Open(kek, wrapped[wrapSaltSize:], additional)
	if err != nil {
		return nil, fmt.Errorf("keystore: unwrapping a key: %w", err)
	}
	return key, nil
}

// newKey makes a key that both implementations have tried.
func newKey(r Role, created time.Time) (PublicKey, *sm2.PrivateKey, error) {
	if !r.valid() {
		return PublicKey{}, nil, fmt.Errorf("keystore: unknown role %q", r)
	}
	key, err := sm2.GenerateKey()
	if err != nil {
		return PublicKey{}, nil, fmt.Errorf("keystore: %w", err)
	}
	if _, err := sm2.Sign(sm2.Verified(key), []byte("cunzheng/keystore/v1 new key")); err != nil {
		return PublicKey{}, nil, fmt.Errorf("keystore: trying a new key: %w", err)
	}
	pub := key.Public().(*sm2.PublicKey)
	return PublicKey{ID: keyID(pub), Role: r, Key: pub, Created: created}, key, nil
}

func keyID(pub *sm2.PublicKey) string {
	f := pub.Fingerprint()
	return hex.EncodeToString(f[:8])
}

type signer struct {
	id  string
	key *sm2.PrivateKey
}

var _ crypto.MessageSigner = (*signer)(nil)

func (s *signer) KeyID() string             { return s.id }
func (s *signer) PublicKey() *sm2.PublicKey { return s.key.Public().(*sm2.PublicKey) }
func (s *signer) Public() crypto.PublicKey  { return s.key.Public() }

func (s *signer) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(rand, message, opts)
}

func (s *signer) SignMessage(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(rand, message, opts)
}

// secret is a secret that reflection cannot reach: package fmt ignores the methods
// of unexported fields and, for verbs that do not fit, those of all fields.
type secret func() []byte

func hide(b []byte) secret { return func() []byte { return b } }

// The methods below keep secrets out of logs and dumps.

const redacted = "keystore.Store(redacted)"

func (*Store) String() string               { return redacted }
func (*Store) GoString() string             { return redacted }
func (*Store) Format(f fmt.State, _ rune)   { io.WriteString(f, redacted) }
func (*Store) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (*Store) MarshalText() ([]byte, error) { return []byte(redacted), nil }
