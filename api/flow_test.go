package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"cunzheng/api/client"
	"cunzheng/api/wire"
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
		"number": {Number: d.Number}, "sm3": {SM3: f.SM3}, "sha256": {SHA256: f.SHA256}, "case": {Case: f.Case}, "correlation": {Correlation: "flow-7"},
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

// TestSearchOrder holds that pages come in the order that was asked for, and join without gap or repetition.
func TestSearchOrder(t *testing.T) {
	e := start(t, nil)
	c := e.as(t, "depositor")
	var numbers []string
	for i := range 7 {
		d, err := c.DepositDigest(t.Context(), wire.DigestDeposit{SM3: sm3.Sum([]byte{byte(i)}), Metadata: wire.Metadata{Case: "C-1"}})
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, d.Number)
	}
	for _, newest := range []bool{false, true} {
		for name, q := range map[string]client.Query{"case": {Case: "C-1"}, "time": {From: time.Now().Add(-time.Hour)}, "all": {}} {
			q.Limit, q.NewestFirst = 3, newest
			var got []string
			for item, err := range c.All(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, item.Number)
			}
			want := slices.Clone(numbers)
			if newest {
				slices.Reverse(want)
			}
			if !slices.Equal(got, want) {
				t.Errorf("by %s, newest first %v: got %q, want %q", name, newest, got, want)
			}
		}
	}
	if page, err := c.Search(t.Context(), client.Query{Number: numbers[3], Case: "C-2"}, ""); err != nil || len(page.Items) != 0 {
		t.Errorf("a number that does not fit the case: %+v, %v", page, err)
	}
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

// TestFileNames holds that a name arrives as it was given, whatever characters a path treats specially.
func TestFileNames(t *testing.T) {
	e := start(t, nil)
	c := e.as(t, "depositor")
	for _, name := range []string{"a.txt", "合同 正本.pdf", "100%.txt", "100%41.txt", "a+b&c=d;e.txt", "a?b#c", `"quoted".txt`, "é.txt", "%2e%2e", ":name", "*", "{x}"} {
		d, err := c.DepositFile(t.Context(), file(name, "abc"))
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		record, err := c.Get(t.Context(), d.Number)
		if err != nil || record.Disclosed["name"] != name {
			t.Errorf("%q arrived as %q, %v", name, record.Disclosed["name"], err)
		}
	}
}
