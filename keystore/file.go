package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/crypto/sm4"
)

const (
	schema     = "cunzheng/keystore/v1"
	fileName   = "keystore.json"
	masterSize = 32

	// maxFileSize is far above a century of yearly rotations.
	maxFileSize = 1 << 20

	timeFormat = "2006-01-02T15:04:05.000Z"
)

// document is the file. Its members are described in the package documentation.
type document struct {
	Schema string       `json:"schema"`
	Unlock unlockParams `json:"unlock"`
	Keys   []keyRecord  `json:"keys"`
	Sealed []byte       `json:"sealed"`
}

type keyRecord struct {
	Role     Role   `json:"role"`
	ID       string `json:"id"`
	Public   []byte `json:"public"`
	Created  string `json:"created"`
	Retired  string `json:"retired,omitzero"`
	Handover []byte `json:"handover,omitempty"`
}

// secrets is the plaintext of document.Sealed.
type secrets struct {
	Master  []byte          `json:"master"`
	Private []privateRecord `json:"private"`
}

type privateRecord struct {
	ID    string `json:"id"`
	PKCS8 []byte `json:"pkcs8"`
}

func (s *secrets) clear() {
	clear(s.Master)
	for _, p := range s.Private {
		clear(p.PKCS8)
	}
}

// encode returns the one accepted form of v.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v, jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return append(b, '\n'), nil
}

// decode reads the form that encode writes and no other.
func decode(data []byte, v any) error {
	if err := json.Unmarshal(data, v, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	again, err := encode(v)
	if err != nil {
		return err
	}
	defer clear(again)
	if !bytes.Equal(again, data) {
		return errors.New("not in the form in which it was written")
	}
	return nil
}

func parseDocument(raw []byte) (document, error) {
	var d document
	if err := decode(raw, &d); err != nil {
		return d, err
	}
	if d.Schema != schema {
		return d, fmt.Errorf("the schema is %q, want %q", d.Schema, schema)
	}
	return d, d.Unlock.validate()
}

// additional returns what the seal authenticates besides the secrets.
func (d document) additional() ([]byte, error) {
	d.Sealed = nil
	return encode(d)
}

func sealKey(fileKey []byte) ([]byte, error) {
	return sm3.HKDF(fileKey, nil, "cunzheng/keystore/v1 seal", sm4.KeySize)
}

// save writes the state of s and sets s.raw.
func (s *Store) save() error {
	raw, err := s.seal()
	if err != nil {
		return err
	}
	s.raw = raw
	return replaceFile(s.path(), raw, s.fault)
}

func (s *Store) seal() ([]byte, error) {
	doc := document{Schema: schema, Unlock: s.unlock, Keys: []keyRecord{}}
	plain := secrets{Master: bytes.Clone(s.master()), Private: []privateRecord{}}
	defer plain.clear()
	for _, k := range s.keys {
		r := keyRecord{
			Role: k.Role, ID: k.ID, Public: k.Key.SPKI(),
			Created: k.Created.Format(timeFormat), Handover: k.Handover,
		}
		if k.Retired.IsZero() {
			pkcs8, err := s.private[k.ID].PKCS8()
			if err != nil {
				return nil, fmt.Errorf("keystore: %w", err)
			}
			plain.Private = append(plain.Private, privateRecord{k.ID, pkcs8})
		} else {
			r.Retired = k.Retired.Format(timeFormat)
		}
		doc.Keys = append(doc.Keys, r)
	}
	additional, err := doc.additional()
	if err != nil {
		return nil, err
	}
	plaintext, err := encode(plain)
	if err != nil {
		return nil, err
	}
	defer clear(plaintext)
	key, err := sealKey(s.fileKey())
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	defer clear(key)
	if doc.Sealed, err = sm4.Seal(key, plaintext, additional); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return encode(doc)
}

// load sets the state of s from the file.
func (s *Store) load(raw []byte, u Unlock) error {
	damaged := func(err error) error { return fmt.Errorf("%w: %s: %v", ErrDamaged, s.path(), err) }
	doc, err := parseDocument(raw)
	if err != nil {
		return damaged(err)
	}
	fileKey, err := deriveFileKey(u, doc.Unlock)
	if err != nil {
		return err
	}
	key, err := sealKey(fileKey)
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	defer clear(key)
	additional, err := doc.additional()
	if err != nil {
		return err
	}
	plaintext, err := sm4.Open(key, doc.Sealed, additional)
	if err != nil {
		return damaged(err)
	}
	defer clear(plaintext)
	// From here on the file is what this package wrote; what follows finds defects
	// of this package.
	var plain secrets
	if decode(plaintext, &plain) != nil {
		return damaged(errors.New("the sealed part does not parse")) // its error could quote secrets
	}
	defer plain.clear()
	if len(plain.Master) != masterSize {
		return damaged(errors.New("the master key has the wrong size"))
	}
	private := make(map[string]*sm2.PrivateKey, len(plain.Private))
	for _, p := range plain.Private {
		if private[p.ID], err = sm2.ParsePrivateKey(p.PKCS8); err != nil {
			return damaged(err)
		}
	}
	keys := make([]PublicKey, 0, len(doc.Keys))
	current := make(map[Role]bool)
	for _, r := range doc.Keys {
		k, err := r.parse()
		if err != nil {
			return damaged(err)
		}
		if k.Retired.IsZero() {
			if p := private[k.ID]; p == nil || !k.Key.Equal(p.Public()) || current[k.Role] {
				return damaged(fmt.Errorf("key %s does not fit the sealed part", k.ID))
			}
			current[k.Role] = true
		}
		keys = append(keys, k)
	}
	if len(current) != len(private) {
		return damaged(errors.New("a private key without its public key"))
	}
	s.fileKey, s.unlock, s.master = hide(fileKey), doc.Unlock, hide(bytes.Clone(plain.Master))
	s.keys, s.private, s.raw = keys, private, raw
	return nil
}

func (r keyRecord) parse() (PublicKey, error) {
	k := PublicKey{ID: r.ID, Role: r.Role, Handover: r.Handover}
	var err error
	if k.Key, err = sm2.ParsePublicKey(r.Public); err != nil {
		return k, err
	}
	if !r.Role.valid() || keyID(k.Key) != r.ID {
		return k, fmt.Errorf("key %s has an unknown role or another name", r.ID)
	}
	if k.Created, err = time.Parse(timeFormat, r.Created); err != nil {
		return k, err
	}
	if r.Retired != "" {
		k.Retired, err = time.Parse(timeFormat, r.Retired)
	}
	return k, err
}

// readSecretFile reads a regular file of at most limit bytes that only its owner
// can access.
func readSecretFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("keystore: %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if err := checkPermissions(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("keystore: %s is longer than %d bytes", path, limit)
	}
	return data, nil
}

// replaceFile puts data in the place of path so that after a crash at any moment
// there is either the old file or the new one, whole. The steps, each of which
// fault may fail: nothing is visible before "rename", everything after it, and
// the new file is durable after "sync folder".
func replaceFile(path string, data []byte, fault func(step string) error) (err error) {
	step := func(name string, do func() error) {
		if err == nil && fault != nil {
			err = fault(name)
		}
		if err == nil {
			err = do()
		}
	}
	dir := filepath.Dir(path)
	removeLeftovers(path)
	var f *os.File
	step("create", func() (err error) {
		f, err = os.CreateTemp(dir, filepath.Base(path)+".tmp-*") // 0600
		return err
	})
	step("write", func() error { _, err := f.Write(data); return err })
	step("sync", func() error { return f.Sync() })
	if f != nil {
		err = errors.Join(err, f.Close())
		defer func() {
			if err != nil {
				os.Remove(f.Name()) // gone already after the rename
			}
		}()
	}
	step("rename", func() error { return os.Rename(f.Name(), path) })
	step("sync folder", func() error { return syncFolder(dir) })
	if err != nil {
		return fmt.Errorf("keystore: writing %s: %w", path, err)
	}
	return nil
}

// removeLeftovers removes what crashed writers left. The caller holds the lock,
// so that none of them is at work.
func removeLeftovers(path string) {
	dir, name := filepath.Split(path)
	entries, _ := os.ReadDir(dir) // what cannot be read stays until the next write
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), name+".tmp-") {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// makeFolder creates dir, unless it exists, so that it survives a crash.
func makeFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	if err := syncFolder(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
