package fabric

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hyperledger/fabric-protos-go/common"
	ab "github.com/hyperledger/fabric-protos-go/orderer"
	pb "github.com/hyperledger/fabric-protos-go/peer"
	"github.com/hyperledger/fabric-sdk-go/pkg/fab/events/deliverclient/connection"
	"github.com/hyperledger/fabric-sdk-go/pkg/fab/events/deliverclient/seek"
)

// commits tells callers what became of their transactions. It follows the blocks as one peer commits them, and goes on
// with the next peer, from the same block, when that one fails.
type commits struct {
	client *client
	config func() // called when a block changes the channel's configuration

	start sync.Once
	live  chan struct{} // closed when the first block has come: from then on none is missed

	mu      sync.Mutex
	waiting map[string]chan<- commit // under mu; by transaction
	next    uint64                   // under mu; number of the block that comes next, once live
	leave   context.CancelCauseFunc  // under mu; leaves the peer in use
}

// commit is the fate of a transaction.
type commit struct {
	peer  *peer // that said so
	block uint64
	code  pb.TxValidationCode
}

func newCommits(c *client, config func()) *commits {
	return &commits{client: c, config: config, live: make(chan struct{}), waiting: make(map[string]chan<- commit)}
}

// ready starts to follow, if nobody has, and returns when no block from now on is missed.
func (c *commits) ready(ctx, closing context.Context, background *sync.WaitGroup) error {
	c.start.Do(func() { background.Go(func() { c.run(closing) }) })
	select {
	case <-c.live:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// expect registers a transaction before it is sent. The caller calls forget in the end.
func (c *commits) expect(transaction string) (fate <-chan commit, forget func()) {
	one := make(chan commit, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[transaction] = one
	return one, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, transaction)
	}
}

var errSlow = errors.New("a transaction was not seen in time")

// suspect goes on with another peer: it may be the peer in use that is behind.
func (c *commits) suspect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leave != nil {
		c.leave(errSlow)
	}
}

func (c *commits) run(ctx context.Context) {
	peers := c.client.sources()
	for i, failures := 0, 0; ctx.Err() == nil; i++ {
		before := c.position()
		c.followOne(ctx, peers[i%len(peers)])
		if failures++; c.position() != before {
			failures = 0
		}
		// All peers are tried in turn before the next pause.
		if failures > 0 && failures%len(peers) == 0 {
			pause(ctx, failures/len(peers))
		}
	}
}

func (c *commits) position() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

func (c *commits) followOne(ctx context.Context, p *peer) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	c.leave = cancel
	c.mu.Unlock()
	// Why a peer failed shows in the calls that fail for it; a stream that breaks and is replaced is no error.
	_ = c.client.follow(ctx, p, c.seek(), connection.DeliverFiltered, func(r *pb.DeliverResponse) error {
		block := r.GetFilteredBlock()
		if block == nil {
			return fmt.Errorf("unexpected delivery %T", r.Type)
		}
		c.committed(p, block)
		return nil
	})
}

func (c *commits) seek() *ab.SeekInfo {
	select {
	case <-c.live:
		return seek.InfoFrom(c.position())
	default:
		return seek.InfoNewest()
	}
}

func (c *commits) committed(p *peer, block *pb.FilteredBlock) {
	for _, transaction := range block.FilteredTransactions {
		if transaction.Type == common.HeaderType_CONFIG {
			c.config()
		}
		c.decided(transaction.Txid, commit{p, block.Number, transaction.TxValidationCode})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = block.Number + 1
	select {
	case <-c.live:
	default:
		close(c.live)
	}
}

func (c *commits) decided(transaction string, fate commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.waiting[transaction]; one != nil {
		one <- fate
		// The same envelope may come in a second block, where it counts for nothing.
		delete(c.waiting, transaction)
	}
}

// pause waits longer after each failure, up to a second.
func pause(ctx context.Context, failures int) {
	timer := time.NewTimer(min(time.Second, 50*time.Millisecond<<min(failures-1, 10)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
