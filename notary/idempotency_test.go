package notary_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cunzheng/evidence"
	"cunzheng/notary"
)

// damage flips a byte in the middle of every stored original.
func damage(t *testing.T, n *node) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.dir, "originals", "*", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no originals: %v", err)
	}
	for _, f := range files {
		p, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		p[len(p)/2] ^= 1
		if err := os.WriteFile(f, p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIdempotency(t *testing.T) {
	n := newNode(t)
	file := notary.FileDeposit{Name: "a.txt", IdempotencyKey: "key-1", Case: "c", Private: map[string]string{"collector": "李四"}}
	first := n.mustDepositFile(t, depositor, file, "content")
	size := n.log.Latest().Size

	t.Run("the same again", func(t *testing.T) {
		for range 2 {
			again := n.mustDepositFile(t, depositor, file, "content")
			if !again.Duplicate || again.Number != first.Number || string(again.Statement) != string(first.Statement) {
				t.Fatalf("got %+v", again)
			}
			if a, b := receiptOf(t, first), receiptOf(t, again); a.Index != b.Index || a.Checkpoint != b.Checkpoint {
				t.Error("the receipt speaks of another place in the log")
			}
			n.restart(t)
		}
	})
	t.Run("by another account of the organisation", func(t *testing.T) {
		other := depositor
		other.Account = "org-a-2"
		if again := n.mustDepositFile(t, other, file, "content"); again.Number != first.Number {
			t.Fatalf("got %s, want %s", again.Number, first.Number)
		}
	})
	conflicts := map[string]func() error{
		"other bytes": func() error {
			_, err := n.DepositFile(t.Context(), depositor, file, strings.NewReader("contenT"))
			return err
		},
		"other name": func() error {
			f := file
			f.Name = "b.txt"
			_, err := n.DepositFile(t.Context(), depositor, f, strings.NewReader("content"))
			return err
		},
		"other case": func() error {
			f := file
			f.Case = "d"
			_, err := n.DepositFile(t.Context(), depositor, f, strings.NewReader("content"))
			return err
		},
		"other personal field": func() error {
			f := file
			f.Private = map[string]string{"collector": "张三"}
			_, err := n.DepositFile(t.Context(), depositor, f, strings.NewReader("content"))
			return err
		},
		"as a digest": func() error {
			_, err := n.DepositDigest(t.Context(), depositor, notary.DigestDeposit{SM3: digestOf("content"), IdempotencyKey: "key-1"})
			return err
		},
		"in a batch": func() error {
			return n.DepositDigests(t.Context(), depositor, []notary.DigestDeposit{{SM3: digestOf("content"), IdempotencyKey: "key-1"}})[0].Err
		},
	}
	for name, conflict := range conflicts {
		t.Run(name, func(t *testing.T) {
			if e := wantCode(t, conflict(), notary.CodeIdempotencyConflict); e.Existing != first.Number {
				t.Errorf("existing %q, want %q", e.Existing, first.Number)
			}
		})
	}
	if n.log.Latest().Size != size || n.originals(t) != 1 {
		t.Errorf("the log has %d entries, want %d; %d originals", n.log.Latest().Size, size, n.originals(t))
	}
	t.Run("another organisation's key", func(t *testing.T) {
		other := n.mustDepositFile(t, actor("org-b", notary.RoleDepositor), file, "something else")
		if other.Duplicate || other.Number == first.Number {
			t.Fatalf("got %+v", other)
		}
	})
	t.Run("after the personal fields were erased", func(t *testing.T) {
		if err := n.log.ErasePrivate(t.Context(), receiptOf(t, first).Index); err != nil {
			t.Fatal(err)
		}
		if again := n.mustDepositFile(t, depositor, file, "content"); again.Number != first.Number {
			t.Fatalf("got %s, want %s", again.Number, first.Number)
		}
		record, err := n.Get(t.Context(), depositor, first.Number)
		if err != nil || len(record.Disclosed) != 0 {
			t.Errorf("record: %+v, %v", record, err)
		}
		n.wantPassed(t, depositor, first.Number, notary.BundleOptions{WithContent: true, Disclose: true})
	})
	n.wantClean(t)
}

// TestIdempotencyRaces: many at once with the same key, half of them with other content. One content wins; all that
// carry it get the same number, all others a conflict that names it. One original is kept.
func TestIdempotencyRaces(t *testing.T) {
	n := newNode(t)
	for round := range 8 {
		key := fmt.Sprintf("race-%d", round)
		var group sync.WaitGroup
		deposits := make([]*notary.Deposit, 16)
		errs := make([]error, len(deposits))
		for i := range deposits {
			group.Go(func() {
				if round%2 == 0 {
					deposits[i], errs[i] = n.DepositFile(t.Context(), depositor, notary.FileDeposit{Name: "f", IdempotencyKey: key},
						strings.NewReader(fmt.Sprint(key, "content", i%2)))
				} else {
					deposits[i], errs[i] = n.DepositDigest(t.Context(), depositor, notary.DigestDeposit{
						IdempotencyKey: key, SM3: digestOf(fmt.Sprint("content", i%2))})
				}
			})
		}
		group.Wait()
		number, firsts := "", 0
		for _, d := range deposits {
			if d == nil {
				continue
			}
			if number == "" {
				number = d.Number
			}
			if d.Number != number {
				t.Errorf("two numbers for one key: %s and %s", d.Number, number)
			}
			if !d.Duplicate {
				firsts++
			}
		}
		if firsts != 1 {
			t.Errorf("%d were first", firsts)
		}
		for i, err := range errs {
			if (err == nil) != (deposits[i] != nil) {
				t.Errorf("neither answer nor error, or both: %v, %v", deposits[i], err)
			}
			if err != nil {
				if e := wantCode(t, err, notary.CodeIdempotencyConflict); e.Existing != number {
					t.Errorf("existing %s, want %s", e.Existing, number)
				}
			}
		}
	}
	if n.originals(t) != 4 {
		t.Errorf("%d originals, want 4", n.originals(t))
	}
	n.wantClean(t)
}

// TestConcurrentDeposits runs everything at once and then checks that each answer is true and each number unique.
func TestConcurrentDeposits(t *testing.T) {
	n := newNode(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	numbers := make(map[string]bool)
	keep := func(d *notary.Deposit, err error) {
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if numbers[d.Number] {
			t.Errorf("number %s was given twice", d.Number)
		}
		numbers[d.Number] = true
	}
	for w := range 8 {
		by := actor(fmt.Sprintf("org-%d", w%3), notary.RoleDepositor)
		group.Go(func() {
			for i := range 10 {
				keep(n.DepositFile(t.Context(), by, notary.FileDeposit{Name: "f"}, strings.NewReader(strings.Repeat("x", i*1000))))
				keep(n.DepositDigest(t.Context(), by, notary.DigestDeposit{SM3: digestOf(fmt.Sprint(w, i))}))
			}
		})
		group.Go(func() {
			for _, r := range n.DepositDigests(t.Context(), by, sequence(fmt.Sprint("batch", w), 50)) {
				keep(r.Deposit, r.Err)
			}
		})
		group.Go(func() {
			for range 10 {
				if _, err := n.Search(t.Context(), by, notary.Query{Limit: 10}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if want := 8*20 + 8*50; len(numbers) != want {
		t.Errorf("%d numbers, want %d", len(numbers), want)
	}
	for number := range numbers {
		n.wantPassed(t, officer, number, notary.BundleOptions{})
		break
	}
	n.wantClean(t)
}

func TestBatch(t *testing.T) {
	n := newNode(t)
	deposits := sequence("line", 700)
	deposits[3].SM3 = evidence.Digest{}     // no digest
	deposits[10].Name = "a/b"               // bad name
	deposits[20].IdempotencyKey = "once"    // and again below
	deposits[21] = deposits[20]             //
	deposits[600] = deposits[20]            // in another chunk
	deposits[601].IdempotencyKey = "once"   // with other content
	deposits[602].Related = []string{"nix"} //
	results := n.DepositDigests(t.Context(), depositor, deposits)
	if len(results) != len(deposits) {
		t.Fatalf("%d results", len(results))
	}
	numbers := make(map[string]int)
	for i, r := range results {
		want := map[int]string{3: notary.CodeDigestInvalid, 10: notary.CodeNameInvalid, 602: notary.CodeFieldInvalid}[i]
		switch {
		case i == 20 || i == 21 || i == 600 || i == 601:
			continue
		case want != "":
			wantCode(t, r.Err, want)
		case r.Err != nil:
			t.Errorf("line %d: %v", i, r.Err)
		default:
			numbers[r.Deposit.Number]++
			if s := statementOf(t, r.Deposit); s.Content.SM3 != deposits[i].SM3 {
				t.Errorf("line %d is answered with another line's statement", i)
			}
		}
	}
	if len(numbers) != len(deposits)-7 {
		t.Errorf("%d numbers", len(numbers))
	}
	// Which of the two contents of "once" wins is open; the others follow it.
	if winner := results[601]; winner.Err == nil {
		for _, i := range []int{20, 21, 600} {
			wantCode(t, results[i].Err, notary.CodeIdempotencyConflict)
		}
	} else {
		wantCode(t, winner.Err, notary.CodeIdempotencyConflict)
		for _, i := range []int{21, 600} {
			if results[i].Err != nil || results[i].Deposit.Number != results[20].Deposit.Number {
				t.Errorf("line %d: %v", i, results[i].Err)
			}
		}
	}
	for _, r := range n.DepositDigests(t.Context(), depositor, make([]notary.DigestDeposit, notary.MaxBatch+1)) {
		wantCode(t, r.Err, notary.CodeBatchTooLarge)
		break
	}
	if n.DepositDigests(t.Context(), depositor, nil) == nil {
		t.Error("no results for no deposits")
	}
	for _, r := range n.DepositDigests(t.Context(), actor("org-a", notary.RoleCourt), sequence("x", 2)) {
		wantCode(t, r.Err, notary.CodeForbidden)
	}
	n.wantClean(t)
}
