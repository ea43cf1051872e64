package sm2

import (
	"bytes"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// maxSignatureSize is SEQUENCE, INTEGER and INTEGER with two bytes of header
// each, and 33 bytes for each number: a leading zero and 32 bytes.
const maxSignatureSize = 2 + 2*(2+33)

// order is n, the number of points of the curve (GB/T 32918.5-2017).
var order = [32]byte{
	0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0x72, 0x03, 0xdf, 0x6b, 0x21, 0xc6, 0x05, 0x2b, 0x53, 0xbb, 0xf4, 0x09, 0x39, 0xd5, 0x41, 0x23,
}

// signature is (r, s), each number in 32 bytes, big-endian.
type signature struct{ r, s [32]byte }

// parseSignature accepts the canonical form only. Its errors wrap ErrSignature.
func parseSignature(der []byte) (signature, error) {
	var sig signature
	if len(der) > maxSignatureSize {
		return sig, malformed("it is too long")
	}
	input := cryptobyte.String(der)
	var sequence cryptobyte.String
	if !input.ReadASN1(&sequence, asn1.SEQUENCE) || !input.Empty() ||
		!readNumber(&sequence, &sig.r) || !readNumber(&sequence, &sig.s) || !sequence.Empty() {
		return sig, malformed("it is not DER of two numbers of at most 256 bits")
	}
	if !inRange(&sig.r) || !inRange(&sig.s) {
		return sig, malformed("a number is out of range")
	}
	if sumIsOrder(&sig.r, &sig.s) {
		return sig, malformed("r+s is the order of the group")
	}
	var buf [maxSignatureSize]byte
	if !bytes.Equal(sig.append(buf[:0]), der) {
		return sig, malformed("it is not in canonical form")
	}
	return sig, nil
}

func malformed(reason string) error { return fmt.Errorf("%w: %s", ErrSignature, reason) }

func readNumber(s *cryptobyte.String, n *[32]byte) bool {
	var b []byte // without leading zeros, and not negative
	if !s.ReadASN1Integer(&b) || len(b) > len(n) {
		return false
	}
	copy(n[len(n)-len(b):], b)
	return true
}

func inRange(n *[32]byte) bool {
	return *n != [32]byte{} && bytes.Compare(n[:], order[:]) < 0
}

// sumIsOrder tells whether r+s = 0 mod n. Both are in [1, n-1], so that r+s = n
// is the only case.
func sumIsOrder(r, s *[32]byte) bool {
	var carry uint
	for i := len(order) - 1; i >= 0; i-- {
		sum := uint(r[i]) + uint(s[i]) + carry
		if byte(sum) != order[i] {
			return false
		}
		carry = sum >> 8
	}
	return carry == 0
}

// append appends the canonical encoding to b.
func (sig *signature) append(b []byte) []byte {
	start := len(b)
	b = append(b, 0x30, 0)
	b = appendNumber(b, sig.r[:])
	b = appendNumber(b, sig.s[:])
	b[start+1] = byte(len(b) - start - 2)
	return b
}

func appendNumber(b, n []byte) []byte {
	n = bytes.TrimLeft(n, "\x00")
	if len(n) == 0 || n[0] >= 0x80 {
		b = append(b, 0x02, byte(len(n)+1), 0)
	} else {
		b = append(b, 0x02, byte(len(n)))
	}
	return append(b, n...)
}

func (sig *signature) numbers() (r, s *big.Int) {
	return new(big.Int).SetBytes(sig.r[:]), new(big.Int).SetBytes(sig.s[:])
}
