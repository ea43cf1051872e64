package api

import (
	"errors"
	"maps"
	"net/http"

	"github.com/labstack/echo/v4"
)

// download is the body of a long answer. The status is not sent before the first byte is there: until then an error
// still becomes a problem document. After it an error cuts the connection off, so that nobody takes a part for the
// whole.
type download struct {
	c      echo.Context
	out    *pacedWriter
	header http.Header
	status int

	left int64 // bytes still to send, for a range; negative: no limit
}

// errRangeDone ends the producer of a download once the range is sent.
var errRangeDone = errors.New("range is complete")

func (s *Server) newDownload(c echo.Context, header http.Header, status int) *download {
	return &download{c: c, out: s.newPacedWriter(c.Response()), header: header, status: status, left: -1}
}

func (d *download) begin() {
	if !d.c.Response().Committed {
		maps.Copy(d.c.Response().Header(), d.header)
		d.c.Response().WriteHeader(d.status)
	}
}

func (d *download) Write(b []byte) (int, error) {
	whole := len(b)
	if d.left >= 0 && int64(len(b)) > d.left {
		b = b[:d.left]
	}
	if len(b) > 0 {
		d.begin()
		if _, err := d.out.Write(b); err != nil {
			return 0, err
		}
	}
	if d.left >= 0 {
		if d.left -= int64(len(b)); d.left == 0 {
			return whole, errRangeDone
		}
	}
	return whole, nil
}

// finish ends the download with what its producer returned.
func (d *download) finish(err error) error {
	if errors.Is(err, errRangeDone) {
		return nil
	}
	if err != nil && d.c.Response().Committed {
		return &cutOff{err}
	}
	if err == nil {
		d.begin() // an empty body
	}
	return err
}

// cutOff is an error that came up after the answer had begun.
type cutOff struct{ err error }

func (c *cutOff) Error() string { return "answer cut off: " + c.err.Error() }
func (c *cutOff) Unwrap() error { return c.err }
