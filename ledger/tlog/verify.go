package tlog

import (
	"errors"
	"fmt"
	"math/bits"
)

// ErrProof is wrapped by every error of [VerifyInclusion] and [VerifyConsistency].
var ErrProof = errors.New("tlog: proof does not hold")

// VerifyInclusion checks that leaf is the hash at index in the tree of the
// given size and root. The proof must have exactly the length that index and
// size call for.
func VerifyInclusion(proof []Hash, index, size uint64, leaf, root Hash) error {
	if index >= size {
		return fmt.Errorf("%w: index %d is not in a tree of size %d", ErrProof, index, size)
	}
	inner, border := decompose(index, size)
	if uint(len(proof)) != inner+border {
		return fmt.Errorf("%w: %d hashes for index %d of %d, want %d", ErrProof, len(proof), index, size, inner+border)
	}
	h := leaf
	for level, sibling := range proof[:inner] {
		if index>>level&1 == 0 {
			h = NodeHash(h, sibling)
		} else {
			h = NodeHash(sibling, h)
		}
	}
	for _, left := range proof[inner:] {
		h = NodeHash(left, h)
	}
	if h != root {
		return fmt.Errorf("%w: leaf %d leads to another root than the tree head of size %d", ErrProof, index, size)
	}
	return nil
}

// VerifyConsistency checks that the tree of oldSize and oldRoot is a prefix of
// the tree of newSize and newRoot.
//
// Every tree extends the empty one: for oldSize 0 the proof must be empty and
// oldRoot must be [EmptyRoot]; newRoot is then not checked, there is nothing to
// check it against. For equal sizes the proof must be empty and the roots equal.
func VerifyConsistency(proof []Hash, oldSize, newSize uint64, oldRoot, newRoot Hash) error {
	if oldSize > newSize {
		return fmt.Errorf("%w: size %d is smaller than %d", ErrProof, newSize, oldSize)
	}
	if oldSize == 0 || oldSize == newSize {
		if len(proof) != 0 {
			return fmt.Errorf("%w: %d hashes from size %d to %d, want none", ErrProof, len(proof), oldSize, newSize)
		}
		if oldSize == 0 && oldRoot != EmptyRoot() || newSize == 0 && newRoot != EmptyRoot() {
			return fmt.Errorf("%w: wrong root for an empty tree", ErrProof)
		}
		if oldSize == newSize && oldRoot != newRoot {
			return fmt.Errorf("%w: two roots for size %d", ErrProof, newSize)
		}
		return nil
	}

	// The path starts at the last perfect tree of the old size, which is the
	// old root itself when that size is a power of two.
	last := oldSize - 1
	inner, border := decompose(last, newSize)
	shift := uint(bits.TrailingZeros64(oldSize))
	seed, want := oldRoot, inner-shift+border
	if oldSize != 1<<shift {
		want++
	}
	if uint(len(proof)) != want {
		return fmt.Errorf("%w: %d hashes from size %d to %d, want %d", ErrProof, len(proof), oldSize, newSize, want)
	}
	if oldSize != 1<<shift {
		seed, proof = proof[0], proof[1:]
	}

	// Both roots are folded from the same hashes; those right of the path
	// belong to the new tree only.
	oldHash, newHash := seed, seed
	for i, sibling := range proof[:inner-shift] {
		if last>>(shift+uint(i))&1 == 0 {
			newHash = NodeHash(newHash, sibling)
		} else {
			oldHash = NodeHash(sibling, oldHash)
			newHash = NodeHash(sibling, newHash)
		}
	}
	for _, left := range proof[inner-shift:] {
		oldHash = NodeHash(left, oldHash)
		newHash = NodeHash(left, newHash)
	}
	if oldHash != oldRoot {
		return fmt.Errorf("%w: it leads to another root than the tree head of size %d", ErrProof, oldSize)
	}
	if newHash != newRoot {
		return fmt.Errorf("%w: it leads to another root than the tree head of size %d", ErrProof, newSize)
	}
	return nil
}
