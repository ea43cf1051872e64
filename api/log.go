package api

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// The public face of the log, in the URL layout of C2SP tlog-tiles with SM3 in place of SHA-256.

func (s *Server) getCheckpoint(c echo.Context) error {
	note, err := s.log.Checkpoint()
	if err != nil {
		return err
	}
	return writeBytes(c, http.StatusOK, "text/plain; charset=utf-8", note)
}

func (s *Server) getTile(c echo.Context) error {
	return s.serveTile(c, "tile/"+c.Param("*"), s.log.Tile)
}

func (s *Server) getEntries(c echo.Context) error {
	return s.serveTile(c, "tile/entries/"+c.Param("*"), s.log.EntryBundle)
}

func (s *Server) serveTile(c echo.Context, path string, read func(string) ([]byte, error)) error {
	data, err := read(path)
	if err != nil {
		return err
	}
	if requestOf(c).public {
		// A tile never changes, but a partial one is superseded.
		age := "public, max-age=31536000, immutable"
		if strings.Contains(path, ".p/") {
			age = "public, max-age=60"
		}
		c.Response().Header().Set("Cache-Control", age)
	}
	return writeBytes(c, http.StatusOK, "application/octet-stream", data)
}
