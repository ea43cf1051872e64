package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"cunzheng/notary"
)

// request is what the middlewares know of one request.
type request struct {
	id     string
	method string       // of the route, "-" where none matched: callers may invent methods and paths
	route  string       // the pattern, "-" where none matched
	code   string       // of the problem it was answered with, or empty
	public bool         // the answer is the same for everybody
	oauth  bool         // errors also speak RFC 6749
	actor  notary.Actor // zero until authorised
}

const requestKey = "cunzheng.request"

// requestOf returns the state of c. It is there for every request, as observe runs first.
func requestOf(c echo.Context) *request {
	return c.Get(requestKey).(*request)
}

// observe is the outermost middleware: it names the request, catches panics, answers errors, counts, and writes the
// access log. The log holds the route and not the path, as paths hold file names; no account, address, header or body.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		state := &request{id: requestID(c.Request().Header.Get("X-Request-Id")), method: "-", route: "-"}
		c.Set(requestKey, state)
		header := c.Response().Header()
		header.Set("X-Request-Id", state.id)
		secure(header)
		err := s.protect(next, c)
		if err != nil {
			c.Error(err)
		}
		took := time.Since(start)
		s.metrics.observe(c, state, took)
		s.access(c, state, took)
		if _, cut := errors.AsType[*cutOff](err); cut {
			s.metrics.cut.Inc()
			panic(http.ErrAbortHandler) // closes the connection, the only way left to tell the caller
		}
		return nil
	}
}

// protect runs next and turns a panic into an error.
func (s *Server) protect(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.metrics.panics.Inc()
			s.logger.LogAttrs(c.Request().Context(), slog.LevelError, "panic in a handler",
				slog.String("request", requestOf(c).id), slog.String("route", requestOf(c).route),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("panic: %v", p)
			if c.Response().Committed {
				err = &cutOff{err}
			}
		}
	}()
	return next(c)
}

func (s *Server) access(c echo.Context, state *request, took time.Duration) {
	ctx := c.Request().Context()
	if !s.logger.Enabled(ctx, slog.LevelInfo) {
		return
	}
	s.logger.LogAttrs(ctx, slog.LevelInfo, "request",
		slog.String("request", state.id), slog.String("method", state.method), slog.String("route", state.route),
		slog.Int("status", c.Response().Status), slog.String("code", state.code),
		slog.String("organisation", state.actor.Organisation),
		slog.Int64("in", c.Request().ContentLength), slog.Int64("out", c.Response().Size), slog.Duration("took", took))
}

// maxRequestID bounds an id taken over from a proxy.
const maxRequestID = 64

// requestID takes over the id of a proxy in front if it is harmless, else makes one.
func requestID(given string) string {
	ok := given != "" && len(given) <= maxRequestID && !strings.ContainsFunc(given, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	})
	if ok {
		return given
	}
	return rand.Text()
}

// secure sets what keeps a browser from doing more with an answer than show it.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
}

// guard wraps the handler of one route: single headers, known query parameters, authorisation, then body limit and
// pace. Authorisation comes before the body is touched, so a stranger cannot make the server read.
func (s *Server) guard(r route) echo.HandlerFunc {
	return func(c echo.Context) error {
		state := requestOf(c)
		state.method, state.route, state.oauth, state.public = r.method, r.path, r.oauth, r.access.public
		if err := checkSingleHeaders(c.Request().Header); err != nil {
			return err
		}
		if err := checkQuery(c.Request().URL, r.query); err != nil {
			return err
		}
		if err := s.authorise(c, r.access); err != nil {
			return err
		}
		if err := s.limitBody(c, r.body); err != nil {
			return err
		}
		return r.handle(s, c)
	}
}
