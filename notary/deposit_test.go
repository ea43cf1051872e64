package notary_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"cunzheng/evidence"
	"cunzheng/notary"
)

// TestMainPath is what the platform is for: a file goes in, a proof comes out that a stranger verifies.
func TestMainPath(t *testing.T) {
	n := newNode(t)
	if err := n.RegisterOrganisation(t.Context(), peopleAdm, evidence.Organisation{ID: "org-a", Name: "思明区数据局"}); err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("合同正文 ", 50_000)
	d := n.mustDepositFile(t, depositor, notary.FileDeposit{
		Name: "合同.pdf", MediaType: "application/pdf", Case: "（2026）厦01号", Correlation: "flow-7",
		Provenance: &evidence.Provenance{SourceSystem: "OA", Generation: evidence.GenerationExport, Tool: "exporter", ToolVersion: "1.2"},
		Private:    map[string]string{evidence.FieldCollector: "王小明", evidence.FieldDescription: "第一行\n第二行"},
	}, content)

	s := statementOf(t, d)
	if s.Depositor.Name != "思明区数据局" || s.OriginalKept != evidence.KeptByPlatform || s.Content.SM3 != digestOf(content) ||
		*s.Content.Size != int64(len(content)) || len(s.Private) != 3 {
		t.Errorf("statement: %s", d.Statement)
	}
	if strings.Contains(string(d.Statement), "王小明") || strings.Contains(string(d.Statement), "合同") {
		t.Error("personal data stands in the log")
	}

	if r := n.wantPassed(t, depositor, d.Number, notary.BundleOptions{WithContent: true, Disclose: true}); r.Level != evidence.LevelAccepted {
		t.Errorf("level %s", r.Level)
	}
	n.anchorNow(t)
	for _, o := range []notary.BundleOptions{{}, {Disclose: true}, {WithContent: true}, {WithContent: true, Disclose: true}} {
		if r := n.wantPassed(t, depositor, d.Number, o); r.Level != evidence.LevelAnchored {
			t.Errorf("%+v: level %s", o, r.Level)
		}
	}

	n.restart(t)
	record, err := n.Get(t.Context(), depositor, d.Number)
	if err != nil {
		t.Fatal(err)
	}
	if !record.Anchored || record.Disclosed["name"] != "合同.pdf" || record.Disclosed["collector"] != "王小明" || !bytes.Equal(record.Statement, d.Statement) {
		t.Errorf("record: %+v", record)
	}
	var original bytes.Buffer
	if err := n.Content(t.Context(), depositor, d.Number, 0, &original); err != nil || original.String() != content {
		t.Errorf("content: %d bytes, %v", original.Len(), err)
	}
	info, err := n.ContentInfo(t.Context(), depositor, d.Number)
	if err != nil || info.Name != "合同.pdf" || info.MediaType != "application/pdf" || info.Size != int64(len(content)) {
		t.Errorf("content info: %+v, %v", info, err)
	}
	n.wantPassed(t, depositor, d.Number, notary.BundleOptions{WithContent: true, Disclose: true})
	n.wantClean(t)
}

func TestDigestDeposit(t *testing.T) {
	n := newNode(t)
	size := int64(12)
	d := n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("x"), SHA256: digestOf("y"), Size: &size, Name: "x.txt"})
	n.wantPassed(t, depositor, d.Number, notary.BundleOptions{Disclose: true})
	err := n.Bundle(t.Context(), depositor, d.Number, io.Discard, notary.BundleOptions{WithContent: true})
	wantCode(t, err, notary.CodeContentNotKept)
	wantCode(t, n.Content(t.Context(), depositor, d.Number, 0, io.Discard), notary.CodeContentNotKept)
	_, err = n.ContentInfo(t.Context(), depositor, d.Number)
	wantCode(t, err, notary.CodeContentNotKept)
	if r := receiptOf(t, d); r.Number != d.Number || r.Log != testOrigin {
		t.Errorf("receipt: %+v", r)
	}
}

func TestEmptyFile(t *testing.T) {
	n := newNode(t)
	d := n.mustDepositFile(t, depositor, notary.FileDeposit{Name: "empty"}, "")
	if len(d.Notes) != 1 || d.Notes[0].Code != notary.NoteEmptyFile || d.Notes[0].ZH == "" {
		t.Errorf("notes: %+v", d.Notes)
	}
	n.wantPassed(t, depositor, d.Number, notary.BundleOptions{WithContent: true, Disclose: true})
}

// TestBadDeposits: each is refused with its code and leaves no trace.
func TestBadDeposits(t *testing.T) {
	n := newNode(t, func(n *node) { n.config.MaxFileSize = 1000 })
	before := n.log.Latest().Size
	size := func(n int64) *int64 { return &n }
	broken := errors.New("connection reset")
	for name, test := range map[string]struct {
		deposit notary.FileDeposit
		content io.Reader
		code    string
		field   string
	}{
		"no name":                 {deposit: notary.FileDeposit{}, code: notary.CodeNameInvalid, field: "name"},
		"name with path":          {deposit: notary.FileDeposit{Name: "../etc/passwd"}, code: notary.CodeNameInvalid, field: "name"},
		"name with backslash":     {deposit: notary.FileDeposit{Name: `C:\x`}, code: notary.CodeNameInvalid, field: "name"},
		"name is ..":              {deposit: notary.FileDeposit{Name: ".."}, code: notary.CodeNameInvalid, field: "name"},
		"name with control":       {deposit: notary.FileDeposit{Name: "a\x00b"}, code: notary.CodeNameInvalid, field: "name"},
		"name not UTF-8":          {deposit: notary.FileDeposit{Name: "a\xff"}, code: notary.CodeNameInvalid, field: "name"},
		"name too long":           {deposit: notary.FileDeposit{Name: strings.Repeat("长", 100)}, code: notary.CodeNameInvalid, field: "name"},
		"two names":               {deposit: notary.FileDeposit{Name: "a", Private: map[string]string{"name": "b"}}, code: notary.CodeFieldInvalid, field: "name"},
		"empty private field":     {deposit: notary.FileDeposit{Name: "a", Private: map[string]string{"collector": ""}}, code: notary.CodeFieldInvalid, field: "private.collector"},
		"bad private field":       {deposit: notary.FileDeposit{Name: "a", Private: map[string]string{"A B": "x"}}, code: notary.CodeFieldInvalid},
		"bad media type":          {deposit: notary.FileDeposit{Name: "a", MediaType: "pdf"}, code: notary.CodeFieldInvalid, field: "content.mediaType"},
		"bad case":                {deposit: notary.FileDeposit{Name: "a", Case: "a\nb"}, code: notary.CodeFieldInvalid, field: "case"},
		"bad related number":      {deposit: notary.FileDeposit{Name: "a", Related: []string{"XM-1"}}, code: notary.CodeFieldInvalid, field: "related[0]"},
		"declared in the future":  {deposit: notary.FileDeposit{Name: "a", Provenance: &evidence.Provenance{DeclaredAt: evidence.InstantOf(time.Now().Add(time.Hour))}}, code: notary.CodeFieldInvalid, field: "provenance.declaredAt"},
		"bad idempotency key":     {deposit: notary.FileDeposit{Name: "a", IdempotencyKey: "a b"}, code: notary.CodeIdempotencyInvalid, field: "idempotencyKey"},
		"long idempotency key":    {deposit: notary.FileDeposit{Name: "a", IdempotencyKey: strings.Repeat("k", 256)}, code: notary.CodeIdempotencyInvalid, field: "idempotencyKey"},
		"too large":               {deposit: notary.FileDeposit{Name: "a"}, content: strings.NewReader(strings.Repeat("x", 1001)), code: notary.CodeContentTooLarge},
		"announced too large":     {deposit: notary.FileDeposit{Name: "a", ExpectSize: size(1001)}, code: notary.CodeContentTooLarge},
		"wrong size":              {deposit: notary.FileDeposit{Name: "a", ExpectSize: size(4)}, code: notary.CodeDigestMismatch, field: "size"},
		"wrong SM3":               {deposit: notary.FileDeposit{Name: "a", ExpectSM3: digestOf("other")}, code: notary.CodeDigestMismatch, field: "sm3"},
		"wrong SHA-256":           {deposit: notary.FileDeposit{Name: "a", ExpectSHA256: digestOf("other")}, code: notary.CodeDigestMismatch, field: "sha256"},
		"upload cut off":          {deposit: notary.FileDeposit{Name: "a"}, content: io.MultiReader(strings.NewReader("half"), errReader{io.ErrUnexpectedEOF}), code: notary.CodeContentInterrupted},
		"upload broken":           {deposit: notary.FileDeposit{Name: "a"}, content: errReader{broken}, code: notary.CodeContentInterrupted},
		"key and upload cut off":  {deposit: notary.FileDeposit{Name: "a", IdempotencyKey: "k1"}, content: errReader{broken}, code: notary.CodeContentInterrupted},
		"key and digest mismatch": {deposit: notary.FileDeposit{Name: "a", IdempotencyKey: "k2", ExpectSize: size(4)}, code: notary.CodeDigestMismatch, field: "size"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.content == nil {
				test.content = strings.NewReader("12345")
			}
			_, err := n.DepositFile(t.Context(), depositor, test.deposit, test.content)
			e := wantCode(t, err, test.code)
			if test.field != "" && e.Field != test.field {
				t.Errorf("field %q, want %q", e.Field, test.field)
			}
			if r, ok := test.content.(errReader); ok && !errors.Is(err, r.err) {
				t.Errorf("the reader's own error is lost: %v", err)
			}
		})
	}
	for name, test := range map[string]struct {
		deposit notary.DigestDeposit
		code    string
	}{
		"no SM3":        {notary.DigestDeposit{}, notary.CodeDigestInvalid},
		"negative size": {notary.DigestDeposit{SM3: digestOf("x"), Size: size(-1)}, notary.CodeFieldInvalid},
		"bad name":      {notary.DigestDeposit{SM3: digestOf("x"), Name: "a/b"}, notary.CodeNameInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := n.DepositDigest(t.Context(), depositor, test.deposit)
			wantCode(t, err, test.code)
		})
	}
	if after := n.log.Latest().Size; after != before {
		t.Errorf("the log has grown by %d", after-before)
	}
	if n.originals(t) != 0 {
		t.Errorf("%d originals are left", n.originals(t))
	}
	n.wantClean(t)
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestCancelledBeforeTheEnd(t *testing.T) {
	n := newNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := readerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	if _, err := n.DepositFile(ctx, depositor, notary.FileDeposit{Name: "a"}, r); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if n.originals(t) != 0 {
		t.Error("an original is left")
	}
	n.wantClean(t)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestEarlierDeposits(t *testing.T) {
	n := newNode(t)
	first := n.mustDepositFile(t, depositor, notary.FileDeposit{Name: "a"}, "same")
	foreign := n.mustDepositDigest(t, actor("org-b", notary.RoleDepositor), notary.DigestDeposit{SM3: digestOf("same")})
	second := n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("same")})
	if len(first.Earlier) != 0 || len(foreign.Earlier) != 0 {
		t.Errorf("earlier of the first ones: %q, %q", first.Earlier, foreign.Earlier)
	}
	if len(second.Earlier) != 1 || second.Earlier[0] != first.Number {
		t.Errorf("earlier: %q, want %q", second.Earlier, first.Number)
	}
}

func TestDamagedOriginal(t *testing.T) {
	n := newNode(t)
	d := n.mustDepositFile(t, depositor, notary.FileDeposit{Name: "a"}, strings.Repeat("x", 200_000))
	damage(t, n)
	wantCode(t, n.Content(t.Context(), depositor, d.Number, 0, io.Discard), notary.CodeContentDamaged)
	wantCode(t, n.Bundle(t.Context(), depositor, d.Number, io.Discard, notary.BundleOptions{WithContent: true}), notary.CodeContentDamaged)
	n.wantPassed(t, depositor, d.Number, notary.BundleOptions{}) // the record itself is intact
}
