package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"cunzheng/evidence"
	"cunzheng/notary"
	"cunzheng/notary/consortium"
)

// Proofs hands out this node's own public proofs; *notary.Service does. Setting it is the decision to show the statement
// of each piece of evidence to anybody who names its number and the SM3 of its content.
type Proofs interface {
	PublicBundle(ctx context.Context, number string, sm3 evidence.Digest, w io.Writer) error
}

// Consortium finds and verifies the public proofs of other nodes; *consortium.Consortium does.
type Consortium interface {
	Find(ctx context.Context, number string, sm3 evidence.Digest) (*consortium.Proof, error)
}

const (
	// proofPatience is how long a request waits for a place.
	proofPatience = time.Second
	nodeHeader    = "Cunzheng-Node"
)

// getProof answers whoever names its number and digest with the public proof of one record: this node's own, or one that
// another node of the consortium gave and that was verified here. With local=true it is this node's own only, which is how nodes ask each
// other, so that no question goes round in circles.
func (s *Server) getProof(c echo.Context) error {
	if s.proofs == nil && s.consortium == nil {
		return &failure{code: codeNoSuchPath}
	}
	n, err := number(c)
	if err != nil {
		return err
	}
	sm3, err := contentDigest(c.QueryParams())
	if err != nil {
		return err
	}
	local, err := boolParameter(c.QueryParams(), "local")
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {evidence.MediaTypeBundle}, "Content-Disposition": {attachment(n + ".zip")}}
	err = s.ownProof(c, n, sm3, header)
	if e, ok := errors.AsType[*notary.Error](err); !ok || e.Code != notary.CodeNotFound || local || s.consortium == nil {
		return err
	}
	return s.relayProof(c, n, sm3, header)
}

// contentDigest reads the digest that opens a proof.
func contentDigest(q url.Values) (evidence.Digest, error) {
	sm3, err := digestParameter(q, "sm3")
	if err == nil && sm3.IsZero() {
		err = badParameter("sm3", "须以 sm3 给出原文的 SM3 摘要，64 位小写十六进制字符。",
			"sm3 must name the SM3 digest of the content, 64 lower-case hexadecimal characters.")
	}
	return sm3, err
}

// ownProof answers with a proof of this node's own. Making one costs signatures, so there are places for it.
func (s *Server) ownProof(c echo.Context, number string, sm3 evidence.Digest, header http.Header) error {
	if s.proofs == nil {
		return &notary.Error{Code: notary.CodeNotFound, ZH: "此节点不提供公开证明。", EN: "This node offers no public proofs."}
	}
	release, err := s.ownProofs.take(c.Request().Context(), s.callerAddress(c.Request()), proofPatience)
	if err != nil {
		return err
	}
	defer release()
	d := s.newDownload(c, header, http.StatusOK)
	return d.finish(s.proofs.PublicBundle(c.Request().Context(), number, sm3, d))
}

// relayProof answers with a proof of another node. These places are apart: a neighbour that is slow must not keep this
// node's own proofs waiting.
func (s *Server) relayProof(c echo.Context, number string, sm3 evidence.Digest, header http.Header) error {
	release, err := s.relays.take(c.Request().Context(), s.callerAddress(c.Request()), proofPatience)
	if err != nil {
		return err
	}
	defer release()
	proof, err := s.consortium.Find(c.Request().Context(), number, sm3)
	if err != nil {
		return err
	}
	header.Set(nodeHeader, proof.Node.Origin)
	d := s.newDownload(c, header, http.StatusOK)
	_, err = d.Write(proof.Bundle)
	return d.finish(err)
}
