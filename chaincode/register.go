package chaincode

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/tlog"
)

const rotationDomain = "cunzheng.log-key-rotation.v1"

// RotationMessage returns what the old key signs to hand a log over to the new key. It binds the size of the anchored
// head, so that it is good for one moment of one log. Both keys are DER SubjectPublicKeyInfo.
//
//	cunzheng.log-key-rotation.v1
//	ORIGIN
//	old key, base64
//	new key, base64
//	SIZE
func RotationMessage(origin string, oldKey, newKey []byte, size uint64) []byte {
	return []byte(strings.Join([]string{
		rotationDomain,
		origin,
		base64.StdEncoding.EncodeToString(oldKey),
		base64.StdEncoding.EncodeToString(newKey),
		strconv.FormatUint(size, 10),
	}, "\n") + "\n")
}

// RegisterLog makes the caller's organisation the owner of the log origin, whose heads spki signs.
//
// Codes: SYNTAX, LOG_EXISTS.
func RegisterLog(s State, origin string, spki []byte) error {
	if err := checkOrigin(origin); err != nil {
		return err
	}
	key, err := parseKey(spki)
	if err != nil {
		return err
	}
	org, err := sender(s)
	if err != nil {
		return err
	}
	var held log
	found, err := load(s, logRow(origin), &held)
	if err != nil {
		return err
	}
	if found {
		if held.Organisation == org && bytes.Equal(held.Key, spki) {
			return nil
		}
		return refuse(LogExists, "log %q is registered", origin)
	}
	l := log{Key: spki, Organisation: org, Root: tlog.EmptyRoot()}
	if err := store(s, logRow(origin), l); err != nil {
		return err
	}
	if err := store(s, keyRow(origin, key), logKey{Key: spki}); err != nil {
		return err
	}
	return announce(s, EventLogRegistered, struct {
		Key          []byte `json:"key"`
		Organisation string `json:"organisation"`
		Origin       string `json:"origin"`
	}{spki, l.Organisation, origin})
}

// RotateLogKey replaces the key of a log. The old key signs [RotationMessage]. From then on only the new key signs
// heads; a key that the log had before does not come back.
//
// Codes: SYNTAX, LOG_UNKNOWN, NOT_OWNER, SIGNATURE, KEY_USED.
func RotateLogKey(s State, origin string, spki, signature []byte) error {
	l, err := loadOwnLog(s, origin)
	if err != nil {
		return err
	}
	key, err := parseKey(spki)
	if err != nil {
		return err
	}
	row := keyRow(origin, key)
	var held logKey
	used, err := load(s, row, &held)
	if err != nil {
		return err
	}
	if used {
		// The rotation that made this key the current one, sent again, is a success.
		if !bytes.Equal(l.Key, spki) || len(held.Previous) == 0 {
			return refuse(KeyUsed, "log %q had this key before", origin)
		}
		return verifyRotation(origin, held.Previous, spki, held.Size, signature)
	}
	if err := verifyRotation(origin, l.Key, spki, l.Size, signature); err != nil {
		return err
	}
	previous := l.Key
	if err := store(s, row, logKey{Key: spki, Previous: previous, Signature: signature, Size: l.Size}); err != nil {
		return err
	}
	l.Key = spki
	if err := store(s, logRow(origin), l); err != nil {
		return err
	}
	return announce(s, EventLogKeyRotated, struct {
		Key      []byte `json:"key"`
		Origin   string `json:"origin"`
		Previous []byte `json:"previous"`
		Size     uint64 `json:"size"`
	}{spki, origin, previous, l.Size})
}

func verifyRotation(origin string, oldKey, newKey []byte, size uint64, signature []byte) error {
	key, err := storedKey(logRow(origin), oldKey)
	if err != nil {
		return err
	}
	if err := key.Verify(RotationMessage(origin, oldKey, newKey, size), signature); err != nil {
		return refuse(Signature, "rotation of %q at size %d: %v", origin, size, err)
	}
	return nil
}

func parseKey(spki []byte) (*sm2.PublicKey, error) {
	key, err := sm2.ParsePublicKey(spki)
	if err != nil {
		return nil, refuse(Syntax, "public key: %v", err)
	}
	return key, nil
}
