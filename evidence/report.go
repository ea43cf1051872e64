package evidence

// SchemaReport names the format of a report.
const SchemaReport = "cunzheng/report/v1"

// Verdict is the total result.
type Verdict string

// Verdicts. One failed check makes the whole FAILED; else one that could not be decided makes it INDETERMINATE.
const (
	Passed        Verdict = "PASSED"
	Indeterminate Verdict = "INDETERMINATE"
	Failed        Verdict = "FAILED"
)

// Status is the result of one check.
type Status string

// Statuses of a check.
const (
	StatusPassed        Status = "PASSED"
	StatusFailed        Status = "FAILED"
	StatusIndeterminate Status = "INDETERMINATE"
	StatusSkipped       Status = "SKIPPED" // nothing to check, or an earlier check left nothing to work on
)

// Level is the highest rung of proof that holds.
type Level string

// Levels.
const (
	LevelNone     Level = "none"     // the verdict is not PASSED
	LevelAccepted Level = "accepted" // in the platform's log, signed
	LevelAnchored Level = "anchored" // and the log's head is on a ledger
)

// Report is the result of [Verify]. The same input gives the same report, byte for byte.
//
// The order of the fields is the order of RFC 8785.
type Report struct {
	At      Instant  `json:"at"`              // the time for which the verdict is given
	Bundle  Digest   `json:"bundle,omitzero"` // SM3 of the bundle's manifest
	Checks  []Check  `json:"checks"`
	Level   Level    `json:"level"`
	Limits  []Remark `json:"limits"` // what is not proven
	Number  string   `json:"number,omitzero"`
	Proves  []Remark `json:"proves"` // what is proven; empty unless the verdict is PASSED
	Schema  string   `json:"schema"`
	Subject *Subject `json:"subject,omitzero"` // nil if the statement could not be read
	Trust   Digest   `json:"trust,omitzero"`   // SM3 of the canonical trust file
	Verdict Verdict  `json:"verdict"`
}

// Check is one thing that was checked.
type Check struct {
	Code   string `json:"code"`            // reason, stable
	Detail string `json:"detail,omitzero"` // technical detail, English
	EN     string `json:"en"`
	ID     string `json:"id"` // what was checked, stable
	Status Status `json:"status"`
	ZH     string `json:"zh"`
}

// Remark is one sentence with a stable code.
type Remark struct {
	Code string `json:"code"`
	EN   string `json:"en"`
	ZH   string `json:"zh"`
}

// Subject sums up what the bundle speaks of. It is what the statement says; whether it is proven is the verdict's
// matter.
type Subject struct {
	Anchor       *AnchorSummary  `json:"anchor,omitzero"`
	Disclosed    []DisclosedText `json:"disclosed,omitzero"` // opened commitments that match
	Index        uint64          `json:"index"`
	Log          string          `json:"log"`
	Office       string          `json:"office,omitzero"` // operator of the log, from the trust file
	ReceiptKey   Digest          `json:"receiptKey,omitzero"`
	Statement    *Statement      `json:"statement"`
	WithOriginal bool            `json:"withOriginal"`      // the bundle holds the original
	Withheld     []string        `json:"withheld,omitzero"` // committed fields that are not opened
}

// AnchorSummary says where the log's head was anchored.
type AnchorSummary struct {
	BlockHash  Digest             `json:"blockHash"`           // LedgerEmbedded: SM3; LedgerFabric: SHA-256 of the header
	Consortium *ConsortiumSummary `json:"consortium,omitzero"` // LedgerFabric only
	Height     uint64             `json:"height"`
	Kind       string             `json:"kind"`
	Ledger     string             `json:"ledger"`             // name; LedgerFabric: of the channel
	Operators  []string           `json:"operators,omitzero"` // from the trust file
	Size       uint64             `json:"size"`               // of the anchored tree
	Time       Instant            `json:"time"`               // LedgerEmbedded: the ledger's own claim; LedgerFabric: the submitter's
}

// ConsortiumSummary says who of a consortium stands for a block. Organisations are named by their MSP IDs, sorted.
type ConsortiumSummary struct {
	Chaincode   string   `json:"chaincode"`
	Config      uint64   `json:"config"`      // number of the config block in force
	Endorsers   []string `json:"endorsers"`   // whose peers ran the contract and signed the result
	Orderers    []string `json:"orderers"`    // whose orderers signed the block
	Quorum      int      `json:"quorum"`      // signatures of orderers that were needed
	Signatures  int      `json:"signatures"`  // of orderers
	Submitter   string   `json:"submitter"`   // who created the transaction
	Total       int      `json:"total"`       // orderers there are
	Transaction string   `json:"transaction"` // its identifier
}

// DisclosedText is one opened field.
type DisclosedText struct {
	Field string `json:"field"`
	Value string `json:"value"`
}
