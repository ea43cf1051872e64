//go:build unix

package network

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// These tests run the real thing. They build Fabric's binaries if nobody has yet.

// netTimeout bounds a test against a network that hangs; it is no measure of its speed.
const netTimeout = 10 * time.Minute

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), netTimeout)
	t.Cleanup(cancel)
	return ctx
}

func testPorts(t *testing.T) int {
	t.Helper()
	port, release, err := FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return port
}

func TestFreePortsAreDifferent(t *testing.T) {
	if a, b := testPorts(t), testPorts(t); a == b {
		t.Errorf("%d was given out twice", a)
	}
}

// TestNetwork takes one network through its life.
func TestNetwork(t *testing.T) {
	ctx := testContext(t)
	dir, c := filepath.Join(t.TempDir(), "fabric"), Default(testPorts(t))
	options := Options{Tied: true, Progress: t.Output()}
	t.Cleanup(func() { takeDown(t, dir) })

	interrupt(ctx, t, dir, c, "joining channel")
	interrupt(ctx, t, dir, c, "committing")
	n, err := Up(ctx, dir, c, options)
	if err != nil {
		t.Fatal(err)
	}
	before := mustBeReady(ctx, t, n)
	again, err := Up(ctx, dir, c, options)
	if err != nil {
		t.Fatalf("up again: %v", err)
	}
	after := mustBeReady(ctx, t, again)
	for i := range before {
		if before[i].PID != after[i].PID {
			t.Errorf("%s was started again", before[i].Name)
		}
	}

	t.Run("config block", func(t *testing.T) { configBlock(ctx, t, n) })
	for _, name := range []string{"orderer.notary", "peer.bureau", "chaincode.health"} {
		t.Run("kill "+name, func(t *testing.T) { killAndStart(ctx, t, n, name) })
	}
	t.Run("no such process", func(t *testing.T) {
		if n.Kill("peer.nobody") == nil || n.Start(ctx, "orderer") == nil {
			t.Error("killed or started what is not there")
		}
	})
	t.Run("another consortium", func(t *testing.T) {
		other := Default(testPorts(t))
		if _, err := Up(ctx, dir, other, options); !errors.Is(err, ErrOtherNetwork) {
			t.Errorf("up: %v", err)
		}
		mustBeReady(ctx, t, n)
	})
	t.Run("new version of the chaincode", func(t *testing.T) {
		c.Chaincode.Version = "1.1"
		if n, err = Up(ctx, dir, c, options); err != nil {
			t.Fatal(err)
		}
		if got, err := n.committed(ctx); err != nil || got != (definition{Sequence: 2, Version: "1.1"}) {
			t.Errorf("committed: %+v, %v", got, err)
		}
		mustBeReady(ctx, t, n)
	})
	t.Run("down and up", func(t *testing.T) {
		if err := n.Down(ctx); err != nil {
			t.Fatal(err)
		}
		mustBeDown(ctx, t, dir)
		if n, err = Up(ctx, dir, c, options); err != nil {
			t.Fatal(err)
		}
		mustBeReady(ctx, t, n)
	})
	if err := n.Clean(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	for _, o := range c.Organisations {
		for _, e := range o.endpoints() {
			if err := canListen(e.address()); err != nil {
				t.Errorf("somebody still listens: %v", err)
			}
		}
	}
}

// takeDown leaves nothing running when a test has failed half-way.
func takeDown(t *testing.T, dir string) {
	n, err := Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err == nil {
		err = n.Down(context.Background())
	}
	if err != nil {
		t.Error(err)
	}
}

// interrupt runs Up until its progress says where, and checks that nothing is left running.
func interrupt(ctx context.Context, t *testing.T, dir string, c Consortium, where string) {
	t.Helper()
	interrupted, cancel := context.WithCancel(ctx)
	defer cancel()
	progress := &trap{Writer: t.Output(), word: where, spring: cancel}
	if _, err := Up(interrupted, dir, c, Options{Tied: true, Progress: progress}); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted at %q: %v", where, err)
	}
	mustBeDown(ctx, t, dir)
}

// trap is a writer that acts when a word passes.
type trap struct {
	io.Writer
	word   string
	spring func()
}

func (w *trap) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.word)) {
		w.spring()
	}
	return w.Writer.Write(p)
}

func mustBeReady(ctx context.Context, t *testing.T, n *Network) []Status {
	t.Helper()
	statuses, err := n.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statuses {
		if !s.Running || !s.Ready || s.PID == 0 {
			t.Errorf("%s: %+v", s.Name, s)
		}
	}
	if len(statuses) != 3*len(n.Consortium.Organisations) {
		t.Errorf("%d processes", len(statuses))
	}
	for _, o := range n.Consortium.Organisations {
		if err := n.answers(ctx, o); err != nil {
			t.Errorf("query at %s: %v", o.ID, err)
		}
	}
	return statuses
}

func mustBeDown(ctx context.Context, t *testing.T, dir string) {
	t.Helper()
	n, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	statuses, err := n.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statuses {
		if s.Running || s.Ready || s.Problem == "" {
			t.Errorf("%s: %+v", s.Name, s)
		}
	}
}

func configBlock(ctx context.Context, t *testing.T, n *Network) {
	block, err := n.ConfigBlock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{n.Consortium.Channel, "NotaryMSP", "CourtMSP"} {
		if !bytes.Contains(block, []byte(word)) {
			t.Errorf("the configuration block does not name %s", word)
		}
	}
}

func killAndStart(ctx context.Context, t *testing.T, n *Network, name string) {
	if err := n.Start(ctx, name); err == nil {
		t.Error("started what runs")
	}
	if err := n.Kill(name); err != nil {
		t.Fatal(err)
	}
	if n.runs(name) {
		t.Error("still runs")
	}
	if err := n.Kill(name); err == nil {
		t.Error("killed what does not run")
	}
	// Another process of the operator opens the folder, as `fabric up` or a drill does.
	opened, err := Open(string(n.files))
	if err != nil {
		t.Fatal(err)
	}
	opened.options.Tied = true
	if err := opened.Start(ctx, name); err != nil {
		t.Fatal(err)
	}
	mustBeReady(ctx, t, n)
	t.Cleanup(func() { // the tether goes with the value that holds it
		if err := opened.Kill(name); err != nil {
			t.Error(err)
		}
		opened.untie()
		if err := n.Start(ctx, name); err != nil {
			t.Error(err)
		}
	})
}

// TestUpSaysWhichPortIsTaken, before it starts anything.
func TestUpSaysWhichPortIsTaken(t *testing.T) {
	ctx := testContext(t)
	dir, c := t.TempDir(), Default(testPorts(t))
	address := peerAddress(c.Organisations[2])
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, err = Up(ctx, dir, c, Options{Tied: true, Progress: t.Output(), Chaincode: os.Args[0]})
	var taken *PortError
	if !errors.As(err, &taken) || *taken != (PortError{address, "peer.health"}) {
		t.Errorf("up: %v", err)
	}
	if logs, err := os.ReadDir(filepath.Join(dir, "logs")); err == nil {
		t.Errorf("something was started: %v", logs)
	}
}

// TestUpCleansUpAfterFailure: the error shows the log of the process that failed, and the others are stopped.
func TestUpCleansUpAfterFailure(t *testing.T) {
	ctx := testContext(t)
	dir, c := t.TempDir(), Default(testPorts(t))
	t.Cleanup(func() { takeDown(t, dir) })
	broken := filepath.Join(t.TempDir(), "chaincode")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho no contract here\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Up(ctx, dir, c, Options{Tied: true, Progress: t.Output(), Chaincode: broken})
	if err == nil || !strings.Contains(err.Error(), "no contract here") || !strings.Contains(err.Error(), "chaincode.") {
		t.Errorf("up: %v", err)
	}
	mustBeDown(ctx, t, dir)
}

// TestOneCommandAtATime: two that work on one folder would undo each other's work.
func TestOneCommandAtATime(t *testing.T) {
	dir := t.TempDir()
	unlock, err := layout(dir).occupy()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Up(t.Context(), dir, Default(7050), Options{}); err == nil || !strings.Contains(err.Error(), "at work") {
		t.Errorf("up: %v", err)
	}
	unlock()
	if again, err := layout(dir).occupy(); err != nil {
		t.Error(err)
	} else {
		again()
	}
}
