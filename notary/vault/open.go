package vault

import (
	"context"
	"errors"
	"fmt"
	"io"

	"gocloud.dev/blob"

	"cunzheng/crypto/sm4"
)

// Reader gives the plaintext of an object. Each byte it returns is genuine; only io.EOF says that all of them came.
// It fails with ErrCorrupt if the object was altered. It must be closed.
type Reader struct {
	Object Object // what was found out when it was stored; authenticated

	source *blob.Reader
	plain  io.Reader
	left   int64
}

// Open opens the object: ErrNotFound, ErrCorrupt (also when the object is another one's), or an error of the store.
// The context must live until the Reader is closed.
func (v *Vault) Open(ctx context.Context, id string) (*Reader, error) { return v.OpenFrom(ctx, id, 0) }

// OpenFrom is like Open and starts at a byte of the content, which must lie in it. What stands before is not read, but
// for less than one chunk, and nothing is said about whether it is genuine.
func (v *Vault) OpenFrom(ctx context.Context, id string, first int64) (*Reader, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	source, err := v.bucket.NewReader(ctx, keyOf(id), nil)
	if err != nil {
		return nil, classify(fmt.Errorf("vault: %w", err))
	}
	r, err := v.open(ctx, id, source, first)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	if r.source != source {
		if err := source.Close(); err != nil {
			return nil, classify(errors.Join(fmt.Errorf("vault: %w", err), r.Close()))
		}
	}
	if _, err := io.CopyN(io.Discard, r, first%sm4.ChunkSize); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Exists reports whether there is an object with this id, without opening it.
func (v *Vault) Exists(ctx context.Context, id string) (bool, error) {
	if err := checkID(id); err != nil {
		return false, err
	}
	there, err := v.bucket.Exists(ctx, keyOf(id))
	if err != nil {
		return false, classify(fmt.Errorf("vault: %w", err))
	}
	return there, nil
}

// open opens an object whose source stands at its beginning. The Reader it returns goes on with this source, or has one
// of its own.
func (v *Vault) open(ctx context.Context, id string, source *blob.Reader, first int64) (*Reader, error) {
	head, wrapped, err := readHeader(source)
	if err != nil {
		return nil, err
	}
	sealed := source.Size() - int64(len(head)) - trailerSize
	if sealed <= 0 {
		return nil, fmt.Errorf("%w: it is cut off", ErrCorrupt)
	}
	dataKey, err := v.wrap.Unwrap(wrapped, wrapContext(id))
	if err != nil {
		return nil, fmt.Errorf("%w: its data key does not open", ErrCorrupt)
	}
	defer clear(dataKey)
	tail, err := v.readTail(ctx, id, source.Size())
	if err != nil {
		return nil, err
	}
	object, err := openTrailer(dataKey, head, tail, id)
	if err != nil {
		return nil, err
	}
	if object.Size < 0 || sm4.SealedSize(object.Size) != sealed {
		return nil, fmt.Errorf("%w: its size is wrong", ErrCorrupt)
	}
	if first < 0 || first > 0 && first >= object.Size {
		return nil, fmt.Errorf("vault: byte %d lies outside the %d of the content", first, object.Size)
	}
	contentKey, err := subkey(dataKey, contentPurpose)
	if err != nil {
		return nil, err
	}
	defer clear(contentKey)
	chunk := first / sm4.ChunkSize
	rest := source
	if chunk > 0 {
		if rest, err = v.bucket.NewRangeReader(ctx, keyOf(id), int64(len(head))+sm4.ChunkOffset(chunk), -1, nil); err != nil {
			return nil, classify(fmt.Errorf("vault: %w", err))
		}
	}
	plain, err := sm4.NewReaderFrom(contentKey, io.LimitReader(rest, sealed-sm4.ChunkOffset(chunk)), chunk)
	if err != nil { // not with a key and a chunk of ours
		return nil, err
	}
	return &Reader{Object: *object, source: rest, plain: plain, left: object.Size - chunk*sm4.ChunkSize}, nil
}

func (v *Vault) readTail(ctx context.Context, id string, size int64) (_ []byte, err error) {
	r, err := v.bucket.NewRangeReader(ctx, keyOf(id), size-trailerSize, trailerSize, nil)
	if err != nil {
		return nil, classify(fmt.Errorf("vault: %w", err))
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	tail := make([]byte, trailerSize)
	if _, err := io.ReadFull(r, tail); err != nil {
		return nil, truncated(err)
	}
	return tail, nil
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.plain.Read(p)
	r.left -= int64(n)
	switch {
	case errors.Is(err, sm4.ErrAuthentication):
		return n, fmt.Errorf("%w: %w", ErrCorrupt, err)
	case errors.Is(err, io.EOF):
		if r.left != 0 {
			return n, fmt.Errorf("%w: its size is wrong", ErrCorrupt)
		}
		return n, io.EOF
	}
	return n, classify(err)
}

// Close releases the object.
func (r *Reader) Close() error {
	if err := r.source.Close(); err != nil {
		return classify(fmt.Errorf("vault: %w", err))
	}
	return nil
}
