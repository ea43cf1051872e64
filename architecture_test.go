// Package cunzheng_test holds the rules of the whole module: who may import whom.
package cunzheng_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

type goPackage struct {
	ImportPath   string
	Imports      []string
	Deps         []string
	TestImports  []string
	XTestImports []string
}

func list(t *testing.T, patterns ...string) []goPackage {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-deps=false", "-json=ImportPath,Imports,Deps,TestImports,XTestImports"}, patterns...)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// layers names, for each folder, what of the module it may import. A longer prefix wins over a shorter one.
// The order is the order of dependency: nothing imports what stands below it.
var layers = []struct {
	folder string
	allows []string
}{
	{"crypto", []string{"crypto"}},
	{"keystore", []string{"crypto"}},
	{"ledger/tlog", []string{"crypto"}},
	{"ledger/checkpoint", []string{"crypto", "ledger/tlog"}},
	{"ledger/blockproof", []string{"crypto", "ledger/tlog", "ledger/checkpoint"}},
	{"ledger", []string{"crypto", "ledger/tlog", "ledger/checkpoint"}},
	{"chaincode", []string{"crypto", "ledger/tlog", "ledger/checkpoint", "chaincode"}},
	{"ledger/anchor", []string{"crypto", "ledger/tlog", "ledger/checkpoint", "ledger/blockproof", "ledger/anchor", "chaincode"}},
	{"evidence", []string{"crypto", "ledger/tlog", "ledger/checkpoint", "ledger/blockproof", "evidence"}},
	{"notary", []string{"crypto", "keystore", "ledger", "evidence", "notary"}},
	{"notary/consortium/consortiumtest", []string{"crypto", "keystore", "ledger", "evidence", "notary", "api"}}, // for tests only: whole nodes
	{"api", []string{"crypto", "notary", "evidence", "api"}},
	{"api/token", []string{"crypto", "api/internal"}},
	{"api/wire", []string{"evidence"}},
	{"api/client", []string{"crypto", "evidence", "api/wire", "api/token"}},
	{"deploy", []string{"deploy"}},
	{"cmd", []string{""}},
}

func TestImportRules(t *testing.T) {
	const module = "cunzheng/"
	for _, p := range list(t, "./...") {
		path, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		layer := -1
		for i, l := range layers {
			if within(path, l.folder) && (layer < 0 || len(l.folder) > len(layers[layer].folder)) {
				layer = i
			}
		}
		if layer < 0 {
			t.Errorf("%s stands in no folder of the layout (architecture: layers)", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			imported, ours := strings.CutPrefix(imported, module)
			if ours && !slices.ContainsFunc(layers[layer].allows, func(folder string) bool { return within(imported, folder) }) {
				t.Errorf("%s imports %s: %s may import only %q of the module", path, imported, layers[layer].folder, layers[layer].allows)
			}
		}
	}
}

func within(path, folder string) bool {
	return folder == "" || path == folder || strings.HasPrefix(path, folder+"/")
}

// TestCourtVerifierIsSmall holds that the verifier a court runs links no database, no server and no network client.
func TestCourtVerifierIsSmall(t *testing.T) {
	forbidden := []string{
		"github.com/cockroachdb/pebble", "github.com/labstack/echo", "github.com/hyperledger",
		"gocloud.dev", "google.golang.org/grpc", "net/http", "cunzheng/ledger", "cunzheng/notary", "cunzheng/keystore",
	}
	allowed := []string{"cunzheng/ledger/tlog", "cunzheng/ledger/checkpoint", "cunzheng/ledger/blockproof"}
	for _, p := range list(t, "./cmd/cunzheng-verify", "./evidence") {
		for _, dep := range p.Deps {
			if slices.Contains(allowed, dep) {
				continue
			}
			for _, f := range forbidden {
				if within(dep, f) {
					t.Errorf("%s links %s", p.ImportPath, dep)
				}
			}
		}
	}
}

// TestOneProtobufGeneration holds that no binary links both generations of the Fabric messages: they register the
// same names, and such a binary panics at start.
func TestOneProtobufGeneration(t *testing.T) {
	for _, p := range list(t, "./cmd/...") {
		old := slices.ContainsFunc(p.Deps, func(d string) bool { return within(d, "github.com/hyperledger/fabric-protos-go") })
		current := slices.ContainsFunc(p.Deps, func(d string) bool { return within(d, "github.com/hyperledger/fabric-protos-go-apiv2") })
		if old && current {
			t.Errorf("%s links both generations of the Fabric protobufs", p.ImportPath)
		}
	}
}
