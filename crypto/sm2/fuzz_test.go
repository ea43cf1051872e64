package sm2

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"testing"

	emmansun "github.com/emmansun/gmsm/sm2"
)

// What a parser accepts, it would write again byte for byte.

func FuzzParsePublicKey(f *testing.F) {
	spki, _ := hex.DecodeString(vectors[0].spki)
	f.Add(spki)
	f.Add(spki[:len(spki)-1])
	f.Add(append(bytes.Clone(spkiHead), make([]byte, 65)...))
	f.Add([]byte{0x30, 0x83})
	f.Fuzz(func(t *testing.T, in []byte) {
		pub, err := ParsePublicKey(in)
		if err != nil {
			return
		}
		if !bytes.Equal(pub.SPKI(), in) {
			t.Errorf("accepted %x, wrote %x", in, pub.SPKI())
		}
		if again, err := ParsePublicKeyPEM(pub.PEM()); err != nil || !again.Equal(pub) {
			t.Errorf("PEM: %v", err)
		}
	})
}

func FuzzParsePublicKeyPEM(f *testing.F) {
	_, pub := newTestKey(f)
	f.Add(pub.PEM())
	f.Add(bytes.ReplaceAll(pub.PEM(), []byte("\n"), []byte("\r\n")))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		pub, err := ParsePublicKeyPEM(in)
		if err != nil {
			return
		}
		normal := append(bytes.TrimSpace(bytes.ReplaceAll(in, []byte("\r\n"), []byte("\n"))), '\n')
		if !bytes.Equal(pub.PEM(), normal) {
			t.Errorf("accepted %q, wrote %q", in, pub.PEM())
		}
	})
}

func FuzzParsePrivateKey(f *testing.F) {
	d, _ := hex.DecodeString(vectors[0].private)
	point, _ := hex.DecodeString(vectors[0].spki)
	for _, form := range []pkcs8Form{{}, {params: true}, {public: true}, {params: true, public: true}} {
		pkcs8, err := form.encode(d, point[len(spkiHead):])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(pkcs8)
	}
	f.Add([]byte{0x30, 0x83})
	f.Fuzz(func(t *testing.T, in []byte) {
		key, err := ParsePrivateKey(in)
		if err != nil {
			return
		}
		d, err := scalarOf(key.key())
		if err != nil {
			t.Fatal(err)
		}
		same := false
		for _, form := range []pkcs8Form{{}, {params: true}, {public: true}, {params: true, public: true}} {
			out, err := form.encode(d, key.pub.point())
			same = same || err == nil && bytes.Equal(out, in)
		}
		if !same {
			t.Errorf("accepted %x, which is none of the four forms", in)
		}
	})
}

func FuzzParseEncrypted(f *testing.F) {
	key, _ := newTestKey(f)
	pkcs8, err := key.PKCS8()
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range []encryptedKey{
		{prf: oidHMACSHA256, prfNull: true, cipher: oidAES256CBC},
		{prf: oidHMACSM3, cipher: oidSM4CBC, keySize: true},
	} {
		e.salt, e.iterations, e.iv, e.data = []byte("saltsalt"), 3, make([]byte, 16), pad(pkcs8)
		der, err := e.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Add([]byte{0x30, 0x83})
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := readEncrypted(in)
		if err != nil {
			return
		}
		if out, err := e.encode(); err != nil || !bytes.Equal(out, in) {
			t.Errorf("accepted %x, wrote %x, %v", in, out, err)
		}
		if e.iterations < 1000 {
			if _, err := parseEncrypted(in, []byte("passphrase")); err == nil {
				t.Errorf("decrypted %x", in)
			}
		}
	})
}

func FuzzVerify(f *testing.F) {
	spki, _ := hex.DecodeString(vectors[0].spki)
	pub, err := ParsePublicKey(spki)
	if err != nil {
		f.Fatal(err)
	}
	message := []byte(vectors[0].message)
	good, _ := hex.DecodeString(vectors[0].sig)
	f.Add(good)
	f.Add(append(bytes.Clone(good), 0))
	f.Add(append([]byte{0x30, 0x81}, good[1:]...))
	f.Add([]byte{0x30, 0x83})
	f.Add(der(big.NewInt(1), big.NewInt(1)))
	f.Add(der(n, n))
	f.Fuzz(func(t *testing.T, sig []byte) {
		parsed, err := parseSignature(sig)
		if err != nil {
			if pub.Verify(message, sig) == nil {
				t.Errorf("verifies but does not parse: %x", sig)
			}
			return
		}
		if out := parsed.append(nil); !bytes.Equal(out, sig) {
			t.Errorf("accepted %x, wrote %x", sig, out)
		}
		accepted := pub.Verify(message, sig) == nil
		if accepted != emmansun.VerifyASN1(pub.key.key, pub.key.digest(message), sig) {
			t.Errorf("Verify and the library differ about %x", sig)
		}
		if accepted && pub.CrossCheck(message, sig) != nil {
			t.Errorf("the libraries differ about %x", sig)
		}
	})
}
