package api

import (
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"cunzheng/evidence"
	"cunzheng/notary"
)

// singleHeaders may stand once in a request. A second copy is how requests are smuggled past a check.
var singleHeaders = []string{"Authorization", "Content-Type", "Idempotency-Key", "Cunzheng-Metadata", "Range", "If-Range", "If-None-Match", "Content-Encoding"}

func checkSingleHeaders(h http.Header) error {
	for _, name := range singleHeaders {
		if len(h[name]) > 1 {
			return &failure{code: codeHeader, field: name,
				zh: "请求头 " + name + " 只能出现一次。", en: "The header " + name + " may stand only once."}
		}
	}
	return nil
}

// prefersEnglish reads Accept-Language (RFC 9110 §12.5.4). Chinese is the answer to everything that does not rank
// English higher.
func prefersEnglish(header string) bool {
	best := map[string]float64{}
	for item := range strings.SplitSeq(header, ",") {
		tag, parameters, _ := strings.Cut(strings.TrimSpace(item), ";")
		language, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		quality := 1.0
		if value, ok := strings.CutPrefix(strings.TrimSpace(parameters), "q="); ok {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil {
				continue
			}
			quality = q
		}
		best[language] = max(best[language], quality)
	}
	return best["en"] > best["zh"]
}

// mediaType checks that the request's Content-Type is want, and returns its parameters.
func mediaType(r *http.Request, want ...string) (map[string]string, error) {
	got, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(want, got) {
		accepted := strings.Join(want, ", ")
		return nil, &failure{code: codeMediaType, field: "Content-Type",
			zh: "此接口只接受 " + accepted + "。", en: "This endpoint accepts " + accepted + " only."}
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, &failure{code: codeMediaType, field: "Content-Type",
			zh: "字符编码只能是 UTF-8。", en: "The charset can only be UTF-8."}
	}
	return parameters, nil
}

// idempotencyKey reads the Idempotency-Key header, with or without the quotes of the IETF draft.
func idempotencyKey(h http.Header) (string, error) {
	value := h.Get("Idempotency-Key")
	if unquoted, ok := strings.CutPrefix(value, `"`); ok {
		if unquoted, ok = strings.CutSuffix(unquoted, `"`); !ok {
			return "", badIdempotencyKey()
		}
		value = unquoted
	}
	if value == "" && len(h["Idempotency-Key"]) == 0 {
		return "", nil
	}
	if strings.Contains(value, `"`) || !notary.ValidIdempotencyKey(value) {
		return "", badIdempotencyKey()
	}
	return value, nil
}

func badIdempotencyKey() error {
	return &failure{code: codeHeader, field: "Idempotency-Key",
		zh: fmt.Sprintf("Idempotency-Key 须为 1 至 %d 个可见 ASCII 字符。", notary.MaxIdempotencyKey),
		en: fmt.Sprintf("Idempotency-Key must be 1 to %d visible ASCII characters.", notary.MaxIdempotencyKey)}
}

// digests are the values a client expects the content to have; zero where it named none.
type digests struct{ sm3, sha256 evidence.Digest }

// expectedDigests reads Content-Digest and Repr-Digest (RFC 9530): a dictionary of algorithm=:base64:. Both mean the
// same here, as content is never encoded. Algorithms other than sm3 and sha-256 are ignored beside one of these, as the
// RFC asks; alone they are refused, for a caller that gives a digest expects it to be checked.
func expectedDigests(h http.Header) (digests, error) {
	var d digests
	unchecked := "" // the header with an algorithm nobody here computes
	for _, name := range []string{"Content-Digest", "Repr-Digest"} {
		for _, line := range h.Values(name) {
			for item := range strings.SplitSeq(line, ",") {
				known, err := d.add(name, strings.TrimSpace(item))
				if err != nil {
					return digests{}, err
				}
				if !known {
					unchecked = name
				}
			}
		}
	}
	if unchecked != "" && d.sm3.IsZero() && d.sha256.IsZero() {
		return digests{}, badDigestHeader(unchecked)
	}
	return d, nil
}

func badDigestHeader(header string) error {
	return &failure{code: codeDigestHeader, field: header,
		zh: header + " 须含 sm3=:…: 或 sha-256=:…:，值为 32 字节的 Base64。",
		en: header + " must hold sm3=:…: or sha-256=:…: with the Base64 of 32 bytes."}
}

// add takes over one item of header. It reports whether its algorithm is one that is checked.
func (d *digests) add(header, item string) (known bool, _ error) {
	algorithm, value, ok := strings.Cut(item, "=")
	target := map[string]*evidence.Digest{"sm3": &d.sm3, "sha-256": &d.sha256}[algorithm]
	if ok && algorithm != "" && target == nil {
		return false, nil
	}
	encoded, framed := strings.CutPrefix(value, ":")
	encoded, closed := strings.CutSuffix(encoded, ":")
	sum, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if target == nil || !framed || !closed || err != nil || len(sum) != 32 {
		return true, badDigestHeader(header)
	}
	value32 := evidence.Digest(sum)
	if value32.IsZero() { // the zero value stands for none given further down
		return true, &failure{code: notary.CodeDigestMismatch, field: header,
			zh: header + " 中的 " + algorithm + " 全为零，与任何内容都不符。", en: "The " + algorithm + " in " + header + " is all zero and fits no content."}
	}
	if !target.IsZero() && *target != value32 {
		return true, &failure{code: codeDigestHeader, field: header,
			zh: "请求头给出了两个不同的 " + algorithm + " 值。", en: "The headers give two different values for " + algorithm + "."}
	}
	*target = value32
	return true, nil
}

// checkPlain refuses content in a coding (RFC 9110 §8.4): what is hashed and preserved are the bytes as they are sent,
// and a caller that names a coding means others.
func checkPlain(coding string) error {
	if coding == "" || strings.EqualFold(coding, "identity") {
		return nil
	}
	return &failure{code: codeMediaType, field: "Content-Encoding",
		zh: "不接受 Content-Encoding：请发送未经编码的内容。", en: "No Content-Encoding is accepted: send the content as it is."}
}

// byteRange is what a Range header asks for, resolved against the size of the content.
type byteRange struct {
	first, length int64
	partial       bool
}

// parseRange reads a single "bytes=" range (RFC 9110 §14). What the RFC lets a server ignore (other units, several
// ranges, broken syntax) is ignored and yields the whole; a range outside the content is an error.
func parseRange(header string, size int64) (byteRange, error) {
	whole := byteRange{length: size}
	spec, ok := strings.CutPrefix(header, "bytes=")
	from, to, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || !dash || strings.Contains(spec, ",") {
		return whole, nil
	}
	if from == "" { // the last n bytes
		n, err := strconv.ParseUint(to, 10, 62)
		if err != nil {
			return whole, nil
		}
		if n == 0 || size == 0 {
			return byteRange{}, unsatisfiable(size)
		}
		length := min(int64(n), size)
		return byteRange{first: size - length, length: length, partial: true}, nil
	}
	first, err := strconv.ParseUint(from, 10, 62)
	if err != nil {
		return whole, nil
	}
	last := uint64(size) - 1 // wraps for size 0, where first >= size below
	if to != "" {
		if last, err = strconv.ParseUint(to, 10, 62); err != nil || last < first {
			return whole, nil
		}
	}
	if first >= uint64(size) {
		return byteRange{}, unsatisfiable(size)
	}
	last = min(last, uint64(size)-1)
	return byteRange{first: int64(first), length: int64(last-first) + 1, partial: true}, nil
}

func unsatisfiable(size int64) error {
	return &failure{code: codeRange, field: "Range",
		zh: fmt.Sprintf("所请求的范围不在内容之内（共 %d 字节）。", size),
		en: fmt.Sprintf("The range lies outside the content of %d bytes.", size)}
}

// attachment is a Content-Disposition value that keeps names in any script intact (RFC 6266, RFC 8187).
func attachment(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	return `attachment; filename="` + plain + `"; filename*=UTF-8''` + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}
