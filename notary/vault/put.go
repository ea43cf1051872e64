package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"cunzheng/crypto/sm4"
)

// Put stores what r gives, encrypted, and returns what it found out in the one pass. The id must be new. More than
// limit bytes (0: no limit) are ErrTooLarge; an error of r is a *SourceError. After any error nothing is left of the
// object, or [Vault.Recover] has it on its list. After success the caller decides with Commit or Abort.
//
// Memory does not depend on the size: about 2.5 MiB, and four parts for S3.
func (v *Vault) Put(ctx context.Context, id string, r io.Reader, limit int64) (*Object, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if err := v.intents.begin(id); err != nil {
		return nil, err
	}
	object, err := v.put(ctx, id, r, limit)
	if err == nil {
		return object, nil
	}
	if errors.Is(err, ErrExists) { // the object that is there is another one's
		return nil, errors.Join(err, v.intents.end(id))
	}
	// The writers clean up after themselves, but a store that failed once may have failed at that too.
	if cleanup := v.Abort(ctx, id); cleanup != nil {
		v.logger.WarnContext(ctx, "interrupted upload not removed yet", "id", id, "error", cleanup)
	}
	return nil, err
}

func (v *Vault) put(ctx context.Context, id string, r io.Reader, limit int64) (*Object, error) {
	dataKey := make([]byte, sm4.KeySize)
	rand.Read(dataKey) // never fails: the runtime ends the program instead
	defer clear(dataKey)
	wrapped, err := v.wrap.Wrap(dataKey, wrapContext(id))
	if err != nil {
		return nil, fmt.Errorf("vault: wrapping the data key: %w", err)
	}
	head, err := encodeHeader(wrapped)
	if err != nil {
		return nil, err
	}
	s, err := v.create(ctx, id, limit)
	if err != nil {
		return nil, err
	}
	object, err := v.fill(ctx, s, id, dataKey, head, r, limit)
	if err != nil {
		s.abort()
		return nil, err
	}
	if err := s.commit(); err != nil {
		return nil, err
	}
	return object, nil
}

// fill writes header, content and trailer.
func (v *Vault) fill(ctx context.Context, dst io.Writer, id string, dataKey, head []byte, r io.Reader, limit int64) (*Object, error) {
	if _, err := dst.Write(head); err != nil {
		return nil, err
	}
	contentKey, err := subkey(dataKey, contentPurpose)
	if err != nil {
		return nil, err
	}
	defer clear(contentKey)
	stream, err := sm4.NewWriter(contentKey, dst)
	if err != nil {
		return nil, err
	}
	object, err := pass(ctx, r, limit, stream)
	if err != nil {
		return nil, err
	}
	object.ID = id
	tail, err := sealTrailer(dataKey, head, object)
	if err != nil {
		return nil, err
	}
	if _, err := dst.Write(tail); err != nil {
		return nil, err
	}
	return object, nil
}

// Digest passes over r like [Vault.Put] and stores nothing.
func Digest(ctx context.Context, r io.Reader, limit int64) (*Object, error) {
	return pass(ctx, r, limit, nil)
}
