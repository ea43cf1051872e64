package notary

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"

	"cunzheng/evidence"
	"cunzheng/ledger"
	"cunzheng/notary/vault"
)

// Bundle writes the proof of one piece of evidence as a bundle. It is made when it is asked for, with the smallest
// anchored checkpoint that covers the entry, and without one while there is none. An error after the first byte leaves
// a part of a bundle, which no verifier accepts; the caller must tell whoever reads from w.
func (s *Service) Bundle(ctx context.Context, by Actor, number string, w io.Writer, o BundleOptions) error {
	err := s.bundle(ctx, by, number, w, o)
	if err == nil {
		s.metrics.bundles.Inc()
	}
	return errorOf(err)
}

func (s *Service) bundle(ctx context.Context, by Actor, number string, w io.Writer, o BundleOptions) error {
	act := actSee
	if o.WithContent {
		act = actContent
	}
	f, err := s.look(by, act, number)
	if err != nil {
		return err
	}
	b, err := s.assemble(by, f, o)
	if err != nil {
		return err
	}
	var content *evidence.ContentSource
	if o.WithContent {
		original, err := s.original(ctx, f, 0)
		if err != nil {
			return err
		}
		defer original.Close()
		content = &evidence.ContentSource{
			Size: original.Object.Size, CRC32: original.Object.CRC32, SM3: original.Object.SM3, SHA256: original.Object.SHA256,
			Open: func() (io.ReadCloser, error) { return io.NopCloser(original), nil },
		}
		for _, d := range b.Disclosures {
			if d.Field == evidence.FieldName {
				content.Name = d.Value
			}
		}
	}
	signer, err := s.receipts.signer()
	if err != nil {
		return err
	}
	if err := evidence.WriteBundle(w, b, signer, content); err != nil {
		return s.streamError(err)
	}
	return nil
}

// assemble gathers all of a bundle but the original.
func (s *Service) assemble(by Actor, f found, o BundleOptions) (*evidence.Bundle, error) {
	done, err := s.accepted(f.index)
	if err != nil {
		return nil, err
	}
	now := max(s.now(), f.statement.ReceivedAt)
	b := &evidence.Bundle{Statement: f.encoded, Created: now}
	if b.Receipt, _, err = s.receipts.make(f.statement, f.encoded, done.Index, done.Checkpoint.Note, done.Proof, now); err != nil {
		return nil, err
	}
	if b.Proof, err = s.proof(f.index); err != nil {
		return nil, err
	}
	if o.Disclose {
		if b.Disclosures, err = s.disclosed(by, f); err != nil {
			return nil, err
		}
	}
	b.Trust, err = s.Trust()
	return b, err
}

// proof returns the smallest anchored checkpoint that covers an entry with what proves it, or nil.
func (s *Service) proof(index uint64) (*evidence.Proof, error) {
	size, kind, block, err := s.anchorOf(index)
	if err != nil || block == nil {
		return nil, err
	}
	head, err := s.log.CheckpointAt(size)
	if err != nil {
		return nil, err
	}
	inclusion, err := s.log.InclusionProof(index, size)
	if err != nil {
		return nil, err
	}
	return evidence.NewProof(s.config.Origin, index, head.Note, inclusion, kind, block), nil
}

// anchorOf returns the smallest anchored size that covers an entry, with the ledger's proof; nil while there is none. A
// proof by the ledger in use goes before one by an earlier ledger.
func (s *Service) anchorOf(index uint64) (size uint64, kind string, block []byte, err error) {
	for from := max(index+1, s.config.AnchoredSince); s.config.AnchoredSince > 0; from = size + 1 {
		size, kind, block, err = s.anchorFrom(from)
		if err != nil || block == nil || kind == s.config.AnchoredOn {
			break
		}
	}
	if err == nil && block == nil {
		return s.anchorFrom(index + 1)
	}
	return size, kind, block, err
}

func (s *Service) anchorFrom(minSize uint64) (size uint64, kind string, block []byte, err error) {
	size, block, err = s.log.Anchor(minSize)
	if errors.Is(err, ledger.ErrNotFound) {
		return 0, "", nil, nil
	}
	if err != nil {
		return 0, "", nil, err
	}
	var proof struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(block, &proof); err != nil {
		return 0, "", nil, fmt.Errorf("anchor of size %d: %w", size, err)
	}
	return size, proof.Kind, block, nil
}

// original opens the stored original of a deposit at a byte, and compares what the vault says about it with the statement.
func (s *Service) original(ctx context.Context, f found, first int64) (*vault.Reader, error) {
	if f.statement.OriginalKept != evidence.KeptByPlatform {
		return nil, refuse(CodeContentNotKept, "平台仅保存了摘要，原文由申请人保管。",
			"Only the digest was deposited; the depositor keeps the original.")
	}
	if first < 0 || first > 0 && first >= *f.statement.Content.Size {
		return nil, internal(fmt.Errorf("byte %d lies outside the content", first))
	}
	r, err := s.vault.OpenFrom(ctx, f.statement.Number, first)
	if err != nil {
		return nil, s.streamError(err)
	}
	if !sameBytes(f.statement.Content, &r.Object) {
		return nil, s.streamError(errors.Join(fmt.Errorf("%w: it has another digest than the statement", vault.ErrCorrupt), r.Close()))
	}
	return r, nil
}

// streamError names the errors of originals and counts them; others it leaves as they are.
func (s *Service) streamError(err error) error {
	for _, kind := range []error{vault.ErrCorrupt, vault.ErrNotFound, vault.ErrUnavailable, vault.ErrDenied, vault.ErrNoBucket, evidence.ErrContent} {
		if errors.Is(err, kind) {
			s.metrics.contentErrors.Inc()
			s.logger.Error("an original cannot be read", "error", err)
			return contentError(err, s.config.MaxFileSize)
		}
	}
	return err
}

// ContentInfo describes the original of a deposit without opening it.
func (s *Service) ContentInfo(ctx context.Context, by Actor, number string) (*ContentInfo, error) {
	info, err := s.contentInfo(ctx, by, number)
	return info, errorOf(err)
}

func (s *Service) contentInfo(ctx context.Context, by Actor, number string) (*ContentInfo, error) {
	f, err := s.look(by, actContent, number)
	if err != nil {
		return nil, err
	}
	if f.statement.OriginalKept != evidence.KeptByPlatform {
		_, err := s.original(ctx, f, 0)
		return nil, err
	}
	c := f.statement.Content
	info := &ContentInfo{MediaType: c.MediaType, Size: *c.Size, SM3: c.SM3, SHA256: c.SHA256}
	disclosures, err := s.disclosed(by, f)
	for _, d := range disclosures {
		if d.Field == evidence.FieldName {
			info.Name = d.Value
		}
	}
	return info, err
}

// Content writes the original, from byte first on. Each byte is authenticated before it is written; an error after the
// first one means that the rest is missing.
func (s *Service) Content(ctx context.Context, by Actor, number string, first int64, w io.Writer) error {
	return errorOf(s.content(ctx, by, number, first, w))
}

func (s *Service) content(ctx context.Context, by Actor, number string, first int64, w io.Writer) (err error) {
	f, err := s.look(by, actContent, number)
	if err != nil {
		return err
	}
	original, err := s.original(ctx, f, first)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, original.Close()) }()
	if _, err := io.Copy(w, original); err != nil {
		return s.streamError(err)
	}
	return nil
}
