package blockproof

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cunzheng/crypto/sm3"
)

const (
	blockDomain = "cunzheng.embedded-block.v1\n"
	timeFormat  = "2006-01-02T15:04:05.000Z"

	maxNumber = 1<<53 - 1 // the greatest integer that RFC 8785 renders exactly
	maxName   = 255       // bytes of a ledger's or organisation's name
)

// Hash is the SM3 hash of a block.
type Hash [sm3.Size]byte

// String renders the hash as lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// EmbeddedBlock is one block of an embedded ledger, which holds one accepted transaction.
type EmbeddedBlock struct {
	Number       uint64
	Previous     Hash      // of block Number-1; zero in block 0
	Ledger       string    // name of the ledger
	Organisation string    // who sent the transaction
	Time         time.Time // of the ledger's clock, in milliseconds; the ledger's own claim
	Function     string    // of the contract
	Args         [][]byte
	Writes       []Write // in the order of their keys, without duplicates
	Events       []Event // at most one
}

// Write is one row of state that the transaction set. Only the digest of the value is in the block.
type Write struct {
	Key string
	SM3 [sm3.Size]byte
}

// Event is what the transaction announced.
type Event struct {
	Name    string
	Payload []byte
}

// Hash returns the block's hash.
func (b *EmbeddedBlock) Hash() (Hash, error) {
	message, err := b.message()
	if err != nil {
		return Hash{}, err
	}
	return sm3.Sum(message), nil
}

// message returns what is hashed and signed.
func (b *EmbeddedBlock) message() ([]byte, error) {
	if err := b.validate(); err != nil {
		return nil, err
	}
	body, err := canonical(b.wire())
	if err != nil {
		return nil, err
	}
	return append([]byte(blockDomain), body...), nil
}

func (b *EmbeddedBlock) validate() error {
	switch {
	case b.Number > maxNumber:
		return fmt.Errorf("%w: block number above 2^53", ErrInvalid)
	case b.Number == 0 && b.Previous != Hash{}:
		return fmt.Errorf("%w: block 0 has a predecessor", ErrInvalid)
	case !validName(b.Ledger):
		return fmt.Errorf("%w: name of the ledger", ErrInvalid)
	case !validName(b.Organisation):
		return fmt.Errorf("%w: name of the organisation", ErrInvalid)
	case !validName(b.Function):
		return fmt.Errorf("%w: name of the function", ErrInvalid)
	case b.Time.Year() < 1 || b.Time.Year() > 9999:
		return fmt.Errorf("%w: time out of range", ErrInvalid)
	case len(b.Events) > 1:
		return fmt.Errorf("%w: more than one event", ErrInvalid)
	}
	for i, w := range b.Writes {
		if w.Key == "" || i > 0 && w.Key <= b.Writes[i-1].Key {
			return fmt.Errorf("%w: writes out of order", ErrInvalid)
		}
	}
	return nil
}

func validName(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, unicode.IsControl)
}

// The wire types give the members of the JSON text. They change only with the format's version.
type (
	wireProof struct {
		Block     wireBlock `json:"block"`
		Key       string    `json:"key"`
		Kind      string    `json:"kind"`
		Signature []byte    `json:"signature"`
	}
	wireBlock struct {
		Args         [][]byte    `json:"args"`
		Events       []wireEvent `json:"events"`
		Function     string      `json:"function"`
		Ledger       string      `json:"ledger"`
		Number       uint64      `json:"number"`
		Organisation string      `json:"organisation"`
		Previous     string      `json:"previous"`
		Time         string      `json:"time"`
		Writes       []wireWrite `json:"writes"`
	}
	wireEvent struct {
		Name    string `json:"name"`
		Payload []byte `json:"payload"`
	}
	wireWrite struct {
		Key string `json:"key"`
		SM3 string `json:"sm3"`
	}
)

func (b *EmbeddedBlock) wire() wireBlock {
	w := wireBlock{
		Args:         b.Args,
		Function:     b.Function,
		Ledger:       b.Ledger,
		Number:       b.Number,
		Organisation: b.Organisation,
		Previous:     b.Previous.String(),
		Time:         b.Time.UTC().Format(timeFormat),
	}
	for _, e := range b.Events {
		w.Events = append(w.Events, wireEvent(e))
	}
	for _, row := range b.Writes {
		w.Writes = append(w.Writes, wireWrite{Key: row.Key, SM3: hex.EncodeToString(row.SM3[:])})
	}
	return w
}

func (w *wireBlock) block() (*EmbeddedBlock, error) {
	b := &EmbeddedBlock{
		Number:       w.Number,
		Ledger:       w.Ledger,
		Organisation: w.Organisation,
		Function:     w.Function,
		Args:         w.Args,
	}
	var err error
	if b.Previous, err = parseDigest(w.Previous); err != nil {
		return nil, err
	}
	if b.Time, err = time.Parse(timeFormat, w.Time); err != nil {
		return nil, fmt.Errorf("%w: time: %w", ErrInvalid, err)
	}
	for _, e := range w.Events {
		b.Events = append(b.Events, Event(e))
	}
	for _, row := range w.Writes {
		digest, err := parseDigest(row.SM3)
		if err != nil {
			return nil, err
		}
		b.Writes = append(b.Writes, Write{Key: row.Key, SM3: digest})
	}
	return b, b.validate()
}

func parseDigest(s string) (d [sm3.Size]byte, err error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(d) {
		return d, fmt.Errorf("%w: digest %.80q", ErrInvalid, s)
	}
	copy(d[:], raw)
	return d, nil
}

// sealed is a block with its signature.
type sealed struct {
	block     *EmbeddedBlock
	key       [sm3.Size]byte // fingerprint
	signature []byte
}

func (s *sealed) encode() ([]byte, error) {
	return canonical(wireProof{
		Block:     s.block.wire(),
		Key:       hex.EncodeToString(s.key[:]),
		Kind:      KindEmbedded,
		Signature: s.signature,
	})
}

// parse is the inverse of encode. It accepts no other text for the same content.
func parse(proof []byte) (*sealed, error) {
	if len(proof) > MaxSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrInvalid, MaxSize)
	}
	var w wireProof
	if err := json.Unmarshal(proof, &w, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if w.Kind != KindEmbedded {
		return nil, fmt.Errorf("%w: kind %.80q", ErrInvalid, w.Kind)
	}
	key, err := parseDigest(w.Key)
	if err != nil {
		return nil, err
	}
	block, err := w.Block.block()
	if err != nil {
		return nil, err
	}
	s := &sealed{block: block, key: key, signature: w.Signature}
	again, err := s.encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, proof) {
		return nil, fmt.Errorf("%w: not canonical", ErrInvalid)
	}
	return s, nil
}

func canonical(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	value := jsontext.Value(text)
	if err := value.Canonicalize(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return value, nil
}
