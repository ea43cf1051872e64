package chaincode

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/tlog"
)

const (
	// MaxOrigin, MaxNote and MaxProof bound the arguments, in bytes.
	MaxOrigin = 255
	MaxNote   = 8 << 10
	MaxProof  = 128 * tlog.HashSize

	// MaxPage is the greatest number of rows that one page is made of.
	MaxPage = 100

	// MaxSize is the greatest size of a head: the greatest integer that canonical JSON renders exactly.
	MaxSize = 1<<53 - 1
)

// log is the row "log ORIGIN".
type log struct {
	Key          []byte    `json:"key"`
	Organisation string    `json:"organisation"`
	Root         tlog.Hash `json:"root"`
	Size         uint64    `json:"size"`
}

// logKey is the row "key ORIGIN FINGERPRINT".
type logKey struct {
	Key       []byte `json:"key"`
	Previous  []byte `json:"previous"`  // empty for the first key
	Signature []byte `json:"signature"` // by the previous key over RotationMessage
	Size      uint64 `json:"size"`      // of the anchored head when the key took over
}

func logRow(origin string) string { return "log " + origin }

func keyPrefix(origin string) string { return "key " + origin + " " }

func keyRow(origin string, key *sm2.PublicKey) string {
	return fmt.Sprintf("%s%x", keyPrefix(origin), key.Fingerprint())
}

// HeadKey is the state key of an anchored head. It is part of the format of a proof: the block that sets this row to a note
// anchored it.
func HeadKey(origin string, size uint64) string {
	return fmt.Sprintf("%s%016x", headPrefix(origin), size)
}

func headPrefix(origin string) string { return "head " + origin + " " }

// checkOrigin bounds what an origin is made of: visible ASCII without '+', which a signed note cannot have in a name.
// It is narrower than Unicode on purpose, so that it does not depend on a version's tables.
func checkOrigin(origin string) error {
	outside := func(r rune) bool { return r <= ' ' || r > '~' || r == '+' }
	if origin == "" || len(origin) > MaxOrigin || strings.ContainsFunc(origin, outside) {
		return refuse(Syntax, "origin %.80q", origin)
	}
	return nil
}

func checkLimit(limit uint64) error {
	if limit < 1 || limit > MaxPage {
		return refuse(Syntax, "a page has 1 to %d rows, not %d", MaxPage, limit)
	}
	return nil
}

// sender returns the caller's organisation.
func sender(s State) (string, error) {
	org := s.Org()
	if org == "" {
		return "", refuse(Syntax, "the transaction names no organisation")
	}
	return org, nil
}

// loadLog returns the record of a registered log.
func loadLog(r Reader, origin string) (*log, error) {
	if err := checkOrigin(origin); err != nil {
		return nil, err
	}
	l := new(log)
	found, err := load(r, logRow(origin), l)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, refuse(LogUnknown, "no log %q is registered", origin)
	}
	return l, nil
}

// loadOwnLog returns the record of a log that the caller's organisation registered.
func loadOwnLog(s State, origin string) (*log, error) {
	l, err := loadLog(s, origin)
	if err != nil {
		return nil, err
	}
	if l.Organisation != s.Org() {
		return nil, refuse(NotOwner, "log %q belongs to %q, not to %q", origin, l.Organisation, s.Org())
	}
	return l, nil
}

func load(r Reader, key string, row any) (bool, error) {
	value, err := r.Get(key)
	if err != nil {
		return false, fmt.Errorf("chaincode: reading %q: %w", key, err)
	}
	if value == nil {
		return false, nil
	}
	return true, decode(key, value, row)
}

func decode(key string, value []byte, row any) error {
	if err := json.Unmarshal(value, row, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("chaincode: row %q is damaged: %w", key, err)
	}
	return nil
}

// storedKey parses a key that a row holds.
func storedKey(row string, spki []byte) (*sm2.PublicKey, error) {
	key, err := sm2.ParsePublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("chaincode: row %q is damaged: %w", row, err)
	}
	return key, nil
}

// scan calls fn for the rows whose keys begin with prefix, from the one with the rest from on. The prefix ends in a
// space, and '!' is the character after it, so that nothing else stands between.
func scan(r Reader, prefix, from string, fn func(rest string, value []byte) (bool, error)) error {
	end := strings.TrimSuffix(prefix, " ") + "!"
	err := r.Scan(prefix+from, end, func(key string, value []byte) (bool, error) {
		return fn(strings.TrimPrefix(key, prefix), value)
	})
	if err != nil {
		return fmt.Errorf("chaincode: reading the rows %q: %w", prefix, err)
	}
	return nil
}

// list returns the values of up to limit rows as scan finds them, and the rest of the key of the row after them; empty
// if there is none.
func list(r Reader, prefix, from string, limit uint64) (values [][]byte, next string, err error) {
	err = scan(r, prefix, from, func(rest string, value []byte) (bool, error) {
		if uint64(len(values)) == limit {
			next = rest
			return false, nil
		}
		values = append(values, bytes.Clone(value))
		return true, nil
	})
	return values, next, err
}

func store(s State, key string, row any) error {
	value, err := canonical(row)
	if err != nil {
		return err
	}
	return put(s, key, value)
}

func put(s State, key string, value []byte) error {
	if err := s.Put(key, value); err != nil {
		return fmt.Errorf("chaincode: writing %q: %w", key, err)
	}
	return nil
}

func announce(s State, name string, event any) error {
	payload, err := canonical(event)
	if err != nil {
		return err
	}
	if err := s.Event(name, payload); err != nil {
		return fmt.Errorf("chaincode: announcing %s: %w", name, err)
	}
	return nil
}

// canonical renders v in the form of RFC 8785, so that all peers write the same bytes.
func canonical(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("chaincode: %w", err)
	}
	value := jsontext.Value(text)
	if err := value.Canonicalize(); err != nil {
		return nil, fmt.Errorf("chaincode: %w", err)
	}
	return value, nil
}
