//go:build !unix

package main

// noCoreDumps has nothing to switch off here.
func noCoreDumps() error { return nil }
