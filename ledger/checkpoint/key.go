package checkpoint

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"cunzheng/crypto/sm2"
)

// algorithm names SM2 with SM3 where C2SP signed-note leaves the type byte 0xff
// to private use.
const algorithm = "\xffcunzheng.sm2-sm3.v1"

// keyHash is the first four bytes of the key ID as a number.
func keyHash(name string, k *sm2.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n" + algorithm))
	h.Write(k.SPKI())
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// A Verifier checks the signatures of one log key. It implements
// [note.Verifier] and may be used concurrently.
type Verifier struct {
	name string
	hash uint32
	key  *sm2.PublicKey
}

var _ note.Verifier = (*Verifier)(nil)

// NewVerifier returns the verifier of key k under the given name, which is the
// log's origin. Fails with ErrSyntax if the name is not usable.
func NewVerifier(name string, k *sm2.PublicKey) (*Verifier, error) {
	if !validName(name) {
		return nil, fmt.Errorf("%w: key name %.80q", ErrSyntax, name)
	}
	return &Verifier{name: name, hash: keyHash(name, k), key: k}, nil
}

// Name returns the key name.
func (v *Verifier) Name() string { return v.name }

// KeyHash returns the key ID.
func (v *Verifier) KeyHash() uint32 { return v.hash }

// Key returns the public key.
func (v *Verifier) Key() *sm2.PublicKey { return v.key }

// Verify reports whether sig is a valid signature of msg.
func (v *Verifier) Verify(msg, sig []byte) bool { return v.key.Verify(msg, sig) == nil }

// CrossCheck asks the second SM2 implementation about v's signature on a note
// that Open has accepted. It returns sm2.ErrDisagreement if that refuses it,
// ErrUnknownKey if v has not signed the note, or ErrSyntax. It takes about 2 ms.
func (v *Verifier) CrossCheck(noteBytes []byte) error {
	_, text, lines, err := split(noteBytes)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if l.name == v.name && binary.BigEndian.Uint32(l.keyID[:]) == v.hash {
			return v.key.CrossCheck([]byte(text), l.sig)
		}
	}
	return fmt.Errorf("%w: %.80q, key %08x has not signed", ErrUnknownKey, v.name, v.hash)
}

// signer makes a crypto.Signer a note.Signer.
type signer struct {
	name string
	hash uint32
	key  crypto.Signer
}

func (s signer) Name() string                    { return s.name }
func (s signer) KeyHash() uint32                 { return s.hash }
func (s signer) Sign(msg []byte) ([]byte, error) { return sm2.Sign(s.key, msg) }

// Sign signs the checkpoint with the SM2 key in s under the given key name,
// which is the log's origin. It does not verify the result; give it a signer
// from [sm2.Verified], or call [Open] and [Verifier.CrossCheck], before it
// leaves the process.
func Sign(c Checkpoint, name string, s crypto.Signer) (Signed, error) {
	text, err := c.Text()
	if err != nil {
		return Signed{}, err
	}
	if !validName(name) {
		return Signed{}, fmt.Errorf("%w: key name %.80q", ErrSyntax, name)
	}
	pub, ok := s.Public().(*sm2.PublicKey)
	if !ok {
		return Signed{}, fmt.Errorf("checkpoint: the signer holds a %T, want an SM2 key", s.Public())
	}
	signed, err := note.Sign(&note.Note{Text: text}, signer{name: name, hash: keyHash(name, pub), key: s})
	if err != nil {
		return Signed{}, fmt.Errorf("checkpoint: signing size %d: %w", c.Size, err)
	}
	return Signed{Checkpoint: c, Note: bytes.Clone(signed)}, nil
}
