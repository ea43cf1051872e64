package ledger

import (
	"bytes"
	"errors"
	"fmt"
)

// A Query asks for the entries with terms of one kind.
type Query struct {
	Kind byte
	// From and To bound the values, both inclusive; nil means no bound. The same
	// value twice asks for exactly that.
	From, To []byte
	// After is the last hit of the page before; nil asks for the first page.
	After   *Hit
	Limit   int // hits at most; must be positive
	Reverse bool
}

// A Hit is an index row.
type Hit struct {
	Value []byte
	Index uint64
}

// Find returns the hits of a query in order of value, then index, or in the
// opposite order, and whether more follow. An entry appears once for each of its
// terms within the bounds.
func (l *Log) Find(q Query) (hits []Hit, more bool, err error) {
	release, err := l.use()
	if err != nil {
		return nil, false, err
	}
	defer release()
	if q.Limit <= 0 {
		return nil, false, errors.New("ledger: a query without limit")
	}
	size := l.Latest().Size
	lower, upper := q.bounds()
	if bytes.Compare(lower, upper) >= 0 {
		return nil, false, nil
	}
	err = iterate(l.store.db, lower, upper, q.Reverse, func(key, _ []byte) (bool, error) {
		t, index, err := parseTermKey(key)
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		// Rows of entries that are not released lie among the others. So would
		// values of another length than the bounds', which the caller's
		// promise excludes; they are no hits.
		if index >= size || q.From != nil && len(t.Value) != len(q.From) {
			return true, nil
		}
		if len(hits) == q.Limit {
			more = true
			return false, nil
		}
		hits = append(hits, Hit{Value: bytes.Clone(t.Value), Index: index})
		return true, nil
	})
	if err != nil {
		return nil, false, err
	}
	return hits, more, nil
}

// bounds returns the range of keys that the query covers.
func (q *Query) bounds() (lower, upper []byte) {
	lower = append([]byte{rowTerm, q.Kind}, q.From...)
	if q.To != nil {
		// All keys of value To end in an index; 0xff… is the greatest one.
		upper = appendTermKey(nil, Term{q.Kind, q.To}, ^uint64(0))
		upper = append(upper, 0)
	} else if upper = []byte{rowTerm, q.Kind + 1}; q.Kind == 0xff {
		upper = rowEnd(rowTerm)
	}
	if q.After != nil {
		at := appendTermKey(nil, Term{q.Kind, q.After.Value}, q.After.Index)
		switch {
		case q.Reverse && bytes.Compare(at, upper) < 0:
			upper = at
		case !q.Reverse && bytes.Compare(at, lower) >= 0:
			lower = append(at, 0)
		}
	}
	return lower, upper
}
