package ledger

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What was erased stays erased when the power goes right after the answer; the entry and its neighbours stay.
func TestErasePowerLoss(t *testing.T) {
	o := testOptions(t)
	disk := vfs.NewCrashableMem()
	o.FS = disk
	l, dir := newLog(t, o)
	for i := range uint64(3) {
		e := testEntry(i, 40)
		e.Private = []byte("private")
		mustAppend(t, l, e)
	}
	if err := l.ErasePrivate(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	crashed := disk.CrashClone(vfs.CrashCloneCfg{}) // keeps what is synced
	closeLog(t, l)
	o.FS = crashed
	l = openLog(t, dir, o)
	defer closeLog(t, l)
	for i := range uint64(3) {
		if _, err := l.Private(i); (i == 1) != errors.Is(err, ErrNotFound) {
			t.Errorf("private data of entry %d: %v", i, err)
		}
		if _, err := l.Entry(i); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	wantClean(t, l)
}

// An erasure that cannot begin says so, and one that is cut short has removed the data from sight.
func TestEraseRefused(t *testing.T) {
	l, _ := newLog(t, testOptions(t))
	e := testEntry(1, 40)
	e.Private = []byte("private")
	mustAppend(t, l, e)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.ErasePrivate(ended, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	if _, err := l.Private(0); !errors.Is(err, ErrNotFound) {
		t.Errorf("private: %v", err)
	}
	if err := l.ErasePrivate(t.Context(), 0); err != nil {
		t.Errorf("again: %v", err)
	}
	cause := errors.New("the disk is gone")
	l.stop(cause)
	if err := l.ErasePrivate(t.Context(), 0); !errors.Is(err, ErrHalted) || !errors.Is(err, cause) {
		t.Errorf("of a halted log: %v", err)
	}
	closeLog(t, l)
	if err := l.ErasePrivate(t.Context(), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("of a closed log: %v", err)
	}
}
