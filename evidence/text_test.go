package evidence

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"
)

// Every character that is not seen by itself is refused in lines, texts and names, and the error names it.
func TestHiddenCharactersAreRefused(t *testing.T) {
	hidden := []rune{0xad, 0x61c, 0x180e, 0x200b, 0x200c, 0x200d, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202e, 0x2060, 0x2061,
		0x2064, 0x2066, 0x2069, 0x3164, 0xfeff, 0xfffb, 0xe0000, 0xe0001, 0xe0020, 0xe007f}
	for _, r := range hidden {
		value := "合同" + string(r) + "书"
		code := fmt.Sprintf("U+%04X", r)
		for kind, check := range map[string]func(*problems){
			"line":      func(p *problems) { p.line("field", value, maxLine) },
			"paragraph": func(p *problems) { p.text("field", value, maxParagraph, true) },
			"name":      func(p *problems) { p.fileName("field", value) },
			"origin":    func(p *problems) { p.origin("field", value) },
		} {
			var p problems
			check(&p)
			var found FieldErrors
			if err := p.err(); !errors.As(err, &found) || found[0].Code != FieldText || found[0].Field != "field" {
				t.Errorf("%s with %s: %v", kind, code, err)
			} else if !strings.Contains(found[0].ZH, code) || !strings.Contains(found[0].EN, code) {
				t.Errorf("%s: %q, %q do not name %s", kind, found[0].ZH, found[0].EN, code)
			}
		}
	}
}

// Rare characters of names and places, and the selectors that choose their glyph, are text.
func TestRareCharactersAreText(t *testing.T) {
	for _, value := range []string{
		"𠮷", "䶮", "〇", "㙍", "𪚥", "\U0002A6D6", "\U000323AF", "邉\U000E0101", "葛\U000E01EF", "☎\ufe0e", "❤\ufe0f", "神\ufe00",
		"ᠮᠣᠩᠭᠣᠯ\u180b", "བོད", "ئۇيغۇر", "é", "e\u0301", "㎡", "①", "甲　乙", "a b",
	} {
		var p problems
		p.line("line", value, maxLine)
		p.text("paragraph", value, maxParagraph, true)
		p.fileName("name", value)
		if err := p.err(); err != nil {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// The list in hides is Unicode's: the characters that a renderer shows nothing for, without the variation selectors,
// and the separators of lines and paragraphs.
func TestHidesIsComplete(t *testing.T) {
	for r := rune(0xa0); r <= unicode.MaxRune; r++ {
		visibleFormat := unicode.Is(unicode.Prepended_Concatenation_Mark, r) || r >= 0x13430 && r <= 0x1345f // signs of Egyptian text
		want := (unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Zl, unicode.Zp) && !visibleFormat)
		if unicode.Is(unicode.Variation_Selector, r) {
			want = false
		}
		if hides(r) != want {
			t.Errorf("hides(%U) = %v, want %v", r, !want, want)
		}
	}
}

func TestBlankFileName(t *testing.T) {
	for _, name := range []string{" ", "   ", "\u00a0", "\u3000\u2003 "} {
		var found FieldErrors
		if err := ValidateFileName("name", name); !errors.As(err, &found) || found[0].Code != FieldText || found[0].Field != "name" {
			t.Errorf("%q: %v", name, err)
		}
	}
}
