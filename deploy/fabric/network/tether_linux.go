package network

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
)

// tether starts processes that die with this one, however it dies. The kernel ends them when the thread that started
// them ends, so one thread is kept for that. A nil tether starts processes that go on.
type tether struct {
	commands chan tetherStart
	end      chan struct{}
}

type tetherStart struct {
	cmd  *exec.Cmd
	done chan error
}

func newTether() *tether {
	t := &tether{commands: make(chan tetherStart), end: make(chan struct{})}
	go t.run()
	return t
}

func (t *tether) run() {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	for {
		select {
		case s := <-t.commands:
			s.done <- s.cmd.Start()
		case <-t.end:
			return
		}
	}
}

func (t *tether) start(cmd *exec.Cmd) error {
	if t == nil {
		return cmd.Start()
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	done := make(chan error)
	select {
	case t.commands <- tetherStart{cmd, done}:
		return <-done
	case <-t.end:
		return errors.New("the network was taken down")
	}
}

// cut ends the thread, and with it what still runs of what it started.
func (t *tether) cut() { close(t.end) }
