package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cunzheng/crypto/sm3"
)

// command runs one command line in this process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// initNode makes a node in a folder of its own.
func initNode(t *testing.T, flags ...string) (dir string) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	dir = filepath.Join(t.TempDir(), "node")
	if code, _, errs := command(t, append([]string{"init", "--data", dir}, flags...)...); code != exitOK {
		t.Fatal(errs)
	}
	return dir
}

// TestFsckAfterKill: what an upload leaves when its server is killed is no damage. It is named, and the next start
// removes it.
func TestFsckAfterKill(t *testing.T) {
	dir := initNode(t)
	const id = "XM-350200-NOT01-20261123-00000001-7"
	sum := sm3.Sum([]byte(id))
	folder := filepath.Join(dir, originalsDir, fmt.Sprintf("%02x", sum[0]))
	partial := filepath.Join(folder, id+".123456.tmp")
	stray := filepath.Join(folder, "stray.1.tmp")
	if err := errors.Join(
		os.MkdirAll(folder, 0o700),
		os.WriteFile(filepath.Join(dir, intentsDir, id+".intent"), nil, 0o600),
		os.WriteFile(partial, []byte("half"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	code, out, errs := command(t, "fsck", "--data", dir, "--originals")
	if code != exitOK || !strings.HasPrefix(out, "clean: ") || strings.Count(errs, id) != 1 || !strings.Contains(errs, "next start") {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	code, out, errs = command(t, "fsck", "--data", dir, "--originals", "--json")
	if code != exitOK || out != "" || !strings.Contains(errs, id) {
		t.Errorf("--json: %d\n%s\n%s", code, out, errs)
	}

	// What no upload accounts for is a difference still.
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := command(t, "fsck", "--data", dir, "--originals"); code != exitError || !strings.Contains(out, "stray.1.tmp") || strings.Contains(out, id) {
		t.Errorf("%d\n%s", code, out)
	}
	if err := os.Remove(stray); err != nil {
		t.Fatal(err)
	}

	n, err := openNode(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(partial); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the next start: %v", err)
	}
}
