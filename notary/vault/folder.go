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
	used   string // name of a file outside the folder that says that there were objects in it
	bucket *blob.Bucket
	space  *spaceGuard
}

// openFolder makes the folder if it is missing, unless there were objects in it: then its disk is not mounted, or it is
// lost, and a new one would hide that.
func openFolder(dir, used string, reserve int64) (*folder, error) {
	dir = filepath.Clean(dir)
	f := &folder{dir: dir, used: used, space: newSpaceGuard(dir, reserve)}
	if err := f.find(); err != nil {
		return nil, err
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
	f.bucket = bucket
	return f, nil
}

// find checks that the folder is the one that was used before.
func (f *folder) find() error {
	_, err := os.Stat(f.used)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("vault: %w", err)
	}
	used := err == nil
	entries, err := os.ReadDir(f.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("vault: %w", err)
	}
	switch empty := len(entries) == 0; {
	case used && empty:
		return fmt.Errorf("%w: %s is missing or empty; mount or restore it. Only to begin with an empty one, remove %s", ErrFolderGone, f.dir, f.used)
	case !used && !empty: // of an earlier version
		return f.markUsed()
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	return nil
}

// markUsed says durably that there are objects in the folder.
func (f *folder) markUsed() error {
	mark, err := os.OpenFile(f.used, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return classify(fmt.Errorf("vault: %w", err))
	}
	return errors.Join(mark.Close(), syncDir(filepath.Dir(f.used)))
}

// prepare makes the folder that key goes into, durably.
func (f *folder) prepare(key string) error {
	if err := f.space.check(0); err != nil {
		return err
	}
	err := os.Mkdir(filepath.Join(f.dir, filepath.Dir(key)), 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return classify(err)
	}
	return errors.Join(syncDir(f.dir), f.markUsed())
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
