//go:build !unix

package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// A keystore needs file locks and permissions that only Unix systems have here.

func lock(string, time.Duration) (unlock func(), err error) {
	return nil, fmt.Errorf("keystore: this operating system cannot hold one: %w", errors.ErrUnsupported)
}

func checkPermissions(string, fs.FileInfo) error {
	return fmt.Errorf("keystore: this operating system cannot hold one: %w", errors.ErrUnsupported)
}
