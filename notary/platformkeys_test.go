package notary_test

import (
	"testing"
	"time"

	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/notary"
)

// TestRevokePlatformKey: a stolen key of the platform is rotated away and revoked; the trust file says so, also after a
// restart, and what was signed before verifies with the keys that are good.
func TestRevokePlatformKey(t *testing.T) {
	n := newNode(t)
	before := n.mustDepositDigest(t, depositor, notary.DigestDeposit{SM3: digestOf("1")})
	stolen := receiptOf(t, before).Key
	revoke := func(at evidence.Instant, fingerprint evidence.Digest) error {
		return n.RevokePlatformKey(t.Context(), evidence.KeyRevocation{Fingerprint: fingerprint, Reason: evidence.ReasonCompromise, At: at})
	}
	wantCode(t, revoke(0, evidence.Digest{1}), notary.CodeKeyUnknown)
	if e := wantCode(t, revoke(0, stolen), notary.CodeFieldInvalid); e.Field != "key" { // it signs still
		t.Errorf("field %q", e.Field)
	}
	n.clock.add(time.Hour)
	if _, err := n.keys.Rotate(keystore.RoleReceipt, n.clock.Now()); err != nil {
		t.Fatal(err)
	}
	n.restart(t)
	if e := wantCode(t, revoke(1, stolen), notary.CodeFieldInvalid); e.Field != "at" { // before it was made
		t.Errorf("field %q", e.Field)
	}
	if e := wantCode(t, revoke(evidence.InstantOf(n.clock.Now().Add(time.Minute)), stolen), notary.CodeFieldInvalid); e.Field != "at" {
		t.Errorf("field %q", e.Field)
	}
	if n.PlatformRevocation(stolen) != nil {
		t.Error("what was refused was done")
	}
	now := evidence.InstantOf(n.clock.Now())
	if err := revoke(0, stolen); err != nil {
		t.Fatal(err)
	}
	wantCode(t, revoke(0, stolen), notary.CodeKeyRevoked)
	if err := revoke(now-1000, stolen); err != nil { // it turns out to have been stolen earlier
		t.Fatal(err)
	}

	n.restart(t)
	trust, err := n.Trust()
	if err != nil {
		t.Fatal(err)
	}
	marked := 0
	for _, k := range trust.Logs[0].Keys {
		if k.Revoked != nil {
			marked++
			if k.ID != stolen || k.Revoked.At != now-1000 || k.Revoked.Reason != evidence.ReasonCompromise {
				t.Errorf("revoked: %+v", k)
			}
		}
	}
	if marked != 1 {
		t.Errorf("%d keys are marked revoked", marked)
	}
	if r := n.PlatformRevocation(stolen); r == nil || r.At != now-1000 {
		t.Errorf("revocation %+v", r)
	}
	n.wantPassed(t, depositor, before.Number, notary.BundleOptions{}) // a bundle made now has a receipt by the new key
	n.wantClean(t)
}
