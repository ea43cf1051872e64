package sm2

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/pkcs"
	"github.com/emmansun/gmsm/pkcs8"
)

func TestPublicKeyForms(t *testing.T) {
	key, pub := newTestKey(t)
	_, other := newTestKey(t)
	again, err := ParsePublicKey(pub.SPKI())
	if err != nil {
		t.Fatal(err)
	}
	fromPEM, err := ParsePublicKeyPEM(pub.PEM())
	if err != nil {
		t.Fatal(err)
	}
	crlf, err := ParsePublicKeyPEM([]byte("\r\n" + strings.ReplaceAll(string(pub.PEM()), "\n", "\r\n") + "  \n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*PublicKey{"SPKI": again, "PEM": fromPEM, "PEM with CR LF": crlf, "Public": key.Public().(*PublicKey)} {
		if !k.Equal(pub) || k.Equal(other) || k.Fingerprint() != pub.Fingerprint() || !bytes.Equal(k.Point(), pub.Point()) {
			t.Errorf("%s gives another key", name)
		}
	}
	if pub.Equal(key) || pub.Equal(nil) || pub.Equal((*PublicKey)(nil)) || pub.Equal(*pub) {
		t.Error("Equal to what is not the key")
	}
	if got, want := fmt.Sprint(pub), fmt.Sprintf("sm2.PublicKey(%x)", pub.fingerprintPrefix()); got != want || new(PublicKey).String() == "" {
		t.Errorf("printed as %q, want %q", got, want)
	}
	if len(pub.Point()) != 65 || pub.Point()[0] != 4 || len(pub.SPKI()) != 91 {
		t.Errorf("point %x, SPKI %x", pub.Point(), pub.SPKI())
	}
	clear(pub.SPKI())
	clear(pub.Point())
	if !pub.Equal(again) {
		t.Error("a caller can change the key through what it is given")
	}
}

// Rule 3. Every entry is one that the second library accepts, or panics on.
func TestMalformedPublicKeys(t *testing.T) {
	_, pub := newTestKey(t)
	point, spki := pub.Point(), pub.SPKI()
	x, y := point[1:33], point[33:]
	p := unhex(t, "fffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffff")
	withPoint := func(point []byte) []byte {
		var head = bytes.Clone(spkiHead)
		head[1] = byte(len(spkiHead) - 2 + len(point))
		head[len(head)-2] = byte(len(point) + 1)
		return append(head, point...)
	}
	if _, err := ParsePublicKey(withPoint(point)); err != nil {
		t.Fatal(err)
	}
	p256 := bytes.Clone(spkiHead[:15])
	p256 = append(p256, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00)
	add := func(a, b []byte) []byte {
		return new(big.Int).Add(new(big.Int).SetBytes(a), new(big.Int).SetBytes(b)).Bytes()
	}
	notOnCurve := bytes.Clone(point)
	notOnCurve[64] ^= 1

	for name, bad := range map[string][]byte{
		"empty":                    nil,
		"bare point":               point,
		"trailing byte":            append(bytes.Clone(spki), 0),
		"truncated":                spki[:len(spki)-1],
		"compressed point":         withPoint(append([]byte{2 + y[31]&1}, x...)),
		"hybrid point":             withPoint(concat([]byte{6 + y[31]&1}, x, y)),
		"hybrid point, other sign": withPoint(concat([]byte{7 - y[31]&1}, x, y)),
		"infinity":                 withPoint([]byte{0}),
		"zero coordinates":         withPoint(concat([]byte{4}, make([]byte, 64))),
		"not on the curve":         withPoint(notOnCurve),
		"unknown prefix":           withPoint(concat([]byte{5}, x, y)),
		"x = p":                    withPoint(concat([]byte{4}, p, y)),
		"x + p":                    withPoint(concat([]byte{4}, add(x, p), y)),
		"y of 31 bytes":            withPoint(point[:64]),
		"the curve P-256":          concat(p256, point),
		"long-form length":         concat([]byte{0x30, 0x81}, spki[1:]),
		"unused bits":              concat(spki[:25], []byte{1}, spki[26:]),
		"a megabyte":               make([]byte, 1<<20),
	} {
		if _, err := ParsePublicKey(bad); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string]string{
		"empty":             "",
		"no PEM":            "key",
		"private key":       string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: spki})),
		"two blocks":        string(pub.PEM()) + string(pub.PEM()),
		"text before":       "# key\n" + string(pub.PEM()),
		"text after":        string(pub.PEM()) + "x",
		"header":            string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Headers: map[string]string{"A": "b"}, Bytes: spki})),
		"long lines":        strings.Replace(string(pub.PEM()), "\n", "", 2),
		"not an SM2 key":    string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki[1:]})),
		"more than allowed": strings.Repeat(" ", maxPEMSize) + string(pub.PEM()),
	} {
		if _, err := ParsePublicKeyPEM([]byte(bad)); !errors.Is(err, ErrKey) {
			t.Errorf("PEM, %s: %v", name, err)
		}
	}
}

func TestPrivateKeyForms(t *testing.T) {
	key, pub := newTestKey(t)
	d := number(t, key).FillBytes(make([]byte, 32))
	for _, form := range []pkcs8Form{{}, {params: true}, {public: true}, {params: true, public: true}} {
		pkcs8, err := form.encode(d, pub.point())
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := ParsePrivateKey(pkcs8)
		if err != nil || !parsed.Equal(key) || !pub.Equal(parsed.Public()) {
			t.Errorf("%+v: %v", form, err)
		}
	}
	pkcs8, err := key.PKCS8()
	if err != nil {
		t.Fatal(err)
	}
	text, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	for _, passphrase := range []string{"", "not needed"} {
		parsed, err := ParsePrivateKeyPEM(text, []byte(passphrase))
		if err != nil || !parsed.Equal(key) {
			t.Errorf("PEM: %v", err)
		}
	}

	_, other := newTestKey(t)
	encode := func(form pkcs8Form, d, point []byte) []byte {
		b, err := form.encode(d, point)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, bad := range map[string][]byte{
		"empty":               nil,
		"SPKI":                pub.SPKI(),
		"trailing byte":       append(bytes.Clone(pkcs8), 0),
		"truncated":           pkcs8[:len(pkcs8)-1],
		"foreign public key":  encode(pkcs8Form{public: true}, d, other.point()),
		"number of 31 bytes":  encode(pkcs8Form{public: true}, d[1:], pub.point()),
		"number of 33 bytes":  encode(pkcs8Form{public: true}, append([]byte{0}, d...), pub.point()),
		"version 1":           bytes.Replace(pkcs8, []byte{2, 1, 0}, []byte{2, 1, 1}, 1),
		"inner version 2":     bytes.Replace(pkcs8, []byte{2, 1, 1}, []byte{2, 1, 2}, 1),
		"another curve":       bytes.Replace(pkcs8, oidSM2, append(bytes.Clone(oidSM2[:7]), 0x2e), 1),
		"compressed public":   encode(pkcs8Form{public: true}, d, append([]byte{2 + pub.point()[64]&1}, pub.point()[1:33]...)),
		"long-form length":    concat([]byte{0x30, 0x82, 0}, pkcs8[2:]),
		"a megabyte":          make([]byte, 1<<20),
		"plain ECPrivateKey":  pkcs8[29:],
		"two keys, one after": concat(pkcs8, pkcs8),
	} {
		if _, err := ParsePrivateKey(bad); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string]string{
		"public key":     string(pub.PEM()),
		"EC key":         string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: pkcs8})),
		"old encryption": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES-256-CBC,00"}, Bytes: pkcs8})),
	} {
		if _, err := ParsePrivateKeyPEM([]byte(bad), nil); !errors.Is(err, ErrKey) {
			t.Errorf("PEM, %s: %v", name, err)
		}
	}
}

func TestEncryptedKey(t *testing.T) {
	key, _ := newTestKey(t)
	passphrase := []byte("口令 passphrase")
	text, err := key.EncryptedPEM(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParsePrivateKeyPEM(text, passphrase)
	if err != nil || !parsed.Equal(key) {
		t.Errorf("right passphrase: %v", err)
	}
	for _, wrong := range []string{"", "passphrase", "口令 passphrase "} {
		if _, err := ParsePrivateKeyPEM(text, []byte(wrong)); !errors.Is(err, ErrPassphrase) {
			t.Errorf("passphrase %q: %v", wrong, err)
		}
	}
	if _, err := key.EncryptedPEM(nil); !errors.Is(err, ErrPassphrase) {
		t.Errorf("encrypting under no passphrase: %v", err)
	}
	block, _ := pem.Decode(text)
	e, err := readEncrypted(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if e.iterations != pbkdf2Iterations || len(e.salt) != pbkdf2SaltSize || !bytes.Equal(e.cipher, oidAES256CBC) || !bytes.Equal(e.prf, oidHMACSHA256) {
		t.Errorf("parameters: %+v", e)
	}
}

// The forms of encrypted keys that other tools write.
func TestForeignEncryptedKeys(t *testing.T) {
	key, _ := newTestKey(t)
	passphrase := []byte("passphrase")
	for name, test := range map[string]struct {
		opts pkcs.PBESEncrypter
		want error
	}{
		"AES-256-CBC, HMAC-SHA256": {pkcs.NewPBESEncrypter(pkcs.AES256CBC, pkcs.NewPBKDF2Opts(pkcs.SHA256, 8, 2048)), nil},
		"SM4-CBC, HMAC-SM3":        {pkcs.NewPBESEncrypter(pkcs.SM4CBC, pkcs.NewPBKDF2Opts(pkcs.SM3, 16, 1000)), nil},
		"SM4-CBC, HMAC-SHA256":     {pkcs.NewPBESEncrypter(pkcs.SM4CBC, pkcs.NewPBKDF2Opts(pkcs.SHA256, 16, 1000)), nil},
		"HMAC-SHA1":                {pkcs.NewPBESEncrypter(pkcs.AES256CBC, pkcs.NewPBKDF2Opts(pkcs.SHA1, 8, 2048)), ErrKey},
		"AES-128-CBC":              {pkcs.NewPBESEncrypter(pkcs.AES128CBC, pkcs.NewPBKDF2Opts(pkcs.SHA256, 8, 2048)), ErrKey},
		"AES-256-GCM":              {pkcs.NewPBESEncrypter(pkcs.AES256GCM, pkcs.NewPBKDF2Opts(pkcs.SHA256, 8, 2048)), ErrKey},
		"scrypt":                   {pkcs.NewPBESEncrypter(pkcs.AES256CBC, pkcs.ScryptOpts{SaltSize: 8, CostParameter: 1 << 4, BlockSize: 8, ParallelizationParameter: 1}), ErrKey},
	} {
		der, err := pkcs8.MarshalPrivateKey(key.key(), passphrase, test.opts)
		if err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: encryptedPEM, Bytes: der})
		parsed, err := ParsePrivateKeyPEM(text, passphrase)
		switch {
		case !errors.Is(err, test.want):
			t.Errorf("%s: %v, want %v", name, err, test.want)
		case test.want != nil:
			continue
		case !parsed.Equal(key):
			t.Errorf("%s: another key", name)
		}
		if _, err := ParsePrivateKeyPEM(text, []byte("wrong")); test.want == nil && !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: wrong passphrase: %v", name, err)
		}
	}
	ours, err := key.EncryptedPEM(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(ours)
	if theirs, err := pkcs8.ParsePKCS8PrivateKeySM2(block.Bytes, passphrase); err != nil || !theirs.Equal(key.key()) {
		t.Errorf("the first library does not read our encrypted key: %v", err)
	}
}

// What the decryption relies on is checked before it starts: the first library
// panics on half of these.
func TestHostileEncryptedKeys(t *testing.T) {
	good := encryptedKey{
		salt: make([]byte, 8), iterations: 1, prf: oidHMACSHA256, prfNull: true,
		cipher: oidAES256CBC, iv: make([]byte, 16), data: make([]byte, 144),
	}
	for name, change := range map[string]func(*encryptedKey){
		"nothing changed":     func(*encryptedKey) {},
		"no NULL":             func(e *encryptedKey) { e.prfNull = false },
		"with a key size":     func(e *encryptedKey) { e.keySize = true },
		"too many iterations": func(e *encryptedKey) { e.iterations = maxPBKDF2Iterations + 1 },
		"no iterations":       func(e *encryptedKey) { e.iterations = 0 },
		"negative iterations": func(e *encryptedKey) { e.iterations = -1 },
		"short IV":            func(e *encryptedKey) { e.iv = e.iv[:15] },
		"no IV":               func(e *encryptedKey) { e.iv = nil },
		"no data":             func(e *encryptedKey) { e.data = nil },
		"part of a block":     func(e *encryptedKey) { e.data = e.data[:143] },
		"too long":            func(e *encryptedKey) { e.data = make([]byte, 1024) },
	} {
		e := good
		change(&e)
		der, err := e.encode()
		if err != nil {
			t.Fatal(err)
		}
		want := ErrKey
		if name == "nothing changed" || name == "no NULL" || name == "with a key size" {
			want = ErrPassphrase
		}
		if _, err := parseEncrypted(der, []byte("passphrase")); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if _, err := parseEncrypted(append(der, 0), []byte("passphrase")); !errors.Is(err, ErrKey) {
			t.Errorf("%s and a trailing byte: %v", name, err)
		}
	}
}
