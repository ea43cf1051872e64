package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// TestParseStatementStrict holds that there is one encoding only.
func TestParseStatementStrict(t *testing.T) {
	data, err := testStatement().Encode()
	must(t, err)
	text := string(data)
	for name, bad := range map[string]string{
		"blank":            text + " ",
		"newline":          text + "\n",
		"leading blank":    " " + text,
		"indented":         indent(t, data),
		"unknown member":   strings.Replace(text, `"type":`, `"tip":1,"type":`, 1),
		"repeated member":  strings.Replace(text, `"log":`, `"log":"x","log":`, 1),
		"other case":       strings.Replace(text, `"log":`, `"Log":`, 1),
		"escaped":          strings.Replace(text, "platform", `\u0070latform`, 1),
		"other order":      `{"type":"file",` + strings.Replace(text, `,"type":"file"`, "", 1)[1:],
		"float size":       strings.Replace(text, `"size":`, `"size":0`, 1),
		"exponent":         strings.Replace(text, `"size":`, `"size":1e0`, 1),
		"upper-case hex":   strings.Replace(text, `"sm3":"`, `"sm3":"A`, 1),
		"null member":      strings.Replace(text, `"log":`, `"key":null,"log":`, 1),
		"other zone":       strings.Replace(text, "456Z", "456+00:00", 1),
		"other precision":  strings.Replace(text, "456Z", "4560Z", 1),
		"no precision":     strings.Replace(text, ".456Z", "Z", 1),
		"second document":  text + text,
		"nothing":          "",
		"byte order mark":  "\ufeff" + text,
		"too long":         text + strings.Repeat(" ", MaxStatementSize),
		"array":            "[" + text + "]",
		"empty member":     strings.Replace(text, `"log":`, `"key":{},"log":`, 1),
		"seconds overflow": strings.Replace(text, ":33.456Z", ":60.456Z", 1),
	} {
		if bad == text {
			t.Errorf("%s: the test changes nothing", name)
		}
		if _, err := ParseStatement([]byte(bad)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, newer := range []string{
		strings.Replace(text, "statement/v1", "statement/v2", 1),
		strings.Replace(text, `"type":"file"`, `"exchange":{},"type":"exchange"`, 1),
	} {
		var schema *SchemaError
		if _, err := ParseStatement([]byte(newer)); !errors.As(err, &schema) {
			t.Errorf("a newer format is not told from a broken one: %v", err)
		}
	}
}

func indent(t *testing.T, data []byte) string {
	t.Helper()
	var out bytes.Buffer
	must(t, json.Indent(&out, data, "", " "))
	return out.String()
}
