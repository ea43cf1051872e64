package ledger

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// spaceInterval is how often the free space is asked for, at most. Far less than
// the reserve is written in that time.
const spaceInterval = 200 * time.Millisecond

// A spaceGuard knows whether the disk has room. It may be used concurrently.
type spaceGuard struct {
	fs      vfs.FS
	dir     string
	reserve uint64

	start   time.Time
	asked   atomic.Int64 // nanoseconds since start
	missing atomic.Uint64
}

func newSpaceGuard(fs vfs.FS, dir string, reserve int64) *spaceGuard {
	g := &spaceGuard{fs: fs, dir: dir, reserve: uint64(reserve), start: time.Now()}
	g.ask()
	return g
}

func (g *spaceGuard) ask() {
	usage, err := g.fs.GetDiskUsage(g.dir)
	if err != nil || usage.AvailBytes >= g.reserve {
		// A file system that does not know has no limit.
		g.missing.Store(0)
		return
	}
	g.missing.Store(g.reserve - usage.AvailBytes)
}

// check returns ErrFull if the disk has less than the reserve.
func (g *spaceGuard) check() error {
	now, asked := int64(time.Since(g.start)), g.asked.Load()
	if now-asked > int64(spaceInterval) && g.asked.CompareAndSwap(asked, now) {
		g.ask()
	}
	if missing := g.missing.Load(); missing > 0 {
		return fmt.Errorf("%w: %d MiB must be freed in %s", ErrFull, missing>>20+1, g.dir)
	}
	return nil
}
