package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFullDisk fills the disk of a running node up to the log's reserve: the node says that it is not ready and why,
// refuses deposits, and takes them again without a restart when there is room.
func TestFullDisk(t *testing.T) {
	n := newTestNode(t)
	small := filepath.Join(n.dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=640m"); err != nil {
		t.Skipf("mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, 0); err != nil {
			t.Error(err)
		}
	})
	n.run("cunzheng", "init", "--data", "small/node")
	if err := os.Rename(filepath.Join(n.dir, "node"), filepath.Join(n.dir, "aside")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("small/node", filepath.Join(n.dir, "node")); err != nil {
		t.Fatal(err)
	}
	n.start()
	t.Cleanup(func() { // before the file system goes
		n.server.stop(syscall.SIGKILL)
		n.server = nil
	})
	if status, log := n.readiness(); status != http.StatusOK || !log.OK {
		t.Fatalf("%d, %+v", status, log)
	}
	ballast, err := os.Create(filepath.Join(small, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	var room syscall.Statfs_t
	if err := syscall.Statfs(small, &room); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Fallocate(int(ballast.Fd()), 0, 0, int64(room.Bavail)*room.Bsize-100<<20); err != nil {
		t.Fatal(err)
	}
	n.waitReadiness(http.StatusServiceUnavailable)
	if _, log := n.readiness(); log.OK || !strings.Contains(log.EN, "disk") || !strings.Contains(log.ZH, "磁盘") {
		t.Errorf("%+v", log)
	}
	file := filepath.Join(n.dir, "contract.txt")
	if err := os.WriteFile(file, []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := n.command("cunzheng", "deposit", "--digest-only", file).CombinedOutput(); err == nil || !strings.Contains(string(out), "STORE_FULL") {
		t.Errorf("deposit on a full disk: %v\n%s", err, out)
	}
	if err := os.Remove(ballast.Name()); err != nil {
		t.Fatal(err)
	}
	ballast.Close()
	n.waitReadiness(http.StatusOK)
	n.run("cunzheng", "deposit", "--digest-only", file) // originals leave twice as much free
}

// logReadiness is what /readyz says about the log.
type logReadiness struct {
	Name   string
	OK     bool
	ZH, EN string
}

func (n *testNode) readiness() (status int, log logReadiness) {
	n.t.Helper()
	response, err := http.Get(n.server.url + "/readyz")
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Checks []logReadiness }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		n.t.Fatal(err)
	}
	for _, c := range answer.Checks {
		if c.Name == "log" {
			return response.StatusCode, c
		}
	}
	n.t.Fatalf("no check of the log: %+v", answer)
	return 0, logReadiness{}
}

func (n *testNode) waitReadiness(want int) {
	n.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		status, log := n.readiness()
		if status == want {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("still %d, %+v", status, log)
		}
	}
}
