package chaincode

import (
	"fmt"
	"slices"
	"strings"
)

// Code names a reason for refusal. Codes are stable: callers act on them, and they go into reports.
type Code string

const (
	LogUnknown Code = "LOG_UNKNOWN" // no log of this origin is registered
	LogExists  Code = "LOG_EXISTS"  // the origin is registered to another owner or with another key
	KeyUsed    Code = "KEY_USED"    // the log had this key before; a retired key does not come back
	NotOwner   Code = "NOT_OWNER"   // another organisation registered the log
	Signature  Code = "SIGNATURE"   // not signed by the key that has to: the log's current one, or the one to be registered
	Fork       Code = "FORK"        // another root than the anchored head of the same size
	Rollback   Code = "ROLLBACK"    // smaller than the anchored head
	Proof      Code = "PROOF"       // the consistency proof does not lead from the anchored head to the new one
	NoAnchor   Code = "NO_ANCHOR"   // no head of this log, or of this size, is anchored
	Syntax     Code = "SYNTAX"      // malformed or oversized argument, or no such function

	KeyUnknown  Code = "KEY_UNKNOWN"  // no key of this fingerprint is registered
	KeyExists   Code = "KEY_EXISTS"   // the key is registered by another organisation or with another record
	KeyRevoked  Code = "KEY_REVOKED"  // the key was revoked with another reason or time
	NodeUnknown Code = "NODE_UNKNOWN" // no node of this log is published
	OfficeTaken Code = "OFFICE_TAKEN" // another organisation used the office code first
	StatusFinal Code = "STATUS_FINAL" // the certificate is revoked; nothing follows
	StatusFull  Code = "STATUS_FULL"  // the series has reached MaxSeries; only a revocation still fits
	NoFork      Code = "NO_FORK"      // the two heads do not contradict each other
)

// codes holds every code.
var codes = []Code{
	LogUnknown, LogExists, KeyUsed, NotOwner, Signature, Fork, Rollback, Proof, NoAnchor, Syntax,
	KeyUnknown, KeyExists, KeyRevoked, NodeUnknown, OfficeTaken, StatusFinal, StatusFull, NoFork,
}

// Error is a refusal. Its text is the code, a colon, a space and an explanation in English, because on Fabric the text
// is all that reaches the client.
type Error struct {
	Code   Code
	Reason string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Reason }

// ParseError reads the text of an [Error] back, and reports whether text is one.
func ParseError(text string) (*Error, bool) {
	code, reason, found := strings.Cut(text, ": ")
	if !found || !slices.Contains(codes, Code(code)) {
		return nil, false
	}
	return &Error{Code: Code(code), Reason: reason}, true
}

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Reason: fmt.Sprintf(format, args...)}
}
