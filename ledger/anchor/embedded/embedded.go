// Package embedded is the ledger for an organisation that shares none yet: the contract of package chaincode, run in
// process, with its blocks and state in a folder of its own.
//
// It is one organisation's own chain. Its blocks are chained by SM3 and signed with SM2, so that a change shows; but
// who holds the key could make another chain, and nobody else would know. Reports and certificates say so.
//
// A transaction runs over the state of the blocks before it. If the contract accepts it and it changes the state, it
// becomes one block, which is written together with the changes in one synced batch. A refused transaction, and one
// that changes nothing, leaves nothing. The format of a block is in package blockproof: the stored block is the proof.
//
// The database has the rows
//
//	b NUMBER   block, canonical JSON; NUMBER is 8 bytes, big-endian
//	s KEY      number of the block that set the row (8 bytes, big-endian), then the contract's value
//
// without the spaces.
package embedded

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"cunzheng/chaincode"
	"cunzheng/crypto/sm2"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/blockproof"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

var (
	// ErrExists says that the folder holds a ledger already.
	ErrExists = errors.New("embedded: ledger exists")

	// ErrNotFound says that the folder holds no ledger. Make one with [Create], once.
	ErrNotFound = errors.New("embedded: no ledger")

	// ErrDamaged says that what is stored is not what was written. Do not go on with it.
	ErrDamaged = errors.New("embedded: ledger is damaged")
)

// Options describe a ledger. Name, Org and Signer are required.
type Options struct {
	Name   string        // of the ledger, the same for all its life
	Org    string        // the organisation that runs it and sends its transactions
	Signer crypto.Signer // signs new blocks; an SM2 key behind sm2.Verified

	// Keys are the ledger's earlier keys, which signed older blocks.
	Keys []*sm2.PublicKey

	Clock  func() time.Time // time.Now if nil
	Logger *slog.Logger     // discards if nil
	FS     vfs.FS           // the disk if nil
}

// Ledger is an open ledger. It is safe for concurrent use.
type Ledger struct {
	o    Options
	keys []*sm2.PublicKey // the signer's and the earlier ones

	closing context.Context // done once Close is called
	stop    context.CancelFunc
	walks   sync.WaitGroup // the calls of Verify in progress; added to under mu

	mu     sync.RWMutex // held for writing by a transaction, for reading by a query
	db     *pebble.DB
	number uint64          // under mu; of the last block
	tip    blockproof.Hash // under mu; of the last block
	failed error           // under mu; why the ledger takes and answers nothing any more
	grown  chan struct{}   // under mu; closed and replaced when a block is added
}

var (
	_ anchor.Ledger       = (*Ledger)(nil)
	_ anchor.EventSource  = (*Ledger)(nil)
	_ anchor.ForkReporter = (*Ledger)(nil)
)

// errClosed is what callers find in ErrUnavailable after Close.
var errClosed = errors.New("embedded: closed")

// Create makes a ledger in dir with block 0, which names it. It returns [ErrExists] if there is one. If it is interrupted,
// remove dir and call it again.
func Create(dir string, o Options) error {
	l, err := open(dir, o, &pebble.Options{})
	if err != nil {
		return err
	}
	_, _, err = l.last()
	switch {
	case err == nil:
		err = fmt.Errorf("%w in %s", ErrExists, dir)
	case errors.Is(err, ErrNotFound):
		_, err = l.append(&blockproof.EmbeddedBlock{
			Ledger:       o.Name,
			Organisation: o.Org,
			Time:         l.o.Clock(),
			Function:     createFunction,
		}, nil)
	}
	return errors.Join(err, l.Close())
}

// createFunction is the function of block 0. The contract has none of this name.
const createFunction = "Create"

// Open opens the ledger in dir and checks its last block. It returns [ErrNotFound] if there is none.
func Open(dir string, o Options) (*Ledger, error) {
	l, err := open(dir, o, &pebble.Options{ErrorIfNotExists: true})
	if errors.Is(err, pebble.ErrDBDoesNotExist) {
		return nil, fmt.Errorf("%w in %s", ErrNotFound, dir)
	}
	if err != nil {
		return nil, err
	}
	if err := l.resume(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), l.Close())
	}
	return l, nil
}

func open(dir string, o Options, p *pebble.Options) (*Ledger, error) {
	if o.Name == "" || o.Org == "" || o.Signer == nil {
		return nil, errors.New("embedded: a ledger needs a name, an organisation and a signer")
	}
	key, ok := o.Signer.Public().(*sm2.PublicKey)
	if !ok {
		return nil, fmt.Errorf("embedded: blocks cannot be signed with a %T", o.Signer.Public())
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p.FS = o.FS
	p.Logger = logger{o.Logger}
	p.FormatMajorVersion = pebble.FormatNewest
	db, err := pebble.Open(dir, p)
	if err != nil {
		return nil, fmt.Errorf("embedded: opening %s: %w", dir, err)
	}
	l := &Ledger{o: o, keys: append([]*sm2.PublicKey{key}, o.Keys...), db: db, grown: make(chan struct{})}
	l.closing, l.stop = context.WithCancel(context.Background())
	return l, nil
}

// Close waits for the transaction in progress and ends a Verify. A closed ledger is unavailable.
func (l *Ledger) Close() error {
	l.stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.db == nil {
		return nil
	}
	l.walks.Wait()
	err := l.db.Close()
	l.db, l.failed = nil, errClosed
	if err != nil {
		return fmt.Errorf("embedded: closing: %w", err)
	}
	return nil
}

// Describe implements [anchor.Ledger].
func (l *Ledger) Describe() anchor.Description {
	return anchor.Description{Kind: blockproof.KindEmbedded, Name: l.o.Name, Operators: []string{l.o.Org}}
}

// RegisterLog implements [anchor.Ledger].
func (l *Ledger) RegisterLog(ctx context.Context, origin string, key *sm2.PublicKey) error {
	_, err := l.Submit(ctx, chaincode.FuncRegisterLog, []byte(origin), key.SPKI())
	return err
}

// RotateLogKey implements [anchor.Ledger].
func (l *Ledger) RotateLogKey(ctx context.Context, origin string, key *sm2.PublicKey, signature []byte) error {
	_, err := l.Submit(ctx, chaincode.FuncRotateLogKey, []byte(origin), key.SPKI(), signature)
	return err
}

// ReportFork implements [anchor.ForkReporter].
func (l *Ledger) ReportFork(ctx context.Context, origin string, noteA, noteB []byte) error {
	_, err := l.Submit(ctx, chaincode.FuncReportFork, []byte(origin), noteA, noteB)
	return err
}

// Latest implements [anchor.Ledger].
func (l *Ledger) Latest(ctx context.Context, origin string) (checkpoint.Signed, error) {
	note, err := l.Evaluate(ctx, chaincode.FuncLatest, []byte(origin))
	if err != nil {
		return checkpoint.Signed{}, err
	}
	head, err := checkpoint.Parse(note)
	if err != nil {
		return checkpoint.Signed{}, fmt.Errorf("%w: last head of %s: %w", ErrDamaged, origin, err)
	}
	return checkpoint.Signed{Checkpoint: head, Note: note}, nil
}

// Anchor implements [anchor.Ledger].
func (l *Ledger) Anchor(ctx context.Context, head checkpoint.Signed, consistency []tlog.Hash) ([]byte, error) {
	done, err := l.submit(ctx, l.o.Org, chaincode.FuncAnchor,
		[]byte(head.Origin), head.Note, chaincode.EncodeProof(consistency))
	if err != nil {
		return nil, err
	}
	proof := done.proof
	if proof == nil { // it was anchored before
		if proof, err = l.Proof(ctx, head.Origin, head.Size); err != nil {
			return nil, err
		}
	}
	if err := l.check(proof, head.Checkpoint); err != nil {
		return nil, err
	}
	return proof, nil
}

// check verifies a proof as a court will.
func (l *Ledger) check(proof []byte, head checkpoint.Checkpoint) error {
	anchored, err := blockproof.VerifyEmbedded(proof, l.keys)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if got, err := checkpoint.Parse(anchored.Checkpoint); err != nil || got != head {
		return fmt.Errorf("%w: block %d anchors another head than size %d of %s", ErrDamaged, anchored.Height, head.Size, head.Origin)
	}
	return nil
}

// Proof implements [anchor.Ledger].
func (l *Ledger) Proof(ctx context.Context, origin string, size uint64) ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := l.available(ctx); err != nil {
		return nil, err
	}
	number, note, err := (state{l.db}).row(chaincode.HeadKey(origin, size))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", anchor.ErrUnavailable, err)
	}
	if note == nil {
		return nil, fmt.Errorf("%w: size %d of %s", anchor.ErrNoAnchor, size, origin)
	}
	proof, err := l.block(number)
	if err != nil {
		return nil, err
	}
	return proof, nil
}

// available says why the ledger cannot work now. The caller holds mu.
func (l *Ledger) available(ctx context.Context) error {
	if l.failed != nil {
		return fmt.Errorf("%w: %w", anchor.ErrUnavailable, l.failed)
	}
	return interrupted(ctx)
}

// logger hands Pebble's complaints to slog and drops its chatter.
type logger struct{ *slog.Logger }

func (l logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) { l.Error(fmt.Sprintf(format, args...)) }

// Fatalf must not return. The process ends as it would by a crash, which the ledger survives.
func (l logger) Fatalf(format string, args ...any) {
	panic("embedded: " + fmt.Sprintf(format, args...))
}
