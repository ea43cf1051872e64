// Package tlog is the arithmetic of an append-only Merkle log: tree heads,
// inclusion and consistency proofs, and tiles. It does no I/O and keeps no
// state beside what its caller passes in.
//
// The tree has the shape of RFC 6962 section 2.1 with SM3 (GB/T 32905) in
// place of SHA-256:
//
//	leaf  = SM3(0x00 || entry)
//	node  = SM3(0x01 || left || right)
//	empty = SM3("")
//
// The left child of a node over n leaves is the perfect tree over the largest
// power of two smaller than n. A perfect tree over 1<<level leaves that starts
// at leaf n<<level is named (level, n) throughout.
//
// A caller who holds an entry, its index, a proof and a trusted tree head checks
//
//	err := tlog.VerifyInclusion(proof, index, size, tlog.LeafHash(entry), root)
//
// and a caller who holds an older tree head as well checks
//
//	err := tlog.VerifyConsistency(proof, oldSize, newSize, oldRoot, newRoot)
package tlog

import (
	"encoding/hex"
	"errors"
	"fmt"

	"cunzheng/crypto/sm3"
)

// HashSize is the length of a [Hash] in bytes.
const HashSize = sm3.Size

// A Hash is the SM3 hash of a leaf or of an inner node.
type Hash [HashSize]byte

// String returns the hash as 64 lower-case hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText is the inverse of [Hash.UnmarshalText].
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText accepts exactly 64 lower-case hexadecimal digits.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 2*HashSize {
		return fmt.Errorf("tlog: hash of %d characters, want %d", len(text), 2*HashSize)
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return errors.New("tlog: hash is not lower-case hexadecimal")
		}
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// LeafHash returns the hash of the leaf that holds entry.
func LeafHash(entry []byte) Hash { return Hash(sm3.SumLeaf(entry)) }

// NodeHash returns the hash of the node above left and right.
func NodeHash(left, right Hash) Hash {
	return Hash(sm3.SumNode((*[HashSize]byte)(&left), (*[HashSize]byte)(&right)))
}

// EmptyRoot returns the root of the tree of size 0.
func EmptyRoot() Hash { return Hash(sm3.Sum(nil)) }
