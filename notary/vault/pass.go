package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"

	"cunzheng/crypto/sm3"
)

// The blocks of one pass: large enough that handing one over costs nothing, few enough that a stream stays small.
const (
	blockSize   = 256 << 10
	blocksAhead = 8
)

var blockPool = sync.Pool{New: func() any { return new(block) }}

// block is read once and then seen by each consumer; the last of them gives it back.
type block struct {
	bytes   [blockSize]byte
	n       int
	readers atomic.Int32
}

// pass reads r to its end, once, and computes everything there is to know, on three goroutines beside the reading
// one. SM3 is the slowest part; SHA-256, CRC-32 and the encryption run beside it. The stream gets the bytes too and is
// closed at the end of a pass without error; nil for none.
func pass(ctx context.Context, r io.Reader, limit int64, stream io.WriteCloser) (*Object, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var (
		object = new(Object)
		hash3  = sm3.New()
		hash2  = sha256.New()
		free   = make(chan *block, blocksAhead)
	)
	consumers := []func(p []byte) error{
		func(p []byte) error { hash3.Write(p); return nil },
		func(p []byte) error {
			hash2.Write(p)
			object.CRC32 = crc32.Update(object.CRC32, crc32.IEEETable, p)
			return nil
		},
	}
	if stream != nil {
		consumers = append(consumers, func(p []byte) error { _, err := stream.Write(p); return err })
	}
	lanes, wait := fanOut(consumers, free, cancel)
	size, err := distribute(ctx, r, limit, free, lanes)
	wait()
	close(free)
	for b := range free {
		clear(b.bytes[:]) // evidence does not linger
		blockPool.Put(b)
	}
	if cause := context.Cause(ctx); cause != nil && !isSource(err) {
		err = cause
	}
	if err == nil && stream != nil {
		err = stream.Close()
	}
	if err != nil {
		return nil, err
	}
	object.Size = size
	hash3.Sum(object.SM3[:0])
	hash2.Sum(object.SHA256[:0])
	return object, nil
}

// fanOut starts a goroutine for each consumer, which sees the blocks of its lane in their order until it fails; the others
// learn of that by fail. The last to see a block frees it. wait closes the lanes and returns when all is seen.
func fanOut(consumers []func(p []byte) error, free chan<- *block, fail context.CancelCauseFunc) (lanes []chan *block, wait func()) {
	var group sync.WaitGroup
	lanes = make([]chan *block, len(consumers))
	for i, consume := range consumers {
		lanes[i] = make(chan *block, blocksAhead)
		group.Go(func() {
			var failed error
			for b := range lanes[i] {
				if failed == nil {
					if failed = consume(b.bytes[:b.n]); failed != nil {
						fail(failed)
					}
				}
				if b.readers.Add(-1) == 0 {
					free <- b
				}
			}
		})
	}
	return lanes, func() {
		for _, lane := range lanes {
			close(lane)
		}
		group.Wait()
	}
}

func isSource(err error) bool {
	_, ok := errors.AsType[*SourceError](err)
	return ok
}

// distribute reads blocks and sends each down every lane. A lane has room for all the blocks there are, so it only
// waits for a free block, which the slowest consumer gives back.
func distribute(ctx context.Context, r io.Reader, limit int64, free chan *block, lanes []chan *block) (int64, error) {
	var size int64
	for made := 0; ; {
		var b *block
		select {
		case b = <-free:
		default:
			if made < blocksAhead {
				b = blockPool.Get().(*block)
				made++
			} else {
				b = <-free
			}
		}
		n, err := readBlock(r, b.bytes[:])
		if ctx.Err() != nil {
			free <- b
			if err != nil && !errors.Is(err, io.EOF) {
				return 0, &SourceError{Err: err}
			}
			return 0, context.Cause(ctx)
		}
		size += int64(n)
		if limit > 0 && size > limit {
			free <- b
			return 0, ErrTooLarge
		}
		b.n = n
		b.readers.Store(int32(len(lanes)))
		for _, lane := range lanes {
			lane <- b
		}
		switch {
		case errors.Is(err, io.EOF):
			return size, nil
		case err != nil:
			return 0, &SourceError{Err: err}
		}
	}
}

// readBlock reads until p is full or r ends. It is not io.ReadFull, which reports a short end as io.ErrUnexpectedEOF: the
// very error by which an HTTP body says that the upload broke off.
func readBlock(r io.Reader, p []byte) (n int, err error) {
	for idle := 0; n < len(p) && err == nil; {
		var m int
		m, err = r.Read(p[n:])
		n += m
		if m > 0 {
			idle = 0
		} else if idle++; idle == 100 && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}
