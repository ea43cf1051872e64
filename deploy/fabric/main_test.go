//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cunzheng/deploy/fabric/network"
)

type result struct {
	code           int
	stdout, stderr string
}

func command(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	empty := t.TempDir()
	bad := filepath.Join(t.TempDir(), "consortium.toml")
	if err := os.WriteFile(bad, []byte(`channel = "A"`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"no such command":    {[]string{"start"}, exitUsage, []string{"unknown command", "→ see: fabric --help"}},
		"no such flag":       {[]string{"up", "--ports", "1"}, exitUsage, []string{"--ports", "→ see: fabric up --help"}},
		"an argument":        {[]string{"down", "now"}, exitUsage, []string{"→ usage: fabric down"}},
		"two sources":        {[]string{"up", "--config", bad, "--port", "8000"}, exitUsage, []string{"--config and --port"}},
		"bad consortium":     {[]string{"up", "--dir", empty, "--config", bad}, exitError, []string{bad, "channel"}},
		"no consortium file": {[]string{"up", "--dir", empty, "--config", empty + "/none.toml"}, exitError, []string{"none.toml"}},
		"port too large":     {[]string{"up", "--dir", empty, "--port", "65530"}, exitError, []string{"no port"}},
		"status of nothing":  {[]string{"status", "--dir", empty}, exitError, []string{"no network", "→ make one: fabric up"}},
		"down of nothing":    {[]string{"down", "--dir", empty}, exitError, []string{"no network"}},
		"clean of nothing":   {[]string{"clean", "--dir", empty}, exitError, []string{"no network"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := command(t, test.args...)
			if got.code != test.code {
				t.Errorf("exit code %d, want %d", got.code, test.code)
			}
			for _, want := range test.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("stderr has no %q:\n%s", want, got.stderr)
				}
			}
		})
	}
}

func TestInterruptedIsSaid(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	if code := run(ctx, []string{"up", "--dir", t.TempDir()}, &stdout, &stderr); code != exitError {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("stderr: %s", &stderr)
	}
}

// TestLifeOnTheCommandLine goes through all commands. The network is started by the package first, so that it is tied
// to this test; `up` then finds it running.
func TestLifeOnTheCommandLine(t *testing.T) {
	port, release, err := network.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	dir := filepath.Join(t.TempDir(), "fabric")
	n, err := network.Up(t.Context(), dir, network.Default(port), network.Options{Tied: true, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})

	up := command(t, "up", "--dir", dir)
	if up.code != exitOK || !strings.Contains(up.stdout, n.Profile("court")) || !strings.Contains(up.stderr, "ready") {
		t.Errorf("up: %+v", up)
	}
	if status := command(t, "status", "--dir", dir); status.code != exitOK || strings.Count(status.stdout, "ready") != 12 {
		t.Errorf("status: %+v", status)
	}
	if err := n.Kill("peer.health"); err != nil {
		t.Fatal(err)
	}
	status := command(t, "status", "--dir", dir, "--json")
	var processes []network.Status
	if err := json.Unmarshal([]byte(status.stdout), &processes); err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		if p.Ready == (p.Name == "peer.health") {
			t.Errorf("status: %+v", p)
		}
	}
	if status.code != exitDown {
		t.Errorf("status with a peer missing: exit code %d", status.code)
	}
	if down := command(t, "down", "--dir", dir); down.code != exitOK {
		t.Errorf("down: %+v", down)
	}
	if status := command(t, "status", "--dir", dir); status.code != exitDown || strings.Count(status.stdout, "does not run") != 12 {
		t.Errorf("status after down: %+v", status)
	}
	if clean := command(t, "clean", "--dir", dir); clean.code != exitOK {
		t.Errorf("clean: %+v", clean)
	}
	if again := command(t, "clean", "--dir", dir); again.code != exitError {
		t.Errorf("clean again: %+v", again)
	}
}
