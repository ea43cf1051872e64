package sm3

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"strings"
	"testing"

	tjfoc "github.com/tjfoc/gmsm/sm3"

	"cunzheng/crypto/internal/openssltest"
	"cunzheng/crypto/internal/ratio"
)

func TestSelfTest(t *testing.T) {
	if err := SelfTest(); err != nil {
		t.Fatal(err)
	}
	defer func(digest string) { selfTests[1].digest = digest }(selfTests[1].digest)
	selfTests[1].digest = strings.Repeat("00", Size)
	if err := SelfTest(); err == nil {
		t.Error("a wrong digest passes the self-test")
	}
}

func TestVectors(t *testing.T) {
	for _, test := range []struct{ name, message, digest string }{
		// GB/T 32905-2016, A.1 and A.2.
		{"abc", "abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"},
		{"64 bytes", strings.Repeat("abcd", 16), "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"},
		// OpenSSL 3.
		{"empty", "", "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b"},
		{"a million", strings.Repeat("a", 1_000_000), "c8aaf89429554029e231941a2acc0ad61ff2a5acd8fadd25847a3a732b3b02c3"},
	} {
		if sum := Sum([]byte(test.message)); hex.EncodeToString(sum[:]) != test.digest {
			t.Errorf("%s: got %x, want %s", test.name, sum, test.digest)
		}
	}
}

// The second library fails this contract: its Sum changes the state.
func TestHashContract(t *testing.T) {
	h := New()
	if h.Size() != Size || h.BlockSize() != BlockSize {
		t.Errorf("sizes are %d and %d", h.Size(), h.BlockSize())
	}
	h.Write([]byte("ab"))
	prefix := []byte("prefix")
	ab := Sum([]byte("ab"))
	for range 2 { // Sum appends, and does not change the state
		if got := h.Sum(prefix); !bytes.Equal(got, append(bytes.Clone(prefix), ab[:]...)) {
			t.Errorf("Sum(prefix) = %x", got)
		}
	}
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	abc := Sum([]byte("abc"))
	resumed := New()
	if err := resumed.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		t.Fatal(err)
	}
	for _, h := range []hash.Hash{h, resumed} {
		h.Write([]byte("c"))
		if got := h.Sum(nil); !bytes.Equal(got, abc[:]) {
			t.Errorf("after a third byte: %x", got)
		}
		h.Reset()
		empty := Sum(nil)
		if got := h.Sum(nil); !bytes.Equal(got, empty[:]) {
			t.Errorf("after Reset: %x", got)
		}
	}
}

func TestMerkleHashes(t *testing.T) {
	left, right := Sum([]byte("l")), Sum([]byte("r"))
	for _, size := range []int{0, 1, 31, 32, 54, 55, 56, 62, 63, 64, 65, 127, 128, 4096, 65535} {
		data := random(size)
		if got, want := SumLeaf(data), Sum(append([]byte{0}, data...)); got != want {
			t.Errorf("leaf of %d bytes: got %x, want %x", size, got, want)
		}
	}
	want := Sum(append(append([]byte{1}, left[:]...), right[:]...))
	if got := SumNode(&left, &right); got != want {
		t.Errorf("node: got %x, want %x", got, want)
	}
	if leaf := SumLeaf(append(left[:], right[:]...)); leaf == want {
		t.Error("a node is also a leaf")
	}
}

func TestAllocations(t *testing.T) {
	left, right := Sum([]byte("l")), Sum([]byte("r"))
	data := random(300)
	for name, f := range map[string]func(){
		"Sum":     func() { Sum(data) },
		"SumLeaf": func() { SumLeaf(data) },
		"SumNode": func() { left = SumNode(&left, &right) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func TestHKDF(t *testing.T) {
	secret, salt := random(22), random(13)
	const info, n = "purpose", 82
	// RFC 5869 §2, written out.
	mac := func(key []byte, parts ...[]byte) []byte {
		h := NewHMAC(key)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	prk := mac(salt, secret)
	var want, block []byte
	for i := byte(1); len(want) < n; i++ {
		block = mac(prk, block, []byte(info), []byte{i})
		want = append(want, block...)
	}
	got, err := HKDF(secret, salt, info, n)
	if err != nil || !bytes.Equal(got, want[:n]) {
		t.Errorf("got %x, %v; want %x", got, err, want[:n])
	}
	if _, err := HKDF(secret, salt, info, 255*Size+1); err == nil {
		t.Error("more than 255 blocks are derived")
	}
}

// Every length around the borders of blocks, in one piece and in random pieces,
// against the second library.
func TestAgainstSecondLibrary(t *testing.T) {
	data := random(1100)
	for size := range data {
		message := data[:size]
		want := tjfoc.Sm3Sum(message)
		if got := Sum(message); !bytes.Equal(got[:], want) {
			t.Fatalf("%d bytes: got %x, second library %x", size, got, want)
		}
		h := New()
		for rest := message; len(rest) > 0; {
			n := 1 + rand.IntN(len(rest))
			h.Write(rest[:n])
			rest = rest[n:]
		}
		if got := h.Sum(nil); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes in pieces: got %x, second library %x", size, got, want)
		}
		second := hmac.New(tjfoc.New, data[:size%130])
		second.Write(message)
		first := NewHMAC(data[:size%130])
		first.Write(message)
		if got, want := first.Sum(nil), second.Sum(nil); !bytes.Equal(got, want) {
			t.Fatalf("HMAC of %d bytes: got %x, second library %x", size, got, want)
		}
	}
}

func TestAgainstOpenSSL(t *testing.T) {
	for _, size := range []int{0, 1, 55, 56, 63, 64, 65, 1000, 1 << 20} {
		message := random(size)
		sum := Sum(message)
		if want := openssltest.Run(t, message, "dgst", "-sm3", "-binary"); !bytes.Equal(sum[:], want) {
			t.Errorf("%d bytes: got %x, openssl %x", size, sum, want)
		}
		for _, keySize := range []int{1, 32, 64, 65, 200} {
			key := random(keySize)
			h := NewHMAC(key)
			h.Write(message)
			want := openssltest.Run(t, message, "dgst", "-sm3", "-mac", "HMAC", "-macopt", fmt.Sprintf("hexkey:%x", key), "-binary")
			if got := h.Sum(nil); !bytes.Equal(got, want) {
				t.Errorf("HMAC of %d bytes under a key of %d: got %x, openssl %x", size, keySize, got, want)
			}
		}
	}
	secret, salt := random(32), random(16)
	want := openssltest.Run(t, nil, "kdf", "-binary", "-keylen", "48", "-kdfopt", "digest:SM3",
		"-kdfopt", fmt.Sprintf("hexkey:%x", secret), "-kdfopt", fmt.Sprintf("hexsalt:%x", salt), "-kdfopt", "info:purpose", "HKDF")
	got, err := HKDF(secret, salt, "purpose", 48)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("HKDF: got %x, %v; openssl %x", got, err, want)
	}
}

func FuzzAgainstSecondLibrary(f *testing.F) {
	f.Add([]byte(nil), 0)
	f.Add([]byte("abc"), 1)
	f.Add(bytes.Repeat([]byte("abcd"), 16), 63)
	f.Fuzz(func(t *testing.T, message []byte, cut int) {
		cut = min(max(cut, 0), len(message))
		h := New()
		h.Write(message[:cut])
		h.Write(message[cut:])
		if got, want := h.Sum(nil), tjfoc.Sm3Sum(message); !bytes.Equal(got, want) {
			t.Errorf("got %x, second library %x", got, want)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			data := random(size)
			b.SetBytes(int64(size))
			for b.Loop() {
				Sum(data)
			}
			ratio.Report(b, func() { Sum(data) },
				ratio.Of("tjfoc", func() { tjfoc.Sm3Sum(data) }),
				ratio.Of("sha256", func() { sha256.Sum256(data) }))
		})
	}
}

func BenchmarkNode(b *testing.B) {
	left, right := Sum([]byte("l")), Sum([]byte("r"))
	var node [1 + 2*Size]byte
	ours := func() { left = SumNode(&left, &right) }
	for b.Loop() {
		ours()
	}
	ratio.Report(b, ours,
		ratio.Of("tjfoc", func() { tjfoc.Sm3Sum(node[:]) }),
		ratio.Of("sha256", func() { sha256.Sum256(node[:]) }))
}

func BenchmarkLeaf(b *testing.B) {
	data := random(1 << 10)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		SumLeaf(data)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func ExampleSum() {
	digest := Sum([]byte("abc"))
	fmt.Printf("%x\n", digest)
	// Output: 66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0
}
