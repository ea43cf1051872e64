package network

import (
	"os/exec"
	"runtime"
	"syscall"
)

// tether starts processes that die with this one, however it dies. The kernel ends them when the thread that started
// them ends, so one thread is kept for that. A nil tether starts processes that go on.
type tether struct {
	commands chan tetherStart
}

type tetherStart struct {
	cmd  *exec.Cmd
	done chan error
}

func newTether() *tether {
	t := &tether{commands: make(chan tetherStart)}
	go t.run()
	return t
}

func (t *tether) run() {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	for s := range t.commands {
		s.done <- s.cmd.Start()
	}
}

func (t *tether) start(cmd *exec.Cmd) error {
	if t == nil {
		return cmd.Start()
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	done := make(chan error)
	t.commands <- tetherStart{cmd, done}
	return <-done
}

// cut ends the thread, and with it what still runs of what it started.
func (t *tether) cut() {
	if t != nil {
		close(t.commands)
	}
}
