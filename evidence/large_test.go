package evidence

import (
	"archive/zip"
	"bytes"
	"io"
	"math"
	"runtime"
	"testing"
)

// sparse is a file in memory that keeps no zeros, as some file systems do.
type sparse struct {
	size   int64
	chunks []chunk // in order
}

type chunk struct {
	at   int64
	data []byte
}

func (s *sparse) Write(b []byte) (int, error) {
	if len(bytes.Trim(b, "\x00")) > 0 {
		s.chunks = append(s.chunks, chunk{s.size, bytes.Clone(b)})
	}
	s.size += int64(len(b))
	return len(b), nil
}

func (s *sparse) ReadAt(b []byte, off int64) (int, error) {
	n := int(min(int64(len(b)), max(0, s.size-off)))
	clear(b[:n])
	for _, c := range s.chunks {
		if from, to := max(c.at, off), min(c.at+int64(len(c.data)), off+int64(n)); from < to {
			copy(b[from-off:to-off], c.data[from-c.at:to-c.at])
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// TestZip64Layout holds where the zip64 fields begin, and that the standard library reads the same sizes.
func TestZip64Layout(t *testing.T) {
	for _, size := range []int64{0, 1, math.MaxUint32 - 200, math.MaxUint32 - 1, math.MaxUint32, math.MaxUint32 + 1, 10 << 30, 1 << 40} {
		entries := []zipEntry{{name: "a", size: 3, crc: 1}, {name: "content/b", size: size, crc: 2}}
		tail, offset, err := layOut(entries)
		must(t, err)
		var f sparse
		for i := range entries {
			must(t, write(&f, entries[i].local()))
			f.size += entries[i].size
		}
		if f.size != offset {
			t.Fatalf("size %d: the tail stands at %d, want %d", size, f.size, offset)
		}
		must(t, write(&f, tail))
		back, err := openContainer(&f, f.size)
		if err != nil || len(back) != 2 || back[1] != entries[1] {
			t.Errorf("size %d: %+v, %v", size, back, err)
		}
		z, err := zip.NewReader(&f, f.size)
		if err != nil {
			t.Errorf("size %d: %v", size, err)
			continue
		}
		data, err := z.File[1].DataOffset()
		if got := z.File[1].UncompressedSize64; err != nil || got != uint64(size) || data != entries[1].dataOffset() {
			t.Errorf("size %d: the standard library reads %d at %d, %v", size, got, data, err)
		}
	}
}

func write(w io.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}

// TestLargeOriginal writes and verifies a bundle with an original above 4 GiB in constant memory.
func TestLargeOriginal(t *testing.T) {
	if testing.Short() {
		t.Skip("hashes 4 GiB")
	}
	const size = 1<<32 + 1
	sm3Sum, err := ParseDigest(zerosSM3)
	must(t, err)
	sha256Sum, err := ParseDigest(zerosSHA256)
	must(t, err)
	w := newWorld(t)
	s := testStatement()
	s.Content = &Content{SM3: sm3Sum, SHA256: sha256Sum, Size: pointer(size)}
	b := w.accept(s, nil)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var f sparse
	source := &ContentSource{Size: size, CRC32: zerosCRC, SM3: sm3Sum, SHA256: sha256Sum,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(zeros{}, size)), nil }}
	must(t, WriteBundle(&f, b, w.keys[RoleReceipt], source))
	r, err := Verify(Input{Bundle: &f, Size: f.size, Trust: w.trust, At: tVerdict.Time()})
	must(t, err)
	runtime.ReadMemStats(&after)

	if r.Verdict != Passed || r.check(CheckContent) != "CONTENT_OK" {
		t.Error(r.Text(English))
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
}

// What openssl, sha256sum and zlib say of 2^32+1 zero bytes.
const (
	zerosSM3    = "c94e95aa9dfce3d88c6db96f4c459289a4c1840280eaa8cc3293cef9d3575dc2"
	zerosSHA256 = "fbb82f7b353676bb562eb82157fcf0ea42c36492ca13ee56dbf82c08b6802c5c"
	zerosCRC    = 0x41d912ff
)
