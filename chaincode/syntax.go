package chaincode

import (
	"bytes"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	// MaxRecord bounds a record as an argument, in bytes.
	MaxRecord = 2 << 10

	maxName       = 255 // bytes
	maxURL        = 255
	maxIdentifier = 64
	hexDigest     = 64 // hexadecimal digits of SM3

	instantLayout = "2006-01-02T15:04:05.000Z"
)

// record is what an organisation has the contract keep.
type record interface {
	// check refuses values outside the format with SYNTAX.
	check() error
}

// parseRecord reads a record in its one accepted form: canonical JSON with exactly the members of the type.
func parseRecord(arg []byte, into record) error {
	if len(arg) > MaxRecord {
		return refuse(Syntax, "record of %d bytes, at most %d", len(arg), MaxRecord)
	}
	if err := json.Unmarshal(arg, into, json.RejectUnknownMembers(true)); err != nil {
		return refuse(Syntax, "record: %v", err)
	}
	again, err := canonical(into)
	if err != nil || !bytes.Equal(again, arg) {
		return refuse(Syntax, "the record is not canonical JSON or lacks a member")
	}
	return into.check()
}

// encodeRecord checks a record and renders it as an argument.
func encodeRecord(r record) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return canonical(r)
}

// checkTime takes a time between 1970 and 9999 in UTC with milliseconds.
func checkTime(member, text string) error {
	t, err := time.Parse(instantLayout, text)
	if err != nil || t.UnixMilli() < 1 || t.Format(instantLayout) != text { // Parse takes more than Format writes
		return refuse(Syntax, "%s: %.40q is not a time such as 2026-11-23T11:22:33.456Z", member, text)
	}
	return nil
}

// checkDigest takes 64 lower-case hexadecimal digits.
func checkDigest(member, text string) error {
	if len(text) != hexDigest || !within(text, "0123456789abcdef") {
		return refuse(Syntax, "%s: %.80q is not 64 lower-case hexadecimal digits", member, text)
	}
	return nil
}

// checkIdentifier takes [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
func checkIdentifier(member, text string) error {
	if text == "" || len(text) > maxIdentifier || strings.ContainsRune("._-", rune(text[0])) || !within(text, letters+lower+digits+"._-") {
		return refuse(Syntax, "%s: %.80q is not an identifier", member, text)
	}
	return nil
}

// checkOffice takes an office code, the fixed part of evidence numbers, as in XM-350200-NOT01.
func checkOffice(code string) error {
	parts := strings.Split(code, "-")
	if len(parts) != 3 ||
		len(parts[0]) < 2 || len(parts[0]) > 8 || !within(parts[0], letters) ||
		len(parts[1]) != 6 || !within(parts[1], digits) ||
		len(parts[2]) < 2 || len(parts[2]) > 12 || !within(parts[2], letters+digits) || !within(parts[2][:1], letters) {
		return refuse(Syntax, "office: %.80q is not an office code such as XM-350200-NOT01", code)
	}
	return nil
}

// checkURL takes the base URL of a node: a scheme, a host, and perhaps a port and a path without a slash at its end.
func checkURL(url string) error {
	rest, ok := strings.CutPrefix(url, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(url, "http://")
	}
	// No user and no query: an address only. A bracket begins an IPv6 host.
	if !ok || len(url) > maxURL || rest == "" || strings.HasSuffix(rest, "/") ||
		!within(rest[:1], letters+lower+digits+"[") || !within(rest, letters+lower+digits+"-._~/:%[]") {
		return refuse(Syntax, "url: %.80q is not the base URL of a node", url)
	}
	return nil
}

// names are the characters of a name that people read: what is written in Chinese and in Latin letters. All of them
// show, and none changes the direction of reading. The list does not depend on the tables of a version of Go.
var names = [][2]rune{
	{' ', '~'}, {0xa1, 0xac}, {0xae, 0x24f}, // Latin, without the soft hyphen
	{0x2010, 0x2027}, {0x3001, 0x3029}, // dashes, quotation marks, Chinese punctuation
	{0x3400, 0x4dbf}, {0x4e00, 0x9fff}, {0xf900, 0xfaff}, {0x20000, 0x3ffff}, // ideographs
	{0xff01, 0xff5e}, // full-width forms
}

func checkName(name string) error {
	outside := func(c rune) bool {
		for _, r := range names {
			if r[0] <= c && c <= r[1] {
				return false
			}
		}
		return true
	}
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, outside) || strings.Trim(name, " ") != name {
		return refuse(Syntax, "name: %.80q", name)
	}
	return nil
}

const (
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	lower   = "abcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
)

// within reports whether text is made of the bytes in alphabet alone.
func within(text, alphabet string) bool {
	for i := range len(text) {
		if strings.IndexByte(alphabet, text[i]) < 0 {
			return false
		}
	}
	return true
}
