package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cunzheng/api/client"
	"cunzheng/api/token"
	"cunzheng/api/wire"
	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
	"cunzheng/notary"
)

// as returns a client that signs in as the account of role.
func (e *env) as(t testing.TB, account string) *client.Client {
	t.Helper()
	return e.client(t, client.Options{Credentials: client.Password(account, password)})
}

func (e *env) client(t testing.TB, o client.Options) *client.Client {
	t.Helper()
	o.Server, o.Issuer, o.Language = e.url, issuer, "en"
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func wantCode(t testing.TB, err error, code string) *client.Problem {
	t.Helper()
	p, ok := errors.AsType[*client.Problem](err)
	if !ok || p.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return p
}

func file(name, content string) client.File {
	return client.File{
		FileMetadata: wire.FileMetadata{Metadata: wire.Metadata{Name: name}},
		Content:      strings.NewReader(content), Length: int64(len(content)),
	}
}

// verify checks the bundle of a record as a court does.
func verify(t testing.TB, c *client.Client, number string, withContent bool) *evidence.Report {
	t.Helper()
	var bundle bytes.Buffer
	if err := c.Bundle(t.Context(), number, withContent, &bundle); err != nil {
		t.Fatal(err)
	}
	trust, _, err := c.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	report, err := evidence.Verify(evidence.Input{
		Bundle: bytes.NewReader(bundle.Bytes()), Size: int64(bundle.Len()), Trust: trust, At: time.Now().Add(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestDepositToVerdict(t *testing.T) {
	e := start(t, nil)
	c := e.as(t, "depositor")
	const content = "合同正文\n"
	f := file("合同 1.pdf", content)
	f.MediaType, f.Case, f.Correlation = "application/pdf", "（2026）闽0203民初1号", "flow-7"
	f.Private = map[string]string{"description": "张三与李四的合同"}
	f.Provenance = &evidence.Provenance{SourceSystem: "OA", Generation: evidence.GenerationExport}
	f.SM3, f.SHA256 = sm3.Sum([]byte(content)), sha256.Sum256([]byte(content))
	d, err := c.DepositFile(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if d.Replayed || d.Number == "" || len(d.Notes) != 0 {
		t.Fatalf("got %+v", d)
	}
	receipt, err := evidence.ParseReceipt(d.Receipt)
	if err != nil || receipt.Number != d.Number {
		t.Fatalf("receipt: %v", err)
	}
	if statement, err := evidence.ParseStatement(d.Statement); err != nil || statement.Content.SM3 != f.SM3 || statement.Depositor.Authentication != evidence.AuthenticationPassword {
		t.Fatalf("statement: %v, %s", err, d.Statement)
	}
	if bytes.Contains(d.Statement, []byte("张三")) || bytes.Contains(d.Statement, []byte("合同 1.pdf")) {
		t.Error("the statement holds personal text in clear")
	}

	record, err := c.Get(t.Context(), d.Number)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(record.Statement, d.Statement) || record.Level != "accepted" || record.Disclosed["name"] != "合同 1.pdf" {
		t.Errorf("record: %+v", record)
	}
	var original bytes.Buffer
	if err := c.Content(t.Context(), d.Number, &original); err != nil || original.String() != content {
		t.Errorf("content: %q, %v", original.String(), err)
	}
	for _, withContent := range []bool{false, true} {
		if report := verify(t, c, d.Number, withContent); report.Verdict != evidence.Passed {
			t.Errorf("with content %v: %s", withContent, report.Text("en"))
		}
	}
	for name, q := range map[string]client.Query{
		"sm3": {SM3: f.SM3}, "sha256": {SHA256: f.SHA256}, "case": {Case: f.Case}, "correlation": {Correlation: "flow-7"},
		"depositor": {Depositor: "xm-notary"}, "time": {From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)},
		"all": {SM3: f.SM3, Case: f.Case, Depositor: "xm-notary"},
	} {
		page, err := c.Search(t.Context(), q, "")
		if err != nil || len(page.Items) != 1 || page.Items[0].Number != d.Number {
			t.Errorf("search by %s: %+v, %v", name, page, err)
		}
	}
	e.wantClean(t)
}

func TestFormDeposit(t *testing.T) {
	e := start(t, nil)
	for _, test := range []struct{ name, metadata, filename string }{
		{"name in the metadata", `{"name":"a.txt"}`, ""},
		{"name of the part", `{}`, "a.txt"},
		{"both", `{"name":"a.txt"}`, "other.txt"},
	} {
		body, mediaType := form(formPart("metadata", "", test.metadata), formPart("file", test.filename, "abc"))
		a := e.do(t, notary.RoleDepositor, post, "/v1/evidence/files", body, "Content-Type", mediaType).want(t, http.StatusCreated)
		var d wire.Deposit
		if err := json.Unmarshal(a.body, &d); err != nil {
			t.Fatal(err)
		}
		if got := a.Header.Get("Location"); got != "/v1/evidence/"+d.Number {
			t.Errorf("%s: Location is %q", test.name, got)
		}
		var record wire.Evidence
		if err := json.Unmarshal(e.do(t, notary.RoleDepositor, get, a.Header.Get("Location"), "").want(t, 200).body, &record); err != nil {
			t.Fatal(err)
		}
		if record.Disclosed["name"] != "a.txt" {
			t.Errorf("%s: name is %q", test.name, record.Disclosed["name"])
		}
	}
}

// TestRefusedDeposits goes through what a depositor can get wrong about content. Nothing of it may leave a trace.
func TestRefusedDeposits(t *testing.T) {
	e := start(t, nil)
	c := e.as(t, "depositor")
	long := strings.Repeat("长", 2000)
	for _, name := range []string{"../etc/passwd", "a/b.pdf", `..\a`, `c:\a.pdf`, "a\x00b", "a\nb", "a\x7fb", "..", ".", long} {
		_, err := c.DepositFile(t.Context(), file(name, "abc"))
		if p := wantCode(t, err, notary.CodeNameInvalid); p.Status != http.StatusUnprocessableEntity || p.Field != "name" {
			t.Errorf("%q: %+v", name, p)
		}
		body, mediaType := form(formPart("metadata", "", "{}"), formPart("file", strings.NewReplacer("\n", "%0A", "\x00", "%00", `\`, `\\`).Replace(name), "abc"))
		if strings.ContainsAny(name, "\n\x00") {
			continue // such a header is not even HTTP
		}
		if a := e.do(t, notary.RoleDepositor, post, "/v1/evidence/files", body, "Content-Type", mediaType); a.StatusCode/100 != 4 {
			t.Errorf("form with %q: got %d", name, a.StatusCode)
		}
	}
	other := evidence.Digest(sm3.Sum([]byte("other")))
	size := int64(4)
	for name, change := range map[string]func(*client.File){
		"sm3":    func(f *client.File) { f.SM3 = other },
		"sha256": func(f *client.File) { f.SHA256 = other },
		"size":   func(f *client.File) { f.Size, f.Length = &size, -1 },
	} {
		f := file("a.txt", "abc")
		change(&f)
		_, err := c.DepositFile(t.Context(), f)
		if p := wantCode(t, err, notary.CodeDigestMismatch); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %+v", name, p)
		}
	}
	header := "sm3=:" + base64.StdEncoding.EncodeToString(other[:]) + ":"
	e.do(t, notary.RoleDepositor, put, "/v1/evidence/files/a.txt", "abc", "Content-Digest", header).
		wantProblem(t, http.StatusUnprocessableEntity, notary.CodeDigestMismatch)
	e.do(t, notary.RoleDepositor, post, "/v1/evidence/digests", `{"name":"a.txt"}`, "Content-Type", jsonType).
		wantProblem(t, http.StatusUnprocessableEntity, notary.CodeDigestInvalid)
	e.do(t, notary.RoleDepositor, post, "/v1/evidence/digests", `{"sm3":"`+aDigest+`","size":-1}`, "Content-Type", jsonType).
		wantProblem(t, http.StatusUnprocessableEntity, notary.CodeFieldInvalid)
	if n := e.stored(); n != 0 {
		t.Errorf("%d entries were made", n)
	}
	if n := e.originals(t); n != 0 {
		t.Errorf("%d originals were left", n)
	}
	e.wantClean(t)
}

func TestEmptyFile(t *testing.T) {
	e := start(t, nil)
	for _, length := range []int64{0, -1} {
		f := file("empty.txt", "")
		f.Length = length
		d, err := e.as(t, "depositor").DepositFile(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Notes) != 1 || d.Notes[0].Code != notary.NoteEmptyFile || d.Notes[0].ZH == "" || d.Notes[0].EN == "" {
			t.Errorf("notes: %+v", d.Notes)
		}
		e.do(t, notary.RoleDepositor, get, "/v1/evidence/"+d.Number+"/content", "").want(t, http.StatusOK)
		e.do(t, notary.RoleDepositor, get, "/v1/evidence/"+d.Number+"/content", "", "Range", "bytes=0-").
			wantProblem(t, http.StatusRequestedRangeNotSatisfiable, codeRange)
	}
}

func TestIdempotency(t *testing.T) {
	e := start(t, nil)
	c := e.as(t, "depositor")
	deposit := func(c *client.Client, content string) (*wire.Deposit, error) {
		f := file("a.txt", content)
		f.IdempotencyKey = "order-1"
		return c.DepositFile(t.Context(), f)
	}
	first, err := deposit(c, "abc")
	if err != nil {
		t.Fatal(err)
	}
	again, err := deposit(c, "abc")
	if err != nil || again.Number != first.Number || !again.Replayed || !bytes.Equal(again.Statement, first.Statement) {
		t.Fatalf("again: %+v, %v", again, err)
	}
	_, err = deposit(c, "other")
	if p := wantCode(t, err, notary.CodeIdempotencyConflict); p.Status != http.StatusConflict || p.Existing != first.Number {
		t.Fatalf("conflict: %+v", p)
	}
	if other, err := deposit(e.as(t, "stranger"), "other"); err != nil || other.Number == first.Number {
		t.Fatalf("the same key of another organisation: %+v, %v", other, err)
	}
	body := `{"sm3":"` + aDigest + `"}`
	a := e.do(t, notary.RoleDepositor, post, "/v1/evidence/digests", body, "Content-Type", jsonType, "Idempotency-Key", `"k"`).want(t, 201)
	b := e.do(t, notary.RoleDepositor, post, "/v1/evidence/digests", body, "Content-Type", jsonType, "Idempotency-Key", "k").want(t, 201)
	if a.Header.Get("Location") != b.Header.Get("Location") || b.Header.Get("Idempotent-Replayed") != "true" || a.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("got %q and %q", a.Header, b.Header)
	}
}

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

func TestUnknownNumbers(t *testing.T) {
	e := start(t, nil)
	d, err := e.as(t, "depositor").DepositDigest(t.Context(), wire.DigestDeposit{SM3: sm3.Sum([]byte("abc"))})
	if err != nil {
		t.Fatal(err)
	}
	flipped := d.Number[:len(d.Number)-1] + map[bool]string{true: "1", false: "0"}[strings.HasSuffix(d.Number, "0")]
	unknown := evidence.NumberFormat{Area: "XM", Region: "350200", Office: "NOT01"}.Format(time.Now(), 77_777_777)
	for number, code := range map[string]string{
		flipped: notary.CodeNumberInvalid, unknown: notary.CodeNotFound, "nonsense": notary.CodeNumberInvalid,
		"%2e%2e%2f": notary.CodeNumberInvalid, strings.Repeat("9", 65): codeNoSuchPath, "%00": notary.CodeNumberInvalid,
	} {
		for _, rest := range []string{"", "/bundle", "/content"} {
			e.do(t, notary.RoleDepositor, get, "/v1/evidence/"+number+rest, "").wantProblem(t, http.StatusNotFound, code)
		}
	}
	e.do(t, notary.RoleDepositor, get, "/v1/evidence/"+d.Number+"/content", "").wantProblem(t, http.StatusNotFound, notary.CodeContentNotKept)
	e.do(t, notary.RoleDepositor, get, "/v1/evidence/"+d.Number+"/bundle?content=true", "").wantProblem(t, http.StatusNotFound, notary.CodeContentNotKept)
}

func TestContentRanges(t *testing.T) {
	e := start(t, nil)
	content := strings.Repeat("0123456789abcdef", 20_000) // several encrypted chunks
	d, err := e.as(t, "depositor").DepositFile(t.Context(), file("big.bin", content))
	if err != nil {
		t.Fatal(err)
	}
	path := "/v1/evidence/" + d.Number + "/content"
	tag := `"` + evidence.Digest(sm3.Sum([]byte(content))).String() + `"`
	for _, test := range []struct {
		header, condition  string
		status             int
		want, contentRange string
	}{
		{"", "", 200, content, ""},
		{"bytes=0-9", "", 206, content[:10], "bytes 0-9/320000"},
		{"bytes=65530-65545", "", 206, content[65530:65546], "bytes 65530-65545/320000"},
		{"bytes=319990-", tag, 206, content[319990:], "bytes 319990-319999/320000"},
		{"bytes=-5", "", 206, content[319995:], "bytes 319995-319999/320000"},
		{"bytes=0-9", `"other"`, 200, content, ""},
		{"bytes=0-1,5-6", "", 200, content, ""},
		{"bytes=320000-", "", 416, "", "bytes */320000"},
	} {
		headers := []string{"Range", test.header}
		if test.condition != "" {
			headers = append(headers, "If-Range", test.condition)
		}
		a := e.do(t, notary.RoleDepositor, get, path, "", headers...)
		if a.StatusCode != test.status || a.Header.Get("Content-Range") != test.contentRange {
			t.Errorf("%q: got %d, %q", test.header, a.StatusCode, a.Header.Get("Content-Range"))
		}
		if test.status < 400 && (string(a.body) != test.want || a.Header.Get("Etag") != tag || a.Header.Get("Accept-Ranges") != "bytes") {
			t.Errorf("%q: got %d bytes, ETag %s", test.header, len(a.body), a.Header.Get("Etag"))
		}
	}
}

// TestDamagedOriginal holds that a download whose original turns out damaged after the first bytes breaks off, and
// never looks whole.
func TestDamagedOriginal(t *testing.T) {
	e := start(t, nil)
	c := e.as(t, "depositor")
	d, err := c.DepositFile(t.Context(), file("big.bin", strings.Repeat("x", 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(e.dir, "originals", "*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	sealed, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	sealed[len(sealed)*3/4] ^= 1
	if err := os.WriteFile(files[0], sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := c.Content(t.Context(), d.Number, &got); err == nil || got.Len() == 0 || got.Len() >= 1<<20 {
		t.Errorf("content: %d bytes, %v", got.Len(), err)
	}
	got.Reset()
	if err := c.Bundle(t.Context(), d.Number, true, &got); err == nil {
		t.Errorf("bundle: %d bytes, no error", got.Len())
	}
	if err := c.Bundle(t.Context(), d.Number, false, io.Discard); err != nil {
		t.Errorf("bundle without content: %v", err)
	}
	if text := e.metricsText(t); !strings.Contains(text, "cunzheng_http_downloads_cut_total 2") {
		t.Error("the cut downloads were not counted")
	}
}

func (e *env) metricsText(t testing.TB) string {
	t.Helper()
	return string(e.do(t, notary.RoleAuditAdmin, get, "/metrics", "").want(t, http.StatusOK).body)
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
			if p, ok := errors.AsType[*client.Problem](err); ok && p.Code == notary.CodeAccountLocked {
				break
			}
		}
	}
	p := wantCode(t, login("depositor", password), notary.CodeAccountLocked)
	if p.Status != http.StatusTooManyRequests || p.RetryAfter <= 0 {
		t.Errorf("locked: %+v", p)
	}
	if err := secrets.SetPassword(t.Context(), "depositor", "another long password"); err != nil {
		t.Fatal(err)
	}
	if err := login("depositor", "another long password"); err != nil {
		t.Errorf("after a new password: %v", err)
	}
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

func TestPublicLog(t *testing.T) {
	e := start(t, nil)
	c := e.client(t, client.Options{})
	note, err := c.Checkpoint(t.Context())
	if err != nil || !bytes.HasPrefix(note, []byte(origin+"\n")) {
		t.Fatalf("%q, %v", note, err)
	}
	size := e.log.Latest().Size
	tile, err := c.Tile(t.Context(), fmt.Sprintf("tile/0/000.p/%d", size))
	if err != nil || len(tile) != int(size)*32 {
		t.Fatalf("%d bytes, %v", len(tile), err)
	}
	for _, path := range []string{"tile/0/001", "tile/0/000", "tile/x/000", "tile/0/0", "tile/0/000.p/256", "tile/99/000", "tile/0/..%2f000"} {
		_, err := c.Tile(t.Context(), path)
		wantCode(t, err, codeNoSuchPath)
	}
	entries := fmt.Sprintf("/log/tile/entries/000.p/%d", size)
	if a := e.do(t, notary.RoleAuditor, get, entries, "").want(t, http.StatusOK); a.Header.Get("Cache-Control") != "no-store" {
		t.Error("entries may be cached by others")
	}
	e.do(t, "", get, entries, "").wantProblem(t, http.StatusUnauthorized, codeTokenMissing)
	keys, err := c.Keys(t.Context())
	if err != nil || len(keys.Keys) < 4 {
		t.Fatalf("%+v, %v", keys, err)
	}
	if health, err := c.Health(t.Context()); err != nil || health.Status != "ok" {
		t.Errorf("%+v, %v", health, err)
	}
	for _, path := range []string{"/v1/trust", keySetPath, serverMetadataPath, "/openapi.yaml", "/openapi.json", "/readyz"} {
		e.do(t, "", get, path, "").want(t, http.StatusOK)
	}
}

func TestBatchOfTheClient(t *testing.T) {
	e := start(t, nil)
	c := e.as(t, "department")
	deposits := make([]wire.DigestDeposit, 2500)
	for i := range deposits {
		deposits[i].SM3 = sm3.Sum(fmt.Append(nil, i))
	}
	deposits[1234].SM3 = evidence.Digest{}
	answers, err := c.DepositBatch(t.Context(), deposits)
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]bool{}
	for i, a := range answers {
		if a.Line != i+1 {
			t.Fatalf("answer %d is for line %d", i+1, a.Line)
		}
		if i == 1234 {
			if a.Problem == nil || a.Problem.Code != notary.CodeDigestInvalid {
				t.Errorf("line 1235: %+v", a)
			}
			continue
		}
		if a.Deposit == nil {
			t.Fatalf("line %d: %+v", i+1, a.Problem)
		}
		statement, err := evidence.ParseStatement(a.Deposit.Statement)
		if err != nil || statement.Content.SM3 != deposits[i].SM3 {
			t.Fatalf("line %d is answered with another's statement: %v", i+1, err)
		}
		numbers[a.Deposit.Number] = true
	}
	if len(numbers) != len(deposits)-1 {
		t.Errorf("%d numbers for %d deposits", len(numbers), len(deposits)-1)
	}
	found := 0
	for _, err := range c.All(t.Context(), client.Query{Depositor: "xm-notary", Limit: 500}) {
		if err != nil {
			t.Fatal(err)
		}
		found++
	}
	if found != len(numbers) {
		t.Errorf("found %d of %d", found, len(numbers))
	}
}

func TestManyClients(t *testing.T) {
	e := start(t, nil)
	var wait sync.WaitGroup
	for worker := range 16 {
		c := e.as(t, "depositor")
		wait.Go(func() {
			for i := range 10 {
				d, err := c.DepositDigest(context.WithoutCancel(t.Context()), wire.DigestDeposit{SM3: sm3.Sum(fmt.Append(nil, worker, i))})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := evidence.ParseReceipt(d.Receipt); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if n := e.stored(); n != 160 {
		t.Errorf("%d entries, want 160", n)
	}
	e.wantClean(t)
}
