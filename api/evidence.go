package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"cunzheng/api/wire"
	"cunzheng/evidence"
	"cunzheng/notary"
)

// number returns the evidence number of the path.
func number(c echo.Context) (string, error) {
	n, err := pathParameter(c, "number")
	if err != nil || n == "" || len(n) > 64 {
		return "", &failure{code: codeNoSuchPath}
	}
	return n, nil
}

// getEvidence answers with statement and receipt of one record.
func (s *Server) getEvidence(c echo.Context) error {
	n, err := number(c)
	if err != nil {
		return err
	}
	record, err := s.evidence.Get(c.Request().Context(), requestOf(c).actor, n)
	if err != nil {
		return err
	}
	return ok(c, evidenceOf(record))
}

// searchParameters are the filters of a search. They combine: a record must fit all that are given.
var searchParameters = []string{"number", "sm3", "sha256", "depositor", "from", "to", "case", "correlation", "order", "cursor", "limit"}

// searchEvidence answers with one page of the records that fit the filters and that the caller may see.
func (s *Server) searchEvidence(c echo.Context) error {
	query, err := parseSearch(c.QueryParams())
	if err != nil {
		return err
	}
	page, err := s.evidence.Search(c.Request().Context(), requestOf(c).actor, query)
	if err != nil {
		return err
	}
	return ok(c, pageOf(page))
}

func parseSearch(q url.Values) (notary.Query, error) {
	query := notary.Query{
		Number: q.Get("number"), Depositor: q.Get("depositor"), Case: q.Get("case"), Correlation: q.Get("correlation"),
		Cursor: q.Get("cursor"), Limit: notary.DefaultPage,
	}
	var err error
	if query.SM3, err = digestParameter(q, "sm3"); err != nil {
		return notary.Query{}, err
	}
	if query.SHA256, err = digestParameter(q, "sha256"); err != nil {
		return notary.Query{}, err
	}
	if query.From, err = timeParameter(q, "from"); err != nil {
		return notary.Query{}, err
	}
	if query.To, err = timeParameter(q, "to"); err != nil {
		return notary.Query{}, err
	}
	switch q.Get("order") {
	case "", wire.OldestFirst:
	case wire.NewestFirst:
		query.NewestFirst = true
	default:
		return notary.Query{}, badParameter("order", "order 须为 oldest 或 newest。", "order must be oldest or newest.")
	}
	if value := q.Get("limit"); value != "" {
		if query.Limit, err = strconv.Atoi(value); err != nil || query.Limit < 1 || query.Limit > notary.MaxPage {
			return notary.Query{}, badParameter("limit", fmt.Sprintf("limit 须为 1 至 %d。", notary.MaxPage), fmt.Sprintf("limit must be 1 to %d.", notary.MaxPage))
		}
	}
	return query, nil
}

func badParameter(name, zh, en string) error {
	return &failure{code: codeQuery, field: name, zh: zh, en: en}
}

func digestParameter(q url.Values, name string) (evidence.Digest, error) {
	value := q.Get(name)
	if value == "" {
		return evidence.Digest{}, nil
	}
	d, err := evidence.ParseDigest(value)
	if err != nil {
		return d, badParameter(name, name+" 须为 64 位小写十六进制字符。", name+" must be 64 lower-case hexadecimal characters.")
	}
	return d, nil
}

func timeParameter(q url.Values, name string) (time.Time, error) {
	value := q.Get(name)
	if value == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return t, badParameter(name, name+" 须为 RFC 3339 时间，例如 2026-11-23T11:22:33Z。",
			name+" must be an RFC 3339 time such as 2026-11-23T11:22:33Z.")
	}
	return t.UTC(), nil
}

// boolParameter reads true or false; absent is false.
func boolParameter(q url.Values, name string) (bool, error) {
	switch q.Get(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, badParameter(name, name+" 须为 true 或 false。", name+" must be true or false.")
}

// getBundle streams the verifiable bundle of one record.
func (s *Server) getBundle(c echo.Context) error {
	n, err := number(c)
	if err != nil {
		return err
	}
	content, err := boolParameter(c.QueryParams(), "content")
	if err != nil {
		return err
	}
	d := s.newDownload(c, http.Header{
		"Content-Type":        {"application/vnd.cunzheng.bundle+zip"},
		"Content-Disposition": {attachment(n + ".zip")},
	}, http.StatusOK)
	return d.finish(s.evidence.Bundle(c.Request().Context(), requestOf(c).actor, n, d, notary.BundleOptions{WithContent: content, Disclose: true}))
}
