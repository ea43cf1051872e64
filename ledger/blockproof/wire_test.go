package blockproof

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestDecode(t *testing.T) {
	closed := &shape{name: "closed", fields: map[protowire.Number]fieldKind{1: number, 2: octets, 3: manyOctets, 4: manyNumbers}}
	open := &shape{name: "open", open: true, fields: closed.fields}
	for name, c := range map[string]struct {
		text       string
		closed, ok bool // whether the closed and the open shape accept it
	}{
		"empty":                        {"", true, true},
		"each field":                   {"\x08\x07\x12\x01a\x1a\x00\x1a\x01b\x20\x01\x20\x02", true, true},
		"any order":                    {"\x12\x01a\x08\x07", true, true},
		"number twice":                 {"\x08\x07\x08\x07", false, false},
		"octets twice":                 {"\x12\x01a\x12\x01b", false, false},
		"number where octets belong":   {"\x10\x01", false, false},
		"octets where a number is":     {"\x0a\x01a", false, false},
		"packed numbers":               {"\x22\x02\x01\x02", false, false},
		"unknown number":               {"\x78\x01", false, true},
		"unknown octets":               {"\x7a\x01a", false, true},
		"unknown fixed":                {"\x7d\x01\x02\x03\x04", false, true},
		"unknown group":                {"\x7b\x7c", false, false},
		"end of a group":               {"\x7c", false, false},
		"field 0":                      {"\x00\x01", false, false},
		"tag longer than need be":      {"\x88\x00\x07", false, false},
		"number longer than need be":   {"\x08\x87\x00", false, false},
		"length longer than need be":   {"\x12\x81\x00a", false, false},
		"cut in the tag":               {"\x88", false, false},
		"cut in the number":            {"\x08", false, false},
		"cut in the octets":            {"\x12\x02a", false, false},
		"length beyond memory":         {"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", false, false},
		"trailing byte":                {"\x08\x07\x00", false, false},
		"number of more than 64 bits":  {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", false, false},
		"too many of a repeated field": {strings.Repeat("\x1a\x00", maxItems+1), false, false},
		"many of a repeated field":     {strings.Repeat("\x1a\x00", maxItems), true, true},
	} {
		for s, want := range map[*shape]bool{closed: c.closed, open: c.ok} {
			m, err := s.decode([]byte(c.text))
			if (err == nil) != want || err != nil && !errors.Is(err, ErrInvalid) {
				t.Errorf("%s, %s: %+v, %v", name, s.name, m, err)
			}
		}
	}
}

func TestEntries(t *testing.T) {
	s := &shape{name: "map", fields: map[protowire.Number]fieldKind{2: manyOctets}}
	entry := func(fields string) string { return "\x12" + string(rune(len(fields))) + fields }
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"two":              {entry("\x0a\x01a\x12\x01x") + entry("\x0a\x01b\x12\x01x"), true},
		"without value":    {entry("\x0a\x01a"), true},
		"without key":      {entry("\x12\x01x"), true},
		"twice":            {entry("\x0a\x01a\x12\x01x") + entry("\x0a\x01a\x12\x01y"), false},
		"key is not UTF-8": {entry("\x0a\x01\xff"), false},
		"third field":      {entry("\x0a\x01a\x1a\x01x"), false},
	} {
		m, err := s.decode([]byte(c.text))
		if err == nil {
			_, err = m.entries(2)
		}
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMemory feeds blocks that are as large as may be and hold as many parts as may be. None may cost more than a small
// multiple of its length.
func TestMemory(t *testing.T) {
	const size = MaxFabricSize / 4 * 3 // of a block that fits into a proof
	nested := []byte("\x0a\x00")
	for len(nested) < size/2 {
		nested = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), append(nested, nested...))
	}
	for name, raw := range map[string][]byte{
		"empty envelopes": protowire.AppendBytes([]byte{0x12}, bytes.Repeat([]byte("\x0a\x00"), size/2)),
		"unknown fields":  protowire.AppendBytes([]byte{0x12}, bytes.Repeat([]byte("\x78\x01"), size/2)),
		"nested":          nested,
		"one envelope":    protowire.AppendBytes([]byte{0x12}, append([]byte{0x0a, 0x80, 0x80, 0x80, 0x01}, make([]byte, 1<<21)...)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := parseBlock(raw); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
			t.Errorf("%s: %d bytes allocated", name, used)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x08\x07\x12\x01a\x1a\x00\x1a\x01b\x20\x01\x20\x02\x7a\x01a"))
	s := &shape{name: "fuzz", open: true, fields: map[protowire.Number]fieldKind{1: number, 2: octets, 3: manyOctets, 4: manyNumbers}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := s.decode(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			return
		}
		total := len(m.octets(2))
		for _, b := range m.all(3) {
			total += len(b)
		}
		if total > len(raw) {
			t.Fatal("fields longer than the message")
		}
	})
}

func FuzzSignaturePolicy(f *testing.F) {
	f.Add([]byte("\x12\x0c\x12\x0a\x08\x01\x12\x02\x08\x00\x12\x02\x08\x01\x1a\x0f\x12\x0d\x0a\x09NotaryMSP\x10\x03"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parseSignaturePolicy(raw)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			return
		}
		if p.evaluate(nil) != nil {
			t.Fatal("satisfied by nobody")
		}
	})
}
