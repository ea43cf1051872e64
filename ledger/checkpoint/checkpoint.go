// Package checkpoint writes and reads signed tree heads.
//
// A checkpoint is a C2SP signed note (golang.org/x/mod/sumdb/note) whose text
// is that of C2SP tlog-checkpoint without extension lines:
//
//	log.notary.example
//	3
//	bnbcT0VxKSGq5cK1J9EsnfMPvQXZ1rnKbLcM3b6Gbkw=
//
//	— log.notary.example 6nQYnTBFAiEA…
//
// The lines are the origin, the tree size in decimal, and the root in base64.
// A signature line carries base64(key ID || signature); for the log's own key
// the name is the origin, the signature is SM2 over the text (up to and with
// the newline before the blank line) with user ID "1234567812345678" in the one
// DER form that package sm2 accepts, and the key ID is
//
//	SHA-256(name || 0x0A || 0xFF || "cunzheng.sm2-sm3.v1" || SPKI)[:4]
//
// 0xFF is the note type for algorithms without an assigned byte. Other lines,
// such as witness cosignatures, may follow.
//
//	signed, err := checkpoint.Sign(head, origin, key)
//	v, err := checkpoint.NewVerifier(origin, publicKey)
//	signed, err = checkpoint.Open(signed.Note, origin, v)
package checkpoint

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"cunzheng/ledger/tlog"
)

const (
	// MaxOriginSize and MaxNoteSize bound what Open and Parse read, in bytes.
	MaxOriginSize = 255
	MaxNoteSize   = 64 << 10
)

var (
	// ErrSyntax means that bytes are not a checkpoint in its one accepted form.
	ErrSyntax = errors.New("checkpoint: malformed")

	// ErrOrigin means that a checkpoint belongs to another log. It is an ErrSyntax.
	ErrOrigin = fmt.Errorf("%w: other origin", ErrSyntax)

	// ErrUnknownKey means that the log's signature was made with a key that is
	// not among the given ones. Nothing is known about its validity.
	ErrUnknownKey = errors.New("checkpoint: signed by an unknown key")

	// ErrSignature means that a signature of a known key does not verify.
	ErrSignature = errors.New("checkpoint: invalid signature")
)

// A Checkpoint is a tree head: it fixes all entries of a log up to a size.
type Checkpoint struct {
	Origin string // name of the log
	Size   uint64 // number of entries
	Root   tlog.Hash
}

// A Signed checkpoint is a checkpoint with its signatures.
type Signed struct {
	Checkpoint
	Note []byte // the whole signed note
}

// Text returns the signed text. It fails with ErrSyntax if the origin is not
// usable as a key name: empty, too long, not UTF-8, or with spaces, plus signs
// or control characters.
func (c Checkpoint) Text() (string, error) {
	if !validName(c.Origin) {
		return "", fmt.Errorf("%w: origin %.80q", ErrSyntax, c.Origin)
	}
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n", nil
}

func validName(name string) bool {
	return name != "" && len(name) <= MaxOriginSize && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == '+' || unicode.IsSpace(r) || unicode.IsControl(r) })
}

// parseText is the inverse of Text. It accepts no other spelling.
func parseText(text string) (Checkpoint, error) {
	lines := strings.SplitAfter(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, fmt.Errorf("%w: the text is not three lines", ErrSyntax)
	}
	c := Checkpoint{Origin: strings.TrimSuffix(lines[0], "\n")}
	size, err := strconv.ParseUint(strings.TrimSuffix(lines[1], "\n"), 10, 64)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: size %.30q", ErrSyntax, lines[1])
	}
	c.Size = size
	root, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(lines[2], "\n"))
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, fmt.Errorf("%w: root %.60q", ErrSyntax, lines[2])
	}
	c.Root = tlog.Hash(root)
	back, err := c.Text()
	if err != nil {
		return Checkpoint{}, err
	}
	if back != text {
		return Checkpoint{}, fmt.Errorf("%w: not the canonical spelling", ErrSyntax)
	}
	return c, nil
}

// A line is one signature line.
type line struct {
	name  string
	keyID [4]byte
	sig   []byte
}

const (
	linePrefix = "— "
	maxLines   = 100
)

// split parses a note without checking signatures. The text and the lines it
// returns determine noteBytes completely.
func split(noteBytes []byte) (Checkpoint, string, []line, error) {
	fail := func(why string) (Checkpoint, string, []line, error) {
		return Checkpoint{}, "", nil, fmt.Errorf("%w: %s", ErrSyntax, why)
	}
	if len(noteBytes) > MaxNoteSize {
		return fail("too long")
	}
	body, block, ok := strings.Cut(string(noteBytes), "\n\n")
	if !ok {
		return fail("no signatures")
	}
	text := body + "\n"
	c, err := parseText(text)
	if err != nil {
		return Checkpoint{}, "", nil, err
	}
	type key struct {
		name string
		id   [4]byte
	}
	seen := make(map[key]bool)
	var lines []line
	for block != "" {
		raw, rest, ok := strings.Cut(block, "\n")
		if !ok {
			return fail("the last line does not end")
		}
		block = rest
		signature, ok := strings.CutPrefix(raw, linePrefix)
		if !ok {
			return fail("not a signature line")
		}
		name, encoded, _ := strings.Cut(signature, " ")
		blob, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil || len(blob) < 5 || base64.StdEncoding.EncodeToString(blob) != encoded || !validName(name) {
			return fail("not a signature line")
		}
		l := line{name: name, keyID: [4]byte(blob), sig: blob[4:]}
		if seen[key{l.name, l.keyID}] {
			return fail("two signatures of one key")
		}
		seen[key{l.name, l.keyID}] = true
		if lines = append(lines, l); len(lines) > maxLines {
			return fail("too many signatures")
		}
	}
	if len(lines) == 0 {
		return fail("no signatures")
	}
	return c, text, lines, nil
}

// Parse reads a checkpoint without looking at its signatures. Fails with ErrSyntax.
func Parse(noteBytes []byte) (Checkpoint, error) {
	c, _, _, err := split(noteBytes)
	return c, err
}

// Open reads a checkpoint of the log named origin and checks its signatures
// against the given keys.
//
// It must carry at least one signature of a given key, and every line whose
// name is that of a given key must be a valid signature of such a key: a line
// in the log's name that cannot be checked is not passed over. Lines in other
// names are, as C2SP signed-note asks. Fails with ErrSyntax, ErrOrigin,
// ErrUnknownKey or ErrSignature.
func Open(noteBytes []byte, origin string, keys ...note.Verifier) (Signed, error) {
	c, _, lines, err := split(noteBytes)
	if err != nil {
		return Signed{}, err
	}
	if c.Origin != origin {
		return Signed{}, fmt.Errorf("%w: %.80q, want %.80q", ErrOrigin, c.Origin, origin)
	}
	// The note package has the last word on form and signatures; the errors
	// below only say more.
	opened, err := note.Open(noteBytes, note.VerifierList(distinct(keys)...))
	var invalid *note.InvalidSignatureError
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &invalid):
		return Signed{}, fmt.Errorf("%w of %.80q, key %08x", ErrSignature, invalid.Name, invalid.Hash)
	case errors.As(err, &unverified):
		return Signed{}, unknownKey(lines[0])
	case err != nil:
		return Signed{}, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	verified := make(map[string]bool)
	for _, sig := range opened.Sigs {
		verified[fmt.Sprintf("%s+%08x", sig.Name, sig.Hash)] = true
	}
	for _, l := range lines {
		for _, k := range keys {
			if k.Name() == l.name && !verified[fmt.Sprintf("%s+%x", l.name, l.keyID)] {
				return Signed{}, unknownKey(l)
			}
		}
	}
	return Signed{Checkpoint: c, Note: bytes.Clone(noteBytes)}, nil
}

func unknownKey(l line) error {
	return fmt.Errorf("%w: %.80q, key %x", ErrUnknownKey, l.name, l.keyID)
}

// distinct drops a key that is given twice, which the note package refuses.
func distinct(keys []note.Verifier) []note.Verifier {
	var list []note.Verifier
	for _, k := range keys {
		if !slices.ContainsFunc(list, func(l note.Verifier) bool { return l.Name() == k.Name() && l.KeyHash() == k.KeyHash() }) {
			list = append(list, k)
		}
	}
	return list
}
