package chaincode

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

const registrationDomain = "cunzheng.key-registration.v1"

// KeyMessage returns what a key signs to prove that whoever registers it holds it. It binds the organisation, so that
// nobody else can register the key with that proof. The record is one line: canonical JSON has no line breaks.
//
//	cunzheng.key-registration.v1
//	ORGANISATION
//	RECORD
func KeyMessage(organisation string, record []byte) []byte {
	return []byte(strings.Join([]string{registrationDomain, organisation, string(record)}, "\n") + "\n")
}

// Role says what a registered key signs.
type Role string

// Roles of a key.
const (
	RoleLog        Role = "log"        // heads of the log that the record names
	RoleReceipt    Role = "receipt"    // receipts and bundles
	RoleToken      Role = "token"      // access tokens
	RoleSeal       Role = "seal"       // seals on documents
	RoleTimestamp  Role = "timestamp"  // time-stamp tokens
	RoleOfficer    Role = "officer"    // what an officer signs in person
	RoleDepartment Role = "department" // what a department signs: its side of an exchange
)

var roles = []Role{RoleLog, RoleReceipt, RoleToken, RoleSeal, RoleTimestamp, RoleOfficer, RoleDepartment}

// Reason says why a key was revoked.
type Reason string

// Reasons of a revocation.
const (
	ReasonCompromise Reason = "compromise" // the key is, or may be, in other hands
	ReasonSuperseded Reason = "superseded" // replaced by a newer key
	ReasonCessation  Reason = "cessation"  // the holder ceased to act
)

var reasons = []Reason{ReasonCompromise, ReasonSuperseded, ReasonCessation}

// KeyRecord is what an organisation says of a key.
type KeyRecord struct {
	From   string `json:"from"`   // time from when the key is in use
	Holder string `json:"holder"` // identifier of an institution or account, never a person's name or number
	Key    []byte `json:"key"`    // DER SubjectPublicKeyInfo
	Log    string `json:"log"`    // origin of the log that the key serves; may be empty
	Role   Role   `json:"role"`
}

// Encode checks the record and returns it as [RegisterKey] takes it.
func (k *KeyRecord) Encode() ([]byte, error) { return encodeRecord(k) }

func (k *KeyRecord) check() error {
	if err := checkTime("from", k.From); err != nil {
		return err
	}
	if err := checkIdentifier("holder", k.Holder); err != nil {
		return err
	}
	if !slices.Contains(roles, k.Role) {
		return refuse(Syntax, "no role %.80q", k.Role)
	}
	if k.Role == RoleLog && k.Log == "" {
		return refuse(Syntax, "a log's key names the log")
	}
	if k.Log != "" {
		if err := checkOrigin(k.Log); err != nil {
			return err
		}
	}
	_, err := parseKey(k.Key)
	return err
}

// Revocation says from when and why a key is not to be trusted.
type Revocation struct {
	At     string `json:"at"`
	Reason Reason `json:"reason"`
}

// RegisteredKey is a key in the consortium's directory. It is the row "signer FINGERPRINT".
type RegisteredKey struct {
	Organisation string      `json:"organisation"` // answers for the key
	Proof        []byte      `json:"proof"`        // the key's signature over KeyMessage
	Record       KeyRecord   `json:"record"`
	Revocation   *Revocation `json:"revocation,omitzero"`
}

func signerRow(fingerprint string) string { return signerPrefix + fingerprint }

const signerPrefix = "signer "

// signersPrefix begins the rows that list the keys of a log.
func signersPrefix(origin string) string { return "signer-of " + origin + " " }

// RegisterKey enters a key into the directory; the caller's organisation answers for it. The key signs [KeyMessage]. If
// the record names a log, its owner alone may do so.
//
// Codes: SYNTAX, SIGNATURE, LOG_UNKNOWN, NOT_OWNER, KEY_EXISTS.
func RegisterKey(s State, arg, proof []byte) error {
	k := RegisteredKey{Proof: proof}
	if err := parseRecord(arg, &k.Record); err != nil {
		return err
	}
	var err error
	if k.Organisation, err = sender(s); err != nil {
		return err
	}
	key, err := parseKey(k.Record.Key)
	if err != nil {
		return err
	}
	if err := key.Verify(KeyMessage(k.Organisation, arg), proof); err != nil {
		return refuse(Signature, "the key does not prove its possession: %v", err)
	}
	if k.Record.Log != "" {
		if _, err := loadOwnLog(s, k.Record.Log); err != nil {
			return err
		}
	}
	fingerprint := fmt.Sprintf("%x", key.Fingerprint())
	var held RegisteredKey
	found, err := load(s, signerRow(fingerprint), &held)
	if err != nil {
		return err
	}
	if found {
		return sameKey(fingerprint, held, k.Organisation, arg)
	}
	if err := store(s, signerRow(fingerprint), k); err != nil {
		return err
	}
	if k.Record.Log != "" {
		if err := put(s, signersPrefix(k.Record.Log)+fingerprint, []byte(fingerprint)); err != nil {
			return err
		}
	}
	return announce(s, EventKeyRegistered, struct {
		Fingerprint  string    `json:"fingerprint"`
		Organisation string    `json:"organisation"`
		Record       KeyRecord `json:"record"`
	}{fingerprint, k.Organisation, k.Record})
}

// sameKey refuses whatever is not the registration of held once more.
func sameKey(fingerprint string, held RegisteredKey, organisation string, arg []byte) error {
	again, err := canonical(held.Record)
	if err != nil {
		return err
	}
	if held.Organisation != organisation || !bytes.Equal(again, arg) {
		return refuse(KeyExists, "key %s is registered by %q", fingerprint, held.Organisation)
	}
	return nil
}

// RevokeKey marks a key as not to be trusted from the time at on. It cannot be taken back or changed.
//
// Codes: SYNTAX, KEY_UNKNOWN, NOT_OWNER, KEY_REVOKED.
func RevokeKey(s State, fingerprint, reason, at string) error {
	revocation := Revocation{At: at, Reason: Reason(reason)}
	if !slices.Contains(reasons, revocation.Reason) {
		return refuse(Syntax, "no reason %.80q", reason)
	}
	if err := checkTime("at", at); err != nil {
		return err
	}
	held, err := Key(s, fingerprint)
	if err != nil {
		return err
	}
	if held.Organisation != s.Org() {
		return refuse(NotOwner, "key %s was registered by %q, not by %q", fingerprint, held.Organisation, s.Org())
	}
	if held.Revocation != nil {
		if *held.Revocation == revocation {
			return nil
		}
		return refuse(KeyRevoked, "key %s was revoked from %s for %s", fingerprint, held.Revocation.At, held.Revocation.Reason)
	}
	held.Revocation = &revocation
	if err := store(s, signerRow(fingerprint), held); err != nil {
		return err
	}
	return announce(s, EventKeyRevoked, struct {
		At           string `json:"at"`
		Fingerprint  string `json:"fingerprint"`
		Organisation string `json:"organisation"`
		Reason       Reason `json:"reason"`
	}{at, fingerprint, held.Organisation, revocation.Reason})
}

// Key returns a registered key, revoked or not.
//
// Codes: SYNTAX, KEY_UNKNOWN.
func Key(r Reader, fingerprint string) (RegisteredKey, error) {
	if err := checkDigest("fingerprint", fingerprint); err != nil {
		return RegisteredKey{}, err
	}
	var held RegisteredKey
	found, err := load(r, signerRow(fingerprint), &held)
	if err != nil {
		return RegisteredKey{}, err
	}
	if !found {
		return RegisteredKey{}, refuse(KeyUnknown, "no key %s is registered", fingerprint)
	}
	return held, nil
}

// KeyPage is a part of the directory of keys.
type KeyPage struct {
	Keys []RegisteredKey `json:"keys"`          // in the order of their fingerprints
	Next string          `json:"next,omitzero"` // fingerprint to go on from; empty on the last page
}

// Keys returns up to limit keys whose records name this log, or of all keys if it is empty, from a fingerprint on.
//
// Codes: SYNTAX, LOG_UNKNOWN.
func Keys(r Reader, log, from string, limit uint64) (KeyPage, error) {
	if err := checkLimit(limit); err != nil {
		return KeyPage{}, err
	}
	if from != "" {
		if err := checkDigest("from", from); err != nil {
			return KeyPage{}, err
		}
	}
	if log == "" {
		return allKeys(r, from, limit)
	}
	if _, err := loadLog(r, log); err != nil {
		return KeyPage{}, err
	}
	fingerprints, next, err := list(r, signersPrefix(log), from, limit)
	if err != nil {
		return KeyPage{}, err
	}
	page := KeyPage{Next: next}
	for _, fingerprint := range fingerprints {
		var key RegisteredKey
		if err := loadListed(r, signerRow(string(fingerprint)), &key); err != nil {
			return KeyPage{}, err
		}
		page.Keys = append(page.Keys, key)
	}
	return page, nil
}

func allKeys(r Reader, from string, limit uint64) (KeyPage, error) {
	rows, next, err := list(r, signerPrefix, from, limit)
	if err != nil {
		return KeyPage{}, err
	}
	page := KeyPage{Next: next, Keys: make([]RegisteredKey, len(rows))}
	for i, row := range rows {
		if err := decode(signerPrefix, row, &page.Keys[i]); err != nil {
			return KeyPage{}, err
		}
	}
	return page, nil
}
