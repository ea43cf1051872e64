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

// Deposit is the answer to a deposit. Statement and receipt together are the proof and are worth keeping.
type Deposit struct {
	Number    string         `json:"number"`
	Receipt   jsontext.Value `json:"receipt"`           // evidence.Receipt, signed
	Statement jsontext.Value `json:"statement"`         // evidence.Statement, as logged
	Replayed  bool           `json:"replayed,omitzero"` // the idempotency key was known; this is the first deposit
	Earlier   []string       `json:"earlier,omitempty"` // newest numbers under which the organisation deposited this SM3 before
	Notes     []Note         `json:"notes,omitempty"`
}

// Note is something about a deposit that its depositor should know.
type Note struct {
	Code string `json:"code"` // for example EMPTY_FILE
	ZH   string `json:"zh"`
	EN   string `json:"en"`
}

// BatchAnswer answers one line of a batch: with a deposit or with a problem.
type BatchAnswer struct {
	Line    int      `json:"line"`   // counted from 1
	Status  int      `json:"status"` // as the line would have been answered on its own
	Deposit *Deposit `json:"deposit,omitzero"`
	Problem *Problem `json:"problem,omitzero"`
}
