package embedded

import (
	"context"
	"fmt"

	"cunzheng/chaincode"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/blockproof"
)

// Events calls fn for each event from a block on, until ctx is done or fn returns an error, which it returns. It
// implements [anchor.EventSource].
func (l *Ledger) Events(ctx context.Context, fromBlock uint64, fn func(block uint64, a chaincode.Announcement) error) error {
	for next := fromBlock; ; next++ {
		block, err := l.await(ctx, next)
		if err != nil {
			return err
		}
		for _, e := range block.Events {
			if err := fn(next, chaincode.Announcement(e)); err != nil {
				return err
			}
		}
	}
}

// await returns a block once the chain has it.
func (l *Ledger) await(ctx context.Context, number uint64) (*blockproof.EmbeddedBlock, error) {
	for {
		block, grown, err := l.blockOrGrowth(ctx, number)
		if block != nil || err != nil {
			return block, err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, interrupted(ctx)
		case <-l.closing.Done():
			return nil, fmt.Errorf("%w: %w", anchor.ErrUnavailable, errClosed)
		}
	}
}

// blockOrGrowth returns a block, or a channel that is closed when the chain grows.
func (l *Ledger) blockOrGrowth(ctx context.Context, number uint64) (*blockproof.EmbeddedBlock, <-chan struct{}, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := l.available(ctx); err != nil {
		return nil, nil, err
	}
	if number > l.number {
		return nil, l.grown, nil
	}
	proof, err := l.block(number)
	if err != nil {
		return nil, nil, err
	}
	block, _, err := l.open(number, proof)
	return block, nil, err
}
