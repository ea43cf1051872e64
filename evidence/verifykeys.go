package evidence

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
)

// span is the time in which a signature was made, as far as the bundle says it.
type span struct{ earliest, latest Instant }

// judge says what a valid signature by a trusted key is worth: the code of a check. A key counts for one role, while
// it is in use. A revocation before the signature always counts, a later one if it was made by the time of the verdict.
// Anchored is the time by which an anchor shows that the signature was there, or 0.
//
// Clocks and the moments before and after a rotation are forgiven clockTolerance.
func (v *verification) judge(k *TrustKey, role Role, made span, anchored Instant) string {
	switch {
	case k.Role != role:
		return "KEY_ROLE"
	case made.latest+clockTolerance < k.From, k.Until != 0 && made.earliest-clockTolerance >= k.Until:
		return "KEY_NOT_IN_USE"
	case k.Revoked != nil && k.Revoked.At <= made.earliest:
		return "KEY_REVOKED"
	case k.Revoked == nil || k.Revoked.At > v.at:
		return "SIGNATURE_OK"
	case k.Revoked.Reason != ReasonCompromise:
		return "KEY_REVOKED_WITHOUT_FAULT"
	case anchored != 0 && anchored < k.Revoked.At:
		return "KEY_REVOKED_AFTER_ANCHOR"
	}
	return "KEY_REVOKED_LATER"
}

// signatures checks what the platform signed: the checkpoint, the receipt, the manifest.
func (v *verification) signatures() {
	covered := Instant(0)
	if v.head.Size <= v.anchoredSize {
		covered = v.covers
	}
	v.checkpointSignature(CheckCheckpoint, v.receipt.Checkpoint, span{v.receipt.ReceivedAt, v.receipt.IssuedAt}, covered)
	v.signature(CheckReceiptSignature, v.receipt.Key, span{v.receipt.IssuedAt, v.receipt.IssuedAt}, v.receipt.VerifySignature)
	if m := v.manifest; m != nil {
		v.signature(CheckManifestSignature, m.Key, span{m.Created, m.Created}, func(key *sm2.PublicKey) error {
			return key.Verify(signedMessage(SchemaManifest, v.bundle.File(fileManifest)), v.bundle.File(fileSignature))
		})
	}
}

// signature checks a signature by the receipt key with the given fingerprint.
func (v *verification) signature(id string, fingerprint Digest, made span, verify func(*sm2.PublicKey) error) {
	trusted, key, err := v.key(fingerprint)
	if trusted == nil || err != nil {
		v.set(id, "KEY_UNKNOWN", errors.Join(fmt.Errorf("key %s", fingerprint), err))
		return
	}
	if err := verify(key); err != nil {
		v.set(id, "SIGNATURE_INVALID", err)
		return
	}
	v.set(id, v.judge(trusted, RoleReceipt, made, 0), fmt.Errorf("key %s", fingerprint))
}

// key returns the log's trusted key, or nil.
func (v *verification) key(fingerprint Digest) (*TrustKey, *sm2.PublicKey, error) {
	if v.log == nil {
		return nil, nil, nil
	}
	return findKey(v.log.Keys, fingerprint)
}

// checkpointSignature checks the log's signature of a checkpoint. A checkpoint may carry several signatures of the
// log, as at a rotation: the one that is worth most decides, since all of them are valid.
func (v *verification) checkpointSignature(id, text string, made span, anchored Instant) {
	if head, err := checkpoint.Parse([]byte(text)); err != nil || head.Origin != v.receipt.Log {
		v.set(id, "CHECKPOINT_FORM", errors.Join(fmt.Errorf("log %q", v.receipt.Log), err))
		return
	}
	if v.log == nil {
		v.set(id, "KEY_UNKNOWN", fmt.Errorf("log %q", v.receipt.Log))
		return
	}
	var keys []note.Verifier
	var tried []*recorder
	for i := range v.log.Keys {
		k := &v.log.Keys[i]
		key, err := sm2.ParsePublicKey(k.SPKI)
		if err != nil {
			continue
		}
		verifier, err := checkpoint.NewVerifier(v.log.Origin, key)
		if err != nil {
			continue
		}
		r := &recorder{Verifier: verifier, trusted: k}
		keys, tried = append(keys, r), append(tried, r)
	}
	_, err := checkpoint.Open([]byte(text), v.log.Origin, keys...)
	switch {
	case errors.Is(err, checkpoint.ErrUnknownKey):
		v.set(id, "KEY_UNKNOWN", err)
		return
	case errors.Is(err, checkpoint.ErrSyntax):
		v.set(id, "CHECKPOINT_FORM", err)
		return
	case err != nil:
		v.set(id, "SIGNATURE_INVALID", err)
		return
	}
	best, detail := "", error(nil)
	for _, r := range tried {
		if !r.accepted {
			continue
		}
		if code := v.judge(r.trusted, RoleLog, made, anchored); best == "" || worth(code) > worth(best) {
			best, detail = code, fmt.Errorf("key %s", r.trusted.ID)
		}
	}
	if best == "" {
		best = "SIGNATURE_INVALID" // cannot be: Open wants one accepted signature
	}
	v.set(id, best, detail)
}

func worth(code string) int {
	switch reasons[code].status {
	case StatusPassed:
		return 2
	case StatusIndeterminate:
		return 1
	}
	return 0
}

// recorder remembers that its key accepted a signature.
type recorder struct {
	note.Verifier
	trusted  *TrustKey
	accepted bool
}

func (r *recorder) Verify(message, signature []byte) bool {
	ok := r.Verifier.Verify(message, signature)
	r.accepted = r.accepted || ok
	return ok
}

// times checks that each step bears a time that is not before the one it rests on, and that all are there by the time
// of the verdict.
func (v *verification) times() {
	r := v.receipt
	steps := []struct {
		what string
		at   Instant
	}{{"receipt issued", r.IssuedAt}}
	if v.manifest != nil {
		steps = append(steps, struct {
			what string
			at   Instant
		}{"bundle made", v.manifest.Created})
	}
	if v.anchored != 0 {
		steps = append(steps, struct {
			what string
			at   Instant
		}{"anchored", v.anchored})
	}
	for _, step := range steps {
		if step.at+clockTolerance < r.ReceivedAt {
			v.set(CheckTime, "TIME_CONTRADICTION", fmt.Errorf("%s %s, received %s", step.what, step.at, r.ReceivedAt))
			return
		}
	}
	if v.at < r.ReceivedAt {
		v.set(CheckTime, "TIME_BEFORE", fmt.Errorf("received %s", r.ReceivedAt))
		return
	}
	for _, step := range steps {
		if step.at > v.at+clockTolerance {
			v.set(CheckTime, "TIME_AFTER_AT", fmt.Errorf("%s %s", step.what, step.at))
			return
		}
	}
	v.set(CheckTime, "TIME_OK", nil)
}
