package notary_test

import (
	"strings"
	"testing"
	"time"

	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/notary"
)

func (n *node) register(t *testing.T, organisation string, accounts ...notary.Account) {
	t.Helper()
	if err := n.RegisterOrganisation(t.Context(), peopleAdm, evidence.Organisation{ID: organisation, Name: "机构 " + organisation}); err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		a.Organisation = organisation
		if a.Kind == "" {
			a.Kind = evidence.AccountSystem
		}
		if err := n.RegisterOfficer(t.Context(), peopleAdm, a); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRegistry(t *testing.T) {
	n := newNode(t)
	ctx := t.Context()
	n.register(t, "org-a", notary.Account{ID: "acc-1", Roles: []notary.Role{notary.RoleDepositor, notary.RoleArchivist}, Kind: evidence.AccountPerson, DisplayName: "王小明"})
	key := newKey(t)
	spki := key.Public().(interface{ SPKI() []byte }).SPKI()
	k, err := n.RegisterKey(ctx, secretAdm, evidence.Key{Organisation: "org-a", Account: "acc-1", SPKI: spki, Use: evidence.UseAuthentication,
		NotAfter: evidence.InstantOf(n.clock.Now().Add(time.Hour)), Roles: []string{string(notary.RoleDepositor)}})
	if err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T) {
		t.Helper()
		a, err := n.Actor("", "acc-1", k.Fingerprint.String())
		if err != nil {
			t.Fatal(err)
		}
		if a.Organisation != "org-a" || len(a.Roles) != 1 || a.Roles[0] != notary.RoleDepositor || a.Key != k.Fingerprint || a.Authentication != evidence.AuthenticationKey {
			t.Errorf("actor by key: %+v", a)
		}
		public, err := n.AuthenticationKey(k.Fingerprint.String())
		if err != nil || !public.Equal(key.Public()) {
			t.Errorf("key: %v, %v", public, err)
		}
	}
	check(t)
	n.restart(t) // all of it comes out of the log again
	check(t)

	for i := range n.log.Latest().Size {
		entry, err := n.log.Entry(i)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(entry), "王小明") {
			t.Error("a person's name stands in the log")
		}
	}
	orgs, err := n.Organisations(ctx, auditAdm)
	if err != nil || len(orgs) != 1 || orgs[0].Status != evidence.StandingActive {
		t.Errorf("organisations: %+v, %v", orgs, err)
	}
	accounts, err := n.Accounts(ctx, auditAdm)
	if err != nil || len(accounts) != 1 || accounts[0].ID != "acc-1" {
		t.Errorf("accounts: %+v, %v", accounts, err)
	}
	keys, err := n.Keys(ctx, auditAdm)
	if err != nil || len(keys) != 1 || keys[0].Revocation != nil {
		t.Errorf("keys: %+v, %v", keys, err)
	}

	t.Run("refused", func(t *testing.T) {
		size := n.log.Latest().Size
		officer := func(edit func(*notary.Account)) error {
			a := notary.Account{ID: "acc-2", Organisation: "org-a", Kind: evidence.AccountPerson, Roles: []notary.Role{notary.RoleDepositor}}
			edit(&a)
			return n.RegisterOfficer(ctx, peopleAdm, a)
		}
		wantCode(t, officer(func(a *notary.Account) { a.Organisation = "none" }), notary.CodeOrganisationUnknown)
		wantCode(t, officer(func(a *notary.Account) { a.Roles = []notary.Role{"king"} }), notary.CodeRoleUnknown)
		wantCode(t, officer(func(a *notary.Account) { a.Roles = []notary.Role{notary.RoleSystemAdmin, notary.RoleAuditAdmin} }), notary.CodeRoleConflict)
		wantCode(t, officer(func(a *notary.Account) { a.Roles = []notary.Role{notary.RoleSystemAdmin, notary.RoleDepositor} }), notary.CodeRoleConflict)
		wantCode(t, officer(func(a *notary.Account) { a.ID = "a b" }), notary.CodeFieldInvalid)
		wantCode(t, officer(func(a *notary.Account) { a.Kind = "robot" }), notary.CodeFieldInvalid)
		wantCode(t, n.RegisterOrganisation(ctx, peopleAdm, evidence.Organisation{ID: "x"}), notary.CodeFieldInvalid)
		register := func(edit func(*evidence.Key)) error {
			k := evidence.Key{Organisation: "org-a", Account: "acc-1", SPKI: newKey(t).Public().(interface{ SPKI() []byte }).SPKI(),
				Use: evidence.UseAuthentication, NotAfter: evidence.InstantOf(n.clock.Now().Add(time.Hour))}
			edit(&k)
			_, err := n.RegisterKey(ctx, secretAdm, k)
			return err
		}
		wantCode(t, register(func(k *evidence.Key) { k.SPKI = spki }), notary.CodeKeyExists)
		wantCode(t, register(func(k *evidence.Key) { k.SPKI = n.keys.Keys(keystore.RoleLog)[0].Key.SPKI() }), notary.CodeKeyExists)
		wantCode(t, register(func(k *evidence.Key) { k.SPKI = spki[1:] }), notary.CodeFieldInvalid)
		wantCode(t, register(func(k *evidence.Key) { k.Account = "none" }), notary.CodeAccountUnknown)
		wantCode(t, register(func(k *evidence.Key) { k.Account = "" }), notary.CodeFieldInvalid)
		wantCode(t, register(func(k *evidence.Key) { k.Roles = []string{"king"} }), notary.CodeRoleUnknown)
		wantCode(t, register(func(k *evidence.Key) { k.NotAfter = 5 }), notary.CodeFieldInvalid)
		if n.log.Latest().Size != size {
			t.Error("something refused is in the log")
		}
	})
	t.Run("another organisation cannot take an account", func(t *testing.T) {
		n.register(t, "org-b")
		err := n.RegisterOfficer(ctx, peopleAdm, notary.Account{ID: "acc-1", Organisation: "org-b", Kind: evidence.AccountPerson})
		wantCode(t, err, notary.CodeAccountTaken)
	})
	actorFails := func(t *testing.T, organisation, account, key, code string) {
		t.Helper()
		_, err := n.Actor(organisation, account, key)
		wantCode(t, err, code)
	}
	t.Run("who may not act", func(t *testing.T) {
		n.register(t, "org-b", notary.Account{ID: "acc-b"})
		actorFails(t, "", "nobody", "", notary.CodeAccountUnknown)
		actorFails(t, "org-b", "acc-1", "", notary.CodeAccountUnknown)
		actorFails(t, "", "acc-1", "", notary.CodeKeyUnknown)
		actorFails(t, "", "acc-1", "password-", notary.CodeLoginFailed) // it has none
		actorFails(t, "", "acc-1", "not a key", notary.CodeKeyUnknown)
		actorFails(t, "", "acc-1", strings.Repeat("0", 64), notary.CodeKeyUnknown)
		actorFails(t, "", "acc-b", k.Fingerprint.String(), notary.CodeKeyUnknown)
	})
	t.Run("time of use", func(t *testing.T) {
		n.clock.add(2 * time.Hour)
		actorFails(t, "", "acc-1", k.Fingerprint.String(), notary.CodeKeyNotInUse)
		n.clock.add(-3 * time.Hour) // the log knows that the key has begun
		check(t)
		n.clock.add(time.Hour)
		check(t)
	})
	t.Run("revocation", func(t *testing.T) {
		if err := n.RevokeKey(ctx, secretAdm, evidence.KeyRevocation{Fingerprint: k.Fingerprint, Reason: evidence.ReasonCessation}); err != nil {
			t.Fatal(err)
		}
		later := evidence.KeyRevocation{Fingerprint: k.Fingerprint, Reason: evidence.ReasonCessation, At: evidence.InstantOf(n.clock.Now().Add(240 * time.Hour))}
		if err := n.RevokeKey(ctx, secretAdm, later); err != nil { // does not make it good again
			t.Fatal(err)
		}
		for range 2 {
			actorFails(t, "", "acc-1", k.Fingerprint.String(), notary.CodeKeyRevoked)
			_, err := n.AuthenticationKey(k.Fingerprint.String())
			wantCode(t, err, notary.CodeKeyRevoked)
			n.restart(t)
		}
		wantCode(t, n.RevokeKey(ctx, secretAdm, evidence.KeyRevocation{Fingerprint: digestOf("x"), Reason: evidence.ReasonCessation}), notary.CodeKeyUnknown)
	})
	t.Run("closing", func(t *testing.T) {
		closed := notary.Account{ID: "acc-1", Organisation: "org-a", Kind: evidence.AccountPerson, Status: evidence.StandingClosed}
		if err := n.RegisterOfficer(ctx, peopleAdm, closed); err != nil {
			t.Fatal(err)
		}
		actorFails(t, "", "acc-1", "", notary.CodeAccountClosed)
		if err := n.RegisterOrganisation(ctx, peopleAdm, evidence.Organisation{ID: "org-b", Name: "B", Status: evidence.StandingClosed}); err != nil {
			t.Fatal(err)
		}
		actorFails(t, "", "acc-b", "", notary.CodeOrganisationClosed)
	})
	n.wantClean(t)
}

// TestOwnKeys: the platform's keys are in the log, a rotation too, and old bundles verify with the new trust file.
func TestOwnKeys(t *testing.T) {
	n := newNode(t)
	before := n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("1")})
	size := n.log.Latest().Size
	n.restart(t)
	if n.log.Latest().Size != size {
		t.Error("a restart without a new key writes to the log")
	}
	n.clock.add(time.Hour)
	for _, role := range []keystore.Role{keystore.RoleReceipt, keystore.RoleLog} {
		if _, err := n.keys.Rotate(role, n.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	n.restart(t)
	if grown := n.log.Latest().Size - size; grown != 2 {
		t.Errorf("two keys were rotated and %d entries written", grown)
	}
	after := n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("2")})
	n.wantPassed(t, depositor, before.Number, notary.BundleOptions{})
	n.wantPassed(t, depositor, after.Number, notary.BundleOptions{})
	trust, err := n.Trust()
	if err != nil {
		t.Fatal(err)
	}
	if keys := trust.Logs[0].Keys; len(keys) != 6 || keys[0].Until == 0 || keys[1].Until != 0 {
		t.Errorf("keys: %+v", keys)
	}
	if len(trust.Ledgers) != 1 || len(trust.Ledgers[0].Keys) != 1 {
		t.Errorf("ledgers: %+v", trust.Ledgers)
	}
	// Revoking one of them makes each bundle it signed fail; no single administrator may do that.
	used := receiptOf(t, after).Key
	wantCode(t, n.RevokeKey(t.Context(), secretAdm, evidence.KeyRevocation{Fingerprint: used, Reason: evidence.ReasonCompromise}), notary.CodeForbidden)
	n.wantPassed(t, depositor, after.Number, notary.BundleOptions{})
}

func (n *node) registerKey(t *testing.T, account string, edit func(*evidence.Key)) evidence.Key {
	t.Helper()
	k := evidence.Key{Organisation: "org-a", Account: account, SPKI: newKey(t).Public().(interface{ SPKI() []byte }).SPKI(),
		Use: evidence.UseAuthentication, NotAfter: evidence.InstantOf(n.clock.Now().Add(24 * time.Hour))}
	edit(&k)
	k, err := n.RegisterKey(t.Context(), secretAdm, k)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestRevocationTime: a key is revoked from a time of its use on, also before it has begun.
func TestRevocationTime(t *testing.T) {
	n := newNode(t)
	n.register(t, "org-a", notary.Account{ID: "acc"})
	begins := evidence.InstantOf(n.clock.Now().Add(time.Hour))
	k := n.registerKey(t, "acc", func(k *evidence.Key) { k.NotBefore = begins })
	early := evidence.KeyRevocation{Fingerprint: k.Fingerprint, Reason: evidence.ReasonCompromise, At: begins - 1}
	if e := wantCode(t, n.RevokeKey(t.Context(), secretAdm, early), notary.CodeFieldInvalid); e.Field != "at" {
		t.Errorf("field %q", e.Field)
	}
	_, err := n.AuthenticationKey(k.Fingerprint.String())
	wantCode(t, err, notary.CodeKeyNotInUse)
	if err := n.RevokeKey(t.Context(), secretAdm, evidence.KeyRevocation{Fingerprint: k.Fingerprint, Reason: evidence.ReasonCompromise}); err != nil {
		t.Fatal(err)
	}
	n.clock.add(2 * time.Hour)
	_, err = n.AuthenticationKey(k.Fingerprint.String())
	wantCode(t, err, notary.CodeKeyRevoked)
}

// TestLaggingClock: keys work, and stop working, at once also while the machine's clock is behind the log.
func TestLaggingClock(t *testing.T) {
	n := newNode(t)
	n.register(t, "org-a", notary.Account{ID: "acc"})
	k := n.registerKey(t, "acc", func(*evidence.Key) {})
	n.clock.add(-time.Hour)
	if _, err := n.AuthenticationKey(k.Fingerprint.String()); err != nil {
		t.Errorf("a new key: %v", err)
	}
	if err := n.RevokeKey(t.Context(), secretAdm, evidence.KeyRevocation{Fingerprint: k.Fingerprint, Reason: evidence.ReasonCompromise}); err != nil {
		t.Fatal(err)
	}
	_, err := n.AuthenticationKey(k.Fingerprint.String())
	wantCode(t, err, notary.CodeKeyRevoked)
	n.wantAlarms(t, 0)
}

// TestAdministratorsStayApart: a password and keys come with an account, so that changing what it may do would give its
// holder another's power.
func TestAdministratorsStayApart(t *testing.T) {
	n := newNode(t)
	n.register(t, "org-a", notary.Account{ID: "user", Roles: []notary.Role{notary.RoleDepositor}},
		notary.Account{ID: "plain"}, notary.Account{ID: "admin", Roles: []notary.Role{notary.RoleSecurityAdmin}})
	change := func(by notary.Actor, id string, roles ...notary.Role) error {
		return n.RegisterOfficer(t.Context(), by, notary.Account{ID: id, Organisation: "org-a", Kind: evidence.AccountSystem, Roles: roles})
	}
	size := n.log.Latest().Size
	for _, err := range []error{
		change(peopleAdm, "user", notary.RoleSystemAdmin), change(peopleAdm, "plain", notary.RoleAuditAdmin),
		change(peopleAdm, "admin", notary.RoleDepositor), change(peopleAdm, "admin"), change(peopleAdm, "admin", notary.RoleSystemAdmin),
	} {
		if e := wantCode(t, err, notary.CodeRoleConflict); e.Field != "roles" {
			t.Errorf("field %q", e.Field)
		}
	}
	self := peopleAdm
	self.Account = "admin"
	wantCode(t, change(self, "admin", notary.RoleSecurityAdmin), notary.CodeForbidden)
	if n.log.Latest().Size != size {
		t.Error("something refused is in the log")
	}
	if err := change(peopleAdm, "user", notary.RoleNotary); err != nil {
		t.Error(err)
	}
	if err := change(peopleAdm, "admin", notary.RoleSecurityAdmin); err != nil {
		t.Error(err)
	}
}
