package api

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"cunzheng/api/wire"
)

func (s *Server) listOrganisations(c echo.Context) error {
	return ok(c, wire.List[wire.Organisation]{})
}

func (s *Server) registerOrganisation(c echo.Context) error {
	var body wire.Organisation
	if err := readJSON(c, &body); err != nil {
		return err
	}
	return writeJSON(c, http.StatusCreated, "application/json", body)
}

func (s *Server) listAccounts(c echo.Context) error    { return nil }
func (s *Server) registerAccount(c echo.Context) error { return nil }
func (s *Server) setPassword(c echo.Context) error     { return nil }
func (s *Server) listKeys(c echo.Context) error        { return nil }
func (s *Server) registerKey(c echo.Context) error     { return nil }
func (s *Server) revokeKey(c echo.Context) error       { return nil }

var _ = url.PathEscape
