package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"cunzheng/crypto/sm4"
)

// faultyStore is a driver that fails as told: in the n-th byte, at the end, or at removing.
type faultyStore struct {
	driver.Bucket // nil: the vault needs no more than what is here

	failAfter           int64
	write, close, clear error

	present bool // an object was finished
}

func (s *faultyStore) NewTypedWriter(ctx context.Context, _, _ string, _ *driver.WriterOptions) (driver.Writer, error) {
	return &faultyWriter{ctx: ctx, store: s}, nil
}

func (s *faultyStore) Delete(context.Context, string, *driver.DeleteOptions) error {
	if s.clear != nil {
		return s.clear
	}
	if !s.present {
		return os.ErrNotExist
	}
	s.present = false
	return nil
}

func (s *faultyStore) ErrorCode(err error) gcerrors.ErrorCode {
	if errors.Is(err, os.ErrNotExist) {
		return gcerrors.NotFound
	}
	return gcerrors.Unknown
}
func (s *faultyStore) ErrorAs(error, any) bool { return false }
func (s *faultyStore) Close() error            { return nil }

type faultyWriter struct {
	ctx   context.Context
	store *faultyStore
	n     int64
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	if w.n += int64(len(p)); w.store.write != nil && w.n > w.store.failAfter {
		return 0, w.store.write
	}
	return len(p), nil
}

func (w *faultyWriter) Close() error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	w.store.present = true // "failed but persisted": the worst case
	return w.store.close
}

type fixedKey struct{ fail error }

func (k fixedKey) Wrap(key, additional []byte) ([]byte, error) {
	if k.fail != nil {
		return nil, k.fail
	}
	return sm4.Seal(make([]byte, sm4.KeySize), key, additional)
}

func (k fixedKey) Unwrap(w, additional []byte) ([]byte, error) {
	return sm4.Open(make([]byte, sm4.KeySize), w, additional)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestFailingStore(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	for _, test := range []struct {
		name  string
		store faultyStore
		key   fixedKey
		want  error
		left  bool // Recover has to do the rest
	}{
		{name: "full at once", store: faultyStore{write: full}, want: ErrNoSpace},
		{name: "full in the middle", store: faultyStore{write: full, failAfter: 3 << 20}, want: ErrNoSpace},
		{name: "full at the end", store: faultyStore{close: full}, want: ErrNoSpace},
		{name: "quota", store: faultyStore{write: syscall.EDQUOT}, want: ErrNoSpace},
		{name: "input/output error", store: faultyStore{write: syscall.EIO, failAfter: 1 << 20}, want: syscall.EIO},
		{name: "error at the end, and at removing", store: faultyStore{close: syscall.EIO, clear: syscall.EIO}, want: syscall.EIO, left: true},
		{name: "key not wrapped", key: fixedKey{fail: io.ErrClosedPipe}, want: io.ErrClosedPipe},
	} {
		t.Run(test.name, func(t *testing.T) {
			in, err := openIntents(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			v := &Vault{bucket: blob.NewBucket(&test.store), intents: in, wrap: test.key, logger: slog.New(slog.DiscardHandler)}
			if _, err := v.Put(t.Context(), "a", io.LimitReader(zeros{}, 5<<20), 0); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if got := len(v.Pending()) > 0; got != test.left || test.store.present != test.left {
				t.Errorf("pending: %v, object there: %v; want %v", got, test.store.present, test.left)
			}
			test.store.clear = nil
			if err := v.Recover(t.Context(), func(string) (bool, error) { return false, nil }); err != nil {
				t.Fatal(err)
			}
			files, err := os.ReadDir(in.dir)
			if err != nil || len(files) > 0 || test.store.present {
				t.Errorf("left behind: %v, %v, object: %v", files, err, test.store.present)
			}
		})
	}
}

// TestFullDisk fills a real, small file system.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	v, err := Open(t.Context(), "file://"+dir+"/objects", dir+"/intents", fixedKey{}, Options{Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if _, err := v.Put(t.Context(), "big", io.LimitReader(zeros{}, 20<<20), 0); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("got %v", err)
	}
	if left, err := filepath.Glob(dir + "/*/*/*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if left, err := filepath.Glob(dir + "/intents/*" + intentSuffix); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	if _, err := v.Put(t.Context(), "small", io.LimitReader(zeros{}, 1<<20), 0); err != nil {
		t.Fatalf("after the disk was full: %v", err)
	}
}

// TestKilledWriter: what a killed process leaves of a local upload is a temporary file and an intent.
func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	open := func() *Vault {
		v, err := Open(t.Context(), "file://"+dir+"/objects", dir+"/intents", fixedKey{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { v.Close() })
		return v
	}
	v := open()
	if err := v.intents.begin("a"); err != nil {
		t.Fatal(err)
	}
	s, err := v.create(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(s, "half of it"); err != nil {
		t.Fatal(err)
	}
	defer s.abort()
	if left, _ := filepath.Glob(dir + "/objects/*/*"); len(left) != 1 {
		t.Fatalf("temporary files: %q", left)
	}
	v = open() // as after kill -9
	if err := v.Recover(t.Context(), func(string) (bool, error) { return false, nil }); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(dir + "/*/*/*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
