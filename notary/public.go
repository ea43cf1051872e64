package notary

import (
	"context"
	"crypto/subtle"
	"io"

	"cunzheng/evidence"
)

// PublicBundle writes the proof of one piece of evidence for whoever names its number and the SM3 of its content, as
// those who hold the document can: statement, receipt, anchor. It opens no commitment and holds no original. What it shows
// is the statement as it was logged: the depositor's organisation and account, digests and size, case, correlation and
// provenance. Whether a node offers that is its operator's decision; everything else in this package asks who wants to see
// it.
//
// Only evidence is served, never an entry of the registry. A digest that is not that of the record is answered as if there
// were no such number. Other errors and the meaning of a part of a bundle are those of [Service.Bundle].
func (s *Service) PublicBundle(ctx context.Context, number string, sm3 evidence.Digest, w io.Writer) error {
	err := s.publicBundle(ctx, number, sm3, w)
	if err == nil {
		s.metrics.bundles.Inc()
	}
	return errorOf(err)
}

func (s *Service) publicBundle(ctx context.Context, number string, sm3 evidence.Digest, w io.Writer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := evidence.ParseNumber(number); err != nil {
		return numberError(err)
	}
	f, err := s.findContent(number, sm3)
	if err != nil {
		return err
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

// findContent looks up the evidence that has both a number and a digest. The comparison takes the same time whatever
// differs, so that a digest cannot be found out byte by byte. That a number was given out is no secret: they are serial.
func (s *Service) findContent(number string, sm3 evidence.Digest) (found, error) {
	f, there, err := lookUp(s.log, number)
	if err != nil {
		return found{}, err
	}
	var held evidence.Digest // zero: no content
	if there && f.statement.Type.Evidence() && f.statement.Content != nil {
		held = f.statement.Content.SM3
	}
	if subtle.ConstantTimeCompare(held[:], sm3[:]) != 1 || held.IsZero() {
		return found{}, noPublicProof(number)
	}
	return f, nil
}

func noPublicProof(number string) error {
	return refuse(CodeNotFound, "没有编号为 "+number+" 且原文摘要相符的存证。",
		"There is no evidence with the number "+number+" whose content has this digest.").because(errNotFound)
}
