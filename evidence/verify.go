package evidence

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"cunzheng/crypto/sm3"
	"cunzheng/ledger/checkpoint"
)

// Input is all that a verdict depends on.
type Input struct {
	Bundle  io.ReaderAt
	Size    int64     // of the bundle, in bytes
	Content io.Reader // the original, if it is not in the bundle; may be nil
	Trust   *Trust    // nil: nothing is trusted, and the best verdict is INDETERMINATE
	At      time.Time // the time for which the verdict is given
}

// Verify judges a bundle. Whatever is wrong with the bundle is in the report; an error means that a reader failed, or
// that Trust or At cannot be used.
//
// It reads the bundle and the original once, in constant memory.
func Verify(in Input) (*Report, error) {
	v := &verification{in: in, at: InstantOf(in.At), results: make(map[string]Check)}
	v.report = &Report{At: v.at, Schema: SchemaReport}
	if v.at < minInstant || v.at > maxInstant {
		return nil, fmt.Errorf("time of the verdict: %s is outside 1970 to 9999", in.At)
	}
	if in.Trust != nil {
		text, err := in.Trust.Encode()
		if err != nil {
			return nil, err
		}
		v.report.Trust = sm3.Sum(text)
	}
	if err := v.run(); err != nil {
		return nil, err
	}
	v.conclude()
	return v.report, nil
}

// verification is the state of one call of Verify.
type verification struct {
	in      Input
	at      Instant
	report  *Report
	results map[string]Check

	bundle      *Reader
	packed      *sums // of the original in the bundle
	manifest    *manifest
	statement   *Statement
	disclosures []Disclosure
	receipt     *Receipt
	log         *TrustLog // nil: not trusted
	head        checkpoint.Checkpoint
	anchored    Instant // time that a valid block claims; 0: there is no such block

	kind         string  // of the ledger of that block
	anchoredSize uint64  // of the tree that block anchors
	covers       Instant // time by which that block shows that something was there; 0: it shows none
}

// set records the result of a check. The first result of a check stands.
func (v *verification) set(id, code string, detail error) {
	if _, done := v.results[id]; done {
		return
	}
	r := reasons[code]
	c := Check{Code: code, EN: r.en, ID: id, Status: r.status, ZH: r.zh}
	if detail != nil {
		c.Detail = printable(detail.Error())
	}
	v.results[id] = c
}

// form records that a file is malformed, or of a newer version.
func (v *verification) form(id, code string, err error) {
	if newer := (*SchemaError)(nil); errors.As(err, &newer) {
		code = "FORMAT_NEWER"
	}
	v.set(id, code, err)
}

// run makes the checks, each as far as those before it allow.
func (v *verification) run() error {
	if ok, err := v.container(); !ok || err != nil {
		return err
	}
	v.readStatement()
	v.files()
	v.readDisclosures()
	if err := v.content(); err != nil {
		return err
	}
	v.readReceipt()
	if v.receipt == nil {
		return nil
	}
	v.trust()
	v.anchor()
	v.signatures()
	v.times()
	return nil
}

// container opens the bundle and hashes the original in it.
func (v *verification) container() (bool, error) {
	var err error
	if v.bundle, err = OpenBundle(v.in.Bundle, v.in.Size); err != nil {
		if newer := (*SchemaError)(nil); !errors.Is(err, ErrContainer) && !errors.As(err, &newer) {
			return false, err
		}
		v.form(CheckContainer, "CONTAINER_FORM", err)
		return false, nil
	}
	if original, _ := v.bundle.Content(); original != nil {
		s, err := sumStream(original, original.Size())
		if err != nil {
			return false, fmt.Errorf("reading the original in the bundle: %w", err)
		}
		v.packed = &s
		if s.size != v.bundle.content.size || s.crc != v.bundle.content.crc {
			v.set(CheckContainer, "CONTAINER_FORM", errors.New("CRC of the original"))
		}
	}
	v.set(CheckContainer, "CONTAINER_OK", nil)
	return true, nil
}

// files compares every file with the manifest.
func (v *verification) files() {
	data := v.bundle.File(fileManifest)
	v.report.Bundle = sm3.Sum(data)
	m, err := parseManifest(data)
	if err != nil {
		v.form(CheckManifest, "MANIFEST_FORM", err)
		return
	}
	v.manifest = m
	var found []manifestFile
	for _, e := range v.bundle.listed {
		if v.bundle.content != nil && e.name == v.bundle.content.name {
			found = append(found, manifestFile{Name: e.name, SHA256: v.packed.sha256, Size: v.packed.size, SM3: v.packed.sm3})
			continue
		}
		found = append(found, manifestOf(e.name, v.bundle.File(e.name)))
	}
	if !slices.Equal(found, m.Files) {
		v.set(CheckManifest, "MANIFEST_MISMATCH", firstDifference(found, m.Files))
	}
	if v.statement != nil && v.statement.Log != m.Log {
		v.set(CheckManifest, "MANIFEST_MISMATCH", errors.New("the list and the record name different logs"))
	}
	v.set(CheckManifest, "MANIFEST_OK", nil)
}

func firstDifference(found, listed []manifestFile) error {
	for i, f := range found {
		if i >= len(listed) || listed[i] != f {
			return fmt.Errorf("%q differs from the list", f.Name)
		}
	}
	return errors.New("the list names more files")
}

func (v *verification) readStatement() {
	s, err := ParseStatement(v.bundle.File(fileStatement))
	if err != nil {
		v.form(CheckStatement, "STATEMENT_FORM", err)
		return
	}
	v.statement = s
	v.report.Number = s.Number
	v.report.Subject = &Subject{Log: s.Log, Statement: s, WithOriginal: v.packed != nil}
	v.set(CheckStatement, "STATEMENT_OK", nil)
}

func (v *verification) readDisclosures() {
	data := v.bundle.File(fileDisclosures)
	if data != nil {
		d, err := ParseDisclosures(data)
		if err != nil {
			v.form(CheckDisclosures, "DISCLOSURES_FORM", err)
			return
		}
		v.disclosures = d
	}
	if v.statement == nil {
		return
	}
	opened := make(map[string]bool)
	for _, d := range v.disclosures {
		if v.statement.Private[d.Field] != d.Commitment() {
			v.set(CheckDisclosures, "DISCLOSURES_MISMATCH", fmt.Errorf("field %q", d.Field))
			return
		}
		opened[d.Field] = true
		v.report.Subject.Disclosed = append(v.report.Subject.Disclosed, DisclosedText{d.Field, d.Value})
	}
	for field := range v.statement.Private {
		if !opened[field] {
			v.report.Subject.Withheld = append(v.report.Subject.Withheld, field)
		}
	}
	slices.Sort(v.report.Subject.Withheld)
	switch {
	case v.bundle.content != nil && v.bundle.content.name != contentName(v.disclosures):
		v.set(CheckDisclosures, "DISCLOSURES_MISMATCH", errors.New("the original bears another name"))
	case len(v.disclosures) == 0:
		v.set(CheckDisclosures, "DISCLOSURES_NONE", nil)
	default:
		v.set(CheckDisclosures, "DISCLOSURES_OK", nil)
	}
}

// content compares the original in the bundle, the one that was supplied, or both.
func (v *verification) content() error {
	if v.statement == nil {
		return nil
	}
	c := v.statement.Content
	if c == nil {
		if v.packed != nil || v.in.Content != nil {
			v.set(CheckContent, "CONTENT_MISMATCH", errors.New("a record of this type has no original"))
		}
		v.set(CheckContent, "CONTENT_NONE", nil)
		return nil
	}
	if v.packed != nil && !c.is(v.packed) {
		v.set(CheckContent, "CONTENT_MISMATCH", c.difference(v.packed))
	}
	if v.in.Content != nil {
		limit := int64(maxInteger)
		if c.Size != nil {
			limit = *c.Size
		}
		s, err := sumStream(v.in.Content, limit)
		if err != nil {
			return fmt.Errorf("reading the original: %w", err)
		}
		if !c.is(&s) {
			v.set(CheckContent, "CONTENT_SUPPLIED_MISMATCH", c.difference(&s))
		}
	}
	if v.packed == nil && v.in.Content == nil {
		v.set(CheckContent, "CONTENT_ABSENT", nil)
	}
	v.set(CheckContent, "CONTENT_OK", nil)
	return nil
}

func (c *Content) is(s *sums) bool {
	return c.SM3 == s.sm3 && (c.SHA256.IsZero() || c.SHA256 == s.sha256) && (c.Size == nil || *c.Size == s.size)
}

func (c *Content) difference(s *sums) error {
	if c.Size != nil && s.size > *c.Size {
		return fmt.Errorf("more than the recorded %d bytes", *c.Size)
	}
	if c.Size != nil && s.size != *c.Size {
		return fmt.Errorf("%d bytes, recorded %d", s.size, *c.Size)
	}
	if c.SM3 != s.sm3 {
		return fmt.Errorf("SM3 %s, recorded %s", s.sm3, c.SM3)
	}
	return fmt.Errorf("SHA-256 %s, recorded %s", s.sha256, c.SHA256)
}

// readReceipt checks what needs no key: form, reference to the statement, inclusion in the tree it names.
func (v *verification) readReceipt() {
	r, err := ParseReceipt(v.bundle.File(fileReceipt))
	if err != nil {
		v.form(CheckReceipt, "RECEIPT_FORM", err)
		return
	}
	v.receipt = r
	// A statement of an unknown type is judged by its bytes alone.
	encoded := v.bundle.File(fileStatement)
	if v.statement != nil {
		err = r.matches(v.statement, encoded)
		v.report.Subject.Index, v.report.Subject.ReceiptKey = r.Index, r.Key
	} else {
		err = r.matchesBytes(encoded)
	}
	if err != nil {
		v.set(CheckReceipt, "RECEIPT_MISMATCH", err)
	}
	v.set(CheckReceipt, "RECEIPT_OK", nil)
	if v.head, err = checkpoint.Parse([]byte(r.Checkpoint)); err != nil {
		v.set(CheckCheckpoint, "CHECKPOINT_FORM", err)
		return
	}
	if err := r.included(v.head); err != nil {
		v.set(CheckInclusion, "INCLUSION_INVALID", err)
	}
	v.set(CheckInclusion, "INCLUSION_OK", nil)
}

func (v *verification) trust() {
	if v.in.Trust == nil {
		v.set(CheckTrust, "TRUST_NONE", fmt.Errorf("log %q, receipt key %s", v.receipt.Log, v.receipt.Key))
		return
	}
	if v.log = v.in.Trust.Log(v.receipt.Log); v.log == nil {
		v.set(CheckTrust, "TRUST_LOG_UNKNOWN", fmt.Errorf("log %q", v.receipt.Log))
		return
	}
	if v.report.Subject != nil {
		v.report.Subject.Office = v.log.Office
	}
	v.set(CheckTrust, "TRUST_OK", nil)
}
