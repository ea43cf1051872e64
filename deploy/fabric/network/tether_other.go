//go:build unix && !linux

package network

import "os/exec"

// tether cannot tie processes to this one here: only Linux has the means. Who stops the network still ends them.
type tether struct{}

func newTether() *tether { return &tether{} }

func (t *tether) start(cmd *exec.Cmd) error { return cmd.Start() }

func (t *tether) cut() {}
