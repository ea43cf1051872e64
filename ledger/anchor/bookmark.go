package anchor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// FileBookmark is a [Bookmark] in a file of this path. Its folder must exist.
type FileBookmark string

// Load implements [Bookmark].
func (b FileBookmark) Load() ([]byte, error) {
	stored, err := os.ReadFile(string(b))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return stored, err
}

// Store implements [Bookmark]. A crash leaves the old content or the new one.
func (b FileBookmark) Store(text []byte) (err error) {
	folder, err := os.Open(filepath.Dir(string(b)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	file, err := os.CreateTemp(folder.Name(), filepath.Base(string(b))+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), string(b)); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("syncing the folder: %w", err)
	}
	return nil
}
