package blockproof

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
)

// KindFabric is the member "kind" of a proof by a channel of Hyperledger Fabric.
const KindFabric = "fabric"

// MaxFabricSize is the greatest length of an encoded [FabricProof] in bytes.
const MaxFabricSize = 4 << 20

// maxConfigs bounds the config blocks in a proof.
const maxConfigs = 256

// FabricProof is what a Fabric channel says about one anchored head.
type FabricProof struct {
	Block       []byte   // common.Block that holds the transaction
	Configs     [][]byte // config blocks that lead from one that verifiers trust to the one in force, oldest first; may be empty
	Transaction string   // identifier of the transaction that anchored
}

// wireFabric gives the members of the JSON text. They change only with the format's version.
type wireFabric struct {
	Block       []byte   `json:"block"`
	Configs     [][]byte `json:"configs"`
	Kind        string   `json:"kind"`
	Transaction string   `json:"transaction"`
}

// Encode returns the proof as canonical JSON. Of the blocks it keeps what somebody signed: header, transactions, and
// the orderers' signatures. The blocks may be given as peers hand them out.
func (p FabricProof) Encode() ([]byte, error) {
	w := wireFabric{Configs: [][]byte{}, Kind: KindFabric, Transaction: p.Transaction}
	var err error
	if w.Block, err = trimBlock(p.Block); err != nil {
		return nil, err
	}
	for _, raw := range p.Configs {
		trimmed, err := trimBlock(raw)
		if err != nil {
			return nil, err
		}
		w.Configs = append(w.Configs, trimmed)
	}
	text, err := canonical(w)
	if err != nil {
		return nil, err
	}
	// The proof is read back as a verifier will read it: what leaves here can be parsed.
	if _, err := parseFabric(text); err != nil {
		return nil, err
	}
	return text, nil
}

// fabricProof is a parsed proof.
type fabricProof struct {
	block       *fabricBlock
	configs     []*FabricConfig
	transaction string
}

// parseFabric is the inverse of Encode. It accepts no other text for the same content.
func parseFabric(proof []byte) (*fabricProof, error) {
	if len(proof) > MaxFabricSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrInvalid, MaxFabricSize)
	}
	var w wireFabric
	if err := json.Unmarshal(proof, &w, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if w.Kind != KindFabric {
		return nil, fmt.Errorf("%w: kind %.80q", ErrInvalid, w.Kind)
	}
	again, err := canonical(w)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, proof) {
		return nil, fmt.Errorf("%w: not canonical", ErrInvalid)
	}
	if len(w.Configs) > maxConfigs {
		return nil, fmt.Errorf("%w: %d config blocks", ErrInvalid, len(w.Configs))
	}
	p := &fabricProof{transaction: w.Transaction}
	if p.block, err = parseTrimmed(w.Block); err != nil {
		return nil, err
	}
	for _, raw := range w.Configs {
		if len(raw) > MaxFabricConfigSize {
			return nil, fmt.Errorf("%w: config block of %d bytes", ErrInvalid, len(raw))
		}
		b, err := parseTrimmed(raw)
		if err != nil {
			return nil, err
		}
		c, err := newConfig(b)
		if err != nil {
			return nil, err
		}
		p.configs = append(p.configs, c)
	}
	return p, nil
}

// Fabric says what one block of a Fabric channel proves about a log: enough organisations' peers ran the contract on
// the head and signed the result, and a quorum of the orderers put that transaction into this block.
//
// It does not say that the peers let the transaction take effect when they stored the block: that is a flag which
// nobody signs. A transaction that another one in the same block made void is refused; one that was made void by a
// block between its endorsement and this one cannot be told from outside.
type Fabric struct {
	Channel     string
	Chaincode   string
	Org         string // MSP ID of the transaction's creator
	Transaction string
	Height      uint64            // number of the block
	BlockHash   [sha256.Size]byte // SHA-256
	Time        time.Time         // the creator's claim
	Config      uint64            // number of the config block in force

	Consenters []string // MSP IDs whose orderers signed the block, sorted
	Signatures int      // of orderers
	Quorum     int      // how many were needed
	Orderers   int      // how many there are

	Endorsers     []string // MSP IDs whose endorsements count, sorted
	Organisations []string // MSP IDs that may endorse, sorted

	Origin     string // of the anchored log
	Checkpoint []byte // the anchored note; its signature by the log is the caller's to check
}

// VerifyFabric checks that the block in the proof holds a transaction of the chaincode that anchors a tree head. What
// it believes are the pinned configurations: organisations, orderers and policies come from the one in force, which is
// pinned itself or follows from the last one pinned before it, each signed by the orderers of the one before.
//
// The error wraps [ErrUnknownKey] if no pinned configuration of the channel leads to the one in force, otherwise
// [ErrInvalid].
func VerifyFabric(proof []byte, chaincode string, pinned ...*FabricConfig) (Fabric, error) {
	p, err := parseFabric(proof)
	if err != nil {
		return Fabric{}, err
	}
	anchor, earlier, err := p.actions(chaincode)
	if err != nil {
		return Fabric{}, err
	}
	origin, note, err := anchor.anchored()
	if err != nil {
		return Fabric{}, err
	}
	config, err := p.inForce(anchor.channel, pinned)
	if err != nil {
		return Fabric{}, err
	}
	orderers, err := config.verifyOrderers(p.block, anchor.time)
	if err != nil {
		return Fabric{}, err
	}
	creator, endorsers, err := config.verifyAction(anchor)
	if err != nil {
		return Fabric{}, err
	}
	if err := config.notOvertaken(anchor, earlier); err != nil {
		return Fabric{}, err
	}
	return Fabric{
		Channel:       anchor.channel,
		Chaincode:     chaincode,
		Org:           creator.msp.id,
		Transaction:   anchor.transaction,
		Height:        p.block.number,
		BlockHash:     p.block.hash(),
		Time:          anchor.time,
		Config:        config.Number(),
		Consenters:    organisationsOf(orderers),
		Signatures:    len(orderers),
		Quorum:        config.Quorum(),
		Orderers:      len(config.consenters),
		Endorsers:     organisationsOf(endorsers),
		Organisations: config.Organisations(),
		Origin:        origin,
		Checkpoint:    note,
	}, nil
}

// FabricChannel returns the channel whose transaction the proof names, so that a caller finds the configurations that
// VerifyFabric wants. Nothing is verified by it. The error wraps [ErrInvalid].
func FabricChannel(proof []byte) (string, error) {
	p, err := parseFabric(proof)
	if err != nil {
		return "", err
	}
	found, _, err := p.find()
	if err != nil {
		return "", err
	}
	return found.channel, nil
}

// find returns the envelope of the transaction that the proof names, and those that stand before it.
func (p *fabricProof) find() (found *envelope, before []*envelope, err error) {
	for i, raw := range p.block.envelopes {
		e, err := parseEnvelope(raw)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("envelope %d: %w", i, err)
		case e.transaction != p.transaction && found == nil:
			before = append(before, e)
		case e.transaction == p.transaction && found != nil:
			return nil, nil, fmt.Errorf("%w: the block holds the transaction twice", ErrInvalid)
		case e.transaction == p.transaction:
			found = e
		}
	}
	if found == nil {
		return nil, nil, fmt.Errorf("%w: the block does not hold the transaction", ErrInvalid)
	}
	return found, before, nil
}

// actions returns the transaction that the proof names, and those of the same chaincode that stand before it.
func (p *fabricProof) actions(chaincode string) (anchor *action, earlier []*action, err error) {
	found, before, err := p.find()
	if err != nil {
		return nil, nil, err
	}
	if anchor, err = found.parseAction(chaincode); err != nil {
		return nil, nil, err
	}
	for _, e := range before {
		if a, err := e.parseAction(chaincode); err == nil {
			earlier = append(earlier, a)
		}
	}
	return anchor, earlier, nil
}

// inForce returns the configuration by which the block is to be judged.
func (p *fabricProof) inForce(channel string, pinned []*FabricConfig) (*FabricConfig, error) {
	number := p.block.lastConfig
	if number >= p.block.number {
		return nil, fmt.Errorf("%w: block %d names the config block %d", ErrInvalid, p.block.number, number)
	}
	if n := len(p.configs); n > 0 && p.configs[n-1].Number() != number {
		return nil, fmt.Errorf("%w: config blocks: the last one is %d, that in force %d", ErrInvalid, p.configs[n-1].Number(), number)
	}
	var config *FabricConfig
	for _, c := range pinned {
		if c.channel == channel && c.Number() <= number && (config == nil || c.Number() > config.Number()) {
			config = c
		}
	}
	if config == nil {
		return nil, fmt.Errorf("%w: no trusted configuration of channel %.80q before block %d", ErrUnknownKey, channel, p.block.number)
	}
	// Config blocks up to the pinned one are for verifiers that have pinned an older one.
	rest := p.configs
	if i := slices.IndexFunc(rest, func(c *FabricConfig) bool { return c.Number() > config.Number() }); i >= 0 {
		rest = rest[i:]
	} else {
		rest = nil
	}
	if config.Number() == number {
		return config, nil
	}
	if len(rest) == 0 || rest[0].sequence > config.sequence+1 {
		return nil, fmt.Errorf("%w: config block %d of channel %.80q is not trusted, and the trusted block %d does not lead to it", ErrUnknownKey, number, channel, config.Number())
	}
	for _, next := range rest {
		if err := config.follow(next); err != nil {
			return nil, err
		}
		config = next
	}
	return config, nil
}

// notOvertaken checks that no transaction before the anchor in the block made it void. One that was not endorsed
// itself has no effect.
func (c *FabricConfig) notOvertaken(anchor *action, earlier []*action) error {
	for _, a := range earlier {
		if !a.overtakes(anchor) || a.channel != c.channel {
			continue
		}
		if _, _, err := c.verifyAction(a); err == nil {
			return fmt.Errorf("%w: overtaken: transaction %.16s in the same block had changed what the transaction rests on", ErrInvalid, a.transaction)
		}
	}
	return nil
}
