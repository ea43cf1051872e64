package evidence

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Digest is a 32-byte SM3 or SHA-256 value, in JSON 64 lower-case hexadecimal characters. The zero Digest stands for
// "absent".
type Digest [32]byte

// ParseDigest reads 64 lower-case hexadecimal characters that are not all zeros.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	err := d.UnmarshalText([]byte(s))
	return d, err
}

// IsZero reports whether the digest is absent.
func (d Digest) IsZero() bool { return d == Digest{} }

// String returns the lower-case hexadecimal form.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// AppendText appends the lower-case hexadecimal form.
func (d Digest) AppendText(b []byte) ([]byte, error) { return hex.AppendEncode(b, d[:]), nil }

// MarshalText returns the lower-case hexadecimal form.
func (d Digest) MarshalText() ([]byte, error) { return d.AppendText(nil) }

// UnmarshalText reads 64 lower-case hexadecimal characters that are not all zeros.
func (d *Digest) UnmarshalText(text []byte) error {
	if err := decodeHex(d[:], text); err != nil {
		return err
	}
	if d.IsZero() {
		return errors.New("want a digest, got zeros")
	}
	return nil
}

// Nonce is 16 random bytes, in JSON 32 lower-case hexadecimal characters. It makes the leaf hash of a statement
// unguessable: leaf hashes are public in the log's tiles.
type Nonce [16]byte

// NewNonce returns a fresh random nonce.
func NewNonce() Nonce {
	var n Nonce
	rand.Read(n[:]) // never fails: the runtime ends the program instead
	return n
}

// IsZero reports whether the nonce is absent.
func (n Nonce) IsZero() bool { return n == Nonce{} }

// AppendText appends the lower-case hexadecimal form.
func (n Nonce) AppendText(b []byte) ([]byte, error) { return hex.AppendEncode(b, n[:]), nil }

// MarshalText returns the lower-case hexadecimal form.
func (n Nonce) MarshalText() ([]byte, error) { return n.AppendText(nil) }

// UnmarshalText reads 32 lower-case hexadecimal characters.
func (n *Nonce) UnmarshalText(text []byte) error { return decodeHex(n[:], text) }

func decodeHex(dst, text []byte) error {
	if len(text) != hex.EncodedLen(len(dst)) {
		return fmt.Errorf("want %d hexadecimal characters, got %d", hex.EncodedLen(len(dst)), len(text))
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return errors.New("want lower-case hexadecimal characters only")
		}
	}
	_, err := hex.Decode(dst, text)
	return err
}

// Instant is a point in time in milliseconds since 1970-01-01T00:00:00Z. In JSON it is RFC 3339 in UTC with exactly
// three fractional digits, as in "2026-11-23T11:22:33.456Z". Zero stands for "absent". Its type leaves no room for
// another zone or precision in signed bytes.
type Instant int64

// Bounds of what may be written: after the epoch, and at most four digits of year.
const (
	minInstant Instant = 1
	maxInstant Instant = 253402300799999 // 9999-12-31T23:59:59.999Z
)

// InstantOf truncates t to milliseconds. The zero time gives the absent Instant.
func InstantOf(t time.Time) Instant {
	if t.IsZero() {
		return 0
	}
	return Instant(t.UnixMilli())
}

// Time returns the instant in UTC; the absent Instant gives the zero time.
func (i Instant) Time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(i)).UTC()
}

// IsZero reports whether the instant is absent.
func (i Instant) IsZero() bool { return i == 0 }

// String returns the form used in JSON.
func (i Instant) String() string {
	b, err := i.AppendText(nil)
	if err != nil {
		return fmt.Sprintf("invalid instant %d", int64(i))
	}
	return string(b)
}

// AppendText appends the form used in JSON.
func (i Instant) AppendText(b []byte) ([]byte, error) {
	if i < minInstant || i > maxInstant {
		return b, fmt.Errorf("instant %d is outside 1970 to 9999", int64(i))
	}
	return time.UnixMilli(int64(i)).UTC().AppendFormat(b, instantLayout), nil
}

// MarshalText returns the form used in JSON.
func (i Instant) MarshalText() ([]byte, error) { return i.AppendText(nil) }

// UnmarshalText reads exactly the form used in JSON.
func (i *Instant) UnmarshalText(text []byte) error {
	t, err := time.Parse(instantLayout, string(text))
	v := Instant(t.UnixMilli())
	// The time package takes more spellings than it writes.
	again, rangeErr := v.AppendText(make([]byte, 0, len(instantLayout)))
	if err != nil || rangeErr != nil || string(again) != string(text) {
		return fmt.Errorf("want a time such as 2026-11-23T11:22:33.456Z between 1970 and 9999, got %.40q", text)
	}
	*i = v
	return nil
}

const instantLayout = "2006-01-02T15:04:05.000Z"
