package vault

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// defaultReserve is twice what the log keeps free. Where both are on one disk originals stop first, and digests, which
// need little, go on.
const defaultReserve = 1 << 30

// spaceGuard keeps a part of a disk free.
type spaceGuard struct {
	dir     string
	reserve uint64 // bytes
	free    func(dir string) (bytes uint64, err error)
}

func newSpaceGuard(dir string, reserve int64) *spaceGuard {
	if reserve <= 0 {
		reserve = defaultReserve
	}
	return &spaceGuard{dir: dir, reserve: uint64(reserve), free: freeSpace}
}

func freeSpace(dir string) (uint64, error) {
	usage, err := vfs.Default.GetDiskUsage(dir)
	return usage.AvailBytes, err
}

// check returns ErrNoSpace if writing need bytes would take what is to stay free. A file system that does not know how
// much is free has no limit.
func (g *spaceGuard) check(need int64) error {
	free, err := g.free(g.dir)
	if err != nil || free >= g.reserve && free-g.reserve >= uint64(need) {
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free in %s, %d MiB of them are kept free, and %d MiB are wanted",
		ErrNoSpace, free>>20, g.dir, g.reserve>>20, need>>20)
}

// Room returns ErrNoSpace if it is clear by now that an original of size bytes does not fit.
func (v *Vault) Room(size int64) error {
	if v.folder == nil {
		return nil
	}
	return v.folder.space.check(size)
}
