// Package ledger is the log: an append-only sequence of entries under a Merkle
// tree of SM3, kept in Pebble together with the rows that find them again.
//
//	err := ledger.Create(dir, options)              // once
//	log, err := ledger.Open(dir, options)
//	done, err := log.Append(ctx, ledger.Entry{Data: statement, Terms: terms, Unique: key})
//	// done.Index is the entry's place, done.Proof proves it under done.Checkpoint.
//
// An answer means: the entry is on the disk, a signed checkpoint that both SM2
// implementations accept covers it, and the proof in the answer has been
// checked. The rows and their format are described in keys.go.
//
// One goroutine, the sequencer, owns the tree. It takes all that waits up to a
// bound, writes it in one batch and goes on with the next group; a second one,
// the releaser, answers the callers once the batch is synced and the second
// implementation has accepted the checkpoint. What is not released yet is not
// visible to any reader.
//
// When the disk fails, an implementation vetoes a checkpoint or a proof does
// not hold, the log halts: nobody is answered any more, the state on disk is
// unknown, and only closing and opening the log again settles it. An entry that
// was refused in this way may be in the log then; appending it again with the
// same Unique gives the right answer in either case.
package ledger

import (
	"crypto"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

var (
	// ErrNotFound means that there is no such log, entry, checkpoint, tile or anchor.
	ErrNotFound = errors.New("ledger: not found")

	// ErrExists means that Create found a log where it should make one.
	ErrExists = errors.New("ledger: there is a log already")

	// ErrLocked means that another process, or this one, holds the log open.
	ErrLocked = errors.New("ledger: the log is in use; stop the server that has it open (or close it in this process) and try again")

	// ErrCorrupt means that entries, tiles, checkpoints or index rows contradict
	// each other or cannot be read. Run fsck to see every difference.
	ErrCorrupt = errors.New("ledger: the log contradicts itself; run fsck")

	// ErrBusy means that the queue is full. Nothing was appended; try again later.
	ErrBusy = errors.New("ledger: too many entries are waiting")

	// ErrFull means that the disk is nearly full. Nothing was appended; the log
	// takes entries again as soon as there is room.
	ErrFull = errors.New("ledger: the disk is nearly full")

	// ErrInvalid means that an entry cannot be stored as it is.
	ErrInvalid = errors.New("ledger: invalid entry")

	// ErrTooLarge is an ErrInvalid: the entry, its private data or the number of
	// entries of one AppendAll is over the limit.
	ErrTooLarge = fmt.Errorf("%w: too large", ErrInvalid)

	// ErrClosed means that the log is closed.
	ErrClosed = errors.New("ledger: closed")

	// ErrHalted means that the log stopped after a failure that leaves its state
	// on disk unknown; the error wraps the cause. Reading goes on. The entry may
	// or may not be found in the log when it is opened again.
	ErrHalted = errors.New("ledger: halted")
)

// OriginError means that the log in a folder has another name than Options.Origin.
type OriginError struct {
	Log  string // name of the log, as Create was told
	Want string
}

func (e *OriginError) Error() string {
	return fmt.Sprintf("ledger: the log is named %.300q, not %.300q", e.Log, e.Want)
}

// A Term finds an entry again. All values of one kind have the same length, 1
// to 255 bytes; rows of a kind are kept in order of value, then index.
type Term struct {
	Kind  byte
	Value []byte
}

// MaxPrivateSize bounds Entry.Private, in bytes.
const MaxPrivateSize = 1 << 20

// An Entry is what Append takes. Its slices must not be changed afterwards: a
// call that ended with its context may still be at work on them.
type Entry struct {
	Data    []byte // the leaf, 1 to 65,535 bytes
	Terms   []Term
	Unique  []byte // at most one entry with this value is stored; nil means no such limit; at most 255 bytes
	Private []byte // kept beside the entry, outside the tree, until ErasePrivate
}

// Appended says where an entry is and proves it.
type Appended struct {
	Index uint64
	// Duplicate means that nothing was stored: Index is the first entry with the
	// same Unique, and Checkpoint and Proof are those under which it was accepted.
	Duplicate  bool
	Checkpoint checkpoint.Signed
	Proof      []tlog.Hash // inclusion of entry Index in the tree of Checkpoint
}

// Options describe a log. Zero values of optional fields mean the default.
type Options struct {
	Origin    string          // name of the log; also the name of its keys
	Signer    crypto.Signer   // current SM2 key. Pass the plain key: the log has both implementations check each signature itself, beside the disk
	Verifiers []note.Verifier // retired keys, as *checkpoint.Verifier; the current key may be among them

	// Index derives Terms and Unique from the data of an entry, exactly as they
	// were given to Append. Fsck and Reindex need it. It must be safe for
	// concurrent use.
	Index func(entry []byte) (terms []Term, unique []byte, err error)

	MaxBatch  int   // entries in one group, default 2,048
	Queue     int   // entries that may wait, default 16,384
	CacheSize int64 // bytes of Pebble's block cache, default 128 MiB; up to 320 MiB of memtables come on top
	// Reserve is how many bytes must be free on the disk for Append to take
	// entries, default 512 MiB: what Pebble may still have to write for entries it
	// has, and without which it would end the process.
	Reserve int64

	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // default: metrics are counted, not exported
	Alarm      func(error)           // called once, when the log halts; must not block

	// Progress is called now and then by Fsck, Reindex and a long Open.
	Progress func(stage string, done, total uint64)

	FS vfs.FS // default: the operating system's

	// crossCheck replaces the second implementation in tests.
	crossCheck func(v *checkpoint.Verifier, note []byte) error
	// memTable is small in tests that want flushes and compactions.
	memTable uint64
}

const (
	defaultMaxBatch = 2048
	defaultQueue    = 16 << 10
	defaultCache    = 128 << 20
	defaultReserve  = 512 << 20

	// maxBatchBytes bounds the data of a group, so that a batch stays far below
	// half a memtable, where Pebble would switch to a slower path.
	maxBatchBytes = 8 << 20
)

func (o Options) withDefaults() Options {
	if o.MaxBatch <= 0 {
		o.MaxBatch = defaultMaxBatch
	}
	if o.Queue <= 0 {
		o.Queue = defaultQueue
	}
	if o.CacheSize <= 0 {
		o.CacheSize = defaultCache
	}
	if o.Reserve <= 0 {
		o.Reserve = defaultReserve
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Alarm == nil {
		o.Alarm = func(error) {}
	}
	if o.Progress == nil {
		o.Progress = func(string, uint64, uint64) {}
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.memTable == 0 {
		o.memTable = 64 << 20
	}
	if o.crossCheck == nil {
		o.crossCheck = func(v *checkpoint.Verifier, note []byte) error { return v.CrossCheck(note) }
	}
	return o
}

// keys returns the verifier of the current key and those of all keys. The first
// is nil if there is no signer, which only Fsck allows.
func (o Options) keys() (own *checkpoint.Verifier, all []*checkpoint.Verifier, err error) {
	if o.Signer != nil {
		pub, ok := o.Signer.Public().(*sm2.PublicKey)
		if !ok {
			return nil, nil, fmt.Errorf("ledger: the signer holds a %T, want an SM2 key", o.Signer.Public())
		}
		if own, err = checkpoint.NewVerifier(o.Origin, pub); err != nil {
			return nil, nil, fmt.Errorf("ledger: %w", err)
		}
		all = append(all, own)
	}
	for _, v := range o.Verifiers {
		k, ok := v.(*checkpoint.Verifier)
		if !ok {
			return nil, nil, fmt.Errorf("ledger: the verifier of %q is a %T, want a *checkpoint.Verifier", v.Name(), v)
		}
		all = append(all, k)
	}
	if len(all) == 0 {
		return nil, nil, errors.New("ledger: no key given")
	}
	return own, all, nil
}
