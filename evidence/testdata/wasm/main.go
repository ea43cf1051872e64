// Command wasm prints the report on a bundle. The test of the package compiles it for js/wasm and runs it in node:
//
//	wasm BUNDLE TRUST AT
package main

import (
	"bytes"
	"fmt"
	"os"

	"cunzheng/evidence"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(bundleFile, trustFile, at string) error {
	bundle, err := os.ReadFile(bundleFile)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(trustFile)
	if err != nil {
		return err
	}
	trust, err := evidence.ParseTrust(text)
	if err != nil {
		return err
	}
	var instant evidence.Instant
	if err := instant.UnmarshalText([]byte(at)); err != nil {
		return err
	}
	report, err := evidence.Verify(evidence.Input{Bundle: bytes.NewReader(bundle), Size: int64(len(bundle)), Trust: trust, At: instant.Time()})
	if err != nil {
		return err
	}
	out, err := report.Encode()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(out)
	return err
}
