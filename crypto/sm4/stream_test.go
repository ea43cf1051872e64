package sm4

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"cunzheng/crypto/internal/ratio"
)

// sizes are around the borders of chunks and of the tag.
var sizes = []int{
	0, 1, 15, 16, 17, ChunkSize - 17, ChunkSize - 16, ChunkSize - 1, ChunkSize, ChunkSize + 1,
	ChunkSize + 16, ChunkSize + 17, 2*ChunkSize - 1, 2 * ChunkSize, 2*ChunkSize + 1, 5*ChunkSize + 12345,
}

func seal(t testing.TB, key, plaintext []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(key, &out)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := w.Write(plaintext); n != len(plaintext) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func open(key, sealed []byte) ([]byte, error) {
	r, err := NewReader(key, bytes.NewReader(sealed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func TestStream(t *testing.T) {
	key := random(KeySize)
	for _, size := range sizes {
		plaintext := random(size)
		sealed := seal(t, key, plaintext)
		if int64(len(sealed)) != SealedSize(int64(size)) {
			t.Errorf("%d bytes are sealed into %d, SealedSize says %d", size, len(sealed), SealedSize(int64(size)))
		}
		if got, err := open(key, sealed); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes: %v", size, err)
		}

		// The pieces in which a stream is written and read do not matter.
		var out bytes.Buffer
		w, err := NewWriter(key, &out)
		if err != nil {
			t.Fatal(err)
		}
		for rest := plaintext; len(rest) > 0; {
			n := min(1+rand.IntN(ChunkSize*3/2), len(rest))
			if rand.IntN(4) == 0 {
				n = min(ChunkSize, len(rest))
			}
			if written, err := w.Write(rest[:n]); written != n || err != nil {
				t.Fatalf("%d bytes: Write: %d, %v", size, written, err)
			}
			rest = rest[n:]
			if _, err := w.Write(nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), sealed) {
			t.Errorf("%d bytes: written in pieces, the stream differs", size)
		}
		for name, src := range map[string]io.Reader{
			"half reads":   iotest.HalfReader(bytes.NewReader(sealed)),
			"EOF at once":  iotest.DataErrReader(bytes.NewReader(sealed)),
			"empty reads":  &emptyReads{src: bytes.NewReader(sealed)},
			"single bytes": iotest.OneByteReader(bytes.NewReader(sealed)),
		} {
			r, err := NewReader(key, src)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(iotest.HalfReader(r))
			if err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("%d bytes, %s: %v", size, name, err)
			}
			if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("%d bytes, %s: after the end: %d, %v", size, name, n, err)
			}
		}
		r, err := NewReader(key, bytes.NewReader(sealed))
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, min(size, 10))
		if _, err := io.ReadFull(r, head); err != nil {
			t.Fatal(err)
		}
		var rest bytes.Buffer
		if n, err := r.WriteTo(&rest); err != nil || n != int64(size-len(head)) || !bytes.Equal(append(head, rest.Bytes()...), plaintext) {
			t.Errorf("%d bytes: WriteTo: %d, %v", size, n, err)
		}
	}
}

// emptyReads returns 0, nil now and then, as io.Reader allows.
type emptyReads struct {
	src io.Reader
	n   int
}

func (r *emptyReads) Read(p []byte) (int, error) {
	if r.n++; r.n%2 == 0 {
		return 0, nil
	}
	return r.src.Read(p)
}

func TestSealedSize(t *testing.T) {
	for plain, want := range map[int64]int64{
		0: 16, 1: 17, ChunkSize: ChunkSize + 16, ChunkSize + 1: ChunkSize + 33, 10 << 30: 10<<30 + 10<<30/ChunkSize*16,
	} {
		if got := SealedSize(plain); got != want {
			t.Errorf("SealedSize(%d) = %d, want %d", plain, got, want)
		}
	}
}

// Nothing but the stream that was written opens, and no byte comes out that was
// not at this place in it.
func TestTamperedStream(t *testing.T) {
	key := random(KeySize)
	const sealedChunk = ChunkSize + 16
	for _, size := range []int{0, 1, ChunkSize - 1, ChunkSize, 3*ChunkSize + 100, 4 * ChunkSize} {
		plaintext := random(size)
		sealed := seal(t, key, plaintext)
		other := seal(t, key, random(size)) // what a reused key would allow is not the point here
		var chunks [][]byte
		for c := range slices.Chunk(sealed, sealedChunk) {
			chunks = append(chunks, c)
		}
		last := len(chunks) - 1
		bad := map[string][]byte{
			"empty":                      {},
			"one byte more":              concat(sealed, []byte{0}),
			"a tag more":                 concat(sealed, make([]byte, 16)),
			"a chunk of zeros more":      concat(sealed, make([]byte, sealedChunk)),
			"itself again":               concat(sealed, sealed),
			"last chunk again":           concat(sealed, chunks[last]),
			"an empty last chunk more":   concat(sealed, seal(t, key, nil)),
			"one byte less":              sealed[:len(sealed)-1],
			"only the tag":               sealed[max(0, len(sealed)-15):],
			"without its first byte":     sealed[1:],
			"without last chunk":         concat(chunks[:last]...),
			"another stream's tag":       concat(sealed[:len(sealed)-16], other[len(other)-16:]),
			"under another key":          seal(t, random(KeySize), plaintext),
			"zeros":                      make([]byte, len(sealed)),
			"cut inside the last tag":    sealed[:len(sealed)-8],
			"last chunk without its end": concat(concat(chunks[:last]...), chunks[last][:len(chunks[last])/2]),
		}
		if size == 0 {
			delete(bad, "another stream's tag") // the same stream
			delete(bad, "last chunk again")
		}
		if last > 0 {
			bad["first chunks swapped"] = concat(concat(chunks[1], chunks[0]), concat(chunks[2:]...))
			bad["first chunk twice"] = concat(chunks[0], sealed)
			bad["without first chunk"] = concat(chunks[1:]...)
			bad["without second chunk"] = concat(chunks[0], concat(chunks[2:]...))
			bad["second chunk replaced by the first"] = concat(concat(chunks[0], chunks[0]), concat(chunks[2:]...))
			bad["last chunk first"] = concat(chunks[last], concat(chunks[:last]...))
			bad["cut at each border"] = chunks[0]
		}
		for name, stream := range bad {
			got, err := open(key, stream)
			if !errors.Is(err, ErrAuthentication) {
				t.Errorf("%d bytes, %s: %v", size, name, err)
			}
			if !bytes.HasPrefix(plaintext, got) {
				t.Errorf("%d bytes, %s: bytes that were never written come out", size, name)
			}
			r, err := NewReader(key, bytes.NewReader(stream))
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if _, err := r.WriteTo(&out); !errors.Is(err, ErrAuthentication) || !bytes.HasPrefix(plaintext, out.Bytes()) {
				t.Errorf("%d bytes, %s: WriteTo: %v", size, name, err)
			}
			if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, ErrAuthentication) {
				t.Errorf("%d bytes, %s: reading on gives %d, %v", size, name, n, err)
			}
		}
		for border := sealedChunk; border < len(sealed); border += sealedChunk {
			if _, err := open(key, sealed[:border]); !errors.Is(err, ErrAuthentication) {
				t.Errorf("%d bytes, cut to %d: %v", size, border, err)
			}
		}
	}
}

// There is one stream for a plaintext, even for those who have the key: an empty
// last chunk is the form of the empty plaintext only.
func TestSecondFormOfStream(t *testing.T) {
	key, plaintext := random(KeySize), random(ChunkSize)
	aead, err := newGCM(key)
	if err != nil {
		t.Fatal(err)
	}
	var nonce chunkNonce
	stream := aead.Seal(nil, nonce[:], plaintext, nil)
	nonce.next()
	nonce.setLast()
	stream = aead.Seal(stream, nonce[:], nil, nil)
	if got, err := open(key, stream); !errors.Is(err, ErrAuthentication) || !bytes.Equal(got, plaintext) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestEveryBitOfStreamCounts(t *testing.T) {
	key := random(KeySize)
	plaintext := random(ChunkSize + 20)
	sealed := seal(t, key, plaintext)
	positions := []int{0, 1, ChunkSize - 1, ChunkSize, ChunkSize + 8, ChunkSize + 15, ChunkSize + 16, ChunkSize + 17, len(sealed) - 17, len(sealed) - 16, len(sealed) - 1}
	for range 100 {
		positions = append(positions, rand.IntN(len(sealed)))
	}
	for _, i := range positions {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			got, err := open(key, changed)
			if !errors.Is(err, ErrAuthentication) || !bytes.HasPrefix(plaintext, got) || i < ChunkSize+16 && len(got) > 0 {
				t.Errorf("bit %d of byte %d: %d bytes, %v", bit, i, len(got), err)
			}
		}
	}
	short := seal(t, key, []byte("0123456789"))
	for i := range len(short) * 8 {
		changed := bytes.Clone(short)
		changed[i/8] ^= 1 << (i % 8)
		if got, err := open(key, changed); !errors.Is(err, ErrAuthentication) || len(got) > 0 {
			t.Errorf("short stream, bit %d: %q, %v", i, got, err)
		}
	}
}

// A stream that was given up does not open as a shorter one.
func TestAbandonedStream(t *testing.T) {
	key := random(KeySize)
	for _, size := range []int{0, 1, ChunkSize, 2 * ChunkSize, 2*ChunkSize + 1} {
		var out bytes.Buffer
		w, err := NewWriter(key, &out)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(random(size))
		if _, err := open(key, out.Bytes()); !errors.Is(err, ErrAuthentication) {
			t.Errorf("%d bytes without Close: %v", size, err)
		}
	}
}

// Failures of the files below are passed on as they are; only a wrong stream is
// called one.
func TestStreamErrors(t *testing.T) {
	key := random(KeySize)
	sealed := seal(t, key, random(3*ChunkSize))
	failure := errors.New("disk failure")
	for _, cause := range []error{failure, io.ErrUnexpectedEOF, fmt.Errorf("reset: %w", io.EOF)} {
		for _, after := range []int{0, 1, ChunkSize, ChunkSize + 16, ChunkSize + 17, len(sealed) - 1, len(sealed)} {
			r, err := NewReader(key, io.MultiReader(bytes.NewReader(sealed[:after]), iotest.ErrReader(cause)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(r); err != cause {
				t.Errorf("source fails after %d with %v: %v", after, cause, err)
			}
		}
	}
	for _, after := range []int{0, 1} {
		w, err := NewWriter(key, &failingWriter{after: after, err: failure})
		if err != nil {
			t.Fatal(err)
		}
		n, err := w.Write(random(3 * ChunkSize))
		if err != failure || n != after*ChunkSize {
			t.Errorf("destination fails after %d chunks: %d, %v", after, n, err)
		}
		if n, err := w.Write([]byte{1}); n != 0 || err != failure {
			t.Errorf("a second Write: %d, %v", n, err)
		}
		if err := w.Close(); err != failure {
			t.Errorf("Close: %v", err)
		}
	}
	w, err := NewWriter(key, &failingWriter{after: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(random(3 * ChunkSize)); err != io.ErrShortWrite {
		t.Errorf("a short write: %v", err)
	}
	w, err = NewWriter(key, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte{1}); err == nil {
		t.Error("a closed Writer writes")
	}
	if err := w.Close(); err == nil {
		t.Error("a Writer is closed twice")
	}
	r, err := NewReader(key, bytes.NewReader(sealed))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteTo(&failingWriter{after: 1, err: failure}); err != failure {
		t.Errorf("WriteTo a failing destination: %v", err)
	}
	for _, size := range []int{0, 15, 17} {
		if _, err := NewWriter(make([]byte, size), io.Discard); !errors.Is(err, ErrKeySize) {
			t.Errorf("Writer with a key of %d bytes: %v", size, err)
		}
		if _, err := NewReader(make([]byte, size), bytes.NewReader(nil)); !errors.Is(err, ErrKeySize) {
			t.Errorf("Reader with a key of %d bytes: %v", size, err)
		}
	}
}

// failingWriter takes a number of writes and then fails, or writes short if err
// is nil.
type failingWriter struct {
	after int
	err   error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.after == 0 {
		return len(p) / 2, w.err
	}
	w.after--
	return len(p), nil
}

// The memory of a stream does not depend on its length.
func TestStreamAllocations(t *testing.T) {
	key := random(KeySize)
	w, err := NewWriter(key, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	piece := random(3*ChunkSize + 1)
	if n := allocated(func() { w.Write(piece) }); n > 4<<10 {
		t.Errorf("Write allocates %d bytes", n)
	}
	sealed := seal(t, key, random(100*ChunkSize))
	r, err := NewReader(key, bytes.NewReader(sealed))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, piece); err != nil { // the first chunk may allocate
		t.Fatal(err)
	}
	if n := allocated(func() { io.ReadFull(r, piece) }); n > 4<<10 {
		t.Errorf("Read allocates %d bytes", n)
	}
}

// allocated returns the bytes that one call allocates. On the assembly paths it
// is 0; Go's own GCM, under the tag purego, allocates a little for each chunk.
func allocated(f func()) uint64 {
	const calls = 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / calls
}

func FuzzReader(f *testing.F) {
	key := []byte("0123456789abcdef")
	for _, size := range []int{0, 1, 100, ChunkSize, ChunkSize + 1} {
		f.Add(seal(f, key, make([]byte, size)))
	}
	f.Add(make([]byte, 16))
	f.Add(make([]byte, ChunkSize+33))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		plaintext, err := open(key, sealed)
		if err != nil {
			if !errors.Is(err, ErrAuthentication) {
				t.Errorf("error %v", err)
			}
			return
		}
		if again := seal(t, key, plaintext); !bytes.Equal(again, sealed) {
			t.Errorf("accepted %d bytes, which are not what is written for their content", len(sealed))
		}
	})
}

func FuzzOpen(f *testing.F) {
	key := []byte("0123456789abcdef")
	sealed, err := Seal(key, []byte("record"), []byte("additional"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, []byte("additional"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, in, additional []byte) {
		plaintext, err := Open(key, in, additional)
		if err != nil {
			return
		}
		aead, err := newGCM(key)
		if err != nil {
			t.Fatal(err)
		}
		if again := aead.Seal(in[:nonceSize:nonceSize], in[:nonceSize], plaintext, additional); !bytes.Equal(again, in) {
			t.Errorf("accepted %x, wrote %x", in, again)
		}
	})
}

// The benchmarks compare with bare GCM over the same chunks. The second library
// is not among the references: its GCM is broken and its import is forbidden
// (rule 7 of package crypto).

const benchSize = 4 << 20

func bare(b *testing.B) cipher.AEAD {
	aead, err := newGCM(random(KeySize))
	if err != nil {
		b.Fatal(err)
	}
	return aead
}

func aesGCM(b *testing.B) cipher.AEAD {
	block, err := aes.NewCipher(random(16))
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	return aead
}

func sealing(aead cipher.AEAD, data []byte) func() {
	var nonce [12]byte
	out := make([]byte, 0, sealedChunkSize)
	return func() {
		for chunk := range slices.Chunk(data, ChunkSize) {
			aead.Seal(out, nonce[:], chunk, nil)
		}
	}
}

func opening(b *testing.B, aead cipher.AEAD, data []byte) func() {
	var nonce [12]byte
	sealed := aead.Seal(nil, nonce[:], data[:ChunkSize], nil)
	out := make([]byte, 0, ChunkSize)
	return func() {
		for range len(data) / ChunkSize {
			if _, err := aead.Open(out, nonce[:], sealed, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	key, data := random(KeySize), random(benchSize)
	ours := func() {
		w, err := NewWriter(key, io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		w.Write(data)
		w.Close()
	}
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		ours()
	}
	ratio.Report(b, ours, ratio.Of("bare-SM4-GCM", sealing(bare(b), data)), ratio.Of("AES-GCM", sealing(aesGCM(b), data)))
}

func BenchmarkReader(b *testing.B) {
	key := random(KeySize)
	data := random(benchSize)
	sealed := seal(b, key, data)
	ours := func() {
		r, err := NewReader(key, bytes.NewReader(sealed))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		ours()
	}
	ratio.Report(b, ours, ratio.Of("bare-SM4-GCM", opening(b, bare(b), data)), ratio.Of("AES-GCM", opening(b, aesGCM(b), data)))
}

func BenchmarkSealRecord(b *testing.B) {
	key, data := random(KeySize), random(16)
	for b.Loop() {
		if _, err := Seal(key, data, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// TestStreamFrom: from each chunk on a stream opens to what follows, and to nothing else: not from another place, not cut
// off, not changed in what is read.
func TestStreamFrom(t *testing.T) {
	key := random(KeySize)
	from := func(sealed []byte, n int64) ([]byte, error) {
		r, err := NewReaderFrom(key, bytes.NewReader(sealed), n)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	for _, size := range sizes {
		plaintext := random(size)
		sealed := seal(t, key, plaintext)
		chunks := max(1, (size+ChunkSize-1)/ChunkSize)
		for n := range chunks {
			rest := sealed[ChunkOffset(int64(n)):]
			if got, err := from(rest, int64(n)); err != nil || !bytes.Equal(got, plaintext[n*ChunkSize:]) {
				t.Errorf("%d bytes from chunk %d: %d bytes, %v", size, n, len(got), err)
			}
			refused := map[string]struct {
				sealed []byte
				n      int
			}{
				"the chunk before": {rest, n - 1}, "the chunk after": {rest, n + 1}, "nothing": {nil, n},
				"a byte less": {rest[:len(rest)-1], n}, "a byte more": {append(bytes.Clone(rest), 0), n},
			}
			if n < chunks-1 {
				refused["without the last chunk"] = struct {
					sealed []byte
					n      int
				}{sealed[ChunkOffset(int64(n)):ChunkOffset(int64(chunks-1))], n}
			}
			changed := bytes.Clone(rest)
			changed[len(changed)-1] ^= 1
			refused["changed"] = struct {
				sealed []byte
				n      int
			}{changed, n}
			for name, test := range refused {
				if _, err := from(test.sealed, int64(test.n)); test.n >= 0 && !errors.Is(err, ErrAuthentication) || err == nil {
					t.Errorf("%d bytes from chunk %d, %s: %v", size, n, name, err)
				}
			}
		}
		if _, err := from(nil, int64(chunks)); !errors.Is(err, ErrAuthentication) {
			t.Errorf("%d bytes, behind the end: %v", size, err)
		}
	}
	// An empty chunk is the empty stream, and never the end of another.
	empty := seal(t, key, nil)
	if _, err := from(empty, 1); !errors.Is(err, ErrAuthentication) {
		t.Errorf("an empty chunk at place 1: %v", err)
	}
	aead, err := newGCM(key)
	if err != nil {
		t.Fatal(err)
	}
	var nonce chunkNonce
	nonce.seek(1)
	nonce.setLast()
	if _, err := from(aead.Seal(nil, nonce[:], nil, nil), 1); !errors.Is(err, ErrAuthentication) {
		t.Errorf("an empty last chunk: %v", err)
	}
}
