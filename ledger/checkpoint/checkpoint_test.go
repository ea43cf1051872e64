package checkpoint

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/tlog"
)

const origin = "log.notary.example"

func newKey(t testing.TB, name string) (*sm2.PrivateKey, *Verifier) {
	t.Helper()
	key, err := sm2.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(name, key.Public().(*sm2.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return key, v
}

func mustSign(t testing.TB, c Checkpoint, key *sm2.PrivateKey) Signed {
	t.Helper()
	s, err := Sign(c, c.Origin, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignOpen(t *testing.T) {
	key, v := newKey(t, origin)
	_, other := newKey(t, origin)
	for _, size := range []uint64{0, 1, 10_000_000, math.MaxUint64} {
		c := Checkpoint{Origin: origin, Size: size, Root: tlog.LeafHash([]byte{byte(size)})}
		s := mustSign(t, c, key)
		if s.Checkpoint != c {
			t.Errorf("signed %+v, want %+v", s.Checkpoint, c)
		}
		if parsed, err := Parse(s.Note); err != nil || parsed != c {
			t.Errorf("parsed %+v, %v", parsed, err)
		}
		for _, keys := range [][]note.Verifier{{v}, {v, v}, {other, v}} {
			opened, err := Open(s.Note, origin, keys...)
			if err != nil {
				t.Fatal(err)
			}
			if opened.Checkpoint != c || !bytes.Equal(opened.Note, s.Note) {
				t.Errorf("opened %+v", opened)
			}
		}
		if err := v.CrossCheck(s.Note); err != nil {
			t.Error(err)
		}
		if err := other.CrossCheck(s.Note); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("cross check with another key: %v", err)
		}
	}
}

func TestRefused(t *testing.T) {
	key, v := newKey(t, origin)
	second, v2 := newKey(t, origin)
	_, stranger := newKey(t, origin)
	c := Checkpoint{Origin: origin, Size: 7, Root: tlog.LeafHash(nil)}
	s := mustSign(t, c, key)
	text, block, _ := strings.Cut(string(s.Note), "\n\n")
	lines := strings.Split(text, "\n")
	join := func(block string, lines ...string) []byte { return []byte(strings.Join(lines, "\n") + "\n\n" + block) }

	// A second valid signature line by another key of the same log.
	_, block2, _ := strings.Cut(string(mustSign(t, c, second).Note), "\n\n")
	both := []byte(string(s.Note) + block2)
	if _, err := Open(both, origin, v, v2); err != nil {
		t.Errorf("two keys: %v", err)
	}
	if _, err := Open(both, origin, v); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a line in the log's name with an unknown key: %v", err)
	}
	// A line of a witness does not matter, whatever it holds.
	witness := []byte(string(s.Note) + "— witness.example " + base64.StdEncoding.EncodeToString([]byte("12345678")) + "\n")
	if _, err := Open(witness, origin, v); err != nil {
		t.Errorf("with a witness line: %v", err)
	}

	for _, tt := range []struct {
		name string
		note []byte
		want error
	}{
		{"nothing", nil, ErrSyntax},
		{"text only", []byte(text + "\n"), ErrSyntax},
		{"no signature", []byte(text + "\n\n"), ErrSyntax},
		{"last line open", s.Note[:len(s.Note)-1], ErrSyntax},
		{"line after", append(bytes.Clone(s.Note), '\n'), ErrSyntax},
		{"extension line", join(block, append(lines[:3:3], "more")...), ErrSyntax},
		{"line missing", join(block, lines[:2]...), ErrSyntax},
		{"size with zero", join(block, lines[0], "07", lines[2]), ErrSyntax},
		{"size with sign", join(block, lines[0], "+7", lines[2]), ErrSyntax},
		{"size too large", join(block, lines[0], "18446744073709551616", lines[2]), ErrSyntax},
		{"root too short", join(block, lines[0], lines[1], "AAAA"), ErrSyntax},
		{"root unpadded", join(block, lines[0], lines[1], strings.TrimRight(lines[2], "=")), ErrSyntax},
		{"root with idle bits", join(block, lines[0], lines[1], idle(lines[2])), ErrSyntax},
		{"carriage return", bytes.ReplaceAll(s.Note, []byte("\n"), []byte("\r\n")), ErrSyntax},
		{"same line twice", []byte(string(s.Note) + block), ErrSyntax},
		{"hyphen for dash", bytes.Replace(s.Note, []byte("—"), []byte("-"), 1), ErrSyntax},
		{"too long", append(bytes.Clone(s.Note), bytes.Repeat([]byte("x"), MaxNoteSize)...), ErrSyntax},
		{"too many lines", append(bytes.Clone(s.Note), manyLines()...), ErrSyntax},
		{"other origin", mustSign(t, Checkpoint{Origin: "other.example", Size: 7}, key).Note, ErrOrigin},
		{"other size", join(block, lines[0], "8", lines[2]), ErrSignature},
		{"other root", join(block, lines[0], lines[1], base64.StdEncoding.EncodeToString(make([]byte, 32))), ErrSignature},
		{"other key", mustSign(t, c, second).Note, ErrUnknownKey},
	} {
		if got, err := Open(tt.note, origin, v, stranger); !errors.Is(err, tt.want) || got.Note != nil {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}

	for _, bad := range []string{"", "a b", "a+b", "a\nb", "a\x7f", "a\u00a0b", "\xff", strings.Repeat("x", MaxOriginSize+1)} {
		if _, err := Sign(Checkpoint{Origin: bad}, origin, key); !errors.Is(err, ErrSyntax) {
			t.Errorf("origin %q signed: %v", bad, err)
		}
		if _, err := Sign(c, bad, key); !errors.Is(err, ErrSyntax) {
			t.Errorf("key name %q: %v", bad, err)
		}
		if _, err := NewVerifier(bad, v.Key()); !errors.Is(err, ErrSyntax) {
			t.Errorf("verifier %q: %v", bad, err)
		}
	}
}

// idle sets a bit of the last base64 digit that carries no data.
func idle(s string) string {
	b := []byte(s)
	b[len(b)-2]++
	return string(b)
}

func manyLines() (b []byte) {
	for i := range maxLines {
		b = fmt.Appendf(b, "— w%d AAAAAAA=\n", i)
	}
	return b
}

// TestEveryByteCounts changes each byte of a signed note to several others:
// none of the results opens.
func TestEveryByteCounts(t *testing.T) {
	key, v := newKey(t, origin)
	s := mustSign(t, Checkpoint{Origin: origin, Size: 1234, Root: tlog.EmptyRoot()}, key)
	for i := range s.Note {
		for _, flip := range []byte{0x01, 0x02, 0x04, 0x20, 0x80} {
			changed := bytes.Clone(s.Note)
			changed[i] ^= flip
			if _, err := Open(changed, origin, v); err == nil {
				t.Errorf("opens with byte %d changed by %#x:\n%s", i, flip, changed)
			}
		}
		cut := append(bytes.Clone(s.Note[:i]), s.Note[i+1:]...)
		if _, err := Open(cut, origin, v); err == nil {
			t.Errorf("opens without byte %d", i)
		}
	}
}

// TestOpenSSL has OpenSSL check a signature from nothing but the documentation.
func TestOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl here")
	}
	key, v := newKey(t, origin)
	s := mustSign(t, Checkpoint{Origin: origin, Size: 5, Root: tlog.EmptyRoot()}, key)
	text, block, _ := strings.Cut(string(s.Note), "\n\n")
	fields := strings.Fields(block)
	blob, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{"text": []byte(text + "\n"), "sig": blob[4:], "pub.pem": v.Key().PEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(openssl, "pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", "-in", "text", "-rawin",
		"-digest", "sm3", "-sigfile", "sig", "-pkeyopt", "distid:"+sm2.UserID)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestNotesOfOthers makes sure that our notes are notes: the note package signs
// beside our key with Ed25519 and reads both.
func TestNotesOfOthers(t *testing.T) {
	key, v := newKey(t, origin)
	skey, vkey, err := note.GenerateKey(rand.Reader, "witness.example")
	if err != nil {
		t.Fatal(err)
	}
	witness, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	known, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	s := mustSign(t, Checkpoint{Origin: origin, Size: 5, Root: tlog.EmptyRoot()}, key)
	n, err := note.Open(s.Note, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	cosigned, err := note.Sign(n, witness)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cosigned, origin, v, known); err != nil {
		t.Error(err)
	}
	if _, err := Open(cosigned, origin, known); err != nil {
		t.Error(err)
	}
}

func FuzzOpen(f *testing.F) {
	key, v := newKey(f, origin)
	s := mustSign(f, Checkpoint{Origin: origin, Size: 5, Root: tlog.EmptyRoot()}, key)
	f.Add(s.Note)
	f.Add([]byte(string(s.Note) + "— w AAAAAAA=\n"))
	f.Add([]byte("a\n0\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n\n— w AAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Errorf("Parse: %v", err)
			}
			return
		}
		text, err := c.Text()
		if err != nil || !strings.HasPrefix(string(b), text+"\n") {
			t.Errorf("%q parses as %+v", b, c)
		}
		opened, err := Open(b, origin, v)
		if err == nil && opened.Checkpoint != s.Checkpoint {
			t.Errorf("%q opens", b)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	key, _ := newKey(b, origin)
	for b.Loop() {
		mustSign(b, Checkpoint{Origin: origin, Size: 5}, key)
	}
}

func BenchmarkOpen(b *testing.B) {
	key, v := newKey(b, origin)
	s := mustSign(b, Checkpoint{Origin: origin, Size: 5}, key)
	for b.Loop() {
		if _, err := Open(s.Note, origin, v); err != nil {
			b.Fatal(err)
		}
	}
}
