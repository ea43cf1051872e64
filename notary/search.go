package notary

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"cunzheng/evidence"
	"cunzheng/ledger"
)

// scanPerPage bounds the entries that one page looks at.
const scanPerPage = 2000

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
	q.Limit = cmp.Or(q.Limit, DefaultPage)
	if q.Limit < 0 || q.Limit > MaxPage {
		return nil, refuse(CodeQueryInvalid, fmt.Sprintf("limit 应为 1 至 %d。", MaxPage), fmt.Sprintf("limit must be 1 to %d.", MaxPage)).at("limit")
	}
	rows := q.rows()
	var err error
	if rows.After, err = s.position(by, &q, len(rows.From)); err != nil {
		return nil, err
	}
	page, last, err := s.scan(ctx, &q, rows)
	if err == nil && last != nil {
		page.Next, err = s.cursor(by, &q, last)
	}
	return page, err
}

// scan fills a page from the rows. If there may be more it also returns the last row that it has looked at.
func (s *Service) scan(ctx context.Context, q *Query, rows ledger.Query) (page *Page, last *ledger.Hit, _ error) {
	page = new(Page)
	for scanned := 0; scanned < scanPerPage; {
		if err := ctx.Err(); err != nil {
			return nil, nil, context.Cause(ctx)
		}
		rows.Limit = min(q.Limit-len(page.Items)+1, scanPerPage-scanned)
		hits, more, err := s.log.Find(rows)
		if err != nil {
			return nil, nil, err
		}
		for i := range hits {
			rows.After = &hits[i]
			statement, err := s.statement(hits[i].Index)
			if err != nil {
				return nil, nil, err
			}
			if !q.fits(statement) {
				continue
			}
			page.Items = append(page.Items, Item{Index: hits[i].Index, Statement: statement})
			if len(page.Items) == q.Limit {
				if more || i+1 < len(hits) {
					last = rows.After
				}
				return page, last, nil
			}
		}
		if !more {
			return page, nil, nil
		}
		scanned += len(hits)
	}
	return page, rows.After, nil
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

// A cursor is the place of the last row that was looked at: its index and value. That row may be another organisation's,
// so the cursor is sealed: it tells nobody where the row is and when it came, and goes on only in the same account's same
// query.
func (s *Service) cursor(by Actor, q *Query, last *ledger.Hit) (string, error) {
	sealed, err := s.keys.Wrap(append(binary.BigEndian.AppendUint64(nil, last.Index), last.Value...), q.context(by))
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// context binds a cursor.
func (q *Query) context(by Actor) []byte {
	return fmt.Appendf(nil, "cunzheng/cursor/v1\x00%q %q %q %v %v %q %q %q %d %d %v", by.Organisation, by.Account,
		q.Number, q.SM3, q.SHA256, q.Depositor, q.Case, q.Correlation, q.From.UnixNano(), q.To.UnixNano(), q.NewestFirst)
}

// position reads the query's cursor. Values of its rows have size bytes.
func (s *Service) position(by Actor, q *Query, size int) (*ledger.Hit, error) {
	if q.Cursor == "" {
		return nil, nil
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
	if err != nil {
		return nil, badCursor(err)
	}
	b, err := s.keys.Unwrap(sealed, q.context(by))
	if err != nil {
		return nil, badCursor(err)
	}
	if len(b) != 8+size {
		return nil, badCursor(fmt.Errorf("%d bytes", len(b)))
	}
	return &ledger.Hit{Index: binary.BigEndian.Uint64(b), Value: b[8:]}, nil
}

func badCursor(err error) error {
	return refuse(CodeCursorInvalid, "游标无效，或属于另一查询。", "The cursor is not valid, or belongs to another query.").at("cursor").because(err)
}
