//go:build unix

package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// sleeper is a process that lives until it is stopped.
func sleeper(t *testing.T) command {
	t.Helper()
	path, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	return command{path: path, args: []string{"600"}, dir: t.TempDir()}
}

func mustRun(t *testing.T, l layout, name string) int {
	t.Helper()
	pid, err := l.running(name)
	if pid == 0 || err != nil {
		t.Fatalf("%s does not run: %v", name, err)
	}
	return pid
}

func mustNotRun(t *testing.T, l layout, name string) {
	t.Helper()
	if pid, err := l.running(name); pid != 0 || err != nil {
		t.Fatalf("%s runs as %d: %v", name, pid, err)
	}
}

func TestStartAndStop(t *testing.T) {
	l := layout(t.TempDir())
	mustNotRun(t, l, "peer.a")
	if err := l.stop(t.Context(), "peer.a"); err != nil {
		t.Errorf("stopping what never ran: %v", err)
	}
	if err := l.start("peer.a", sleeper(t), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.kill(context.Background(), "peer.a") })
	pid := mustRun(t, l, "peer.a")
	if err := l.start("peer.a", sleeper(t), nil); !errors.Is(err, errRunning) {
		t.Errorf("started twice: %v", err)
	}
	if again := mustRun(t, l, "peer.a"); again != pid {
		t.Errorf("pid changed from %d to %d", pid, again)
	}
	if err := l.stop(t.Context(), "peer.a"); err != nil {
		t.Fatal(err)
	}
	mustNotRun(t, l, "peer.a")
}

// TestStopsNoStranger: after a crash of the machine, a pid file may hold the number of somebody else's process.
func TestStopsNoStranger(t *testing.T) {
	l := layout(t.TempDir())
	stranger := exec.Command(sleeper(t).path, "600")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stranger.Process.Kill(); stranger.Wait() })
	if err := writeFile(l.pid("peer.a"), fmt.Appendf(nil, "%d\n", stranger.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	mustNotRun(t, l, "peer.a")
	if err := l.stop(t.Context(), "peer.a"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.kill(t.Context(), "peer.a"); err != nil {
		t.Fatal(err)
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the stranger is gone: %v", err)
	}
}

// TestStartForgetsEarlierProcess: from the moment a start holds the pid file, the number in it is not an earlier one's.
func TestStartForgetsEarlierProcess(t *testing.T) {
	l := layout(t.TempDir())
	if err := writeFile(l.pid("peer.a"), []byte("12345678\n")); err != nil {
		t.Fatal(err)
	}
	broken := sleeper(t)
	broken.path += "-none"
	if err := l.start("peer.a", broken, nil); err == nil {
		t.Fatal("started what is not there")
	}
	mustNotRun(t, l, "peer.a")
	if text, err := os.ReadFile(l.pid("peer.a")); err != nil || len(text) > 0 {
		t.Errorf("pid file holds %q, %v", text, err)
	}
	// A file that is held by one which has not written its number yet names nobody.
	file, err := tryLock(l.pid("peer.a"), lockExclusive)
	if err != nil || file == nil {
		t.Fatal(err)
	}
	defer file.Close()
	if pid, err := l.running("peer.a"); pid != 0 || err == nil {
		t.Errorf("running as %d, %v", pid, err)
	}
}

// TestTiedProcessDies runs a second copy of this test program that starts a tied process and is then killed.
func TestTiedProcessDies(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ties processes")
	}
	l := layout(t.TempDir())
	parent := exec.Command(os.Args[0], "-test.run=^TestTiedParent$", "-test.v")
	parent.Env = append(os.Environ(), "TIED_DIR="+string(l))
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(output); lines.Scan() && !strings.Contains(lines.Text(), "started"); {
	}
	mustRun(t, l, "peer.a")
	parent.Process.Kill()
	parent.Wait()
	if err := l.waitGone(t.Context(), "peer.a"); err != nil {
		t.Error(err)
	}
}

// TestTiedParent is the other side of TestTiedProcessDies.
func TestTiedParent(t *testing.T) {
	dir := os.Getenv("TIED_DIR")
	if dir == "" {
		t.Skip("for TestTiedProcessDies only")
	}
	if err := layout(dir).start("peer.a", sleeper(t), newTether()); err != nil {
		t.Fatal(err)
	}
	fmt.Println("started")
	select {}
}

func TestTetherCut(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ties processes")
	}
	l, tether := layout(t.TempDir()), newTether()
	if err := l.start("peer.a", sleeper(t), tether); err != nil {
		t.Fatal(err)
	}
	tether.cut()
	if err := l.waitGone(t.Context(), "peer.a"); err != nil {
		t.Error(err)
	}
	if err := l.start("peer.b", sleeper(t), tether); err == nil {
		t.Error("a cut tether started a process")
	}
	mustNotRun(t, l, "peer.b")
}

// TestTail: an error shows why a process ended, not the end of a long stack.
func TestTail(t *testing.T) {
	l := layout(t.TempDir())
	stack := strings.Repeat("\tsome/file.go:1 +0x1\n", 40)
	for name, test := range map[string]struct{ log, first string }{
		"none":      {"", ""},
		"short":     {"one\ntwo\n", "one"},
		"long":      {strings.Repeat("early\n", 100) + "15\n" + strings.Repeat("late\n", tailLines-1), "15"},
		"panic":     {"early\npanic: port is taken\n\n" + stack, "panic: port is taken"},
		"panic old": {"panic: first\n" + stack + "panic: second\n" + stack, "panic: second"},
		"huge":      {strings.Repeat("early\n", tailBytes) + "panic: at the end\n", "panic: at the end"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := writeFile(l.log("peer.a"), []byte(test.log)); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(l.tail("peer.a"), "\n")
			if lines[0] != test.first || len(lines) > tailLines {
				t.Errorf("%d lines from %q, want %q", len(lines), lines[0], test.first)
			}
		})
	}
}

func TestCleanLeavesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	l := layout(dir)
	n := &Network{Consortium: Default(7050), files: l}
	if err := n.adopt(); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "mine.txt")
	if err := writeFile(other, nil); err != nil {
		t.Fatal(err)
	}
	if err := n.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "mine.txt" {
		t.Errorf("left: %v, %v", entries, err)
	}
}
