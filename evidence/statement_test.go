package evidence

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
)

// TestFieldOrder holds that the fields of every encoded type stand in the order of RFC 8785, which spares sorting.
func TestFieldOrder(t *testing.T) {
	seen := make(map[reflect.Type]bool)
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			walk(typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[typ] {
			return
		}
		seen[typ] = true
		last := ""
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				t.Errorf("%s.%s has no name in JSON", typ, f.Name)
			}
			if name <= last {
				t.Errorf("%s: %q stands behind %q", typ, name, last)
			}
			last = name
			walk(f.Type)
		}
	}
	for _, v := range []any{Statement{}, Receipt{}, Proof{}, manifest{}, disclosureFile{}, Trust{}, Report{}} {
		walk(reflect.TypeOf(v))
	}
}

// members returns the names of all members in the JSON of a type.
func members(v any) []string {
	var names []string
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			walk(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
				names = append(names, name)
				walk(typ.Field(i).Type)
			}
		}
	}
	walk(reflect.TypeOf(v))
	return names
}

// TestCanonical compares our encoding with a canonicaliser, over texts with every kind of character.
func TestCanonical(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", `"\/`, "\b\f\n\r\t\x00\x1f\x7f", "é€𠮷䶮〇", "\u2028\u2029", "<&>", "\ufeff"}
	for range 2000 {
		var b strings.Builder
		for range random.IntN(20) {
			b.WriteRune(rune(random.IntN(0x2fff)))
		}
		texts = append(texts, strings.ToValidUTF8(b.String(), "?"))
	}
	for _, text := range texts {
		d := disclosureFile{Schema: text, Disclosures: []Disclosure{{Field: text, Value: text, Salt: sm3.Sum([]byte(text))}}}
		ours, err := canonical(&d)
		if err != nil {
			t.Fatal(err)
		}
		want := jsontext.Value(slices.Clone(ours))
		if err := want.Canonicalize(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, want) {
			t.Errorf("%q: %s, canonical %s", text, ours, want)
		}
	}
}

func TestStatementRoundTrip(t *testing.T) {
	w := newWorld(t)
	for _, s := range append(registryStatements(w), testStatement(), digestStatement()) {
		s.Private = Commit(testDisclosures(t))
		data, err := s.Encode()
		if err != nil {
			t.Fatalf("%s: %v", s.Type, err)
		}
		want := jsontext.Value(slices.Clone(data))
		must(t, want.Canonicalize())
		if !bytes.Equal(data, want) {
			t.Errorf("%s is not canonical: %s", s.Type, data)
		}
		back, err := ParseStatement(data)
		if err != nil {
			t.Fatalf("%s: %v", s.Type, err)
		}
		if diff := cmp.Diff(s, back); diff != "" {
			t.Errorf("%s differs after a round trip:\n%s", s.Type, diff)
		}
	}
}

func digestStatement() *Statement {
	return &Statement{
		Schema: SchemaStatement, Type: TypeDigest, Log: testOrigin, ReceivedAt: tReceived, Nonce: NewNonce(),
		Number:       NumberFormat{"XM", "350200", "NOT01"}.Format(tReceived.Time(), 2),
		Depositor:    Depositor{Organisation: "xm-data-bureau", Account: "exchange-01"},
		Content:      &Content{SM3: sm3.Sum(testOriginal)},
		OriginalKept: KeptByDepositor,
	}
}

func registryStatements(w *world) []*Statement {
	base := func(t Type) *Statement {
		return &Statement{Schema: SchemaStatement, Type: t, Log: testOrigin, ReceivedAt: tReceived, Nonce: NewNonce(),
			Depositor: Depositor{Organisation: "platform", Account: "admin"}}
	}
	key := w.keys[RoleReceipt].Public().(*sm2.PublicKey)
	organisation, officer, registered, revoked, logKey := base(TypeOrganisation), base(TypeOfficer), base(TypeKey), base(TypeKeyRevocation), base(TypeLogKey)
	organisation.Organisation = &Organisation{ID: "xm-data-bureau", Name: "厦门市数据管理局", CreditCode: "91350100M000100Y43", Region: "350200", Level: "city", Status: StandingActive}
	officer.Officer = &Officer{ID: "zhang-3", Kind: AccountPerson, Organisation: "xm-data-bureau", Roles: []string{"approver", "notary"}, Status: StandingActive}
	registered.Key = &Key{Fingerprint: key.Fingerprint(), NotBefore: tKeys, NotAfter: tVerdict, Organisation: "xm-data-bureau", Account: "exchange-01",
		Roles: []string{"depositor"}, SPKI: key.SPKI(), Use: UseAuthentication}
	revoked.Revocation = &KeyRevocation{At: tReceived, Fingerprint: key.Fingerprint(), Reason: ReasonCompromise}
	logKey.LogKey = &LogKey{Fingerprint: key.Fingerprint(), From: tReceived, Previous: sm3.Sum(nil), Role: RoleReceipt, SPKI: key.SPKI()}
	return []*Statement{organisation, officer, registered, revoked, logKey}
}

// TestStatementRules holds each rule: what breaks it is named by field and code, in both languages.
func TestStatementRules(t *testing.T) {
	long := strings.Repeat("长", 400)
	tests := []struct {
		field, code string
		change      func(*Statement)
	}{
		{"schema", FieldValue, func(s *Statement) { s.Schema = "cunzheng/statement/v2" }},
		{"type", FieldValue, func(s *Statement) { s.Type = "party" }},
		{"type", FieldRequired, func(s *Statement) { s.Type = "" }},
		{"log", FieldRequired, func(s *Statement) { s.Log = "" }},
		{"log", FieldFormat, func(s *Statement) { s.Log = "log one" }},
		{"log", FieldFormat, func(s *Statement) { s.Log = "log+one" }},
		{"log", FieldText, func(s *Statement) { s.Log = "log\n" }},
		{"log", FieldTooLong, func(s *Statement) { s.Log = strings.Repeat("l", 256) }},
		{"nonce", FieldRequired, func(s *Statement) { s.Nonce = Nonce{} }},
		{"receivedAt", FieldRequired, func(s *Statement) { s.ReceivedAt = 0 }},
		{"receivedAt", FieldRange, func(s *Statement) { s.ReceivedAt = maxInstant + 1; s.Provenance = nil }},
		{"number", FieldRequired, func(s *Statement) { s.Number = "" }},
		{"number", FieldFormat, func(s *Statement) { s.Number = "42" }},
		{"number", FieldCheck, func(s *Statement) { s.Number = s.Number[:len(s.Number)-1] + otherCheck(s.Number) }},
		{"depositor.organisation", FieldRequired, func(s *Statement) { s.Depositor.Organisation = "" }},
		{"depositor.organisation", FieldFormat, func(s *Statement) { s.Depositor.Organisation = "数据局" }},
		{"depositor.account", FieldFormat, func(s *Statement) { s.Depositor.Account = "-a" }},
		{"depositor.account", FieldFormat, func(s *Statement) { s.Depositor.Account = strings.Repeat("a", 65) }},
		{"depositor.authentication", FieldValue, func(s *Statement) { s.Depositor.Authentication = "none" }},
		{"depositor.name", FieldText, func(s *Statement) { s.Depositor.Name = "a\tb" }},
		{"depositor.creditCode", FieldCheck, func(s *Statement) { s.Depositor.CreditCode = "91350100M000100Y4" }},
		{"content", FieldRequired, func(s *Statement) { s.Content = nil }},
		{"content.sm3", FieldRequired, func(s *Statement) { s.Content.SM3 = Digest{} }},
		{"content.sha256", FieldRequired, func(s *Statement) { s.Content.SHA256 = Digest{} }},
		{"content.size", FieldRequired, func(s *Statement) { s.Content.Size = nil }},
		{"content.size", FieldRange, func(s *Statement) { s.Content.Size = pointer(-1) }},
		{"content.size", FieldRange, func(s *Statement) { s.Content.Size = pointer(1 << 53) }},
		{"content.mediaType", FieldFormat, func(s *Statement) { s.Content.MediaType = "pdf" }},
		{"content.mediaType", FieldFormat, func(s *Statement) { s.Content.MediaType = "Text/plain" }},
		{"content.mediaType", FieldFormat, func(s *Statement) { s.Content.MediaType = "text/plain; charset=utf-8" }},
		{"originalKept", FieldRequired, func(s *Statement) { s.OriginalKept = "" }},
		{"originalKept", FieldValue, func(s *Statement) { s.OriginalKept = "nobody" }},
		{"originalKept", FieldValue, func(s *Statement) { s.Type = TypeDigest }},
		{"case", FieldTooLong, func(s *Statement) { s.Case = long }},
		{"case", FieldText, func(s *Statement) { s.Case = "a\x00" }},
		{"case", FieldText, func(s *Statement) { s.Case = "a\u0085" }},
		{"case", FieldText, func(s *Statement) { s.Case = "a\xff" }},
		{"case", FieldText, func(s *Statement) { s.Case = "a\u202eb" }},
		{"case", FieldText, func(s *Statement) { s.Case = " a" }},
		{"correlation", FieldText, func(s *Statement) { s.Correlation = "a\nb" }},
		{"provenance", FieldFormat, func(s *Statement) { s.Provenance = &Provenance{} }},
		{"provenance.declaredAt", FieldRange, func(s *Statement) { s.Provenance.DeclaredAt = s.ReceivedAt + clockTolerance + 1 }},
		{"provenance.collectedAt", FieldRange, func(s *Statement) { s.Provenance.CollectedAt = -1 }},
		{"provenance.generation", FieldValue, func(s *Statement) { s.Provenance.Generation = "magic" }},
		{"provenance.custody", FieldValue, func(s *Statement) { s.Provenance.Custody = "drawer" }},
		{"provenance.environment", FieldValue, func(s *Statement) { s.Provenance.Environment = "clean" }},
		{"provenance.sourceSystem", FieldTooLong, func(s *Statement) { s.Provenance.SourceSystem = long }},
		{"provenance.tool", FieldText, func(s *Statement) { s.Provenance.Tool = "a\u2066" }},
		{"provenance.toolVersion", FieldTooLong, func(s *Statement) { s.Provenance.ToolVersion = long }},
		{"related", FieldFormat, func(s *Statement) { s.Related = []string{} }},
		{"related", FieldTooLong, func(s *Statement) { s.Related = make([]string, 101) }},
		{"related[0]", FieldFormat, func(s *Statement) { s.Related = []string{"x"} }},
		{"related[1]", FieldRepeated, func(s *Statement) { s.Related = append(s.Related, s.Related[0]) }},
		{"private", FieldFormat, func(s *Statement) { s.Private = map[string]Digest{"Name": {1}} }},
		{"private", FieldFormat, func(s *Statement) { s.Private = map[string]Digest{} }},
		{"organisation", FieldForbidden, func(s *Statement) { s.Organisation = &Organisation{} }},
		{"organisation", FieldRequired, func(s *Statement) { s.Type = TypeOrganisation }},
		{"content", FieldForbidden, func(s *Statement) { s.Type = TypeKey }},
	}
	for _, test := range tests {
		s := testStatement()
		test.change(s)
		checkRefused(t, s, test.field, test.code)
	}

	registry := []struct {
		kind        int
		field, code string
		change      func(*Statement)
	}{
		{0, "organisation.id", FieldRequired, func(s *Statement) { s.Organisation.ID = "" }},
		{0, "organisation.name", FieldRequired, func(s *Statement) { s.Organisation.Name = "" }},
		{0, "organisation.creditCode", FieldCheck, func(s *Statement) { s.Organisation.CreditCode = "91350100M000100Y44" }},
		{0, "organisation.region", FieldFormat, func(s *Statement) { s.Organisation.Region = "3502" }},
		{0, "organisation.level", FieldValue, func(s *Statement) { s.Organisation.Level = "planet" }},
		{0, "organisation.status", FieldRequired, func(s *Statement) { s.Organisation.Status = "" }},
		{0, "number", FieldForbidden, func(s *Statement) { s.Number = testStatement().Number }},
		{1, "officer.kind", FieldRequired, func(s *Statement) { s.Officer.Kind = "" }},
		{1, "officer.roles", FieldRequired, func(s *Statement) { s.Officer.Roles = nil }},
		{1, "officer.roles[1]", FieldRepeated, func(s *Statement) { s.Officer.Roles = []string{"b", "a"} }},
		{1, "officer.roles[0]", FieldFormat, func(s *Statement) { s.Officer.Roles = []string{"Notary"} }},
		{2, "key.spki", FieldFormat, func(s *Statement) { s.Key.SPKI = append(s.Key.SPKI, 0) }},
		{2, "key.fingerprint", FieldCheck, func(s *Statement) { s.Key.Fingerprint[0] ^= 1 }},
		{2, "key.notAfter", FieldRange, func(s *Statement) { s.Key.NotAfter = s.Key.NotBefore }},
		{2, "key.use", FieldRequired, func(s *Statement) { s.Key.Use = "" }},
		{3, "revocation.fingerprint", FieldRequired, func(s *Statement) { s.Revocation.Fingerprint = Digest{} }},
		{3, "revocation.reason", FieldValue, func(s *Statement) { s.Revocation.Reason = "mood" }},
		{3, "revocation.at", FieldRequired, func(s *Statement) { s.Revocation.At = 0 }},
		{4, "logKey.role", FieldValue, func(s *Statement) { s.LogKey.Role = "king" }},
		{4, "logKey.from", FieldRequired, func(s *Statement) { s.LogKey.From = 0 }},
	}
	w := newWorld(t)
	for _, test := range registry {
		s := registryStatements(w)[test.kind]
		test.change(s)
		checkRefused(t, s, test.field, test.code)
	}
}

func otherCheck(number string) string {
	if number[len(number)-1] == 'A' {
		return "B"
	}
	return "A"
}

func pointer(n int64) *int64 { return &n }

func checkRefused(t *testing.T, s *Statement, field, code string) {
	t.Helper()
	_, err := s.Encode()
	var found FieldErrors
	if !errors.As(err, &found) {
		t.Errorf("%s %s: error %v", field, code, err)
		return
	}
	for _, f := range found {
		if f.ZH == "" || f.EN == "" || !strings.ContainsFunc(f.ZH, func(r rune) bool { return r > 0x2e80 }) {
			t.Errorf("%s: no sentence in one language: %+v", field, f)
		}
		if f.Field == field && f.Code == code {
			return
		}
	}
	t.Errorf("want %s %s, got %v", field, code, found)
}

func TestSameContent(t *testing.T) {
	da, db := testDisclosures(t), testDisclosures(t)
	a, b := testStatement(), testStatement()
	b.Number, b.ReceivedAt, b.Depositor.Authentication = NumberFormat{"XM", "350200", "NOT01"}.Format(tReceived.Time(), 3), tReceived+1000, AuthenticationPassword
	a.Private, b.Private = Commit(da), Commit(db)
	if !SameContent(a, b, da, db) {
		t.Error("statements that differ in number, time, nonce and salts only are not the same")
	}
	slices.Reverse(db)
	if !SameContent(a, b, da, db) {
		t.Error("the order of disclosures counts")
	}
	if SameContent(a, b, da, db[:2]) || SameContent(a, b, nil, nil) {
		t.Error("what cannot be compared is called the same")
	}
	other, err := NewDisclosure(FieldName, "other.pdf")
	must(t, err)
	changed := slices.Clone(db)
	changed[slices.IndexFunc(changed, func(d Disclosure) bool { return d.Field == FieldName })] = other
	b.Private = Commit(changed)
	if SameContent(a, b, da, changed) {
		t.Error("another file name is the same")
	}
	b.Private = Commit(db)
	for name, change := range map[string]func(*Statement){
		"content": func(s *Statement) { s.Content.SM3[0] ^= 1 }, "case": func(s *Statement) { s.Case = "x" },
		"account": func(s *Statement) { s.Depositor.Account = "x" }, "tool": func(s *Statement) { s.Provenance.Tool = "x" },
		"type": func(s *Statement) { s.Type = TypeDigest }, "related": func(s *Statement) { s.Related = nil },
	} {
		data, err := b.Encode()
		must(t, err)
		c, err := ParseStatement(data)
		must(t, err)
		change(c)
		if SameContent(a, c, da, db) {
			t.Errorf("another %s is the same", name)
		}
	}
}

// TestTerms holds the index rows and that all values of a kind have one length.
func TestTerms(t *testing.T) {
	w := newWorld(t)
	length := make(map[byte]int)
	count := make(map[byte]int)
	for _, s := range append(registryStatements(w), testStatement(), digestStatement()) {
		for _, term := range s.Terms() {
			if n, ok := length[term.Kind]; ok && n != len(term.Value) {
				t.Errorf("kind %d has values of %d and %d bytes", term.Kind, n, len(term.Value))
			}
			length[term.Kind] = len(term.Value)
			count[term.Kind]++
		}
	}
	want := map[byte]int{TermNumber: 2, TermSM3: 2, TermSHA256: 1, TermDepositor: 7, TermTime: 7, TermCase: 1, TermCorrelation: 1, TermRegistry: 5}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Error(diff)
	}
	if bytes.Compare(TimeTerm(tReceived).Value, TimeTerm(tIssued).Value) >= 0 {
		t.Error("values of times do not sort as the times do")
	}
}
