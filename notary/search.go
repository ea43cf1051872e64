package notary

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
	"cunzheng/ledger"
)

const (
	defaultPage = 50
	// scanPerPage bounds the entries that one page looks at.
	scanPerPage = 2000
)

// Search returns one page of the evidence that fits the query and that the actor may see: in the order of the log, or
// the other way round; with From or To and no narrower filter in the order of receipt, which is nearly the same.
func (s *Service) Search(ctx context.Context, by Actor, q Query) (*Page, error) {
	page, err := s.search(ctx, by, q)
	return page, errorOf(err)
}

func (s *Service) search(ctx context.Context, by Actor, q Query) (*Page, error) {
	if err := by.demand(actSee); err != nil {
		return nil, err
	}
	if by.scope(actSee) == own {
		if q.Depositor != "" && q.Depositor != by.Organisation {
			return &Page{}, nil
		}
		q.Depositor = by.Organisation
	}
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	if q.Limit < 0 || q.Limit > MaxPage {
		return nil, refuse(CodeQueryInvalid, fmt.Sprintf("limit 应为 1 至 %d。", MaxPage), fmt.Sprintf("limit must be 1 to %d.", MaxPage)).at("limit")
	}
	rows := q.rows()
	var err error
	if rows.After, err = q.position(rows); err != nil {
		return nil, err
	}
	page := new(Page)
	for scanned := 0; ; {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		rows.Limit = min(q.Limit-len(page.Items)+1, scanPerPage-scanned)
		hits, more, err := s.log.Find(rows)
		if err != nil {
			return nil, err
		}
		for i := range hits {
			rows.After = &hits[i]
			statement, err := s.statement(hits[i].Index)
			if err != nil {
				return nil, err
			}
			if q.fits(statement) {
				page.Items = append(page.Items, Item{Index: hits[i].Index, Statement: statement})
			}
			if len(page.Items) == q.Limit {
				if more || i+1 < len(hits) {
					page.Next = q.cursor(rows.After)
				}
				return page, nil
			}
		}
		scanned += len(hits)
		if !more {
			return page, nil
		}
		if scanned >= scanPerPage {
			page.Next = q.cursor(rows.After)
			return page, nil
		}
	}
}

// rows returns the index rows that hold all that fits, by the narrowest of the filters.
func (q *Query) rows() ledger.Query {
	exact := func(t evidence.Term) ledger.Query {
		return ledger.Query{Kind: t.Kind, From: t.Value, To: t.Value, Reverse: q.NewestFirst}
	}
	switch {
	case q.Number != "":
		return exact(evidence.TextTerm(evidence.TermNumber, q.Number))
	case !q.SM3.IsZero():
		return exact(evidence.Term{Kind: evidence.TermSM3, Value: q.SM3[:]})
	case !q.SHA256.IsZero():
		return exact(evidence.Term{Kind: evidence.TermSHA256, Value: q.SHA256[:]})
	case q.Case != "":
		return exact(evidence.TextTerm(evidence.TermCase, q.Case))
	case q.Correlation != "":
		return exact(evidence.TextTerm(evidence.TermCorrelation, q.Correlation))
	case q.Depositor != "" && q.From.IsZero() && q.To.IsZero():
		return exact(evidence.TextTerm(evidence.TermDepositor, q.Depositor))
	}
	// The bounds must be as long as the values, whether they are set or not.
	rows := ledger.Query{Kind: evidence.TermTime, Reverse: q.NewestFirst,
		From: evidence.TimeTerm(0).Value, To: evidence.TimeTerm(-1).Value}
	if !q.From.IsZero() {
		rows.From = evidence.TimeTerm(roundUp(q)).Value
	}
	if !q.To.IsZero() {
		rows.To = evidence.TimeTerm(evidence.InstantOf(q.To)).Value
	}
	return rows
}

// roundUp returns the first millisecond that is not before From.
func roundUp(q *Query) evidence.Instant {
	at := evidence.InstantOf(q.From)
	if at.Time().Before(q.From) {
		at++
	}
	return max(at, 0)
}

// fits reports whether a statement passes all filters. Texts are compared themselves: their terms are digests.
func (q *Query) fits(s *evidence.Statement) bool {
	at := s.ReceivedAt.Time()
	switch {
	case !s.Type.Evidence():
		return false
	case q.Number != "" && s.Number != q.Number,
		!q.SM3.IsZero() && s.Content.SM3 != q.SM3,
		!q.SHA256.IsZero() && s.Content.SHA256 != q.SHA256,
		q.Depositor != "" && s.Depositor.Organisation != q.Depositor,
		q.Case != "" && s.Case != q.Case,
		q.Correlation != "" && s.Correlation != q.Correlation,
		!q.From.IsZero() && at.Before(q.From),
		!q.To.IsZero() && !at.Before(q.To):
		return false
	}
	return true
}

// A cursor is the place of the last row that was looked at: 4 bytes that name the query, the index, the value. It gives
// nobody anything that the query does not.
func (q *Query) cursor(last *ledger.Hit) string {
	name := q.name()
	b := binary.BigEndian.AppendUint64(name[:4:4], last.Index)
	return base64.RawURLEncoding.EncodeToString(append(b, last.Value...))
}

// name tells queries apart: a cursor goes on only in its own.
func (q *Query) name() [32]byte {
	return sm3.Sum(fmt.Appendf(nil, "%q %v %v %q %q %q %d %d %v", q.Number, q.SM3, q.SHA256, q.Depositor, q.Case, q.Correlation,
		q.From.UnixNano(), q.To.UnixNano(), q.NewestFirst))
}

// position reads the cursor.
func (q *Query) position(rows ledger.Query) (*ledger.Hit, error) {
	if q.Cursor == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
	name := q.name()
	if err != nil || len(b) != 4+8+len(rows.From) || string(b[:4]) != string(name[:4]) {
		return nil, refuse(CodeCursorInvalid, "游标无效，或属于另一查询。", "The cursor is not valid, or belongs to another query.").at("cursor")
	}
	return &ledger.Hit{Index: binary.BigEndian.Uint64(b[4:]), Value: b[12:]}, nil
}
