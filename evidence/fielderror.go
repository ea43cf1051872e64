package evidence

import (
	"fmt"
	"strings"
)

// Codes of a [FieldError]. They are stable: programs branch on them.
const (
	FieldRequired  = "FIELD_REQUIRED"  // absent, but must be there
	FieldForbidden = "FIELD_FORBIDDEN" // there, but has no place in this type of statement
	FieldTooLong   = "FIELD_TOO_LONG"
	FieldText      = "FIELD_TEXT"   // not UTF-8, control characters, invisible characters, or blanks where none may be
	FieldFormat    = "FIELD_FORMAT" // does not have the required form
	FieldValue     = "FIELD_VALUE"  // well formed, but not one of the allowed values
	FieldRange     = "FIELD_RANGE"  // number or time out of range
	FieldRepeated  = "FIELD_REPEATED"
	FieldCheck     = "FIELD_CHECK" // a check character does not match
	NamePath       = "NAME_PATH"   // a file name with path parts
)

// FieldError says what is wrong with one field, for programs and for people.
type FieldError struct {
	Field string `json:"field"` // path in the JSON form, as in "content.sm3" or "related[2]"
	Code  string `json:"code"`
	ZH    string `json:"zh"`
	EN    string `json:"en"`
}

// Error gives the English sentence.
func (e FieldError) Error() string { return e.Field + ": " + e.EN }

// FieldErrors holds every problem found, at least one.
type FieldErrors []FieldError

// Error joins the English sentences.
func (e FieldErrors) Error() string {
	texts := make([]string, len(e))
	for i, f := range e {
		texts[i] = f.Error()
	}
	return strings.Join(texts, "; ")
}

// problems collects field errors.
type problems struct{ found FieldErrors }

func (p *problems) err() error {
	if len(p.found) == 0 {
		return nil
	}
	return p.found
}

func (p *problems) add(field, code, zh, en string) {
	p.found = append(p.found, FieldError{Field: field, Code: code, ZH: zh, EN: en})
}

func (p *problems) required(field string) {
	p.add(field, FieldRequired, "此项必填。", "is required")
}

// absent adds a problem if a field is there that its type of statement does not have.
func (p *problems) absent(field string, there bool) {
	if there {
		p.add(field, FieldForbidden, "此类记录不应含此项。", "has no place in this type of statement")
	}
}

// oneOf checks an enumeration. The empty value is allowed if optional.
func oneOf[T ~string](p *problems, field string, value T, optional bool, allowed ...T) {
	if value == "" {
		if !optional {
			p.required(field)
		}
		return
	}
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	list := strings.Join(names, ", ")
	p.add(field, FieldValue, fmt.Sprintf("取值应为以下之一：%s。", list), "must be one of "+list)
}
