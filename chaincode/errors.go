package chaincode

import "fmt"

// Code names a reason for refusal. Codes are stable: callers act on them, and they go into reports.
type Code string

const (
	LogUnknown Code = "LOG_UNKNOWN" // no log of this origin is registered
	LogExists  Code = "LOG_EXISTS"  // the origin is registered to another owner or with another key
	KeyUsed    Code = "KEY_USED"    // the log had this key before; a retired key does not come back
	NotOwner   Code = "NOT_OWNER"   // another organisation registered the log
	Signature  Code = "SIGNATURE"   // not signed by the log's current key
	Fork       Code = "FORK"        // another root than the anchored head of the same size
	Rollback   Code = "ROLLBACK"    // smaller than the anchored head
	Proof      Code = "PROOF"       // the consistency proof does not lead from the anchored head to the new one
	NoAnchor   Code = "NO_ANCHOR"   // no head of this log, or of this size, is anchored
	Syntax     Code = "SYNTAX"      // malformed or oversized argument, or no such function
)

// Error is a refusal. Its text is the code, a colon, a space and an explanation in English, because on Fabric the text
// is all that reaches the client.
type Error struct {
	Code   Code
	Reason string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Reason }

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Reason: fmt.Sprintf(format, args...)}
}
