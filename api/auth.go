package api

import (
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"cunzheng/notary"
)

// access says who may call a route. The zero value lets nobody in.
type access struct {
	public bool
	roles  []notary.Role
}

var public = access{public: true}

func only(roles ...notary.Role) access { return access{roles: roles} }

// authorise identifies the caller and checks that one of its roles is allowed. Roles are those the account holds now,
// not those it held when the token was issued.
func (s *Server) authorise(c echo.Context, a access) error {
	if a.public {
		return nil
	}
	raw, err := bearer(c.Request().Header.Get("Authorization"))
	if err != nil {
		return err
	}
	claims, err := s.tokens.Verify(raw)
	if err != nil {
		return err
	}
	actor, err := s.registry.Actor(claims.Organisation, claims.Subject, claims.Key)
	if err != nil {
		return &failure{code: codeTokenRevoked, err: err}
	}
	if !slices.ContainsFunc(actor.Roles, func(r notary.Role) bool { return slices.Contains(a.roles, r) }) {
		return &failure{code: codeForbidden}
	}
	requestOf(c).actor = actor
	return nil
}

// bearer takes the token out of an Authorization header (RFC 6750 §2.1).
func bearer(header string) (string, error) {
	if header == "" {
		return "", &failure{code: codeTokenMissing}
	}
	scheme, raw, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || raw == "" || strings.ContainsAny(raw, " \t,") {
		return "", &failure{code: codeTokenScheme}
	}
	return raw, nil
}
