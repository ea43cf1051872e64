package api

import (
	"github.com/labstack/echo/v4"

	"cunzheng/api/wire"
	"cunzheng/notary"
)

// depositDigest takes one digest; the bytes stay with the depositor.
func (s *Server) depositDigest(c echo.Context) error {
	var body wire.DigestDeposit
	if err := readJSON(c, &body); err != nil {
		return err
	}
	key, err := idempotencyKey(c.Request().Header)
	if err != nil {
		return err
	}
	if key != "" {
		if body.IdempotencyKey != "" && body.IdempotencyKey != key {
			return &failure{code: codeContradiction, field: "idempotencyKey",
				zh: "请求头与正文中的幂等键不同。", en: "The idempotency keys in the header and in the body differ."}
		}
		body.IdempotencyKey = key
	}
	deposit, err := s.evidence.DepositDigest(c.Request().Context(), requestOf(c).actor, digestDeposit(body))
	if err != nil {
		return err
	}
	return created(c, deposit)
}

func digestDeposit(b wire.DigestDeposit) notary.DigestDeposit {
	return notary.DigestDeposit{
		SM3: b.SM3, SHA256: b.SHA256, Size: b.Size,
		Name: b.Name, MediaType: b.MediaType, Case: b.Case, Correlation: b.Correlation,
		Provenance: b.Provenance, Private: b.Private, Related: b.Related, IdempotencyKey: b.IdempotencyKey,
	}
}
