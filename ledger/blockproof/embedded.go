package blockproof

import (
	"crypto"
	"fmt"
	"time"

	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/ledger/checkpoint"
)

// KindEmbedded is the member "kind" of a proof by an embedded ledger.
const KindEmbedded = "embedded"

// Embedded says what one block of an embedded ledger proves about a log.
type Embedded struct {
	Ledger     string // name of the ledger
	Org        string // organisation that anchored
	Height     uint64 // number of the block
	BlockHash  Hash
	Time       time.Time      // the ledger's own claim
	Key        *sm2.PublicKey // the key that signed the block
	Origin     string         // of the anchored log
	Checkpoint []byte         // the anchored note; its signature by the log is the caller's to check
}

// VerifyEmbedded checks that one of keys signed the block and that the block anchors a tree head: the contract's
// function is Anchor and the state it set holds the very note that it was given.
//
// The error wraps [ErrUnknownKey] if keys lacks the key that the proof names, otherwise [ErrInvalid].
func VerifyEmbedded(proof []byte, keys []*sm2.PublicKey) (Embedded, error) {
	block, key, err := open(proof, keys)
	if err != nil {
		return Embedded{}, err
	}
	if block.Function != "Anchor" || len(block.Args) != 3 {
		return Embedded{}, fmt.Errorf("%w: the block anchors nothing", ErrInvalid)
	}
	origin, note := string(block.Args[0]), block.Args[1]
	head, err := checkpoint.Parse(note)
	if err != nil {
		return Embedded{}, fmt.Errorf("%w: anchored note: %w", ErrInvalid, err)
	}
	if head.Origin != origin {
		return Embedded{}, fmt.Errorf("%w: note of %.80q anchored as %.80q", ErrInvalid, head.Origin, origin)
	}
	if !block.wrote(headKey(origin, head.Size), note) {
		return Embedded{}, fmt.Errorf("%w: the block did not store the note", ErrInvalid)
	}
	hash, err := block.Hash()
	if err != nil {
		return Embedded{}, err
	}
	return Embedded{
		Ledger:     block.Ledger,
		Org:        block.Organisation,
		Height:     block.Number,
		BlockHash:  hash,
		Time:       block.Time,
		Key:        key,
		Origin:     origin,
		Checkpoint: note,
	}, nil
}

// headKey is the contract's state key of an anchored head (package chaincode, "State"). It is part of the format and
// written out here, so that a verifier does not depend on the contract.
func headKey(origin string, size uint64) string {
	return fmt.Sprintf("%s%s %016x", headPrefix, origin, size)
}

// headPrefix begins the state keys of anchored heads and of nothing else.
const headPrefix = "head "

func (b *EmbeddedBlock) wrote(key string, value []byte) bool {
	want := Write{Key: key, SM3: sm3.Sum(value)}
	for _, w := range b.Writes {
		if w == want {
			return true
		}
	}
	return false
}

// OpenEmbedded returns the block in proof if one of keys signed it. Unlike [VerifyEmbedded] it accepts a block of any
// function; it serves those who walk the whole chain. The errors are those of VerifyEmbedded.
func OpenEmbedded(proof []byte, keys []*sm2.PublicKey) (*EmbeddedBlock, error) {
	block, _, err := open(proof, keys)
	return block, err
}

func open(proof []byte, keys []*sm2.PublicKey) (*EmbeddedBlock, *sm2.PublicKey, error) {
	s, err := parse(proof)
	if err != nil {
		return nil, nil, err
	}
	message, err := s.block.message()
	if err != nil {
		return nil, nil, err
	}
	for _, key := range keys {
		if key.Fingerprint() != s.key {
			continue
		}
		if err := key.Verify(message, s.signature); err != nil {
			return nil, nil, fmt.Errorf("%w: block %d: %w", ErrInvalid, s.block.Number, err)
		}
		return s.block, key, nil
	}
	return nil, nil, fmt.Errorf("%w: %x", ErrUnknownKey, s.key)
}

// SealEmbedded signs block and returns its proof. The public key of signer must be an *[sm2.PublicKey].
func SealEmbedded(block *EmbeddedBlock, signer crypto.Signer) ([]byte, error) {
	key, ok := signer.Public().(*sm2.PublicKey)
	if !ok {
		return nil, fmt.Errorf("blockproof: a block cannot be signed with a %T", signer.Public())
	}
	message, err := block.message()
	if err != nil {
		return nil, err
	}
	signature, err := sm2.Sign(signer, message)
	if err != nil {
		return nil, fmt.Errorf("blockproof: signing block %d: %w", block.Number, err)
	}
	proof, err := (&sealed{block: block, key: key.Fingerprint(), signature: signature}).encode()
	if err != nil {
		return nil, err
	}
	if len(proof) > MaxSize {
		return nil, fmt.Errorf("blockproof: block %d has %d bytes, more than %d", block.Number, len(proof), MaxSize)
	}
	// The proof is read back as a verifier will read it: what leaves here can be opened.
	if _, _, err := open(proof, []*sm2.PublicKey{key}); err != nil {
		return nil, err
	}
	return proof, nil
}
