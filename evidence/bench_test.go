package evidence

import (
	"bytes"
	"io"
	"testing"

	"cunzheng/crypto/sm3"
)

// BenchmarkVerify measures a verdict on a bundle without its original (the budget is 10 ms) and with a small one.
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	w.fill(1 << 10)
	bundle := w.accept(testStatement(), testDisclosures(b))
	w.fill(1 << 10)
	w.anchor(bundle)
	for name, data := range map[string][]byte{"without-original": w.write(bundle, nil), "with-original": w.write(bundle, testOriginal)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := w.verify(data); r.Verdict != Passed {
					b.Fatal(r.Text(English))
				}
			}
		})
	}
}

// BenchmarkVerifyConsortium measures the same on a bundle that a Fabric channel of four organisations anchored.
func BenchmarkVerifyConsortium(b *testing.B) {
	w, _, bundle := consortiumWorld(b, nil)
	data := w.write(bundle, nil)
	b.ReportAllocs()
	for b.Loop() {
		if r := w.verify(data); r.Verdict != Passed {
			b.Fatal(r.Text(English))
		}
	}
	b.ReportMetric(float64(len(data)), "bytes/bundle")
}

// BenchmarkHashing compares the streaming pass over an original (SM3, SHA-256 and CRC at once) with SM3 alone.
func BenchmarkHashing(b *testing.B) {
	data := make([]byte, 64<<20)
	b.Run("stream", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := sumStream(bytes.NewReader(data), int64(len(data))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sm3-only", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			h := sm3.New()
			if _, err := io.Copy(h, bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
			h.Sum(nil)
		}
	})
}

// BenchmarkReceipt measures what the platform does for each deposit beside the log itself.
func BenchmarkReceipt(b *testing.B) {
	w := newWorld(b)
	w.fill(1 << 10)
	s := testStatement()
	bundle := w.accept(s, nil)
	note, proof := w.head(bundle.Receipt.Index)
	b.Run("sign", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := NewReceipt(s, bundle.Statement, bundle.Receipt.Index, note, proof)
			must(b, r.Sign(w.keys[RoleReceipt], tIssued))
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := bundle.Receipt.Encode(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkStatementEncode(b *testing.B) {
	s := testStatement()
	s.Private = Commit(testDisclosures(b))
	bare := digestStatement()
	bare.Idempotency = s.Idempotency
	for name, s := range map[string]*Statement{"full": s, "digest": bare} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Encode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	data, err := s.Encode()
	must(b, err)
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseStatement(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
