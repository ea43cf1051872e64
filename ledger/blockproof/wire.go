package blockproof

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fabric's messages are protocol buffers. They are decoded here by hand, since the generated packages would carry gRPC
// into every verifier, and come in two generations that cannot be linked together. The reader is stricter than
// proto.Unmarshal: a singular field occurs once, numbers and tags have their shortest form, and a field that is not in
// the shape of the message is refused unless the shape is open.

// maxItems bounds the occurrences of one repeated field.
const maxItems = 4096

// fieldKind is the wire form of a field.
type fieldKind byte

const (
	number      fieldKind = iota // varint, once
	octets                       // bytes, string or message, once
	manyOctets                   // repeated bytes, strings, messages, or entries of a map
	manyNumbers                  // repeated varint, not packed
)

// shape names a message and its fields.
type shape struct {
	name string
	// open shapes tolerate fields that later versions of Fabric may add. Only what is covered by a signature or by the
	// hash of the data is open: elsewhere an unknown field would be content that nobody signed.
	open   bool
	fields map[protowire.Number]fieldKind
}

// message is a decoded message. Its byte strings are parts of the input.
type message struct {
	numbers map[protowire.Number][]uint64
	bytes   map[protowire.Number][][]byte
}

func (s *shape) decode(b []byte) (*message, error) {
	m := &message{numbers: map[protowire.Number][]uint64{}, bytes: map[protowire.Number][][]byte{}}
	for len(b) > 0 {
		n, err := s.field(m, b)
		if err != nil {
			return nil, err
		}
		b = b[n:]
	}
	return m, nil
}

// field reads the first field of b into m and returns its length.
func (s *shape) field(m *message, b []byte) (int, error) {
	num, kind, head := protowire.ConsumeTag(b)
	if head < 0 || head != protowire.SizeTag(num) {
		return 0, fmt.Errorf("%w: %s: malformed tag", ErrInvalid, s.name)
	}
	want, known := s.fields[num]
	if !known {
		n := protowire.ConsumeFieldValue(num, kind, b[head:])
		if !s.open || n < 0 || kind == protowire.StartGroupType {
			return 0, fmt.Errorf("%w: %s: field %d has no place there", ErrInvalid, s.name, num)
		}
		return head + n, nil
	}
	switch {
	case kind == protowire.VarintType && (want == number || want == manyNumbers):
		v, n := protowire.ConsumeVarint(b[head:])
		if n < 0 || n != protowire.SizeVarint(v) {
			return 0, fmt.Errorf("%w: %s: malformed number in field %d", ErrInvalid, s.name, num)
		}
		if len(m.numbers[num]) >= limit(want) {
			return 0, fmt.Errorf("%w: %s: field %d occurs too often", ErrInvalid, s.name, num)
		}
		m.numbers[num] = append(m.numbers[num], v)
		return head + n, nil
	case kind == protowire.BytesType && (want == octets || want == manyOctets):
		v, n := protowire.ConsumeBytes(b[head:])
		if n < 0 || n != protowire.SizeBytes(len(v)) {
			return 0, fmt.Errorf("%w: %s: malformed length of field %d", ErrInvalid, s.name, num)
		}
		if len(m.bytes[num]) >= limit(want) {
			return 0, fmt.Errorf("%w: %s: field %d occurs too often", ErrInvalid, s.name, num)
		}
		m.bytes[num] = append(m.bytes[num], v)
		return head + n, nil
	}
	return 0, fmt.Errorf("%w: %s: field %d has wire type %d", ErrInvalid, s.name, num, kind)
}

func limit(k fieldKind) int {
	if k == number || k == octets {
		return 1
	}
	return maxItems
}

// uint returns a number, 0 if it is absent, as protocol buffers have it.
func (m *message) uint(num protowire.Number) uint64 {
	if v := m.numbers[num]; len(v) > 0 {
		return v[0]
	}
	return 0
}

// has reports whether a field is there. Absent and empty mean the same but for the alternatives of a oneof.
func (m *message) has(num protowire.Number) bool {
	return len(m.numbers[num]) > 0 || len(m.bytes[num]) > 0
}

// octets returns a byte string or the encoding of a message, nil if it is absent.
func (m *message) octets(num protowire.Number) []byte {
	if v := m.bytes[num]; len(v) > 0 {
		return v[0]
	}
	return nil
}

// all returns the occurrences of a repeated field.
func (m *message) all(num protowire.Number) [][]byte { return m.bytes[num] }

// text returns a string, which must be UTF-8.
func (m *message) text(num protowire.Number) (string, error) {
	v := m.octets(num)
	if !utf8.Valid(v) {
		return "", fmt.Errorf("%w: field %d is not UTF-8", ErrInvalid, num)
	}
	return string(v), nil
}

// shapeEntry is one entry of a map from strings to messages.
var shapeEntry = &shape{name: "map entry", fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}

// entries returns a map field. A key that occurs twice is refused: readers disagree about which one counts.
func (m *message) entries(num protowire.Number) (map[string][]byte, error) {
	result := make(map[string][]byte, len(m.all(num)))
	for _, raw := range m.all(num) {
		e, err := shapeEntry.decode(raw)
		if err != nil {
			return nil, err
		}
		key, err := e.text(1)
		if err != nil {
			return nil, err
		}
		if _, twice := result[key]; twice {
			return nil, fmt.Errorf("%w: key %.80q occurs twice in a map", ErrInvalid, key)
		}
		result[key] = e.octets(2)
	}
	return result, nil
}
