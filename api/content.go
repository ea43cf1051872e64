package api

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
)

// getContent streams the original. A single byte range is served, so that a broken download can be taken up again;
// the entity tag is the SM3 of the content, which cannot change.
func (s *Server) getContent(c echo.Context) error {
	n, err := number(c)
	if err != nil {
		return err
	}
	ctx, actor := c.Request().Context(), requestOf(c).actor
	info, err := s.evidence.ContentInfo(ctx, actor, n)
	if err != nil {
		return err
	}
	tag := `"` + info.SM3.String() + `"`
	wanted := c.Request().Header.Get("Range")
	if condition := c.Request().Header.Get("If-Range"); condition != "" && condition != tag {
		wanted = ""
	}
	part, err := parseRange(wanted, info.Size)
	if err != nil {
		c.Response().Header().Set("Content-Range", "bytes */"+strconv.FormatInt(info.Size, 10))
		return err
	}
	header := http.Header{
		"Content-Type":        {info.MediaType},
		"Content-Length":      {strconv.FormatInt(part.length, 10)},
		"Content-Disposition": {attachment(info.Name)},
		"Accept-Ranges":       {"bytes"},
		"Etag":                {tag},
	}
	if info.MediaType == "" {
		header.Set("Content-Type", "application/octet-stream")
	}
	status := http.StatusOK
	if part.partial {
		status = http.StatusPartialContent
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.first, part.first+part.length-1, info.Size))
	}
	d := s.newDownload(c, header, status)
	if part.partial {
		d.left = part.length
	}
	return d.finish(s.evidence.Content(ctx, actor, n, part.first, d))
}
