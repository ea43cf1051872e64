package notary_test

import (
	"strings"
	"testing"
	"time"

	"cunzheng/evidence"
	"cunzheng/notary"
)

const otherPassword = "another long password"

// signIn returns the account as it is after a login.
func (n *node) signIn(t *testing.T, account, password string) notary.Actor {
	t.Helper()
	a, err := n.Authenticate(t.Context(), account, password)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestPasswordEndsTokens: what was issued for one password is worth nothing after another was set, and only that.
func TestPasswordEndsTokens(t *testing.T) {
	n := withAccount(t)
	n.register(t, "org-a", notary.Account{ID: "bob", Kind: evidence.AccountPerson, Roles: []notary.Role{notary.RoleNotary}})
	if err := n.SetPassword(t.Context(), secretAdm, "bob", password); err != nil {
		t.Fatal(err)
	}
	alice, bob := n.signIn(t, "alice", password), n.signIn(t, "bob", password)
	check := func(a notary.Actor, code string) {
		t.Helper()
		found, err := n.Actor(a.Organisation, a.Account, a.Credential)
		if code != "" {
			wantCode(t, err, code)
		} else if err != nil || found.Authentication != evidence.AuthenticationPassword || len(found.Roles) != 1 {
			t.Errorf("%+v, %v", found, err)
		}
	}
	check(alice, "")
	n.restart(t)
	check(alice, "")
	if strings.Contains(alice.Credential, password) || alice.Credential == bob.Credential {
		t.Errorf("credentials %q, %q", alice.Credential, bob.Credential)
	}
	// Another's, even for the same password, is no credential.
	_, err := n.Actor("org-a", "alice", bob.Credential)
	wantCode(t, err, notary.CodeLoginFailed)
	for range 2 { // the same password set again ends them too: somebody saw a reason
		before := n.signIn(t, "alice", password)
		if err := n.SetPassword(t.Context(), secretAdm, "alice", password); err != nil {
			t.Fatal(err)
		}
		check(before, notary.CodeLoginFailed)
		n.restart(t)
		check(before, notary.CodeLoginFailed)
	}
	check(bob, "")
	check(n.signIn(t, "alice", password), "")
}

// TestPasswordIsLogged: the log says who set whose password and when, and nothing else.
func TestPasswordIsLogged(t *testing.T) {
	n := withAccount(t)
	n.clock.add(time.Minute)
	size := n.log.Latest().Size
	wantCode(t, n.SetPassword(t.Context(), secretAdm, "alice", "short"), notary.CodePasswordWeak)
	wantCode(t, n.SetPassword(t.Context(), secretAdm, "nobody", password), notary.CodeAccountUnknown)
	if n.log.Latest().Size != size {
		t.Error("a password that was not set is logged")
	}
	if err := n.SetPassword(t.Context(), secretAdm, "alice", otherPassword); err != nil {
		t.Fatal(err)
	}
	if n.log.Latest().Size != size+1 {
		t.Fatalf("%d entries", n.log.Latest().Size-size)
	}
	entry, err := n.log.Entry(size)
	if err != nil {
		t.Fatal(err)
	}
	s, err := evidence.ParseStatement(entry)
	if err != nil {
		t.Fatal(err)
	}
	if s.Type != evidence.TypeOfficer || s.Correlation != notary.CorrelationPassword || s.Officer.ID != "alice" || s.Depositor.Account != secretAdm.Account ||
		s.Officer.Status != evidence.StandingActive || s.ReceivedAt != evidence.InstantOf(n.clock.Now()) {
		t.Errorf("entry: %s", entry)
	}
	if strings.Contains(string(entry), otherPassword) {
		t.Error("the log tells the password")
	}
	// A log that takes nothing leaves the password as it is.
	n.clock.add(-time.Hour)
	wantCode(t, n.SetPassword(t.Context(), secretAdm, "alice", password), notary.CodeClockBehind)
	n.wantAlarms(t, 1)
	n.signIn(t, "alice", otherPassword)
}

// admins registers the three administrators, and a second of each kind, signed in by password; those whose names end in 2
// have no password yet.
func admins(t *testing.T) (*node, map[string]notary.Actor) {
	t.Helper()
	n := newNode(t)
	n.register(t, "org-a", notary.Account{ID: "user", Roles: []notary.Role{notary.RoleNotary}})
	signedIn := make(map[string]notary.Actor)
	for name, role := range map[string]notary.Role{"system": notary.RoleSystemAdmin, "security": notary.RoleSecurityAdmin, "audit": notary.RoleAuditAdmin} {
		n.register(t, "office", notary.Account{ID: name, Kind: evidence.AccountPerson, Roles: []notary.Role{role}},
			notary.Account{ID: name + "2", Kind: evidence.AccountPerson, Roles: []notary.Role{role}})
		if err := n.SetPassword(t.Context(), secretAdm, name, password); err != nil {
			t.Fatal(err)
		}
		signedIn[name] = n.signIn(t, name, password)
	}
	return n, signedIn
}

// TestNoAdministratorBecomesAnother: by setting its password or registering a key for it.
func TestNoAdministratorBecomesAnother(t *testing.T) {
	n, by := admins(t)
	set := func(who, whose string) error { return n.SetPassword(t.Context(), by[who], whose, otherPassword) }
	key := func(who, whose, organisation string) error {
		_, err := n.RegisterKey(t.Context(), by[who], evidence.Key{Organisation: organisation, Account: whose, Use: evidence.UseAuthentication,
			SPKI: newKey(t).Public().(interface{ SPKI() []byte }).SPKI(), NotAfter: evidence.InstantOf(n.clock.Now().Add(time.Hour))})
		return err
	}
	size := n.log.Latest().Size
	for _, who := range []string{"system", "security", "audit"} {
		for _, whose := range []string{"system", "security", "audit", "user", "nobody", "system2", "audit2", "security2"} {
			fresh := strings.HasSuffix(whose, "2") || whose == "user"
			if strings.TrimSuffix(whose, "2") == who || who == "security" && (fresh || whose == "nobody") {
				continue
			}
			wantCode(t, set(who, whose), notary.CodeForbidden)
			wantCode(t, key(who, whose, "office"), notary.CodeForbidden)
		}
	}
	if n.log.Latest().Size != size {
		t.Error("something refused is in the log")
	}
	for _, whose := range []string{"system", "security", "audit"} {
		n.signIn(t, whose, password)
	}
	// The first time, and for users always, it is the security administrator's business.
	for _, whose := range []string{"system2", "audit2", "user", "user"} {
		if err := set("security", whose); err != nil {
			t.Errorf("%s: %v", whose, err)
		}
	}
	for range 2 {
		if err := key("security", "user", "org-a"); err != nil {
			t.Error(err)
		}
	}
	wantCode(t, set("security", "system2"), notary.CodeForbidden)
	// Whoever has the power already may set it for themselves and their like.
	for _, pair := range [][2]string{{"system", "system"}, {"system", "system2"}, {"audit", "audit2"}, {"security", "security2"}, {"security", "security2"}} {
		if err := set(pair[0], pair[1]); err != nil {
			t.Errorf("%q: %v", pair, err)
		}
	}
	if err := key("audit", "audit", "office"); err != nil {
		t.Error(err)
	}
	n.signIn(t, "system", otherPassword)
}

// TestFirstKeyOfAnAdministrator: a key proves an account as a password does.
func TestFirstKeyOfAnAdministrator(t *testing.T) {
	n, by := admins(t)
	k := evidence.Key{Organisation: "office", Account: "audit2", Use: evidence.UseAuthentication,
		SPKI: newKey(t).Public().(interface{ SPKI() []byte }).SPKI(), NotAfter: evidence.InstantOf(n.clock.Now().Add(time.Hour))}
	if _, err := n.RegisterKey(t.Context(), by["security"], k); err != nil {
		t.Fatal(err)
	}
	wantCode(t, n.SetPassword(t.Context(), by["security"], "audit2", otherPassword), notary.CodeForbidden)
}

// TestLastAdministratorStays: whoever could act in an administrator's role alone is not closed, nor the organisation.
func TestLastAdministratorStays(t *testing.T) {
	n, by := admins(t)
	// Somebody else's account does it, so that nobody changes their own.
	by["system"] = notary.Actor{Organisation: "office", Account: "operator", Roles: []notary.Role{notary.RoleSystemAdmin}}
	roles := map[string]notary.Role{"system": notary.RoleSystemAdmin, "security": notary.RoleSecurityAdmin, "audit": notary.RoleAuditAdmin}
	change := func(account string, status evidence.Standing) error {
		return n.RegisterOfficer(t.Context(), by["system"], notary.Account{ID: account, Organisation: "office", Kind: evidence.AccountPerson,
			Roles: []notary.Role{roles[strings.TrimSuffix(account, "2")]}, Status: status})
	}
	office := func(status evidence.Standing) error {
		return n.RegisterOrganisation(t.Context(), by["system"], evidence.Organisation{ID: "office", Name: "O", Status: status})
	}
	for name := range roles {
		wantCode(t, change(name, evidence.StandingClosed), notary.CodeLastAdministrator) // the second one cannot sign in
		if err := change(name+"2", evidence.StandingClosed); err != nil {
			t.Errorf("one who cannot act: %v", err)
		}
		if err := change(name+"2", evidence.StandingActive); err != nil {
			t.Error(err)
		}
		if err := n.SetPassword(t.Context(), secretAdm, name+"2", password); err != nil {
			t.Fatal(err)
		}
		if err := change(name, evidence.StandingClosed); err != nil {
			t.Errorf("one of two: %v", err)
		}
		wantCode(t, change(name+"2", evidence.StandingClosed), notary.CodeLastAdministrator)
		if err := change(name, evidence.StandingActive); err != nil {
			t.Error(err)
		}
	}
	wantCode(t, office(evidence.StandingClosed), notary.CodeLastAdministrator)
	if err := n.RegisterOrganisation(t.Context(), by["system"], evidence.Organisation{ID: "org-a", Name: "A", Status: evidence.StandingClosed}); err != nil {
		t.Errorf("an organisation without administrators: %v", err)
	}
	// A key does as well as a password, while it lasts.
	n.register(t, "elsewhere", notary.Account{ID: "machine", Roles: []notary.Role{notary.RoleSystemAdmin}},
		notary.Account{ID: "security3", Roles: []notary.Role{notary.RoleSecurityAdmin}}, notary.Account{ID: "audit3", Roles: []notary.Role{notary.RoleAuditAdmin}})
	for _, account := range []string{"security3", "audit3"} {
		if err := n.SetPassword(t.Context(), secretAdm, account, password); err != nil {
			t.Fatal(err)
		}
	}
	_, err := n.RegisterKey(t.Context(), secretAdm, evidence.Key{Organisation: "elsewhere", Account: "machine", Use: evidence.UseAuthentication,
		SPKI: newKey(t).Public().(interface{ SPKI() []byte }).SPKI(), NotAfter: evidence.InstantOf(n.clock.Now().Add(time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	if err := office(evidence.StandingClosed); err != nil {
		t.Errorf("others are elsewhere: %v", err)
	}
	if err := office(evidence.StandingActive); err != nil {
		t.Error(err)
	}
	n.clock.add(2 * time.Hour)
	wantCode(t, office(evidence.StandingClosed), notary.CodeLastAdministrator)
}
