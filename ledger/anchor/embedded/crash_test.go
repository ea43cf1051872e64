package embedded

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"cunzheng/chaincode/chaincodetest"
	"cunzheng/ledger/anchor"
)

const crashHeads = 6

// crashCopy is what a crash leaves of the disk, and what had been confirmed by then.
type crashCopy struct {
	fs        *vfs.MemFS
	what      string
	created   bool
	confirmed uint64 // size of the last head
}

// TestCrash crashes before every write, sync and rename of a ledger's life, losing all or nothing of what was not synced.
// Each time the ledger opens, has what was confirmed, and goes on. (Losing a part is left out: it makes a file's entry in
// its folder outlive that of an older, synced file, which Pebble does not expect and file systems do not do.)
func TestCrash(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var (
		mu        sync.Mutex
		copies    []crashCopy
		created   bool
		confirmed uint64
	)
	crash := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		for _, unsynced := range []int{0, 100} {
			copies = append(copies, crashCopy{
				fs:        disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rand.New(rand.NewPCG(uint64(len(copies)), 0))}),
				what:      fmt.Sprintf("operation %d on %s, %d%% of the unsynced data", op.Kind, op.Path, unsynced),
				created:   created,
				confirmed: confirmed,
			})
		}
		return nil
	})
	confirm := func(f func()) {
		mu.Lock()
		defer mu.Unlock()
		f()
	}

	o := options(t, errorfs.Wrap(disk, crash))
	log := chaincodetest.NewLog(t, "cunzheng.test/log")
	log.Append(crashHeads + 1)
	if err := Create(dir, o); err != nil {
		t.Fatal(err)
	}
	confirm(func() { created = true })
	for size := uint64(1); size <= crashHeads; size++ {
		l := reopen(t, o)
		if err := l.RegisterLog(t.Context(), log.Origin, log.PublicKey()); err != nil {
			t.Fatal(err)
		}
		anchorHead(t, l, log, size-1, size)
		confirm(func() { confirmed = size })
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}

	if len(copies) < 2*50 {
		t.Errorf("only %d crashes", len(copies))
	}
	for i, c := range copies {
		if testing.Short() && i%10 > 1 {
			continue
		}
		o.FS = c.fs
		if err := resumeAfterCrash(t, o, log, c); err != nil {
			t.Fatalf("crash before %s, with %d heads confirmed: %v", c.what, c.confirmed, err)
		}
	}
}

func resumeAfterCrash(t *testing.T, o Options, log *chaincodetest.Log, c crashCopy) error {
	l, err := Open(dir, o)
	if err != nil && !c.created {
		if err := errors.Join(c.fs.RemoveAll(dir), Create(dir, o)); err != nil {
			return err
		}
		l, err = Open(dir, o)
	}
	if err != nil {
		return err
	}
	return errors.Join(checkConfirmed(t, l, log, c.confirmed), l.Close())
}

// checkConfirmed checks that all confirmed heads are on the ledger, at most one more, and that the ledger goes on.
func checkConfirmed(t *testing.T, l *Ledger, log *chaincodetest.Log, confirmed uint64) error {
	if err := l.Verify(t.Context()); err != nil {
		return err
	}
	for size := uint64(1); size <= confirmed; size++ {
		proof, err := l.Proof(t.Context(), log.Origin, size)
		if err != nil {
			return err
		}
		head := log.Head(t, size)
		if err := l.check(proof, head.Checkpoint); err != nil {
			return err
		}
	}
	if err := l.RegisterLog(t.Context(), log.Origin, log.PublicKey()); err != nil {
		return err
	}
	head, err := l.Latest(t.Context(), log.Origin)
	if err != nil && !errors.Is(err, anchor.ErrNoAnchor) {
		return err
	}
	if head.Size != confirmed && head.Size != confirmed+1 {
		return fmt.Errorf("last head has size %d", head.Size)
	}
	if _, err := l.Anchor(t.Context(), log.Head(t, crashHeads+1), log.Consistency(t, head.Size, crashHeads+1)); err != nil {
		return err
	}
	return l.Verify(t.Context())
}

// TestWriteFails has the disk fail for good at the n-th write or sync after the ledger was opened, for each n that the
// transactions reach. The ledger says so, answers nothing any more, and is whole after a restart.
func TestWriteFails(t *testing.T) {
	failures := 0
	for n := 0; ; n++ {
		disk := vfs.NewCrashableMem()
		left, counting := n, false
		var mu sync.Mutex
		full := errors.New("no space left on device")
		o := options(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			switch op.Kind {
			case errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo, errorfs.OpFileFlush:
			default:
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if !counting {
				return nil
			}
			if left--; left < 0 {
				return full
			}
			return nil
		})))
		l := create(t, o)
		log := registered(t, l, crashHeads+1)
		mu.Lock()
		counting = true
		mu.Unlock()
		confirmed, err := uint64(0), error(nil)
		for confirmed < crashHeads && err == nil {
			next := confirmed + 1
			if _, err = l.Anchor(t.Context(), log.Head(t, next), log.Consistency(t, confirmed, next)); err == nil {
				confirmed = next
			}
		}
		if err == nil {
			if failures < crashHeads {
				t.Errorf("only %d writes could fail", failures)
			}
			return
		}
		failures++
		if !errors.Is(err, anchor.ErrUnavailable) || !errors.Is(err, full) {
			t.Errorf("write %d fails: %v", n, err)
		}
		if _, err := l.Latest(t.Context(), log.Origin); !errors.Is(err, anchor.ErrUnavailable) {
			t.Errorf("write %d failed, and the ledger answers: %v", n, err)
		}
		if err := l.Verify(t.Context()); !errors.Is(err, anchor.ErrUnavailable) {
			t.Errorf("write %d failed, and the ledger verifies: %v", n, err)
		}
		for _, unsynced := range []int{0, 100} {
			after := o
			after.FS = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rand.New(rand.NewPCG(1, 1))})
			restarted := reopen(t, after)
			if err := checkConfirmed(t, restarted, log, confirmed); err != nil {
				t.Errorf("after write %d failed: %v", n, err)
			}
		}
	}
}
