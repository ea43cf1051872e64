package evidence

import (
	"encoding/binary"

	"cunzheng/crypto/sm3"
)

// Term is one index row of a statement. All values of one kind have the same length: texts enter as the first 16
// bytes of their SM3, so a caller who looks up a text compares the statement found with what it wanted.
type Term struct {
	Kind  byte
	Value []byte
}

// Kinds of terms. A kind keeps its meaning for ever; indexes are rebuilt from statements.
const (
	TermNumber      byte = 1 // evidence number, 16 bytes
	TermSM3         byte = 2 // content, 32 bytes
	TermSHA256      byte = 3 // content, 32 bytes
	TermDepositor   byte = 4 // identifier of the organisation, 16 bytes
	TermTime        byte = 5 // time of receipt, milliseconds since 1970, 8 bytes big-endian
	TermCase        byte = 6 // case number, 16 bytes
	TermCorrelation byte = 7 // correlation identifier, 16 bytes
	TermRegistry    byte = 8 // every registry statement; one byte: 1 organisation, 2 officer, 3 key, 4 key revocation, 5 log key
)

// textTermSize is the length of the value of a text.
const textTermSize = 16

// TextTerm returns the term of a text, for TermNumber, TermDepositor, TermCase and TermCorrelation.
func TextTerm(kind byte, text string) Term {
	sum := sm3.Sum([]byte(text))
	return Term{Kind: kind, Value: sum[:textTermSize]}
}

// TimeTerm returns the TermTime of t. Its values sort as the times do.
func TimeTerm(t Instant) Term {
	return Term{Kind: TermTime, Value: binary.BigEndian.AppendUint64(nil, uint64(t))}
}

// Terms returns the index rows of the statement.
func (s *Statement) Terms() []Term {
	terms := make([]Term, 0, 8)
	terms = append(terms, TimeTerm(s.ReceivedAt), TextTerm(TermDepositor, s.Depositor.Organisation))
	if s.Number != "" {
		terms = append(terms, TextTerm(TermNumber, s.Number))
	}
	if c := s.Content; c != nil {
		terms = append(terms, Term{TermSM3, append([]byte(nil), c.SM3[:]...)})
		if !c.SHA256.IsZero() {
			terms = append(terms, Term{TermSHA256, append([]byte(nil), c.SHA256[:]...)})
		}
	}
	if s.Case != "" {
		terms = append(terms, TextTerm(TermCase, s.Case))
	}
	if s.Correlation != "" {
		terms = append(terms, TextTerm(TermCorrelation, s.Correlation))
	}
	if n := s.Type.registry(); n != 0 {
		terms = append(terms, Term{TermRegistry, []byte{n}})
	}
	return terms
}

// registry returns the value of TermRegistry, or 0 for a type that is none of the registry's.
func (t Type) registry() byte {
	switch t {
	case TypeOrganisation:
		return 1
	case TypeOfficer:
		return 2
	case TypeKey:
		return 3
	case TypeKeyRevocation:
		return 4
	case TypeLogKey:
		return 5
	}
	return 0
}
