// Package chaincode is the contract that organisations share: it keeps, for each log, the public key and the tree heads
// that were anchored, and refuses a head that contradicts them.
//
// It is a set of pure functions over [State]. The same code runs as Fabric chaincode and inside the embedded ledger. It
// reads no clock and no random numbers, and its answer depends on its arguments and the state alone, so that every
// peer comes to the same verdict.
//
// # Functions
//
// All arguments are byte strings. Numbers are decimal without leading zeros.
//
//	RegisterLog   origin, key                  the caller's organisation becomes the owner of the log
//	RotateLogKey  origin, key, signature       signature by the old key over RotationMessage
//	Anchor        origin, note, proof          note is a signed checkpoint; proof is the consistency proof from the last
//	                                           anchored head, its 32-byte hashes one after the other
//	Latest        origin                       → note
//	At            origin, size                 → note
//	History       origin, from, limit          → {"heads":["note",…],"next":size}, from and next are sizes
//
// A key is a DER SubjectPublicKeyInfo. A log without an anchored head stands at size 0, so that the first head needs the
// empty proof. Sending the same registration, rotation or head again is a success that changes nothing: whoever does
// not know whether a transaction went through sends it again.
//
// # State
//
// An origin has no space, so the keys cannot run into each other. SIZE has 16 hexadecimal digits.
//
//	log ORIGIN             {"key":SPKI,"organisation":"…","root":"…","size":0}   owner, current key, last head
//	key ORIGIN FINGERPRINT {"key":SPKI,"previous":"…","signature":"…","size":0}  each key that the log ever had
//	head ORIGIN SIZE       the note as it was anchored
//
// # Events
//
// A transaction that changes the state announces one event, as canonical JSON:
//
//	LogRegistered  {"key":SPKI,"organisation":"…","origin":"…"}
//	LogKeyRotated  {"key":SPKI,"origin":"…","previous":SPKI,"size":0}
//	Anchored       {"origin":"…","root":"…","size":1}
package chaincode

import (
	"strconv"
)

// Names of the contract's functions, for [Invoke].
const (
	FuncRegisterLog  = "RegisterLog"
	FuncRotateLogKey = "RotateLogKey"
	FuncAnchor       = "Anchor"
	FuncLatest       = "Latest"
	FuncAt           = "At"
	FuncHistory      = "History"
)

// Names of the contract's events.
const (
	EventLogRegistered = "LogRegistered"
	EventLogKeyRotated = "LogKeyRotated"
	EventAnchored      = "Anchored"
)

// Invoke runs one function of the contract. A refusal is an *[Error]; any other error comes from the state. After an
// error the caller must drop what the function wrote.
func Invoke(s State, function string, args [][]byte) ([]byte, error) {
	want, known := map[string]int{
		FuncRegisterLog: 2, FuncRotateLogKey: 3, FuncAnchor: 3, FuncLatest: 1, FuncAt: 2, FuncHistory: 3,
	}[function]
	if !known {
		return nil, refuse(Syntax, "no function %.80q", function)
	}
	if len(args) != want {
		return nil, refuse(Syntax, "%s takes %d arguments, not %d", function, want, len(args))
	}
	origin := string(args[0])
	switch function {
	case FuncRegisterLog:
		return nil, RegisterLog(s, origin, args[1])
	case FuncRotateLogKey:
		return nil, RotateLogKey(s, origin, args[1], args[2])
	case FuncAnchor:
		return nil, Anchor(s, origin, args[1], args[2])
	case FuncLatest:
		return Latest(s, origin)
	case FuncAt:
		size, err := parseNumber(args[1])
		if err != nil {
			return nil, err
		}
		return At(s, origin, size)
	default: // FuncHistory
		from, err := parseNumber(args[1])
		if err != nil {
			return nil, err
		}
		limit, err := parseNumber(args[2])
		if err != nil {
			return nil, err
		}
		page, err := History(s, origin, from, limit)
		if err != nil {
			return nil, err
		}
		return canonical(page)
	}
}

// parseNumber accepts exactly the text that strconv.FormatUint gives.
func parseNumber(arg []byte) (uint64, error) {
	text := string(arg[:min(len(arg), 21)])
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, refuse(Syntax, "%q is not a number", text)
	}
	return n, nil
}
