package evidence

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// formatTables writes §11.1 to §11.3 of docs/formats.md from the code.
func formatTables() string {
	var b strings.Builder
	b.WriteString("### 11.1 Checks\n\n| id | English | Chinese |\n|---|---|---|\n")
	for _, c := range checkOrder {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.id, c.en, c.zh)
	}
	b.WriteString("\n### 11.2 Reason codes\n\n| code | status | English | Chinese |\n|---|---|---|---|\n")
	for _, code := range slices.Sorted(maps.Keys(reasons)) {
		r := reasons[code]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", code, r.status, r.en, r.zh)
	}
	b.WriteString("\n### 11.3 Remarks\n\nA remark is in the report, in this order, when what stands under “when” holds. Those named `PROVES_…` are in `proves`, those named `LIMIT_…` in `limits`.\n\n| code | when | English | Chinese |\n|---|---|---|---|\n")
	codes := slices.SortedFunc(maps.Keys(remarks), func(x, y string) int { return cmp.Compare(remarkOrder(x), remarkOrder(y)) })
	for _, code := range codes {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", code, remarkWhen[code], remarks[code].en, remarks[code].zh)
	}
	return b.String()
}

// remarkWhen says for the document when a remark is made, in the order of the report.
var remarkWhen = map[string]string{
	"PROVES_ACCEPTED":   "PASSED, evidence type",
	"PROVES_REGISTERED": "PASSED, registry type",
	"PROVES_ANCHORED":   "PASSED, anchored, kind `embedded`",
	"PROVES_CONSORTIUM": "PASSED, anchored, kind `fabric`",
	"PROVES_CONTENT":    "PASSED, `content` is `CONTENT_OK`",
	"LIMIT_TRUTH":       "always",
	"LIMIT_DECLARED":    "evidence type",
	"LIMIT_DIGEST":      "type `digest`",
	"LIMIT_CONTENT":     "`content` is `CONTENT_ABSENT`",
	"LIMIT_CLOCK":       "always",
	"LIMIT_NO_ANCHOR":   "`anchor` is `ANCHOR_NONE` or `ANCHOR_LATER`",
	"LIMIT_EMBEDDED":    "anchored, kind `embedded`",

	"LIMIT_CONSORTIUM_EFFECT":    "anchored, kind `fabric`",
	"LIMIT_CONSORTIUM_TIME":      "anchored, kind `fabric`",
	"LIMIT_CONSORTIUM_ALGORITHM": "anchored, kind `fabric`",

	"LIMIT_WITHHELD": "`subject.withheld` is there",
	"LIMIT_TRUST":    "a trust file was given",
}

func remarkOrder(code string) int {
	order := []string{"PROVES_ACCEPTED", "PROVES_REGISTERED", "PROVES_ANCHORED", "PROVES_CONSORTIUM", "PROVES_CONTENT", "LIMIT_TRUTH", "LIMIT_DECLARED", "LIMIT_DIGEST",
		"LIMIT_CONTENT", "LIMIT_CLOCK", "LIMIT_NO_ANCHOR", "LIMIT_EMBEDDED", "LIMIT_CONSORTIUM_EFFECT", "LIMIT_CONSORTIUM_TIME", "LIMIT_CONSORTIUM_ALGORITHM", "LIMIT_WITHHELD", "LIMIT_TRUST"}
	return slices.Index(order, code)
}

// TestFormatsDocument holds that the document names every code with the words of the code, and every member of every
// format.
func TestFormatsDocument(t *testing.T) {
	raw, err := os.ReadFile("../docs/formats.md")
	must(t, err)
	document := string(raw)
	if *update {
		head, rest, ok := strings.Cut(document, "### 11.1 Checks\n")
		_, tail, ok2 := strings.Cut(rest, "\n## 12. ")
		if !ok || !ok2 {
			t.Fatal("docs/formats.md has no §11.1 or §12")
		}
		document = head + formatTables() + "\n## 12. " + tail
		must(t, os.WriteFile("../docs/formats.md", []byte(document), 0o644))
	}
	if !strings.Contains(document, formatTables()) {
		t.Error("§11.1 to §11.3 differ from the code: go test ./evidence -run TestFormatsDocument -update")
	}
	for code := range remarks {
		if remarkWhen[code] == "" || remarkOrder(code) < 0 {
			t.Errorf("%s: the document does not say when", code)
		}
	}
	for _, s := range []string{SchemaStatement, SchemaReceipt, SchemaProof, SchemaManifest, SchemaDisclosures, SchemaTrust, SchemaReport, commitmentDomain, MediaTypeBundle} {
		if !strings.Contains(document, s) {
			t.Errorf("%s is not in the document", s)
		}
	}
	for _, code := range []string{FieldRequired, FieldForbidden, FieldTooLong, FieldText, FieldFormat, FieldValue, FieldRange, FieldRepeated, FieldCheck, NamePath} {
		if !strings.Contains(document, "`"+code+"`") {
			t.Errorf("%s is not in the document", code)
		}
	}
	for _, v := range []any{Statement{}, Receipt{}, Proof{}, manifest{}, disclosureFile{}, Trust{}, Report{}} {
		for _, member := range members(v) {
			if !strings.Contains(document, "`"+member+"`") {
				t.Errorf("%T: member %q is not in the document", v, member)
			}
		}
	}
}

// TestReasonsUsed holds that every code is given somewhere in the tests of verdicts, and that each has both sentences.
func TestReasonsUsed(t *testing.T) {
	var text strings.Builder
	for _, name := range []string{"verify.go", "verifyanchor.go", "verifykeys.go", "conclude.go"} {
		source, err := os.ReadFile(name)
		must(t, err)
		text.Write(source)
	}
	for code, r := range reasons {
		if !strings.Contains(text.String(), `"`+code+`"`) {
			t.Errorf("%s is never given", code)
		}
		if r.zh == "" || r.en == "" || r.status == "" {
			t.Errorf("%s lacks a sentence or a status", code)
		}
	}
}
