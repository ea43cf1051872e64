package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"cunzheng/crypto/sm3"
	"cunzheng/crypto/sm4"
	"cunzheng/notary/vault"
)

// masterKey wraps as the keystore does: sealed under one key, bound to the additional data.
type masterKey [sm4.KeySize]byte

func newMasterKey() *masterKey {
	var k masterKey
	rand.Read(k[:])
	return &k
}

func (k *masterKey) Wrap(key, additional []byte) ([]byte, error) {
	return sm4.Seal(k[:], key, additional)
}
func (k *masterKey) Unwrap(w, additional []byte) ([]byte, error) {
	return sm4.Open(k[:], w, additional)
}

type testVault struct {
	*vault.Vault
	objects, intents string
	key              *masterKey
}

func openFolder(t testing.TB) *testVault {
	t.Helper()
	dir := t.TempDir()
	tv := &testVault{objects: filepath.Join(dir, "objects"), intents: filepath.Join(dir, "intents"), key: newMasterKey()}
	tv.reopen(t)
	return tv
}

// reopen is what a restart does.
func (tv *testVault) reopen(t testing.TB) {
	t.Helper()
	v, err := vault.Open(t.Context(), "file://"+tv.objects, tv.intents, tv.key, vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	tv.Vault = v
}

// files lists everything below the folders of the vault.
func (tv *testVault) files(t testing.TB) []string {
	t.Helper()
	var names []string
	for _, root := range []string{tv.objects, tv.intents} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && d.Name() != "originals-used" {
				names = append(names, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

func (tv *testVault) wantEmpty(t testing.TB) {
	t.Helper()
	if left := tv.files(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func content(n int) []byte {
	p := make([]byte, n)
	source := mrand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	source.Read(p)
	return p
}

func wantObject(id string, p []byte) vault.Object {
	return vault.Object{ID: id, Size: int64(len(p)), CRC32: crc32.ChecksumIEEE(p), SM3: sm3.Sum(p), SHA256: sha256.Sum256(p)}
}

func put(t testing.TB, v *vault.Vault, id string, p []byte) {
	t.Helper()
	o, err := v.Put(t.Context(), id, bytes.NewReader(p), 0)
	if err != nil {
		t.Fatal(err)
	}
	if *o != wantObject(id, p) {
		t.Fatalf("Put(%s) = %+v, want %+v", id, *o, wantObject(id, p))
	}
	if err := v.Commit(id); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, v *vault.Vault, id string) ([]byte, vault.Object, error) {
	t.Helper()
	r, err := v.Open(t.Context(), id)
	if err != nil {
		return nil, vault.Object{}, err
	}
	p, err := io.ReadAll(r)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	return p, r.Object, err
}

// wantRest reads an object from a byte on.
func wantRest(t testing.TB, v *vault.Vault, id string, first int64, want []byte) {
	t.Helper()
	r, err := v.OpenFrom(t.Context(), id, first)
	if err != nil {
		t.Fatalf("OpenFrom(%s, %d): %v", id, first, err)
	}
	p, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(p, want) {
		t.Fatalf("OpenFrom(%s, %d): %d bytes, want %d; %v", id, first, len(p), len(want), err)
	}
}

func wantContent(t testing.TB, v *vault.Vault, id string, want []byte) {
	t.Helper()
	p, o, err := get(t, v, id)
	if err != nil {
		t.Fatalf("Open(%s): %v", id, err)
	}
	if !bytes.Equal(p, want) || o != wantObject(id, want) {
		t.Fatalf("Open(%s): %d bytes and %+v, want %d bytes", id, len(p), o, len(want))
	}
	size := int64(len(want))
	for _, first := range []int64{1, size / 2, size - 1, sm4.ChunkSize - 1, sm4.ChunkSize, sm4.ChunkSize + 1, size - size%sm4.ChunkSize} {
		if first > 0 && first < size {
			wantRest(t, v, id, first, want[first:])
		}
	}
	for _, outside := range []int64{-1, size, size + 1} {
		if r, err := v.OpenFrom(t.Context(), id, outside); err == nil && outside != 0 {
			t.Errorf("OpenFrom(%s, %d): no error", id, outside)
			r.Close()
		}
	}
}

func TestRoundTrip(t *testing.T) {
	v := openFolder(t)
	for _, n := range []int{0, 1, 15, sm4.ChunkSize - 1, sm4.ChunkSize, sm4.ChunkSize + 1, 256 << 10, 256<<10 + 1, 5<<20 + 7} {
		id := fmt.Sprintf("n-%d", n)
		put(t, v.Vault, id, content(n))
		wantContent(t, v.Vault, id, content(n))
	}
	for _, path := range v.files(t) {
		if strings.HasPrefix(path, v.intents) {
			t.Errorf("an intent is left: %s", path)
		}
		if strings.HasSuffix(path, ".attrs") || strings.HasSuffix(path, ".tmp") {
			t.Errorf("not an object: %s", path)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v; want 0600", path, info.Mode(), err)
		}
	}
	v.reopen(t)
	wantContent(t, v.Vault, "n-1", content(1))
}

func TestDigest(t *testing.T) {
	p := content(700_001)
	o, err := vault.Digest(t.Context(), iotest.HalfReader(bytes.NewReader(p)), 0)
	if err != nil || *o != wantObject("", p) {
		t.Fatalf("Digest = %+v, %v", o, err)
	}
}

func TestPlaintextDoesNotReachTheDisk(t *testing.T) {
	v := openFolder(t)
	secret := bytes.Repeat([]byte("机密 secret "), 10_000)
	put(t, v.Vault, "a", secret)
	for _, path := range v.files(t) {
		stored, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(stored, []byte("secret")) {
			t.Errorf("%s holds plaintext", path)
		}
	}
}

func TestLimit(t *testing.T) {
	v := openFolder(t)
	p := content(300_000)
	if _, err := v.Put(t.Context(), "a", bytes.NewReader(p), int64(len(p))-1); !errors.Is(err, vault.ErrTooLarge) {
		t.Fatalf("one byte too many: %v", err)
	}
	v.wantEmpty(t)
	if _, err := v.Put(t.Context(), "a", bytes.NewReader(p), int64(len(p))); err != nil {
		t.Fatalf("exactly the limit: %v", err)
	}
}

// TestBrokenUpload: what an HTTP body reports when the client goes away is io.ErrUnexpectedEOF, which must never pass
// for the end of the file.
func TestBrokenUpload(t *testing.T) {
	v := openFolder(t)
	for _, cause := range []error{io.ErrUnexpectedEOF, errors.New("connection reset")} {
		for _, n := range []int{0, 10, 256 << 10, 3 << 20} {
			r := io.MultiReader(bytes.NewReader(content(n)), iotest.ErrReader(cause))
			_, err := v.Put(t.Context(), "a", r, 0)
			if source, ok := errors.AsType[*vault.SourceError](err); !ok || !errors.Is(source, cause) {
				t.Fatalf("after %d bytes: %v, want a SourceError of %v", n, err, cause)
			}
			v.wantEmpty(t)
		}
	}
}

func TestCancelledUpload(t *testing.T) {
	v := openFolder(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(bytes.NewReader(content(1<<20)), readerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }))
	if _, err := v.Put(ctx, "a", r, 0); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	v.wantEmpty(t)
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestReaderWithoutProgress(t *testing.T) {
	v := openFolder(t)
	_, err := v.Put(t.Context(), "a", readerFunc(func([]byte) (int, error) { return 0, nil }), 0)
	if !errors.Is(err, io.ErrNoProgress) {
		t.Fatalf("got %v", err)
	}
	v.wantEmpty(t)
}

func TestIDs(t *testing.T) {
	v := openFolder(t)
	for _, id := range []string{"", ".", "..", "../a", "a/b", ".hidden", "a b", "a\x00", "存证", strings.Repeat("a", 129)} {
		if _, err := v.Put(t.Context(), id, bytes.NewReader(nil), 0); err == nil {
			t.Errorf("Put accepts the id %q", id)
		}
		if _, err := v.Open(t.Context(), id); err == nil {
			t.Errorf("Open accepts the id %q", id)
		}
	}
	v.wantEmpty(t)
}

func TestAnObjectIsNeverReplaced(t *testing.T) {
	v := openFolder(t)
	put(t, v.Vault, "a", []byte("first"))
	if _, err := v.Put(t.Context(), "a", strings.NewReader("second"), 0); !errors.Is(err, vault.ErrExists) {
		t.Fatalf("got %v", err)
	}
	wantContent(t, v.Vault, "a", []byte("first"))
}

func TestNotFound(t *testing.T) {
	v := openFolder(t)
	if _, err := v.Open(t.Context(), "none"); !errors.Is(err, vault.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}

// TestEveryByteCounts flips one bit at every position of a small object and at many of a larger one, and cuts it off
// everywhere: it never opens to the end.
func TestEveryByteCounts(t *testing.T) {
	for _, n := range []int{0, 100, 2*sm4.ChunkSize + 100} {
		v := openFolder(t)
		put(t, v.Vault, "a", content(n))
		path := v.files(t)[0]
		genuine, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		step := 1 + len(genuine)/1000
		for i := 0; i < len(genuine); i += step {
			damaged := bytes.Clone(genuine)
			damaged[i] ^= 1 << (i % 8)
			wantCorrupt(t, v, path, damaged, "bit flip at %d of %d", i, len(genuine))
			wantCorrupt(t, v, path, genuine[:i], "cut off at %d of %d", i, len(genuine))
		}
		wantCorrupt(t, v, path, append(bytes.Clone(genuine), 0), "a byte more")
		if n > sm4.ChunkSize {
			chunk := sm4.ChunkSize + 16
			start := len(genuine) - 104 - int(sm4.SealedSize(int64(n)))
			swapped := bytes.Clone(genuine)
			copy(swapped[start:], genuine[start+chunk:start+2*chunk])
			copy(swapped[start+chunk:], genuine[start:start+chunk])
			wantCorrupt(t, v, path, swapped, "chunks swapped")
		}
	}
}

func wantCorrupt(t *testing.T, v *testVault, path string, stored []byte, format string, args ...any) {
	t.Helper()
	if err := os.WriteFile(path, stored, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(t, v.Vault, "a"); !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf(format+": %v, want ErrCorrupt", append(args, err)...)
	}
}

func TestSwappedObjects(t *testing.T) {
	v := openFolder(t)
	put(t, v.Vault, "a", []byte("of a"))
	put(t, v.Vault, "b", []byte("of b"))
	var paths []string
	for _, p := range v.files(t) {
		if filepath.Base(p) == "a" || filepath.Base(p) == "b" {
			paths = append(paths, p)
		}
	}
	first, second := paths[0], paths[1]
	for _, move := range [][2]string{{first, first + ".x"}, {second, first}, {first + ".x", second}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"a", "b"} {
		if _, _, err := get(t, v.Vault, id); !errors.Is(err, vault.ErrCorrupt) {
			t.Errorf("object of the other id under %s: %v", id, err)
		}
	}
}

func TestForeignMasterKey(t *testing.T) {
	v := openFolder(t)
	put(t, v.Vault, "a", []byte("x"))
	v.key = newMasterKey()
	v.reopen(t)
	if _, err := v.Open(t.Context(), "a"); !errors.Is(err, vault.ErrCorrupt) {
		t.Fatalf("got %v", err)
	}
}

func TestConcurrentPuts(t *testing.T) {
	v := openFolder(t)
	var group sync.WaitGroup
	for i := range 24 {
		group.Go(func() {
			id, p := fmt.Sprintf("c-%d", i), content(i*50_000)
			put(t, v.Vault, id, p)
			wantContent(t, v.Vault, id, p)
		})
	}
	group.Wait()
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, u := range []string{"", "x", "file://relative/x", "file:///x?create_dir=1", "http://h/b", "s3://user:secret@bucket", "mem://",
		"s3://key:sec/secret@bucket", "s3://key:%zzsecret@bucket", "s3:key:secret@bucket", "https://secret:x@h/b", "secret:x@h", "s3://b\x7f?x=secret",
		"file://secret@/x", "file:///x?key=secret", "s3://bucket?endpoint=https://key:secret@host", "s3://bucket?endpoint=https://key:secret%2fx@host",
		"s3://bucket?role=secret", "s3://bucket?disable_https=secret", "s3://bucket?request_checksum_calculation=secret", "s3://bucket?ssetype=secret"} {
		v, err := vault.Open(t.Context(), u, filepath.Join(dir, "i"), newMasterKey(), vault.Options{})
		if err == nil {
			t.Errorf("Open accepts %q", u)
			v.Close()
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error of %q tells the secret: %v", u, err)
		}
	}
}
