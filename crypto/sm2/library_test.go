package sm2

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	emmansunModule = "github.com/emmansun/gmsm/"
	tjfocModule    = "github.com/tjfoc/gmsm/"
)

// Rule 6.
func TestPanicsBecomeErrors(t *testing.T) {
	err := func() (err error) {
		defer recovered(&err)
		panic("secret")
	}()
	if !errors.Is(err, errPanic) || strings.Contains(err.Error(), "secret") {
		t.Errorf("a panic becomes %v", err)
	}

	// Both libraries panic on what these hand to them.
	var none PublicKey
	sig := unhex(t, vectors[0].sig)
	if err := none.Verify([]byte("m"), sig); !errors.Is(err, ErrSignature) {
		t.Errorf("Verify of no key: %v", err)
	}
	if err := none.CrossCheck([]byte("m"), sig); !errors.Is(err, ErrDisagreement) {
		t.Errorf("CrossCheck of no key: %v", err)
	}
	if _, err := scalarOf(nil); !errors.Is(err, errPanic) {
		t.Errorf("no private key: %v", err)
	}

	// One file reaches the libraries, and all its functions recover.
	for name, file := range sources(t) {
		for _, path := range imports(file) {
			if (strings.HasPrefix(path, emmansunModule) || strings.HasPrefix(path, tjfocModule)) && name != "library.go" {
				t.Errorf("%s imports %s", name, path)
			}
		}
		if name != "library.go" {
			continue
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Name.Name == "recovered" || f.Name.Name == "digest" { // these only call us
				continue
			}
			if !startsWithRecovered(f) {
				t.Errorf("%s does not start with defer recovered(&err)", f.Name.Name)
			}
		}
	}
}

func startsWithRecovered(f *ast.FuncDecl) bool {
	if len(f.Body.List) == 0 {
		return false
	}
	d, ok := f.Body.List[0].(*ast.DeferStmt)
	if !ok {
		return false
	}
	callee, ok := d.Call.Fun.(*ast.Ident)
	return ok && callee.Name == "recovered"
}

// Rule 3: the second library's own parsers accept points off the curve, or panic.
// Rule 7: it has more that is broken. Only what is listed here is used.
func TestUseOfSecondLibrary(t *testing.T) {
	allowed := []string{"PublicKey", "P256Sm2", "Sm2Verify"}
	used := map[string]bool{}
	ast.Inspect(sources(t)["library.go"], func(node ast.Node) bool {
		if s, ok := node.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "tjfoc" {
				used[s.Sel.Name] = true
			}
		}
		return true
	})
	for name := range used {
		if !slices.Contains(allowed, name) {
			t.Errorf("tjfoc.%s is used", name)
		}
	}
	if len(used) != len(allowed) {
		t.Errorf("the second library is used for %v", used)
	}
}

// Rule 4: nothing that callers can reach takes or gives a digest.
func TestNoDigestInInterface(t *testing.T) {
	for _, file := range sources(t) {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			for _, field := range f.Type.Params.List {
				for _, name := range field.Names {
					if n := strings.ToLower(name.Name); n == "e" || strings.Contains(n, "digest") || strings.Contains(n, "hash") {
						t.Errorf("%s has the parameter %s", f.Name.Name, name.Name)
					}
				}
			}
		}
	}
}

// sources parses the files of this package, without tests, by name.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*ast.File{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = file
	}
	if files["library.go"] == nil {
		t.Fatal("there is no library.go")
	}
	return files
}

func imports(file *ast.File) []string {
	var paths []string
	for _, i := range file.Imports {
		if path, err := strconv.Unquote(i.Path.Value); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}
