//go:build unix

package network

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Version is the release of Hyperledger Fabric that the tool module pins and [Build] builds.
const Version = "3.1.1"

// fabricModule is the release in the form that the Go module proxy knows: Fabric's module path has no major version.
const fabricModule = "github.com/hyperledger/fabric"

// The binaries that a network runs, and the two that an operator needs to change its configuration.
var (
	networkTools  = []string{"peer", "orderer", "configtxgen", "discover"}
	operatorTools = []string{"configtxlator", "osnadmin"}
)

// stampFile records what the binaries in a folder were built from.
const stampFile = "built"

// DefaultBinaries is where the binaries of this version are built unless told otherwise: a folder of the source tree
// that git ignores. The working folder must be inside the source tree.
func DefaultBinaries(ctx context.Context) (string, error) {
	root, err := sourceTree(ctx)
	return filepath.Join(root, "bin", "fabric", Version), err
}

// Build builds the pinned binaries into dir, once: a folder that holds them already is left as it is. Concurrent calls,
// also of other processes, wait for one another. Without a build cache it takes a minute or two.
func Build(ctx context.Context, dir string, progress io.Writer) error {
	root, err := sourceTree(ctx)
	if err != nil {
		return err
	}
	tools := filepath.Join(root, "deploy", "fabric", "tools")
	stamp, err := buildStamp(tools)
	if err != nil {
		return err
	}
	if built(dir, stamp) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if built(dir, stamp) { // by whoever held the lock
		return nil
	}
	fmt.Fprintf(progress, "building Fabric %s, once; a minute or two · 首次构建 Fabric %[1]s，约一两分钟\n", Version)
	arguments := []string{"build", "-trimpath", "-ldflags", "-s -w -X " + fabricModule + "/common/metadata.Version=v" + Version, "-o", dir + string(filepath.Separator)}
	for _, name := range append(networkTools, operatorTools...) {
		arguments = append(arguments, fabricModule+"/cmd/"+name)
	}
	if err := goBuild(ctx, tools, arguments...); err != nil {
		return fmt.Errorf("building Fabric: %w", err)
	}
	return writeFile(filepath.Join(dir, stampFile), stamp)
}

// buildStamp says what a build depends on: the pinned modules. It is empty of paths, so that a folder can be shared.
func buildStamp(tools string) ([]byte, error) {
	hash := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(tools, name))
		if err != nil {
			return nil, err
		}
		hash.Write(data)
	}
	return fmt.Appendf(nil, "fabric %s %x\n", Version, hash.Sum(nil)), nil
}

func built(dir string, stamp []byte) bool {
	found, err := os.ReadFile(filepath.Join(dir, stampFile))
	return err == nil && bytes.Equal(found, stamp)
}

// buildChaincode builds cunzheng-chaincode into the network's folder and returns its path. Before it replaces another
// build it calls changed, so that no server goes on with the old one unnoticed.
func (l layout) buildChaincode(ctx context.Context, changed func() error) (string, error) {
	root, err := sourceTree(ctx)
	if err != nil {
		return "", err
	}
	path := l.join("channel", "cunzheng-chaincode")
	draft := path + ".new"
	if err := goBuild(ctx, root, "build", "-trimpath", "-buildvcs=false", "-o", draft, "./cmd/cunzheng-chaincode"); err != nil {
		return "", fmt.Errorf("building the chaincode: %w", err)
	}
	if same, err := sameFile(draft, path); same || err != nil {
		return path, errors.Join(err, os.Remove(draft))
	}
	if err := changed(); err != nil {
		return "", err
	}
	return path, os.Rename(draft, path)
}

func sameFile(a, b string) (bool, error) {
	before, err := os.ReadFile(b)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	after, err := os.ReadFile(a)
	return bytes.Equal(before, after), err
}

func goBuild(ctx context.Context, dir string, arguments ...string) error {
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	return nil
}

// sourceTree is the root of this module's source, from which binaries are built.
func sourceTree(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "cunzheng").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return "", fmt.Errorf("the source tree of cunzheng, from which Fabric is built, is not around the working folder: %w", err)
	}
	root := strings.TrimSpace(string(output))
	if _, err := os.Stat(filepath.Join(root, "deploy", "fabric", "tools", "go.mod")); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s has no deploy/fabric/tools: the source tree is not complete", root)
	}
	return root, nil
}
