package evidence

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// refused fails the test if a changed bundle passes.
func (w *world) refused(what string, bundle []byte) {
	w.t.Helper()
	if r := w.verify(bundle); r.Verdict == Passed {
		w.t.Errorf("%s: passed", what)
	}
}

// TestMutations changes every byte of a full bundle, cuts it at every length, and adds to it: never PASSED.
func TestMutations(t *testing.T) {
	w := newWorld(t)
	bundle := w.fullBundle()
	if r := w.verify(bundle); r.Verdict != Passed {
		t.Fatalf("the unchanged bundle: %s", r.Verdict)
	}
	masks := []byte{0x01, 0x80, 0xff}
	if testing.Short() {
		masks = masks[:1]
	}
	var workers sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			changed := slices.Clone(bundle)
			for i := worker; i < len(bundle); i += runtime.GOMAXPROCS(0) {
				for _, mask := range masks {
					changed[i] ^= mask
					w.refused(fmt.Sprintf("byte %d with mask %02x", i, mask), changed)
					changed[i] = bundle[i]
				}
				w.refused(fmt.Sprintf("cut to %d bytes", i), bundle[:i])
			}
		})
	}
	workers.Wait()
	for _, n := range []int{1, 22, 1000} {
		w.refused("zeros behind", append(slices.Clone(bundle), make([]byte, n)...))
		w.refused("zeros before", append(make([]byte, n), bundle...))
	}
	w.refused("twice", append(slices.Clone(bundle), bundle...))
}

// unpack reads a bundle with the standard library's reader, an outside judge of its form.
func unpack(t testing.TB, bundle []byte) []file {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	must(t, err)
	var files []file
	for _, f := range z.File {
		r, err := f.Open()
		must(t, err)
		data, err := io.ReadAll(r)
		must(t, err)
		files = append(files, file{f.Name, data})
	}
	return files
}

// pack writes files as our container does, whatever they are.
func pack(t testing.TB, files []file) []byte {
	t.Helper()
	var entries []zipEntry
	for _, f := range files {
		entries = append(entries, zipEntry{name: f.name, size: int64(len(f.data)), crc: crc32.ChecksumIEEE(f.data)})
	}
	tail, _, err := layOut(entries)
	must(t, err)
	var out []byte
	for i, f := range files {
		out = append(append(out, entries[i].local()...), f.data...)
	}
	return append(out, tail...)
}

// TestContainerTricks packs the files of a good bundle in other ways: never PASSED.
func TestContainerTricks(t *testing.T) {
	w := newWorld(t)
	bundle := w.fullBundle()
	files := unpack(t, bundle)
	if !bytes.Equal(pack(t, files), bundle) {
		t.Fatal("packing again gives other bytes")
	}
	last := len(files) - 1
	renamed := func(i int, name string) []file {
		f := slices.Clone(files)
		f[i].name = name
		return f
	}
	changes := map[string][]file{
		"inserted entry":       slices.Insert(slices.Clone(files), 5, file{"extra.txt", []byte("x")}),
		"appended entry":       append(slices.Clone(files), file{"extra.txt", nil}),
		"second original":      append(slices.Clone(files), file{"content/second", nil}),
		"folder entry":         slices.Insert(slices.Clone(files), last, file{"content/", nil}),
		"repeated entry":       slices.Insert(slices.Clone(files), 4, files[3]),
		"repeated original":    append(slices.Clone(files), files[last]),
		"original without":     files[:last],
		"README missing":       slices.Delete(slices.Clone(files), last-1, last),
		"proof missing":        slices.Delete(slices.Clone(files), 5, 6),
		"disclosures missing":  slices.Delete(slices.Clone(files), 6, 7),
		"signature missing":    slices.Delete(slices.Clone(files), 2, 3),
		"absolute path":        renamed(last, "/etc/passwd"),
		"parent path":          renamed(last, "content/../x"),
		"parent":               renamed(last, "content/.."),
		"backslash":            renamed(last, `content/..\x`),
		"empty name":           renamed(last, "content/"),
		"control character":    renamed(last, "content/a\x1b[2J"),
		"other name":           renamed(last, "content/other.pdf"),
		"unnamed":              renamed(last, "content/original"),
		"upper case":           renamed(3, "Statement.json"),
		"other place of proof": renamed(5, "META-INF/proof.json"),
		"empty":                nil,
		"mimetype only":        files[:1],
	}
	for i := range files[:last] {
		f := slices.Clone(files)
		f[i], f[i+1] = f[i+1], f[i]
		changes[fmt.Sprintf("entries %d and %d swapped", i, i+1)] = f
		f = slices.Clone(files)
		f[i].data = append(slices.Clone(f[i].data), '\n')
		changes["longer "+f[i].name] = f
		f = slices.Clone(files)
		f[i].data = nil
		changes["empty "+f[i].name] = f
	}
	for what, f := range changes {
		w.refused(what, pack(t, f))
	}

	// The same files in other zip dialects.
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range files {
		e, err := z.Create(f.name) // deflated, with a data descriptor
		must(t, err)
		_, err = e.Write(f.data)
		must(t, err)
	}
	must(t, z.Close())
	w.refused("compressed", out.Bytes())

	commented := slices.Clone(bundle)
	binary.LittleEndian.PutUint16(commented[len(commented)-2:], 4)
	w.refused("comment", append(commented, "note"...))
	w.refused("zip bomb", bomb(t))
}

// bomb returns a zip file whose entries claim sizes that are not there.
func bomb(t *testing.T) []byte {
	t.Helper()
	entries := []zipEntry{{name: fileMimetype, size: 1 << 30}, {name: fileManifest, size: 1 << 31}, {name: folderContent + "x", size: 1 << 50}}
	tail, _, err := layOut(entries)
	must(t, err)
	return append(entries[0].local(), tail...)
}

// TestWrongCRC holds that the CRCs in the headers count, for those who unpack with other tools.
func TestWrongCRC(t *testing.T) {
	w := newWorld(t)
	bundle := w.fullBundle()
	files := unpack(t, bundle)
	for i, f := range files {
		var entries []zipEntry
		for j, g := range files {
			e := zipEntry{name: g.name, size: int64(len(g.data)), crc: crc32.ChecksumIEEE(g.data)}
			if i == j {
				e.crc++
			}
			entries = append(entries, e)
		}
		tail, _, err := layOut(entries)
		must(t, err)
		var out []byte
		for j, g := range files {
			out = append(append(out, entries[j].local()...), g.data...)
		}
		r := w.verify(append(out, tail...))
		if r.Verdict != Failed || r.check(CheckContainer) != "CONTAINER_FORM" {
			t.Errorf("wrong CRC of %s: %s, %s", f.name, r.Verdict, r.check(CheckContainer))
		}
	}
}

// TestStockUnzip holds that unzip and Python read a bundle.
func TestStockUnzip(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "bundle.zip")
	must(t, os.WriteFile(path, w.fullBundle(), 0o600))
	for _, command := range [][]string{{"unzip", "-tq", path}, {"python3", "-m", "zipfile", "-t", path}} {
		if _, err := exec.LookPath(command[0]); err != nil {
			t.Logf("no %s here", command[0])
			continue
		}
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", command, err, out)
		}
	}
}

// TestNewerFormats holds that a bundle of a later version is undecided, not false.
func TestNewerFormats(t *testing.T) {
	w := newWorld(t)
	files := unpack(t, w.fullBundle())
	for i, change := range map[int][2]string{
		0: {MediaTypeBundle, "application/vnd.etsi.asic-e+zip"},
		1: {SchemaManifest, "cunzheng/manifest/v2"},
	} {
		f := slices.Clone(files)
		f[i].data = []byte(strings.Replace(string(f[i].data), change[0], change[1], 1))
		r := w.verify(pack(t, f))
		if r.Verdict != Indeterminate || r.check(CheckContainer) != "FORMAT_NEWER" {
			t.Errorf("%s: %s, %s", change[1], r.Verdict, r.check(CheckContainer))
		}
	}
}

func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	full, plain := w.fullBundle(), w.write(w.accept(testStatement(), nil), nil)
	f.Add(full)
	f.Add(plain)
	f.Add(full[:len(full)/2])
	f.Fuzz(func(t *testing.T, bundle []byte) {
		r, err := Verify(Input{Bundle: bytes.NewReader(bundle), Size: int64(len(bundle)), Trust: w.trust, At: tVerdict.Time()})
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict == Passed && !bytes.Equal(bundle, full) && !bytes.Equal(bundle, plain) {
			t.Error("a bundle passed that nobody made")
		}
		if _, err := r.Encode(); err != nil {
			t.Error(err)
		}
		r.Text(Chinese)
	})
}

func FuzzParse(f *testing.F) {
	w := newWorld(f)
	for _, file := range unpack(f, w.fullBundle()) {
		f.Add(file.data)
	}
	for _, s := range registryStatements(w) {
		data, err := s.Encode()
		must(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		again := func(what string, encoded []byte, err error) {
			if err != nil || !bytes.Equal(encoded, data) {
				t.Errorf("%s re-encodes as %s, %v", what, encoded, err)
			}
		}
		if s, err := ParseStatement(data); err == nil {
			encoded, err := s.Encode()
			again("statement", encoded, err)
			s.Terms()
		}
		if r, err := ParseReceipt(data); err == nil {
			encoded, err := r.Encode()
			again("receipt", encoded, err)
		}
		if p, err := ParseProof(data); err == nil {
			encoded, err := p.Encode()
			again("proof", encoded, err)
		}
		if d, err := ParseDisclosures(data); err == nil {
			encoded, err := EncodeDisclosures(d)
			again("disclosures", encoded, err)
		}
		if m, err := parseManifest(data); err == nil {
			encoded, err := m.encode()
			again("manifest", encoded, err)
		}
		if trust, err := ParseTrust(data); err == nil {
			encoded, err := trust.Encode()
			if err != nil {
				t.Errorf("trust: %v", err)
			} else if back, err := ParseTrust(encoded); err != nil {
				t.Errorf("trust: %v", err)
			} else if second, err := back.Encode(); err != nil || !bytes.Equal(encoded, second) {
				t.Errorf("trust re-encodes as %s, %v", second, err)
			}
		}
	})
}
