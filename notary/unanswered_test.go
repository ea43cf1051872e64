package notary_test

import (
	"context"
	"strings"
	"testing"

	"cunzheng/ledger"
	"cunzheng/notary"
)

// muteLog takes entries and, while mute, gives back what no receipt can be made of.
type muteLog struct {
	*ledger.Log
	mute bool
}

func (l *muteLog) Append(ctx context.Context, e ledger.Entry) (ledger.Appended, error) {
	done, err := l.Log.Append(ctx, e)
	return l.spoil(done), err
}

func (l *muteLog) AppendAll(ctx context.Context, entries []ledger.Entry) ([]ledger.Appended, error) {
	done, err := l.Log.AppendAll(ctx, entries)
	for i := range done {
		done[i] = l.spoil(done[i])
	}
	return done, err
}

func (l *muteLog) spoil(done ledger.Appended) ledger.Appended {
	if l.mute {
		done.Checkpoint.Note = nil
	}
	return done
}

// TestUnansweredDeposit: a deposit that is in the log and could not be answered is named in the error.
func TestUnansweredDeposit(t *testing.T) {
	var log *muteLog
	n := newNode(t, func(n *node) {
		n.wrapLog = func(l *ledger.Log) notary.Log { log = &muteLog{Log: l}; return log }
	})
	log.mute = true
	file := notary.FileDeposit{Name: "a", IdempotencyKey: "f"}
	digest := notary.DigestDeposit{SM3: digestOf("x"), IdempotencyKey: "d"}
	line := notary.DigestDeposit{SM3: digestOf("y"), IdempotencyKey: "b"}
	numbers := make(map[string]string)
	keep := func(kind string, err error) {
		t.Helper()
		e := wantCode(t, err, notary.CodeReceiptFailed)
		if e.Existing == "" || !strings.Contains(e.ZH, e.Existing) || !strings.Contains(e.EN, e.Existing) {
			t.Errorf("%s: the error does not name the deposit: %+v", kind, e)
		}
		if before := numbers[kind]; before != "" && before != e.Existing {
			t.Errorf("%s: named %s, then %s", kind, before, e.Existing)
		}
		numbers[kind] = e.Existing
	}
	for range 2 { // new, and repeated
		_, err := n.DepositDigest(t.Context(), depositor, digest)
		keep("digest", err)
		keep("batch", n.DepositDigests(t.Context(), depositor, []notary.DigestDeposit{line})[0].Err)
	}
	_, err := n.DepositFile(t.Context(), depositor, file, strings.NewReader("content"))
	keep("file", err)
	log.mute = false
	for kind, d := range map[string]*notary.Deposit{
		"file": n.mustDepositFile(t, depositor, file, "content"), "digest": n.mustDepositDigest(t, depositor, digest), "batch": n.mustDepositDigest(t, depositor, line),
	} {
		if !d.Duplicate || d.Number != numbers[kind] {
			t.Errorf("%s: the error named %s, and the deposit is %s", kind, numbers[kind], d.Number)
		}
		n.wantPassed(t, depositor, d.Number, notary.BundleOptions{})
	}
	n.wantClean(t)
}
