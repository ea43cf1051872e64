package vault_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"cunzheng/notary/vault"
)

func TestAbort(t *testing.T) {
	v := openFolder(t)
	if _, err := v.Put(t.Context(), "a", strings.NewReader("x"), 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the caller may have gone
	if err := v.Abort(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	v.wantEmpty(t)
}

func TestRecover(t *testing.T) {
	v := openFolder(t)
	for _, id := range []string{"logged", "orphan"} {
		if _, err := v.Put(t.Context(), id, strings.NewReader(id), 0); err != nil {
			t.Fatal(err)
		}
	}
	put(t, v.Vault, "committed", []byte("x"))
	known := func(id string) (bool, error) { return id == "logged", nil }
	if err := v.Recover(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	wantContent(t, v.Vault, "orphan", []byte("orphan")) // still being deposited: not Recover's business

	v.reopen(t)
	if got := v.Pending(); len(got) != 2 {
		t.Fatalf("pending after a restart: %q", got)
	}
	broken := errors.New("log not readable")
	if err := v.Recover(t.Context(), func(string) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	wantContent(t, v.Vault, "orphan", []byte("orphan")) // in doubt nothing is removed
	if err := v.Recover(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	wantContent(t, v.Vault, "logged", []byte("logged"))
	wantContent(t, v.Vault, "committed", []byte("x"))
	if _, err := v.Open(t.Context(), "orphan"); !errors.Is(err, vault.ErrNotFound) {
		t.Fatalf("the orphan: %v", err)
	}
	if len(v.files(t)) != 2 || len(v.Pending()) != 0 {
		t.Errorf("left: %q, %q", v.files(t), v.Pending())
	}
}
