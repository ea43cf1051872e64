package notary_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cunzheng/evidence"
	"cunzheng/notary"
)

const password = "correct horse 电池"

func withAccount(t *testing.T) *node {
	n := newNode(t)
	n.register(t, "org-a", notary.Account{ID: "alice", Kind: evidence.AccountPerson, Roles: []notary.Role{notary.RoleNotary}})
	if err := n.SetPassword(t.Context(), secretAdm, "alice", password); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) login(t *testing.T, account, password string) error {
	t.Helper()
	a, err := n.Authenticate(t.Context(), account, password)
	if err == nil && (a.Account != account || a.Authentication != evidence.AuthenticationPassword || len(a.Roles) == 0) {
		t.Errorf("actor: %+v", a)
	}
	return err
}

func TestPasswords(t *testing.T) {
	n := withAccount(t)
	for range 2 {
		if err := n.login(t, "alice", password); err != nil {
			t.Fatal(err)
		}
		wantCode(t, n.login(t, "alice", password+" "), notary.CodeLoginFailed)
		wantCode(t, n.login(t, "alice", ""), notary.CodeLoginFailed)
		wantCode(t, n.login(t, "alice", strings.Repeat("x", 1<<20)), notary.CodeLoginFailed)
		if err := n.login(t, "alice", password); err != nil {
			t.Fatal(err)
		}
		n.restart(t)
	}
	sealed, err := os.ReadFile(filepath.Join(n.dir, "notary", "accounts.sealed"))
	if err != nil || bytes.Contains(sealed, []byte("alice")) {
		t.Errorf("the file of accounts is readable: %v", err)
	}
	for _, weak := range []string{"", "short", "alice", strings.Repeat("x", 1025), "not utf-8 \xff\xff\xff"} {
		wantCode(t, n.SetPassword(t.Context(), secretAdm, "alice", weak), notary.CodePasswordWeak)
	}
	wantCode(t, n.SetPassword(t.Context(), secretAdm, "nobody", password), notary.CodeAccountUnknown)
	closed := notary.Account{ID: "alice", Organisation: "org-a", Kind: evidence.AccountPerson, Status: evidence.StandingClosed}
	if err := n.RegisterOfficer(t.Context(), peopleAdm, closed); err != nil {
		t.Fatal(err)
	}
	wantCode(t, n.login(t, "alice", password), notary.CodeAccountClosed)
	wantCode(t, n.login(t, "alice", "wrong password"), notary.CodeLoginFailed)
}

// TestLockOut: five failures are free; then the lock doubles. It holds over a restart, against the right password
// too, and for names that do not exist just the same, so that it tells nobody which do.
func TestLockOut(t *testing.T) {
	n := withAccount(t)
	for _, name := range []string{"alice", "nobody", "王", strings.Repeat("n", 5000), ""} {
		for i := range 4 {
			if e := wantCode(t, n.login(t, name, "wrong password"), notary.CodeLoginFailed); e.Retry != 0 {
				t.Errorf("failure %d: retry %v", i, e.Retry)
			}
		}
		for _, minutes := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			lock := time.Duration(minutes) * time.Minute
			e := wantCode(t, n.login(t, name, "wrong password"), notary.CodeAccountLocked)
			if e.Retry < lock || e.Retry > lock+2*time.Second {
				t.Errorf("%q: locked for %v, want %v", name, e.Retry, lock)
			}
			n.restart(t)
			wantCode(t, n.login(t, name, password), notary.CodeAccountLocked)
			n.clock.add(lock + time.Second)
		}
	}
	if err := n.login(t, "alice", password); err != nil {
		t.Fatalf("after the lock: %v", err)
	}
	wantCode(t, n.login(t, "alice", "wrong password"), notary.CodeLoginFailed) // success started a new series
	for range 5 {
		n.login(t, "alice", "wrong password")
	}
	wantCode(t, n.login(t, "alice", password), notary.CodeAccountLocked)
	if err := n.SetPassword(t.Context(), secretAdm, "alice", password+"2"); err != nil {
		t.Fatal(err)
	}
	if err := n.login(t, "alice", password+"2"); err != nil {
		t.Errorf("a new password does not end the lock: %v", err)
	}
}

// TestParallelGuesses: guessing in parallel gains at most one guess for each turn.
func TestParallelGuesses(t *testing.T) {
	n := withAccount(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	results := map[string]int{}
	for i := range 40 {
		group.Go(func() {
			_, err := n.Authenticate(t.Context(), "alice", fmt.Sprint("wrong password ", i))
			mu.Lock()
			defer mu.Unlock()
			code, _, _ := strings.Cut(err.Error(), ":")
			results[code]++
		})
	}
	group.Wait()
	if results[notary.CodeLoginFailed] > 6 || results[notary.CodeLoginFailed]+results[notary.CodeAccountLocked] != 40 {
		t.Errorf("%v", results)
	}
}

func TestImpatientLogin(t *testing.T) {
	n := withAccount(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		if _, err := n.Authenticate(ctx, "alice", "wrong password"); err == nil {
			t.Fatal("no error")
		}
	}
}

func TestDamagedAccounts(t *testing.T) {
	n := withAccount(t)
	n.stop(t)
	path := filepath.Join(n.dir, "notary", "accounts.sealed")
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p[len(p)/2] ^= 1
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.open(t); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v", err)
	}
}
