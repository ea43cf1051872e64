package sm2

import (
	"encoding/hex"
	"math/big"
	"testing"
)

var n = new(big.Int).SetBytes(order[:])

func newTestKey(t testing.TB) (*PrivateKey, *PublicKey) {
	t.Helper()
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key, key.pub
}

// keyOf returns the key with the private number d.
func keyOf(t testing.TB, d *big.Int) *PrivateKey {
	t.Helper()
	scalar, err := parseScalar(d.FillBytes(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := newPrivateKey(scalar)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// number returns the private number of key.
func number(t testing.TB, key *PrivateKey) *big.Int {
	t.Helper()
	d, err := scalarOf(key.key())
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(d)
}

func sign(t testing.TB, key *PrivateKey, message []byte) []byte {
	t.Helper()
	sig, err := Sign(key, message)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// der encodes a SEQUENCE of INTEGERs of any value, minimally.
func der(numbers ...*big.Int) []byte {
	var content []byte
	for _, v := range numbers {
		b := v.Bytes()
		switch {
		case v.Sign() < 0: // two's complement of the same width
			size := len(b)
			b = new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), uint(8*size))).FillBytes(make([]byte, size))
		case len(b) == 0 || b[0] >= 0x80:
			b = append([]byte{0}, b...)
		}
		content = append(append(content, 0x02, byte(len(b))), b...)
	}
	return append([]byte{0x30, byte(len(content))}, content...)
}

func numbersOf(t testing.TB, sig []byte) (r, s *big.Int) {
	t.Helper()
	parsed, err := parseSignature(sig)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.numbers()
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func concat(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
