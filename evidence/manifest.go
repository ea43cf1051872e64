package evidence

import (
	"errors"
	"fmt"

	"crypto/sha256"
	"cunzheng/crypto/sm3"
)

// SchemaManifest names the format of META-INF/manifest.json. It is also the first line of the message that
// META-INF/manifest.sig signs.
const SchemaManifest = "cunzheng/manifest/v1"

const maxManifestSize = 64 << 10

// manifest lists every file behind it in the bundle, in order.
type manifest struct {
	Created Instant        `json:"created"`
	Files   []manifestFile `json:"files"`
	Key     Digest         `json:"key"` // fingerprint of the receipt key that signs
	Log     string         `json:"log"` // origin of the log whose receipt key that is
	Schema  string         `json:"schema"`
}

type manifestFile struct {
	Name   string `json:"name"`
	SHA256 Digest `json:"sha256"`
	Size   int64  `json:"size"`
	SM3    Digest `json:"sm3"`
}

func manifestOf(name string, data []byte) manifestFile {
	return manifestFile{Name: name, SHA256: sha256.Sum256(data), Size: int64(len(data)), SM3: sm3.Sum(data)}
}

func (m *manifest) encode() ([]byte, error) {
	var p problems
	if m.Schema != SchemaManifest {
		return nil, schemaError(m.Schema, SchemaManifest)
	}
	if m.Key.IsZero() || len(m.Files) > maxZipEntries {
		return nil, errors.New("key is missing, or too many files")
	}
	p.instant("created", m.Created, false)
	p.origin("log", m.Log)
	if err := p.err(); err != nil {
		return nil, err
	}
	return canonical(m)
}

func parseManifest(data []byte) (*manifest, error) {
	m := new(manifest)
	if err := parseCanonical(data, maxManifestSize, m, m.encode); err != nil {
		if newer := newerSchema(data, SchemaManifest); newer != nil {
			return nil, newer
		}
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}
