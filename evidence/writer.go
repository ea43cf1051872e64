package evidence

import (
	"crypto"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/blockproof"
)

// Names of the files in a bundle, in the order in which they stand.
const (
	fileMimetype    = "mimetype"
	fileManifest    = "META-INF/manifest.json"
	fileSignature   = "META-INF/manifest.sig"
	fileStatement   = "statement.json"
	fileReceipt     = "receipt.json"
	fileProof       = "proof.json"       // only if anchored
	fileDisclosures = "disclosures.json" // only if something is disclosed
	fileTrust       = "trust.json"       // only if a snapshot is given
	fileReadme      = "README.txt"
	folderContent   = "content/" // one file, only if the original is in the bundle
)

// MediaTypeBundle is the media type of a bundle and the content of its first file.
const MediaTypeBundle = "application/vnd.cunzheng.bundle+zip"

// unnamedContent is the original's name in the bundle if its real name is not disclosed.
const unnamedContent = "original"

// ErrContent says that the original is not what its statement says: it has changed, or the wrong one was given.
var ErrContent = errors.New("original differs from the statement")

// WriteBundle writes a bundle, with the manifest signed by the platform's receipt key. content may be nil; otherwise
// it is read once, in constant memory. A failure behind the first byte leaves w with a part of a bundle, which no
// verifier accepts: the caller must tell whoever reads from w.
func WriteBundle(w io.Writer, b *Bundle, signer crypto.Signer, content *ContentSource) error {
	files, err := b.files(content)
	if err != nil {
		return err
	}
	head, err := b.head(files, signer, content)
	if err != nil {
		return err
	}
	files = append(head, files...)
	entries := make([]zipEntry, 0, maxZipEntries)
	for _, f := range files {
		entries = append(entries, zipEntry{name: f.name, size: int64(len(f.data)), crc: crc32.ChecksumIEEE(f.data)})
	}
	if content != nil {
		entries = append(entries, zipEntry{name: b.contentName(), size: content.Size, crc: content.CRC32})
	}
	tail, _, err := layOut(entries)
	if err != nil {
		return err
	}
	for i, f := range files {
		if _, err := w.Write(append(entries[i].local(), f.data...)); err != nil {
			return err
		}
	}
	if content != nil {
		if _, err := w.Write(entries[len(entries)-1].local()); err != nil {
			return err
		}
		if err := content.copyTo(w); err != nil {
			return err
		}
	}
	_, err = w.Write(tail)
	return err
}

type file struct {
	name string
	data []byte
}

// files encodes what stands between the manifest and the original.
func (b *Bundle) files(content *ContentSource) ([]file, error) {
	s, err := ParseStatement(b.Statement)
	if err != nil {
		return nil, err
	}
	if b.Receipt == nil {
		return nil, errors.New("bundle: the receipt is missing")
	}
	if err := b.Receipt.matches(s, b.Statement); err != nil {
		return nil, err
	}
	receipt, err := b.Receipt.Encode()
	if err != nil {
		return nil, err
	}
	files := []file{{fileStatement, b.Statement}, {fileReceipt, receipt}}
	if b.Proof != nil {
		data, err := b.Proof.Encode()
		if err != nil {
			return nil, err
		}
		files = append(files, file{fileProof, data})
	}
	if len(b.Disclosures) != 0 {
		for _, d := range b.Disclosures {
			if s.Private[d.Field] != d.Commitment() {
				return nil, fmt.Errorf("bundle: disclosure of %q does not match the statement", d.Field)
			}
		}
		data, err := EncodeDisclosures(b.Disclosures)
		if err != nil {
			return nil, err
		}
		files = append(files, file{fileDisclosures, data})
	}
	if b.Trust != nil {
		data, err := b.Trust.Encode()
		if err != nil {
			return nil, err
		}
		files = append(files, file{fileTrust, data})
	}
	if content != nil {
		if c := s.Content; c == nil || c.SM3 != content.SM3 || !c.SHA256.IsZero() && c.SHA256 != content.SHA256 || c.Size != nil && *c.Size != content.Size {
			return nil, fmt.Errorf("bundle: %w", ErrContent)
		}
	}
	return append(files, file{fileReadme, []byte(readme(s, b, content != nil))}), nil
}

// head returns the files before those that the manifest lists.
func (b *Bundle) head(files []file, signer crypto.Signer, content *ContentSource) ([]file, error) {
	key, ok := signer.Public().(*sm2.PublicKey)
	if !ok {
		return nil, errors.New("bundle: the signer has no SM2 key")
	}
	m := manifest{Created: b.Created, Key: key.Fingerprint(), Log: b.Receipt.Log, Schema: SchemaManifest}
	for _, f := range files {
		m.Files = append(m.Files, manifestOf(f.name, f.data))
	}
	if content != nil {
		m.Files = append(m.Files, manifestFile{Name: b.contentName(), SHA256: content.SHA256, Size: content.Size, SM3: content.SM3})
	}
	data, err := m.encode()
	if err != nil {
		return nil, fmt.Errorf("bundle: manifest: %w", err)
	}
	signature, err := sm2.Sign(signer, signedMessage(SchemaManifest, data))
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return []file{{fileMimetype, []byte(MediaTypeBundle)}, {fileManifest, data}, {fileSignature, signature}}, nil
}

// contentName returns the name of the original in the bundle: its own if that is disclosed.
func (b *Bundle) contentName() string { return contentName(b.Disclosures) }

func contentName(disclosures []Disclosure) string {
	for _, d := range disclosures {
		if d.Field == FieldName {
			return folderContent + d.Value
		}
	}
	return folderContent + unnamedContent
}

// copyTo copies the original and checks size and CRC, which stand before it in the file.
func (c *ContentSource) copyTo(w io.Writer) error {
	r, err := c.Open()
	if err != nil {
		return fmt.Errorf("bundle: opening the original: %w", err)
	}
	defer r.Close()
	crc := crc32.NewIEEE()
	n, err := io.Copy(io.MultiWriter(w, crc), io.LimitReader(r, c.Size))
	if err != nil {
		return fmt.Errorf("bundle: copying the original: %w", err)
	}
	if more, err := r.Read(make([]byte, 1)); more != 0 || err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("bundle: the original is longer than %d bytes, or its end cannot be read (%w)", c.Size, errors.Join(ErrContent, err))
	}
	if n != c.Size || crc.Sum32() != c.CRC32 {
		return fmt.Errorf("bundle: %w: %d bytes with CRC %08x, want %d with %08x", ErrContent, n, crc.Sum32(), c.Size, c.CRC32)
	}
	return nil
}

// Encode returns the canonical form of the proof.
func (p *Proof) Encode() ([]byte, error) {
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	return canonical(p)
}

const (
	maxBlockSize = blockproof.MaxFabricSize // the greatest of all kinds
	maxProofSize = 6 << 20                  // the block in base64, and the rest
)

func (p *Proof) validate() error {
	var q problems
	switch {
	case p.Schema != SchemaProof:
		return schemaError(p.Schema, SchemaProof)
	case p.Index > maxInteger:
		return errors.New("index is out of range")
	case p.Proof == nil || len(p.Proof) > maxProof:
		return errors.New("inclusion proof is missing or too long")
	case p.Checkpoint == "" || len(p.Checkpoint) > maxNote:
		return errors.New("checkpoint is missing or too long")
	case len(p.Block) == 0 || len(p.Block) > maxBlockSize:
		return errors.New("block is missing or too long")
	}
	q.origin("log", p.Log)
	if p.Kind == "" {
		q.required("kind")
	}
	q.line("kind", p.Kind, 32)
	return q.err()
}

// ParseProof reads exactly what Encode writes. It checks no signature.
func ParseProof(data []byte) (*Proof, error) {
	p := new(Proof)
	if err := parseCanonical(data, maxProofSize, p, p.Encode); err != nil {
		if newer := newerSchema(data, SchemaProof); newer != nil {
			return nil, newer
		}
		return nil, fmt.Errorf("proof: %w", err)
	}
	return p, nil
}
