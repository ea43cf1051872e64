//go:build unix

package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Each process of the network holds a lock on its pid file from birth to death, because it inherits the locked file.
// So a free lock means that no such process lives, and a held one that the number in the file is its pid and no
// stranger's: nothing is ever stopped by a number alone.

// command is how a process is started.
type command struct {
	path string
	args []string
	env  []string
	dir  string
}

// errRunning is the start of what runs already.
var errRunning = errors.New("runs already")

// startGrace bounds the moment in which somebody's look at a lock (see running) can keep a start from taking it.
const startGrace = 2 * time.Second

// start starts a process of the network, which goes on when this one ends; with a tether, it dies with this one.
func (l layout) start(name string, c command, t *tether) error {
	ctx, cancel := context.WithTimeout(context.Background(), startGrace)
	defer cancel()
	pidFile, err := l.claim(ctx, name)
	if err != nil {
		return err
	}
	defer pidFile.Close()                       // the child has its own
	if err := pidFile.Truncate(0); err != nil { // from here on, the number of an earlier process would be a lie
		return err
	}
	log, err := openLog(l.log(name))
	if err != nil {
		return err
	}
	defer log.Close()

	cmd := exec.Command(c.path, c.args...)
	cmd.Dir, cmd.Env = c.dir, append(baseEnvironment(), c.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{pidFile}
	// A session of its own: what a terminal sends to this process is not meant for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := t.start(cmd); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	go cmd.Wait() // reaps it, should it die before this process does; its lock tells that it did
	if _, err := pidFile.WriteAt(fmt.Appendf(nil, "%-10d\n", cmd.Process.Pid), 0); err != nil {
		return errors.Join(fmt.Errorf("starting %s: %w", name, err), cmd.Process.Kill())
	}
	return nil
}

func (l layout) claim(ctx context.Context, name string) (*os.File, error) {
	for {
		file, err := tryLock(l.pid(name), lockExclusive)
		if file != nil || err != nil {
			return file, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s %w", name, errRunning)
		case <-time.After(lockPoll):
		}
	}
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// baseEnvironment is all that processes and tools get of ours. The rest stays out, because each variable of the form
// CORE_… or ORDERER_… would override their configuration.
func baseEnvironment() []string {
	var environment []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ"} {
		if value, set := os.LookupEnv(name); set {
			environment = append(environment, name+"="+value)
		}
	}
	return environment
}

// running returns the pid of a process of the network, or 0 if it does not run.
func (l layout) running(name string) (int, error) {
	for deadline := time.Now().Add(startGrace); ; time.Sleep(lockPoll) {
		held, text, err := l.readPID(name)
		if !held || err != nil {
			return 0, err
		}
		if pid, err := strconv.Atoi(text); err == nil && pid > 1 {
			return pid, nil
		}
		if time.Now().After(deadline) { // it is not just being started
			return 0, fmt.Errorf("%s is held, but has no process id", l.pid(name))
		}
	}
}

// readPID says whether a process holds its pid file, and what is in it.
func (l layout) readPID(name string) (held bool, text string, err error) {
	file, err := os.Open(l.pid(name))
	if errors.Is(err, os.ErrNotExist) {
		return false, "", nil
	}
	if err != nil {
		return false, "", err
	}
	defer file.Close()
	err = syscall.Flock(int(file.Fd()), lockShared|syscall.LOCK_NB)
	if err == nil {
		return false, "", nil
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return false, "", fmt.Errorf("locking %s: %w", file.Name(), err)
	}
	content, err := io.ReadAll(io.LimitReader(file, 32))
	return true, string(bytes.TrimSpace(content)), err
}

// signal sends s to a process of the network and says whether it was running. The handle is taken before the lock is
// looked at again, so that a pid which went to another process in between is not hit.
func (l layout) signal(name string, s os.Signal) (bool, error) {
	pid, err := l.running(name)
	if pid == 0 || err != nil {
		return false, err
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return false, err
	}
	defer process.Release()
	if again, err := l.running(name); again != pid || err != nil {
		return false, err
	}
	if err := process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return false, fmt.Errorf("stopping %s: %w", name, err)
	}
	return true, nil
}

// stopGrace is how long a process may take to end by itself.
const stopGrace = 10 * time.Second

// stop ends a process and waits until it is gone.
func (l layout) stop(ctx context.Context, name string) error {
	if was, err := l.signal(name, syscall.SIGTERM); !was || err != nil {
		return err
	}
	grace, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	if err := l.waitGone(grace, name); err == nil || ctx.Err() != nil {
		return err
	}
	_, err := l.kill(ctx, name)
	return err
}

// kill ends a process at once, waits until it is gone, and says whether it was running.
func (l layout) kill(ctx context.Context, name string) (bool, error) {
	was, err := l.signal(name, os.Kill)
	if !was || err != nil {
		return was, err
	}
	return true, l.waitGone(ctx, name)
}

func (l layout) waitGone(ctx context.Context, name string) error {
	for {
		if pid, err := l.running(name); pid == 0 || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not end: %w", name, context.Cause(ctx))
		case <-time.After(lockPoll):
		}
	}
}

// tailLines and tailBytes bound what an error shows of a log, and how much is read for that.
const (
	tailLines = 15
	tailBytes = 64 << 10
)

// tail returns the lines of a process's log that tell how it ended: those from its last panic on, or else the last.
func (l layout) tail(name string) string {
	file, err := os.Open(l.log(name))
	if err != nil {
		return ""
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err == nil {
		file.Seek(max(0, size-tailBytes), io.SeekStart)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	first := max(0, len(lines)-tailLines)
	for i, line := range lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			first = i
		}
	}
	return strings.Join(lines[first:min(first+tailLines, len(lines))], "\n")
}

// processError is a process that did not do its part. It shows the end of its log.
type processError struct {
	name, log, tail string
	err             error
}

func (e *processError) Error() string {
	return fmt.Sprintf("%s: %v\n--- end of %s\n%s", e.name, e.err, e.log, e.tail)
}

func (e *processError) Unwrap() error { return e.err }

func (l layout) failure(name string, err error) error {
	return &processError{name: name, log: l.log(name), tail: l.tail(name), err: err}
}
