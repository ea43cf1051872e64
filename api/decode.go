package api

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"cunzheng/evidence"
	"cunzheng/notary"
)

// readJSON decodes the whole body strictly into v: unknown members, members given twice and anything after the value
// are errors.
func readJSON(c echo.Context, v any) error {
	if _, err := mediaType(c.Request(), "application/json"); err != nil {
		return err
	}
	body, err := readBody(c)
	if err != nil {
		return err
	}
	return decodeJSON(body, v)
}

// readBody reads a body that limitBody has bounded.
func readBody(c echo.Context) ([]byte, error) {
	body, err := io.ReadAll(c.Request().Body)
	if err != nil {
		return nil, bodyError(err)
	}
	return body, nil
}

// bodyError tells a body that is too large from one that is too slow and one that was cut off.
func bodyError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	if isTimeout(err) {
		return &failure{code: codeBodyTimeout, err: err}
	}
	return &failure{code: codeBodyCut, err: err}
}

func decodeJSON(data []byte, v any) error {
	err := json.Unmarshal(data, v, json.RejectUnknownMembers(true))
	if err == nil {
		return checkSaying(data)
	}
	f := explainJSON(err)
	f.err = err
	return f
}

// checkSaying refuses what a valid JSON text leaves unsaid where a caller will think it has said something: null in
// place of a value, and an idempotency key without a character, which would protect nothing.
func checkSaying(data []byte) error {
	if !bytes.Contains(data, []byte("null")) && !bytes.Contains(data, []byte(`""`)) {
		return nil // nearly always
	}
	d := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		t, err := d.ReadToken()
		if err != nil {
			return nil // the end
		}
		where := string(d.StackPointer())
		if t.Kind() == 'n' || where == "/idempotencyKey" && t.Kind() == '"' && t.String() == "" {
			return &failure{code: codeJSON, field: where,
				zh: "JSON 中有空值，无内容的成员请省略：" + cmp.Or(where, "/") + "。", en: "The JSON has an empty value; leave the member out: " + cmp.Or(where, "/") + "."}
		}
	}
}

// explainJSON says where a JSON text is wrong and, without naming types of this program, how.
func explainJSON(err error) *failure {
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		where := string(s.JSONPointer)
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return &failure{code: codeJSON, field: where,
				zh: "JSON 中同一成员出现两次：" + where + "。", en: "The JSON has a member twice: " + where + "."}
		}
		return &failure{code: codeJSON, field: where,
			zh: fmt.Sprintf("JSON 在第 %d 字节处有语法错误。", s.ByteOffset),
			en: fmt.Sprintf("The JSON has a syntax error at byte %d.", s.ByteOffset)}
	}
	s, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return &failure{code: codeJSON}
	}
	where := string(s.JSONPointer)
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return &failure{code: codeJSON, field: where,
			zh: "JSON 含有未知成员：" + where + "。", en: "The JSON has an unknown member: " + where + "."}
	case s.GoType == reflect.TypeFor[evidence.Digest]():
		return &failure{code: notary.CodeDigestInvalid, field: where,
			zh: where + " 须为 64 位小写十六进制字符，且不全为零。", en: where + " must be 64 lower-case hexadecimal characters, not all zero."}
	case s.GoType == reflect.TypeFor[evidence.Instant]():
		return &failure{code: codeJSON, field: where,
			zh: where + " 须为形如 2026-11-23T11:22:33.456Z 的时间。", en: where + " must be a time such as 2026-11-23T11:22:33.456Z."}
	}
	return &failure{code: codeJSON, field: where,
		zh: "JSON 成员的值不符合要求：" + where + "。", en: "The value of a JSON member is not of the right form: " + where + "."}
}

// pathParameter returns a decoded parameter of the path. The router matches the path as sent where that differs from
// the decoded one, and the decoded one otherwise; decoding twice would turn the name "100%41" into "100A".
func pathParameter(c echo.Context, name string) (string, error) {
	value := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return value, nil
	}
	decoded, err := url.PathUnescape(value)
	if err != nil {
		return "", &failure{code: codeNoSuchPath, err: err}
	}
	return decoded, nil
}

// checkQuery refuses parameters that the route does not know, or that are given twice: a misspelt filter must not
// quietly become no filter.
func checkQuery(u *url.URL, known []string) error {
	if u.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return &failure{code: codeQuery, zh: "查询参数的编码有误。", en: "The query is not properly encoded.", err: err}
	}
	for name, values := range query {
		if !slices.Contains(known, name) {
			return &failure{code: codeQuery, field: printable(name), zh: "未知的查询参数。", en: "Unknown query parameter."}
		}
		if len(values) > 1 {
			return &failure{code: codeQuery, field: name, zh: "查询参数只能出现一次：" + name + "。", en: "Query parameter given twice: " + name + "."}
		}
		if values[0] == "" { // most likely a variable that was not set, and not the wish to find everything
			return &failure{code: codeQuery, field: name, zh: "查询参数不能为空：" + name + "。", en: "Query parameter without a value: " + name + "."}
		}
	}
	return nil
}

// readForm decodes a body of application/x-www-form-urlencoded in which each parameter stands once and is known.
func readForm(c echo.Context, known ...string) (url.Values, error) {
	if _, err := mediaType(c.Request(), "application/x-www-form-urlencoded"); err != nil {
		return nil, err
	}
	body, err := readBody(c)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, &failure{code: codeForm, zh: "表单编码有误。", en: "The form is not properly encoded."}
	}
	for name, values := range form {
		if !slices.Contains(known, name) || len(values) > 1 {
			return nil, &failure{code: codeForm, field: printable(name),
				zh: "表单参数未知或重复。", en: "A form parameter is unknown or given twice."}
		}
	}
	return form, nil
}

// printable shortens what a caller sent to something that can be shown back.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > 64 {
		return string(runes[:64]) + "…"
	}
	return s
}
