package evidence

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An evidence number (存证编号) names one piece of evidence for people:
//
//	XM-350200-NOT01-20261123-00000001-U
//	area-region-office-date-serial-check
//
// The date is a day in China Standard Time, not after that of receipt. The serial has at least eight digits and grows. The check
// character is ISO 7064 MOD 37,36 (GB/T 17710) over all letters and digits before it. It finds every single wrong
// character. Two adjacent characters that changed places it finds too, but for one case that the standard leaves open:
// characters with neighbouring values (as 1 and 2) in one of 36 states of the calculation, which is about one swap in
// 180 among random digits.

// NumberFormat is the fixed part of one office's numbers.
type NumberFormat struct {
	Area   string // 2 to 8 upper-case letters, as in "XM"
	Region string // 6 digits, administrative region code (GB/T 2260)
	Office string // 2 to 12 upper-case letters and digits, beginning with a letter, as in "NOT01"
}

// Validate checks the three parts.
func (f NumberFormat) Validate() error {
	var p problems
	if !letters(f.Area, 2, 8) {
		p.add("area", FieldFormat, "地区应为 2 至 8 个大写字母。", "must be 2 to 8 upper-case letters")
	}
	if len(f.Region) != 6 || !digits(f.Region) {
		p.add("region", FieldFormat, "行政区划代码应为 6 位数字。", "must be 6 digits")
	}
	if len(f.Office) < 2 || len(f.Office) > 12 || !letters(f.Office[:1], 1, 1) || !alphanumeric(f.Office) {
		p.add("office", FieldFormat, "机构应为 2 至 12 个大写字母或数字，以字母开头。", "must be 2 to 12 upper-case letters or digits, beginning with a letter")
	}
	return p.err()
}

// Format returns the number with the given serial (1 or more) on the day of t in China Standard Time. The format must
// be valid.
func (f NumberFormat) Format(t time.Time, serial uint64) string {
	b := make([]byte, 0, 48)
	b = append(b, f.Area...)
	b = append(b, '-')
	b = append(b, f.Region...)
	b = append(b, '-')
	b = append(b, f.Office...)
	b = append(b, '-')
	b = t.In(chinaStandardTime).AppendFormat(b, numberDate)
	b = append(b, '-')
	for range minSerialDigits - len(strconv.AppendUint(make([]byte, 0, 20), serial, 10)) {
		b = append(b, '0')
	}
	b = strconv.AppendUint(b, serial, 10)
	check, ok := checkCharacter(b)
	if !ok {
		panic("evidence: number format was not validated")
	}
	return string(append(b, '-', check))
}

const (
	numberDate      = "20060102"
	minSerialDigits = 8
	maxSerialDigits = 15
	maxNumber       = 8 + 1 + 6 + 1 + 12 + 1 + 8 + 1 + maxSerialDigits + 2
)

// chinaStandardTime is UTC+8 all year; a fixed zone needs no time zone data.
var chinaStandardTime = time.FixedZone("CST", 8*60*60)

// Number is a parsed evidence number.
type Number struct {
	NumberFormat
	Date   time.Time // 00:00 in China Standard Time
	Serial uint64
	Check  byte
}

// String returns the number as it was parsed.
func (n Number) String() string { return n.NumberFormat.Format(n.Date, n.Serial) }

// Errors of [ParseNumber], wrapped in a [NumberError].
var (
	ErrNumberFormat = errors.New("not an evidence number")
	ErrCheckDigit   = errors.New("check character does not match: a character is wrong or two changed places")
)

// NumberError says why a text is not an evidence number, with a hint for people.
type NumberError struct {
	Text       string // the text, cut to 80 bytes
	Suggestion string // a number that may have been meant, or empty
	Err        error  // ErrNumberFormat or ErrCheckDigit
}

// Error gives the English sentence, with the suggestion if there is one.
func (e *NumberError) Error() string {
	if e.Suggestion != "" {
		return fmt.Sprintf("evidence number %q: %v; did you mean %s?", e.Text, e.Err, e.Suggestion)
	}
	return fmt.Sprintf("evidence number %q: %v (example: XM-350200-NOT01-20261123-00000001-U)", e.Text, e.Err)
}

// ZH gives the Chinese sentence.
func (e *NumberError) ZH() string {
	what := "不是存证编号（示例：XM-350200-NOT01-20261123-00000001-U）"
	if errors.Is(e.Err, ErrCheckDigit) {
		what = "校验码不符，可能有一个字符写错或相邻两个字符颠倒，请核对"
	}
	if e.Suggestion != "" {
		return fmt.Sprintf("存证编号“%s”%s；是否为 %s？", e.Text, what, e.Suggestion)
	}
	return fmt.Sprintf("存证编号“%s”%s。", e.Text, what)
}

func (e *NumberError) Unwrap() error { return e.Err }

// ParseNumber reads an evidence number in exactly the form that Format writes. The error is a *[NumberError].
func ParseNumber(s string) (Number, error) {
	n, err := parseNumber(s)
	if err == nil {
		return n, nil
	}
	e := &NumberError{Text: s, Err: err}
	if len(s) > 80 {
		e.Text = strings.ToValidUTF8(s[:80], "")
	}
	if better := tidyNumber(s); better != s {
		if _, err := parseNumber(better); err == nil {
			e.Suggestion = better
		}
	}
	return Number{}, e
}

func parseNumber(s string) (Number, error) {
	if len(s) > maxNumber {
		return Number{}, ErrNumberFormat
	}
	var part [6]string
	rest, ok := s, false
	for i := range 5 {
		if part[i], rest, ok = strings.Cut(rest, "-"); !ok {
			return Number{}, ErrNumberFormat
		}
	}
	part[5] = rest
	n := Number{NumberFormat: NumberFormat{Area: part[0], Region: part[1], Office: part[2]}}
	if n.NumberFormat.Validate() != nil {
		return Number{}, ErrNumberFormat
	}
	date, serial, check := part[3], part[4], part[5]
	if len(date) != len(numberDate) || !digits(date) || !digits(serial) || len(check) != 1 || !alphanumeric(check) ||
		len(serial) < minSerialDigits || len(serial) > maxSerialDigits || len(serial) > minSerialDigits && serial[0] == '0' {
		return Number{}, ErrNumberFormat
	}
	// The check character first: it explains a wrong date better than the calendar does.
	n.Check = check[0]
	if want, ok := checkCharacter([]byte(s[:len(s)-2])); !ok || want != n.Check {
		return Number{}, ErrCheckDigit
	}
	var err error
	if n.Date, err = time.ParseInLocation(numberDate, date, chinaStandardTime); err != nil {
		return Number{}, ErrNumberFormat
	}
	if n.Serial, err = strconv.ParseUint(serial, 10, 64); err != nil || n.Serial == 0 {
		return Number{}, ErrNumberFormat
	}
	return n, nil
}

// tidyNumber undoes what typing and copying do to a number: blanks, lower case, full-width characters, long dashes.
func tidyNumber(s string) string {
	if len(s) > 4*maxNumber {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == 0x3000 || r == 0xa0:
			return -1
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 0xff01 && r <= 0xff5e: // full-width forms of ASCII
			r -= 0xfee0
			if r >= 'a' && r <= 'z' {
				r -= 'a' - 'A'
			}
			return r
		case r >= 0x2010 && r <= 0x2015 || r == 0x2212:
			return '-'
		}
		return r
	}, s)
}

// checkCharacter computes ISO 7064 MOD 37,36 over the letters and digits of b; hyphens do not count. It reports
// false if b holds anything else.
func checkCharacter(b []byte) (byte, bool) {
	p := 36
	for _, c := range b {
		if c == '-' {
			continue
		}
		v, ok := checkValue(c)
		if !ok {
			return 0, false
		}
		if p += v; p > 36 {
			p -= 36
		}
		if p *= 2; p >= 37 {
			p -= 37
		}
	}
	return checkAlphabet[(37-p)%36], true
}

const checkAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

func checkValue(c byte) (int, bool) {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0'), true
	case c >= 'A' && c <= 'Z':
		return int(c-'A') + 10, true
	}
	return 0, false
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func letters(s string, least, most int) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return len(s) >= least && len(s) <= most
}

func alphanumeric(s string) bool {
	for i := 0; i < len(s); i++ {
		if _, ok := checkValue(s[i]); !ok {
			return false
		}
	}
	return s != ""
}
