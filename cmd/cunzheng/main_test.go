package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cunzheng/cmd/internal/verifier"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"cunzheng": main,
		"cunzheng-verify": func() {
			c := verifier.Command{Name: "cunzheng-verify", Version: version, Getenv: os.Getenv, Now: time.Now}
			os.Exit(c.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// TestScripts runs the command as its users do: a real node, a real server on a port of its own, real files.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir+"/home")
			env.Setenv("XDG_CONFIG_HOME", env.WorkDir+"/home/.config")
			env.Setenv("LANG", "C")
			env.Values[serverKey{}] = &server{}
			env.Defer(func() { env.Values[serverKey{}].(*server).stop(syscall.SIGKILL) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "serve": serveInScript, "stop": stopInScript, "number": numberInScript,
		},
	})
}

// exits CODE COMMAND… runs a command and holds its exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = strings.TrimPrefix(exit.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

type serverKey struct{}

// server is a running `cunzheng serve`.
type server struct {
	process *exec.Cmd
	url     string
}

// startServer runs `cunzheng serve` on a free port of the loopback interface and waits until it listens.
func startServer(env []string, dir, data string, log *os.File, args ...string) (*server, error) {
	cmd := exec.Command("cunzheng", append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, args...)...)
	for _, e := range env { // the script's PATH finds the test binary under the command's name
		if path, ok := strings.CutPrefix(e, "PATH="); ok {
			if found, err := lookIn(path, "cunzheng"); err == nil {
				cmd.Path, cmd.Err = found, nil
			}
		}
	}
	cmd.Env, cmd.Dir, cmd.Stderr = env, dir, log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{process: cmd}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, address, found := strings.Cut(lines.Text(), "--server "); found {
			s.url = address
			return s, nil
		}
	}
	return nil, fmt.Errorf("the server ended before it listened: %v", cmd.Wait())
}

func lookIn(path, name string) (string, error) {
	for _, dir := range strings.Split(path, string(os.PathListSeparator)) {
		candidate := dir + string(os.PathSeparator) + name
		if _, err := os.Stat(candidate); err == nil {
			return candidate, nil
		}
	}
	return "", exec.ErrNotFound
}

// stop sends a signal and waits for the end.
func (s *server) stop(signal os.Signal) error {
	if s.process == nil {
		return nil
	}
	if err := s.process.Process.Signal(signal); err != nil {
		return err
	}
	err := s.process.Wait()
	s.process = nil
	return err
}

// serveInScript: serve DATA starts a server and sets CUNZHENG_SERVER; its log goes to server.log.
func serveInScript(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: serve DATA [FLAG…]")
	}
	log, err := os.OpenFile(ts.MkAbs("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer log.Close()
	var env []string
	for _, name := range []string{"PATH", "HOME", "XDG_CONFIG_HOME", "LANG", "TMPDIR", passphraseEnv} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	started, err := startServer(env, ts.MkAbs("."), args[0], log, args[1:]...)
	if neg {
		if err == nil {
			started.stop(syscall.SIGKILL)
			ts.Fatalf("the server started")
		}
		return
	}
	ts.Check(err)
	*ts.Value(serverKey{}).(*server) = *started
	ts.Setenv(serverEnv, started.url)
}

// stopInScript: stop [kill] ends the server, orderly or by SIGKILL.
func stopInScript(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value(serverKey{}).(*server)
	if len(args) == 1 && args[0] == "kill" {
		s.stop(syscall.SIGKILL) // its exit status is that of a killed process
		return
	}
	if err := s.stop(syscall.SIGTERM); err != nil {
		ts.Fatalf("the server did not stop orderly: %v", err)
	}
}

// numberInScript: number NAME takes the number out of the last command's JSON and puts it into a variable.
func numberInScript(ts *testscript.TestScript, _ bool, args []string) {
	_, rest, found := strings.Cut(ts.ReadFile("stdout"), `"number":"`)
	number, _, ended := strings.Cut(rest, `"`)
	if !found || !ended || len(args) != 1 {
		ts.Fatalf("no number in the output")
	}
	ts.Setenv(args[0], number)
}
