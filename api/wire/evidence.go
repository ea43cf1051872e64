package wire

import (
	"github.com/go-json-experiment/json/jsontext"

	"cunzheng/evidence"
)

// Evidence is one record as its readers see it.
type Evidence struct {
	Number    string            `json:"number"`
	Level     string            `json:"level"`              // "accepted", or "anchored" once a ledger holds a checkpoint over it
	Statement jsontext.Value    `json:"statement"`          // evidence.Statement, as logged
	Receipt   jsontext.Value    `json:"receipt"`            // evidence.Receipt
	Disclosed map[string]string `json:"disclosed,omitzero"` // committed fields the caller may read
}

// Summary is one line of a search result.
type Summary struct {
	Number       string           `json:"number"`
	Type         string           `json:"type"`
	ReceivedAt   evidence.Instant `json:"receivedAt"`
	Organisation string           `json:"organisation"`
	SM3          evidence.Digest  `json:"sm3"`
	SHA256       evidence.Digest  `json:"sha256,omitzero"`
	Size         *int64           `json:"size,omitempty"`
	Case         string           `json:"case,omitzero"`
	Correlation  string           `json:"correlation,omitzero"`
}

// Orders of a search result.
const (
	OldestFirst = "oldest" // the default
	NewestFirst = "newest"
)

// Page is one page of a search result, in the order of the log or the other way round.
type Page struct {
	Items []Summary `json:"items"`
	Next  string    `json:"next,omitzero"` // cursor of the next page; absent on the last
}
