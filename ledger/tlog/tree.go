package tlog

import (
	"fmt"
	"math/bits"
)

// Nodes gives access to the stored hashes of a log.
type Nodes interface {
	// Node returns the root of the perfect tree over the leaves
	// [n<<level, (n+1)<<level). It is only asked for trees that lie wholly
	// within the size under consideration.
	Node(level uint, n uint64) (Hash, error)
}

// A Tree is the log at one size. Its methods may be called concurrently if
// those of its Nodes may.
type Tree struct {
	size  uint64
	nodes Nodes

	// The tree is the row of perfect trees that the one bits of size name,
	// largest first; suffix[i] is the root over row i and all that follow.
	// A proof meets at most one node that is not perfect, and that node is
	// always one of these, so proofs need no further hashing.
	suffix []Hash
}

// NewTree reads the right edge of the log at the given size.
func NewTree(size uint64, nodes Nodes) (*Tree, error) {
	t := &Tree{size: size, nodes: nodes, suffix: make([]Hash, bits.OnesCount64(size))}
	end := size
	for i := len(t.suffix) - 1; i >= 0; i-- {
		level := uint(bits.TrailingZeros64(end))
		end -= 1 << level
		h, err := nodes.Node(level, end>>level)
		if err != nil {
			return nil, err
		}
		if i < len(t.suffix)-1 {
			h = NodeHash(h, t.suffix[i+1])
		}
		t.suffix[i] = h
	}
	return t, nil
}

// Size returns the number of leaves.
func (t *Tree) Size() uint64 { return t.size }

// Root returns the tree head.
func (t *Tree) Root() Hash {
	if t.size == 0 {
		return EmptyRoot()
	}
	return t.suffix[0]
}

// Inclusion returns the proof that leaf index is in the tree, deepest hash first.
func (t *Tree) Inclusion(index uint64) ([]Hash, error) {
	if index >= t.size {
		return nil, fmt.Errorf("tlog: index %d is not in a tree of size %d", index, t.size)
	}
	inner, border := decompose(index, t.size)
	proof := make([]Hash, 0, inner+border)
	for level := range inner {
		h, err := t.subtree(level, index>>level^1)
		if err != nil {
			return nil, err
		}
		proof = append(proof, h)
	}
	return t.appendBorder(proof, inner, index>>inner)
}

// Consistency returns the proof that the tree of size old is a prefix of t.
// It is empty when old is 0 or the size of t.
func (t *Tree) Consistency(old uint64) ([]Hash, error) {
	if old > t.size {
		return nil, fmt.Errorf("tlog: no consistency proof from size %d to size %d", old, t.size)
	}
	if old == 0 || old == t.size {
		return nil, nil
	}
	// The proof is the inclusion proof of the last perfect tree of old (RFC
	// 6962 section 2.1.2), headed by that tree itself unless it is all of old
	// and the verifier knows it already.
	inner, border := decompose(old-1, t.size)
	shift := uint(bits.TrailingZeros64(old))
	proof := make([]Hash, 0, 1+inner-shift+border)
	n := (old - 1) >> shift
	if old != 1<<shift {
		h, err := t.nodes.Node(shift, n)
		if err != nil {
			return nil, err
		}
		proof = append(proof, h)
	}
	for level := shift; level < inner; level++ {
		h, err := t.subtree(level, (old-1)>>level^1)
		if err != nil {
			return nil, err
		}
		proof = append(proof, h)
	}
	return t.appendBorder(proof, inner, (old-1)>>inner)
}

// subtree returns the node at (level, n), cut off at the end of the tree.
func (t *Tree) subtree(level uint, n uint64) (Hash, error) {
	if n < t.size>>level {
		return t.nodes.Node(level, n)
	}
	// The cut node holds the perfect trees of those one bits of size that lie
	// below level; they are the last ones of the row.
	below := bits.OnesCount64(t.size & (1<<level - 1))
	return t.suffix[len(t.suffix)-below], nil
}

// appendBorder appends the siblings of the path from (level, n) to the root
// that lie left of it, all of them perfect.
func (t *Tree) appendBorder(proof []Hash, level uint, n uint64) ([]Hash, error) {
	for ; n > 0; n, level = n>>1, level+1 {
		if n&1 == 0 {
			continue // the path moves up without a sibling on this level
		}
		h, err := t.nodes.Node(level, n-1)
		if err != nil {
			return nil, err
		}
		proof = append(proof, h)
	}
	return proof, nil
}

// decompose splits the path from leaf index to the root of a tree of the given
// size. On the lowest inner levels every node has a sibling; above them the
// path follows the right edge, where only the border siblings to the left exist.
func decompose(index, size uint64) (inner, border uint) {
	inner = uint(bits.Len64(index ^ (size - 1)))
	return inner, uint(bits.OnesCount64(index >> inner))
}

// Root returns the tree head at the given size.
func Root(size uint64, nodes Nodes) (Hash, error) {
	t, err := NewTree(size, nodes)
	if err != nil {
		return Hash{}, err
	}
	return t.Root(), nil
}

// InclusionProof returns the proof that leaf index is in the tree of the given size.
func InclusionProof(index, size uint64, nodes Nodes) ([]Hash, error) {
	t, err := NewTree(size, nodes)
	if err != nil {
		return nil, err
	}
	return t.Inclusion(index)
}

// ConsistencyProof returns the proof that the tree of size oldSize is a prefix
// of the tree of size newSize.
func ConsistencyProof(oldSize, newSize uint64, nodes Nodes) ([]Hash, error) {
	t, err := NewTree(newSize, nodes)
	if err != nil {
		return nil, err
	}
	return t.Consistency(oldSize)
}
