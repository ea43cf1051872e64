package api

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"cunzheng/notary"
)

// constants returns the values of the string constants in the Go files of dir whose names match.
func constants(t *testing.T, dir string, name *regexp.Regexp) map[string]string {
	t.Helper()
	found := map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != len(spec.Names) {
				return true
			}
			for i, id := range spec.Names {
				literal, ok := spec.Values[i].(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING || !name.MatchString(id.Name) {
					continue
				}
				value, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				found[id.Name] = value
			}
			return true
		})
	}
	return found
}

// TestEveryCodeHasAStatus holds that no code of ours, of the notary or of tokens is missing from the table, and that
// the table is whole and documented.
func TestEveryCodeHasAStatus(t *testing.T) {
	all := map[string]bool{}
	for dir, name := range map[string]string{".": "^code[A-Z]", "token": "^Code[A-Z]", "../notary": "^Code[A-Z]", "../notary/consortium": "^Code[A-Z]"} {
		found := constants(t, dir, regexp.MustCompile(name))
		if len(found) < 5 {
			t.Fatalf("only %d codes found in %s", len(found), dir)
		}
		for name, code := range found {
			all[code] = true
			if _, ok := kinds[code]; !ok {
				t.Errorf("%s: %s = %q has no status", dir, name, code)
			}
		}
	}
	for code, k := range kinds {
		if !all[code] {
			t.Errorf("%s has a status, but no constant", code)
		}
		if k.status < 400 || k.status > 599 || http.StatusText(k.status) == "" || k.zh == "" || k.en == "" {
			t.Errorf("%s: incomplete: %+v", code, k)
		}
		if strings.HasSuffix(k.en, ".") || strings.HasSuffix(k.zh, "。") {
			t.Errorf("%s: a title is no sentence", code)
		}
		if (k.status == http.StatusTooManyRequests) != (k.retry > 0) && k.status < 500 {
			t.Errorf("%s: 429 and Retry-After go together", code)
		}
	}
	manual, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for code, k := range kinds {
		if row := fmt.Sprintf("| `%s` | %d |", code, k.status); !strings.Contains(string(manual), row) {
			t.Errorf("docs/api.md has no row %q", row)
		}
	}
}

// TestCausesStayInside holds that what goes wrong inside is not told outside.
func TestCausesStayInside(t *testing.T) {
	const secret = "/var/lib/secret"
	for _, err := range []error{
		errors.New(secret),
		fmt.Errorf("open %s: %w", secret, os.ErrNotExist),
		&notary.Error{Code: notary.CodeInternal, ZH: secret, EN: secret, Field: secret, Err: errors.New(secret)},
		&notary.Error{Code: notary.CodeNotFound, ZH: "没有。", EN: "None.", Err: errors.New(secret)},
		&notary.Error{Code: "NEW_CODE", ZH: secret, EN: secret},
		&failure{code: codeJSON, zh: "有误。", en: "Wrong.", err: errors.New(secret)},
	} {
		p, _ := problem(err)
		if text := fmt.Sprintf("%+v", p); strings.Contains(text, secret) {
			t.Errorf("%v tells: %s", err, text)
		}
		if p.DetailEN == "" || p.DetailZH == "" {
			t.Errorf("%v: no sentence: %+v", err, p)
		}
	}
}

func TestLanguage(t *testing.T) {
	for header, english := range map[string]bool{
		"": false, "*": false, "zh": false, "zh-CN,zh;q=0.9,en;q=0.8": false, "en": true, "en-US,en;q=0.9": true,
		"en;q=0.5, zh;q=0.4": true, "EN": true, "fr": false, "en;q=x": false, "en;q=0": false, "zh;q=1,en": false, ";;,,": false,
	} {
		if got := prefersEnglish(header); got != english {
			t.Errorf("%q: English %v, want %v", header, got, english)
		}
	}
	e := start(t, nil)
	for header, want := range map[string]string{"": "zh-CN", "en-GB": "en"} {
		a := e.do(t, "", get, "/v1/evidence", "", "Accept-Language", header)
		p := a.wantProblem(t, http.StatusUnauthorized, codeTokenMissing)
		if a.Header.Get("Content-Language") != want || (p.Detail == p.DetailEN) != (want == "en") || (p.Title == kinds[codeTokenMissing].en) != (want == "en") {
			t.Errorf("Accept-Language %q: got %s, %q", header, a.Header.Get("Content-Language"), p.Detail)
		}
		if a.Header.Get("Vary") != "Accept-Language" {
			t.Errorf("Vary is %q", a.Header.Get("Vary"))
		}
	}
}
