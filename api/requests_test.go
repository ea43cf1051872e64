package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"cunzheng/keystore"
	"cunzheng/notary"
)

const aDigest = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0" // SM3("abc")

const jsonType = "application/json"

func TestWrongBearer(t *testing.T) {
	e := start(t, nil)
	good := e.token(t, notary.RoleDepositor)
	parts := strings.Split(good, ".")
	other := newStack(t)
	if _, err := other.keys.Rotate(keystore.RoleToken, time.Now()); err != nil {
		t.Fatal(err)
	}
	foreign := serve(t, other, nil).token(t, notary.RoleDepositor) // another platform with another key under the same name
	for _, test := range []struct{ name, header, code string }{
		{"basic", "Basic Zm9vOmJhcg==", codeTokenScheme},
		{"no token", "Bearer", codeTokenScheme},
		{"empty token", "Bearer ", codeTokenScheme},
		{"two tokens", "Bearer " + good + "," + good, codeTokenScheme},
		{"a space inside", "Bearer a b", codeTokenScheme},
		{"garbage", "Bearer x", "TOKEN_MALFORMED"},
		{"alg none", "Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + parts[1] + ".", "TOKEN_ALGORITHM"},
		{"signature of another token", "Bearer " + parts[0] + "." + parts[1] + "." + strings.Split(foreign, ".")[2], "TOKEN_SIGNATURE"},
		{"foreign key", "Bearer " + foreign, "TOKEN_KEY_UNKNOWN"},
		{"too long", "Bearer " + strings.Repeat("a", 5000), "TOKEN_MALFORMED"},
	} {
		a := e.do(t, "", get, "/v1/evidence", "", "Authorization", test.header)
		a.wantProblem(t, http.StatusUnauthorized, test.code)
		if got := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer realm="cunzheng", error="invalid_token"`) {
			t.Errorf("%s: WWW-Authenticate is %q", test.name, got)
		}
	}
	e.do(t, notary.RoleDepositor, get, "/v1/evidence", "").want(t, http.StatusOK)
}

func TestTokenRequests(t *testing.T) {
	e := start(t, nil)
	const form = "application/x-www-form-urlencoded"
	for _, test := range []struct {
		name, body, mediaType string
		status                int
		code, oauth           string
	}{
		{"wrong password", "grant_type=password&username=depositor&password=x", form, 400, notary.CodeLoginFailed, "invalid_grant"},
		{"no password", "grant_type=password&username=depositor", form, 400, codeForm, "invalid_request"},
		{"no grant", "username=a&password=b", form, 400, codeGrantType, "unsupported_grant_type"},
		{"other grant", "grant_type=client_credentials", form, 400, codeGrantType, "unsupported_grant_type"},
		{"grant twice", "grant_type=password&grant_type=password&username=a&password=b", form, 400, codeForm, "invalid_request"},
		{"unknown parameter", "grant_type=password&user=a", form, 400, codeForm, "invalid_request"},
		{"bad encoding", "grant_type=%zz", form, 400, codeForm, "invalid_request"},
		{"no assertion", "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer", form, 400, codeForm, "invalid_request"},
		{"bad assertion", "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=x", form, 400, "TOKEN_MALFORMED", "invalid_grant"},
		{"JSON", `{"grant_type":"password"}`, jsonType, 415, codeMediaType, "invalid_request"},
		{"too large", strings.Repeat("a", 300<<10), form, 413, codeBodyTooLarge, "invalid_request"},
	} {
		p := e.do(t, "", post, tokenPath, test.body, "Content-Type", test.mediaType).wantProblem(t, test.status, test.code)
		if p.OAuthError != test.oauth || p.OAuthDescription == "" {
			t.Errorf("%s: error is %q, want %q", test.name, p.OAuthError, test.oauth)
		}
	}
	if strings.Contains(e.logs.String(), password) {
		t.Error("the log holds a password")
	}
}

func TestBadRequests(t *testing.T) {
	e := start(t, func(o *Options) { o.Limits.SmallBody = 4096 })
	const digests = "/v1/evidence/digests"
	for _, test := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code, field              string
	}{
		{"no media type", post, digests, "{}", nil, 415, codeMediaType, "Content-Type"},
		{"wrong media type", post, digests, "{}", []string{"Content-Type", "text/plain"}, 415, codeMediaType, "Content-Type"},
		{"wrong charset", post, digests, "{}", []string{"Content-Type", "application/json; charset=gbk"}, 415, codeMediaType, "Content-Type"},
		{"two media types", post, digests, "{}", []string{"Content-Type", jsonType, "Content-Type", jsonType}, 400, codeHeader, "Content-Type"},
		{"no JSON", post, digests, "x", []string{"Content-Type", jsonType}, 400, codeJSON, ""},
		{"JSON broken off", post, digests, `{"sm3":"`, []string{"Content-Type", jsonType}, 400, codeJSON, "/sm3"},
		{"two values", post, digests, `{"sm3":"` + aDigest + `"}{}`, []string{"Content-Type", jsonType}, 400, codeJSON, ""},
		{"member twice", post, digests, `{"sm3":"` + aDigest + `","sm3":"` + aDigest + `"}`, []string{"Content-Type", jsonType}, 400, codeJSON, "/sm3"},
		{"unknown member", post, digests, `{"sm3":"` + aDigest + `","evil":1}`, []string{"Content-Type", jsonType}, 400, codeJSON, "/evil"},
		{"member in capitals", post, digests, `{"SM3":"` + aDigest + `"}`, []string{"Content-Type", jsonType}, 400, codeJSON, "/SM3"},
		{"invalid UTF-8", post, digests, "{\"sm3\":\"\xff\"}", []string{"Content-Type", jsonType}, 400, codeJSON, "/sm3"},
		{"digest too short", post, digests, `{"sm3":"abc"}`, []string{"Content-Type", jsonType}, 422, notary.CodeDigestInvalid, "/sm3"},
		{"digest too long", post, digests, `{"sm3":"` + aDigest + `00"}`, []string{"Content-Type", jsonType}, 422, notary.CodeDigestInvalid, "/sm3"},
		{"digest in capitals", post, digests, `{"sm3":"` + strings.ToUpper(aDigest) + `"}`, []string{"Content-Type", jsonType}, 422, notary.CodeDigestInvalid, "/sm3"},
		{"bad time", post, digests, `{"sm3":"` + aDigest + `","provenance":{"declaredAt":"yesterday"}}`, []string{"Content-Type", jsonType}, 400, codeJSON, "/provenance/declaredAt"},
		{"body too large", post, digests, strings.Repeat(" ", 5000), []string{"Content-Type", jsonType}, 413, codeBodyTooLarge, ""},
		{"bad idempotency key", post, digests, "{}", []string{"Content-Type", jsonType, "Idempotency-Key", "a b"}, 400, codeHeader, "Idempotency-Key"},
		{"two idempotency keys", post, digests, "{}", []string{"Content-Type", jsonType, "Idempotency-Key", "a", "Idempotency-Key", "b"}, 400, codeHeader, "Idempotency-Key"},
		{"contradicting idempotency keys", post, digests, `{"sm3":"` + aDigest + `","idempotencyKey":"b"}`, []string{"Content-Type", jsonType, "Idempotency-Key", "a"}, 400, codeContradiction, "idempotencyKey"},
		{"unknown query parameter", get, "/v1/evidence?sm33=" + aDigest, "", nil, 400, codeQuery, "sm33"},
		{"query parameter twice", get, "/v1/evidence?case=a&case=b", "", nil, 400, codeQuery, "case"},
		{"bad digest in query", get, "/v1/evidence?sm3=xyz", "", nil, 400, codeQuery, "sm3"},
		{"bad time in query", get, "/v1/evidence?from=now", "", nil, 400, codeQuery, "from"},
		{"unknown order", get, "/v1/evidence?order=random", "", nil, 400, codeQuery, "order"},
		{"limit 0", get, "/v1/evidence?limit=0", "", nil, 400, codeQuery, "limit"},
		{"limit too large", get, "/v1/evidence?limit=501", "", nil, 400, codeQuery, "limit"},
		{"bad escape in query", get, "/v1/evidence?case=%zz", "", nil, 400, codeQuery, ""},
		{"bad flag", get, "/v1/evidence/X/bundle?content=yes", "", nil, 400, codeQuery, "content"},
		{"body with GET", get, "/v1/evidence", "{}", nil, 400, codeBodyUnexpected, ""},
		{"metadata is not base64url", put, "/v1/evidence/files/a", "x", []string{metadataHeader, "{}"}, 400, codeHeader, metadataHeader},
		{"metadata is not JSON", put, "/v1/evidence/files/a", "x", []string{metadataHeader, "eA"}, 400, codeJSON, metadataHeader},
		{"metadata is null", put, "/v1/evidence/files/a", "x", []string{metadataHeader, "bnVsbA"}, 400, codeJSON, metadataHeader},
		{"metadata is empty", put, "/v1/evidence/files/a", "x", []string{metadataHeader, ""}, 400, codeHeader, metadataHeader},
		{"null for a member of metadata", put, "/v1/evidence/files/a", "x", []string{metadataHeader, "eyJzbTMiOm51bGx9"}, 400, codeJSON, "/sm3"},
		{"names differ", put, "/v1/evidence/files/a", "x", []string{metadataHeader, "eyJuYW1lIjoiYiJ9"}, 400, codeContradiction, "name"},
		{"sizes differ", put, "/v1/evidence/files/a", "x", []string{metadataHeader, "eyJzaXplIjoyfQ"}, 400, codeContradiction, "size"},
		{"bad digest header", put, "/v1/evidence/files/a", "x", []string{"Content-Digest", "sm3=abc"}, 400, codeDigestHeader, "Content-Digest"},
		{"digest of zeros", put, "/v1/evidence/files/a", "x", []string{"Content-Digest", "sm3=:" + strings.Repeat("A", 43) + "=:"}, 422, notary.CodeDigestMismatch, "Content-Digest"},
		{"digest in another algorithm", put, "/v1/evidence/files/a", "x", []string{"Content-Digest", "sha-512=:AAAA:"}, 400, codeDigestHeader, "Content-Digest"},
		{"compressed", put, "/v1/evidence/files/a", "x", []string{"Content-Encoding", "gzip"}, 415, codeMediaType, "Content-Encoding"},
		{"two codings", put, "/v1/evidence/files/a", "x", []string{"Content-Encoding", "identity", "Content-Encoding", "gzip"}, 400, codeHeader, "Content-Encoding"},
		{"compressed batch", post, "/v1/evidence/batch", "x", []string{"Content-Type", lineType, "Content-Encoding", "br"}, 415, codeMediaType, "Content-Encoding"},
		{"null", post, digests, "null", []string{"Content-Type", jsonType}, 400, codeJSON, ""},
		{"null for a digest", post, digests, `{"sm3":null}`, []string{"Content-Type", jsonType}, 400, codeJSON, "/sm3"},
		{"null deep inside", post, digests, `{"sm3":"` + aDigest + `","private":{"a":"b"},"provenance":{"tool":null}}`, []string{"Content-Type", jsonType}, 400, codeJSON, "/provenance/tool"},
		{"empty idempotency key", post, digests, `{"sm3":"` + aDigest + `","idempotencyKey":""}`, []string{"Content-Type", jsonType}, 400, codeJSON, "/idempotencyKey"},
		{"query parameter without a value", get, "/v1/evidence?case=", "", nil, 400, codeQuery, "case"},
		{"no file name", put, "/v1/evidence/files/", "x", nil, 404, codeNoSuchPath, ""},
		{"no boundary", post, "/v1/evidence/files", "x", []string{"Content-Type", "multipart/form-data"}, 400, codeMultipart, "Content-Type"},
		{"not a form", post, "/v1/evidence/files", "x", []string{"Content-Type", jsonType}, 415, codeMediaType, "Content-Type"},
		{"empty batch", post, "/v1/evidence/batch", "", []string{"Content-Type", lineType}, 400, codeJSON, ""},
		{"batch as JSON", post, "/v1/evidence/batch", "[]", []string{"Content-Type", jsonType}, 415, codeMediaType, "Content-Type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := e.request(t, test.method, test.path, strings.NewReader(test.body), test.headers...)
			r.Header.Set("Authorization", "Bearer "+e.token(t, notary.RoleDepositor))
			response, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			a := readAnswer(t, response)
			p := a.wantProblem(t, test.status, test.code)
			if p.Field != test.field {
				t.Errorf("field is %q, want %q", p.Field, test.field)
			}
			if strings.Contains(p.DetailEN, "api.") || strings.Contains(p.DetailEN, "Go ") {
				t.Errorf("the sentence names our types: %q", p.DetailEN)
			}
			if test.path != "/v1/evidence/files/" {
				checkResponse(t, r, a.Response)
			}
		})
	}
	if n := e.stored(); n != 0 {
		t.Errorf("%d deposits were made", n)
	}
}

// form builds a multipart body from raw pieces, so that it can be wrong.
func form(parts ...string) (body, mediaType string) {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--xyz\r\n" + p + "\r\n")
	}
	b.WriteString("--xyz--\r\n")
	return b.String(), "multipart/form-data; boundary=xyz"
}

func formPart(name, filename, content string) string {
	head := `Content-Disposition: form-data; name="` + name + `"`
	if filename != "" {
		head += `; filename="` + filename + `"`
	}
	return head + "\r\n\r\n" + content
}

func TestBadForms(t *testing.T) {
	e := start(t, nil)
	metadata := formPart("metadata", "", `{"name":"a.txt"}`)
	file := formPart("file", "a.txt", "abc")
	whole, mediaType := form(metadata, file)
	for _, test := range []struct {
		name  string
		parts []string
		code  string
	}{
		{"nothing", nil, codeMultipart},
		{"no file", []string{metadata}, codeMultipart},
		{"no metadata", []string{file}, codeMultipart},
		{"file first", []string{file, metadata}, codeMultipart},
		{"metadata twice", []string{metadata, metadata, file}, codeMultipart},
		{"file twice", []string{metadata, file, file}, codeMultipart},
		{"something after", []string{metadata, file, formPart("x", "", "y")}, codeMultipart},
		{"null for metadata", []string{formPart("metadata", "", "null"), file}, codeJSON},
		{"empty metadata", []string{formPart("metadata", "", ""), file}, codeJSON},
		{"compressed file", []string{metadata, "Content-Encoding: gzip\r\n" + file}, codeMediaType},
		{"file in base64", []string{metadata, "Content-Transfer-Encoding: base64\r\n" + file}, codeMultipart},
		{"broken metadata", []string{formPart("metadata", "", `{"name":`), file}, codeJSON},
		{"unknown metadata", []string{formPart("metadata", "", `{"owner":"x"}`), file}, codeJSON},
		{"metadata too large", []string{formPart("metadata", "", strings.Repeat(" ", 60<<10)), file}, codeMetadataTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			body, mediaType := form(test.parts...)
			p := e.do(t, notary.RoleDepositor, post, "/v1/evidence/files", body, "Content-Type", mediaType).problem(t)
			if p.Code != test.code {
				t.Errorf("got %s (%s), want %s", p.Code, p.DetailEN, test.code)
			}
			if p.Field == "" && strings.Contains(test.name, "metadata") {
				t.Errorf("%s names no field", p.Code)
			}
		})
	}
	t.Run("every cut", func(t *testing.T) {
		for cut := 1; cut < len(whole)-2; cut++ { // the last two bytes are optional
			r := e.request(t, post, "/v1/evidence/files", strings.NewReader(whole[:cut]), "Content-Type", mediaType)
			r.Header.Set("Authorization", "Bearer "+e.token(t, notary.RoleDepositor))
			if a := e.send(t, r); a.StatusCode != http.StatusBadRequest {
				t.Errorf("cut at %d of %d: got %d %s", cut, len(whole), a.StatusCode, a.body)
			}
		}
	})
	if n := e.stored(); n != 0 {
		t.Fatalf("%d deposits were made", n)
	}
	e.do(t, notary.RoleDepositor, post, "/v1/evidence/files", whole, "Content-Type", mediaType).want(t, http.StatusCreated)
	if n := e.stored(); n != 1 {
		t.Fatalf("%d deposits were made, want 1", n)
	}
}

func TestFileTooLarge(t *testing.T) {
	e := start(t, func(o *Options) { o.Limits.FileBody = 1 << 20 })
	big := strings.Repeat("x", 1<<20+1)
	for _, test := range []struct {
		name string
		body io.Reader
	}{
		{"announced", strings.NewReader(big)},
		{"not announced", io.MultiReader(strings.NewReader(big))},
	} {
		r := e.request(t, put, "/v1/evidence/files/big", test.body, "Authorization", "Bearer "+e.token(t, notary.RoleDepositor))
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			continue // the server closed while we were still sending: also an answer
		}
		readAnswer(t, response).wantProblem(t, http.StatusRequestEntityTooLarge, notary.CodeContentTooLarge)
	}
	metadata := formPart("metadata", "", `{"case":"C"}`)
	fits, mediaType := form(metadata, formPart("file", "a", big[:1<<20]))
	over, _ := form(metadata, formPart("file", "a", big))
	far, _ := form(metadata, formPart("file", "a", big+big))
	for _, body := range []string{over, far} {
		e.do(t, notary.RoleDepositor, post, "/v1/evidence/files", body, "Content-Type", mediaType).
			wantProblem(t, http.StatusRequestEntityTooLarge, notary.CodeContentTooLarge)
	}
	if n := e.stored(); n != 0 {
		t.Fatalf("%d deposits were made", n)
	}
	e.wantClean(t)
	e.do(t, notary.RoleDepositor, put, "/v1/evidence/files/fits", big[:1<<20]).want(t, http.StatusCreated)
	e.do(t, notary.RoleDepositor, post, "/v1/evidence/files", fits, "Content-Type", mediaType).want(t, http.StatusCreated)
}

func TestBatchLimits(t *testing.T) {
	e := start(t, func(o *Options) { o.Limits.BatchLines = 3; o.Limits.BatchBody = 4096 })
	line := `{"sm3":"` + aDigest + `"}` + "\n"
	a := e.do(t, notary.RoleDepositor, post, "/v1/evidence/batch", strings.Repeat(line, 5), "Content-Type", lineType).want(t, http.StatusOK)
	answers := batchAnswers(t, a.body)
	if len(answers) != 4 {
		t.Fatalf("%d answers, want 3 and one for the rest", len(answers))
	}
	for i, got := range answers {
		want := http.StatusCreated
		if i == 3 {
			want = http.StatusRequestEntityTooLarge
		}
		if got.Line != i+1 || got.Status != want {
			t.Errorf("answer %d: %+v", i+1, got)
		}
	}
	if got := answers[3].Problem; got == nil || got.Code != codeBatchTooLong {
		t.Errorf("last answer: %+v", answers[3])
	}
	e.do(t, notary.RoleDepositor, post, "/v1/evidence/batch", strings.Repeat(line, 100), "Content-Type", lineType).
		wantProblem(t, http.StatusRequestEntityTooLarge, codeBodyTooLarge)
	if n := e.stored(); n != 3 {
		t.Errorf("%d deposits were made, want 3", n)
	}
}

func TestBatchLines(t *testing.T) {
	e := start(t, nil)
	good := `{"sm3":"` + aDigest + `"}`
	lines := []string{good, `{"sm3":`, good + "\r", "", `{"sm3":"ab"}`, `{"x":1}`, "null", good + good, "\xff", "{" + strings.Repeat(" ", 60<<10) + "}", good}
	codes := map[int]string{2: codeJSON, 4: codeJSON, 5: notary.CodeDigestInvalid, 6: codeJSON, 7: codeJSON, 8: codeJSON, 9: codeJSON, 10: codeMetadataTooLarge}
	for _, end := range []string{"", "\n"} {
		a := e.do(t, notary.RoleDepositor, post, "/v1/evidence/batch", strings.Join(lines, "\n")+end, "Content-Type", lineType).want(t, http.StatusOK)
		answers := batchAnswers(t, a.body)
		if len(answers) != len(lines) {
			t.Fatalf("%d answers to %d lines", len(answers), len(lines))
		}
		for i, got := range answers {
			line := i + 1
			code := codes[line]
			switch {
			case got.Line != line:
				t.Errorf("answer %d is for line %d", line, got.Line)
			case code == "" && (got.Status != http.StatusCreated || got.Deposit == nil || got.Problem != nil):
				t.Errorf("line %d: %+v", line, got)
			case code != "" && (got.Problem == nil || got.Problem.Code != code || got.Deposit != nil):
				t.Errorf("line %d: %+v, want %s", line, got, code)
			}
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	e := start(t, nil)
	for _, path := range []string{"/healthz", "/nothing", "/v1/evidence"} {
		response, err := http.DefaultTransport.RoundTrip(e.request(t, get, path, nil, "X-Request-Id", "abc"))
		if err != nil {
			t.Fatal(err)
		}
		a := readAnswer(t, response)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "X-Request-Id": "abc",
		} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

// TestAccessLog holds that the log tells what happened and nothing about whom or what.
func TestAccessLog(t *testing.T) {
	e := start(t, nil)
	e.do(t, notary.RoleDepositor, put, "/v1/evidence/files/secret-name.pdf", "secret content", "Idempotency-Key", "secret-key").want(t, http.StatusCreated)
	e.do(t, notary.RoleDepositor, get, "/v1/evidence?case=secret-case", "").want(t, http.StatusOK)
	e.stop()
	<-e.done
	e.done <- nil
	text := e.logs.String()
	for _, told := range []string{"secret", e.token(t, notary.RoleDepositor), password, "127.0.0.1", `"depositor"`} {
		if strings.Contains(text, told) {
			t.Errorf("the log tells %q", told)
		}
	}
	for _, wanted := range []string{`"route":"/v1/evidence/files/:name"`, `"status":201`, `"organisation":`, `"took":`} {
		if !strings.Contains(text, wanted) {
			t.Errorf("the log lacks %s", wanted)
		}
	}
}

func TestMetrics(t *testing.T) {
	e := start(t, nil)
	e.do(t, "", get, "/v1/evidence", "").want(t, http.StatusUnauthorized)
	for i := range 5 {
		response, err := http.DefaultTransport.RoundTrip(e.request(t, fmt.Sprintf("VERB%d", i), fmt.Sprintf("/path%d", i), nil))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	a := e.do(t, notary.RoleSystemAdmin, get, "/metrics", "").want(t, http.StatusOK)
	for _, want := range []string{
		`cunzheng_http_requests_total{method="GET",route="/v1/evidence",status="401"} 1`,
		`cunzheng_http_requests_total{method="-",route="-",status="404"} 5`,
		`cunzheng_http_problems_total{code="TOKEN_MISSING"} 1`,
		`cunzheng_http_panics_total 0`,
	} {
		if !bytes.Contains(a.body, []byte(want)) {
			t.Errorf("no line %q", want)
		}
	}
	if bytes.Contains(a.body, []byte("VERB")) || bytes.Contains(a.body, []byte("path1")) {
		t.Error("callers can invent labels")
	}
}
