package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Exit codes of cunzheng. The verify command uses the court verifier's own: 0 passed, 1 failed, 2 indeterminate, 3 usage.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 3
)

// hinted is an error that tells the user what to do next.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

func withHint(err error, hint string) error { return hinted{err, hint} }

// usageError is a command line that cannot be run as typed.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// exitStatus is a command that ended with a code of its own and has already said why.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// printError writes err and its hint the same way for every command, and returns the exit code.
func printError(w io.Writer, err error) int {
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	fmt.Fprintln(w, "cunzheng:", strings.TrimSpace(err.Error()))
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintln(w, "  →", h.hint)
	}
	var u usageError
	if errors.As(err, &u) {
		return exitUsage
	}
	return exitError
}
