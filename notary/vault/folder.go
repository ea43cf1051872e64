package vault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
)

// folder is a local store. fileblob writes to a temporary file beside the object and renames it; what it lacks is
// flushing, which the methods here add, and removing temporary files after a crash.
type folder struct {
	dir    string
	bucket *blob.Bucket
}

func openFolder(dir string) (*folder, error) {
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{
		DirFileMode: 0o700,
		NoTempDir:   true, // a rename across file systems fails
		Metadata:    fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return &folder{dir: dir, bucket: bucket}, nil
}

// prepare makes the folder that key goes into, durably.
func (f *folder) prepare(key string) error {
	err := os.Mkdir(filepath.Join(f.dir, filepath.Dir(key)), 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return classify(err)
	}
	return syncDir(f.dir)
}

// published makes the rename of a finished object durable, or its removal.
func (f *folder) published(key string) error {
	return syncDir(filepath.Join(f.dir, filepath.Dir(key)))
}

// sweep removes the temporary files that a killed process left for key, and makes that, and the removal of the object,
// durable.
func (f *folder) sweep(key string) error {
	path := filepath.Join(f.dir, filepath.FromSlash(key))
	entries, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	var failed error
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+"."); ok && strings.HasSuffix(rest, ".tmp") {
			failed = errors.Join(failed, os.Remove(filepath.Join(filepath.Dir(path), e.Name())))
		}
	}
	return errors.Join(failed, f.published(key))
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	err = d.Sync()
	if err = errors.Join(err, d.Close()); err != nil {
		return classify(fmt.Errorf("vault: flushing a folder: %w", err))
	}
	return nil
}
