// Package sm3 computes the SM3 hash of GB/T 32905-2016 (ISO/IEC 10118-3), its
// HMAC and HKDF, and the leaf and node hashes of a Merkle tree.
//
//	digest := sm3.Sum([]byte("abc"))
//	fmt.Printf("%x", digest) // 66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0
//
// The functions Sum, SumLeaf and SumNode do not allocate and may be called from
// any number of goroutines.
package sm3

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/emmansun/gmsm/sm3"
)

const (
	Size      = 32 // length of a digest in bytes
	BlockSize = 64 // length of the block of the compression function in bytes
)

// Domain separation of RFC 6962 §2.1: without it a node could be passed off as
// a leaf that consists of two digests.
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// New returns a hash of the bytes written to it. It also implements
// encoding.BinaryMarshaler and encoding.BinaryUnmarshaler, so that a hash of a
// long stream can be suspended.
func New() hash.Hash { return sm3.New() }

// Sum returns the digest of data.
func Sum(data []byte) [Size]byte { return sm3.Sum(data) }

// SumLeaf returns the digest of a leaf of a Merkle tree: SM3(0x00 || data).
func SumLeaf(data []byte) [Size]byte {
	h := sm3.New()
	h.Write([]byte{leafPrefix})
	h.Write(data)
	var sum [Size]byte
	h.Sum(sum[:0])
	return sum
}

// SumNode returns the digest of an inner node of a Merkle tree:
// SM3(0x01 || left || right).
func SumNode(left, right *[Size]byte) [Size]byte {
	var node [1 + 2*Size]byte
	node[0] = nodePrefix
	copy(node[1:], left[:])
	copy(node[1+Size:], right[:])
	return sm3.Sum(node[:])
}

// NewHMAC returns a keyed hash (RFC 2104 over SM3). Compare its result with
// hmac.Equal only.
func NewHMAC(key []byte) hash.Hash { return hmac.New(sm3.New, key) }

// HKDF derives n bytes from secret (RFC 5869 over SM3). The info names the
// purpose of the derived key; keys for different purposes must have different
// infos. A nil salt means a string of zero bytes, as in the RFC. It fails if n
// is above 255*Size.
func HKDF(secret, salt []byte, info string, n int) ([]byte, error) {
	key, err := hkdf.Key(sm3.New, secret, salt, info, n)
	if err != nil {
		return nil, fmt.Errorf("sm3: HKDF: %w", err)
	}
	return key, nil
}

// selfTests are the examples A.1 and A.2 of GB/T 32905-2016.
var selfTests = []struct {
	name, message, digest string
}{
	{"A.1", "abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"},
	{
		"A.2", "abcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcdabcd",
		"debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
	},
}

// SelfTest hashes the examples of the standard and runs the self-test of the
// library. A program must refuse to work when it fails.
func SelfTest() error {
	if err := sm3.SelfTest(); err != nil {
		return fmt.Errorf("sm3: self-test of the library: %w", err)
	}
	for _, t := range selfTests {
		want, err := hex.DecodeString(t.digest)
		if err != nil {
			return fmt.Errorf("sm3: self-test: %w", err)
		}
		got := Sum([]byte(t.message))
		streamed := New()
		for _, b := range []byte(t.message) {
			streamed.Write([]byte{b})
		}
		if !bytes.Equal(got[:], want) || !bytes.Equal(streamed.Sum(nil), want) {
			return fmt.Errorf("sm3: self-test: wrong digest for example %s of GB/T 32905", t.name)
		}
	}
	return nil
}
