package vault

import (
	"context"
	"errors"
	"fmt"
	"os"

	"gocloud.dev/blob"
)

// sink takes the bytes of one object. Exactly one of commit and abort ends it.
type sink struct {
	key    string
	folder *folder
	file   *os.File // of a local folder; fileblob closes it
	w      *blob.Writer
	cancel context.CancelFunc

	written, writeback int64 // bytes handed to the file, bytes the kernel was asked to write to the disk
}

// writebackStep is how much of a local file waits in memory before the kernel is asked to write it to the disk, and how
// often it is asked whether the disk has room.
const writebackStep = 4 << 20

func (v *Vault) create(ctx context.Context, id string, limit int64) (*sink, error) {
	s := &sink{key: keyOf(id), folder: v.folder}
	options := &blob.WriterOptions{ContentType: "application/octet-stream", IfNotExist: true}
	switch {
	case v.folder != nil:
		if err := v.folder.prepare(s.key); err != nil {
			return nil, err
		}
		options.BeforeWrite = func(as func(any) bool) error {
			if !as(&s.file) {
				return errors.New("vault: the file driver does not show its file")
			}
			return s.file.Chmod(0o600)
		}
	case v.s3 != nil:
		options.BeforeWrite = v.s3.tune(limit)
	}
	ctx, s.cancel = context.WithCancel(ctx)
	w, err := v.bucket.NewWriter(ctx, s.key, options)
	if err != nil {
		s.cancel()
		return nil, classify(fmt.Errorf("vault: %w", err))
	}
	s.w = w
	return s, nil
}

// Write adds bytes to the object.
func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.written += int64(n)
	if pending := s.written - s.writeback; s.folder != nil && pending >= writebackStep {
		startWriteback(s.file, s.writeback, pending)
		s.writeback = s.written
		if err == nil {
			err = s.folder.space.check(0)
		}
	}
	return n, classify(err)
}

// commit returns when the object is durable. A crash before the rename leaves a temporary file, a crash after it an
// object; both are named by the intent.
func (s *sink) commit() error {
	defer s.cancel()
	if s.file != nil {
		if err := s.file.Sync(); err != nil {
			s.abort()
			return classify(fmt.Errorf("vault: flushing: %w", err))
		}
	}
	if err := s.w.Close(); err != nil {
		return classify(fmt.Errorf("vault: %w", err))
	}
	if s.folder != nil {
		return s.folder.published(s.key)
	}
	return nil
}

// abort leaves no object. Closing a writer whose context was cancelled is how the drivers give up; that it then
// reports the cancellation tells nothing.
func (s *sink) abort() {
	s.cancel()
	s.w.Close()
}
