package evidence

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var testFormat = NumberFormat{Area: "XM", Region: "350200", Office: "NOT01"}

// TestCheckCharacter compares with published values of ISO 7064 MOD 37,36.
func TestCheckCharacter(t *testing.T) {
	for text, want := range map[string]byte{
		"A12425GABC1234002": 'M', // Global Release Identifier A1-2425G-ABC1234002-M, as published by IFPI
	} {
		if got, ok := checkCharacter([]byte(text)); !ok || got != want {
			t.Errorf("%s: %c, want %c", text, got, want)
		}
	}
}

func TestNumberFormat(t *testing.T) {
	late := time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC) // already the 24th in China
	for _, test := range []struct {
		t      time.Time
		serial uint64
		want   string
	}{
		{tReceived.Time(), 1, "XM-350200-NOT01-20261123-00000001-"},
		{tReceived.Time(), 99_999_999, "XM-350200-NOT01-20261123-99999999-"},
		{tReceived.Time(), 100_000_000, "XM-350200-NOT01-20261123-100000000-"},
		{late, 12, "XM-350200-NOT01-20261124-00000012-"},
	} {
		got := testFormat.Format(test.t, test.serial)
		if !strings.HasPrefix(got, test.want) || len(got) != len(test.want)+1 {
			t.Errorf("%s, want %sX", got, test.want)
		}
		n, err := ParseNumber(got)
		if err != nil || n.String() != got || n.Serial != test.serial || n.NumberFormat != testFormat {
			t.Errorf("%s: parsed as %+v, %v", got, n, err)
		}
	}
}

// TestNumberMistakes holds that every single wrong character and, but for the case that ISO 7064 leaves open, every
// swapped pair is found.
func TestNumberMistakes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	swaps, missed := 0, 0
	for range 500 {
		number := testFormat.Format(tReceived.Time().Add(time.Duration(random.IntN(20000))*time.Hour), 1+random.Uint64N(100_000_000))
		for i := range number {
			for _, c := range []byte(checkAlphabet + "-") {
				if c == number[i] {
					continue
				}
				wrong := number[:i] + string(c) + number[i+1:]
				if _, err := ParseNumber(wrong); err == nil {
					t.Fatalf("%s for %s is not found", wrong, number)
				}
			}
			if i == 0 || number[i] == number[i-1] {
				continue
			}
			inSerial := i > len("XM-350200-NOT01-20261123-")
			if inSerial {
				swaps++
			}
			swapped := number[:i-1] + string(number[i]) + string(number[i-1]) + number[i+1:]
			if _, err := ParseNumber(swapped); err == nil {
				if inSerial {
					missed++
				}
				a, _ := checkValue(number[i-1])
				b, _ := checkValue(number[i])
				if a-b != 1 && b-a != 1 {
					t.Fatalf("%s for %s is not found, though the characters are not neighbours", swapped, number)
				}
			}
		}
	}
	if missed*100 > swaps {
		t.Errorf("of %d swapped pairs in serials, %d are not found", swaps, missed)
	}
}

func TestParseNumberErrors(t *testing.T) {
	good := testFormat.Format(tReceived.Time(), 1)
	for _, bad := range []string{
		"", "1", good + "0", good[1:], strings.ReplaceAll(good, "-", ""), good + "-" + good, strings.Repeat("A", 1000),
		reseal("XM-350200-NOT01-20261301-00000001"), reseal("XM-350200-NOT01-20260230-00000001"), reseal("XM-350200-NOT01-20261123-00000000"),
		reseal("XM-350200-NOT01-20261123-0000001"), reseal("XM-350200-NOT01-20261123-000000001"), reseal("XM-35020-NOT01-20261123-00000001"),
		reseal("X-350200-NOT01-20261123-00000001"), reseal("XM-350200-1NOT-20261123-00000001"), reseal("XM-350200-NOT01-20261123-1234567890123456"),
	} {
		_, err := ParseNumber(bad)
		var number *NumberError
		if !errors.As(err, &number) || !errors.Is(err, ErrNumberFormat) && !errors.Is(err, ErrCheckDigit) || number.ZH() == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, typed := range []string{strings.ToLower(good), " " + good + "\n", strings.ReplaceAll(good, "-", "—"), strings.ReplaceAll(good, "0", "０")} {
		_, err := ParseNumber(typed)
		var number *NumberError
		if !errors.As(err, &number) || number.Suggestion != good {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

// reseal appends the right check character.
func reseal(text string) string {
	c, _ := checkCharacter([]byte(text))
	return fmt.Sprintf("%s-%c", text, c)
}

func TestCreditCode(t *testing.T) {
	for code, want := range map[string]bool{
		"91350100M000100Y43": true, "91350100M000100Y44": false, "91350100M000100Y4": false, "9135010IM000100Y43": false,
		"913501A0M000100Y43": false, "": false, "91350100m000100y43": false,
	} {
		if ValidCreditCode(code) != want {
			t.Errorf("%s: want %v", code, want)
		}
	}
	// Every single wrong character is found.
	const good = "91350100M000100Y43"
	for i := range good {
		for _, c := range creditAlphabet {
			if wrong := good[:i] + string(c) + good[i+1:]; wrong != good && ValidCreditCode(wrong) {
				t.Errorf("%s is valid", wrong)
			}
		}
	}
}

func TestFileName(t *testing.T) {
	for _, good := range []string{"a", "合同.pdf", "a b.txt", "𠮷䶮〇.doc", "..a", "a..", "'\"$&.txt", strings.Repeat("n", 255)} {
		if err := ValidateFileName("name", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for bad, code := range map[string]string{
		"": FieldRequired, ".": NamePath, "..": NamePath, "a/b": NamePath, `a\b`: NamePath, "/etc/passwd": NamePath, "../a": NamePath,
		"a\x00b": FieldText, "a\nb": FieldText, "a\x7f": FieldText, "a\u0090": FieldText, "exe.\u202etxt": FieldText, "a\xff": FieldText,
		strings.Repeat("n", 256): FieldTooLong,
	} {
		var found FieldErrors
		if err := ValidateFileName("name", bad); !errors.As(err, &found) || found[0].Code != code || found[0].Field != "name" {
			t.Errorf("%q: %v, want %s", bad, err, code)
		}
	}
}

func FuzzParseNumber(f *testing.F) {
	f.Add(testFormat.Format(tReceived.Time(), 1))
	f.Add("XM-350200-NOT01-20261123-00000001-７")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseNumber(s)
		if err == nil && n.String() != s {
			t.Errorf("%q is read as %s", s, n)
		}
		if err != nil && err.Error() == "" {
			t.Error("an empty error")
		}
	})
}
