package sm2

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"fmt"

	"cunzheng/crypto/sm3"
)

const (
	pointSize = 65
	spkiSize  = 26 + pointSize

	publicPEM  = "PUBLIC KEY"
	maxPEMSize = 4 << 10
)

// spkiHead is what precedes the point in the one DER form of an SM2 key:
// SEQUENCE { SEQUENCE { id-ecPublicKey, sm2p256v1 }, BIT STRING }.
var spkiHead = []byte{
	0x30, 0x59, 0x30, 0x13,
	0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, // 1.2.840.10045.2.1
	0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d, // 1.2.156.10197.1.301
	0x03, 0x42, 0x00,
}

// PublicKey is an SM2 public key. It cannot change and is safe for concurrent use.
type PublicKey struct {
	spki []byte
	key  libraryKey
}

var _ interface{ Equal(crypto.PublicKey) bool } = (*PublicKey)(nil)

// ParsePublicKey parses a DER SubjectPublicKeyInfo. Only the one form described
// in the package documentation is accepted. Its errors wrap ErrKey.
func ParsePublicKey(spki []byte) (*PublicKey, error) {
	if len(spki) != spkiSize || !bytes.HasPrefix(spki, spkiHead) {
		return nil, fmt.Errorf("%w: not the SubjectPublicKeyInfo of an uncompressed SM2 key (%d bytes)", ErrKey, len(spki))
	}
	return newPublicKey(spki[len(spkiHead):])
}

func newPublicKey(point []byte) (*PublicKey, error) {
	spki := append(bytes.Clone(spkiHead), point...)
	key, err := parsePoint(spki[len(spkiHead):])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return &PublicKey{spki: spki, key: key}, nil
}

// ParsePublicKeyPEM parses one PEM block "PUBLIC KEY" and nothing besides it.
// Lines may end with CR LF and blank space may surround the block.
func ParsePublicKeyPEM(p []byte) (*PublicKey, error) {
	block, err := decodePEM(p)
	if err != nil {
		return nil, err
	}
	if block.Type != publicPEM {
		return nil, fmt.Errorf("%w: the PEM block is %q, want %q", ErrKey, block.Type, publicPEM)
	}
	return ParsePublicKey(block.Bytes)
}

// decodePEM accepts only what it would itself write, up to line ends and blank
// space around it.
func decodePEM(p []byte) (*pem.Block, error) {
	if len(p) > maxPEMSize {
		return nil, fmt.Errorf("%w: the PEM text is longer than %d bytes", ErrKey, maxPEMSize)
	}
	p = append(bytes.TrimSpace(bytes.ReplaceAll(p, []byte("\r\n"), []byte("\n"))), '\n')
	block, _ := pem.Decode(p)
	if block == nil || !bytes.Equal(pem.EncodeToMemory(block), p) {
		return nil, fmt.Errorf("%w: not exactly one PEM block", ErrKey)
	}
	if len(block.Headers) > 0 {
		return nil, fmt.Errorf("%w: the PEM block has headers (an old encryption?); convert it with: openssl pkcs8 -topk8", ErrKey)
	}
	return block, nil
}

// SPKI returns the DER SubjectPublicKeyInfo.
func (k *PublicKey) SPKI() []byte { return bytes.Clone(k.spki) }

// PEM returns the SubjectPublicKeyInfo as a PEM block.
func (k *PublicKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: publicPEM, Bytes: k.spki})
}

// Point returns the 65 bytes 0x04 || X || Y.
func (k *PublicKey) Point() []byte { return bytes.Clone(k.point()) }

func (k *PublicKey) point() []byte { return k.spki[min(len(spkiHead), len(k.spki)):] }

// Fingerprint returns SM3(SPKI), by which keys are named.
func (k *PublicKey) Fingerprint() [sm3.Size]byte { return sm3.Sum(k.spki) }

// Equal tells whether other is a *PublicKey with the same point.
func (k *PublicKey) Equal(other crypto.PublicKey) bool {
	o, ok := other.(*PublicKey)
	return ok && k != nil && o != nil && bytes.Equal(k.spki, o.spki)
}

// Verify returns nil if sig is the signature of this message by this key, in its
// canonical form, and otherwise an error that wraps ErrSignature with the reason.
func (k *PublicKey) Verify(message, sig []byte) error {
	if len(message) == 0 {
		return malformed("the message is empty")
	}
	if _, err := parseSignature(sig); err != nil {
		return err
	}
	ok, err := k.key.verifyDigest(k.key.digest(message), sig)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if !ok {
		return malformed("it does not belong to this message and key")
	}
	return nil
}

// CrossCheck asks the second implementation about a signature that Verify has
// accepted, and returns nil or an error that wraps ErrDisagreement. It admits
// nothing: the second implementation accepts signatures that Verify refuses.
// It takes about 2 ms.
func (k *PublicKey) CrossCheck(message, sig []byte) error {
	parsed, err := parseSignature(sig)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrDisagreement, err)
	}
	r, s := parsed.numbers()
	ok, err := secondVerify(k.point(), message, r, s)
	if err != nil {
		return fmt.Errorf("%w: the second one failed: %w", ErrDisagreement, err)
	}
	if !ok {
		return fmt.Errorf("%w: the second one refuses a signature of key %x", ErrDisagreement, k.fingerprintPrefix())
	}
	return nil
}

func (k *PublicKey) fingerprintPrefix() []byte {
	f := k.Fingerprint()
	return f[:8]
}

// String returns the start of the fingerprint, for logs.
func (k *PublicKey) String() string {
	if k == nil || len(k.spki) == 0 {
		return "sm2.PublicKey(none)"
	}
	return fmt.Sprintf("sm2.PublicKey(%x)", k.fingerprintPrefix())
}
