package ledger

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestFind compares every kind of query, page by page, with a sorted slice.
func TestFind(t *testing.T) {
	o := testOptions(t)
	o.FS = vfs.NewMem()
	l, _ := newLog(t, o)
	defer closeLog(t, l)
	rng := rand.New(rand.NewPCG(7, 8))
	rows := map[byte][]Hit{} // of kind
	var entries []Entry
	for i := range uint64(700) {
		e := Entry{Data: binary.BigEndian.AppendUint64(nil, i)}
		for _, kind := range []byte{0, 1, 0xfe, 0xff} {
			if rng.IntN(3) == 0 {
				continue
			}
			// Values full of 0x00 and 0xff, where bounds go wrong first.
			value := make([]byte, 2)
			for j := range value {
				value[j] = []byte{0, 1, 0xfe, 0xff}[rng.IntN(4)]
			}
			e.Terms = append(e.Terms, Term{kind, value})
			rows[kind] = append(rows[kind], Hit{value, i})
		}
		entries = append(entries, e)
	}
	if _, err := l.AppendAll(context.Background(), entries); err != nil {
		t.Fatal(err)
	}
	for _, hits := range rows {
		slices.SortFunc(hits, func(a, b Hit) int {
			return cmp.Or(bytes.Compare(a.Value, b.Value), cmp.Compare(a.Index, b.Index))
		})
	}
	bound := func() []byte {
		if rng.IntN(4) == 0 {
			return nil
		}
		return []byte{byte(rng.IntN(3) * 0xff / 2), byte(rng.IntN(5) * 0xff / 4)}
	}
	for range 2000 {
		q := Query{Kind: []byte{0, 1, 7, 0xfe, 0xff}[rng.IntN(5)], From: bound(), To: bound(), Limit: 1 + rng.IntN(300), Reverse: rng.IntN(2) == 0}
		if rng.IntN(3) == 0 {
			q.To = q.From
		}
		var want []Hit
		for _, h := range rows[q.Kind] {
			if (q.From == nil || bytes.Compare(h.Value, q.From) >= 0) && (q.To == nil || bytes.Compare(h.Value, q.To) <= 0) {
				want = append(want, h)
			}
		}
		if q.Reverse {
			slices.Reverse(want)
		}
		var got []Hit
		for {
			hits, more, err := l.Find(q)
			if err != nil {
				t.Fatal(err)
			}
			if len(hits) > q.Limit || more && len(hits) != q.Limit {
				t.Fatalf("%+v: %d hits, more %v", q, len(hits), more)
			}
			got = append(got, hits...)
			if !more {
				break
			}
			q.After = &hits[len(hits)-1]
		}
		if !slices.EqualFunc(got, want, func(a, b Hit) bool { return a.Index == b.Index && bytes.Equal(a.Value, b.Value) }) {
			t.Fatalf("%+v: %d hits, want %d", q, len(got), len(want))
		}
	}
	if _, _, err := l.Find(Query{Kind: 1}); err == nil {
		t.Error("a query without limit was answered")
	}
}

// TestFindByTime pages through a range of times in both directions.
func TestFindByTime(t *testing.T) {
	const kindTime = 5
	o := testOptions(t)
	o.FS = vfs.NewMem()
	l, _ := newLog(t, o)
	defer closeLog(t, l)
	at := func(ms uint64) []byte { return binary.BigEndian.AppendUint64(nil, ms) }
	for i := range uint64(50) {
		mustAppend(t, l, Entry{Data: at(i), Terms: []Term{{kindTime, at(1000 + i/5)}}}) // five at each time
	}
	q := Query{Kind: kindTime, From: at(1002), To: at(1004), Limit: 4}
	var indexes []uint64
	for more := true; more; {
		var hits []Hit
		var err error
		if hits, more, err = l.Find(q); err != nil {
			t.Fatal(err)
		}
		for _, h := range hits {
			indexes = append(indexes, h.Index)
		}
		q.After = &hits[len(hits)-1]
	}
	if len(indexes) != 15 || indexes[0] != 10 || indexes[14] != 24 || !slices.IsSorted(indexes) {
		t.Errorf("found %v", indexes)
	}
}
