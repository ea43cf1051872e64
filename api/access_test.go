package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cunzheng/api/client"
	"cunzheng/api/token"
	"cunzheng/api/wire"
	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/notary"
)

func TestVisibility(t *testing.T) {
	e := start(t, nil)
	d, err := e.as(t, "depositor").DepositFile(t.Context(), file("a.txt", "abc"))
	if err != nil {
		t.Fatal(err)
	}
	stranger := e.as(t, "stranger")
	_, err = stranger.Get(t.Context(), d.Number)
	wantCode(t, err, notary.CodeNotFound)
	wantCode(t, stranger.Bundle(t.Context(), d.Number, false, io.Discard), notary.CodeNotFound)
	wantCode(t, stranger.Content(t.Context(), d.Number, io.Discard), notary.CodeNotFound)
	if page, err := stranger.Search(t.Context(), client.Query{SM3: sm3.Sum([]byte("abc"))}, ""); err != nil || len(page.Items) != 0 {
		t.Errorf("stranger finds %+v, %v", page, err)
	}
	auditor := e.as(t, "auditor")
	if record, err := auditor.Get(t.Context(), d.Number); err != nil || len(record.Disclosed) != 0 {
		t.Errorf("auditor sees %+v, %v", record.Disclosed, err)
	}
	wantCode(t, auditor.Content(t.Context(), d.Number, io.Discard), codeForbidden)
	wantCode(t, auditor.Bundle(t.Context(), d.Number, true, io.Discard), codeForbidden)
	if err := e.as(t, "court").Content(t.Context(), d.Number, io.Discard); err != nil {
		t.Errorf("court: %v", err)
	}
}

func TestMachine(t *testing.T) {
	e := start(t, nil)
	people, secrets := e.as(t, "system-administrator"), e.as(t, "security-administrator")
	key, err := sm2.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	public := key.Public().(*sm2.PublicKey)
	ctx := t.Context()
	if _, err := people.RegisterOrganisation(ctx, evidence.Organisation{ID: "gov-data", Name: "数据局", Level: "city", Region: "350200"}); err != nil {
		t.Fatal(err)
	}
	account, err := people.RegisterAccount(ctx, wire.Account{ID: "gateway-1", Organisation: "gov-data", Kind: evidence.AccountSystem, Roles: []string{"department", "depositor"}})
	if err != nil || account.Status != evidence.StandingActive {
		t.Fatalf("%+v, %v", account, err)
	}
	_, err = people.RegisterKey(ctx, wire.Key{NotAfter: 1})
	wantCode(t, err, codeForbidden)
	_, err = secrets.RegisterAccount(ctx, wire.Account{})
	wantCode(t, err, codeForbidden)
	registered, err := secrets.RegisterKey(ctx, wire.Key{
		Organisation: "gov-data", Account: "gateway-1", Use: evidence.UseAuthentication, Roles: []string{"department"},
		PEM: string(public.PEM()), NotAfter: evidence.InstantOf(time.Now().Add(time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	machine := e.client(t, client.Options{Credentials: client.Machine("gateway-1", registered.ID.String(), key)})
	login, err := machine.Login(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if login.Account != "gateway-1" || login.Organisation != "gov-data" || !slices.Equal(login.Roles, []string{"department"}) || login.ExpiresIn != 900 {
		t.Errorf("login: %+v", login)
	}
	d, err := machine.DepositDigest(ctx, wire.DigestDeposit{SM3: sm3.Sum([]byte("abc"))})
	if err != nil {
		t.Fatal(err)
	}
	if statement, err := evidence.ParseStatement(d.Statement); err != nil || statement.Depositor.Key != registered.ID {
		t.Errorf("statement: %s, %v", d.Statement, err)
	}
	if report := verify(t, machine, d.Number, false); report.Verdict != evidence.Passed {
		t.Errorf("%s", report.Text("en"))
	}

	t.Run("assertions", func(t *testing.T) {
		trade := func(account, audience, kid string, key *sm2.PrivateKey) *answer {
			assertion, err := token.NewAssertion(account, audience, kid, key, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			body := url.Values{"grant_type": {wire.GrantAssertion}, "assertion": {assertion}}.Encode()
			a := e.do(t, "", post, tokenPath, body, "Content-Type", "application/x-www-form-urlencoded")
			if a.StatusCode == http.StatusOK {
				again := e.do(t, "", post, tokenPath, body, "Content-Type", "application/x-www-form-urlencoded")
				if p := again.wantProblem(t, http.StatusBadRequest, "TOKEN_REPLAYED"); p.OAuthError != "invalid_grant" {
					t.Errorf("replayed: %+v", p)
				}
			}
			return a
		}
		other, err := sm2.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		id := registered.ID.String()
		trade("gateway-1", issuer, id, key).want(t, http.StatusOK)
		trade("gateway-1", issuer+tokenPath, id, key).want(t, http.StatusOK)
		trade("gateway-1", "https://other.example", id, key).wantProblem(t, 400, "TOKEN_AUDIENCE")
		trade("depositor", issuer, id, key).wantProblem(t, 400, "TOKEN_KEY_UNKNOWN") // another's account
		trade("nobody", issuer, id, key).wantProblem(t, 400, "TOKEN_KEY_UNKNOWN")
		trade("gateway-1", issuer, id, other).wantProblem(t, 400, "TOKEN_SIGNATURE")
		trade("gateway-1", issuer, strings.Repeat("0", 64), key).wantProblem(t, 400, "TOKEN_KEY_UNKNOWN")
		trade("gateway-1", issuer, "x", key).wantProblem(t, 400, "TOKEN_KEY_UNKNOWN")
	})

	if err := secrets.RevokeKey(ctx, registered.ID.String(), wire.Revocation{Reason: evidence.ReasonCompromise}); err != nil {
		t.Fatal(err)
	}
	fixed := e.client(t, client.Options{Credentials: client.Bearer(login.AccessToken)})
	_, err = fixed.Get(ctx, d.Number)
	wantCode(t, err, codeTokenRevoked)
	_, err = machine.Get(ctx, d.Number)
	wantCode(t, err, "TOKEN_KEY_UNKNOWN")
	keys, err := e.as(t, "audit-administrator").RegisteredKeys(ctx)
	if err != nil || len(keys) != 1 || keys[0].Revocation == nil || keys[0].Revocation.Reason != evidence.ReasonCompromise {
		t.Errorf("keys: %+v, %v", keys, err)
	}
}

// TestClosedAccount holds that a token is worth nothing once its account is closed or has lost its role.
func TestClosedAccount(t *testing.T) {
	e := start(t, nil)
	c := e.as(t, "depositor")
	if _, err := c.Search(t.Context(), client.Query{}, ""); err != nil {
		t.Fatal(err)
	}
	people := e.as(t, "system-administrator")
	change := func(status evidence.Standing, roles ...string) {
		t.Helper()
		_, err := people.RegisterAccount(t.Context(), wire.Account{ID: "depositor", Organisation: "xm-notary", Kind: evidence.AccountPerson, Status: status, Roles: roles})
		if err != nil {
			t.Fatal(err)
		}
	}
	change(evidence.StandingActive, "auditor")
	_, err := c.DepositDigest(t.Context(), wire.DigestDeposit{SM3: sm3.Sum(nil)})
	wantCode(t, err, codeForbidden)
	change(evidence.StandingClosed, "depositor")
	raw, err := client.New(client.Options{Server: e.url, Credentials: client.Bearer(e.tokenOf(t, people))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Accounts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Search(t.Context(), client.Query{}, ""); err == nil {
		t.Fatal("a closed account still reads")
	}
	change(evidence.StandingActive, "depositor")
	if _, err := c.Search(t.Context(), client.Query{}, ""); err != nil {
		t.Fatalf("opened again: %v", err)
	}
}

func (e *env) tokenOf(t testing.TB, c *client.Client) string {
	t.Helper()
	login, err := c.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return login.AccessToken
}

func TestPasswords(t *testing.T) {
	e := start(t, nil)
	secrets := e.as(t, "security-administrator")
	wantCode(t, secrets.SetPassword(t.Context(), "nobody", password), notary.CodeAccountUnknown)
	wantCode(t, secrets.SetPassword(t.Context(), "depositor", "short"), notary.CodePasswordWeak)
	held := e.client(t, client.Options{Credentials: client.Bearer(e.token(t, notary.RoleDepositor))})
	if _, err := held.Search(t.Context(), client.Query{}, ""); err != nil {
		t.Fatal(err)
	}
	login := func(account, password string) error {
		_, err := e.client(t, client.Options{Credentials: client.Password(account, password)}).Login(t.Context())
		return err
	}
	known := wantCode(t, login("depositor", "wrong password"), notary.CodeLoginFailed)
	unknown := wantCode(t, login("nobody", "wrong password"), notary.CodeLoginFailed)
	if known.Detail != unknown.Detail || known.Status != unknown.Status {
		t.Error("the answer tells whether the account exists")
	}
	for range 10 {
		if err := login("depositor", "wrong password"); err != nil {
			if p, ok := errors.AsType[*client.Problem](err); ok && p.Code == codeAccountLocked {
				break
			}
		}
	}
	p := wantCode(t, login("depositor", password), codeAccountLocked)
	if p.Status != http.StatusTooManyRequests || p.RetryAfter <= 0 {
		t.Errorf("locked: %+v", p)
	}
	if err := secrets.SetPassword(t.Context(), "depositor", "another long password"); err != nil {
		t.Fatal(err)
	}
	_, err := held.Search(t.Context(), client.Query{}, "")
	wantCode(t, err, codeTokenRevoked)
	wantCode(t, secrets.SetPassword(t.Context(), "system-administrator", "another long password"), codeForbidden)
	if err := e.as(t, "system-administrator").SetPassword(t.Context(), "system-administrator", "another long password"); err != nil {
		t.Errorf("their own: %v", err)
	}
	if err := login("depositor", "another long password"); err != nil {
		t.Errorf("after a new password: %v", err)
	}
}

// slowRegistry takes its time to check passwords.
type slowRegistry struct {
	Registry
	entered, leave chan struct{}
}

func (r slowRegistry) Authenticate(ctx context.Context, account, password string) (notary.Actor, error) {
	r.entered <- struct{}{}
	<-r.leave
	return r.Registry.Authenticate(ctx, account, password)
}

// signIn asks for a token, through the proxy on this machine, from an address.
func (e *env) signIn(t testing.TB, account, password, address string) *answer {
	t.Helper()
	form := url.Values{"grant_type": {wire.GrantPassword}, "username": {account}, "password": {password}}
	return e.do(t, "", post, tokenPath, form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "X-Forwarded-For", address)
}

// TestGuessing holds that whoever guesses passwords is slowed down, and does not shut out who knows the password.
func TestGuessing(t *testing.T) {
	e := start(t, nil)
	for range 5 {
		e.signIn(t, "depositor", "wrong password", "198.51.100.7").wantProblem(t, 400, notary.CodeLoginFailed)
	}
	for range 20 {
		a := e.signIn(t, "depositor", password, "198.51.100.7")
		p := a.wantProblem(t, http.StatusTooManyRequests, codeAccountLocked)
		if wait := a.Header.Get("Retry-After"); wait != "60" || p.OAuthError != "temporarily_unavailable" {
			t.Fatalf("Retry-After is %q, error %q", wait, p.OAuthError)
		}
	}
	e.signIn(t, "depositor", password, "192.0.2.1").want(t, http.StatusOK)
	e.signIn(t, "court", password, "198.51.100.7").want(t, http.StatusOK)
	e.signIn(t, "court", password, "198.51.100.7, 192.0.2.9").want(t, http.StatusOK)
	for i := range 44 {
		e.signIn(t, fmt.Sprint("made up ", i), "wrong password", "198.51.100.7").wantProblem(t, 400, notary.CodeLoginFailed)
	}
	e.signIn(t, "made up", "wrong password", "198.51.100.7").want(t, 400)
	if a := e.signIn(t, "made up", "wrong password", "198.51.100.7"); a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	} else {
		a.wantProblem(t, http.StatusTooManyRequests, "TOKEN_BUSY")
	}
	if err := e.as(t, "security-administrator").SetPassword(t.Context(), "depositor", password); err != nil {
		t.Fatal(err)
	}
	e.signIn(t, "court", password, "198.51.100.7").want(t, http.StatusOK) // at home there
}

// TestSignInsWaiting holds that the sign-ins of one address that wait for their password to be checked are few.
func TestSignInsWaiting(t *testing.T) {
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	e := start(t, func(o *Options) { o.Registry = slowRegistry{o.Registry, entered, leave} })
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() { e.signIn(t, fmt.Sprint("made up ", i), "wrong password", "198.51.100.7") })
	}
	for range 4 {
		<-entered
	}
	e.signIn(t, "depositor", password, "198.51.100.7").wantProblem(t, http.StatusTooManyRequests, "TOKEN_BUSY")
	close(leave)
	e.signIn(t, "depositor", password, "192.0.2.1").want(t, http.StatusOK)
	group.Wait()
}

func TestRegistryRefusals(t *testing.T) {
	e := start(t, nil)
	for _, test := range []struct {
		role       notary.Role
		path, body string
		status     int
		code       string
	}{
		{notary.RoleSystemAdmin, "organisations", `{"id":"","name":"x"}`, 422, notary.CodeFieldInvalid},
		{notary.RoleSystemAdmin, "organisations", `{"id":"a","name":"x","owner":1}`, 400, codeJSON},
		{notary.RoleSystemAdmin, "accounts", `{"id":"a","organisation":"none","kind":"person","roles":["court"]}`, 422, notary.CodeOrganisationUnknown},
		{notary.RoleSystemAdmin, "accounts", `{"id":"a","organisation":"org-b","kind":"person","roles":["king"]}`, 422, notary.CodeRoleUnknown},
		{notary.RoleSystemAdmin, "accounts", `{"id":"a","organisation":"org-b","kind":"person","roles":["court","system-administrator"]}`, 422, notary.CodeRoleConflict},
		{notary.RoleSystemAdmin, "accounts", `{"id":"stranger","organisation":"xm-notary","kind":"person","roles":["court"]}`, 409, notary.CodeAccountTaken},
		{notary.RoleSecurityAdmin, "keys", `{"organisation":"org-b","use":"signature","pem":"x","notAfter":"2030-01-01T00:00:00.000Z"}`, 422, notary.CodeFieldInvalid},
		{notary.RoleSecurityAdmin, "keys/" + strings.Repeat("0", 64) + "/revocation", `{"reason":"superseded"}`, 404, notary.CodeKeyUnknown},
		{notary.RoleSecurityAdmin, "keys/x/revocation", `{"reason":"superseded"}`, 404, notary.CodeKeyUnknown},
	} {
		e.do(t, test.role, post, "/v1/registry/"+test.path, test.body, "Content-Type", jsonType).wantProblem(t, test.status, test.code)
	}
	for _, list := range []string{"organisations", "accounts", "keys"} {
		e.do(t, notary.RoleAuditAdmin, get, "/v1/registry/"+list, "").want(t, http.StatusOK)
	}
}

func TestTokenRenewal(t *testing.T) {
	e := start(t, func(o *Options) { o.Lifetime = time.Second })
	c := e.as(t, "depositor")
	first := e.tokenOf(t, c)
	if _, err := e.keys.Rotate(keystore.RoleToken, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Search(t.Context(), client.Query{}, ""); err != nil {
		t.Errorf("a token signed before the key was rotated: %v", err)
	}
	time.Sleep(2 * time.Second)
	fixed := e.client(t, client.Options{Credentials: client.Bearer(first)})
	_, err := fixed.Search(t.Context(), client.Query{}, "")
	wantCode(t, err, string(token.CodeExpired))
	if _, err := c.Search(t.Context(), client.Query{}, ""); err != nil {
		t.Errorf("renewed: %v", err)
	}
	if second := e.tokenOf(t, c); second == first {
		t.Error("the token was not renewed")
	}
}
