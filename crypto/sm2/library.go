package sm2

import (
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm4"
	tjfoc "github.com/tjfoc/gmsm/sm2"

	"cunzheng/crypto/sm3"
)

// This file is the only one that calls the two libraries. Both have panicked on
// hostile bytes, so every function in it that reaches them starts with
// "defer recovered(&err)"; TestPanicsBecomeErrors insists on it.

// errPanic is what a panic inside a library becomes. Its value is left out: it
// could hold parts of a key.
var errPanic = errors.New("sm2: a library panicked")

func recovered(err *error) {
	if recover() != nil {
		*err = errPanic
	}
}

// libraryPrivateKey is a private key as the first library holds it.
type libraryPrivateKey = sm2.PrivateKey

// libraryKey is a public key as the first library holds it, with the digest ZA.
type libraryKey struct {
	key *ecdsa.PublicKey
	za  []byte
}

// parsePoint accepts only uncompressed points on the curve.
func parsePoint(point []byte) (k libraryKey, err error) {
	defer recovered(&err)
	if len(point) != pointSize || point[0] != 4 {
		return libraryKey{}, errors.New("not an uncompressed point of 65 bytes")
	}
	key, err := sm2.ParseUncompressedPublicKey(point)
	if err != nil {
		return libraryKey{}, errors.New("not a point of the curve")
	}
	za, err := sm2.CalculateZA(key, []byte(UserID))
	if err != nil {
		return libraryKey{}, err
	}
	return libraryKey{key, za}, nil
}

// digest returns e = SM3(ZA || message).
func (k libraryKey) digest(message []byte) []byte {
	h := sm3.New()
	h.Write(k.za)
	h.Write(message)
	return h.Sum(nil)
}

// verifyDigest tells whether the first library accepts a canonical signature of
// e. Outside of this package there are only messages.
func (k libraryKey) verifyDigest(e, sig []byte) (ok bool, err error) {
	defer recovered(&err)
	return sm2.VerifyASN1(k.key, e, sig), nil
}

// secondVerify tells whether the second library accepts (r, s). Its key is built
// from the coordinates of a point that the first library has checked: its own
// parsers accept points that are not on the curve.
func secondVerify(point, message []byte, r, s *big.Int) (ok bool, err error) {
	defer recovered(&err)
	key := tjfoc.PublicKey{
		Curve: tjfoc.P256Sm2(),
		X:     new(big.Int).SetBytes(point[1:33]),
		Y:     new(big.Int).SetBytes(point[33:]),
	}
	return tjfoc.Sm2Verify(&key, message, []byte(UserID), r, s), nil
}

func librarySelfTest() (err error) {
	defer recovered(&err)
	return sm2.SelfTest()
}

func generate() (key *libraryPrivateKey, err error) {
	defer recovered(&err)
	return sm2.GenerateKey(rand.Reader)
}

// parseScalar accepts 32 bytes that are in [1, n-2].
func parseScalar(d []byte) (key *libraryPrivateKey, err error) {
	defer recovered(&err)
	key, err = sm2.ParseRawPrivateKey(d)
	if err != nil {
		return nil, errors.New("the private number is out of range")
	}
	return key, nil
}

// pointOf returns the public point of key, uncompressed.
func pointOf(key *libraryPrivateKey) (point []byte, err error) {
	defer recovered(&err)
	pub, err := sm2.PublicKeyToECDH(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("sm2: %w", err)
	}
	return pub.Bytes(), nil
}

// scalarOf returns the private number of key in 32 bytes.
func scalarOf(key *libraryPrivateKey) (d []byte, err error) {
	defer recovered(&err)
	private, err := key.ECDH()
	if err != nil {
		return nil, fmt.Errorf("sm2: %w", err)
	}
	return private.Bytes(), nil
}

func newSM4(key []byte) (block cipher.Block, err error) {
	defer recovered(&err)
	return sm4.NewCipher(key)
}

// signDigest signs e. The nonce is hedged: it depends on the key, the digest and
// the system's random numbers, so that a broken generator does not reveal the key.
func signDigest(key *libraryPrivateKey, e []byte) (sig []byte, err error) {
	defer recovered(&err)
	return sm2.SignASN1(rand.Reader, key, e, nil)
}
