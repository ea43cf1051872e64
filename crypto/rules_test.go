package crypto

import (
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"math/big"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
	tjsm2 "github.com/tjfoc/gmsm/sm2"
	tjx509 "github.com/tjfoc/gmsm/x509"
	"golang.org/x/mod/modfile"

	"cunzheng/crypto/internal/openssltest"
	"cunzheng/crypto/sm2"
)

const (
	moduleRoot     = ".."
	emmansunModule = "github.com/emmansun/gmsm"
	tjfocModule    = "github.com/tjfoc/gmsm"
)

// Rule 7, and the source side of rule 8, for every Go file of the module.
func TestImports(t *testing.T) {
	files := 0
	err := filepath.WalkDir(moduleRoot, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err = filepath.Rel(moduleRoot, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			skip := name == "vendor" || entry.Name() == "testdata" || entry.Name() == "node_modules" || len(name) > 1 && strings.HasPrefix(entry.Name(), ".")
			if _, err := os.Stat(filepath.Join(moduleRoot, name, "go.mod")); name != "." && err == nil {
				skip = true // another module
			}
			if skip {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(moduleRoot, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		for _, v := range violations(filepath.ToSlash(name), file) {
			t.Errorf("%s: %s", name, v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Errorf("only %d files were found: this test does not look where the module is", files)
	}
}

// violations returns what a file of the module must not do with the libraries.
// The name is its path from the root of the module.
func violations(name string, file *ast.File) []string {
	var found []string
	report := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }

	aliases := map[string]string{} // what the file calls the packages of tjfoc
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		library, isTjfoc := strings.CutPrefix(imported, tjfocModule+"/")
		if !isTjfoc && !strings.HasPrefix(imported, emmansunModule+"/") {
			continue
		}
		if !strings.HasPrefix(name, "crypto/") {
			report("imports %s; only crypto may", imported)
		}
		if !isTjfoc {
			continue
		}
		switch {
		case library == "sm2", library == "sm3":
		case library == "x509" && strings.HasSuffix(name, "_test.go"):
		default:
			report("imports %s, which is broken", imported)
		}
		alias := path.Base(imported)
		if spec.Name != nil {
			alias = spec.Name.Name
		}
		if alias == "." {
			report("imports %s without its name, which hides what is used of it", imported)
		}
		aliases[alias] = library
	}
	if len(aliases) == 0 {
		return found
	}

	ofTjfoc := func(node ast.Node, library string, names ...string) bool {
		s, ok := node.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		x, ok := s.X.(*ast.Ident)
		return ok && aliases[x.Name] == library && slices.Contains(names, s.Sel.Name)
	}
	contains := func(node ast.Node, match func(ast.Node) bool) bool {
		hit := false
		ast.Inspect(node, func(n ast.Node) bool {
			hit = hit || n != nil && match(n)
			return !hit
		})
		return hit
	}
	hashes := map[string]bool{} // variables that hold a hash of tjfoc
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.SelectorExpr:
			if n.Sel.Name == "Sm3Digest" {
				report("uses Sm3Digest, which drops leading zero bytes")
			}
			if ofTjfoc(n, "sm2", "Decompress") || ofTjfoc(n, "x509", "ParseSm2PublicKey", "ReadPublicKeyFromHex", "ReadPublicKeyFromPem") {
				report("uses %s, which accepts or panics on points off the curve", n.Sel.Name)
			}
		case *ast.AssignStmt:
			for i, right := range n.Rhs {
				if len(n.Lhs) != len(n.Rhs) || !contains(right, func(n ast.Node) bool { return ofTjfoc(n, "sm3", "New") }) {
					continue
				}
				if left, ok := n.Lhs[i].(*ast.Ident); ok {
					hashes[left.Name] = true
				}
			}
		case *ast.CallExpr:
			s, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || s.Sel.Name != "Sum" || len(n.Args) != 1 {
				break
			}
			if argument, ok := n.Args[0].(*ast.Ident); ok && argument.Name == "nil" {
				break
			}
			receiver, ok := s.X.(*ast.Ident)
			if ok && hashes[receiver.Name] || contains(s.X, func(n ast.Node) bool { return ofTjfoc(n, "sm3", "New") }) {
				report("calls Sum of tjfoc's SM3 with a prefix, which it hashes instead")
			}
		case *ast.FuncDecl:
			creates := contains(n, func(n ast.Node) bool {
				return ofTjfoc(n, "x509", "CreateCertificate", "CreateCertificateToPem")
			})
			if creates && !contains(n, func(n ast.Node) bool { return ofTjfoc(n, "x509", "SM2WithSM3") }) {
				report("%s creates a certificate without SignatureAlgorithm: SM2WithSM3, which nobody verifies", n.Name.Name)
			}
		}
		return true
	})
	return found
}

// A test of the test above.
func TestViolations(t *testing.T) {
	for _, test := range []struct {
		name, file, source string
		want               int
	}{
		{"allowed", "crypto/sm2/library.go", `import tj "github.com/tjfoc/gmsm/sm2"; var _ = tj.Sm2Verify`, 0},
		{"allowed in tests", "crypto/a_test.go", `import "github.com/tjfoc/gmsm/x509"; var _ x509.Certificate`, 0},
		{"x509 outside of tests", "crypto/a.go", `import "github.com/tjfoc/gmsm/x509"; var _ x509.Certificate`, 1},
		{"outside of crypto", "ledger/a.go", `import "github.com/tjfoc/gmsm/sm3"; var _ = sm3.New`, 1},
		{"outside of crypto, in a test", "ledger/a_test.go", `import "github.com/tjfoc/gmsm/sm3"; var _ = sm3.New`, 1},
		{"first library outside of crypto", "notary/a.go", `import "github.com/emmansun/gmsm/sm2"; var _ = sm2.Sign`, 1},
		{"sm4", "crypto/a.go", `import "github.com/tjfoc/gmsm/sm4"; var _ = sm4.Sm4Cbc`, 1},
		{"gmtls", "crypto/a_test.go", `import "github.com/tjfoc/gmsm/gmtls"; var _ gmtls.Conn`, 1},
		{"pkcs12", "crypto/a_test.go", `import "github.com/tjfoc/gmsm/pkcs12"; var _ = pkcs12.Decode`, 1},
		{"dot import", "crypto/a.go", `import . "github.com/tjfoc/gmsm/sm2"; var _ = Sm2Verify`, 1},
		{"Sm3Digest", "crypto/a.go", `import tj "github.com/tjfoc/gmsm/sm2"; func f(k *tj.PublicKey) { k.Sm3Digest(nil, nil) }`, 1},
		{"Decompress", "crypto/a.go", `import tj "github.com/tjfoc/gmsm/sm2"; var _ = tj.Decompress`, 1},
		{"ParseSm2PublicKey", "crypto/a_test.go", `import "github.com/tjfoc/gmsm/x509"; var _ = x509.ParseSm2PublicKey`, 1},
		{"Sum(nil)", "crypto/a.go", `import tj "github.com/tjfoc/gmsm/sm3"; func f() { h := tj.New(); h.Sum(nil) }`, 0},
		{"Sum(prefix)", "crypto/a.go", `import tj "github.com/tjfoc/gmsm/sm3"; func f(b []byte) { h := tj.New(); h.Sum(b) }`, 1},
		{"Sum(prefix) at once", "crypto/a.go", `import tj "github.com/tjfoc/gmsm/sm3"; func f(b []byte) { tj.New().Sum(b) }`, 1},
		{"HMAC Sum(prefix)", "crypto/a.go", `import tj "github.com/tjfoc/gmsm/sm3"; func f(b []byte) { h := hmac.New(tj.New, b); h.Sum(b) }`, 1},
		{"certificate", "crypto/a_test.go", `import tj "github.com/tjfoc/gmsm/x509"; func f() { tj.CreateCertificate(nil, nil, nil, nil) }`, 1},
		{"certificate with algorithm", "crypto/a_test.go", `import tj "github.com/tjfoc/gmsm/x509"; func f() { _ = tj.SM2WithSM3; tj.CreateCertificate(nil, nil, nil, nil) }`, 0},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), test.file, "package p; "+test.source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := violations(test.file, file); len(got) != test.want {
			t.Errorf("%s: %q, want %d", test.name, got, test.want)
		}
	}
}

// Rule 8: a certificate made by tjfoc is good only if it names its algorithm.
func TestSecondLibraryCertificates(t *testing.T) {
	generated, err := sm2.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	pub := generated.Public().(*sm2.PublicKey)
	pkcs8, err := generated.PKCS8()
	if err != nil {
		t.Fatal(err)
	}
	key := &tjsm2.PrivateKey{D: new(big.Int).SetBytes(pkcs8[36:68])}
	key.Curve = tjsm2.P256Sm2()
	key.X, key.Y = new(big.Int).SetBytes(pub.Point()[1:33]), new(big.Int).SetBytes(pub.Point()[33:])

	create := func(algorithm tjx509.SignatureAlgorithm) *smx509.Certificate {
		template := &tjx509.Certificate{
			SerialNumber: big.NewInt(1),
			Subject:      pkix.Name{CommonName: "test"},
			NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: tjx509.KeyUsageCertSign,
			SignatureAlgorithm: algorithm,
		}
		der, err := tjx509.CreateCertificate(template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := smx509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	good := create(tjx509.SM2WithSM3)
	if err := good.CheckSignatureFrom(good); err != nil {
		t.Errorf("SM2WithSM3: %v", err)
	}
	file := openssltest.File(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good.Raw}))
	openssltest.Run(t, nil, "verify", "-CAfile", file, "-vfyopt", "distid:"+sm2.UserID, file)
	if bad := create(tjx509.UnknownSignatureAlgorithm); bad.CheckSignatureFrom(bad) == nil {
		t.Error("the default is good now: the rule can go")
	}
}

// Rule 10. A change of a version is a change of this test, made after the
// differential tests have passed on the new one.
func TestPinned(t *testing.T) {
	pins := map[string]struct{ version, sum, modSum string }{
		emmansunModule: {"v0.44.1", "h1:zDTkdtLWFG0vCbhPV+k9pte14tix/eK71At9Iai9fP4=", "h1:p6RIUta0/KboFHrOxr1x8q+pd8RZtdaTO7XNp0RmMQM="},
		tjfocModule:    {"v1.4.1", "h1:aMe1GlZb+0bLjn+cKTPEvvn9oUEBlJitaZiiBwsbgho=", "h1:j4INPkHWMrhJb38G+J6W4Tw0AbuN8Thu3PbdVYhVcTE="},
	}
	raw, err := os.ReadFile(filepath.Join(moduleRoot, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	required := map[string]string{}
	for _, r := range mod.Require {
		required[r.Mod.Path] = r.Mod.Version
	}
	for _, r := range mod.Replace {
		if _, pinned := pins[r.Old.Path]; pinned {
			t.Errorf("go.mod replaces %s", r.Old.Path)
		}
	}
	if _, err := os.Stat(filepath.Join(moduleRoot, "go.work")); err == nil {
		t.Error("there is a go.work, which can replace modules")
	}
	sums, err := os.ReadFile(filepath.Join(moduleRoot, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(sums), "\n")
	for name, pin := range pins {
		if required[name] != pin.version {
			t.Errorf("go.mod requires %s %s, want exactly %s", name, required[name], pin.version)
		}
		var got []string
		for _, line := range lines {
			if strings.HasPrefix(line, name+" ") {
				got = append(got, line)
			}
		}
		want := []string{name + " " + pin.version + " " + pin.sum, name + " " + pin.version + "/go.mod " + pin.modSum}
		if !slices.Equal(got, want) {
			t.Errorf("go.sum has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}
