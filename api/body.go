package api

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// bodyKind says how much a route reads, and how patiently.
type bodyKind int

const (
	bodyNone  bodyKind = iota // no body is expected; one that is sent is refused
	bodySmall                 // one JSON value or form, whole in memory
	bodyBatch                 // up to MaxBatchLines lines, whole in memory
	bodyFile                  // a file, never in memory
	bodyForm                  // a form with a file, never in memory
)

// formOverhead is what a form may have beside its file, in bytes: metadata, boundaries and the headers of the parts.
const formOverhead = maxMetadata + 64<<10

// limitBody refuses an encoded body, and bounds it by size and, for transfers, by pace.
func (s *Server) limitBody(c echo.Context, kind bodyKind) error {
	r := c.Request()
	if len(r.TransferEncoding) > 0 && r.ProtoMajor == 1 {
		// Package http drops a Content-Length that came beside the chunks, so it cannot be refused here. What makes the
		// pair dangerous is a proxy that took the length for the truth and sends the rest as the next request; without a
		// next request on this connection there is no harm (RFC 9112 §6.1).
		c.Response().Header().Set("Connection", "close")
	}
	if kind != bodyNone {
		if err := checkPlain(r.Header.Get("Content-Encoding")); err != nil {
			return err
		}
	}
	var limit int64
	switch kind {
	case bodyNone:
		if r.ContentLength != 0 {
			return &failure{code: codeBodyUnexpected}
		}
		return nil
	case bodySmall:
		limit = s.limits.SmallBody
	case bodyBatch:
		limit = s.limits.BatchBody
	case bodyFile:
		limit = s.limits.FileBody
	case bodyForm:
		limit = s.limits.FileBody + formOverhead
	}
	if r.ContentLength > limit {
		if kind == bodyFile || kind == bodyForm {
			return contentTooLarge(s.limits.FileBody)
		}
		return &http.MaxBytesError{Limit: limit}
	}
	// The request is copied: the server looks at the body of its own one to see whether a caller that waits for "100
	// Continue" has sent anything; with a body of ours in there it would wait for content nobody will send.
	bounded := *r
	bounded.Body = http.MaxBytesReader(c.Response().Writer, r.Body, limit)
	switch kind {
	case bodyBatch:
		bounded.Body = s.pace(c, bounded.Body, s.batches)
	case bodyFile, bodyForm:
		bounded.Body = s.pace(c, bounded.Body, s.uploads)
	}
	c.SetRequest(&bounded)
	return nil
}

// pace lifts the server's overall time limit from an upload and sets a rolling one instead: an upload may take hours,
// but its sender must never stall longer than Stall, nor fall below MinRate on average, or BusyRate while places are
// scarce: a place that others wait for is lost by who hardly uses it. Only the time spent waiting for the sender counts,
// so a slow disk of ours is not held against it.
func (s *Server) pace(c echo.Context, body io.ReadCloser, places *places) io.ReadCloser {
	control := http.NewResponseController(c.Response())
	c.Response().Before(func() {
		// The write limit was set when the request began; count it anew from the moment of the answer.
		_ = control.SetWriteDeadline(time.Now().Add(s.limits.Stall)) // unsupported only in tests without a connection
	})
	return &pacedBody{ReadCloser: body, control: control, places: places, stall: s.limits.Stall, rate: s.limits.MinRate, busyRate: s.limits.BusyRate}
}

type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	places  *places
	waited  time.Duration
	read    int64
	stall   time.Duration

	rate, busyRate int64 // bytes per second
}

func (p *pacedBody) Read(b []byte) (int, error) {
	start := time.Now()
	rate := p.rate
	if p.places.scarce() {
		rate = p.busyRate
	}
	allowance := p.stall + time.Duration(float64(p.read)/float64(rate)*float64(time.Second)) - p.waited
	_ = p.control.SetReadDeadline(start.Add(min(p.stall, allowance))) // as above
	n, err := p.ReadCloser.Read(b)
	p.waited += time.Since(start)
	p.read += int64(n)
	if errors.Is(err, io.EOF) {
		// Reading is over; a limit left behind would cancel the request while the handler works.
		_ = p.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// pacedWriter gives each write of a long answer its own time limit.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

// newPacedWriter is for answers that may take hours. It also lifts the read limit, which would cancel the request.
func (s *Server) newPacedWriter(w http.ResponseWriter) *pacedWriter {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // unsupported only in tests without a connection
	return &pacedWriter{ResponseWriter: w, control: control, stall: s.limits.Stall}
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(p.stall)) // as above
	return p.ResponseWriter.Write(b)
}

// isTimeout reports whether a body could not be read in time.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
