package sm4

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const sealedChunkSize = ChunkSize + tagSize

// SealedSize returns the length of a stream that holds plain bytes. It panics
// if plain is negative.
func SealedSize(plain int64) int64 {
	if plain < 0 {
		panic("sm4: negative size")
	}
	chunks := max(1, (plain+ChunkSize-1)/ChunkSize)
	return plain + chunks*tagSize
}

// ChunkOffset returns where chunk number n of a sealed stream begins, counted from 0.
func ChunkOffset(n int64) int64 { return n * sealedChunkSize }

// chunkNonce is the nonce of the next chunk. Eight bytes of the counter are
// used: 2^64 chunks are more than anybody can write.
type chunkNonce [nonceSize]byte

func (n *chunkNonce) next() {
	counter := n[3 : nonceSize-1]
	binary.BigEndian.PutUint64(counter, binary.BigEndian.Uint64(counter)+1)
}

func (n *chunkNonce) seek(chunk int64) { binary.BigEndian.PutUint64(n[3:nonceSize-1], uint64(chunk)) }

func (n *chunkNonce) setLast() { n[nonceSize-1] = 1 }

// Writer encrypts a stream; see the package documentation for the format. It
// must be closed and is not safe for concurrent use.
type Writer struct {
	aead  cipher.AEAD
	dst   io.Writer
	nonce chunkNonce
	plain []byte // waiting for more, at most one chunk
	out   []byte // reused for each sealed chunk
	err   error
}

// NewWriter returns a Writer that writes the sealed stream to dst. The key must
// not be used for any other stream or record, since the nonces start at 0.
func NewWriter(key []byte, dst io.Writer) (*Writer, error) {
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	return &Writer{
		aead:  aead,
		dst:   dst,
		plain: make([]byte, 0, ChunkSize),
		out:   make([]byte, 0, sealedChunkSize),
	}, nil
}

// Write encrypts p. What is written to the destination lags behind by up to one
// chunk. After an error of the destination every call returns that error.
func (w *Writer) Write(p []byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	for len(p) > 0 {
		// A full chunk is sealed only when more follows, since it may be the last.
		switch {
		case len(w.plain) == ChunkSize:
			if err := w.flush(w.plain); err != nil {
				return n, err
			}
			w.plain = w.plain[:0]
		case len(w.plain) == 0 && len(p) > ChunkSize:
			if err := w.flush(p[:ChunkSize]); err != nil {
				return n, err
			}
			n += ChunkSize
			p = p[ChunkSize:]
		default:
			taken := min(ChunkSize-len(w.plain), len(p))
			w.plain = append(w.plain, p[:taken]...)
			n += taken
			p = p[taken:]
		}
	}
	return n, nil
}

// Close writes the last chunk. It does not close the destination. A stream
// without its last chunk does not open, so to abandon a stream, do not close it.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	w.nonce.setLast()
	if err := w.flush(w.plain); err != nil {
		return err
	}
	clear(w.plain[:cap(w.plain)])
	w.err = errors.New("sm4: stream is closed")
	return nil
}

func (w *Writer) flush(chunk []byte) error {
	w.out = w.aead.Seal(w.out[:0], w.nonce[:], chunk, nil)
	w.nonce.next()
	written, err := w.dst.Write(w.out)
	if err == nil && written < len(w.out) {
		err = io.ErrShortWrite
	}
	w.err = err
	return err
}

// Reader decrypts a stream; see the package documentation for the format. It is
// not safe for concurrent use.
//
// Every byte it returns is genuine and at its place, but only io.EOF tells that
// the stream is complete: after any other error discard what was read.
type Reader struct {
	aead   cipher.AEAD
	src    io.Reader
	nonce  chunkNonce
	sealed []byte // room for a sealed chunk and the first byte of the next one
	ahead  []byte // that byte, once it has been read; empty before the first chunk
	inside bool   // a chunk stands before the next one
	plain  []byte // decrypted, not yet returned; shares memory with sealed
	err    error
}

// NewReader returns a Reader of the sealed stream src.
func NewReader(key []byte, src io.Reader) (*Reader, error) {
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	return &Reader{aead: aead, src: src, sealed: make([]byte, sealedChunkSize+1)}, nil
}

// NewReaderFrom returns a Reader of the rest of a sealed stream, from chunk number n on, counted from 0. The source must
// begin there, see [ChunkOffset]. What the Reader promises holds for the rest: nothing is said about the chunks before.
func NewReaderFrom(key []byte, src io.Reader, n int64) (*Reader, error) {
	if n < 0 {
		return nil, fmt.Errorf("sm4: there is no chunk %d", n)
	}
	r, err := NewReader(key, src)
	if err != nil {
		return nil, err
	}
	r.nonce.seek(n)
	r.inside = n > 0
	return r, nil
}

// Read returns decrypted bytes. It fails with ErrAuthentication if the stream is
// not exactly what was written, and with the error of the source if that fails.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.plain) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.plain, r.err = r.nextChunk()
	}
	n := copy(p, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

// WriteTo writes the decrypted stream to dst, a chunk at a time.
func (r *Reader) WriteTo(dst io.Writer) (n int64, err error) {
	for {
		if len(r.plain) > 0 {
			written, err := dst.Write(r.plain)
			n += int64(written)
			r.plain = r.plain[written:]
			if err != nil {
				return n, err
			}
			if len(r.plain) > 0 {
				return n, io.ErrShortWrite
			}
		}
		if r.err == io.EOF {
			return n, nil
		}
		if r.err != nil {
			return n, r.err
		}
		r.plain, r.err = r.nextChunk()
	}
}

// nextChunk decrypts one chunk. With the last chunk it returns io.EOF.
func (r *Reader) nextChunk() (plain []byte, err error) {
	// One byte more than a chunk is read: whether there is one decides whether
	// this chunk must carry the flag of the last. Only io.EOF ends a stream; an
	// io.ErrUnexpectedEOF of the source, say from a broken connection, is its
	// failure and must not look like tampering.
	size := copy(r.sealed, r.ahead)
	for size < len(r.sealed) && err == nil {
		var n int
		n, err = r.src.Read(r.sealed[size:])
		size += n
	}
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case size == len(r.sealed):
		err = nil // an io.EOF that came with the last byte will come again
		size--
	default:
		r.nonce.setLast()
	}

	next := r.sealed[len(r.sealed)-1]
	chunk := r.sealed[:size]
	if len(chunk) == tagSize && r.inside {
		return nil, ErrAuthentication // no second form of a stream: see the format
	}
	plain, openErr := r.aead.Open(chunk[:0], r.nonce[:], chunk, nil)
	if openErr != nil {
		clear(r.sealed)
		return nil, ErrAuthentication
	}
	r.ahead, r.inside = append(r.ahead[:0], next), true
	r.nonce.next()
	return plain, err
}
