package notary

import (
	"context"
	"io"

	"cunzheng/evidence"
)

// PublicBundle writes the proof of one piece of evidence for anybody who knows its number: statement, receipt, anchor. It
// opens no commitment and holds no original. What it shows is the statement as it was logged: the depositor's organisation
// and account, digests and size, case, correlation and provenance. Whether a node offers that is its operator's decision;
// everything else in this package asks who wants to see it.
//
// Only evidence is served, never an entry of the registry. Errors and the meaning of a part of a bundle are those of
// [Service.Bundle].
func (s *Service) PublicBundle(ctx context.Context, number string, w io.Writer) error {
	err := s.publicBundle(ctx, number, w)
	if err == nil {
		s.metrics.bundles.Inc()
	}
	return errorOf(err)
}

func (s *Service) publicBundle(ctx context.Context, number string, w io.Writer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := evidence.ParseNumber(number); err != nil {
		return numberError(err)
	}
	f, err := s.find(number)
	if err != nil {
		return err
	}
	if !f.statement.Type.Evidence() {
		return notFound(number)
	}
	b, err := s.assemble(Actor{}, f, BundleOptions{})
	if err != nil {
		return err
	}
	signer, err := s.receipts.signer()
	if err != nil {
		return err
	}
	return evidence.WriteBundle(w, b, signer, nil)
}
