package vault

import (
	"os"
	"syscall"
)

// syncFileRangeWrite is SYNC_FILE_RANGE_WRITE of sync_file_range(2).
const syncFileRangeWrite = 2

// startWriteback asks the kernel to start writing a range of the file to the disk and does not wait. It promises nothing;
// the flush at the end does. Without it that flush finds all of a large file still in memory and doubles the time.
func startWriteback(f *os.File, offset, length int64) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	// An error says that the file system cannot do it, or shows again when the file is flushed.
	_ = conn.Control(func(fd uintptr) { _ = syscall.SyncFileRange(int(fd), offset, length, syncFileRangeWrite) })
}
