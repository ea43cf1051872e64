// Package anchor carries the tree heads of a log to a ledger that others share, so that the log cannot be rewritten
// without their noticing.
//
// [Ledger] is what a driver implements: anchor/embedded, one organisation's own chain, and anchor/fabric, a consortium.
// [Worker] anchors the log's latest head after an interval or after a number of new entries, whichever comes first. It
// holds no state of its own: after a restart it asks the ledger for the last head. A ledger that is out of reach delays
// it. A ledger that holds a head which the log contradicts stops it and raises an alarm.
//
//	worker, err := anchor.NewWorker(anchor.Options{Origin: origin, Log: log, Ledger: ledger, Alarm: page})
//	…
//	go worker.Run(ctx)
package anchor

import (
	"context"
	"errors"
	"fmt"

	"cunzheng/chaincode"
	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// Ledger is an append-only ledger that runs the contract of package chaincode. It is safe for concurrent use.
//
// Errors wrap one of this package's, and the *[chaincode.Error] if the contract refused. Whoever gets
// [ErrUnavailable] does not know whether the transaction went through; each may be sent again.
type Ledger interface {
	// Describe says what the ledger is, in the words of reports and certificates.
	Describe() Description

	// RegisterLog makes the caller's organisation the owner of a log. Registering it again is a success; another key
	// or owner is [ErrRefused] with the code LOG_EXISTS.
	RegisterLog(ctx context.Context, origin string, key *sm2.PublicKey) error

	// RotateLogKey hands the log over to a new key. The old key signs [chaincode.RotationMessage], which binds the size
	// of the last anchored head. A head that the old key signed is refused from then on: anchor it before.
	RotateLogKey(ctx context.Context, origin string, key *sm2.PublicKey, signature []byte) error

	// Latest returns the last anchored head of a log, or [ErrNoAnchor]. The ledger checked its signature.
	Latest(ctx context.Context, origin string) (checkpoint.Signed, error)

	// Anchor adds a head. The consistency proof leads to it from the last anchored head, from size 0 if there is none.
	// It returns once the head is durable on the ledger, with a proof that package blockproof verifies and the driver
	// has verified. Anchoring the last head again is a success and returns the proof of the first time.
	Anchor(ctx context.Context, head checkpoint.Signed, consistency []tlog.Hash) (proof []byte, err error)

	// Proof returns the proof of the anchored head of exactly this size, or [ErrNoAnchor].
	Proof(ctx context.Context, origin string, size uint64) (proof []byte, err error)

	Close() error
}

// Description says what a ledger is and who runs it.
type Description struct {
	Kind      string   // "embedded" or "fabric"
	Name      string   // of the chain or channel
	Operators []string // the organisations that run it
}

var (
	// ErrNoAnchor says that the ledger holds no head of the log, or none of the size asked for.
	ErrNoAnchor = errors.New("anchor: no such head on the ledger")

	// ErrUnavailable says that the ledger could not be reached or did not confirm. Try again later.
	ErrUnavailable = errors.New("anchor: ledger unavailable")

	// ErrRefused says that the contract refused for a reason that somebody has to settle, such as a log that is not
	// registered or a key that was not rotated.
	ErrRefused = errors.New("anchor: refused by the ledger")

	// ErrFork says that the ledger holds a head which is not in the log's history. Do not append; find out why.
	ErrFork = errors.New("anchor: the log contradicts its anchored head")

	// ErrRollback says that the ledger holds a greater head than the log has, as after the restore of an old backup. Do
	// not append; restore what is missing.
	ErrRollback = errors.New("anchor: the log has fewer entries than the ledger has anchored")
)

// Refusal gives a refusal by the contract the error that callers of a [Ledger] act on. It is for drivers.
func Refusal(refusal *chaincode.Error) error {
	kind := ErrRefused
	switch refusal.Code {
	case chaincode.Fork:
		kind = ErrFork
	case chaincode.Rollback:
		kind = ErrRollback
	case chaincode.NoAnchor:
		kind = ErrNoAnchor
	}
	return fmt.Errorf("%w: %w", kind, refusal)
}

// Contradiction is an alarm: two heads of one log, of which one cannot come from the other. Errors.Is finds [ErrFork] or
// [ErrRollback] in it.
type Contradiction struct {
	Anchored checkpoint.Signed // on the ledger
	Local    checkpoint.Signed // the log's: that of the anchored size if there is one, otherwise the latest
	Err      error             // ErrFork or ErrRollback
}

func (c *Contradiction) Error() string {
	return fmt.Sprintf("%v: %s has size %d and root %s on the ledger, size %d and root %s here",
		c.Err, c.Local.Origin, c.Anchored.Size, c.Anchored.Root, c.Local.Size, c.Local.Root)
}

func (c *Contradiction) Unwrap() error { return c.Err }
