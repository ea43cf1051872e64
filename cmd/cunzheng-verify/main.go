// Command cunzheng-verify checks an evidence bundle offline. It needs no server, no network and no installation, and
// links nothing but the verification kernel.
//
//	cunzheng-verify --trust trust.json bundle.zip
//
// It exits with 0 if the bundle passed, 1 if it failed, 2 if what is at hand does not suffice, and 3 if it was called
// wrongly or a file could not be read. With --json it prints the report, or for 3 an object that says why there is none:
//
//	{"error":{"code":"BUNDLE_UNREADABLE","en":"…","zh":"…"},"schema":"cunzheng/verify-error/v1"}
//
// with code USAGE, BUNDLE_UNREADABLE, TRUST_UNREADABLE, CONTENT_UNREADABLE or READING (a file could not be read to its
// end).
package main

import (
	"os"
	"time"

	"cunzheng/cmd/internal/verifier"
)

// version is set by the linker.
var version = "dev"

func main() {
	c := verifier.Command{Name: "cunzheng-verify", Version: version, Getenv: os.Getenv, Now: time.Now}
	os.Exit(c.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
