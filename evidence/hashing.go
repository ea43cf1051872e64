package evidence

import (
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"io"
	"sync"

	"cunzheng/crypto/sm3"
)

// sums identifies a stream of bytes.
type sums struct {
	size   int64
	sm3    Digest
	sha256 Digest
	crc    uint32 // IEEE, as zip has it
}

const hashBuffer = 256 << 10

// sumStream reads r to its end, but at most limit+1 bytes: one byte too many is enough to tell that it differs. While
// it reads one buffer, the other is hashed: SM3, the slowest sum, in one goroutine and the others in a second. Memory
// is constant.
func sumStream(r io.Reader, limit int64) (sums, error) {
	var s sums
	slow, fast, crc := sm3.New(), sha256.New(), crc32.NewIEEE()
	room := min(hashBuffer, limit+1)
	buffers := [2][]byte{make([]byte, room), make([]byte, room)}
	limited := io.LimitReader(r, limit+1)
	var hashing sync.WaitGroup
	var err error
	for i := 0; err == nil; i++ {
		b := buffers[i%2]
		var n int
		n, err = io.ReadFull(limited, b)
		b = b[:n]
		s.size += int64(n)
		hashing.Wait()
		hashing.Go(func() { slow.Write(b) })
		hashing.Go(func() { fast.Write(b); crc.Write(b) })
	}
	hashing.Wait()
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return sums{}, err
	}
	slow.Sum(s.sm3[:0])
	fast.Sum(s.sha256[:0])
	s.crc = crc.Sum32()
	return s, nil
}
