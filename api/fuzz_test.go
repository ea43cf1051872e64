package api

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"cunzheng/api/wire"
	"cunzheng/notary"
)

// FuzzDigestDeposit holds that what is accepted reads back as itself, and that what is refused is refused with a
// failure that names no type of this program.
func FuzzDigestDeposit(f *testing.F) {
	f.Add([]byte(digestBody(1)))
	f.Add([]byte(`{"sm3":"` + aDigest + `","size":0,"private":{"collector":"张三"},"related":["X"]}`))
	f.Add([]byte(`{"sm3":"","sm3":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d wire.DigestDeposit
		err := decodeJSON(data, &d)
		if err != nil {
			p, _ := problem(err)
			if p.Status/100 != 4 || p.DetailEN == "" || strings.Contains(p.DetailEN, "wire.") {
				t.Fatalf("%+v", p)
			}
			return
		}
		if d.SM3.IsZero() {
			return // the notary refuses it
		}
		once, err := json.Marshal(&d, json.Deterministic(true))
		if err != nil {
			t.Fatalf("accepted, but does not encode: %v", err)
		}
		var again wire.DigestDeposit
		if err := decodeJSON(once, &again); err != nil {
			t.Fatalf("does not read its own form: %v", err)
		}
		twice, err := json.Marshal(&again, json.Deterministic(true))
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s, %v", once, twice, err)
		}
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add("sm3=:Zsfw9GLu7dnR8tRr3BDk4kFnxIdc8veiKX2gK49LqOA=:", "bytes=0-5", `"key"`, "zh;q=0.1,en", "合同.pdf")
	f.Add(",", "bytes=-", `"`, ";", "\r\n")
	f.Fuzz(func(t *testing.T, digest, byteRange, key, language, name string) {
		h := http.Header{"Content-Digest": {digest}, "Idempotency-Key": {key}}
		_, _ = expectedDigests(h)
		if k, err := idempotencyKey(h); err == nil && (k == "" || len(k) > notary.MaxIdempotencyKey) {
			t.Fatalf("key %q", k)
		}
		for _, size := range []int64{0, 1, 1000} {
			r, err := parseRange(byteRange, size)
			if err == nil && (r.first < 0 || r.length < 0 || r.first+r.length > size || r.partial && r.length == 0) {
				t.Fatalf("%q of %d: %+v", byteRange, size, r)
			}
		}
		prefersEnglish(language)
		if strings.ContainsFunc(attachment(name), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q", attachment(name))
		}
	})
}

func FuzzSearch(f *testing.F) {
	f.Add("sm3=" + aDigest + "&from=2026-11-23T11:22:33Z&limit=5")
	f.Add("limit=-1&limit=2")
	f.Fuzz(func(t *testing.T, raw string) {
		u := &url.URL{RawQuery: raw}
		if checkQuery(u, searchParameters) != nil {
			return
		}
		if q, err := parseSearch(u.Query()); err == nil && (q.Limit < 1 || q.Limit > notary.MaxPage) {
			t.Fatalf("%+v", q)
		}
	})
}

// FuzzForm sends bodies to the real handler. Nothing may panic, and only a whole form may make a deposit.
func FuzzForm(f *testing.F) {
	e := start(f, nil)
	token := e.token(f, notary.RoleDepositor)
	whole, mediaType := form(formPart("metadata", "", `{"name":"a.txt"}`), formPart("file", "a.txt", "abc"))
	f.Add(whole, mediaType)
	f.Add(whole[:len(whole)-4], mediaType)
	f.Add(strings.ReplaceAll(whole, "\r\n", "\n"), mediaType)
	f.Add("--\r\n", "multipart/form-data; boundary=")
	f.Fuzz(func(t *testing.T, body, mediaType string) {
		r := httptest.NewRequest(post, "/v1/evidence/files", strings.NewReader(body))
		r.Header["Content-Type"] = []string{mediaType}
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		e.server.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusCreated && w.Code/100 != 4 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

// FuzzBatch holds that every line is answered once, in order.
func FuzzBatch(f *testing.F) {
	e := start(f, func(o *Options) { o.Limits.BatchLines = 20 })
	token := e.token(f, notary.RoleDepositor)
	f.Add([]byte(digestBody(1) + "\n" + digestBody(2)))
	f.Add([]byte("\n\n\r\n{}\nnull\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(post, "/v1/evidence/batch", bytes.NewReader(body))
		r.Header.Set("Content-Type", lineType)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		e.server.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			if w.Code/100 != 4 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			return
		}
		lines, more := splitLines(body, 20)
		want := len(lines)
		if more {
			want++
		}
		got := 0
		for line := range bytes.Lines(w.Body.Bytes()) {
			var a wire.BatchAnswer
			if err := json.Unmarshal(line, &a); err != nil || a.Line != got+1 || (a.Deposit == nil) == (a.Problem == nil) {
				t.Fatalf("answer %d: %s, %v", got+1, line, err)
			}
			got++
		}
		if got != want {
			t.Fatalf("%d answers to %d lines", got, want)
		}
	})
}
