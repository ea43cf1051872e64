package tlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	xtlog "golang.org/x/mod/sumdb/tlog"
)

// A brute answers from the definitions of RFC 6962 section 2.1, word for word.
// It remembers the root of each range it has met.
type brute struct {
	leaves []Hash
	roots  map[[2]int]Hash
}

func newBrute(leaves []Hash) brute { return brute{leaves, map[[2]int]Hash{}} }

// root is MTH(D[lo:hi]).
func (b brute) root(lo, hi int) Hash {
	switch hi - lo {
	case 0:
		return EmptyRoot()
	case 1:
		return b.leaves[lo]
	}
	h, ok := b.roots[[2]int{lo, hi}]
	if !ok {
		k := split(hi - lo)
		h = NodeHash(b.root(lo, lo+k), b.root(lo+k, hi))
		b.roots[[2]int{lo, hi}] = h
	}
	return h
}

// path is PATH(m, D[lo:hi]).
func (b brute) path(m, lo, hi int) []Hash {
	if hi-lo == 1 {
		return nil
	}
	if k := split(hi - lo); m < k {
		return append(b.path(m, lo, lo+k), b.root(lo+k, hi))
	} else {
		return append(b.path(m-k, lo+k, hi), b.root(lo, lo+k))
	}
}

// proof is SUBPROOF(m, D[lo:hi], whole).
func (b brute) proof(m, lo, hi int, whole bool) []Hash {
	if m == hi-lo {
		if whole {
			return nil
		}
		return []Hash{b.root(lo, hi)}
	}
	if k := split(hi - lo); m <= k {
		return append(b.proof(m, lo, lo+k, whole), b.root(lo+k, hi))
	} else {
		return append(b.proof(m-k, lo+k, hi, false), b.root(lo, lo+k))
	}
}

// Node makes a brute the store of its own tree.
func (b brute) Node(level uint, n uint64) (Hash, error) {
	if uint64(len(b.leaves))>>level <= n {
		return Hash{}, fmt.Errorf("node (%d, %d) is not in a tree of size %d", level, n, len(b.leaves))
	}
	return b.root(int(n<<level), int((n+1)<<level)), nil
}

// split is the largest power of two smaller than n.
func split(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// cut refuses nodes that end beyond a size.
type cut struct {
	Nodes
	size uint64
}

func (c cut) Node(level uint, n uint64) (Hash, error) {
	if c.size>>level <= n {
		return Hash{}, fmt.Errorf("node (%d, %d) is not in a tree of size %d", level, n, c.size)
	}
	return c.Nodes.Node(level, n)
}

func testLeaves(n int) []Hash {
	leaves := make([]Hash, n)
	for i := range leaves {
		leaves[i] = LeafHash(binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	return leaves
}

func TestAgainstDefinition(t *testing.T) {
	sizes := 300
	if testing.Short() {
		sizes = 70
	}
	leaves := testLeaves(sizes)
	brute := newBrute(leaves)
	var f Frontier
	roots := []Hash{EmptyRoot()}
	for size := range sizes + 1 {
		if size > 0 {
			f.Append(leaves[size-1])
			roots = append(roots, brute.root(0, size))
		}
		if f.Size() != uint64(size) || f.Root() != roots[size] {
			t.Fatalf("frontier at %d: size %d, root %v, want %v", size, f.Size(), f.Root(), roots[size])
		}
		tree, err := NewTree(uint64(size), cut{brute, uint64(size)})
		if err != nil {
			t.Fatal(err)
		}
		if tree.Root() != roots[size] {
			t.Fatalf("root at %d: %v, want %v", size, tree.Root(), roots[size])
		}
		for i := range size {
			proof, err := tree.Inclusion(uint64(i))
			if err != nil {
				t.Fatal(err)
			}
			if want := brute.path(i, 0, size); !slices.Equal(proof, want) {
				t.Fatalf("inclusion of %d in %d: %v, want %v", i, size, proof, want)
			}
			if err := VerifyInclusion(proof, uint64(i), uint64(size), leaves[i], roots[size]); err != nil {
				t.Fatal(err)
			}
		}
		for old := range size + 1 {
			proof, err := tree.Consistency(uint64(old))
			if err != nil {
				t.Fatal(err)
			}
			var want []Hash
			if old > 0 {
				want = brute.proof(old, 0, size, true)
			}
			if !slices.Equal(proof, want) {
				t.Fatalf("consistency of %d with %d: %v, want %v", old, size, proof, want)
			}
			if err := VerifyConsistency(proof, uint64(old), uint64(size), roots[old], roots[size]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRefused changes each input of a valid check, one at a time.
func TestRefused(t *testing.T) {
	const most = 33
	leaves := testLeaves(most)
	nodes := newBrute(leaves)
	root := func(size uint64) Hash { return nodes.root(0, int(size)) }
	refused := func(err error, what string, args ...any) {
		t.Helper()
		if !errors.Is(err, ErrProof) {
			t.Fatalf(what+": got %v, want ErrProof", append(args, err)...)
		}
	}

	for size := uint64(1); size <= most; size++ {
		for i := range size {
			proof, err := InclusionProof(i, size, nodes)
			if err != nil {
				t.Fatal(err)
			}
			for name, changed := range mutations(proof) {
				refused(VerifyInclusion(changed, i, size, leaves[i], root(size)), "inclusion %d of %d, %s", i, size, name)
			}
			for other := range size + 3 {
				if other != i {
					refused(VerifyInclusion(proof, other, size, leaves[i], root(size)), "inclusion %d of %d at %d", i, size, other)
				}
			}
			// A size of the same shape seen from this leaf yields the same
			// root computation; only the signed size rules it out. Every
			// other size must fail by length alone.
			for other := i + 1; other <= most; other++ {
				in, border := decompose(i, other)
				if in+border != uint(len(proof)) {
					refused(VerifyInclusion(proof, i, other, leaves[i], root(size)), "inclusion %d of %d in %d", i, size, other)
				}
				if other != size {
					refused(VerifyInclusion(proof, i, other, leaves[i], root(other)), "inclusion %d of %d in %d", i, size, other)
				}
			}
			refused(VerifyInclusion(proof, i, size, flip(leaves[i]), root(size)), "inclusion of another leaf")
			refused(VerifyInclusion(proof, i, size, leaves[i], flip(root(size))), "inclusion in another root")
		}
		refused(VerifyInclusion(nil, size, size, leaves[0], root(size)), "index = size")
		refused(VerifyInclusion(nil, math.MaxUint64, size, leaves[0], root(size)), "huge index")
	}
	refused(VerifyInclusion(nil, 0, 0, leaves[0], EmptyRoot()), "inclusion in the empty tree")

	for size := uint64(1); size <= most; size++ {
		for old := uint64(0); old <= size; old++ {
			proof, err := ConsistencyProof(old, size, nodes)
			if err != nil {
				t.Fatal(err)
			}
			for name, changed := range mutations(proof) {
				refused(VerifyConsistency(changed, old, size, root(old), root(size)), "consistency %d to %d, %s", old, size, name)
			}
			refused(VerifyConsistency(proof, old, size, flip(root(old)), root(size)), "consistency %d to %d, old root", old, size)
			if old > 0 {
				refused(VerifyConsistency(proof, old, size, root(old), flip(root(size))), "consistency %d to %d, new root", old, size)
			}
			if old > 0 && old < size {
				refused(VerifyConsistency(proof, size, old, root(size), root(old)), "consistency %d to %d backwards", old, size)
				refused(VerifyConsistency(nil, old, size, root(old), root(size)), "no proof from %d to %d", old, size)
			}
		}
	}
	refused(VerifyConsistency(nil, 0, 0, EmptyRoot(), leaves[0]), "another root for the empty tree")
}

func flip(h Hash) Hash { h[17] ^= 4; return h }

// mutations returns proof with each bit of one byte position, each length and
// each order changed.
func mutations(proof []Hash) map[string][]Hash {
	m := map[string][]Hash{"one more": append(slices.Clone(proof), Hash{})}
	if len(proof) > 0 {
		m["one less at the end"] = proof[:len(proof)-1]
		m["one less at the start"] = proof[1:]
		m["doubled"] = append(slices.Clone(proof[:1]), proof...)
	}
	for i := range proof {
		for b := range proof[i] {
			changed := slices.Clone(proof)
			changed[i][b] ^= 1 << (b % 8)
			m[fmt.Sprintf("hash %d byte %d", i, b)] = changed
		}
		if i > 0 {
			changed := slices.Clone(proof)
			changed[i-1], changed[i] = changed[i], changed[i-1]
			m[fmt.Sprintf("hashes %d and %d swapped", i-1, i)] = changed
		}
	}
	return m
}

// TestAgainstModSumdb compares which stored hashes a proof is made of with
// golang.org/x/mod/sumdb/tlog: both read from stores whose hashes are labels.
func TestAgainstModSumdb(t *testing.T) {
	label := func(level uint, n uint64) (h Hash) {
		binary.BigEndian.PutUint64(h[:], uint64(level)+1)
		binary.BigEndian.PutUint64(h[8:], n)
		return h
	}
	reader := xtlog.HashReaderFunc(func(indexes []int64) ([]xtlog.Hash, error) {
		hashes := make([]xtlog.Hash, len(indexes))
		for i, x := range indexes {
			level, n := xtlog.SplitStoredHashIndex(x)
			hashes[i] = xtlog.Hash(label(uint(level), uint64(n)))
		}
		return hashes, nil
	})
	nodes := nodesFunc(func(level uint, n uint64) (Hash, error) { return label(level, n), nil })
	// Hashes that either side computed differ in the hash function, so only
	// labels are compared, and that the others stand at the same place.
	same := func(theirs []xtlog.Hash, ours []Hash) bool {
		return slices.EqualFunc(theirs, ours, func(a xtlog.Hash, b Hash) bool {
			isLabel := func(h Hash) bool { return [16]byte(h[16:]) == [16]byte{} }
			if !isLabel(Hash(a)) || !isLabel(b) {
				return isLabel(Hash(a)) == isLabel(b)
			}
			return Hash(a) == b
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		size := 1 + rng.Uint64N(1<<(1+rng.UintN(40)))
		index := rng.Uint64N(size)
		theirs, err := xtlog.ProveRecord(int64(size), int64(index), reader)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := InclusionProof(index, size, nodes)
		if err != nil {
			t.Fatal(err)
		}
		if !same(theirs, ours) {
			t.Fatalf("inclusion of %d in %d: %v, x/mod has %v", index, size, ours, theirs)
		}
		old := 1 + rng.Uint64N(size)
		tree, err := xtlog.ProveTree(int64(size), int64(old), reader)
		if err != nil {
			t.Fatal(err)
		}
		if ours, err = ConsistencyProof(old, size, nodes); err != nil {
			t.Fatal(err)
		}
		// x/mod sends the old root even where the verifier has it.
		if len(tree) == len(ours)+1 && old&(old-1) == 0 {
			tree = tree[1:]
		}
		if !same(tree, ours) {
			t.Fatalf("consistency of %d with %d: %v, x/mod has %v", old, size, ours, tree)
		}
	}
}

type nodesFunc func(level uint, n uint64) (Hash, error)

func (f nodesFunc) Node(level uint, n uint64) (Hash, error) { return f(level, n) }

// TestHugeSizes runs proofs near the end of the number range, over a tree whose
// leaves are all alike so that every perfect tree of one level is the same.
func TestHugeSizes(t *testing.T) {
	var perfect [64]Hash
	perfect[0] = LeafHash([]byte("leaf"))
	for i := range perfect[1:] {
		perfect[i+1] = NodeHash(perfect[i], perfect[i])
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, size := range []uint64{math.MaxUint64, math.MaxUint64 - 1, 1 << 63, 1<<63 + 1, 1<<63 - 1, 10_000_000} {
		nodes := nodesFunc(func(level uint, n uint64) (Hash, error) {
			if size>>level <= n {
				return Hash{}, fmt.Errorf("node (%d, %d) is not in a tree of size %d", level, n, size)
			}
			return perfect[level], nil
		})
		tree, err := NewTree(size, nodes)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range []uint64{0, 1, size / 2, size - 2, size - 1, rng.Uint64N(size), rng.Uint64N(size)} {
			proof, err := tree.Inclusion(i)
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyInclusion(proof, i, size, perfect[0], tree.Root()); err != nil {
				t.Fatalf("inclusion of %d in %d: %v", i, size, err)
			}
			root, err := Root(i+1, nodes)
			if err != nil {
				t.Fatal(err)
			}
			if proof, err = tree.Consistency(i + 1); err != nil {
				t.Fatal(err)
			}
			if err := VerifyConsistency(proof, i+1, size, root, tree.Root()); err != nil {
				t.Fatalf("consistency of %d with %d: %v", i+1, size, err)
			}
		}
		if _, err := tree.Inclusion(size); err == nil {
			t.Fatalf("inclusion proof for index %d of %d", size, size)
		}
	}
}

func TestKnownAnswers(t *testing.T) {
	// Computed with OpenSSL 3.0.19: printf '…' | openssl dgst -sm3
	for _, c := range []struct {
		name string
		got  Hash
		want string
	}{
		{"empty", EmptyRoot(), "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b"},
		{"leaf abc", LeafHash([]byte("abc")), "a7fe0cdcc2194aa7a9c6bfad5637581bf051d935a10bb6a9ccabfce125c27d96"},
		{"node", NodeHash(LeafHash([]byte("abc")), EmptyRoot()), "a03d50c31340ff14b671ebf3d8496c6785a524cbc9adb1e724a399624a39b792"},
	} {
		if c.got.String() != c.want {
			t.Errorf("%s: %v, want %s", c.name, c.got, c.want)
		}
	}
}

func TestHashText(t *testing.T) {
	h := LeafHash([]byte("x"))
	text, err := h.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var back Hash
	if err := back.UnmarshalText(text); err != nil || back != h {
		t.Fatalf("%v %v", back, err)
	}
	for _, bad := range []string{"", string(text[1:]), string(text) + "0", "A" + string(text[1:]), "g" + string(text[1:])} {
		if err := back.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}
