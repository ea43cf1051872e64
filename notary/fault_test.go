package notary_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cunzheng/evidence"
	"cunzheng/ledger"
	"cunzheng/notary"
)

// faultyLog fails the next Append as told.
type faultyLog struct {
	*ledger.Log
	fail    error
	persist bool // the entry gets in all the same: "failed but persisted"
	held    *ledger.Entry
	hold    bool // the entry is on the disk and nobody sees it before the next start: persist must be false
}

func (l *faultyLog) Append(ctx context.Context, e ledger.Entry) (ledger.Appended, error) {
	if l.fail == nil {
		return l.Log.Append(ctx, e)
	}
	if l.hold {
		l.held = &e
	}
	if l.persist {
		if _, err := l.Log.Append(ctx, e); err != nil {
			return ledger.Appended{}, err
		}
	}
	return ledger.Appended{}, l.fail
}

// TestFailingLog: whatever the log answers, an original is kept if and only if its statement is in the log, at the
// latest after the next start.
func TestFailingLog(t *testing.T) {
	for _, test := range []struct {
		fail    error
		persist bool
		code    string
		certain bool
	}{
		{ledger.ErrBusy, false, notary.CodeBusy, true},
		{ledger.ErrFull, false, notary.CodeStoreFull, true},
		{ledger.ErrClosed, false, notary.CodeStopping, true},
		{ledger.ErrTooLarge, false, notary.CodeInternal, true},
		{fmt.Errorf("%w: %w", ledger.ErrHalted, errors.New("disk")), false, notary.CodeLogHalted, false},
		{fmt.Errorf("%w: %w", ledger.ErrHalted, errors.New("disk")), true, notary.CodeLogHalted, false},
		{errors.New("unheard of"), true, notary.CodeInternal, false},
	} {
		t.Run(fmt.Sprintf("%v/%v", test.fail, test.persist), func(t *testing.T) {
			var log *faultyLog
			n := newNode(t, func(n *node) {
				n.wrapLog = func(l *ledger.Log) notary.Log { log = &faultyLog{Log: l}; return log }
			})
			log.fail, log.persist = test.fail, test.persist
			file := notary.FileDeposit{Name: "a", IdempotencyKey: "k"}
			_, err := n.DepositFile(t.Context(), depositor, file, strings.NewReader("content"))
			e := wantCode(t, err, test.code)
			if test.code == notary.CodeBusy && e.Retry == 0 {
				t.Error("busy does not say when to come back")
			}
			kept := 1
			if test.certain {
				kept = 0
			}
			if n.originals(t) != kept {
				t.Errorf("%d originals, want %d", n.originals(t), kept)
			}
			n.restart(t)
			kept = 0
			if test.persist {
				kept = 1
			}
			if n.originals(t) != kept {
				t.Errorf("after a restart %d originals, want %d", n.originals(t), kept)
			}
			// Repeating with the same key gives the right answer in every case.
			d := n.mustDepositFile(t, depositor, file, "content")
			if d.Duplicate != test.persist || n.originals(t) != 1 {
				t.Errorf("repeated: duplicate %v, %d originals", d.Duplicate, n.originals(t))
			}
			n.wantPassed(t, depositor, d.Number, notary.BundleOptions{WithContent: true, Disclose: true})
			n.wantClean(t)
		})
	}
}

// TestHaltedLog: a log that halted may have the entry on its disk, where only the next start sees it. Until then nobody
// may say that the original is not needed.
func TestHaltedLog(t *testing.T) {
	for name, fail := range map[string]error{
		"halted":  fmt.Errorf("%w: %w", ledger.ErrHalted, errors.New("disk")),
		"unheard": errors.New("unheard of"),
	} {
		t.Run(name, func(t *testing.T) {
			var log *faultyLog
			n := newNode(t, func(n *node) {
				n.wrapLog = func(l *ledger.Log) notary.Log { log = &faultyLog{Log: l}; return log }
			})
			log.fail, log.hold = fail, true
			file := notary.FileDeposit{Name: "a", IdempotencyKey: "k"}
			if _, err := n.DepositFile(t.Context(), depositor, file, strings.NewReader("content")); err == nil {
				t.Fatal("a log that fails accepts a deposit")
			}
			if err := n.RecoverUploads(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n.originals(t) != 1 {
				t.Fatal("an original is gone while its entry may be in the log")
			}
			if _, err := n.log.Append(t.Context(), *log.held); err != nil { // as what the next start finds
				t.Fatal(err)
			}
			n.restart(t)
			d := n.mustDepositFile(t, depositor, file, "content")
			if !d.Duplicate || n.originals(t) != 1 {
				t.Errorf("repeated: duplicate %v, %d originals", d.Duplicate, n.originals(t))
			}
			var content bytes.Buffer
			if err := n.Content(t.Context(), depositor, d.Number, 0, &content); err != nil || content.String() != "content" {
				t.Errorf("content %q, %v", &content, err)
			}
			n.wantClean(t)
		})
	}
}

// TestRepeatWithoutOriginal: a repetition does not promise an original that is gone.
func TestRepeatWithoutOriginal(t *testing.T) {
	n := newNode(t)
	file := notary.FileDeposit{Name: "a", IdempotencyKey: "k"}
	d := n.mustDepositFile(t, depositor, file, "content")
	found, err := filepath.Glob(filepath.Join(n.dir, "originals", "*", d.Number))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	if err := os.Remove(found[0]); err != nil {
		t.Fatal(err)
	}
	_, err = n.DepositFile(t.Context(), depositor, file, strings.NewReader("content"))
	if e := wantCode(t, err, notary.CodeContentDamaged); e.Existing != d.Number {
		t.Errorf("names %q, want %q", e.Existing, d.Number)
	}
	if len(*n.alarms) != 1 {
		t.Errorf("alarms: %v", *n.alarms)
	}
	*n.alarms = nil
}

// TestLostNumbers: the mark of numbers is deleted, or restored from an old backup; still no number comes twice.
func TestLostNumbers(t *testing.T) {
	for name, lose := range map[string]func(path string, old []byte) error{
		"deleted": func(path string, _ []byte) error { return os.Remove(path) },
		"old":     func(path string, old []byte) error { return os.WriteFile(path, old, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			path := filepath.Join(n.dir, "notary", "numbers.json")
			seen := make(map[string]bool)
			deposit := func(count int) {
				t.Helper()
				for _, r := range n.DepositDigests(t.Context(), depositor, sequence(fmt.Sprint(len(seen)), count)) {
					if r.Err != nil {
						t.Fatal(r.Err)
					}
					if seen[r.Deposit.Number] {
						t.Fatalf("%s was given twice", r.Deposit.Number)
					}
					seen[r.Deposit.Number] = true
				}
			}
			deposit(10)
			n.restart(t)
			old, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			deposit(1500) // more than what a start looks at by itself
			n.register(t, "org-z")
			n.stop(t)
			if err := lose(path, old); err != nil {
				t.Fatal(err)
			}
			n.start(t)
			deposit(100)
		})
	}
}

func TestDamagedNumbers(t *testing.T) {
	n := newNode(t)
	n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("x")})
	n.stop(t)
	path := filepath.Join(n.dir, "notary", "numbers.json")
	for _, text := range []string{"", "{}", `{"schema":"cunzheng/numbers/v2","day":1,"mark":1}`, `{"schema":"cunzheng/numbers/v1","day":1,"mark":0}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := n.open(t); err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("%q: %v", text, err)
		}
	}
}

// TestStoreIsDown: digests go on, files say so, and all of it heals.
func TestStoreIsDown(t *testing.T) {
	n := newNode(t)
	n.stop(t)
	originals := filepath.Join(n.dir, "originals")
	if err := os.RemoveAll(originals); err != nil {
		t.Fatal(err)
	}
	n.start(t)
	if err := os.RemoveAll(originals); err != nil {
		t.Fatal(err)
	}
	if _, err := n.DepositFile(t.Context(), depositor, notary.FileDeposit{Name: "a"}, strings.NewReader("x")); err == nil {
		t.Fatal("a file went into a store that is not there")
	}
	n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("x")})
	if err := os.Mkdir(originals, 0o700); err != nil {
		t.Fatal(err)
	}
	d := n.mustDepositFile(t, depositor, notary.FileDeposit{Name: "a"}, "x")
	n.wantPassed(t, depositor, d.Number, notary.BundleOptions{WithContent: true})
	n.wantClean(t)
}

// TestFullStore: whoever announces a file that does not fit is told before sending it, and digests go on.
func TestFullStore(t *testing.T) {
	n := newNode(t, func(n *node) { n.reserve = 1 << 62 })
	size := int64(5)
	for _, expect := range []*int64{nil, &size} {
		read := false
		content := readerFunc(func([]byte) (int, error) { read = true; return 0, io.EOF })
		_, err := n.DepositFile(t.Context(), depositor, notary.FileDeposit{Name: "a", ExpectSize: expect}, content)
		wantCode(t, err, notary.CodeStoreFull)
		if read {
			t.Error("the bytes were read")
		}
	}
	n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("x")})
	if n.originals(t) != 0 {
		t.Error("something is left")
	}
	n.wantClean(t)
}

func TestIndexEntry(t *testing.T) {
	n := newNode(t)
	d := n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("x"), IdempotencyKey: "k", Case: "c"})
	rows, unique, err := notary.IndexEntry(d.Statement)
	if err != nil {
		t.Fatal(err)
	}
	want := evidence.IdempotencyDigest("org-a", "k")
	if string(unique) != string(want[:]) || len(rows) < 5 {
		t.Errorf("%d rows, unique %x", len(rows), unique)
	}
	if _, _, err := notary.IndexEntry([]byte("{}")); err == nil {
		t.Error("an entry that is no statement has an index")
	}
	if err := n.log.Reindex(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.wantClean(t)
}
