package evidence

import (
	"fmt"
	"slices"
	"strings"

	"cunzheng/crypto/sm3"
)

// Encode validates the statement and returns its canonical form, the leaf of the log.
//
// The error is a [FieldErrors] if the statement is not valid.
func (s *Statement) Encode() ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	data, err := canonical(s)
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	if len(data) > MaxStatementSize {
		return nil, FieldErrors{{Field: "", Code: FieldTooLong,
			ZH: fmt.Sprintf("记录过长：%d 字节，最多 %d。", len(data), MaxStatementSize),
			EN: fmt.Sprintf("the statement is too long: %d bytes, at most %d", len(data), MaxStatementSize)}}
	}
	return data, nil
}

// ParseStatement reads exactly what Encode writes: a statement that parses re-encodes to the same bytes.
//
// The error wraps a *[SchemaError] if the schema or the type is not of this version.
func ParseStatement(data []byte) (*Statement, error) {
	s := new(Statement)
	if err := parseCanonical(data, MaxStatementSize, s, s.Encode); err != nil {
		if newer := newerSchema(data, SchemaStatement); newer != nil {
			return nil, newer
		}
		return nil, fmt.Errorf("statement: %w", err)
	}
	return s, nil
}

// IdempotencyDigest returns SM3(organisation || 0x00 || key): the value of Statement.Idempotency for a key that the
// depositor chose.
func IdempotencyDigest(organisation, key string) Digest {
	return sm3.Sum(slices.Concat([]byte(organisation), []byte{0}, []byte(key)))
}

// SameContent reports whether two statements say the same but for what the platform adds to each: number, time of
// receipt, nonce, salts, the way the account authenticated, and the organisation's registered name. It serves idempotency: the same key with the same
// content is one deposit. Committed fields are compared by their disclosures; a field whose disclosure is missing
// cannot be compared and counts as different.
func SameContent(a, b *Statement, da, db []Disclosure) bool {
	if !samePrivate(a.Private, b.Private, da, db) {
		return false
	}
	x, err := canonical(a.bare())
	if err != nil {
		return false
	}
	y, err := canonical(b.bare())
	return err == nil && string(x) == string(y)
}

// bare returns a copy without what the platform adds.
func (s *Statement) bare() *Statement {
	c := *s
	c.Number, c.Nonce, c.Private = "", Nonce{}, nil
	c.ReceivedAt = minInstant
	c.Depositor = Depositor{Organisation: s.Depositor.Organisation, Account: s.Depositor.Account}
	return &c
}

func samePrivate(pa, pb map[string]Digest, da, db []Disclosure) bool {
	if len(pa) != len(pb) || len(da) != len(pa) || len(db) != len(pb) {
		return false
	}
	da, db = sortedDisclosures(da), sortedDisclosures(db)
	for i, x := range da {
		y := db[i]
		if x.Field != y.Field || x.Value != y.Value || pa[x.Field] != x.Commitment() || pb[y.Field] != y.Commitment() {
			return false
		}
	}
	return true
}

func sortedDisclosures(d []Disclosure) []Disclosure {
	d = slices.Clone(d)
	slices.SortFunc(d, func(x, y Disclosure) int { return strings.Compare(x.Field, y.Field) })
	return d
}
