package notary_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"cunzheng/evidence"
	"cunzheng/notary"
)

// all collects every page and checks that they fit together.
func (n *node) all(t *testing.T, by notary.Actor, q notary.Query) []string {
	t.Helper()
	var numbers []string
	seen := make(map[uint64]bool)
	for range 1000 {
		page, err := n.Search(t.Context(), by, q)
		if err != nil {
			t.Fatal(err)
		}
		if q.Limit > 0 && len(page.Items) > q.Limit {
			t.Fatalf("%d items, limit %d", len(page.Items), q.Limit)
		}
		for _, item := range page.Items {
			if seen[item.Index] {
				t.Fatalf("entry %d comes twice", item.Index)
			}
			seen[item.Index] = true
			numbers = append(numbers, item.Statement.Number)
		}
		if page.Next == "" {
			return numbers
		}
		q.Cursor = page.Next
	}
	t.Fatal("the pages have no end")
	return nil
}

func TestSearch(t *testing.T) {
	n := newNode(t)
	start := n.clock.Now()
	orgs := []notary.Actor{depositor, actor("org-b", notary.RoleDepartment)}
	type made struct {
		number, org, caseNo, flow string
		content                   int
		at                        time.Time
	}
	var deposits []made
	for i := range 60 {
		by := orgs[i%2]
		m := made{org: by.Organisation, caseNo: fmt.Sprint("case-", i%3), flow: fmt.Sprint("flow-", i%5), content: i % 7, at: n.clock.Now()}
		m.number = n.mustDepositDigest(t, by, notary.DigestDeposit{SM3: digestOf(fmt.Sprint("3", m.content)), SHA256: digestOf(fmt.Sprint("2", m.content)),
			Case: m.caseNo, Correlation: m.flow}).Number
		deposits = append(deposits, m)
		n.clock.add(time.Second)
	}
	queries := map[string]struct {
		query notary.Query
		fits  func(made) bool
	}{
		"everything":   {notary.Query{}, func(made) bool { return true }},
		"SM3":          {notary.Query{SM3: digestOf("33")}, func(m made) bool { return m.content == 3 }},
		"SHA-256":      {notary.Query{SHA256: digestOf("24")}, func(m made) bool { return m.content == 4 }},
		"number":       {notary.Query{Number: deposits[9].number}, func(m made) bool { return m.number == deposits[9].number }},
		"case":         {notary.Query{Case: "case-1"}, func(m made) bool { return m.caseNo == "case-1" }},
		"correlation":  {notary.Query{Correlation: "flow-2"}, func(m made) bool { return m.flow == "flow-2" }},
		"depositor":    {notary.Query{Depositor: "org-b"}, func(m made) bool { return m.org == "org-b" }},
		"unknown case": {notary.Query{Case: "none"}, func(made) bool { return false }},
		"from":         {notary.Query{From: start.Add(30 * time.Second)}, func(m made) bool { return !m.at.Before(start.Add(30 * time.Second)) }},
		"to":           {notary.Query{To: start.Add(30 * time.Second)}, func(m made) bool { return m.at.Before(start.Add(30 * time.Second)) }},
		"range": {notary.Query{From: start.Add(10*time.Second + time.Microsecond), To: start.Add(20*time.Second + time.Microsecond), Depositor: "org-a"},
			func(m made) bool {
				return m.org == "org-a" && m.at.After(start.Add(10*time.Second)) && !m.at.After(start.Add(20*time.Second))
			}},
		"combined": {notary.Query{Case: "case-1", Correlation: "flow-2", Depositor: "org-a", SM3: digestOf("32")},
			func(m made) bool {
				return m.caseNo == "case-1" && m.flow == "flow-2" && m.org == "org-a" && m.content == 2
			}},
		"empty range": {notary.Query{From: start.Add(time.Hour), To: start}, func(made) bool { return false }},
	}
	for name, test := range queries {
		for _, by := range append(orgs, officer) {
			for _, limit := range []int{0, 1, 7, 500} {
				for _, newest := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%s/%d/%v", name, by.Organisation, limit, newest), func(t *testing.T) {
						var want []string
						for _, m := range deposits {
							if test.fits(m) && (by.Organisation == officer.Organisation || by.Organisation == m.org) {
								want = append(want, m.number)
							}
						}
						if newest {
							slices.Reverse(want)
						}
						q := test.query
						q.Limit, q.NewestFirst = limit, newest
						if got := n.all(t, by, q); !slices.Equal(got, want) {
							t.Errorf("got %d, want %d:\n%q\n%q", len(got), len(want), got, want)
						}
					})
				}
			}
		}
	}
	t.Run("bad queries", func(t *testing.T) {
		page, err := n.Search(t.Context(), officer, notary.Query{Limit: 5})
		if err != nil || page.Next == "" {
			t.Fatalf("%+v, %v", page, err)
		}
		for _, cursor := range []string{"x", "!!!", page.Next + "A", page.Next[:len(page.Next)-2]} {
			_, err := n.Search(t.Context(), officer, notary.Query{Limit: 5, Cursor: cursor})
			wantCode(t, err, notary.CodeCursorInvalid)
		}
		_, err = n.Search(t.Context(), officer, notary.Query{Case: "case-1", Cursor: page.Next})
		wantCode(t, err, notary.CodeCursorInvalid)
		other := officer
		other.Account = "another"
		_, err = n.Search(t.Context(), other, notary.Query{Limit: 5, Cursor: page.Next})
		wantCode(t, err, notary.CodeCursorInvalid)
		// A cursor of somebody who sees everything goes on in the query of who sees less, or not at all.
		_, err = n.Search(t.Context(), depositor, notary.Query{Limit: 5, Cursor: page.Next})
		wantCode(t, err, notary.CodeCursorInvalid)
		for _, limit := range []int{-1, notary.MaxPage + 1} {
			_, err = n.Search(t.Context(), officer, notary.Query{Limit: limit})
			wantCode(t, err, notary.CodeQueryInvalid)
		}
	})
}

// TestSearchIsBounded: a needle in a haystack takes several calls, each of which ends.
func TestSearchIsBounded(t *testing.T) {
	n := newNode(t)
	from := n.clock.Now()
	needle := n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("needle")}).Number
	for _, r := range n.DepositDigests(t.Context(), actor("org-b", notary.RoleDepositor), sequence("hay", 3000)) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	q := notary.Query{From: from, NewestFirst: true}
	page, err := n.Search(t.Context(), depositor, q)
	if err != nil || len(page.Items) != 0 || page.Next == "" {
		t.Fatalf("first page: %d items, next %q, %v", len(page.Items), page.Next, err)
	}
	if got := n.all(t, depositor, q); !slices.Equal(got, []string{needle}) {
		t.Errorf("got %q", got)
	}
}

// TestCursorTellsNothing: the row where a page ends may be another organisation's. The cursor gives away neither its place
// in the log nor its time, and cannot be changed.
func TestCursorTellsNothing(t *testing.T) {
	n := newNode(t)
	n.clock.add(time.Hour)
	from := n.clock.Now()
	for _, r := range n.DepositDigests(t.Context(), actor("org-b", notary.RoleDepositor), sequence("hay", 3000)) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	page, err := n.Search(t.Context(), depositor, notary.Query{From: from})
	if err != nil || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	cursor, err := base64.RawURLEncoding.DecodeString(page.Next)
	if err != nil {
		t.Fatal(err)
	}
	at := binary.BigEndian.AppendUint64(nil, uint64(evidence.InstantOf(from)))
	for first := range n.log.Latest().Size {
		if bytes.Contains(cursor, binary.BigEndian.AppendUint64(nil, first)) {
			t.Errorf("the cursor tells of entry %d", first)
		}
	}
	if bytes.Contains(cursor, at[:6]) {
		t.Error("the cursor tells a time")
	}
	again, err := n.Search(t.Context(), depositor, notary.Query{From: from})
	if err != nil || again.Next == page.Next || len(again.Next) != len(page.Next) {
		t.Errorf("cursors %q and %q, %v", page.Next, again.Next, err)
	}
	for i := range cursor {
		cursor[i] ^= 1
		_, err := n.Search(t.Context(), depositor, notary.Query{From: from, Cursor: base64.RawURLEncoding.EncodeToString(cursor)})
		wantCode(t, err, notary.CodeCursorInvalid)
		cursor[i] ^= 1
	}
}
