package notary_test

import (
	"io"
	"strings"
	"testing"

	"cunzheng/evidence"
	"cunzheng/notary"
)

// what a role may do, written down a second time, by hand: letters of the actions on the own organisation's evidence,
// then on another's. d deposit, s see, p personal fields, c content; R registry, P people, K passwords and keys.
var matrix = map[notary.Role]struct{ own, other, registry string }{
	notary.RoleDepositor:     {"dspc", "", ""},
	notary.RoleDepartment:    {"dspc", "", ""},
	notary.RoleNotary:        {"dspc", "spc", ""},
	notary.RoleApprover:      {"spc", "spc", ""},
	notary.RoleArchivist:     {"spc", "spc", ""},
	notary.RoleCourt:         {"spc", "spc", ""},
	notary.RoleAuditor:       {"s", "s", ""},
	notary.RoleSystemAdmin:   {"", "", "RP"},
	notary.RoleSecurityAdmin: {"", "", "RK"},
	notary.RoleAuditAdmin:    {"", "", "R"},
}

func TestPolicyMatrix(t *testing.T) {
	n := newNode(t)
	if err := n.RegisterOrganisation(t.Context(), peopleAdm, evidence.Organisation{ID: "org-a", Name: "A"}); err != nil {
		t.Fatal(err)
	}
	evidenceOf := map[string]string{}
	for _, organisation := range []string{"org-a", "org-b"} {
		evidenceOf[organisation] = n.mustDepositFile(t, actor(organisation, notary.RoleDepositor),
			notary.FileDeposit{Name: "secret name", Case: "case-" + organisation}, "content").Number
	}
	if len(matrix) != len(notary.Roles()) {
		t.Fatalf("%d roles in the matrix, %d exist", len(matrix), len(notary.Roles()))
	}
	for role, allowed := range matrix {
		by := actor("org-a", role)
		t.Run(string(role), func(t *testing.T) {
			_, err := n.DepositDigest(t.Context(), by, notary.DigestDeposit{SM3: digestOf("x")})
			n.wantDecision(t, "deposit a digest", err, strings.Contains(allowed.own, "d"), notary.CodeForbidden)
			_, err = n.DepositFile(t.Context(), by, notary.FileDeposit{Name: "x"}, strings.NewReader(""))
			n.wantDecision(t, "deposit a file", err, strings.Contains(allowed.own, "d"), notary.CodeForbidden)

			for organisation, letters := range map[string]string{"org-a": allowed.own, "org-b": allowed.other} {
				n.wantEvidenceAccess(t, by, evidenceOf[organisation], organisation, letters, allowed.own+allowed.other)
			}
			n.wantRegistryAccess(t, by, allowed.registry)
		})
	}
	t.Run("no role", func(t *testing.T) {
		by := actor("org-a")
		n.wantEvidenceAccess(t, by, evidenceOf["org-a"], "org-a", "", "")
		n.wantRegistryAccess(t, by, "")
	})
	t.Run("roles add up", func(t *testing.T) {
		by := actor("org-a", notary.RoleAuditor, notary.RoleDepositor)
		n.wantEvidenceAccess(t, by, evidenceOf["org-a"], "org-a", "dspc", "dspc")
		n.wantEvidenceAccess(t, by, evidenceOf["org-b"], "org-b", "s", "dspc")
	})
}

func (n *node) wantDecision(t *testing.T, what string, err error, allowed bool, code string) {
	t.Helper()
	if allowed && err != nil {
		t.Errorf("%s: %v, but it is allowed", what, err)
	}
	if !allowed {
		if err == nil {
			t.Errorf("%s: no error, but it is not allowed", what)
			return
		}
		wantCode(t, err, code)
	}
}

// wantEvidenceAccess tries all there is to do with one piece of evidence. anywhere holds what the actor may do on some
// evidence: then what it may not see here does not exist for it.
func (n *node) wantEvidenceAccess(t *testing.T, by notary.Actor, number, organisation, letters, anywhere string) {
	t.Helper()
	may := func(letter string) bool { return strings.Contains(letters, letter) }
	refusal := func(letter string) string {
		if !may("s") && strings.Contains(anywhere, letter) {
			return notary.CodeNotFound
		}
		return notary.CodeForbidden
	}
	record, err := n.Get(t.Context(), by, number)
	n.wantDecision(t, "get", err, may("s"), refusal("s"))
	if err == nil && (record.Disclosed["name"] == "secret name") != may("p") {
		t.Errorf("get discloses %v", record.Disclosed)
	}
	var bundle strings.Builder
	err = n.Bundle(t.Context(), by, number, &bundle, notary.BundleOptions{Disclose: true})
	n.wantDecision(t, "bundle", err, may("s"), refusal("s"))
	if err == nil && strings.Contains(bundle.String(), "secret name") != may("p") {
		t.Errorf("whether the bundle discloses is wrong for %v", by.Roles)
	}
	n.wantDecision(t, "content", n.Content(t.Context(), by, number, 0, io.Discard), may("c"), refusal("c"))
	n.wantDecision(t, "bundle with content", n.Bundle(t.Context(), by, number, io.Discard, notary.BundleOptions{WithContent: true}), may("c"), refusal("c"))
	_, err = n.ContentInfo(t.Context(), by, number)
	n.wantDecision(t, "content info", err, may("c"), refusal("c"))

	page, err := n.Search(t.Context(), by, notary.Query{Case: "case-" + organisation})
	if strings.Contains(anywhere, "s") {
		n.wantDecision(t, "search", err, true, "")
		if found := len(page.Items) == 1; found != may("s") {
			t.Errorf("search finds %d", len(page.Items))
		}
	} else {
		n.wantDecision(t, "search", err, false, notary.CodeForbidden)
	}
}

func (n *node) wantRegistryAccess(t *testing.T, by notary.Actor, letters string) {
	t.Helper()
	may := func(letter string) bool { return strings.Contains(letters, letter) }
	ctx := t.Context()
	_, err := n.Organisations(ctx, by)
	n.wantDecision(t, "list organisations", err, may("R"), notary.CodeForbidden)
	_, err = n.Accounts(ctx, by)
	n.wantDecision(t, "list accounts", err, may("R"), notary.CodeForbidden)
	_, err = n.Keys(ctx, by)
	n.wantDecision(t, "list keys", err, may("R"), notary.CodeForbidden)
	err = n.RegisterOrganisation(ctx, by, evidence.Organisation{ID: "org-a", Name: "A"})
	n.wantDecision(t, "register an organisation", err, may("P"), notary.CodeForbidden)
	err = n.RegisterOfficer(ctx, by, notary.Account{ID: "acc", Organisation: "org-a", Kind: evidence.AccountPerson})
	n.wantDecision(t, "register an account", err, may("P"), notary.CodeForbidden)

	want := func(e error) error { // allowed, but what it is about does not exist
		if may("K") {
			wantAnyCode(t, e, notary.CodeAccountUnknown, notary.CodeKeyUnknown, notary.CodeFieldInvalid)
			return nil
		}
		return e
	}
	n.wantDecision(t, "set a password", want(n.SetPassword(ctx, by, "nobody", "a long password")), may("K"), notary.CodeForbidden)
	_, err = n.RegisterKey(ctx, by, evidence.Key{})
	n.wantDecision(t, "register a key", want(err), may("K"), notary.CodeForbidden)
	n.wantDecision(t, "revoke a key", want(n.RevokeKey(ctx, by, evidence.KeyRevocation{})), may("K"), notary.CodeForbidden)
}

func wantAnyCode(t *testing.T, err error, codes ...string) {
	t.Helper()
	for _, c := range codes {
		if err != nil && strings.HasPrefix(err.Error(), c+":") {
			return
		}
	}
	t.Errorf("got %v, want one of %q", err, codes)
}

func TestNumbersThatDoNotExist(t *testing.T) {
	n := newNode(t)
	d := n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("x")})
	unknown := testFormat.Format(n.clock.Now(), 77_777)
	_, err := n.Get(t.Context(), officer, unknown)
	wantCode(t, err, notary.CodeNotFound)

	// For who may not see it, evidence that exists and evidence that does not must look the same.
	stranger := actor("org-b", notary.RoleDepositor)
	_, there := n.Get(t.Context(), stranger, d.Number)
	_, missing := n.Get(t.Context(), stranger, unknown)
	a, b := wantCode(t, there, notary.CodeNotFound), wantCode(t, missing, notary.CodeNotFound)
	if strings.ReplaceAll(a.ZH+a.EN, d.Number, "N") != strings.ReplaceAll(b.ZH+b.EN, unknown, "N") {
		t.Errorf("%v\n%v", a, b)
	}
	for _, wrong := range []string{"", "x", d.Number[:len(d.Number)-1] + "?", strings.ToLower(d.Number), strings.Repeat("9", 1000), "../" + d.Number} {
		_, err := n.Get(t.Context(), officer, wrong)
		wantCode(t, err, notary.CodeNumberInvalid)
	}
}
