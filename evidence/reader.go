package evidence

import (
	"io"
	"strings"
)

// Reader reads a bundle. OpenBundle has checked the container; nothing in it is verified yet.
type Reader struct {
	source  io.ReaderAt
	files   map[string][]byte // every file but the original
	content *zipEntry         // nil: the original is not in the bundle
	listed  []zipEntry        // what the manifest must list, in order
}

// maxSmallFile bounds every file but the original and those that may hold blocks of a ledger.
const maxSmallFile = 1 << 20

// layout is the order of the files, with the greatest size of each in bytes. A missing optional file is skipped.
var layout = []struct {
	name     string
	optional bool
	limit    int64
}{
	{fileMimetype, false, maxSmallFile}, {fileManifest, false, maxSmallFile}, {fileSignature, false, maxSmallFile},
	{fileStatement, false, maxSmallFile}, {fileReceipt, false, maxSmallFile},
	{fileProof, true, maxProofSize}, {fileDisclosures, true, maxSmallFile}, {fileTrust, true, maxTrustSize}, {fileReadme, false, maxSmallFile},
}

// firstListed is the place in layout from which on the manifest lists the files.
const firstListed = 3

// OpenBundle reads the container and everything in it but the original. It refuses every file that is not, byte for
// byte, laid out as WriteBundle does it. Memory is bounded whatever the size.
//
// The error wraps [ErrContainer] or, if the file has the form of another version, a *[SchemaError]; anything else comes
// from r.
func OpenBundle(r io.ReaderAt, size int64) (*Reader, error) {
	entries, err := openContainer(r, size)
	if err != nil {
		return nil, err
	}
	b := &Reader{source: r, files: make(map[string][]byte)}
	if err := b.newer(entries); err != nil {
		return nil, err
	}
	for i, want := range layout {
		if len(entries) == 0 || entries[0].name != want.name {
			if want.optional {
				continue
			}
			return nil, containerError("%q is missing or not in its place", want.name)
		}
		data, err := readEntry(r, &entries[0], want.limit)
		if err != nil {
			return nil, err
		}
		b.files[want.name] = data
		if i >= firstListed {
			b.listed = append(b.listed, entries[0])
		}
		entries = entries[1:]
	}
	if len(entries) > 0 && strings.HasPrefix(entries[0].name, folderContent) {
		if err := ValidateFileName("content", strings.TrimPrefix(entries[0].name, folderContent)); err != nil {
			return nil, containerError("original: %w", err)
		}
		b.content = &entries[0]
		b.listed = append(b.listed, entries[0])
		entries = entries[1:]
	}
	if len(entries) > 0 {
		return nil, containerError("%.80q has no place in a bundle", entries[0].name)
	}
	return b, nil
}

// newer returns a *SchemaError if the first two files say that the bundle is of another version.
func (b *Reader) newer(entries []zipEntry) error {
	for i, f := range layout[:2] {
		if i >= len(entries) || entries[i].name != f.name {
			return nil // said better by who looks for the file
		}
		data, err := readEntry(b.source, &entries[i], f.limit)
		if err != nil {
			return err
		}
		if f.name == fileMimetype && string(data) != MediaTypeBundle {
			return &SchemaError{Want: MediaTypeBundle, Got: string(data)}
		}
		if f.name == fileManifest {
			if newer := newerSchema(data, SchemaManifest); newer != nil {
				return newer
			}
		}
	}
	return nil
}

// File returns a file of the bundle other than the original, such as "statement.json", or nil.
func (b *Reader) File(name string) []byte { return b.files[name] }

// Names returns the names of all files in order, with that of the original last if it is there.
func (b *Reader) Names() []string {
	var names []string
	for _, f := range layout {
		if _, ok := b.files[f.name]; ok {
			names = append(names, f.name)
		}
	}
	if b.content != nil {
		names = append(names, b.content.name)
	}
	return names
}

// Content returns the original and its file name, or nil if it is not in the bundle. Its bytes are not verified.
func (b *Reader) Content() (*io.SectionReader, string) {
	if b.content == nil {
		return nil, ""
	}
	return io.NewSectionReader(b.source, b.content.dataOffset(), b.content.size), strings.TrimPrefix(b.content.name, folderContent)
}
