package notary_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"cunzheng/evidence"
	"cunzheng/notary"
)

// TestPublicBundle holds that whoever names number and digest gets a proof that passes, and nothing that is not in the log.
func TestPublicBundle(t *testing.T) {
	n := newNode(t)
	deposit := n.mustDepositFile(t, depositor, notary.FileDeposit{
		Name: "合同.pdf", Private: map[string]string{evidence.FieldCollector: "张三"},
	}, "content-4711")
	n.anchorNow(t)
	var b bytes.Buffer
	if err := n.PublicBundle(t.Context(), deposit.Number, digestOf("content-4711"), &b); err != nil {
		t.Fatal(err)
	}
	trust, err := n.Trust()
	if err != nil {
		t.Fatal(err)
	}
	report, err := evidence.Verify(evidence.Input{
		Bundle: bytes.NewReader(b.Bytes()), Size: int64(b.Len()), Trust: trust, At: n.clock.Now().Add(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Verdict != evidence.Passed || report.Level != evidence.LevelAnchored || report.Number != deposit.Number {
		t.Fatal(report.Text("en"))
	}
	if s := report.Subject; len(s.Disclosed) > 0 || s.WithOriginal || len(s.Withheld) != 2 {
		t.Errorf("disclosed %v, with original %v, withheld %q", s.Disclosed, s.WithOriginal, s.Withheld)
	}
	for _, secret := range []string{"合同.pdf", "张三", "content-4711"} {
		if bytes.Contains(b.Bytes(), []byte(secret)) {
			t.Errorf("the public bundle holds %q", secret)
		}
	}
}

func TestPublicBundleRefuses(t *testing.T) {
	n := newNode(t)
	deposit := n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("a")})
	wrong := []byte(deposit.Number)
	if wrong[len(wrong)-1]++; wrong[len(wrong)-1] == '9'+1 || wrong[len(wrong)-1] == 'Z'+1 {
		wrong[len(wrong)-1] = '0'
	}
	for number, code := range map[string]string{
		"nothing": notary.CodeNumberInvalid, string(wrong): notary.CodeNumberInvalid,
		testFormat.Format(n.clock.Now(), 4711): notary.CodeNotFound,
		(evidence.NumberFormat{Area: "XM", Region: "350200", Office: "BUR01"}).Format(n.clock.Now(), 1): notary.CodeNotFound,
	} {
		var b bytes.Buffer
		wantCode(t, n.PublicBundle(t.Context(), number, digestOf("a"), &b), code)
		if b.Len() > 0 {
			t.Errorf("%s: %d bytes of nothing", number, b.Len())
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.PublicBundle(gone, deposit.Number, digestOf("a"), new(bytes.Buffer)); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v", err)
	}
}

// TestPublicBundleNeedsDigest holds that a number alone shows nothing, and that a wrong digest is answered as a number
// that was never given out.
func TestPublicBundleNeedsDigest(t *testing.T) {
	n := newNode(t)
	deposit := n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("a"), SHA256: digestOf("b")})
	nobodys := testFormat.Format(n.clock.Now(), 4711)
	near := digestOf("a")
	near[len(near)-1] ^= 1
	for name, digest := range map[string]evidence.Digest{
		"none": {}, "another": digestOf("c"), "one bit off": near, "its SHA-256": digestOf("b"),
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			e := wantCode(t, n.PublicBundle(t.Context(), deposit.Number, digest, &b), notary.CodeNotFound)
			if b.Len() > 0 {
				t.Errorf("%d bytes were shown", b.Len())
			}
			other := wantCode(t, n.PublicBundle(t.Context(), nobodys, digest, &b), notary.CodeNotFound)
			e.EN, e.ZH = strings.ReplaceAll(e.EN, deposit.Number, nobodys), strings.ReplaceAll(e.ZH, deposit.Number, nobodys)
			if e.Error() != other.Error() || e.ZH != other.ZH || e.Field != other.Field {
				t.Errorf("the answers differ: %+v, %+v", e, other)
			}
		})
	}
}
