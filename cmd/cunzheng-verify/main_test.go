package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cunzheng-verify": main})
}

// TestScripts runs the command as its users do, over the published vectors.
func TestScripts(t *testing.T) {
	vectors, err := filepath.Abs("../../testdata/vectors")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("V", vectors)
			env.Setenv("LANG", "C")
			return nil
		},
		// exits CODE COMMAND… holds the exit code of a command.
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				if len(args) < 2 {
					ts.Fatalf("usage: exits CODE COMMAND…")
				}
				want := args[0]
				err := ts.Exec(args[1], args[2:]...)
				got := "0"
				if exit := (*exec.ExitError)(nil); err != nil {
					if !asExit(err, &exit) {
						ts.Fatalf("%v", err)
					}
					got = strings.TrimPrefix(exit.Error(), "exit status ")
				}
				if got != want {
					ts.Fatalf("exit code %s, want %s", got, want)
				}
			},
		},
	})
}

func asExit(err error, exit **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*exit = e
	return ok
}

// TestStaticBinary builds the command as it is shipped and holds that it stands alone and stays small.
func TestStaticBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command")
	}
	path := filepath.Join(t.TempDir(), "cunzheng-verify")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 12<<20 {
		t.Errorf("%d bytes: something large was linked", info.Size())
	}
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(deps)) {
		dep = strings.TrimSpace(dep)
		// X.509 brings the package net for its addresses; what would speak on a network is not there.
		for _, forbidden := range []string{"github.com/cockroachdb", "github.com/labstack", "github.com/hyperledger", "gocloud.dev",
			"google.golang.org/grpc", "google.golang.org/protobuf/proto", "google.golang.org/protobuf/reflect", "net/http", "crypto/tls"} {
			if dep == forbidden || strings.HasPrefix(dep, forbidden+"/") {
				t.Errorf("links %s", dep)
			}
		}
	}
}
