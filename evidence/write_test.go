package evidence

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
)

// TestWriteBundleRefuses holds that the platform never hands out a bundle that would not verify.
func TestWriteBundleRefuses(t *testing.T) {
	broken := errors.New("disk error")
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	source := func(change func(*ContentSource)) func(*Bundle) *ContentSource {
		return func(*Bundle) *ContentSource {
			c := sourceOf(testOriginal)
			change(c)
			return c
		}
	}
	opens := func(r io.Reader, err error) func(*ContentSource) {
		return func(c *ContentSource) { c.Open = func() (io.ReadCloser, error) { return io.NopCloser(r), err } }
	}
	none := func(change func(*Bundle)) func(*Bundle) *ContentSource {
		return func(b *Bundle) *ContentSource { change(b); return nil }
	}
	for name, test := range map[string]struct {
		change func(*Bundle) *ContentSource
		want   error
		signer crypto.Signer
	}{
		"other original":     {source(func(c *ContentSource) { c.SM3[0] ^= 1 }), ErrContent, nil},
		"other SHA-256":      {source(func(c *ContentSource) { c.SHA256[0] ^= 1 }), ErrContent, nil},
		"other size":         {source(func(c *ContentSource) { c.Size++ }), ErrContent, nil},
		"short original":     {source(opens(bytes.NewReader(testOriginal[1:]), nil)), ErrContent, nil},
		"long original":      {source(opens(io.MultiReader(bytes.NewReader(testOriginal), strings.NewReader("x")), nil)), ErrContent, nil},
		"changed original":   {source(opens(bytes.NewReader(bytes.ToUpper(append([]byte("a"), testOriginal[1:]...))), nil)), ErrContent, nil},
		"unreadable":         {source(opens(errReader{broken}, nil)), broken, nil},
		"unopenable":         {source(opens(nil, broken)), broken, nil},
		"no receipt":         {none(func(b *Bundle) { b.Receipt = nil }), nil, nil},
		"unsigned receipt":   {none(func(b *Bundle) { b.Receipt.Signature = nil }), nil, nil},
		"foreign receipt":    {none(func(b *Bundle) { b.Receipt.Statement[0] ^= 1 }), nil, nil},
		"receipt off number": {none(func(b *Bundle) { b.Receipt.Number = "" }), nil, nil},
		"bad statement":      {none(func(b *Bundle) { b.Statement = append(b.Statement, ' ') }), nil, nil},
		"bad proof":          {none(func(b *Bundle) { b.Proof = &Proof{} }), nil, nil},
		"bad trust":          {none(func(b *Bundle) { b.Trust = &Trust{} }), nil, nil},
		"foreign disclosure": {none(func(b *Bundle) { b.Disclosures[0].Value = "x" }), nil, nil},
		"no time":            {none(func(b *Bundle) { b.Created = 0 }), nil, nil},
		"foreign signer":     {none(func(*Bundle) {}), nil, foreign},
	} {
		w := newWorld(t)
		b := w.accept(testStatement(), testDisclosures(t))
		content := test.change(b)
		if test.signer == nil {
			test.signer = w.keys[RoleReceipt]
		}
		var out bytes.Buffer
		err := WriteBundle(&out, b, test.signer, content)
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: error %v", name, err)
		}
		if out.Len() > 0 {
			w.refused(name, out.Bytes())
		}
	}
	w := newWorld(t)
	if err := w.accept(testStatement(), nil).Receipt.Sign(foreign, tIssued); err == nil {
		t.Error("a foreign key signs a receipt")
	}
}

// TestReaderFiles holds what a reader gives out.
func TestReaderFiles(t *testing.T) {
	w := newWorld(t)
	bundle := w.fullBundle()
	r, err := OpenBundle(bytes.NewReader(bundle), int64(len(bundle)))
	must(t, err)
	want := []string{fileMimetype, fileManifest, fileSignature, fileStatement, fileReceipt, fileProof, fileDisclosures, fileTrust, fileReadme, "content/合同 '终稿'.pdf"}
	if !slices.Equal(r.Names(), want) {
		t.Errorf("names %q", r.Names())
	}
	original, name := r.Content()
	data, err := io.ReadAll(original)
	if err != nil || !bytes.Equal(data, testOriginal) || name != "合同 '终稿'.pdf" {
		t.Errorf("original %q, %q, %v", name, data, err)
	}
	if string(r.File(fileMimetype)) != MediaTypeBundle || r.File("nothing") != nil {
		t.Error("files")
	}
}

// TestEmptyOriginal holds that an empty file is evidence like any other.
func TestEmptyOriginal(t *testing.T) {
	w := newWorld(t)
	s := testStatement()
	empty := sourceOf([]byte{})
	s.Content = &Content{SM3: empty.SM3, SHA256: empty.SHA256, Size: pointer(0)}
	if r := w.verify(w.write(w.accept(s, nil), []byte{})); r.Verdict != Passed || r.check(CheckContent) != "CONTENT_OK" {
		t.Error(r.Text(English))
	}
}

// TestRotation holds that at a rotation a checkpoint may bear the signatures of both keys, and that each key counts
// only in its time.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	b := w.accept(testStatement(), nil)
	old, fresh := w.keys[RoleLog], newKey(t)
	head, err := checkpoint.Parse([]byte(b.Receipt.Checkpoint))
	must(t, err)
	second, err := checkpoint.Sign(head, w.origin, fresh)
	must(t, err)
	_, line, _ := strings.Cut(string(second.Note), "\n\n")
	b.Receipt.Checkpoint += line
	w.resign(b)
	bundle := w.write(b, nil)

	if r := w.verify(bundle); r.Verdict != Indeterminate || r.check(CheckCheckpoint) != "KEY_UNKNOWN" {
		t.Errorf("second key unknown: %s, %s", r.Verdict, r.check(CheckCheckpoint))
	}
	k := trustKey(fresh, RoleLog)
	k.From = tVerdict
	w.trust.Logs[0].Keys = append(w.trust.Logs[0].Keys, k)
	if r := w.verify(bundle); r.Verdict != Passed {
		t.Errorf("one of two keys in use: %s", r.Text(English))
	}
	w.trusted(RoleLog).Until = tKeys
	if w.trusted(RoleLog).ID != Digest(old.Public().(*sm2.PublicKey).Fingerprint()) {
		t.Fatal("the fixture has another order of keys")
	}
	if r := w.verify(bundle); r.Verdict != Failed || r.check(CheckCheckpoint) != "KEY_NOT_IN_USE" {
		t.Errorf("no key in use: %s", r.Text(English))
	}
}

// TestWitness holds that signatures in other names are passed over.
func TestWitness(t *testing.T) {
	w := newWorld(t)
	b := w.accept(testStatement(), nil)
	private, _, err := note.GenerateKey(rand.Reader, "witness.example")
	must(t, err)
	witness, err := note.NewSigner(private)
	must(t, err)
	text, _, _ := strings.Cut(b.Receipt.Checkpoint, "\n\n")
	cosigned, err := note.Sign(&note.Note{Text: text + "\n"}, witness)
	must(t, err)
	_, line, _ := strings.Cut(string(cosigned), "\n\n")
	b.Receipt.Checkpoint += line
	w.resign(b)
	if r := w.verify(w.write(b, nil)); r.Verdict != Passed {
		t.Error(r.Text(English))
	}
}

func TestTrustRules(t *testing.T) {
	for field, change := range map[string]func(*Trust){
		"created":                    func(t *Trust) { t.Created = 0 },
		"logs":                       func(t *Trust) { t.Logs = nil },
		"ledgers":                    func(t *Trust) { t.Ledgers = nil },
		"logs[0].origin":             func(t *Trust) { t.Logs[0].Origin = "" },
		"logs[1].origin":             func(t *Trust) { t.Logs = append(t.Logs, t.Logs[0]) },
		"logs[0].office":             func(t *Trust) { t.Logs[0].Office = "a\x00" },
		"logs[0].keys":               func(t *Trust) { t.Logs[0].Keys = nil },
		"logs[0].keys[0].role":       func(t *Trust) { t.Logs[0].Keys[0].Role = RoleLedger },
		"logs[0].keys[0].spki":       func(t *Trust) { t.Logs[0].Keys[0].SPKI = nil },
		"logs[0].keys[0].id":         func(t *Trust) { t.Logs[0].Keys = append(t.Logs[0].Keys[:0:0], t.Logs[0].Keys[1], t.Logs[0].Keys[1]) },
		"logs[0].keys[0].from":       func(t *Trust) { t.Logs[0].Keys[0].From = 0 },
		"logs[0].keys[0].until":      func(t *Trust) { t.Logs[0].Keys[0].Until = 1 },
		"logs[0].keys[0].revoked.at": func(t *Trust) { t.Logs[0].Keys[0].Revoked = &TrustRevocation{Reason: ReasonCompromise} },
		"ledgers[0].kind":            func(t *Trust) { t.Ledgers[0].Kind = "stone" },
		"ledgers[0].name":            func(t *Trust) { t.Ledgers[0].Name = "" },
		"ledgers[0].operators":       func(t *Trust) { t.Ledgers[0].Operators = nil },
		"ledgers[0].keys[0].role":    func(t *Trust) { t.Ledgers[0].Keys[0].Role = RoleLog },
	} {
		trust := newWorld(t).trust
		change(trust)
		_, err := trust.Encode()
		if field == "logs[0].keys[0].id" {
			field = "logs[0].keys[1].id"
		}
		var found FieldErrors
		if !errors.As(err, &found) || !slices.ContainsFunc(found, func(f FieldError) bool { return f.Field == field }) {
			t.Errorf("%s: %v", field, err)
		}
	}
	w := newWorld(t)
	text, err := w.trust.Encode()
	must(t, err)
	if _, err := ParseTrust([]byte(indent(t, text))); err != nil {
		t.Errorf("an indented trust file: %v", err)
	}
	for name, bad := range map[string]string{
		"unknown member": strings.Replace(string(text), `"logs"`, `"extra":1,"logs"`, 1),
		"repeated":       strings.Replace(string(text), `"logs":`, `"logs":[],"logs":`, 1),
		"newer":          strings.Replace(string(text), "trust/v1", "trust/v2", 1),
		"too long":       string(text) + strings.Repeat(" ", maxTrustSize),
		"nothing":        "",
	} {
		if _, err := ParseTrust([]byte(bad)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestDisclosureRules(t *testing.T) {
	for _, bad := range [][2]string{{"", "x"}, {"Name", "x"}, {"a b", "x"}, {FieldName, "a/b"}, {FieldName, ""}, {FieldDescription, ""},
		{FieldDescription, "a\x00"}, {FieldDescription, "a\r\n"}, {FieldDescription, "\u202e"}, {FieldDescription, strings.Repeat("x", maxParagraph+1)}} {
		var found FieldErrors
		if _, err := NewDisclosure(bad[0], bad[1]); !errors.As(err, &found) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	d := testDisclosures(t)
	if _, err := EncodeDisclosures(append(d, d[0])); err == nil {
		t.Error("a repeated field is accepted")
	}
	again, err := NewDisclosure(d[0].Field, d[0].Value)
	must(t, err)
	if again.Commitment() == d[0].Commitment() {
		t.Error("two commitments to one value are equal: the salt is missing")
	}
}

func TestInstant(t *testing.T) {
	now := time.Date(2026, 11, 23, 19, 22, 33, 456_789_000, time.FixedZone("", 8*3600))
	i := InstantOf(now)
	if i.String() != "2026-11-23T11:22:33.456Z" || !i.Time().Equal(now.Truncate(time.Millisecond)) {
		t.Errorf("%s, %s", i, i.Time())
	}
	if InstantOf(time.Time{}) != 0 || !Instant(0).Time().IsZero() || !Instant(0).IsZero() {
		t.Error("the zero time is not absent")
	}
	for _, bad := range []string{"", "2026-11-23T11:22:33Z", "2026-11-23 11:22:33.456Z", "2026-11-23T11:22:33.456z", "2026-11-23T11:22:33,456Z",
		"2026-02-30T11:22:33.456Z", "1970-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z", "2026-11-23T24:00:00.000Z"} {
		if i := Instant(7); i.UnmarshalText([]byte(bad)) == nil && i.String() != bad {
			t.Errorf("%q is read as %s", bad, i)
		} else if i != 7 && i.String() != bad {
			t.Errorf("%q changes the value", bad)
		}
	}
	if _, err := (maxInstant + 1).MarshalText(); err == nil {
		t.Error("the year 10000 is written")
	}
	for _, bad := range []string{strings.Repeat("0", 64), strings.Repeat("A", 64), strings.Repeat("a", 63), strings.Repeat("g", 64)} {
		if _, err := ParseDigest(bad); err == nil {
			t.Errorf("digest %q is accepted", bad)
		}
	}
}
