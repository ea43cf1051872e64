package tlog

import (
	"math/bits"
)

// A Frontier recomputes a tree head from its leaves in order, holding one hash
// per level. The zero value is the empty tree.
type Frontier struct {
	size uint64
	// hashes[level] is the perfect tree that the bit at level of size names;
	// entries of zero bits are stale.
	hashes [64]Hash
}

// Append adds one leaf.
func (f *Frontier) Append(leaf Hash) {
	// Every trailing one bit is a perfect tree that the new leaf completes to
	// one of twice the size.
	h := leaf
	level := bits.TrailingZeros64(^f.size)
	for _, left := range f.hashes[:level] {
		h = NodeHash(left, h)
	}
	f.hashes[level] = h
	f.size++
}

// Size returns the number of leaves.
func (f *Frontier) Size() uint64 { return f.size }

// Root returns the tree head at the present size.
func (f *Frontier) Root() Hash {
	if f.size == 0 {
		return EmptyRoot()
	}
	level := bits.TrailingZeros64(f.size)
	h := f.hashes[level]
	for rest := f.size >> level >> 1; rest != 0; rest >>= 1 {
		level++
		if rest&1 == 1 {
			h = NodeHash(f.hashes[level], h)
		}
	}
	return h
}
