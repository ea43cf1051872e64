package sm2

import (
	"bytes"
	"fmt"
	"testing"

	"cunzheng/crypto/internal/openssltest"
)

const distid = "distid:" + UserID

func TestSignaturesAgainstOpenSSL(t *testing.T) {
	for i := range 5 {
		key, pub := newTestKey(t)
		private, err := key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		message := bytes.Repeat([]byte("0123456789"), 1+i*i*20)
		keyFile, pubFile, messageFile := openssltest.File(t, private), openssltest.File(t, pub.PEM()), openssltest.File(t, message)

		sigFile := openssltest.File(t, sign(t, key, message))
		openssltest.Run(t, nil, "dgst", "-sm3", "-verify", pubFile, "-sigopt", distid, "-signature", sigFile, messageFile)
		openssltest.Run(t, nil, "pkeyutl", "-verify", "-rawin", "-digest", "sm3", "-pubin", "-inkey", pubFile,
			"-pkeyopt", distid, "-sigfile", sigFile, "-in", messageFile)
		if !openssltest.Fails(t, nil, "dgst", "-sm3", "-verify", pubFile, "-sigopt", "distid:another", "-signature", sigFile, messageFile) {
			t.Error("openssl accepts our signature under another user ID")
		}

		fromDgst := openssltest.Run(t, nil, "dgst", "-sm3", "-sign", keyFile, "-sigopt", distid, messageFile)
		fromPkeyutl := openssltest.Run(t, nil, "pkeyutl", "-sign", "-rawin", "-digest", "sm3", "-inkey", keyFile, "-pkeyopt", distid, "-in", messageFile)
		for name, sig := range map[string][]byte{"dgst": fromDgst, "pkeyutl": fromPkeyutl} {
			if err := pub.Verify(message, sig); err != nil {
				t.Errorf("signature of openssl %s: %v", name, err)
			}
			if err := pub.CrossCheck(message, sig); err != nil {
				t.Errorf("signature of openssl %s: %v", name, err)
			}
		}
		other := openssltest.Run(t, nil, "dgst", "-sm3", "-sign", keyFile, "-sigopt", "distid:another", messageFile)
		if err := pub.Verify(message, other); err == nil {
			t.Error("a signature under another user ID is accepted")
		}
	}
}

func TestKeysAgainstOpenSSL(t *testing.T) {
	for range 5 {
		theirs := openssltest.Run(t, nil, "genpkey", "-algorithm", "SM2")
		key, err := ParsePrivateKeyPEM(theirs, nil)
		if err != nil {
			t.Fatalf("key of openssl: %v\n%s", err, theirs)
		}
		if again, err := key.PEM(); err != nil || !bytes.Equal(again, theirs) {
			t.Errorf("openssl writes\n%s, we write\n%s", theirs, again)
		}
		pub := openssltest.Run(t, theirs, "pkey", "-pubout")
		parsed, err := ParsePublicKeyPEM(pub)
		if err != nil || !parsed.Equal(key.Public()) || !bytes.Equal(parsed.PEM(), pub) {
			t.Errorf("public key of openssl: %v\n%s", err, pub)
		}
	}

	key, pub := newTestKey(t)
	plain, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	if got := openssltest.Run(t, plain, "pkey", "-check", "-pubout"); !bytes.HasSuffix(got, pub.PEM()) {
		t.Errorf("openssl finds another public key in ours:\n%s", got)
	}
	encrypted, err := key.EncryptedPEM([]byte("passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	if got := openssltest.Run(t, encrypted, "pkey", "-passin", "pass:passphrase", "-pubout"); !bytes.Equal(got, pub.PEM()) {
		t.Errorf("openssl finds another public key in our encrypted one:\n%s", got)
	}
	if !openssltest.Fails(t, encrypted, "pkey", "-passin", "pass:wrong", "-pubout") {
		t.Error("openssl decrypts our key with a wrong passphrase")
	}
	for _, options := range [][]string{
		nil, // the defaults of OpenSSL 3
		{"-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", "100000"},
		{"-v2", "sm4-cbc"},
	} {
		args := append([]string{"pkcs8", "-topk8", "-passout", "pass:passphrase"}, options...)
		theirs := openssltest.Run(t, plain, args...)
		got, err := ParsePrivateKeyPEM(theirs, []byte("passphrase"))
		if err != nil || !got.Equal(key) {
			t.Errorf("openssl %q: %v", args, err)
		}
	}
	// A key whose number begins with a zero byte keeps its 32 bytes.
	short := keyOf(t, number(t, key).Rsh(number(t, key), 16))
	text, err := short.PEM()
	if err != nil {
		t.Fatal(err)
	}
	if got := openssltest.Run(t, text, "pkey"); !bytes.Equal(got, text) {
		t.Errorf("openssl writes a short key as\n%s, we as\n%s", got, text)
	}
}

// The walk-through that bundles carry for people with nothing but OpenSSL.
func TestDigestAgainstOpenSSL(t *testing.T) {
	_, pub := newTestKey(t)
	message := []byte("message")
	// e = SM3(ZA || message), as openssl computes it when ZA is fed by hand.
	want := openssltest.Run(t, append(bytes.Clone(pub.key.za), message...), "dgst", "-sm3", "-binary")
	if got := pub.key.digest(message); !bytes.Equal(got, want) {
		t.Errorf("e = %x, want %x", got, want)
	}
	text := openssltest.Run(t, pub.PEM(), "pkey", "-pubin", "-text", "-noout")
	for _, part := range []string{"SM2", fmt.Sprintf("%02x:%02x", pub.Point()[0], pub.Point()[1])} {
		if !bytes.Contains(text, []byte(part)) {
			t.Errorf("openssl describes our public key without %q:\n%s", part, text)
		}
	}
}
