package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cunzheng-chaincode": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		// exits CODE COMMAND… holds the exit code of a command.
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				if len(args) < 2 {
					ts.Fatalf("usage: exits CODE COMMAND…")
				}
				err := ts.Exec(args[1], args[2:]...)
				code := 0
				if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
					code = exit.ExitCode()
				} else if err != nil {
					ts.Fatalf("%v", err)
				}
				if want, err := strconv.Atoi(args[0]); err != nil || code != want {
					ts.Fatalf("exit code %d, want %s", code, args[0])
				}
			},
		},
	})
}

// listening reads the log of a server until it says on which address it listens, and then to its end in the background.
func listening(t *testing.T, log io.Reader) (address string) {
	t.Helper()
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Msg, Address string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("log line %q: %v", lines.Text(), err)
		}
		if line.Msg == "listening" {
			go func() {
				for lines.Scan() {
				}
			}()
			return line.Address
		}
	}
	t.Fatalf("the server ended without listening: %v", lines.Err())
	return ""
}

// TestSignal holds that SIGTERM ends the process, and that it calls this a success, also while a peer is connected.
func TestSignal(t *testing.T) {
	command := exec.CommandContext(t.Context(), "cunzheng-chaincode", "--log-format", "json")
	command.Env = append(os.Environ(), "CHAINCODE_ID=cunzheng:1", "CHAINCODE_SERVER_ADDRESS=127.0.0.1:0")
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	address := listening(t, stderr)
	newPeer(t, address, nil)
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

// start runs a server in this process until the test ends, and returns its address.
func start(t *testing.T, args ...string) string {
	t.Helper()
	read, write := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"--id", "cunzheng:1", "--address", "127.0.0.1:0", "--log-format", "json"}, args...),
			func(string) string { return "" }, io.Discard, write)
		_ = write.Close()
	}()
	t.Cleanup(func() {
		stop()
		if code := <-done; code != exitOK {
			t.Errorf("exit code %d", code)
		}
	})
	return listening(t, read)
}
