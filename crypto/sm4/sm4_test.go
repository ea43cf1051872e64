package sm4

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/emmansun/gmsm/sm4"

	"cunzheng/crypto/internal/openssltest"
)

func TestSelfTest(t *testing.T) {
	if err := SelfTest(); err != nil {
		t.Fatal(err)
	}
	good := selfTest
	defer func() { selfTest = good }()
	for name, field := range map[string]*string{
		"key": &selfTest.key, "nonce": &selfTest.nonce, "additional": &selfTest.additional,
		"plaintext": &selfTest.plaintext, "sealed": &selfTest.sealed,
	} {
		*field = "ff" + (*field)[2:]
		if SelfTest() == nil {
			t.Errorf("the self-test passes with another %s", name)
		}
		selfTest = good
	}
}

// GB/T 32907-2016, annex A.
func TestBlockVectors(t *testing.T) {
	key := unhex(t, "0123456789abcdeffedcba9876543210")
	block, err := sm4.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(key)
	block.Encrypt(out, out)
	if want := unhex(t, "681edf34d206965e86b3e94f536e4246"); !bytes.Equal(out, want) {
		t.Errorf("A.1: got %x, want %x", out, want)
	}
	if testing.Short() {
		return
	}
	for range 1_000_000 - 1 {
		block.Encrypt(out, out)
	}
	if want := unhex(t, "595298c7c6fd271f0402f804c33d3f66"); !bytes.Equal(out, want) {
		t.Errorf("A.2: got %x, want %x", out, want)
	}
}

// RFC 8998, appendix A.1.
func TestRFC8998(t *testing.T) {
	aead, err := newGCM(unhex(t, "0123456789abcdeffedcba9876543210"))
	if err != nil {
		t.Fatal(err)
	}
	nonce := unhex(t, "00001234567800000000abcd")
	additional := unhex(t, "feedfacedeadbeeffeedfacedeadbeefabaddad2")
	plaintext := unhex(t, "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"+
		"eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa")
	want := unhex(t, "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"+
		"d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"+
		"83de3541e4c2b58177e065a9bf7b62ec")
	if got := aead.Seal(nil, nonce, plaintext, additional); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func TestSealOpen(t *testing.T) {
	key, additional := random(KeySize), []byte("object 1")
	for _, size := range []int{0, 1, 15, 16, 17, 1000} {
		plaintext := random(size)
		sealed, err := Seal(key, plaintext, additional)
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) != size+12+16 {
			t.Errorf("%d bytes are sealed into %d", size, len(sealed))
		}
		if got, err := Open(key, sealed, additional); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes: got %x, %v", size, got, err)
		}
		for name, open := range map[string]func() ([]byte, error){
			"other additional data": func() ([]byte, error) { return Open(key, sealed, []byte("object 2")) },
			"no additional data":    func() ([]byte, error) { return Open(key, sealed, nil) },
			"another key":           func() ([]byte, error) { return Open(random(KeySize), sealed, additional) },
			"truncated":             func() ([]byte, error) { return Open(key, sealed[:len(sealed)-1], additional) },
			"extended":              func() ([]byte, error) { return Open(key, append(bytes.Clone(sealed), 0), additional) },
			"nonce only":            func() ([]byte, error) { return Open(key, sealed[:12], additional) },
			"nothing":               func() ([]byte, error) { return Open(key, nil, additional) },
		} {
			if got, err := open(); !errors.Is(err, ErrAuthentication) || got != nil {
				t.Errorf("%d bytes, %s: got %x, %v", size, name, got, err)
			}
		}
		for i := range len(sealed) * 8 {
			changed := bytes.Clone(sealed)
			changed[i/8] ^= 1 << (i % 8)
			if got, err := Open(key, changed, additional); !errors.Is(err, ErrAuthentication) || got != nil {
				t.Fatalf("%d bytes, bit %d: got %x, %v", size, i, got, err)
			}
		}
		if again, err := Seal(key, plaintext, additional); err != nil || bytes.Equal(again, sealed) {
			t.Errorf("%d bytes: sealing twice gives the same, %v", size, err)
		}
	}
	for _, size := range []int{0, 15, 17, 32} {
		if _, err := Seal(make([]byte, size), nil, nil); !errors.Is(err, ErrKeySize) {
			t.Errorf("Seal with a key of %d bytes: %v", size, err)
		}
		if _, err := Open(make([]byte, size), make([]byte, 28), nil); !errors.Is(err, ErrKeySize) {
			t.Errorf("Open with a key of %d bytes: %v", size, err)
		}
	}
}

// gcm is GCM written out from NIST SP 800-38D with openssl as the block cipher
// and the counter mode, which openssl 3.0 has for SM4 while it lacks SM4-GCM. It
// shares nothing with the code under test.
func gcm(t *testing.T, key, nonce, plaintext, additional []byte) []byte {
	t.Helper()
	counter := func(i byte) string { return fmt.Sprintf("%x%08x", nonce, i) }
	ctr := func(iv string, data []byte) []byte {
		return openssltest.Run(t, data, "enc", "-sm4-ctr", "-K", hex.EncodeToString(key), "-iv", iv)
	}
	ciphertext := ctr(counter(2), plaintext)
	h := openssltest.Run(t, make([]byte, 16), "enc", "-sm4-ecb", "-nopad", "-K", hex.EncodeToString(key))

	return append(ciphertext, ctr(counter(1), ghash([16]byte(h), additional, ciphertext))...)
}

// ghash is GHASH of SP 800-38D §6.4 over padded data and the lengths.
func ghash(h [16]byte, additional, ciphertext []byte) []byte {
	var y [16]byte
	absorb := func(data []byte) {
		for len(data) > 0 {
			n := min(16, len(data))
			for i := range n {
				y[i] ^= data[i]
			}
			y = multiply(y, h)
			data = data[n:]
		}
	}
	absorb(additional)
	absorb(ciphertext)
	absorb(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(len(additional)*8)), uint64(len(ciphertext)*8)))
	return y[:]
}

// multiply multiplies in GF(2^128) as SP 800-38D §6.3 does.
func multiply(x, y [16]byte) (z [16]byte) {
	v := y
	for i := range 128 {
		if x[i/8]>>(7-i%8)&1 == 1 {
			for j := range z {
				z[j] ^= v[j]
			}
		}
		lsb := v[15] & 1
		for j := 15; j > 0; j-- {
			v[j] = v[j]>>1 | v[j-1]<<7
		}
		v[0] >>= 1
		if lsb == 1 {
			v[0] ^= 0xe1
		}
	}
	return z
}

func TestAgainstOpenSSL(t *testing.T) {
	for _, size := range []int{1, 15, 16, 17, 64, 100, 1000} {
		key, additional, plaintext := random(KeySize), random(size%33), random(size)
		sealed, err := Seal(key, plaintext, additional)
		if err != nil {
			t.Fatal(err)
		}
		want := gcm(t, key, sealed[:12], plaintext, additional)
		if !bytes.Equal(sealed[12:], want) {
			t.Errorf("%d bytes: got %x, openssl %x", size, sealed[12:], want)
		}
		theirs := random(12)
		theirs = append(theirs, gcm(t, key, theirs, plaintext, additional)...)
		if got, err := Open(key, theirs, additional); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes sealed with openssl: %x, %v", size, got, err)
		}
	}
}

// The streaming format, rebuilt from its description with openssl.
func TestStreamAgainstOpenSSL(t *testing.T) {
	key := random(KeySize)
	for _, size := range []int{1, ChunkSize - 1, ChunkSize, ChunkSize + 1, 2*ChunkSize + 100} {
		plaintext := random(size)
		var want []byte
		for i := 0; i*ChunkSize < size; i++ {
			chunk := plaintext[i*ChunkSize : min((i+1)*ChunkSize, size)]
			nonce := make([]byte, 12)
			nonce[10] = byte(i)
			if (i+1)*ChunkSize >= size {
				nonce[11] = 1
			}
			want = append(want, gcm(t, key, nonce, chunk, nil)...)
		}
		sealed := seal(t, key, plaintext)
		if !bytes.Equal(sealed, want) {
			t.Errorf("%d bytes: the stream differs from that of openssl", size)
		}
		if got, err := open(key, want); err != nil || !bytes.Equal(got, plaintext) {
			t.Errorf("%d bytes sealed with openssl: %v", size, err)
		}
	}
}

// A test of the test: the same GCM over AES must agree with Go's.
func TestGHASH(t *testing.T) {
	key, nonce, plaintext, additional := random(16), random(12), random(100), random(20)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	sealed := aead.Seal(nil, nonce, plaintext, additional)
	var h, mask [16]byte
	block.Encrypt(h[:], h[:])
	copy(mask[:], nonce)
	mask[15] = 1
	block.Encrypt(mask[:], mask[:])
	tag := ghash(h, additional, sealed[:len(plaintext)])
	for i := range tag {
		tag[i] ^= mask[i]
	}
	if want := sealed[len(plaintext):]; !bytes.Equal(tag, want) {
		t.Errorf("tag %x, want %x", tag, want)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}
