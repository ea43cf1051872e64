package evidence

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest values, in bytes of UTF-8.
const (
	maxLine      = 512   // a line of text: case number, name of a system
	maxVersion   = 128   // a version
	maxName      = 255   // a file name, the name of a log
	maxParagraph = 12288 // committed free text, as 4,096 Chinese characters
)

// line checks one line of text: UTF-8, bounded, no control characters, no invisible characters, no blank at either end.
func (p *problems) line(field, value string, limit int) {
	if !p.text(field, value, limit, false) {
		return
	}
	if value != strings.TrimSpace(value) {
		p.add(field, FieldText, "首尾不应有空白。", "must not begin or end with a blank")
	}
}

// text checks text; newlines are allowed in a paragraph. It reports whether the text is good.
func (p *problems) text(field, value string, limit int, paragraph bool) bool {
	if len(value) > limit {
		p.add(field, FieldTooLong, fmt.Sprintf("过长：最多 %d 字节。", limit), fmt.Sprintf("is too long: at most %d bytes", limit))
		return false
	}
	for i := 0; i < len(value); {
		c := value[i]
		if c >= 0x20 && c < 0x7f || c == '\n' && paragraph {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(value[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			p.add(field, FieldText, "不是有效的 UTF-8 文本。", "is not valid UTF-8")
			return false
		case r < 0xa0: // ASCII is behind us: C0 controls, DEL, C1 controls
			p.add(field, FieldText, fmt.Sprintf("含控制字符 U+%04X。", r), fmt.Sprintf("contains the control character U+%04X", r))
			return false
		case hides(r):
			p.add(field, FieldText, fmt.Sprintf("含不可见或改变文字方向的字符 U+%04X。", r), fmt.Sprintf("contains U+%04X, which is invisible or reorders text", r))
			return false
		}
		i += n
	}
	return true
}

// hidden are the characters that show nothing of their own: they change the reading direction, break a line unseen,
// join, part or tag other characters, or are ignored. With these a text can look like another. They are those that
// Unicode calls Default_Ignorable_Code_Point, the separators of lines and paragraphs and the annotation marks; variation
// selectors, which choose the glyph of an ideograph in names (U+E0100 to U+E01EF) or of a sign, are text.
var hidden = [][2]rune{
	{0xad, 0xad}, {0x34f, 0x34f}, {0x61c, 0x61c}, {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180e, 0x180e}, // soft hyphen, joiners, fillers
	{0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, // of no width, marks, separators, embeddings, isolates
	{0x3164, 0x3164}, {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, // fillers, byte order mark, annotations
	{0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, // controls of shorthand and of music
	{0xe0000, 0xe00ff}, {0xe01f0, 0xe0fff}, // tags, and what is kept for their like
}

func hides(r rune) bool {
	for _, h := range hidden {
		if r <= h[1] {
			return r >= h[0]
		}
	}
	return false
}

// identifier checks an identifier: [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
func (p *problems) identifier(field, value string) {
	if value == "" {
		p.required(field)
		return
	}
	ok := len(value) <= 64
	for i := 0; i < len(value) && ok; i++ {
		c := value[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = alnum || i > 0 && (c == '.' || c == '_' || c == '-')
	}
	if !ok {
		p.add(field, FieldFormat, "应为字母、数字、点、下划线或连字符，以字母或数字开头，最多 64 个字符。",
			"must be letters, digits, '.', '_' or '-', begin with a letter or digit, and have at most 64 characters")
	}
}

// roles checks a sorted list of role names without repeats: [a-z][a-z0-9-]{0,31}, at most 32 of them.
func (p *problems) roles(field string, roles []string) {
	if len(roles) > 32 {
		p.add(field, FieldTooLong, "最多 32 个角色。", "has more than 32 roles")
		return
	}
	for i, r := range roles {
		if !lowerName(r, true) {
			p.add(fmt.Sprintf("%s[%d]", field, i), FieldFormat, "角色名应为小写字母、数字或连字符。", "must be lower-case letters, digits or '-'")
		}
		if i > 0 && roles[i-1] >= r {
			p.add(fmt.Sprintf("%s[%d]", field, i), FieldRepeated, "角色应按字母排序且不重复。", "roles must be sorted and without repeats")
		}
	}
}

// lowerName reports whether s is a lower-case letter followed by up to 31 letters, digits and, if dashes, '-'; upper
// case is allowed inside if not dashes.
func lowerName(s string, dashes bool) bool {
	if s == "" || len(s) > 32 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', dashes && c == '-', !dashes && c >= 'A' && c <= 'Z':
		default:
			return false
		}
	}
	return true
}

// ValidateFileName checks the name of a file: no path parts, no control characters, no invisible characters, not only
// blanks, 1 to 255 bytes. The error is a [FieldErrors] for the given field.
func ValidateFileName(field, name string) error {
	var p problems
	p.fileName(field, name)
	return p.err()
}

func (p *problems) fileName(field, name string) {
	switch {
	case name == "":
		p.required(field)
	case strings.ContainsAny(name, `/\`) || name == "." || name == "..":
		p.add(field, NamePath, "文件名不应含路径。", "must be a file name without path")
	case strings.TrimSpace(name) == "":
		p.add(field, FieldText, "文件名不应只含空白。", "must not be blank")
	default:
		p.text(field, name, maxName, false)
	}
}

// mediaType checks "type/subtype" in lower case, without parameters.
func (p *problems) mediaType(field, value string) {
	major, minor, ok := strings.Cut(value, "/")
	if !ok || len(value) > 127 || !token(major) || !token(minor) {
		p.add(field, FieldFormat, "应为小写的媒体类型，如 application/pdf，不带参数。", "must be a media type in lower case without parameters, such as application/pdf")
	}
}

func token(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$&-^_.+", rune(c)) {
			return false
		}
	}
	return s != ""
}

// origin checks the name of a log: one line without blanks or '+', as a signed note wants its key names.
func (p *problems) origin(field, value string) {
	if value == "" {
		p.required(field)
		return
	}
	if !p.text(field, value, maxName, false) {
		return
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r == '+' || unicode.IsSpace(r) }) {
		p.add(field, FieldFormat, "日志名称不应含空白或加号。", "must not contain blanks or '+'")
	}
}
