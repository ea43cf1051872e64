package ledger

import "testing"

func TestSmoke(t *testing.T) {
	o := testOptions(t)
	l, dir := newLog(t, o)
	for i := range uint64(600) {
		a := mustAppend(t, l, testEntry(i, 300))
		if a.Index != i || a.Duplicate { t.Fatalf("%+v", a) }
		if i%50 == 0 {
			b := mustAppend(t, l, testEntry(i, 300))
			if !b.Duplicate || b.Index != i { t.Fatalf("%+v", b) }
		}
	}
	wantClean(t, l)
	closeLog(t, l)
	l = openLog(t, dir, o)
	wantClean(t, l)
	closeLog(t, l)
}
