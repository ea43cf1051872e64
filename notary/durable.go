package notary

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// replaceFile writes a small file so that after a crash at any moment either the old content or the new is there, and
// the new one once it has returned.
func replaceFile(path string, data []byte) (err error) {
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("notary: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return fmt.Errorf("notary: %w", errors.Join(err, os.Remove(temporary)))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("notary: %w", err)
	}
	if err = errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("notary: %w", err)
	}
	return nil
}
