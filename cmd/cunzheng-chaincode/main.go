// Command cunzheng-chaincode runs the contract of package chaincode as a service that a Hyperledger Fabric peer connects
// to (chaincode as a service, "ccaas").
//
//	cunzheng-chaincode --id PACKAGE-ID --address 127.0.0.1:9999
//
// Each organisation runs its own, beside its own peer. It keeps nothing: the state is the peer's. It may be stopped and
// started at any time; the peer connects again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// version is set by the linker.
var version = "dev"

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run serves until ctx ends and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	c, err := parseConfig(args, getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "cunzheng-chaincode: %v\n  → see: cunzheng-chaincode --help\n", err)
		return exitUsage
	case c.version:
		fmt.Fprintf(stdout, "cunzheng-chaincode %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return exitOK
	}
	if err := serve(ctx, c, stderr); err != nil {
		fmt.Fprintln(stderr, "cunzheng-chaincode:", err)
		return exitError
	}
	return exitOK
}
