package keystore

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/crypto/argon2"

	"cunzheng/crypto/sm3"
)

// Unlock opens a keystore; see [Passphrase] and [KeyFile].
type Unlock interface {
	// fresh returns the parameters for a new file, without salt and check.
	fresh() unlockParams
	// derive returns the file key under the parameters of a file.
	derive(unlockParams) ([]byte, error)
}

const (
	methodPassphrase = "passphrase"
	methodKeyFile    = "keyfile"

	fileKeySize = 32
	checkSize   = 8
	saltSize    = 16

	// Argon2id for new files (RFC 9106 §4, second recommendation, with two lanes):
	// about 0.2 s on one core.
	argonMemory = 64 << 10 // KiB
	argonPasses = 3
	argonLanes  = 2

	// Bounds for files that are read: a hostile file must not exhaust the machine
	// before its authenticity can be checked.
	minArgonMemory = 8 << 10   // KiB
	maxArgonMemory = 256 << 10 // KiB
	maxArgonPasses = 10
	maxArgonLanes  = 8
)

// unlockParams is the member "unlock" of the file.
type unlockParams struct {
	Method string `json:"method"`
	Salt   []byte `json:"salt"`
	Memory uint32 `json:"memory,omitzero"`
	Passes uint32 `json:"passes,omitzero"`
	Lanes  uint8  `json:"lanes,omitzero"`
	Check  []byte `json:"check"`
}

func (p unlockParams) validate() error {
	switch {
	case len(p.Salt) != saltSize, len(p.Check) != checkSize:
		return errors.New("salt or check of the wrong size")
	case p.Method == methodKeyFile:
		if p.Memory != 0 || p.Passes != 0 || p.Lanes != 0 {
			return errors.New("parameters of Argon2id for a key file")
		}
	case p.Method == methodPassphrase:
		if p.Memory < minArgonMemory || p.Memory > maxArgonMemory ||
			p.Passes < 1 || p.Passes > maxArgonPasses || p.Lanes < 1 || p.Lanes > maxArgonLanes {
			return errors.New("parameters of Argon2id out of bounds")
		}
	default:
		return fmt.Errorf("unknown method %q", p.Method)
	}
	return nil
}

// newFileKey derives the key of a new file under a fresh salt.
func newFileKey(u Unlock) (secret, unlockParams, error) {
	p := u.fresh()
	p.Salt = make([]byte, saltSize)
	rand.Read(p.Salt)
	key, err := u.derive(p)
	if err != nil {
		return nil, unlockParams{}, err
	}
	p.Check, err = sm3.HKDF(key, nil, "cunzheng/keystore/v1 check", checkSize)
	if err != nil {
		return nil, unlockParams{}, fmt.Errorf("keystore: %w", err)
	}
	return hide(key), p, nil
}

// deriveFileKey derives the key of an existing file.
func deriveFileKey(u Unlock, p unlockParams) ([]byte, error) {
	key, err := u.derive(p)
	if err != nil {
		return nil, err
	}
	check, err := sm3.HKDF(key, nil, "cunzheng/keystore/v1 check", checkSize)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if !hmac.Equal(check, p.Check) {
		return nil, ErrWrongPassphrase
	}
	return key, nil
}

// Passphrase unlocks with a passphrase, through Argon2id. Its bytes are used as
// they are, and must not change while the Unlock is in use. It never prints itself.
func Passphrase(p []byte) Unlock { return passphrase{hide(p)} }

type passphrase struct{ text secret }

func (passphrase) fresh() unlockParams {
	return unlockParams{Method: methodPassphrase, Memory: argonMemory, Passes: argonPasses, Lanes: argonLanes}
}

func (p passphrase) derive(params unlockParams) ([]byte, error) {
	if params.Method != methodPassphrase {
		return nil, fmt.Errorf("%w: this keystore opens with a key file, not with a passphrase", ErrWrongPassphrase)
	}
	if len(p.text()) == 0 {
		return nil, fmt.Errorf("%w: the passphrase is empty", ErrWrongPassphrase)
	}
	return argon2.IDKey(p.text(), params.Salt, params.Passes, params.Memory, params.Lanes, fileKeySize), nil
}

const redactedPassphrase = "keystore.Passphrase(redacted)"

func (passphrase) String() string               { return redactedPassphrase }
func (passphrase) GoString() string             { return redactedPassphrase }
func (passphrase) Format(f fmt.State, _ rune)   { io.WriteString(f, redactedPassphrase) }
func (passphrase) LogValue() slog.Value         { return slog.StringValue(redactedPassphrase) }
func (passphrase) MarshalText() ([]byte, error) { return []byte(redactedPassphrase), nil }

// KeyFile unlocks with the file of this path, which holds 32 random bytes as 64
// lower-case hexadecimal digits and a line end, and is accessible to its owner
// only; [NewKeyFile] makes one. Keep it on another device than the keystore.
func KeyFile(path string) Unlock { return keyFile(path) }

type keyFile string

const keyFileSize = 2*fileKeySize + 1

// NewKeyFile writes a new key file. It never overwrites a file.
func NewKeyFile(path string) error {
	secret := make([]byte, fileKeySize)
	rand.Read(secret)
	defer clear(secret)
	text := append(hex.AppendEncode(make([]byte, 0, keyFileSize), secret), '\n')
	defer clear(text)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close(), syncFolder(filepath.Dir(path))); err != nil {
		os.Remove(path)
		return fmt.Errorf("keystore: writing the key file: %w", err)
	}
	return nil
}

func (keyFile) fresh() unlockParams { return unlockParams{Method: methodKeyFile} }

func (path keyFile) derive(params unlockParams) ([]byte, error) {
	if params.Method != methodKeyFile {
		return nil, fmt.Errorf("%w: this keystore opens with a passphrase, not with a key file", ErrWrongPassphrase)
	}
	text, err := readSecretFile(string(path), keyFileSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no key file %s", ErrWrongPassphrase, string(path))
	}
	if err != nil {
		return nil, err
	}
	defer clear(text)
	secret := make([]byte, fileKeySize)
	defer clear(secret)
	digits := bytes.TrimSuffix(text, []byte("\n"))
	if len(digits) != 2*fileKeySize || !bytes.Equal(bytes.ToLower(digits), digits) {
		return nil, fmt.Errorf("%w: %s is not a key file (64 lower-case hexadecimal digits)", ErrWrongPassphrase, string(path))
	}
	if _, err := hex.Decode(secret, digits); err != nil {
		return nil, fmt.Errorf("%w: %s is not a key file (64 lower-case hexadecimal digits)", ErrWrongPassphrase, string(path))
	}
	key, err := sm3.HKDF(secret, params.Salt, "cunzheng/keystore/v1 file", fileKeySize)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return key, nil
}
