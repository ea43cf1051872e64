package sm2

import (
	"crypto"
	"crypto/subtle"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	privatePEM   = "PRIVATE KEY"
	encryptedPEM = "ENCRYPTED PRIVATE KEY"

	maxPKCS8Size = 256
	redacted     = "sm2.PrivateKey(redacted)"
)

// PrivateKey is an SM2 private key. It is a crypto.Signer and a
// crypto.MessageSigner, safe for concurrent use, and never prints itself.
type PrivateKey struct {
	// key returns the number. It is a function because reflection cannot look into
	// one: package fmt ignores the methods of unexported fields and, for verbs that
	// do not fit, those of all fields.
	key func() *libraryPrivateKey
	pub *PublicKey
}

var (
	_ crypto.Signer        = (*PrivateKey)(nil)
	_ crypto.MessageSigner = (*PrivateKey)(nil)
	_ slog.LogValuer       = PrivateKey{}
	_ fmt.Formatter        = PrivateKey{}
)

// GenerateKey returns a new key from the random numbers of the operating system.
func GenerateKey() (*PrivateKey, error) {
	key, err := generate()
	if err != nil {
		return nil, fmt.Errorf("sm2: generating a key: %w", err)
	}
	return newPrivateKey(key)
}

func newPrivateKey(key *libraryPrivateKey) (*PrivateKey, error) {
	point, err := pointOf(key)
	if err != nil {
		return nil, err
	}
	pub, err := newPublicKey(point)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{key: func() *libraryPrivateKey { return key }, pub: pub}, nil
}

// ParsePrivateKey parses a DER PrivateKeyInfo (RFC 5208) with an ECPrivateKey
// (RFC 5915) inside. The curve inside ECPrivateKey and the public key are
// optional, as different tools write different ones of the four forms; a public
// key must belong to the private one. Everything else must be exactly as DER
// prescribes it. Its errors wrap ErrKey.
func ParsePrivateKey(pkcs8 []byte) (*PrivateKey, error) {
	if len(pkcs8) > maxPKCS8Size {
		return nil, fmt.Errorf("%w: PKCS#8 longer than %d bytes", ErrKey, maxPKCS8Size)
	}
	d, ok := findScalar(pkcs8)
	if !ok {
		return nil, fmt.Errorf("%w: not the PKCS#8 form of an SM2 key", ErrKey)
	}
	parsed, err := parseScalar(d)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	key, err := newPrivateKey(parsed)
	if err != nil {
		return nil, err
	}
	// Reading leniently and comparing with what we would write is the whole of
	// the strictness.
	for _, form := range []pkcs8Form{{public: true}, {params: true, public: true}, {params: true}, {}} {
		want, err := form.encode(d, key.pub.point())
		if err != nil {
			return nil, err
		}
		if subtle.ConstantTimeCompare(want, pkcs8) == 1 {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: PKCS#8 with a foreign public key, or not in a known form", ErrKey)
}

var (
	oidECPublicKey = []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01}
	oidSM2         = []byte{0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d}
)

// findScalar returns the private number inside pkcs8.
func findScalar(pkcs8 []byte) (d []byte, ok bool) {
	in := cryptobyte.String(pkcs8)
	var info, algorithm, octets, private, number cryptobyte.String
	var version int
	ok = in.ReadASN1(&info, asn1.SEQUENCE) &&
		info.ReadASN1Integer(&version) &&
		info.ReadASN1(&algorithm, asn1.SEQUENCE) &&
		info.ReadASN1(&octets, asn1.OCTET_STRING) &&
		octets.ReadASN1(&private, asn1.SEQUENCE) &&
		private.ReadASN1Integer(&version) &&
		private.ReadASN1(&number, asn1.OCTET_STRING) &&
		len(number) == 32
	return number, ok
}

// pkcs8Form says which optional parts of ECPrivateKey are present.
type pkcs8Form struct{ params, public bool }

func (f pkcs8Form) encode(d, point []byte) ([]byte, error) {
	addOID := func(b *cryptobyte.Builder, oid []byte) {
		b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(oid) })
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, maxPKCS8Size))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, oidECPublicKey)
			addOID(b, oidSM2)
		})
		b.AddASN1(asn1.OCTET_STRING, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1)
				b.AddASN1OctetString(d)
				if f.params {
					b.AddASN1(asn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { addOID(b, oidSM2) })
				}
				if f.public {
					b.AddASN1(asn1.Tag(1).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddASN1BitString(point) })
				}
			})
		})
	})
	return b.Bytes()
}

// ParsePrivateKeyPEM parses one PEM block "PRIVATE KEY" or "ENCRYPTED PRIVATE
// KEY" and nothing besides it; the passphrase is used for the second only.
// Encrypted keys are PKCS#8 with PBES2 (RFC 8018): PBKDF2 with HMAC-SHA256 or
// HMAC-SM3, and AES-256-CBC or SM4-CBC, as OpenSSL 3, GmSSL 3 and
// [PrivateKey.EncryptedPEM] write them. Its errors wrap ErrKey or ErrPassphrase.
func ParsePrivateKeyPEM(p, passphrase []byte) (*PrivateKey, error) {
	block, err := decodePEM(p)
	if err != nil {
		return nil, err
	}
	defer clear(block.Bytes)
	switch block.Type {
	case privatePEM:
		return ParsePrivateKey(block.Bytes)
	case encryptedPEM:
		return parseEncrypted(block.Bytes, passphrase)
	}
	return nil, fmt.Errorf("%w: the PEM block is %q, want %q or %q; convert it with: openssl pkcs8 -topk8", ErrKey, block.Type, privatePEM, encryptedPEM)
}

// PKCS8 returns the DER PrivateKeyInfo, not encrypted, in the form of OpenSSL.
func (k *PrivateKey) PKCS8() ([]byte, error) {
	d, err := scalarOf(k.key())
	if err != nil {
		return nil, err
	}
	defer clear(d)
	return pkcs8Form{public: true}.encode(d, k.pub.point())
}

// PEM returns the PrivateKeyInfo as a PEM block, not encrypted.
func (k *PrivateKey) PEM() ([]byte, error) {
	der, err := k.PKCS8()
	if err != nil {
		return nil, err
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: privatePEM, Bytes: der}), nil
}

// EncryptedPEM returns the PrivateKeyInfo as a PEM block under a passphrase:
// PBES2, AES-256-CBC, PBKDF2-HMAC-SHA256 with 600,000 iterations. OpenSSL reads it.
func (k *PrivateKey) EncryptedPEM(passphrase []byte) ([]byte, error) {
	der, err := k.PKCS8()
	if err != nil {
		return nil, err
	}
	defer clear(der)
	encrypted, err := encrypt(der, passphrase)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: encryptedPEM, Bytes: encrypted}), nil
}

// Public returns the *PublicKey.
func (k *PrivateKey) Public() crypto.PublicKey { return k.pub }

// Equal tells whether other is a *PrivateKey with the same number.
func (k *PrivateKey) Equal(other crypto.PrivateKey) bool {
	o, ok := other.(*PrivateKey)
	return ok && k.pub.Equal(o.pub)
}

// Sign signs message, which is the message itself as with ed25519: the hash of
// opts must be 0 (opts may be nil). The random numbers are always those of the
// operating system; the first argument is ignored.
func (k *PrivateKey) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := checkSignInput(message, opts); err != nil {
		return nil, err
	}
	made, err := signDigest(k.key(), k.pub.key.digest(message))
	if err != nil {
		return nil, fmt.Errorf("sm2: signing: %w", err)
	}
	if _, err := parseSignature(made); err != nil {
		return nil, fmt.Errorf("sm2: signing: the library made a signature that is not canonical: %w", err)
	}
	return made, nil
}

// SignMessage implements crypto.MessageSigner; it is Sign.
func (k *PrivateKey) SignMessage(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.Sign(rand, message, opts)
}

// The methods below keep the key out of logs and dumps. They have value
// receivers so that a copied key is covered too.

func (PrivateKey) String() string { return redacted }

func (PrivateKey) GoString() string { return redacted }

func (PrivateKey) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

func (PrivateKey) LogValue() slog.Value { return slog.StringValue(redacted) }

func (PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }
