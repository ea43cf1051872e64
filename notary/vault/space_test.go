package vault

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// TestReserve: an upload ends before the disk is full, whether there was room when it began or not, and leaves nothing.
func TestReserve(t *testing.T) {
	const reserve = 100 << 20
	for name, test := range map[string]struct {
		free   int64 // when the upload begins
		size   int64
		refuse bool
	}{
		"full at once":  {free: reserve - 1, size: 1, refuse: true},
		"full half-way": {free: reserve + 20<<20, size: 60 << 20, refuse: true},
		"just room":     {free: reserve + 30<<20, size: 20 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			v, err := Open(t.Context(), "file://"+dir+"/objects", dir+"/intents", fixedKey{}, Options{Reserve: reserve})
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			var read atomic.Int64
			content := readerFunc(func(p []byte) (int, error) {
				n := min(int64(len(p)), test.size-read.Load())
				if n == 0 {
					return 0, io.EOF
				}
				read.Add(n)
				return int(n), nil
			})
			v.folder.space.free = func(string) (uint64, error) { return uint64(test.free - read.Load()), nil }
			_, err = v.Put(t.Context(), "a", content, 0)
			if refused := errors.Is(err, ErrNoSpace); refused != test.refuse || err != nil && !refused {
				t.Fatalf("got %v", err)
			}
			if !test.refuse {
				return
			}
			if used := read.Load(); test.free > reserve && used > test.free-reserve+10<<20 {
				t.Errorf("%d bytes were taken, with room for %d", used, test.free-reserve)
			}
			for _, pattern := range []string{dir + "/objects/*/*", dir + "/intents/*" + intentSuffix} {
				if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
					t.Errorf("left behind: %q, %v", left, err)
				}
			}
		})
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestRoom(t *testing.T) {
	dir := t.TempDir()
	v, err := Open(t.Context(), "file://"+dir+"/objects", dir+"/intents", fixedKey{}, Options{Reserve: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if err := v.Room(1 << 20); err != nil {
		t.Errorf("on the real disk: %v", err)
	}
	v.folder.space.free = func(string) (uint64, error) { return 1500, nil }
	if err := v.Room(500); err != nil {
		t.Error(err)
	}
	if err := v.Room(501); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	v.folder.space.free = func(string) (uint64, error) { return 0, os.ErrInvalid }
	if err := v.Room(1 << 40); err != nil {
		t.Errorf("a file system that does not know: %v", err)
	}
}

// TestFolderGone: the folder of a node that has had originals is not made anew.
func TestFolderGone(t *testing.T) {
	for name, lose := range map[string]func(dir string) error{
		"removed": func(dir string) error { return os.RemoveAll(dir + "/objects") },
		"not mounted": func(dir string) error {
			return errors.Join(os.Rename(dir+"/objects", dir+"/away"), os.Mkdir(dir+"/objects", 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			open := func() (*Vault, error) {
				return Open(t.Context(), "file://"+dir+"/objects", dir+"/intents", fixedKey{}, Options{})
			}
			reopen := func(v *Vault) *Vault {
				t.Helper()
				if err := v.Close(); err != nil {
					t.Fatal(err)
				}
				v, err := open()
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			v, err := open()
			if err != nil {
				t.Fatal(err)
			}
			if err := lose(dir); err != nil { // there was nothing in it
				t.Fatal(err)
			}
			v = reopen(v)
			if _, err := v.Put(t.Context(), "a", io.LimitReader(zeros{}, 100), 0); err != nil {
				t.Fatal(err)
			}
			v = reopen(v)
			if err := os.Remove(filepath.Join(dir, "intents", usedMark)); err != nil { // as an earlier version left it
				t.Fatal(err)
			}
			v = reopen(v)
			os.RemoveAll(dir + "/away")
			if err := lose(dir); err != nil {
				t.Fatal(err)
			}
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if v, err := open(); !errors.Is(err, ErrFolderGone) {
					t.Errorf("got %v, %v", v, err)
				}
			}
			if err := os.Remove(filepath.Join(dir, "intents", usedMark)); err != nil { // what the error says
				t.Fatal(err)
			}
			if v, err = open(); err != nil {
				t.Fatal(err)
			}
			v.Close()
		})
	}
}
