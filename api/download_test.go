package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cunzheng/api/client"
	"cunzheng/api/wire"
	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
	"cunzheng/notary"
)

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

// TestRangeReadsItsPartOnly holds that a range is read from where it begins, and that what is read of it is genuine.
func TestRangeReadsItsPartOnly(t *testing.T) {
	e := start(t, nil)
	content := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB
	d, err := e.as(t, "depositor").DepositFile(t.Context(), file("a.bin", content))
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
	damage := func(at int) {
		t.Helper()
		changed := bytes.Clone(sealed)
		changed[at] ^= 1
		if err := os.WriteFile(files[0], changed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := "/v1/evidence/" + d.Number + "/content"
	for name, at := range map[string]int{"beginning": 10_000, "middle": len(sealed) / 2} {
		damage(at)
		a := e.do(t, notary.RoleDepositor, get, path, "", "Range", "bytes=1000000-").want(t, http.StatusPartialContent)
		if string(a.body) != content[1_000_000:] {
			t.Errorf("damage at the %s: %d bytes of another content", name, len(a.body))
		}
	}
	damage(len(sealed) - 20_000)
	e.do(t, notary.RoleDepositor, get, path, "", "Range", "bytes=1000000-").wantProblem(t, http.StatusInternalServerError, notary.CodeContentDamaged)
}

func (e *env) metricsText(t testing.TB) string {
	t.Helper()
	return string(e.do(t, notary.RoleAuditAdmin, get, "/metrics", "").want(t, http.StatusOK).body)
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
