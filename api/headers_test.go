package api

import (
	"encoding/base64"
	"mime"
	"net/http"
	"strings"
	"testing"

	"cunzheng/evidence"
)

func TestParseRange(t *testing.T) {
	for _, test := range []struct {
		header        string
		size          int64
		first, length int64
		partial       bool
		unsatisfiable bool
	}{
		{header: "", size: 10, length: 10},
		{header: "bytes=0-", size: 10, length: 10, partial: true},
		{header: "bytes=0-0", size: 10, length: 1, partial: true},
		{header: "bytes=3-5", size: 10, first: 3, length: 3, partial: true},
		{header: "bytes=3-99", size: 10, first: 3, length: 7, partial: true},
		{header: "bytes=9-", size: 10, first: 9, length: 1, partial: true},
		{header: "bytes=-3", size: 10, first: 7, length: 3, partial: true},
		{header: "bytes=-99", size: 10, length: 10, partial: true},
		{header: "bytes=10-", size: 10, unsatisfiable: true},
		{header: "bytes=10-20", size: 10, unsatisfiable: true},
		{header: "bytes=0-", size: 0, unsatisfiable: true},
		{header: "bytes=-0", size: 10, unsatisfiable: true},
		{header: "bytes=-1", size: 0, unsatisfiable: true},
		{header: "bytes=5-3", size: 10, length: 10},
		{header: "bytes=a-b", size: 10, length: 10},
		{header: "bytes=1-2,4-5", size: 10, length: 10},
		{header: "lines=1-2", size: 10, length: 10},
		{header: "bytes=", size: 10, length: 10},
		{header: "bytes=99999999999999999999-", size: 10, length: 10},
		{header: "bytes=0-99999999999999999999", size: 10, length: 10},
	} {
		got, err := parseRange(test.header, test.size)
		if (err != nil) != test.unsatisfiable {
			t.Errorf("%q of %d: %v", test.header, test.size, err)
			continue
		}
		if want := (byteRange{test.first, test.length, test.partial}); err == nil && got != want {
			t.Errorf("%q of %d: got %+v, want %+v", test.header, test.size, got, want)
		}
	}
}

func TestExpectedDigests(t *testing.T) {
	value := strings.Repeat("\x07", 32)
	encoded := base64.StdEncoding.EncodeToString([]byte(value))
	other := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x08", 32)))
	zero := base64.StdEncoding.EncodeToString(make([]byte, 32))
	seven := evidence.Digest([]byte(value))
	for _, test := range []struct {
		name        string
		headers     []string // names and values
		sm3, sha256 evidence.Digest
		bad         bool
	}{
		{name: "none"},
		{name: "sm3", headers: []string{"Content-Digest", "sm3=:" + encoded + ":"}, sm3: seven},
		{name: "both", headers: []string{"Content-Digest", "sm3=:" + encoded + ":, sha-256=:" + encoded + ":"}, sm3: seven, sha256: seven},
		{name: "two headers", headers: []string{"Content-Digest", "sm3=:" + encoded + ":", "Repr-Digest", "sha-256=:" + encoded + ":"}, sm3: seven, sha256: seven},
		{name: "the same twice", headers: []string{"Content-Digest", "sm3=:" + encoded + ":", "Repr-Digest", "sm3=:" + encoded + ":"}, sm3: seven},
		{name: "unknown algorithm alone", headers: []string{"Content-Digest", "sha-512=:AAAA:"}, bad: true},
		{name: "unknown algorithms in both", headers: []string{"Content-Digest", "sha-512=:AAAA:", "Repr-Digest", "md5=:AAAA:"}, bad: true},
		{name: "unknown algorithm beside a known one", headers: []string{"Content-Digest", "sha-512=:AAAA:, sm3=:" + encoded + ":"}, sm3: seven},
		{name: "unknown algorithm, known one in the other header", headers: []string{"Content-Digest", "sha-512=:AAAA:", "Repr-Digest", "sm3=:" + encoded + ":"}, sm3: seven},
		{name: "all zero", headers: []string{"Content-Digest", "sm3=:" + zero + ":"}, bad: true},
		{name: "contradiction", headers: []string{"Content-Digest", "sm3=:" + encoded + ":", "Repr-Digest", "sm3=:" + other + ":"}, bad: true},
		{name: "hexadecimal", headers: []string{"Content-Digest", "sm3=" + strings.Repeat("07", 32)}, bad: true},
		{name: "too short", headers: []string{"Content-Digest", "sm3=:AAAA:"}, bad: true},
		{name: "not closed", headers: []string{"Content-Digest", "sm3=:" + encoded}, bad: true},
		{name: "empty item", headers: []string{"Content-Digest", ","}, bad: true},
		{name: "no name", headers: []string{"Content-Digest", "=:" + encoded + ":"}, bad: true},
		{name: "only a name", headers: []string{"Content-Digest", "sm3"}, bad: true},
	} {
		h := http.Header{}
		for i := 0; i < len(test.headers); i += 2 {
			h.Add(test.headers[i], test.headers[i+1])
		}
		got, err := expectedDigests(h)
		if (err != nil) != test.bad {
			t.Errorf("%s: %v", test.name, err)
		} else if err == nil && (got.sm3 != test.sm3 || got.sha256 != test.sha256) {
			t.Errorf("%s: got %+v", test.name, got)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	for value, want := range map[string]string{
		"abc": "abc", `"abc"`: "abc", "a-b_c.d:1": "a-b_c.d:1", strings.Repeat("k", 255): strings.Repeat("k", 255),
	} {
		if got, err := idempotencyKey(http.Header{"Idempotency-Key": {value}}); err != nil || got != want {
			t.Errorf("%q: got %q, %v", value, got, err)
		}
	}
	for _, value := range []string{"", `""`, `"abc`, "a b", "a\tb", "键", `a"b`, strings.Repeat("k", 256)} {
		if got, err := idempotencyKey(http.Header{"Idempotency-Key": {value}}); err == nil {
			t.Errorf("%q: accepted as %q", value, got)
		}
	}
	if got, err := idempotencyKey(http.Header{}); err != nil || got != "" {
		t.Errorf("none: got %q, %v", got, err)
	}
}

func TestAttachment(t *testing.T) {
	for _, name := range []string{"a.pdf", "合同 1.pdf", `a"b\c.txt`, "100%.txt", "a;b=c.txt", "", "x\r\nSet-Cookie: a=b"} {
		value := attachment(name)
		if strings.ContainsAny(value, "\r\n") {
			t.Errorf("%q: header is split: %q", name, value)
		}
		disposition, parameters, err := mime.ParseMediaType(value)
		if err != nil || disposition != "attachment" || parameters["filename"] != name {
			t.Errorf("%q: %q reads back as %q, %v", name, value, parameters["filename"], err)
		}
	}
}

func TestRequestID(t *testing.T) {
	for _, harmless := range []string{"a", "A-b_c.9", strings.Repeat("x", 64)} {
		if got := requestID(harmless); got != harmless {
			t.Errorf("%q became %q", harmless, got)
		}
	}
	for _, odd := range []string{"", "a b", "a\nb", "号", strings.Repeat("x", 65), `"`, "<script>"} {
		if got := requestID(odd); got == odd || len(got) < 20 {
			t.Errorf("%q became %q", odd, got)
		}
	}
}
