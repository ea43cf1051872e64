package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"cunzheng/api/token"
	"cunzheng/api/wire"
	"cunzheng/notary"
)

// failure is an error this package finds itself: a request that is wrong before the notary sees it.
type failure struct {
	code   string
	zh, en string // one sentence each
	field  string
	retry  time.Duration // for Retry-After; 0: none
	err    error         // for the log, never for the answer
}

func (f *failure) Error() string {
	if f.err != nil {
		return f.code + ": " + f.en + ": " + f.err.Error()
	}
	return f.code + ": " + f.en
}

func (f *failure) Unwrap() error { return f.err }

// problem turns any error into the answer for it. Causes that are not the caller's concern stay inside.
func problem(err error) (wire.Problem, time.Duration) {
	code, zh, en, field, existing, retry := explain(err)
	kind, known := kinds[code]
	if !known { // a test holds that this does not happen; a caller must still get an answer
		code, kind = codeInternal, kinds[codeInternal]
	}
	if kind.status >= http.StatusInternalServerError && !kind.speaks {
		zh, en, field, existing = "", "", "", ""
	}
	if zh == "" || en == "" {
		zh, en = kind.zh+"。", kind.en+"."
	}
	if retry == 0 {
		retry = kind.retry
	}
	return wire.Problem{
		Type: "urn:cunzheng:problem:" + code, Status: kind.status, Code: code,
		DetailZH: zh, DetailEN: en, Field: field, Existing: existing,
	}, retry
}

// explain finds the code and the sentences in err.
func explain(err error) (code, zh, en, field, existing string, retry time.Duration) {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code, f.zh, f.en, f.field, "", f.retry
	}
	if t, ok := errors.AsType[*token.Error](err); ok {
		return string(t.Code), "", "", "", "", 0
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return codeBodyTooLarge, fmt.Sprintf("请求正文超过上限 %d 字节。", tooLarge.Limit),
			fmt.Sprintf("The request body is larger than the limit of %d bytes.", tooLarge.Limit), "", "", 0
	}
	if n, ok := errors.AsType[*notary.Error](err); ok && !(n.Code == notary.CodeInternal && isAborted(err)) {
		return n.Code, n.ZH, n.EN, n.Field, n.Existing, n.Retry
	}
	if h, ok := errors.AsType[*echo.HTTPError](err); ok {
		return routerCode(h.Code), "", "", "", "", 0
	}
	if errors.Is(err, ErrNotFound) {
		return codeNoSuchPath, "", "", "", "", 0
	}
	if isAborted(err) {
		return codeAborted, "", "", "", "", 0
	}
	return codeInternal, "", "", "", "", 0
}

// isAborted reports whether the request was given up: its caller left, or closed its half of the connection, or the
// server was stopped.
func isAborted(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// routerCode maps the few errors echo's router makes itself.
func routerCode(status int) string {
	switch status {
	case http.StatusNotFound:
		return codeNoSuchPath
	case http.StatusMethodNotAllowed:
		return codeMethod
	}
	return codeInternal
}

// answerError is the one place where an error becomes a response.
func (s *Server) answerError(err error, c echo.Context) {
	request := requestOf(c)
	if c.Response().Committed { // the caller went away, or was told already
		s.logger.LogAttrs(c.Request().Context(), slog.LevelDebug, "answer broken off",
			slog.String("request", request.id), slog.Any("error", err))
		return
	}
	p, retry := problem(err)
	if request.oauth && kinds[p.Code].grant {
		p.Status = http.StatusBadRequest // RFC 6749 §5.2: invalid_grant
	}
	request.code = p.Code
	if p.Status >= http.StatusInternalServerError {
		s.logger.LogAttrs(c.Request().Context(), slog.LevelError, "request failed",
			slog.String("request", request.id), slog.String("code", p.Code), slog.Any("error", err))
	}
	language := localise(&p, c.Request().Header)
	p.Instance = "urn:cunzheng:request:" + request.id
	header := c.Response().Header()
	header.Set("Content-Language", language)
	header.Add("Vary", "Accept-Language")
	if retry > 0 {
		header.Set("Retry-After", strconv.Itoa(int((retry+time.Second-1)/time.Second)))
	}
	if request.oauth {
		p.OAuthError, p.OAuthDescription = oauthError(p), p.DetailEN
	} else if p.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", challenge(p))
	}
	if err := writeJSON(c, p.Status, wire.ProblemType, &p); err != nil {
		s.logger.LogAttrs(c.Request().Context(), slog.LevelDebug, "answer not delivered",
			slog.String("request", request.id), slog.Any("error", err))
	}
}

// localise sets title and detail in the language the caller prefers, and returns it.
func localise(p *wire.Problem, h http.Header) string {
	if prefersEnglish(h.Get("Accept-Language")) {
		p.Title, p.Detail = kinds[p.Code].en, p.DetailEN
		return "en"
	}
	p.Title, p.Detail = kinds[p.Code].zh, p.DetailZH
	return "zh-CN"
}

// challenge is the WWW-Authenticate value of RFC 6750 §3.
func challenge(p wire.Problem) string {
	if p.Code == codeTokenMissing {
		return `Bearer realm="cunzheng"`
	}
	return `Bearer realm="cunzheng", error="invalid_token", error_description="` + p.Code + `"`
}

// oauthError is the error word of RFC 6749 §5.2 for a problem of the token endpoint.
func oauthError(p wire.Problem) string {
	switch {
	case p.Code == codeGrantType:
		return "unsupported_grant_type"
	case p.Status == http.StatusTooManyRequests || p.Status >= http.StatusInternalServerError:
		return "temporarily_unavailable"
	case kinds[p.Code].grant:
		return "invalid_grant"
	}
	return "invalid_request"
}
