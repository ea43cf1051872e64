package anchor

import (
	"context"
	"errors"
	"fmt"

	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// Source is the log whose heads are anchored. *ledger.Log is one.
type Source interface {
	// Latest returns the newest head, which the log has stored.
	Latest() checkpoint.Signed

	// ConsistencyProof returns the proof that the tree of size newSize continues the one of size oldSize.
	ConsistencyProof(oldSize, newSize uint64) ([]tlog.Hash, error)

	// CheckpointAt returns the head of this size, or an error if the log signed none.
	CheckpointAt(size uint64) (checkpoint.Signed, error)

	// LatestAnchor returns the greatest size for which a proof is stored, and the proof. An error counts as none.
	LatestAnchor() (size uint64, proof []byte, err error)

	// PutAnchor stores durably what the ledger gave as proof of the head of this size. It replaces an earlier one.
	PutAnchor(size uint64, proof []byte) error
}

// Comparison is the state of a log and of the ledger at one moment.
type Comparison struct {
	Anchored    checkpoint.Signed // the ledger's last head; size 0 and no note if there is none
	Local       checkpoint.Signed // the log's latest head
	Consistency []tlog.Hash       // the proof that leads from Anchored to Local
	Stored      bool              // whether the log has the ledger's proof of Anchored
}

// Compare asks the ledger for its last head of the log and checks that the log continues it. A server that starts
// compares before it lets anybody append.
//
// If the log does not continue the anchored head, the error is a *[Contradiction].
func Compare(ctx context.Context, log Source, ledger Ledger) (Comparison, error) {
	stored, _, err := log.LatestAnchor()
	if err != nil {
		stored = 0
	}
	// The ledger is asked before the log: whatever the ledger holds then, the log already had.
	origin := log.Latest().Origin
	anchored, err := ledger.Latest(ctx, origin)
	if errors.Is(err, ErrNoAnchor) {
		anchored = checkpoint.Signed{Checkpoint: checkpoint.Checkpoint{Origin: origin, Root: tlog.EmptyRoot()}}
	} else if err != nil {
		return Comparison{}, fmt.Errorf("anchor: asking for the last head: %w", err)
	}
	local := log.Latest()
	c := Comparison{Anchored: anchored, Local: local, Stored: stored == anchored.Size}
	switch {
	case anchored.Size < stored:
		// A peer that lags, or a ledger that was made anew. The former passes; the latter stays in sight as an error.
		return c, fmt.Errorf("%w: it holds size %d, but has proven size %d before", ErrUnavailable, anchored.Size, stored)
	case anchored.Size > local.Size:
		return c, &Contradiction{Anchored: anchored, Local: local, Err: ErrRollback}
	case anchored.Size == local.Size && anchored.Root != local.Root:
		return c, &Contradiction{Anchored: anchored, Local: local, Err: ErrFork}
	case anchored.Size == local.Size:
		return c, nil
	}
	c.Consistency, err = log.ConsistencyProof(anchored.Size, local.Size)
	if err != nil {
		return c, fmt.Errorf("anchor: consistency proof from %d to %d: %w", anchored.Size, local.Size, err)
	}
	if tlog.VerifyConsistency(c.Consistency, anchored.Size, local.Size, anchored.Root, local.Root) != nil {
		// A head of the anchored size convinces strangers as well, if there is one.
		if own, err := log.CheckpointAt(anchored.Size); err == nil {
			local = own
		}
		return c, &Contradiction{Anchored: anchored, Local: local, Err: ErrFork}
	}
	return c, nil
}
