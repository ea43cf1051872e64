package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/tlog"
)

func TestCreateAndOpen(t *testing.T) {
	o := testOptions(t)
	dir := t.TempDir() + "/log"
	if _, err := Open(dir, o); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open of nothing: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, o); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open of an empty folder: %v", err)
	}
	if err := Fsck(context.Background(), dir, o, func(Difference) {}); !errors.Is(err, ErrNotFound) {
		t.Errorf("Fsck of an empty folder: %v", err)
	}
	if err := Create(dir, o); err != nil {
		t.Fatal(err)
	}
	if err := Create(dir, o); !errors.Is(err, ErrExists) {
		t.Errorf("second Create: %v", err)
	}
	l := openLog(t, dir, o)
	head := l.Latest()
	if head.Size != 0 || head.Root != tlog.EmptyRoot() || head.Origin != testOrigin {
		t.Errorf("latest %+v", head.Checkpoint)
	}
	if at, err := l.CheckpointAt(0); err != nil || !bytes.Equal(at.Note, head.Note) {
		t.Errorf("%v, %v", at, err)
	}
	if _, _, err := l.Find(Query{Kind: 1, Limit: 1}); err != nil {
		t.Error(err)
	}
	if _, _, err := l.LatestAnchor(); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	wantClean(t, l)
	if err := Create(dir, o); !errors.Is(err, ErrLocked) {
		t.Errorf("Create while open: %v", err)
	}
	if err := Fsck(context.Background(), dir, o, func(Difference) {}); !errors.Is(err, ErrLocked) {
		t.Errorf("Fsck while open: %v", err)
	}
	closeLog(t, l)

	for name, change := range map[string]func(*Options){
		"other origin": func(o *Options) { o.Origin = "other.example" },
		"no signer":    func(o *Options) { o.Signer = nil },
		"other key":    func(o *Options) { o.Signer = testKey(t) },
		"bad origin":   func(o *Options) { o.Origin = "a b" },
	} {
		other := o
		change(&other)
		if l, err := Open(dir, other); err == nil {
			closeLog(t, l)
			t.Errorf("%s: opened", name)
		} else if strings.HasPrefix(name, "other") && Create(t.TempDir()+"/x", other) != nil {
			t.Errorf("%s: not created", name)
		}
	}
	renamed := o
	renamed.Origin = "other.example"
	var name *OriginError
	if err := second(Open(dir, renamed)); !errors.As(err, &name) || name.Log != testOrigin || name.Want != "other.example" {
		t.Errorf("under another name: %v", err)
	}
	closeLog(t, openLog(t, dir, o))
}

// TestLockedByAnotherProcess opens a log that a child holds.
func TestLockedByAnotherProcess(t *testing.T) {
	o := testOptions(t)
	dir := t.TempDir() + "/log"
	if err := Create(dir, o); err != nil {
		t.Fatal(err)
	}
	l := openLog(t, dir, o)
	_, stderr := runChild(t, dir, o.Signer.(*sm2.PrivateKey), 0, 1e10, 0, false)
	if !strings.Contains(stderr, ErrLocked.Error()) {
		t.Errorf("the second process says %q", stderr)
	}
	closeLog(t, l)
}

// TestCreateInterrupted takes the power away right after the database was made,
// before the log was.
func TestCreateInterrupted(t *testing.T) {
	o := testOptions(t)
	o.FS = vfs.NewMem()
	if err := o.FS.MkdirAll("/log", 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := openStore("/log", o.withDefaults(), storeEvents{log: o.withDefaults().Logger}, orExisting)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("/log", o); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open: %v", err)
	}
	if err := Create("/log", o); err != nil {
		t.Fatal(err)
	}
	closeLog(t, openLog(t, "/log", o))
}

// TestCreateInForeignDatabase leaves the rows of others alone.
func TestCreateInForeignDatabase(t *testing.T) {
	o := testOptions(t)
	o.FS = vfs.NewMem()
	db, err := pebble.Open("/log", &pebble.Options{FS: o.FS})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte("theirs"), nil, pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	if err := Create("/log", o); !errors.Is(err, ErrExists) {
		t.Errorf("Create: %v", err)
	}
	if _, err := Open("/log", o); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open: %v", err)
	}
}

func TestAnchors(t *testing.T) {
	o := testOptions(t)
	o.FS = vfs.NewMem()
	l, dir := newLog(t, o)
	for i := range uint64(5) {
		mustAppend(t, l, testEntry(i, 40))
	}
	for size, proof := range map[uint64]string{2: "two", 4: "four"} {
		if err := l.PutAnchor(size, []byte(proof)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.PutAnchor(2, []byte("two again")); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	l = openLog(t, dir, o)
	defer closeLog(t, l)
	for _, tt := range []struct {
		min, size uint64
		proof     string
	}{{0, 2, "two again"}, {2, 2, "two again"}, {3, 4, "four"}, {4, 4, "four"}} {
		if size, proof, err := l.Anchor(tt.min); size != tt.size || string(proof) != tt.proof || err != nil {
			t.Errorf("anchor from %d: %d %q %v", tt.min, size, proof, err)
		}
	}
	if size, proof, err := l.LatestAnchor(); size != 4 || string(proof) != "four" || err != nil {
		t.Errorf("latest: %d %q %v", size, proof, err)
	}
	if _, _, err := l.Anchor(5); !errors.Is(err, ErrNotFound) {
		t.Errorf("anchor from 5: %v", err)
	}
	wantClean(t, l)
}

// TestEraseDuringFsck: a check keeps a view of the log in which the data still is, so an erasure is not done before the
// check is, and says so when it may not wait.
func TestEraseDuringFsck(t *testing.T) {
	o := testOptions(t)
	checking, goOn := make(chan struct{}), make(chan struct{})
	var hold atomic.Bool
	o.Progress = func(string, uint64, uint64) {
		if hold.CompareAndSwap(true, false) {
			close(checking)
			<-goOn
		}
	}
	l, dir := newLog(t, o)
	defer closeLog(t, l)
	secret := make([]byte, 100)
	rand.Read(secret)
	e := testEntry(1, 40)
	e.Private = secret
	mustAppend(t, l, e)
	if err := l.store.db.Flush(); err != nil {
		t.Fatal(err)
	}
	hold.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() { wantClean(t, l) })
	<-checking
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := l.ErasePrivate(short, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while a check goes on: %v, want the end of the context", err)
	}
	if _, err := l.Private(0); !errors.Is(err, ErrNotFound) {
		t.Errorf("private: %v", err)
	}
	close(goOn)
	wg.Wait()
	if err := l.ErasePrivate(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return !inTables(t, dir, secret) })
}

// inTables reports whether a table file of the log holds the middle of a secret.
func inTables(t *testing.T, dir string, secret []byte) (found bool) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.sst")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		found = found || bytes.Contains(content, secret[10:50])
	}
	return found
}

// TestErasePrivate looks into the files for what was erased.
func TestErasePrivate(t *testing.T) {
	o := testOptions(t)
	l, dir := newLog(t, o)
	ctx := context.Background()
	secrets := make([][]byte, 20)
	for i := range secrets {
		secrets[i] = make([]byte, 100) // random, so that it is stored as it is
		rand.Read(secrets[i])
		e := testEntry(uint64(i), 40)
		e.Private = secrets[i]
		mustAppend(t, l, e)
	}
	if err := l.store.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if !inTables(t, dir, secrets[7]) {
		t.Fatal("the test cannot see what is stored")
	}
	if err := l.ErasePrivate(ctx, 7); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Private(7); !errors.Is(err, ErrNotFound) {
		t.Errorf("private after erasure: %v", err)
	}
	waitFor(t, func() bool { return !inTables(t, dir, secrets[7]) }) // Pebble removes old files in the background
	if got, err := l.Private(8); err != nil || !bytes.Equal(got, secrets[8]) {
		t.Errorf("its neighbour: %v", err)
	}
	if err := l.ErasePrivate(ctx, 7); err != nil {
		t.Errorf("again: %v", err)
	}
	if err := l.ErasePrivate(ctx, 20); !errors.Is(err, ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
	wantClean(t, l)
	closeLog(t, l)
	l = openLog(t, dir, o)
	if _, err := l.Private(7); !errors.Is(err, ErrNotFound) {
		t.Errorf("private after erasure and restart: %v", err)
	}
	closeLog(t, l)
}
