package wire

import (
	"github.com/go-json-experiment/json/jsontext"

	"cunzheng/evidence"
)

// Metadata describes what is deposited. All of it is optional but the name of a file.
type Metadata struct {
	Name        string `json:"name,omitzero"`        // a file name without folders; enters the log only as a commitment
	MediaType   string `json:"mediaType,omitzero"`   // for example application/pdf
	Case        string `json:"case,omitzero"`        // case number
	Correlation string `json:"correlation,omitzero"` // joins the records of one business process

	Provenance *evidence.Provenance `json:"provenance,omitzero"` // where the data comes from
	Private    map[string]string    `json:"private,omitzero"`    // personal and free text; enters the log only as commitments
	Related    []string             `json:"related,omitzero"`    // numbers of related evidence
}

// FileMetadata is the metadata part of a file deposit.
type FileMetadata struct {
	Metadata

	SM3    evidence.Digest `json:"sm3,omitzero"`    // expected; the deposit is refused if the bytes contradict it
	SHA256 evidence.Digest `json:"sha256,omitzero"` // expected
	Size   *int64          `json:"size,omitempty"`  // expected, in bytes
}

// DigestDeposit is the deposit of a digest: the bytes stay with the depositor.
type DigestDeposit struct {
	Metadata

	SM3            evidence.Digest `json:"sm3"`
	SHA256         evidence.Digest `json:"sha256,omitzero"`
	Size           *int64          `json:"size,omitempty"`          // in bytes
	IdempotencyKey string          `json:"idempotencyKey,omitzero"` // instead of the header, in batches
}

// BatchAnswer answers one line of a batch.
type BatchAnswer struct {
	Line    int            `json:"line"`              // counted from 1
	Status  int            `json:"status"`            // as the line would have been answered on its own
	Receipt jsontext.Value `json:"receipt,omitzero"`  // evidence.Receipt
	Replay  bool           `json:"replayed,omitzero"` // the idempotency key was known; the receipt is the first one
	Problem *Problem       `json:"problem,omitzero"`
}
