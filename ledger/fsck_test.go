package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// damagedLog makes a log of 600 entries, changes its rows behind its back, and
// returns what Fsck says and what Open says.
func damagedLog(t *testing.T, change func(b *pebble.Batch, get func(key []byte) []byte, o Options)) (differences []Difference, opened error) {
	t.Helper()
	o := testOptions(t)
	o.FS = vfs.NewMem()
	l, dir := newLog(t, o)
	entries := make([]Entry, 600)
	for i := range entries {
		entries[i] = testEntry(uint64(i), 40)
	}
	entries[3].Private = []byte("private")
	for _, part := range [][]Entry{entries[:100], entries[100:512], entries[512:]} {
		if _, err := l.AppendAll(context.Background(), part); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.PutAnchor(100, []byte("proof")); err != nil {
		t.Fatal(err)
	}
	wantClean(t, l)
	closeLog(t, l)

	s, err := openStore(dir, o.withDefaults(), storeEvents{log: o.withDefaults().Logger}, existing)
	if err != nil {
		t.Fatal(err)
	}
	b := s.db.NewBatch()
	change(b, func(key []byte) []byte {
		t.Helper()
		value, err := get(s.db, key)
		if err != nil {
			t.Fatalf("%x: %v", key, err)
		}
		return value
	}, o)
	if err := errors.Join(s.commit(b), s.close()); err != nil {
		t.Fatal(err)
	}

	if err := Fsck(context.Background(), dir, o, func(d Difference) { differences = append(differences, d) }); err != nil {
		t.Fatal(err)
	}
	l, opened = Open(dir, o)
	if opened == nil {
		var online []Difference
		if err := l.Fsck(context.Background(), func(d Difference) { online = append(online, d) }); err != nil {
			t.Fatal(err)
		}
		if len(online) != len(differences) {
			t.Errorf("%d differences while open, %d while closed", len(online), len(differences))
		}
		closeLog(t, l)
	}
	return differences, opened
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

func TestFsckFindsEverything(t *testing.T) {
	type change = func(b *pebble.Batch, get func([]byte) []byte, o Options)
	term := func(serial uint64, kind int) []byte {
		e := testEntry(serial, 40)
		return appendTermKey(nil, e.Terms[kind-1], serial)
	}
	unique := func(serial uint64) []byte { return appendUniqueKey(nil, testEntry(serial, 40).Unique) }
	for _, tt := range []struct {
		name   string
		change change
		want   []string // kinds and keys, each once
		opens  bool
	}{
		{"nothing", func(b *pebble.Batch, get func([]byte) []byte, o Options) {}, nil, true},
		{"term missing", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Delete(term(17, kindSM3), nil)
		}, []string{"missing term kind 2 value"}, true},
		{"term of another entry", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(appendTermKey(nil, testEntry(17, 40).Terms[1], 18), nil, nil)
		}, []string{"extra term kind 2 value"}, true},
		{"term of no entry", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(appendTermKey(nil, Term{200, []byte("x")}, 5), nil, nil)
		}, []string{"extra term kind 200 value 78 entry 5"}, true},
		{"term with a value", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(term(17, kindNumber), []byte("?"), nil)
		}, []string{"wrong term kind 1 value 0000000000000011 entry 17"}, true},
		{"first and last term missing", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Delete(term(0, kindNumber), nil)
			b.Delete(term(599, kindNumber), nil)
		}, []string{"missing term kind 1 value 0000000000000000 entry 0", "missing term kind 1 value 0000000000000257 entry 599"}, true},
		{"unique missing", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Delete(unique(300), nil)
		}, []string{"missing unique"}, true},
		{"unique wrong", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(unique(300), appendNumber(nil, 301), nil)
		}, []string{"wrong unique"}, true},
		{"unique extra", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(appendUniqueKey(nil, []byte("nobody")), appendNumber(nil, 301), nil)
		}, []string{"extra unique"}, true},
		{"entry changed", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(numberKey(rowEntry, 200), flipped(get(numberKey(rowEntry, 200)), 39), nil)
		}, []string{"wrong tile tile/0/000", "wrong checkpoint 512", "wrong checkpoint 600", "missing term kind 2", "missing term kind 3", "extra term kind 2", "extra term kind 3"}, true},
		{"last entry changed", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(numberKey(rowEntry, 599), flipped(get(numberKey(rowEntry, 599)), 39), nil)
		}, []string{"wrong checkpoint 600", "missing term kind 2", "missing term kind 3", "extra term kind 2", "extra term kind 3"}, false},
		{"entry not readable", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(numberKey(rowEntry, 2), []byte("short"), nil)
		}, []string{"wrong entry 2", "wrong tile tile/0/000", "wrong checkpoint 100", "wrong checkpoint 512", "wrong checkpoint 600",
			"extra term kind 1", "extra term kind 2", "extra term kind 3", "extra term kind 4", "extra unique"}, true},
		{"entry missing", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Delete(numberKey(rowEntry, 200), nil)
		}, []string{"missing entry 200", "extra term kind 1", "extra term kind 2", "extra term kind 3", "extra term kind 4", "extra unique"}, true},
		{"entries missing", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.DeleteRange(numberKey(rowEntry, 200), numberKey(rowEntry, 202), nil)
		}, slices.Concat([]string{"missing entry 200 to 201"}, slices.Repeat([]string{"extra term", "extra term", "extra term", "extra term", "extra unique"}, 2)), true},
		{"malformed entry keys", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set([]byte{rowEntry}, []byte("x"), nil)
			b.Set(numberKey(rowEntry, 200)[:8], []byte("x"), nil)
			b.Set(append(numberKey(rowEntry, 200), 'x'), []byte("x"), nil)
			b.Set(append(numberKey(rowEntry, 599), 'x'), []byte("x"), nil)
		}, []string{"extra row 65", "extra row 6500000000000000", "extra row 6500000000000000c878", "extra row 65000000000000025778"}, true},
		{"malformed entry key at the end", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set([]byte("e\xff"), []byte("x"), nil)
		}, []string{"extra row 65ff"}, false},
		{"entry far beyond", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(numberKey(rowEntry, 1<<40), []byte("x"), nil)
		}, []string{"extra entry 1099511627776"}, false},
		{"last entry missing", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Delete(numberKey(rowEntry, 599), nil)
		}, []string{"missing entry 599", "extra checkpoint 0000000000000258", "extra term kind 1", "extra term kind 2", "extra term kind 3", "extra term kind 4", "extra unique"}, false},
		{"entry beyond", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			e := testEntry(600, 40)
			b.Set(numberKey(rowEntry, 600), e.Data, nil)
		}, []string{"extra entry 600", "missing term kind 1", "missing term kind 2", "missing term kind 3", "missing term kind 4", "missing unique"}, false},
		{"same unique twice", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			e := testEntry(600, 40)
			copy(e.Data, testEntry(7, 40).Data[:8]) // the serial that unique is made of
			b.Set(numberKey(rowEntry, 600), e.Data, nil)
		}, []string{"extra entry 600", "wrong entry 600", "missing term kind 1", "missing term kind 2", "missing term kind 3", "missing term kind 4"}, false},
		{"tile changed", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(tileKey(0, 1), flipped(get(tileKey(0, 1)), 37), nil)
		}, []string{"wrong tile tile/0/001"}, false},
		{"tile cut", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(tileKey(0, 1), get(tileKey(0, 1))[:8160], nil)
		}, []string{"wrong tile tile/0/001"}, false},
		{"tile missing", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Delete(tileKey(0, 0), nil)
		}, []string{"missing tile tile/0/000"}, false},
		{"tile too many", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(tileKey(1, 0), get(tileKey(0, 0)), nil)
		}, []string{"extra tile tile/1/000"}, true},
		{"tile of a level that cannot be", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(tileKey(200, 0), get(tileKey(0, 0)), nil)
		}, []string{"extra tile tile/200/000"}, true},
		{"checkpoint with another root", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(numberKey(rowCheckpoint, 512), signedBy(t, o, 512, tlog.LeafHash(nil)), nil)
		}, []string{"wrong checkpoint 512"}, true},
		{"latest checkpoint with another root", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(numberKey(rowCheckpoint, 600), signedBy(t, o, 600, tlog.LeafHash(nil)), nil)
		}, []string{"wrong checkpoint 600"}, false},
		{"checkpoint by a stranger", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			head, err := checkpoint.Parse(get(numberKey(rowCheckpoint, 512)))
			if err != nil {
				t.Fatal(err)
			}
			o.Signer = testKey(t)
			b.Set(numberKey(rowCheckpoint, 512), signedBy(t, o, 512, head.Root), nil)
		}, []string{"wrong checkpoint 512"}, true},
		{"signature changed", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			note := string(get(numberKey(rowCheckpoint, 100)))
			b.Set(numberKey(rowCheckpoint, 100), []byte(strings.Replace(note, "\n100\n", "\n101\n", 1)), nil)
			b.Set(numberKey(rowCheckpoint, 101), []byte(strings.Replace(note, "\n100\n", "\n101\n", 1)), nil)
		}, []string{"wrong checkpoint 0000000000000064", "wrong checkpoint 101", "wrong checkpoint 101"}, true},
		{"checkpoint of nothing", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(numberKey(rowCheckpoint, 300), []byte("rubbish"), nil)
		}, []string{"wrong checkpoint 000000000000012c"}, true},
		{"first checkpoint missing", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Delete(numberKey(rowCheckpoint, 0), nil)
		}, []string{"missing checkpoint 0"}, true},
		{"latest checkpoint missing", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Delete(numberKey(rowCheckpoint, 600), nil)
		}, []string{"extra entry 599"}, false},
		{"private of nobody", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(numberKey(rowPrivate, 600), []byte("x"), nil)
		}, []string{"extra private 0000000000000258"}, true},
		{"anchor of nothing", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set(numberKey(rowAnchor, 99), []byte("x"), nil)
		}, []string{"extra anchor 0000000000000063"}, true},
		{"unknown rows", func(b *pebble.Batch, get func([]byte) []byte, o Options) {
			b.Set([]byte("zebra"), nil, nil)
			b.Set([]byte("\x00"), nil, nil)
			b.Set([]byte("\xff"), nil, nil)
			b.Set([]byte("iz"), nil, nil)
			b.Set([]byte("t"), nil, nil)
		}, []string{"extra row 7a65627261", "extra row 00", "extra row ff", "extra row 697a", "extra row 74"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			differences, err := damagedLog(t, tt.change)
			if tt.opens && err != nil || !tt.opens && !errors.Is(err, ErrCorrupt) {
				t.Errorf("Open: %v", err)
			}
			left := slices.Clone(differences)
			for _, want := range tt.want {
				i := slices.IndexFunc(left, func(d Difference) bool { return strings.HasPrefix(d.Kind+" "+d.Key, want) })
				if i < 0 {
					t.Errorf("%q was not found", want)
					continue
				}
				left = slices.Delete(left, i, i+1)
			}
			for _, d := range left {
				t.Errorf("not expected: %v", d)
			}
		})
	}
}

func signedBy(t *testing.T, o Options, size uint64, root tlog.Hash) []byte {
	t.Helper()
	s, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: testOrigin, Size: size, Root: root}, testOrigin, o.Signer)
	if err != nil {
		t.Fatal(err)
	}
	return s.Note
}

// TestDamagedFile flips bytes in the middle of a table file: reading says so,
// Fsck says so, and nothing panics.
func TestDamagedFile(t *testing.T) {
	o := testOptions(t)
	mem := vfs.NewMem()
	o.FS = mem
	l, dir := newLog(t, o)
	for range 4 {
		entries := make([]Entry, 500)
		for i := range entries {
			entries[i] = testEntry(uint64(i)+l.Latest().Size, 500)
		}
		if _, err := l.AppendAll(context.Background(), entries); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.store.db.Flush(); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	names, err := mem.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		f, err := mem.OpenReadWrite(mem.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("damage"), info.Size()/3); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	found := 0
	err = Fsck(context.Background(), dir, o, func(d Difference) { found++ })
	if found == 0 || !errors.Is(err, ErrCorrupt) {
		t.Errorf("Fsck: %d differences, %v", found, err)
	}
	l, err = Open(dir, o)
	if err != nil {
		if !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
		return
	}
	defer closeLog(t, l)
	damaged := 0
	for i := range l.Latest().Size {
		if _, err := l.Entry(i); errors.Is(err, ErrCorrupt) {
			damaged++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if damaged == 0 {
		t.Error("all entries can be read")
	}
}

func TestFsckCancelled(t *testing.T) {
	o := testOptions(t)
	o.FS = vfs.NewMem()
	l, _ := newLog(t, o)
	defer closeLog(t, l)
	mustAppend(t, l, testEntry(1, 40))
	ctx, cancel := context.WithCancelCause(context.Background())
	enough := errors.New("enough")
	cancel(enough)
	if err := l.Fsck(ctx, func(Difference) {}); !errors.Is(err, enough) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestReindex(t *testing.T) {
	for _, entries := range []int{0, 1, 5000} {
		t.Run(fmt.Sprint(entries), func(t *testing.T) {
			o := testOptions(t)
			l, dir := newLog(t, o)
			ctx := context.Background()
			if entries > 0 {
				all := make([]Entry, entries)
				for i := range all {
					all[i] = testEntry(uint64(i), 40)
				}
				if _, err := l.AppendAll(ctx, all); err != nil {
					t.Fatal(err)
				}
			}
			// Half of the rows go, others come.
			b := l.store.db.NewBatch()
			b.DeleteRange([]byte{rowTerm, kindSHA256}, []byte{rowTerm, kindDepositor + 1}, nil)
			b.DeleteRange([]byte{rowUnique}, []byte{rowUnique, 0x80}, nil)
			for i := range uint64(100) {
				b.Set(appendTermKey(nil, Term{9, []byte("extra")}, i), nil, nil)
			}
			if err := l.store.commit(b); err != nil {
				t.Fatal(err)
			}
			if len(fsckOf(t, l)) == 0 {
				t.Fatal("nothing is wrong")
			}
			// Appending goes on afterwards, with the rows of both.
			if err := l.Reindex(ctx); err != nil {
				t.Fatal(err)
			}
			wantClean(t, l)
			a := mustAppend(t, l, testEntry(uint64(entries), 40))
			if a.Duplicate || a.Index != uint64(entries) {
				t.Errorf("%+v", a)
			}
			wantClean(t, l)
			closeLog(t, l)
			l = openLog(t, dir, o)
			wantClean(t, l)
			if entries > 0 {
				if a := mustAppend(t, l, testEntry(0, 40)); !a.Duplicate || a.Index != 0 {
					t.Errorf("%+v", a)
				}
			}
			if left, err := o.withDefaults().FS.List(dir + "/" + sortDir); err == nil && len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			closeLog(t, l)
		})
	}
}

// TestReindexFails has Index refuse an entry: the old rows stay.
func TestReindexFails(t *testing.T) {
	o := testOptions(t)
	o.FS = vfs.NewMem()
	refuse := errors.New("refused")
	var refused bool
	o.Index = func(data []byte) ([]Term, []byte, error) {
		if refused && data[7] == 3 {
			return nil, nil, refuse
		}
		return testIndex(data)
	}
	l, _ := newLog(t, o)
	defer closeLog(t, l)
	for i := range uint64(5) {
		mustAppend(t, l, testEntry(i, 40))
	}
	refused = true
	if err := l.Reindex(context.Background()); !errors.Is(err, refuse) {
		t.Errorf("got %v", err)
	}
	refused = false
	wantClean(t, l)
}

// TestReindexPowerLoss takes the power away before each write of Reindex.
func TestReindexPowerLoss(t *testing.T) {
	o := testOptions(t)
	disk := vfs.NewCrashableMem()
	var running atomic.Bool
	var mu sync.Mutex
	var crashes []*vfs.MemFS
	o.FS = errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if running.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			mu.Lock()
			defer mu.Unlock()
			crashes = append(crashes, disk.CrashClone(vfs.CrashCloneCfg{}))
		}
		return nil
	}))
	l, dir := newLog(t, o)
	all := make([]Entry, 1000)
	for i := range all {
		all[i] = testEntry(uint64(i), 40)
	}
	if _, err := l.AppendAll(context.Background(), all); err != nil {
		t.Fatal(err)
	}
	running.Store(true)
	if err := l.Reindex(context.Background()); err != nil {
		t.Fatal(err)
	}
	running.Store(false)
	wantClean(t, l)
	closeLog(t, l)
	if len(crashes) < 10 {
		t.Errorf("only %d writes", len(crashes))
	}
	for _, disk := range crashes {
		o.FS = disk
		l := openLog(t, dir, o)
		wantClean(t, l)
		closeLog(t, l)
	}
}
