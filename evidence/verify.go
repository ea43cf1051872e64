package evidence

import (
	"crypto"
	"errors"
	"io"
	"time"
)

// Input is all that a verdict depends on.
type Input struct {
	Bundle  io.ReaderAt
	Size    int64     // of the bundle, in bytes
	Content io.Reader // the original, if it is not in the bundle; may be nil
	Trust   *Trust    // nil: nothing is trusted, and the best verdict is INDETERMINATE
	At      time.Time // the time for which the verdict is given
}

// Verify judges a bundle. An error means that a reader failed; whatever is wrong with the bundle is in the report.
func Verify(in Input) (*Report, error) { return nil, errors.New("evidence: not written yet") }

// Encode returns the canonical form of the report.
func (r *Report) Encode() ([]byte, error) { return canonical(r) }

// Text returns the report for people. lang is "zh" or "en".
func (r *Report) Text(lang string) string { return "" }

// WriteBundle writes a bundle, signed with the receipt key. It reads content once, in constant memory; content may be
// nil.
func WriteBundle(w io.Writer, b *Bundle, signer crypto.Signer, content *ContentSource) error {
	return errors.New("evidence: not written yet")
}
