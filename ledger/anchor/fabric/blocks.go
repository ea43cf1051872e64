package fabric

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/hyperledger/fabric-protos-go/common"

	"cunzheng/chaincode"
	"cunzheng/ledger/blockproof"
	"cunzheng/ledger/checkpoint"
)

// configs are the configurations of the channel as far as they are known.
type configs struct {
	mu      sync.Mutex
	pinned  *blockproof.FabricConfig // under mu; what proofs are verified from
	current *blockproof.FabricConfig // under mu; in force; nil if it may have changed
	last    *blockproof.FabricConfig // under mu; the last that was in force
	blocks  map[uint64][]byte        // under mu; config blocks after the pinned one, by number
}

// changed makes the next transaction ask for the configuration anew.
func (c *configs) changed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = nil
}

func (c *configs) known() *blockproof.FabricConfig {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func parseConfig(block []byte, channel string) (*blockproof.FabricConfig, error) {
	c, err := blockproof.ParseFabricConfig(block)
	if err != nil {
		return nil, err
	}
	if c.Channel() != channel {
		return nil, fmt.Errorf("config block of the channel %q, not %q", c.Channel(), channel)
	}
	return c, nil
}

// current returns the configuration in force.
func (l *Ledger) current(ctx context.Context) (*blockproof.FabricConfig, error) {
	l.configs.mu.Lock()
	current := l.configs.current
	l.configs.mu.Unlock()
	if current != nil {
		return current, nil
	}
	raw, err := l.query(ctx, l.client.archives(), "cscc", "GetConfigBlock")
	if err != nil {
		return nil, err
	}
	current, err = parseConfig(raw, l.o.Channel)
	if err != nil {
		return nil, unavailable(PhaseTransport, "", fmt.Errorf("a peer's config block: %w", err))
	}
	l.configs.mu.Lock()
	defer l.configs.mu.Unlock()
	l.configs.current, l.configs.last = current, current
	return current, nil
}

// majority returns how many organisations are more than half of the channel's.
func (l *Ledger) majority(ctx context.Context) (int, error) {
	current, err := l.current(ctx)
	if err != nil {
		return 0, err
	}
	return len(current.Organisations())/2 + 1, nil
}

// pinned returns the configuration that proofs are verified from.
func (l *Ledger) pinned(ctx context.Context) (*blockproof.FabricConfig, error) {
	l.configs.mu.Lock()
	pinned := l.configs.pinned
	l.configs.mu.Unlock()
	if pinned != nil {
		return pinned, nil
	}
	raw, _, err := l.block(ctx, l.client.archives(), 0)
	if err != nil {
		return nil, err
	}
	first, err := parseConfig(raw, l.o.Channel)
	if err != nil {
		return nil, unavailable(PhaseTransport, "", fmt.Errorf("a peer's first block: %w", err))
	}
	l.configs.mu.Lock()
	defer l.configs.mu.Unlock()
	if l.configs.pinned == nil {
		l.configs.pinned = first
		l.o.Logger.Warn("no configuration of the Fabric channel is pinned; its first block is taken on trust from a peer",
			"channel", l.o.Channel, "hash", fmt.Sprintf("%x", first.Hash()), "organisations", first.Organisations())
	}
	return l.configs.pinned, nil
}

// ConfigBlocks returns the channel's config blocks from the pinned one to the one in force, oldest first. If none is
// pinned, they begin with the first block of the channel.
func (l *Ledger) ConfigBlocks(ctx context.Context) ([][]byte, error) {
	ctx, end, err := l.begin(ctx, l.o.Timeout)
	if err != nil {
		return nil, err
	}
	defer end()
	l.configs.changed()
	return retry(ctx, func() ([][]byte, error) {
		pinned, err := l.pinned(ctx)
		if err != nil {
			return nil, err
		}
		current, err := l.current(ctx)
		if err != nil {
			return nil, err
		}
		later, err := l.since(ctx, l.client.archives(), pinned, current.Number())
		if err != nil {
			return nil, err
		}
		return append([][]byte{pinned.Block()}, later...), nil
	})
}

// since returns the config blocks after the pinned one, up to and with that of number last.
func (l *Ledger) since(ctx context.Context, peers []*peer, pinned *blockproof.FabricConfig, last uint64) ([][]byte, error) {
	var blocks [][]byte
	for last > pinned.Number() {
		raw, err := l.configBlock(ctx, peers, last)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, raw)
		// A block names the configuration in force, a config block itself.
		_, before, err := l.block(ctx, peers, last-1)
		if err != nil {
			return nil, err
		}
		if last, err = lastConfig(before); err != nil {
			return nil, unavailable(PhaseTransport, "", err)
		}
	}
	slices.Reverse(blocks)
	return blocks, nil
}

func (l *Ledger) configBlock(ctx context.Context, peers []*peer, number uint64) ([]byte, error) {
	l.configs.mu.Lock()
	raw := l.configs.blocks[number]
	l.configs.mu.Unlock()
	if raw != nil {
		return raw, nil
	}
	raw, _, err := l.block(ctx, peers, number)
	if err != nil {
		return nil, err
	}
	if _, err := parseConfig(raw, l.o.Channel); err != nil {
		return nil, unavailable(PhaseTransport, "", fmt.Errorf("a peer's config block %d: %w", number, err))
	}
	l.configs.mu.Lock()
	defer l.configs.mu.Unlock()
	if l.configs.blocks == nil {
		l.configs.blocks = make(map[uint64][]byte)
	}
	l.configs.blocks[number] = raw
	return raw, nil
}

// lastConfig returns the number of the config block that was in force for a block.
func lastConfig(block *common.Block) (uint64, error) {
	number := block.GetHeader().GetNumber()
	if number == 0 {
		return 0, nil
	}
	signatures := block.GetMetadata().GetMetadata()
	if len(signatures) <= int(common.BlockMetadataIndex_SIGNATURES) {
		return 0, fmt.Errorf("block %d has no signatures", number)
	}
	metadata, orderer := new(common.Metadata), new(common.OrdererBlockMetadata)
	if err := unwrap(
		layer{func() []byte { return signatures[common.BlockMetadataIndex_SIGNATURES] }, metadata},
		layer{func() []byte { return metadata.Value }, orderer},
	); err != nil {
		return 0, fmt.Errorf("block %d: %w", number, err)
	}
	last := orderer.GetLastConfig().GetIndex()
	if last > number {
		return 0, fmt.Errorf("block %d names the later config block %d", number, last)
	}
	return last, nil
}

// query asks a system chaincode of the peers about the channel.
func (l *Ledger) query(ctx context.Context, peers []*peer, chaincode, function string, args ...[]byte) ([]byte, error) {
	args = append([][]byte{[]byte(l.o.Channel)}, args...)
	a, err := l.client.evaluate(ctx, peers, chaincode, function, args...)
	if err != nil {
		return nil, err
	}
	return a.response.ProposalResponse.GetResponse().GetPayload(), nil
}

// block returns a block as the first of the peers to answer has it stored.
func (l *Ledger) block(ctx context.Context, peers []*peer, number uint64) ([]byte, *common.Block, error) {
	raw, err := l.query(ctx, peers, "qscc", "GetBlockByNumber", strconv.AppendUint(nil, number, 10))
	if err != nil {
		return nil, nil, err
	}
	block := new(common.Block)
	if err := unmarshal(raw, block); err != nil {
		return nil, nil, unavailable(PhaseTransport, "", fmt.Errorf("a peer's block %d: %w", number, err))
	}
	if got := block.GetHeader().GetNumber(); got != number {
		return nil, nil, unavailable(PhaseTransport, "", fmt.Errorf("a peer's block %d has the number %d", number, got))
	}
	return raw, block, nil
}

// place is where on the chain a head was anchored.
type place struct {
	block       uint64
	index       uint64 // of the transaction in the block; counts if transaction is empty
	transaction string
}

// proof finds the anchored head of a size and proves it.
func (l *Ledger) proof(ctx context.Context, origin string, size uint64) ([]byte, error) {
	a, err := l.evaluate(ctx, chaincode.FuncAt, []byte(origin), strconv.AppendUint(nil, size, 10))
	if err != nil {
		return nil, err
	}
	r, err := readResult(a.response.ProposalResponse, l.o.Chaincode)
	if err != nil {
		return nil, unavailable(PhaseTransport, "", err)
	}
	head, err := checkpoint.Parse(r.value)
	if err != nil || head.Origin != origin || head.Size != size {
		return nil, unavailable(PhaseTransport, "", fmt.Errorf("a peer's head of size %d of %s is another one (%v)", size, origin, err))
	}
	for _, read := range r.state.Reads {
		if read.Key == chaincode.HeadKey(origin, size) && read.Version != nil {
			return l.prove(ctx, place{block: read.Version.BlockNum, index: read.Version.TxNum}, head)
		}
	}
	return nil, unavailable(PhaseTransport, "", errors.New("a peer does not say which block wrote the head"))
}

// prove fetches the block at a place and returns the proof that it anchors head, verified as a court will do it. A peer
// whose block does not prove it is passed over for the next.
func (l *Ledger) prove(ctx context.Context, at place, head checkpoint.Checkpoint) ([]byte, error) {
	return retry(ctx, func() ([]byte, error) {
		pinned, err := l.pinned(ctx)
		if err != nil {
			return nil, err
		}
		var errs []error
		for _, p := range l.client.archives() {
			proof, err := l.proveBy(ctx, p, pinned, at, head)
			if err == nil {
				return proof, nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", p.URL(), err))
		}
		return nil, unavailable(PhaseCommit, at.transaction, errors.Join(errs...))
	})
}

func (l *Ledger) proveBy(ctx context.Context, p *peer, pinned *blockproof.FabricConfig, at place, head checkpoint.Checkpoint) ([]byte, error) {
	source := []*peer{p}
	raw, block, err := l.block(ctx, source, at.block)
	if err != nil {
		return nil, err
	}
	if at.transaction == "" {
		if at.transaction, err = transactionAt(block, at.index); err != nil {
			return nil, err
		}
	}
	last, err := lastConfig(block)
	if err != nil {
		return nil, err
	}
	later, err := l.since(ctx, source, pinned, last)
	if err != nil {
		return nil, err
	}
	proof, err := blockproof.FabricProof{Block: raw, Configs: later, Transaction: at.transaction}.Encode()
	if err != nil {
		return nil, err
	}
	anchored, err := blockproof.VerifyFabric(proof, l.o.Chaincode, pinned)
	if err != nil {
		return nil, err
	}
	if got, err := checkpoint.Parse(anchored.Checkpoint); err != nil || got != head {
		return nil, fmt.Errorf("block %d anchors another head than size %d of %s", at.block, head.Size, head.Origin)
	}
	return proof, nil
}

func transactionAt(block *common.Block, index uint64) (string, error) {
	envelopes := block.GetData().GetData()
	if index >= uint64(len(envelopes)) {
		return "", fmt.Errorf("block %d has %d transactions", block.GetHeader().GetNumber(), len(envelopes))
	}
	_, header, err := openEnvelope(envelopes[index])
	if err != nil {
		return "", fmt.Errorf("block %d: transaction %d: %w", block.GetHeader().GetNumber(), index, err)
	}
	return header.TxId, nil
}

func openEnvelope(encoded []byte) (*common.Payload, *common.ChannelHeader, error) {
	envelope, payload, header := new(common.Envelope), new(common.Payload), new(common.ChannelHeader)
	err := unwrap(
		layer{func() []byte { return encoded }, envelope},
		layer{func() []byte { return envelope.Payload }, payload},
		layer{func() []byte { return payload.GetHeader().GetChannelHeader() }, header},
	)
	return payload, header, err
}
