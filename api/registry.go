package api

import (
	"cmp"
	"encoding/pem"
	"net/http"

	"github.com/labstack/echo/v4"

	"cunzheng/api/wire"
	"cunzheng/evidence"
	"cunzheng/notary"
)

func (s *Server) listOrganisations(c echo.Context) error {
	found, err := s.registry.Organisations(c.Request().Context(), requestOf(c).actor)
	if err != nil {
		return err
	}
	return ok(c, wire.List[evidence.Organisation]{Items: found})
}

func (s *Server) registerOrganisation(c echo.Context) error {
	var o evidence.Organisation
	if err := readJSON(c, &o); err != nil {
		return err
	}
	if err := s.registry.RegisterOrganisation(c.Request().Context(), requestOf(c).actor, o); err != nil {
		return err
	}
	o.Status = cmp.Or(o.Status, evidence.StandingActive)
	return writeJSON(c, http.StatusCreated, "application/json", o)
}

func (s *Server) listAccounts(c echo.Context) error {
	found, err := s.registry.Accounts(c.Request().Context(), requestOf(c).actor)
	if err != nil {
		return err
	}
	list := wire.List[wire.Account]{Items: make([]wire.Account, len(found))}
	for i, a := range found {
		list.Items[i] = wire.Account{ID: a.ID, Organisation: a.Organisation, Kind: a.Kind, Roles: roleNames(a.Roles), Status: a.Status}
	}
	return ok(c, list)
}

func (s *Server) registerAccount(c echo.Context) error {
	var a wire.Account
	if err := readJSON(c, &a); err != nil {
		return err
	}
	roles := make([]notary.Role, len(a.Roles))
	for i, r := range a.Roles {
		roles[i] = notary.Role(r)
	}
	err := s.registry.RegisterOfficer(c.Request().Context(), requestOf(c).actor, notary.Account{
		ID: a.ID, Organisation: a.Organisation, Kind: a.Kind, Roles: roles, Status: a.Status, DisplayName: a.DisplayName,
	})
	if err != nil {
		return err
	}
	a.Status, a.DisplayName = cmp.Or(a.Status, evidence.StandingActive), ""
	return writeJSON(c, http.StatusCreated, "application/json", a)
}

func (s *Server) setPassword(c echo.Context) error {
	account, err := pathParameter(c, "account")
	if err != nil {
		return err
	}
	var body wire.Password
	if err := readJSON(c, &body); err != nil {
		return err
	}
	if err := s.registry.SetPassword(c.Request().Context(), requestOf(c).actor, account, body.Password); err != nil {
		return err
	}
	s.signIns.Reset(account)
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) listKeys(c echo.Context) error {
	found, err := s.registry.Keys(c.Request().Context(), requestOf(c).actor)
	if err != nil {
		return err
	}
	list := wire.List[wire.Key]{Items: make([]wire.Key, len(found))}
	for i, k := range found {
		list.Items[i] = keyOf(k.Key)
		if r := k.Revocation; r != nil {
			list.Items[i].Revocation = &wire.Revocation{At: r.At, Reason: r.Reason}
		}
	}
	return ok(c, list)
}

func (s *Server) registerKey(c echo.Context) error {
	var body wire.Key
	if err := readJSON(c, &body); err != nil {
		return err
	}
	block, rest := pem.Decode([]byte(body.PEM))
	if block == nil || block.Type != publicKeyPEM || len(rest) > 0 {
		return &failure{code: notary.CodeFieldInvalid, field: "pem",
			zh: "pem 须为一个 PUBLIC KEY 的 PEM。", en: "pem must be the PEM of one PUBLIC KEY."}
	}
	if !body.ID.IsZero() || body.Revocation != nil {
		return &failure{code: notary.CodeFieldInvalid, field: "id",
			zh: "id 与 revocation 由平台给出。", en: "id and revocation are given by the platform."}
	}
	registered, err := s.registry.RegisterKey(c.Request().Context(), requestOf(c).actor, evidence.Key{
		Organisation: body.Organisation, Account: body.Account, Use: body.Use, Roles: body.Roles,
		SPKI: block.Bytes, NotBefore: body.NotBefore, NotAfter: body.NotAfter,
	})
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusCreated, "application/json", keyOf(registered))
}

func (s *Server) revokeKey(c echo.Context) error {
	fingerprint, err := evidence.ParseDigest(c.Param("key"))
	if err != nil {
		return &failure{code: notary.CodeKeyUnknown, field: "key"}
	}
	var body wire.Revocation
	if err := readJSON(c, &body); err != nil {
		return err
	}
	err = s.registry.RevokeKey(c.Request().Context(), requestOf(c).actor,
		evidence.KeyRevocation{Fingerprint: fingerprint, At: body.At, Reason: body.Reason})
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
