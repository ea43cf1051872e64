package notary

import (
	"time"

	"cunzheng/evidence"
)

// FileDeposit describes a file to preserve. Only the name is needed.
type FileDeposit struct {
	Name        string // without folders; enters the log only as a commitment
	MediaType   string
	Case        string
	Correlation string
	Provenance  *evidence.Provenance
	Private     map[string]string // personal and free text by field; enters the log only as commitments
	Related     []string          // numbers of related evidence

	// IdempotencyKey makes repeating safe: with the same key, an organisation's same deposit is made once. Empty: none.
	IdempotencyKey string

	// What the depositor expects of the bytes; a contradiction refuses the deposit. Zero values expect nothing.
	ExpectSM3    evidence.Digest
	ExpectSHA256 evidence.Digest
	ExpectSize   *int64
}

// DigestDeposit describes content that stays with the depositor. Only SM3 is needed.
type DigestDeposit struct {
	SM3         evidence.Digest
	SHA256      evidence.Digest
	Size        *int64
	Name        string
	MediaType   string
	Case        string
	Correlation string
	Provenance  *evidence.Provenance
	Private     map[string]string
	Related     []string

	IdempotencyKey string
}

// Deposit is the answer to a deposit.
type Deposit struct {
	Number    string
	Statement []byte // as logged: canonical evidence.Statement
	Receipt   []byte // canonical evidence.Receipt, signed

	// Duplicate means that this very deposit, by its idempotency key, was made before; all fields are the first one's.
	Duplicate bool
	// Earlier holds the newest few numbers under which the depositor's organisation has deposited the same SM3 before.
	Earlier []string
	Notes   []Note
}

// Note is something about a deposit that its depositor should know.
type Note struct {
	Code   string
	ZH, EN string
}

// Codes of a [Note].
const NoteEmptyFile = "EMPTY_FILE"

// Result is the answer to one deposit of several: one of the two.
type Result struct {
	Deposit *Deposit
	Err     error
}

// MaxBatch is how many digests one call takes.
const MaxBatch = 10_000

// Record is one piece of evidence as an actor may see it.
type Record struct {
	Number     string
	Statement  []byte // as logged
	Receipt    []byte // made for this answer, under the checkpoint the entry was accepted with
	Anchored   bool   // a shared ledger has accepted a checkpoint that covers it
	AnchorSize uint64 // size of that checkpoint
	// Disclosed holds the committed fields the actor may read. Fields that were erased are missing.
	Disclosed map[string]string
}

// Query asks for evidence. All filters that are set must fit.
type Query struct {
	Number      string
	SM3         evidence.Digest
	SHA256      evidence.Digest
	Depositor   string // organisation
	Case        string
	Correlation string
	From, To    time.Time // of receipt; From inclusive, To exclusive

	NewestFirst bool
	Cursor      string // Next of the page before
	Limit       int    // at most; 0 means DefaultPage; no more than MaxPage
}

// The Query.Limit that 0 means, and the greatest.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// Page is a part of the answer to a [Query].
type Page struct {
	Items []Item
	// Next asks for the next page. A page can be short, even empty, and have a next one: the work of one call is bounded.
	Next string
}

// Item is one piece of evidence that was found.
type Item struct {
	Index     uint64
	Statement *evidence.Statement
}

// BundleOptions say what a bundle is to hold beside statement, receipt and proof.
type BundleOptions struct {
	WithContent bool // the original; an error if there is none, or the actor may not have it
	Disclose    bool // the opened commitments, if the actor may have them
}

// ContentInfo describes an original.
type ContentInfo struct {
	Name      string // empty: erased, or not for this actor
	MediaType string
	Size      int64
	SM3       evidence.Digest
	SHA256    evidence.Digest
}
