package sm2

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"testing"

	tjfoc "github.com/tjfoc/gmsm/sm2"

	"cunzheng/crypto/internal/ratio"
)

// references signs and verifies the same message elsewhere.
type references struct {
	tjSign, tjVerify, p256Sign, p256Verify func()
}

func newReferences(b *testing.B, key *PrivateKey, message []byte) references {
	b.Helper()
	point := key.pub.point()
	tj := &tjfoc.PrivateKey{D: number(b, key)}
	tj.Curve = tjfoc.P256Sm2()
	tj.X, tj.Y = new(big.Int).SetBytes(point[1:33]), new(big.Int).SetBytes(point[33:])
	r, s := numbersOf(b, sign(b, key, message))

	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256(message)
	p256Sig, err := ecdsa.SignASN1(rand.Reader, p256, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	return references{
		tjSign:   func() { tjfoc.Sm2Sign(tj, message, []byte(UserID), rand.Reader) },
		tjVerify: func() { tjfoc.Sm2Verify(&tj.PublicKey, message, []byte(UserID), r, s) },
		p256Sign: func() {
			digest := sha256.Sum256(message)
			ecdsa.SignASN1(rand.Reader, p256, digest[:])
		},
		p256Verify: func() {
			digest := sha256.Sum256(message)
			ecdsa.VerifyASN1(&p256.PublicKey, digest[:], p256Sig)
		},
	}
}

var benchMessage = make([]byte, 256)

func BenchmarkSign(b *testing.B) {
	key, _ := newTestKey(b)
	ref := newReferences(b, key, benchMessage)
	ours := func() {
		if _, err := Sign(key, benchMessage); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		ours()
	}
	ratio.Report(b, ours, ratio.Of("tjfoc", ref.tjSign), ratio.Of("P-256", ref.p256Sign))
}

func BenchmarkVerify(b *testing.B) {
	key, pub := newTestKey(b)
	sig := sign(b, key, benchMessage)
	ref := newReferences(b, key, benchMessage)
	ours := func() {
		if err := pub.Verify(benchMessage, sig); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		ours()
	}
	ratio.Report(b, ours, ratio.Of("tjfoc", ref.tjVerify), ratio.Of("P-256", ref.p256Verify))
}

func BenchmarkParseAndVerify(b *testing.B) {
	key, pub := newTestKey(b)
	sig, spki := sign(b, key, benchMessage), pub.SPKI()
	for b.Loop() {
		pub, err := ParsePublicKey(spki)
		if err != nil || pub.Verify(benchMessage, sig) != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCrossCheck(b *testing.B) {
	key, pub := newTestKey(b)
	sig := sign(b, key, benchMessage)
	for b.Loop() {
		if err := pub.CrossCheck(benchMessage, sig); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifiedSign(b *testing.B) {
	key, _ := newTestKey(b)
	s := Verified(key)
	for b.Loop() {
		if _, err := Sign(s, benchMessage); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStrictSignature(b *testing.B) {
	key, _ := newTestKey(b)
	sig := sign(b, key, benchMessage)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseSignature(sig); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	key, pub := newTestKey(b)
	sig := sign(b, key, benchMessage)
	a := NewAuditor(64, func(err error) { b.Error(err) })
	defer a.Close()
	for b.Loop() {
		a.Observe(pub, benchMessage, sig)
	}
}
