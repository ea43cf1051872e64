package sm2

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	emmansun "github.com/emmansun/gmsm/sm2"
	tjfoc "github.com/tjfoc/gmsm/sm2"
)

// Rule 9.
func TestSelfTest(t *testing.T) {
	if err := SelfTest(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range vectors {
		names = append(names, v.name)
	}
	if got := strings.Join(names, ", "); got != "GB/T 32918.5, issue 560" {
		t.Errorf("the self-test checks %q", got)
	}
	// Each value of the vectors must matter.
	for i, v := range vectors {
		for name, field := range map[string]*string{
			"private": &vectors[i].private, "za": &vectors[i].za, "e": &vectors[i].e, "sig": &vectors[i].sig, "spki": &vectors[i].spki,
		} {
			if *field == "" {
				continue
			}
			last := "0"
			if strings.HasSuffix(*field, last) {
				last = "1"
			}
			*field = (*field)[:len(*field)-1] + last
			if SelfTest() == nil {
				t.Errorf("%s: the self-test passes with another %s", v.name, name)
			}
			vectors[i] = v
		}
	}
}

// GB/T 32918.5-2017, annex A. The library cannot be given the k of the example,
// so (r, s) is computed here from the definition and must be that of the
// standard, and both implementations must accept it.
func TestStandardExample(t *testing.T) {
	v := vectors[0]
	d := new(big.Int).SetBytes(unhex(t, v.private))
	k := new(big.Int).SetBytes(unhex(t, "59276e27d506861a16680f3ad9c02dccef3cc1fa3cdbe4ce6d54b80deac1bc21"))
	e := new(big.Int).SetBytes(unhex(t, v.e))
	x1 := new(big.Int).SetBytes(keyOf(t, k).pub.point()[1:33])

	r := new(big.Int).Mod(new(big.Int).Add(e, x1), n)
	s := new(big.Int).Sub(k, new(big.Int).Mul(r, d))
	s.Mod(s.Mul(s, new(big.Int).ModInverse(new(big.Int).Add(d, big.NewInt(1)), n)), n)
	sig := der(r, s)
	if want := unhex(t, v.sig); !bytes.Equal(sig, want) {
		t.Fatalf("(r, s) = %x, want %x", sig, want)
	}
	pub := keyOf(t, d).pub
	if !bytes.Equal(pub.SPKI(), unhex(t, v.spki)) {
		t.Errorf("public key = %x", pub.SPKI())
	}
	if !bytes.Equal(pub.key.za, unhex(t, v.za)) {
		t.Errorf("ZA = %x", pub.key.za)
	}
	if got := pub.key.digest([]byte(v.message)); !bytes.Equal(got, unhex(t, v.e)) {
		t.Errorf("e = %x", got)
	}
	if err := pub.Verify([]byte(v.message), sig); err != nil {
		t.Error(err)
	}
	if err := pub.CrossCheck([]byte(v.message), sig); err != nil {
		t.Error(err)
	}
}

// A valid signature that defective versions of the first library refuse.
func TestIssue560(t *testing.T) {
	pub, err := ParsePublicKey(unhex(t, vectors[1].spki))
	if err != nil {
		t.Fatal(err)
	}
	sig := unhex(t, vectors[1].sig)
	if ok, err := pub.key.verifyDigest(make([]byte, 32), sig); !ok || err != nil {
		t.Errorf("refused: %v, %v", ok, err)
	}
	r, s := numbersOf(t, sig)
	key := tjfoc.PublicKey{Curve: tjfoc.P256Sm2(), X: new(big.Int).SetBytes(pub.point()[1:33]), Y: new(big.Int).SetBytes(pub.point()[33:])}
	if !tjfoc.Verify(&key, make([]byte, 32), r, s) {
		t.Error("the second library refuses it too: the vector is wrong")
	}
}

func TestSignVerify(t *testing.T) {
	key, pub := newTestKey(t)
	_, other := newTestKey(t)
	for _, size := range []int{1, 32, 55, 56, 64, 256, 65535, 1 << 20} {
		message := bytes.Repeat([]byte{byte(size)}, size)
		for _, s := range []crypto.Signer{key, Verified(key)} {
			sig, err := Sign(s, message)
			if err != nil {
				t.Fatal(err)
			}
			if err := pub.Verify(message, sig); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
			if err := other.Verify(message, sig); !errors.Is(err, ErrSignature) {
				t.Errorf("%d bytes: under another key: %v", size, err)
			}
			if err := pub.Verify(append(message, 0), sig); !errors.Is(err, ErrSignature) {
				t.Errorf("%d bytes: one byte more: %v", size, err)
			}
			fromMessageSigner, err := crypto.SignMessage(s, nil, message, crypto.Hash(0))
			if err != nil {
				t.Fatal(err)
			}
			if err := pub.Verify(message, fromMessageSigner); err != nil {
				t.Errorf("%d bytes: crypto.SignMessage: %v", size, err)
			}
			if bytes.Equal(sig, fromMessageSigner) {
				t.Errorf("%d bytes: two signatures are equal", size)
			}
		}
	}
}

// No bit of a message, signature or key can change.
func TestEveryBitCounts(t *testing.T) {
	key, pub := newTestKey(t)
	message := []byte("0123456789")
	sig := sign(t, key, message)
	for i := range len(sig) * 8 {
		changed := bytes.Clone(sig)
		changed[i/8] ^= 1 << (i % 8)
		if err := pub.Verify(message, changed); !errors.Is(err, ErrSignature) {
			t.Errorf("bit %d of the signature: %v", i, err)
		}
	}
	for i := range len(message) * 8 {
		changed := bytes.Clone(message)
		changed[i/8] ^= 1 << (i % 8)
		if err := pub.Verify(changed, sig); !errors.Is(err, ErrSignature) {
			t.Errorf("bit %d of the message: %v", i, err)
		}
	}
	for i := range spkiSize * 8 {
		changed := pub.SPKI()
		changed[i/8] ^= 1 << (i % 8)
		if _, err := ParsePublicKey(changed); !errors.Is(err, ErrKey) {
			t.Errorf("bit %d of the public key: %v", i, err)
		}
	}
}

// Rule 1. Every entry is one that some implementation is known to accept, or a
// number out of range.
func TestMalformedSignatures(t *testing.T) {
	key, pub := newTestKey(t)
	message := []byte("message")
	// A signature with both numbers of full width and with the top bit set and
	// clear keeps the hand-made encodings below simple.
	var sig []byte
	var r, s *big.Int
	for {
		sig = sign(t, key, message)
		r, s = numbersOf(t, sig)
		if r.BitLen() == 256 && s.BitLen() > 248 && s.BitLen() < 256 {
			break
		}
	}
	wellFormed := []string{"r = n - 1", "s = n - 1", "r = 1, s = 1", "n - s", "n - r", "swapped", "the signature of another"}
	zero, one := new(big.Int), big.NewInt(1)
	add := func(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }
	sub := func(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }
	p := new(big.Int).SetBytes(unhex(t, "fffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffff"))
	rBytes, sBytes := sig[4:37], sig[39:] // 00 || r, s

	for name, bad := range map[string][]byte{
		"empty":                          {},
		"nil":                            nil,
		"not a sequence":                 concat([]byte{0x31}, sig[1:]),
		"primitive sequence":             concat([]byte{0x10}, sig[1:]),
		"raw r and s":                    concat(rBytes[1:], sBytes),
		"trailing zero":                  concat(sig, []byte{0}),
		"trailing signature":             concat(sig, sig),
		"trailing end-of-contents":       concat(sig, []byte{0, 0}),
		"extra element inside":           concat([]byte{0x30, sig[1] + 3}, sig[2:], []byte{0x02, 0x01, 0x01}),
		"extra NULL inside":              concat([]byte{0x30, sig[1] + 2}, sig[2:], []byte{0x05, 0x00}),
		"three numbers":                  der(r, s, one),
		"one number":                     der(r),
		"no numbers":                     {0x30, 0x00},
		"long-form length":               concat([]byte{0x30, 0x81}, sig[1:]),
		"longer long-form length":        concat([]byte{0x30, 0x82, 0x00}, sig[1:]),
		"long-form length of r":          concat([]byte{0x30, sig[1] + 1, 0x02, 0x81}, sig[3:]),
		"indefinite length":              concat([]byte{0x30, 0x80}, sig[2:], []byte{0, 0}),
		"length one too short":           concat([]byte{0x30, sig[1] - 1}, sig[2:]),
		"length one too long":            concat([]byte{0x30, sig[1] + 1}, sig[2:]),
		"truncated":                      sig[:len(sig)-1],
		"r with two zero bytes":          concat([]byte{0x30, sig[1] + 1, 0x02, 34, 0x00}, rBytes, sig[37:]),
		"s with a needless zero byte":    concat([]byte{0x30, sig[1] + 1}, sig[2:37], []byte{0x02, byte(len(sBytes) + 1), 0}, sBytes),
		"r without its zero byte":        concat([]byte{0x30, sig[1] - 1, 0x02, 32}, rBytes[1:], sig[37:]),
		"r is an OCTET STRING":           concat(sig[:2], []byte{0x04}, sig[3:]),
		"r is an ENUMERATED":             concat(sig[:2], []byte{0x0a}, sig[3:]),
		"r of no bytes":                  {0x30, 0x05, 0x02, 0x00, 0x02, 0x01, 0x01},
		"r = 0":                          der(zero, s),
		"s = 0":                          der(r, zero),
		"both 0":                         der(zero, zero),
		"r negative":                     der(new(big.Int).Neg(one), s),
		"s negative":                     der(r, new(big.Int).Neg(one)),
		"r = n":                          der(n, s),
		"s = n":                          der(r, n),
		"r + n":                          der(add(r, n), s),
		"s + n":                          der(r, add(s, n)),
		"r = n - 1":                      der(sub(n, one), s),
		"s = n - 1":                      der(r, sub(n, one)),
		"r = 1, s = 1":                   der(one, one),
		"r = p":                          der(p, s),
		"r of 33 bytes":                  der(new(big.Int).Lsh(one, 257), s),
		"r of 40 bytes":                  der(new(big.Int).Lsh(one, 319), s),
		"r + s = n":                      der(r, sub(n, r)),
		"r + s = n, the other way":       der(sub(n, s), s),
		"n - s":                          der(r, sub(n, s)),
		"n - r":                          der(sub(n, r), s),
		"swapped":                        der(s, r),
		"more than 72 bytes":             bytes.Repeat([]byte{0x30}, 73),
		"two bytes that crash parsers":   {0x30, 0x83},
		"a megabyte":                     make([]byte, 1<<20),
		"PEM":                            []byte("-----BEGIN SIGNATURE-----\n"),
		"the signature of another":       sign(t, key, []byte("another message")),
		"high tag number":                concat([]byte{0x3f, 0x10}, sig[1:]),
		"constructed integer":            concat(sig[:2], []byte{0x22}, sig[3:]),
		"context-specific tag":           concat([]byte{0xa0}, sig[1:]),
		"sequence inside a sequence":     concat([]byte{0x30, byte(len(sig))}, sig),
		"leading zero byte":              concat([]byte{0}, sig),
		"leading space":                  concat([]byte{' '}, sig),
		"r = 2^256 - 1":                  der(sub(new(big.Int).Lsh(one, 256), one), s),
		"length in five bytes, overflow": concat([]byte{0x30, 0x85, 0x01, 0, 0, 0, 0}, sig[2:]),
	} {
		err := pub.Verify(message, bad)
		if !errors.Is(err, ErrSignature) {
			t.Errorf("%s: Verify: %v", name, err)
		}
		if slices.Contains(wellFormed, name) {
			continue
		}
		// The form is our own check: the library must not be what refuses it.
		if _, parseErr := parseSignature(bad); !errors.Is(parseErr, ErrSignature) || err.Error() != parseErr.Error() {
			t.Errorf("%s: parseSignature: %v, Verify: %v", name, parseErr, err)
		}
		// CrossCheck admits nothing that is not canonical either.
		if err := pub.CrossCheck(message, bad); !errors.Is(err, ErrDisagreement) {
			t.Errorf("%s: CrossCheck: %v", name, err)
		}
	}
	if err := pub.Verify(message, sig); err != nil {
		t.Errorf("the good signature: %v", err)
	}
}

// A signature has exactly one form, also where numbers are short.
func TestCanonicalForm(t *testing.T) {
	for _, bits := range []int{1, 7, 8, 9, 127, 128, 129, 247, 248, 249, 255} {
		for _, v := range []*big.Int{new(big.Int).Lsh(big.NewInt(1), uint(bits-1)), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(1))} {
			in := der(v, v)
			sig, err := parseSignature(in)
			if err != nil {
				t.Errorf("%d bits: %v", bits, err)
				continue
			}
			if out := sig.append([]byte("x")); !bytes.Equal(out, append([]byte("x"), in...)) {
				t.Errorf("%d bits: got %x, want %x", bits, out, in)
			}
		}
	}
}

// crafted returns a signature that tjfoc accepts for this message although it is
// none: r = e and s = -e*d/(1+d) make sG+tP the point at infinity, whose x
// coordinate tjfoc takes for 0. It can be made for any message by the owner of
// the key, who can later deny every one of them.
func crafted(t *testing.T, key *PrivateKey, message []byte) []byte {
	t.Helper()
	d := number(t, key)
	e := new(big.Int).SetBytes(key.pub.key.digest(message))
	r := e.Mod(e, n)
	s := new(big.Int).Mul(r, d)
	s.Mul(s, new(big.Int).ModInverse(new(big.Int).Add(d, big.NewInt(1)), n))
	return der(r, s.Mod(s.Neg(s), n))
}

// Rule 2: what only the second library accepts is refused, and what it refuses is
// vetoed.
func TestSecondLibraryNeverAdmits(t *testing.T) {
	key, pub := newTestKey(t)
	message := []byte("message")
	sig := sign(t, key, message)

	infinity := crafted(t, key, message)
	if err := pub.CrossCheck(message, infinity); err != nil {
		t.Fatalf("the second library has changed; this test needs another example: %v", err)
	}
	if err := pub.Verify(message, infinity); !errors.Is(err, ErrSignature) {
		t.Errorf("a signature at infinity: %v", err)
	}

	if got, err := Sign(Verified(scriptedSigner{key, infinity}), message); !errors.Is(err, ErrDisagreement) || got != nil {
		t.Errorf("Verified releases a signature at infinity: %x, %v", got, err)
	}

	second := tjfoc.PublicKey{Curve: tjfoc.P256Sm2(), X: new(big.Int).SetBytes(pub.point()[1:33]), Y: new(big.Int).SetBytes(pub.point()[33:])}
	for name, bad := range map[string][]byte{
		"trailing byte": concat(sig, []byte{0}),
		"extra element": concat([]byte{0x30, sig[1] + 3}, sig[2:], []byte{0x02, 0x01, 0x01}),
	} {
		if !second.Verify(message, bad) {
			t.Errorf("%s: the second library has changed; this test needs another example", name)
		}
		if err := pub.Verify(message, bad); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// A signer whose signature only the first library accepts, which no real one
	// has been found to make: its key is another one in the eyes of the second.
	_, other := newTestKey(t)
	divided := &PublicKey{spki: other.spki, key: pub.key}
	if err := divided.Verify(message, sig); err != nil {
		t.Fatal(err)
	}
	if err := divided.CrossCheck(message, sig); !errors.Is(err, ErrDisagreement) {
		t.Errorf("CrossCheck: %v", err)
	}
	if got, err := Sign(Verified(fakeSigner{key, divided}), message); !errors.Is(err, ErrDisagreement) || got != nil {
		t.Errorf("Verified releases %x, %v", got, err)
	}
}

type fakeSigner struct {
	crypto.Signer
	pub crypto.PublicKey
}

func (s fakeSigner) Public() crypto.PublicKey { return s.pub }

// scriptedSigner always gives the same signature.
type scriptedSigner struct {
	crypto.Signer
	sig []byte
}

func (s scriptedSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return s.sig, nil }

func TestVerifiedRefuses(t *testing.T) {
	key, _ := newTestKey(t)
	_, other := newTestKey(t)
	for name, test := range map[string]struct {
		signer crypto.Signer
		want   error
	}{
		"a signature of another key": {fakeSigner{key, other}, ErrDisagreement},
		"a key of another kind":      {fakeSigner{key, "key"}, ErrKey},
		"a broken signer":            {brokenSigner{key}, io.ErrUnexpectedEOF},
	} {
		if sig, err := Sign(Verified(test.signer), []byte("m")); !errors.Is(err, test.want) || sig != nil {
			t.Errorf("%s: %x, %v", name, sig, err)
		}
	}
	if !key.pub.Equal(Verified(key).Public()) {
		t.Error("Verified has another public key")
	}
}

type brokenSigner struct{ crypto.Signer }

func (brokenSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, io.ErrUnexpectedEOF
}

// Rule 4.
func TestOnlyMessagesAreSigned(t *testing.T) {
	key, pub := newTestKey(t)
	digest := pub.key.digest([]byte("m"))
	for name, s := range map[string]crypto.Signer{"key": key, "verified": Verified(key)} {
		for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA512} {
			if sig, err := s.Sign(nil, digest, hash); err == nil || sig != nil {
				t.Errorf("%s: signs a digest of %v", name, hash)
			}
			if sig, err := s.(crypto.MessageSigner).SignMessage(nil, digest, hash); err == nil || sig != nil {
				t.Errorf("%s: SignMessage signs a digest of %v", name, hash)
			}
		}
		// The options of the library would make it take the message for a digest.
		if sig, err := s.Sign(nil, digest, emmansun.NewSM2SignerOption(false, nil)); err != nil || pub.Verify(digest, sig) != nil {
			t.Errorf("%s: does not sign the 32 bytes as a message: %v", name, err)
		}
	}
	bare, err := signDigest(key.key(), digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.Verify(digest, bare); !errors.Is(err, ErrSignature) {
		t.Errorf("a signature of the bare digest: %v", err)
	}
}

// Rule 5.
func TestRefusedAtTheBorder(t *testing.T) {
	key, pub := newTestKey(t)
	one := big.NewInt(1)
	for name, d := range map[string]*big.Int{
		"0":       new(big.Int),
		"n-1":     new(big.Int).Sub(n, one),
		"n":       n,
		"n+1":     new(big.Int).Add(n, one),
		"2^256-1": new(big.Int).Sub(new(big.Int).Lsh(one, 256), one),
	} {
		scalar := d.FillBytes(make([]byte, 32))
		if _, err := parseScalar(scalar); err == nil {
			t.Errorf("the private number %s is accepted", name)
		}
		for _, form := range []pkcs8Form{{}, {public: true}} {
			pkcs8, err := form.encode(scalar, pub.point())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParsePrivateKey(pkcs8); !errors.Is(err, ErrKey) {
				t.Errorf("a private key with the number %s: %v", name, err)
			}
		}
	}
	for name, d := range map[string]*big.Int{"1": one, "n-2": new(big.Int).Sub(n, big.NewInt(2))} {
		k := keyOf(t, d)
		sig, err := Sign(Verified(k), []byte("m"))
		if err != nil || k.pub.Verify([]byte("m"), sig) != nil {
			t.Errorf("the private number %s: %v", name, err)
		}
	}

	for name, s := range map[string]crypto.Signer{"key": key, "verified": Verified(key)} {
		for _, empty := range [][]byte{nil, {}} {
			if sig, err := s.Sign(nil, empty, crypto.Hash(0)); err == nil || sig != nil {
				t.Errorf("%s: signs an empty message", name)
			}
			if sig, err := Sign(s, empty); err == nil || sig != nil {
				t.Errorf("%s: Sign signs an empty message", name)
			}
		}
	}
	// Both libraries accept this one.
	empty, err := signDigest(key.key(), pub.key.digest(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.CrossCheck(nil, empty); err != nil {
		t.Fatal(err)
	}
	if err := pub.Verify(nil, empty); !errors.Is(err, ErrSignature) {
		t.Errorf("a signature of an empty message: %v", err)
	}

	// The user ID is part of what is signed.
	other, err := emmansun.CalculateSM2Hash(pub.key.key, []byte("m"), []byte("another user ID"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := signDigest(key.key(), other)
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.Verify([]byte("m"), foreign); !errors.Is(err, ErrSignature) {
		t.Errorf("a signature under another user ID: %v", err)
	}
}

// Fresh keys and messages, signed by either library, in the eyes of both.
func TestLibrariesAgree(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	for i := range rounds {
		key, pub := newTestKey(t)
		message := make([]byte, 1+rand.IntN(300))
		for j := range message {
			message[j] = byte(rand.Uint32())
		}
		second := &tjfoc.PrivateKey{D: number(t, key)}
		second.Curve = tjfoc.P256Sm2()
		second.X, second.Y = new(big.Int).SetBytes(pub.point()[1:33]), new(big.Int).SetBytes(pub.point()[33:])
		r, s, err := tjfoc.Sm2Sign(second, message, []byte(UserID), randReader{})
		if err != nil {
			t.Fatal(err)
		}
		for name, sig := range map[string][]byte{"first": sign(t, key, message), "second": der(r, s)} {
			if err := pub.Verify(message, sig); err != nil {
				t.Fatalf("round %d, signed by the %s: %v", i, name, err)
			}
			if err := pub.CrossCheck(message, sig); err != nil {
				t.Fatalf("round %d, signed by the %s: %v", i, name, err)
			}
			r, s := numbersOf(t, sig)
			bad := der(new(big.Int).Xor(r, new(big.Int).Lsh(big.NewInt(1), uint(rand.IntN(200)))), s)
			if first, second := pub.Verify(message, bad), pub.CrossCheck(message, bad); first == nil || second == nil {
				t.Fatalf("round %d: a changed signature: %v, %v", i, first, second)
			}
		}
	}
}

type randReader struct{}

func (randReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return len(p), nil
}

func TestConcurrentUse(t *testing.T) {
	key, pub := newTestKey(t)
	message := []byte("message")
	sig := sign(t, key, message)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if err := pub.Verify(message, sig); err != nil {
					t.Error(err)
				}
				own, err := Sign(key, message)
				if err != nil || pub.Verify(message, own) != nil {
					t.Error("signing in parallel fails")
				}
			}
			if err := pub.CrossCheck(message, sig); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func ExampleSign() {
	key, err := GenerateKey()
	if err != nil {
		panic(err)
	}
	message := []byte("on 23 November 2026 the office received these bytes")
	sig, err := Sign(key, message)
	if err != nil {
		panic(err)
	}
	pub := key.Public().(*PublicKey)
	fmt.Println(pub.Verify(message, sig))
	fmt.Println(pub.Verify(append(message, '!'), sig))
	// Output:
	// <nil>
	// sm2: invalid signature: it does not belong to this message and key
}
