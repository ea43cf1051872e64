package evidence

import (
	"io"

	"cunzheng/ledger/tlog"
)

// Bundle is what one bundle file holds, but for the original.
type Bundle struct {
	Statement   []byte       // encoded
	Receipt     *Receipt     // signed
	Proof       *Proof       // nil while the statement is not anchored
	Disclosures []Disclosure // commitments to open; may be empty
	Trust       *Trust       // snapshot for information; a verifier never trusts it
	Created     Instant      // when the bundle is written
}

// SchemaProof names the format of an anchoring proof.
const SchemaProof = "cunzheng/proof/v1"

// Proof shows that a ledger has accepted a tree head that covers the statement.
//
// The order of the fields is the order of RFC 8785.
type Proof struct {
	Block      []byte   `json:"block"`      // the ledger's block proof, in JSON base64
	Checkpoint string   `json:"checkpoint"` // the anchored signed note
	Index      uint64   `json:"index"`      // of the leaf
	Kind       string   `json:"kind"`       // of the ledger: LedgerEmbedded or LedgerFabric
	Log        string   `json:"log"`        // origin
	Proof      []Digest `json:"proof"`      // inclusion proof in the tree of Checkpoint, leaf upwards
	Schema     string   `json:"schema"`
}

// NewProof returns the proof for the leaf at index: note is the anchored checkpoint, inclusion the proof in its tree,
// block what the ledger answered.
func NewProof(log string, index uint64, note []byte, inclusion []tlog.Hash, kind string, block []byte) *Proof {
	return &Proof{Block: block, Checkpoint: string(note), Index: index, Kind: kind, Log: log, Proof: digests(inclusion), Schema: SchemaProof}
}

// ContentSource is the original that WriteBundle packs. Size and CRC32 are known before the first byte is read, since
// both stand before the data in the file.
type ContentSource struct {
	Name   string // file name if it is disclosed, otherwise empty
	Size   int64
	CRC32  uint32 // IEEE
	SM3    Digest
	SHA256 Digest
	Open   func() (io.ReadCloser, error)
}
