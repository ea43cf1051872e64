package notary_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

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

// TestNobodyIsShutOut: wrong passwords, however many, lock nobody out and leave nothing behind. Slowing the guesser is the
// business of whoever knows where an attempt comes from.
func TestNobodyIsShutOut(t *testing.T) {
	n := withAccount(t)
	path := filepath.Join(n.dir, "notary", "accounts.sealed")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for _, name := range []string{"alice", "nobody", strings.Repeat("n", 5000), ""} {
				for range 10 {
					if _, err := n.Authenticate(t.Context(), name, "wrong password"); err == nil || !strings.HasPrefix(err.Error(), notary.CodeLoginFailed) {
						t.Errorf("%.10q: %v", name, err)
					}
				}
			}
		})
	}
	group.Wait()
	if err := n.login(t, "alice", password); err != nil {
		t.Error(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was written, %v", err)
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
