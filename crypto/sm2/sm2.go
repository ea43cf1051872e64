// Package sm2 makes and checks SM2 signatures (GB/T 32918.2-2016 over the curve
// of GB/T 32918.5, with SM3 and the user ID "1234567812345678") in one strict
// form, with two independent implementations.
//
//	key, err := sm2.GenerateKey()
//	sig, err := sm2.Sign(key, message)
//	err = key.Public().(*sm2.PublicKey).Verify(message, sig) // nil: genuine
//
// # Formats
//
// A signature is the DER encoding of SEQUENCE { INTEGER r, INTEGER s } with
// 1 <= r, s < n and r+s != n, at most 72 bytes. Each (r, s) has exactly one
// accepted form: long lengths, needless zero bytes and trailing bytes are
// refused. What is signed is always a message of at least one byte, never a
// digest; ZA is computed here.
//
// A public key is a DER SubjectPublicKeyInfo of exactly 91 bytes (id-ecPublicKey,
// OID 1.2.156.10197.1.301, uncompressed point). A private key is PKCS#8, plain
// or encrypted (see [ParsePrivateKeyPEM]).
//
// # Two implementations
//
// A signature is accepted if and only if github.com/emmansun/gmsm accepts it.
// github.com/tjfoc/gmsm is asked by [PublicKey.CrossCheck]; it can only veto.
// [Verified] wraps a signer so that nothing leaves it before both accept;
// [Auditor] asks it about a sample in the background. An [ErrDisagreement] means
// that a library or the machine is defective: raise an alarm, quarantine the
// signature, and never resolve it by choosing a side.
package sm2

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
)

// UserID is the distinguishing identifier that enters every signature, the
// default of GM/T 0009-2012. OpenSSL needs it as -pkeyopt distid:1234567812345678.
const UserID = "1234567812345678"

var (
	// ErrSignature means that the signature is not valid for this message and key.
	ErrSignature = errors.New("sm2: invalid signature")

	// ErrDisagreement means that the two implementations do not agree on a
	// signature that the first one accepted or made.
	ErrDisagreement = errors.New("sm2: the two implementations disagree")

	// ErrKey means that bytes are not a key in the accepted form.
	ErrKey = errors.New("sm2: invalid key")

	// ErrPassphrase means that an encrypted key needs a passphrase, or that it is
	// not this one.
	ErrPassphrase = errors.New("sm2: missing or wrong passphrase")

	errEmptyMessage = errors.New("sm2: refusing to sign an empty message")
	errPrehashed    = errors.New("sm2: the message itself is signed, not a digest: the hash option must be 0")
)

// Sign signs message with s, which holds an SM2 key.
func Sign(s crypto.Signer, message []byte) ([]byte, error) {
	if len(message) == 0 {
		return nil, errEmptyMessage
	}
	return s.Sign(rand.Reader, message, crypto.Hash(0))
}

// Verified returns a signer that makes signatures with s and releases one only
// after both implementations accept it; otherwise it fails with ErrDisagreement.
// That costs about 2 ms. Checkpoints, certificates and token keys are signed so.
func Verified(s crypto.Signer) crypto.Signer { return verifiedSigner{s} }

type verifiedSigner struct{ signer crypto.Signer }

func (v verifiedSigner) Public() crypto.PublicKey { return v.signer.Public() }

func (v verifiedSigner) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := checkSignInput(message, opts); err != nil {
		return nil, err
	}
	pub, ok := v.signer.Public().(*PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: the signer holds a %T", ErrKey, v.signer.Public())
	}
	sig, err := v.signer.Sign(rand, message, opts)
	if err != nil {
		return nil, err
	}
	if err := pub.Verify(message, sig); err != nil {
		return nil, fmt.Errorf("%w: a new signature does not verify: %v", ErrDisagreement, err)
	}
	if err := pub.CrossCheck(message, sig); err != nil {
		return nil, err
	}
	return sig, nil
}

// SignMessage implements crypto.MessageSigner; it is Sign.
func (v verifiedSigner) SignMessage(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return v.Sign(rand, message, opts)
}

func checkSignInput(message []byte, opts crypto.SignerOpts) error {
	if opts != nil && opts.HashFunc() != 0 {
		return errPrehashed
	}
	if len(message) == 0 {
		return errEmptyMessage
	}
	return nil
}
