package blockproof

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

func newKey(t testing.TB) *sm2.PrivateKey {
	t.Helper()
	key, err := sm2.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func public(key *sm2.PrivateKey) *sm2.PublicKey { return key.Public().(*sm2.PublicKey) }

// anchorBlock returns a block that anchors a head of size 3.
func anchorBlock(t testing.TB) *EmbeddedBlock {
	t.Helper()
	const origin = "log.example/2026"
	head := checkpoint.Checkpoint{Origin: origin, Size: 3, Root: tlog.LeafHash([]byte("root"))}
	signed, err := checkpoint.Sign(head, origin, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return &EmbeddedBlock{
		Number:       7,
		Previous:     Hash(sm3.Sum([]byte("block 6"))),
		Ledger:       "公证处试验链",
		Organisation: "notary",
		Time:         time.Date(2026, 11, 23, 11, 22, 33, 456_000_000, time.UTC),
		Function:     "Anchor",
		Args:         [][]byte{[]byte(origin), signed.Note, make([]byte, 32)},
		Writes: []Write{
			{Key: "head log.example/2026 0000000000000003", SM3: sm3.Sum(signed.Note)},
			{Key: "log log.example/2026", SM3: sm3.Sum([]byte("record"))},
		},
		Events: []Event{{Name: "Anchored", Payload: []byte(`{"size":3}`)}},
	}
}

func seal(t testing.TB, b *EmbeddedBlock, key *sm2.PrivateKey) []byte {
	t.Helper()
	proof, err := SealEmbedded(b, key)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func TestVerifyEmbedded(t *testing.T) {
	key, other := newKey(t), newKey(t)
	block := anchorBlock(t)
	proof := seal(t, block, key)
	hash, err := block.Hash()
	if err != nil {
		t.Fatal(err)
	}
	got, err := VerifyEmbedded(proof, []*sm2.PublicKey{public(other), public(key)})
	if err != nil {
		t.Fatal(err)
	}
	want := Embedded{
		Ledger:     block.Ledger,
		Org:        "notary",
		Height:     7,
		BlockHash:  hash,
		Time:       block.Time,
		Key:        public(key),
		Origin:     "log.example/2026",
		Checkpoint: block.Args[1],
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b *sm2.PublicKey) bool { return a.Equal(b) })); diff != "" {
		t.Error(diff)
	}
	opened, err := OpenEmbedded(proof, []*sm2.PublicKey{public(key)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(block, opened); diff != "" {
		t.Error(diff)
	}
	for _, keys := range [][]*sm2.PublicKey{nil, {public(other)}} {
		if _, err := VerifyEmbedded(proof, keys); !errors.Is(err, ErrUnknownKey) || errors.Is(err, ErrInvalid) {
			t.Errorf("with %d other keys: %v, want ErrUnknownKey", len(keys), err)
		}
	}
}

// TestVector checks a proof from testdata, which other implementations may use.
func TestVector(t *testing.T) {
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	key, err := sm2.ParsePublicKeyPEM(read("embedded.pem"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := VerifyEmbedded(read("embedded.json"), []*sm2.PublicKey{key})
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(string(read("embedded.sm3"))); got.BlockHash.String() != want {
		t.Errorf("hash is %s, want %s", got.BlockHash, want)
	}
}

// TestAnchorsNothing has blocks that are signed well, but do not anchor what they seem to.
func TestAnchorsNothing(t *testing.T) {
	key := newKey(t)
	for name, change := range map[string]func(*EmbeddedBlock){
		"another function":    func(b *EmbeddedBlock) { b.Function = "RegisterLog" },
		"no arguments":        func(b *EmbeddedBlock) { b.Args = nil },
		"one argument more":   func(b *EmbeddedBlock) { b.Args = append(b.Args, nil) },
		"no note":             func(b *EmbeddedBlock) { b.Args[1] = []byte("note") },
		"note of another log": func(b *EmbeddedBlock) { b.Args[0] = []byte("log.example") },
		"no writes":           func(b *EmbeddedBlock) { b.Writes = nil },
		"another size":        func(b *EmbeddedBlock) { b.Writes[0].Key = "head log.example/2026 0000000000000004" },
		"another note":        func(b *EmbeddedBlock) { b.Writes[0].SM3[0] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			block := anchorBlock(t)
			change(block)
			proof := seal(t, block, key)
			if _, err := VerifyEmbedded(proof, []*sm2.PublicKey{public(key)}); !errors.Is(err, ErrInvalid) {
				t.Errorf("%v, want ErrInvalid", err)
			}
			if _, err := OpenEmbedded(proof, []*sm2.PublicKey{public(key)}); err != nil {
				t.Errorf("as a block: %v", err)
			}
		})
	}
}

func TestSealRefuses(t *testing.T) {
	key := newKey(t)
	for name, change := range map[string]func(*EmbeddedBlock){
		"number too large":            func(b *EmbeddedBlock) { b.Number = 1 << 53 },
		"predecessor of block 0":      func(b *EmbeddedBlock) { b.Number = 0 },
		"no ledger":                   func(b *EmbeddedBlock) { b.Ledger = "" },
		"long name":                   func(b *EmbeddedBlock) { b.Ledger = strings.Repeat("a", 256) },
		"control character":           func(b *EmbeddedBlock) { b.Organisation = "a\nb" },
		"no organisation":             func(b *EmbeddedBlock) { b.Organisation = "" },
		"broken UTF-8":                func(b *EmbeddedBlock) { b.Organisation = "\xff" },
		"no function":                 func(b *EmbeddedBlock) { b.Function = "" },
		"year of five digits":         func(b *EmbeddedBlock) { b.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"two events":                  func(b *EmbeddedBlock) { b.Events = append(b.Events, b.Events[0]) },
		"writes out of order":         func(b *EmbeddedBlock) { b.Writes[0], b.Writes[1] = b.Writes[1], b.Writes[0] },
		"the same row twice":          func(b *EmbeddedBlock) { b.Writes[1] = b.Writes[0] },
		"row without key":             func(b *EmbeddedBlock) { b.Writes[0].Key = "" },
		"broken UTF-8 in a row's key": func(b *EmbeddedBlock) { b.Writes[1].Key = "log \xff" },
		"too large":                   func(b *EmbeddedBlock) { b.Args[1] = make([]byte, MaxSize) },
	} {
		t.Run(name, func(t *testing.T) {
			block := anchorBlock(t)
			change(block)
			if proof, err := SealEmbedded(block, key); err == nil {
				t.Errorf("sealed as %s", proof)
			}
		})
	}
}

// TestOneText changes the text of a proof in ways that mean the same in JSON. There is one text only.
func TestOneText(t *testing.T) {
	key := newKey(t)
	keys := []*sm2.PublicKey{public(key)}
	proof := string(seal(t, anchorBlock(t), key))
	fingerprint := public(key).Fingerprint()
	for name, text := range map[string]string{
		"empty":             "",
		"null":              "null",
		"no members":        "{}",
		"array":             "[" + proof + "]",
		"final newline":     proof + "\n",
		"second value":      proof + "{}",
		"space":             strings.Replace(proof, `,"key"`, `, "key"`, 1),
		"escape":            strings.Replace(proof, `"Anchor"`, `"\u0041nchor"`, 1),
		"number form":       strings.Replace(proof, `"number":7`, `"number":7.0`, 1),
		"exponent":          strings.Replace(proof, `"number":7`, `"number":7e0`, 1),
		"unknown member":    strings.Replace(proof, `{"block"`, `{"a":1,"block"`, 1),
		"member twice":      strings.Replace(proof, `"kind"`, `"kind":"embedded","kind"`, 1),
		"case of a member":  strings.Replace(proof, `"kind"`, `"Kind"`, 1),
		"order of members":  strings.Replace(strings.Replace(proof, `"kind":"embedded",`, "", 1), `"key"`, `"kind":"embedded","key"`, 1),
		"no kind":           strings.Replace(proof, `"kind":"embedded",`, "", 1),
		"other kind":        strings.Replace(proof, `"embedded"`, `"fabric"`, 1),
		"upper-case hex":    strings.Replace(proof, hex.EncodeToString(fingerprint[:]), strings.ToUpper(hex.EncodeToString(fingerprint[:])), 1),
		"short fingerprint": strings.Replace(proof, hex.EncodeToString(fingerprint[:]), "00", 1),
		"null events":       strings.Replace(proof, `"events":[`, `"events":null,"x":[`, 1),
		"time without ms":   strings.Replace(proof, `33.456Z`, `33Z`, 1),
		"time zone":         strings.Replace(proof, `33.456Z`, `33.456+00:00`, 1),
		"time with comma":   strings.Replace(proof, `33.456Z`, `33,456Z`, 1),
		"too long":          proof + strings.Repeat(" ", MaxSize),
	} {
		if text == proof {
			t.Errorf("%s: the test changes nothing", name)
		}
		if _, err := VerifyEmbedded([]byte(text), keys); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

// TestMutations changes every byte in a few ways. None verifies.
func TestMutations(t *testing.T) {
	key := newKey(t)
	keys := []*sm2.PublicKey{public(key)}
	proof := seal(t, anchorBlock(t), key)
	for i := range proof {
		for _, flip := range []byte{0x01, 0x02, 0x20, 0x80} {
			mutated := bytes.Clone(proof)
			mutated[i] ^= flip
			if _, err := OpenEmbedded(mutated, keys); !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnknownKey) {
				t.Fatalf("byte %d ^ %#x: %v", i, flip, err)
			}
		}
		if _, err := OpenEmbedded(append(bytes.Clone(proof[:i]), proof[i+1:]...), keys); err == nil {
			t.Fatalf("verifies without byte %d", i)
		}
	}
}

func FuzzParse(f *testing.F) {
	proof := seal(f, anchorBlock(f), newKey(f))
	f.Add(proof)
	f.Add(bytes.Replace(proof, []byte("7"), []byte("0"), 1))
	f.Add([]byte(`{"block":{"args":[],"events":[],"function":"f","ledger":"l","number":0,"organisation":"o","previous":"` +
		strings.Repeat("0", 64) + `","time":"2026-11-23T11:22:33.456Z","writes":[]},"key":"","kind":"embedded","signature":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parse(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			return
		}
		again, err := s.encode()
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("accepted\n%s\nencodes as\n%s, %v", text, again, err)
		}
	})
}

func FuzzMutate(f *testing.F) {
	key := newKey(f)
	keys := []*sm2.PublicKey{public(key)}
	proof := seal(f, anchorBlock(f), key)
	f.Add(0, byte(1))
	f.Fuzz(func(t *testing.T, i int, b byte) {
		if i < 0 || i >= len(proof) || proof[i] == b {
			return
		}
		mutated := bytes.Clone(proof)
		mutated[i] = b
		if _, err := VerifyEmbedded(mutated, keys); !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrUnknownKey) {
			t.Fatalf("byte %d = %#x: %v", i, b, err)
		}
	})
}

func ExampleVerifyEmbedded() {
	proof, _ := os.ReadFile("testdata/embedded.json")
	spki, _ := os.ReadFile("testdata/embedded.pem")
	key, err := sm2.ParsePublicKeyPEM(spki)
	if err != nil {
		fmt.Println(err)
		return
	}
	anchored, err := VerifyEmbedded(proof, []*sm2.PublicKey{key})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(anchored.Origin, anchored.Ledger, anchored.Height, anchored.Time.Format(time.RFC3339))
	// Output: log.example/2026 公证处试验链 7 2026-11-23T11:22:33Z
}
