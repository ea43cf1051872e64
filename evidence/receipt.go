package evidence

import (
	"crypto"
	"errors"
	"fmt"

	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/ledger/tlog"
)

// SchemaReceipt names the format of a receipt. It is also the first line of the message that is signed.
const SchemaReceipt = "cunzheng/receipt/v1"

const (
	maxReceiptSize = 64 << 10
	maxProof       = 64 // hashes of an inclusion proof: one for each level of a tree of 2^64 leaves
	maxNote        = 16 << 10
)

// Receipt is the platform's answer to a deposit: the statement is in the log, durable, at this index, under this
// signed checkpoint, with this proof.
//
// The order of the fields is the order of RFC 8785.
type Receipt struct {
	Checkpoint string   `json:"checkpoint"` // signed note of a tree that holds the statement
	Index      uint64   `json:"index"`      // of the leaf
	IssuedAt   Instant  `json:"issuedAt"`   // when the receipt was signed; the key must be in use then
	Key        Digest   `json:"key"`        // fingerprint of the receipt key
	Leaf       Digest   `json:"leaf"`       // SM3(0x00 || statement)
	Log        string   `json:"log"`        // origin
	Number     string   `json:"number,omitzero"`
	Proof      []Digest `json:"proof"` // inclusion proof in the tree of Checkpoint, leaf upwards
	ReceivedAt Instant  `json:"receivedAt"`
	Schema     string   `json:"schema"`
	Signature  []byte   `json:"signature,omitzero"` // SM2, canonical DER, in JSON base64
	Statement  Digest   `json:"statement"`          // SM3 of the statement, as any tool computes it
}

// NewReceipt returns the unsigned receipt of statement s, whose encoded form stands at index of the log under the
// signed checkpoint note.
func NewReceipt(s *Statement, encoded []byte, index uint64, note []byte, proof []tlog.Hash) *Receipt {
	return &Receipt{
		Checkpoint: string(note),
		Index:      index,
		Leaf:       Digest(tlog.LeafHash(encoded)),
		Log:        s.Log,
		Number:     s.Number,
		Proof:      digests(proof),
		ReceivedAt: s.ReceivedAt,
		Schema:     SchemaReceipt,
		Statement:  sm3.Sum(encoded),
	}
}

// digests returns the proof as it stands in JSON, where an empty proof is an empty array.
func digests(proof []tlog.Hash) []Digest {
	d := make([]Digest, len(proof))
	for i, h := range proof {
		d[i] = Digest(h)
	}
	return d
}

func hashes(proof []Digest) []tlog.Hash {
	h := make([]tlog.Hash, len(proof))
	for i, d := range proof {
		h[i] = tlog.Hash(d)
	}
	return h
}

// Sign signs the receipt at the time issued with the platform's receipt key. It sets IssuedAt, Key and Signature.
func (r *Receipt) Sign(signer crypto.Signer, issued Instant) error {
	key, ok := signer.Public().(*sm2.PublicKey)
	if !ok {
		return errors.New("receipt: the signer has no SM2 key")
	}
	r.Key, r.IssuedAt = key.Fingerprint(), issued
	message, err := r.message()
	if err != nil {
		return err
	}
	if r.Signature, err = sm2.Sign(signer, message); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return nil
}

// message returns what is signed: the line "cunzheng/receipt/v1\n" and the canonical receipt without its signature.
func (r *Receipt) message() ([]byte, error) {
	unsigned := *r
	unsigned.Signature = nil
	text, err := canonical(&unsigned)
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return signedMessage(SchemaReceipt, text), nil
}

// signedMessage separates what is signed for one purpose from all others: the schema's name, a newline, the text.
func signedMessage(schema string, text []byte) []byte {
	message := make([]byte, 0, len(schema)+1+len(text))
	message = append(message, schema...)
	message = append(message, '\n')
	return append(message, text...)
}

// Encode returns the canonical form of a signed receipt.
func (r *Receipt) Encode() ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return canonical(r)
}

func (r *Receipt) validate() error {
	var p problems
	switch {
	case r.Schema != SchemaReceipt:
		return schemaError(r.Schema, SchemaReceipt)
	case r.Index > maxInteger:
		return errors.New("index is out of range")
	case r.Proof == nil || len(r.Proof) > maxProof:
		return errors.New("proof is missing or too long")
	case r.Checkpoint == "" || len(r.Checkpoint) > maxNote:
		return errors.New("checkpoint is missing or too long")
	case r.Key.IsZero() || r.Leaf.IsZero() || r.Statement.IsZero():
		return errors.New("a digest is missing")
	case len(r.Signature) == 0:
		return errors.New("signature is missing")
	}
	p.origin("log", r.Log)
	p.instant("receivedAt", r.ReceivedAt, false)
	p.instant("issuedAt", r.IssuedAt, false)
	if r.Number != "" {
		p.number("number", r.Number)
	}
	return p.err()
}

// ParseReceipt reads exactly what Encode writes. It checks no signature.
//
// The error wraps a *[SchemaError] if the schema is not of this version.
func ParseReceipt(data []byte) (*Receipt, error) {
	r := new(Receipt)
	if err := parseCanonical(data, maxReceiptSize, r, r.Encode); err != nil {
		if newer := newerSchema(data, SchemaReceipt); newer != nil {
			return nil, newer
		}
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return r, nil
}

// VerifySignature checks the receipt's signature. The error wraps [sm2.ErrSignature].
func (r *Receipt) VerifySignature(key *sm2.PublicKey) error {
	if r.Key != Digest(key.Fingerprint()) {
		return fmt.Errorf("receipt: signed by key %s, not %x: %w", r.Key, key.Fingerprint(), sm2.ErrSignature)
	}
	message, err := r.message()
	if err != nil {
		return err
	}
	if err := key.Verify(message, r.Signature); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return nil
}

// matches checks that the receipt speaks of this statement.
func (r *Receipt) matches(s *Statement, encoded []byte) error {
	if err := r.matchesBytes(encoded); err != nil {
		return err
	}
	if r.Number != s.Number || r.Log != s.Log || r.ReceivedAt != s.ReceivedAt {
		return errors.New("receipt: number, log or time of receipt differs from the statement")
	}
	return nil
}

func (r *Receipt) matchesBytes(encoded []byte) error {
	if r.Statement != Digest(sm3.Sum(encoded)) {
		return errors.New("receipt: SM3 of the statement differs")
	}
	if r.Leaf != Digest(tlog.LeafHash(encoded)) {
		return errors.New("receipt: leaf hash differs")
	}
	return nil
}
