package evidence

import (
	"crypto/rand"
	"fmt"
	"strings"

	"cunzheng/crypto/sm3"
)

// Names of committed fields. Others may follow; a verifier shows a name that it does not know as it is.
const (
	FieldName            = "name"            // file name of the content
	FieldDescription     = "description"     // what the content is
	FieldCollector       = "collector"       // who collected it (采集人)
	FieldContact         = "contact"         // how to reach the depositor
	FieldGenerationNote  = "generationNote"  // free words on Provenance.Generation
	FieldCustodyNote     = "custodyNote"     // free words on Provenance.Custody (保管经过)
	FieldEnvironmentNote = "environmentNote" // free words on Provenance.Environment
	FieldDisplayName     = "displayName"     // name of the person behind an account
)

// commitmentDomain separates commitments from everything else that is hashed.
const commitmentDomain = "cunzheng/commitment/v1"

// Disclosure opens a commitment: with it anybody can check the value of a committed field. Erasing all copies of the
// salt erases the value, and the proof of the statement stays.
type Disclosure struct {
	Field string `json:"field"`
	Salt  Digest `json:"salt"` // 32 random bytes
	Value string `json:"value"`
}

// NewDisclosure checks the value and draws a fresh salt. The error is a [FieldErrors] that names the field.
func NewDisclosure(field, value string) (Disclosure, error) {
	d := Disclosure{Field: field, Value: value}
	if err := d.validate(); err != nil {
		return Disclosure{}, err
	}
	rand.Read(d.Salt[:]) // never fails: the runtime ends the program instead
	return d, nil
}

func (d *Disclosure) validate() error {
	var p problems
	path := "private." + d.Field
	switch {
	case !lowerName(d.Field, false):
		p.add("private", FieldFormat, "字段名应以小写字母开头，由字母和数字组成，最多 32 个字符。", "field names begin with a lower-case letter and have up to 32 letters and digits")
	case d.Field == FieldName:
		p.fileName(path, d.Value)
	case d.Value == "":
		p.required(path)
	default:
		p.text(path, d.Value, maxParagraph, true)
	}
	return p.err()
}

// Commitment returns SM3 of the canonical JSON array ["cunzheng/commitment/v1", salt, field, value].
func (d Disclosure) Commitment() Digest {
	text, err := canonical([4]string{commitmentDomain, d.Salt.String(), d.Field, d.Value})
	if err != nil {
		// Only invalid UTF-8 gets here, which validate refuses: no statement holds such a commitment.
		return Digest{}
	}
	return sm3.Sum(text)
}

// Commit returns the commitments of the disclosures, as Statement.Private wants them.
func Commit(disclosures []Disclosure) map[string]Digest {
	if len(disclosures) == 0 {
		return nil
	}
	m := make(map[string]Digest, len(disclosures))
	for _, d := range disclosures {
		m[d.Field] = d.Commitment()
	}
	return m
}

// SchemaDisclosures names the format of disclosures.json in a bundle.
const SchemaDisclosures = "cunzheng/disclosures/v1"

const (
	maxPrivate         = 32 // committed fields of one statement
	maxDisclosuresSize = 1 << 20
)

type disclosureFile struct {
	Disclosures []Disclosure `json:"disclosures"`
	Schema      string       `json:"schema"`
}

// EncodeDisclosures writes the canonical file of disclosures, sorted by field.
func EncodeDisclosures(disclosures []Disclosure) ([]byte, error) {
	f := disclosureFile{Disclosures: sortedDisclosures(disclosures), Schema: SchemaDisclosures}
	if err := f.validate(); err != nil {
		return nil, err
	}
	return canonical(&f)
}

// ParseDisclosures reads exactly what EncodeDisclosures writes.
func ParseDisclosures(data []byte) ([]Disclosure, error) {
	var f disclosureFile
	err := parseCanonical(data, maxDisclosuresSize, &f, func() ([]byte, error) {
		if err := f.validate(); err != nil {
			return nil, err
		}
		return canonical(&f)
	})
	if err != nil {
		return nil, fmt.Errorf("disclosures: %w", err)
	}
	return f.Disclosures, nil
}

func (f *disclosureFile) validate() error {
	if f.Schema != SchemaDisclosures {
		return schemaError(f.Schema, SchemaDisclosures)
	}
	if len(f.Disclosures) > maxPrivate {
		return fmt.Errorf("more than %d disclosures", maxPrivate)
	}
	for i := range f.Disclosures {
		if err := f.Disclosures[i].validate(); err != nil {
			return err
		}
		if i > 0 && strings.Compare(f.Disclosures[i-1].Field, f.Disclosures[i].Field) >= 0 {
			return fmt.Errorf("disclosures are not sorted by field, or repeat one")
		}
	}
	return nil
}
