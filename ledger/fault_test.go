package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

var errDisk = errors.New("test: disk failed")

// A faultyFS fails the syncs of write-ahead logs when told to.
type faultyFS struct {
	vfs.FS
	fail    atomic.Bool
	persist atomic.Bool // sync first, then fail
}

func (f *faultyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return f.wrap(name, file), err
}

func (f *faultyFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(old, name, c)
	return f.wrap(name, file), err
}

func (f *faultyFS) wrap(name string, file vfs.File) vfs.File {
	if file == nil || !strings.HasSuffix(name, ".log") {
		return file
	}
	return &faultyFile{file, f}
}

type faultyFile struct {
	vfs.File
	fs *faultyFS
}

func (f *faultyFile) sync(really func() error) error {
	if !f.fs.fail.Load() {
		return really()
	}
	if f.fs.persist.Load() {
		if err := really(); err != nil {
			return err
		}
	}
	return errDisk
}

func (f *faultyFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *faultyFile) SyncData() error { return f.sync(f.File.SyncData) }
func (f *faultyFile) SyncTo(n int64) (bool, error) {
	return true, f.sync(func() error { return f.File.SyncData() })
}

// TestFailedSync fails the sync of a group, once without and once with the data
// on the disk, and then takes the power away.
func TestFailedSync(t *testing.T) {
	for _, persisted := range []bool{false, true} {
		t.Run(fmt.Sprintf("persisted=%v", persisted), func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			faulty := &faultyFS{FS: disk}
			o := testOptions(t)
			o.FS = faulty
			alarms := make(chan error, 10)
			o.Alarm = func(err error) { alarms <- err }
			l, dir := newLog(t, o)
			ctx := context.Background()
			for i := range uint64(300) {
				if i%30 == 0 {
					mustAppend(t, l, testEntry(i, 64))
				}
			}
			before := l.Latest()

			faulty.persist.Store(persisted)
			faulty.fail.Store(true)
			var wg sync.WaitGroup
			for i := range uint64(20) {
				wg.Go(func() {
					_, err := l.Append(ctx, testEntry(1000+i, 64))
					if !errors.Is(err, ErrHalted) || !errors.Is(err, errDisk) {
						t.Errorf("got %v, want ErrHalted for the disk", err)
					}
				})
			}
			wg.Wait()
			if err := <-alarms; !errors.Is(err, errDisk) || len(alarms) > 0 {
				t.Errorf("alarm %v and %d more", err, len(alarms))
			}
			// Nothing more is taken, even if the disk works again; reading goes on.
			faulty.fail.Store(false)
			if _, err := l.Append(ctx, testEntry(0, 64)); !errors.Is(err, ErrHalted) {
				t.Errorf("append after the halt: %v", err)
			}
			if err := l.PutAnchor(1, nil); !errors.Is(err, ErrHalted) {
				t.Errorf("anchor after the halt: %v", err)
			}
			if err := l.Halted(); !errors.Is(err, errDisk) {
				t.Errorf("halted: %v", err)
			}
			if head := l.Latest(); head.Size != before.Size {
				t.Errorf("released size %d after a failed sync, before it was %d", head.Size, before.Size)
			}
			if _, err := l.Entry(before.Size - 1); err != nil {
				t.Error(err)
			}
			after := disk.CrashClone(vfs.CrashCloneCfg{}) // what was synced, nothing else
			l.Close()

			o.FS = after
			o.Alarm = func(err error) { t.Errorf("alarm: %v", err) }
			l = openLog(t, dir, o)
			if grown := l.Latest().Size > before.Size; grown != persisted {
				t.Errorf("the failed group is there: %v, on the disk: %v", grown, persisted)
			}
			proof, err := l.ConsistencyProof(before.Size, l.Latest().Size)
			if err == nil {
				err = tlog.VerifyConsistency(proof, before.Size, l.Latest().Size, before.Root, l.Latest().Root)
			}
			if err != nil {
				t.Error(err)
			}
			// Appending again gives the right answer in either case.
			for i := range uint64(20) {
				mustAppend(t, l, testEntry(1000+i, 64))
			}
			if size := l.Latest().Size; size != before.Size+20 {
				t.Errorf("%d entries, want %d", size, before.Size+20)
			}
			wantClean(t, l)
			closeLog(t, l)
		})
	}
}

// TestPowerLoss takes the power away at random moments during load. The disk
// keeps all that was synced and, at random, some of the rest.
func TestPowerLoss(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	o := testOptions(t)
	disk := vfs.NewCrashableMem()
	o.FS = disk
	if err := Create("/log", o); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[uint64]Appended{} // by serial
	var serial atomic.Uint64
	for round := range 12 {
		l := openLog(t, "/log", o)
		checkAcknowledged(t, l, acknowledged)
		if round%4 == 3 {
			wantClean(t, l)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		stopped := atomic.Bool{}
		for range 16 {
			wg.Go(func() {
				for !stopped.Load() {
					n := serial.Add(1)
					a, err := l.Append(context.Background(), testEntry(n, 200))
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if !stopped.Load() { // the power was still there
						acknowledged[n] = a
					}
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		mu.Lock()
		stopped.Store(true)
		crashed := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		mu.Unlock()
		wg.Wait()
		closeLog(t, l)
		disk = crashed
		o.FS = disk
	}
	l := openLog(t, "/log", o)
	checkAcknowledged(t, l, acknowledged)
	wantClean(t, l)
	closeLog(t, l)
	t.Logf("%d entries were acknowledged", len(acknowledged))
}

// checkAcknowledged looks for every acknowledged entry where it was promised to be.
func checkAcknowledged(t *testing.T, l *Log, acknowledged map[uint64]Appended) {
	t.Helper()
	head := l.Latest()
	for serial, a := range acknowledged {
		data, err := l.Entry(a.Index)
		if err != nil {
			t.Fatalf("serial %d: %v", serial, err)
		}
		if want := testEntry(serial, len(data)); string(want.Data) != string(data) {
			t.Fatalf("entry %d is not serial %d", a.Index, serial)
		}
		if err := tlog.VerifyInclusion(a.Proof, a.Index, a.Checkpoint.Size, tlog.LeafHash(data), a.Checkpoint.Root); err != nil {
			t.Fatal(err)
		}
		proof, err := l.ConsistencyProof(a.Checkpoint.Size, head.Size)
		if err == nil {
			err = tlog.VerifyConsistency(proof, a.Checkpoint.Size, head.Size, a.Checkpoint.Root, head.Root)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestVeto has the second implementation refuse a checkpoint.
func TestVeto(t *testing.T) {
	o := testOptions(t)
	o.FS = vfs.NewMem()
	var refuse atomic.Bool
	var refused sync.Map // notes
	o.crossCheck = func(v *checkpoint.Verifier, note []byte) error {
		if _, ok := refused.Load(string(note)); ok || refuse.Load() {
			refused.Store(string(note), true)
			return sm2.ErrDisagreement
		}
		return v.CrossCheck(note)
	}
	var alarms atomic.Int32
	o.Alarm = func(error) { alarms.Add(1) }
	l, dir := newLog(t, o)
	mustAppend(t, l, testEntry(1, 64))
	refuse.Store(true)
	var wg sync.WaitGroup
	for i := range uint64(10) {
		wg.Go(func() {
			if _, err := l.Append(context.Background(), testEntry(10+i, 64)); !errors.Is(err, ErrHalted) || !errors.Is(err, sm2.ErrDisagreement) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if size := l.Latest().Size; size != 1 || alarms.Load() != 1 {
		t.Errorf("size %d, %d alarms", size, alarms.Load())
	}
	closeLog(t, l)
	// While the implementations disagree, the log does not open.
	if _, err := Open(dir, o); !errors.Is(err, sm2.ErrDisagreement) {
		t.Errorf("Open: %v", err)
	}
	// The refused signature is never used; another one over the same tree is.
	refuse.Store(false)
	l = openLog(t, dir, o)
	head := l.Latest()
	if _, ok := refused.Load(string(head.Note)); ok || head.Size < 2 {
		t.Errorf("size %d, refused %v", head.Size, ok)
	}
	wantClean(t, l)
	closeLog(t, l)
	l = openLog(t, dir, o)
	if got := l.Latest(); string(got.Note) != string(head.Note) {
		t.Error("the new signature was not kept")
	}
	closeLog(t, l)
}

// TestDefectiveTree changes the tree in memory: the log must not sign it.
func TestDefectiveTree(t *testing.T) {
	o := testOptions(t)
	o.FS = vfs.NewMem()
	l, dir := newLog(t, o)
	for i := range uint64(5) {
		mustAppend(t, l, testEntry(i, 64))
	}
	l.sequencing.Lock()
	l.edge.levels[0].tiles[0].nodes[slot(2, 0)][0] ^= 1 // root of the first four
	l.sequencing.Unlock()
	_, err := l.Append(context.Background(), testEntry(5, 64))
	if !errors.Is(err, ErrHalted) || !errors.Is(err, tlog.ErrProof) {
		t.Errorf("got %v", err)
	}
	closeLog(t, l)
	l = openLog(t, dir, o)
	if size := l.Latest().Size; size != 5 {
		t.Errorf("size %d", size)
	}
	mustAppend(t, l, testEntry(5, 64))
	wantClean(t, l)
	closeLog(t, l)
}

// TestDefectiveProof changes a leaf on its way: the caller must not be answered.
func TestDefectiveProof(t *testing.T) {
	o := testOptions(t)
	o.FS = vfs.NewMem()
	l, _ := newLog(t, o)
	defer closeLog(t, l)
	a := mustAppend(t, l, testEntry(1, 64))
	it := &item{leaf: tlog.LeafHash([]byte("another")), group: &group{head: a.Checkpoint}}
	var err error
	if it.group.tree, err = tlog.NewTree(1, l.nodes(l.released.Load())); err != nil {
		t.Fatal(err)
	}
	if _, err := l.answer(it); !errors.Is(err, ErrHalted) || !errors.Is(err, tlog.ErrProof) {
		t.Errorf("got %v", err)
	}
	if err := l.Halted(); err == nil {
		t.Error("the log goes on")
	}
}

// A fullFS says how many bytes are free.
type fullFS struct {
	vfs.FS
	free atomic.Uint64
}

func (f *fullFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: f.free.Load(), TotalBytes: 1 << 40}, nil
}

func TestDiskFull(t *testing.T) {
	disk := &fullFS{FS: vfs.NewMem()}
	disk.free.Store(1 << 30)
	o := testOptions(t)
	o.FS = disk
	l, _ := newLog(t, o)
	defer closeLog(t, l)
	mustAppend(t, l, testEntry(1, 64))
	disk.free.Store(1 << 20)
	time.Sleep(2 * spaceInterval)
	if _, err := l.Append(context.Background(), testEntry(2, 64)); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	if err := l.Ready(); !errors.Is(err, ErrFull) {
		t.Errorf("Ready: %v, want ErrFull", err)
	}
	if _, err := l.Entry(0); err != nil {
		t.Error(err)
	}
	disk.free.Store(1 << 30)
	time.Sleep(2 * spaceInterval)
	if err := l.Ready(); err != nil {
		t.Error(err)
	}
	if a := mustAppend(t, l, testEntry(2, 64)); a.Index != 1 {
		t.Errorf("%+v", a)
	}
	cause := errors.New("the disk is gone")
	l.stop(cause)
	if err := l.Ready(); !errors.Is(err, ErrHalted) || !errors.Is(err, cause) {
		t.Errorf("Ready: %v, want ErrHalted", err)
	}
}
