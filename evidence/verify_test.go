package evidence

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"cunzheng/crypto/sm2"
)

func TestVerifyFullBundle(t *testing.T) {
	w := newWorld(t)
	bundle := w.fullBundle()
	r := w.verify(bundle)
	if r.Verdict != Passed || r.Level != LevelAnchored {
		t.Fatalf("verdict %s, level %s\n%s", r.Verdict, r.Level, r.Text(English))
	}
	for _, c := range r.Checks {
		if c.Status != StatusPassed {
			t.Errorf("%s: %s", c.ID, c.Code)
		}
	}
	if len(r.Checks) != len(checkOrder) {
		t.Errorf("%d checks, want %d", len(r.Checks), len(checkOrder))
	}
	first, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		again, err := w.verify(bundle).Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, again) {
			t.Fatalf("two reports of the same input differ:\n%s\n%s", first, again)
		}
	}
}

// TestVerdicts holds what each fault, gap and time does to the verdict.
func TestVerdicts(t *testing.T) {
	revoke := func(role Role, at Instant, reason RevocationReason) func(*world) {
		return func(w *world) { w.trusted(role).Revoked = &TrustRevocation{At: at, Reason: reason} }
	}
	const beforeAll, later = Instant(1000), Instant(86_400_000)
	tests := []struct {
		name     string
		anchored bool
		change   func(w *world) // of the trust file
		options  []func(*Input)
		verdict  Verdict
		level    Level
		check    string
		code     string
	}{
		{"all is well", true, nil, nil, Passed, LevelAnchored, CheckAnchor, "ANCHOR_OK"},
		{"not anchored", false, nil, nil, Passed, LevelAccepted, CheckAnchor, "ANCHOR_NONE"},
		{"no trust file", true, nil, []func(*Input){trusting(nil)}, Indeterminate, LevelNone, CheckTrust, "TRUST_NONE"},
		{"trust file of another log", true, func(w *world) { w.trust.Logs[0].Origin = "other.example" }, nil, Indeterminate, LevelNone, CheckTrust, "TRUST_LOG_UNKNOWN"},
		{"log key missing", true, func(w *world) { w.dropKey(RoleLog) }, nil, Indeterminate, LevelNone, CheckCheckpoint, "KEY_UNKNOWN"},
		{"receipt key missing", true, func(w *world) { w.dropKey(RoleReceipt) }, nil, Indeterminate, LevelNone, CheckReceiptSignature, "KEY_UNKNOWN"},
		{"receipt key missing, manifest", true, func(w *world) { w.dropKey(RoleReceipt) }, nil, Indeterminate, LevelNone, CheckManifestSignature, "KEY_UNKNOWN"},
		{"ledger missing", true, func(w *world) { w.trust.Ledgers = []TrustLedger{} }, nil, Indeterminate, LevelNone, CheckAnchor, "KEY_UNKNOWN"},
		{"ledger key belongs to another ledger", true, func(w *world) { w.trust.Ledgers[0].Name = "another" }, nil, Failed, LevelNone, CheckAnchor, "ANCHOR_KEY_FOREIGN"},
		{"receipt key has another role", true, func(w *world) { w.trusted(RoleReceipt).Role = RoleSeal }, nil, Failed, LevelNone, CheckReceiptSignature, "KEY_ROLE"},
		{"log key has another role", true, func(w *world) { w.trusted(RoleLog).Role = RoleToken }, nil, Failed, LevelNone, CheckCheckpoint, "KEY_ROLE"},
		{"receipt key not yet in use", true, func(w *world) { w.trusted(RoleReceipt).From = tIssued + later }, nil, Failed, LevelNone, CheckReceiptSignature, "KEY_NOT_IN_USE"},
		{"receipt key in use a moment later", true, func(w *world) { w.trusted(RoleReceipt).From = tIssued + 5 }, nil, Passed, LevelAnchored, CheckReceiptSignature, "SIGNATURE_OK"},
		{"log key no longer in use", true, func(w *world) { w.trusted(RoleLog).Until = tReceived - later }, nil, Failed, LevelNone, CheckCheckpoint, "KEY_NOT_IN_USE"},
		{"ledger key not yet in use", true, func(w *world) { w.trusted(RoleLedger).From = tAnchored + later }, nil, Failed, LevelNone, CheckAnchor, "KEY_NOT_IN_USE"},
		{"key retired after", true, func(w *world) { w.trusted(RoleLog).Until = tAnchored + later }, nil, Passed, LevelAnchored, CheckCheckpoint, "SIGNATURE_OK"},

		{"log key revoked before", true, revoke(RoleLog, tReceived-beforeAll, ReasonCompromise), nil, Failed, LevelNone, CheckCheckpoint, "KEY_REVOKED"},
		{"log key stolen later, anchored before", true, revoke(RoleLog, tAnchored+1, ReasonCompromise), nil, Passed, LevelAnchored, CheckCheckpoint, "KEY_REVOKED_AFTER_ANCHOR"},
		{"receipt key stolen later, anchored before", true, revoke(RoleReceipt, tCreated+1, ReasonCompromise), nil, Indeterminate, LevelNone, CheckReceiptSignature, "KEY_REVOKED_LATER"},
		{"receipt key stolen later, anchored before, manifest", true, revoke(RoleReceipt, tCreated+1, ReasonCompromise), nil, Indeterminate, LevelNone, CheckManifestSignature, "KEY_REVOKED_LATER"},
		{"log key revoked before, verdict before that", false, revoke(RoleLog, tReceived, ReasonCompromise), []func(*Input){at(tReceived - 1)}, Failed, LevelNone, CheckCheckpoint, "KEY_REVOKED"},
		{"receipt key revoked before the bundle was made, verdict before that", false, revoke(RoleReceipt, tCreated-1, ReasonCompromise), []func(*Input){at(tCreated - 2)}, Failed, LevelNone, CheckManifestSignature, "KEY_REVOKED"},
		{"log key stolen before the anchor", true, revoke(RoleLog, tAnchored-1, ReasonCompromise), nil, Indeterminate, LevelNone, CheckCheckpoint, "KEY_REVOKED_LATER"},
		{"log key stolen later, not anchored", false, revoke(RoleLog, tAnchored, ReasonCompromise), nil, Indeterminate, LevelNone, CheckCheckpoint, "KEY_REVOKED_LATER"},
		{"log key replaced later, not anchored", false, revoke(RoleLog, tAnchored, ReasonSuperseded), nil, Passed, LevelAccepted, CheckCheckpoint, "KEY_REVOKED_WITHOUT_FAULT"},
		{"receipt key stolen later, not anchored", false, revoke(RoleReceipt, tCreated+1, ReasonCompromise), nil, Indeterminate, LevelNone, CheckReceiptSignature, "KEY_REVOKED_LATER"},
		{"receipt key stolen later, verdict before that", false, revoke(RoleReceipt, tCreated+later, ReasonCompromise), []func(*Input){at(tCreated + 1)}, Passed, LevelAccepted, CheckReceiptSignature, "SIGNATURE_OK"},
		{"receipt key revoked before the bundle was made", true, revoke(RoleReceipt, tCreated-1, ReasonCompromise), nil, Failed, LevelNone, CheckManifestSignature, "KEY_REVOKED"},
		{"ledger key stolen later", true, revoke(RoleLedger, tAnchored+later, ReasonCompromise), nil, Indeterminate, LevelNone, CheckAnchor, "KEY_REVOKED_LATER"},

		{"verdict before the receipt", true, nil, []func(*Input){at(tReceived - 1)}, Indeterminate, LevelNone, CheckTime, "TIME_BEFORE"},
		{"verdict before the anchor", true, nil, []func(*Input){at(tAnchored - 1)}, Indeterminate, LevelNone, CheckAnchor, "ANCHOR_LATER"},
		{"verdict before the bundle was made", false, nil, []func(*Input){at(tCreated - clockTolerance - 1)}, Indeterminate, LevelNone, CheckTime, "TIME_AFTER_AT"},
		{"verdict at about the time the bundle was made", false, nil, []func(*Input){at(tCreated - clockTolerance)}, Passed, LevelAccepted, CheckTime, "TIME_OK"},
		{"right original supplied", false, nil, []func(*Input){withContent(testOriginal)}, Passed, LevelAccepted, CheckContent, "CONTENT_OK"},
		{"wrong original supplied", true, nil, []func(*Input){withContent([]byte("other"))}, Failed, LevelNone, CheckContent, "CONTENT_SUPPLIED_MISMATCH"},
		{"longer original supplied", true, nil, []func(*Input){withContent(append(testOriginal[:len(testOriginal):len(testOriginal)], ' '))}, Failed, LevelNone, CheckContent, "CONTENT_SUPPLIED_MISMATCH"},
		{"empty original supplied", true, nil, []func(*Input){withContent(nil)}, Failed, LevelNone, CheckContent, "CONTENT_SUPPLIED_MISMATCH"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.fill(3)
			b := w.accept(testStatement(), testDisclosures(t))
			w.fill(2)
			if test.anchored {
				w.anchor(b)
			}
			bundle := w.write(b, nil)
			if test.change != nil {
				test.change(w)
			}
			r := w.verify(bundle, test.options...)
			if r.Verdict != test.verdict || r.Level != test.level || r.check(test.check) != test.code {
				t.Errorf("%s %s, %s %s; want %s %s, %s\n%s", r.Verdict, r.Level, test.check, r.check(test.check), test.verdict, test.level, test.code, r.Text(English))
			}
			if (len(r.Proves) > 0) != (r.Verdict == Passed) {
				t.Errorf("verdict %s proves %v", r.Verdict, r.Proves)
			}
		})
	}
}

func (w *world) dropKey(role Role) {
	var kept []TrustKey
	for _, k := range w.trust.Logs[0].Keys {
		if k.Role != role {
			kept = append(kept, k)
		}
	}
	w.trust.Logs[0].Keys = kept
}

// TestContentAbsent holds that an original that was not compared is said plainly, and does not change the verdict.
func TestContentAbsent(t *testing.T) {
	w := newWorld(t)
	r := w.verify(w.write(w.accept(testStatement(), nil), nil))
	if r.Verdict != Passed || r.check(CheckContent) != "CONTENT_ABSENT" {
		t.Fatalf("%s, %s", r.Verdict, r.check(CheckContent))
	}
	if text := r.Text(Chinese); !strings.Contains(text, "没有比对原文") {
		t.Errorf("the text does not say that the original was not compared:\n%s", text)
	}
}

// TestForgeries holds that whoever lacks the platform's keys cannot make a bundle that passes, however well formed it
// is, and that a platform cannot mix parts of different records.
func TestForgeries(t *testing.T) {
	tests := []struct {
		name  string
		forge func(w *world, b *Bundle) // of an anchored bundle
		codes map[string]string
	}{
		{"another log key", func(w *world, b *Bundle) {
			w.keys[RoleLog] = newKey(w.t)
			w.reissue(b)
		}, map[string]string{CheckCheckpoint: "KEY_UNKNOWN"}},
		{"another receipt key", func(w *world, b *Bundle) {
			w.keys[RoleReceipt] = newKey(w.t)
			w.resign(b)
		}, map[string]string{CheckReceiptSignature: "KEY_UNKNOWN", CheckManifestSignature: "KEY_UNKNOWN"}},
		{"receipt signed by another key under the right name", func(w *world, b *Bundle) {
			right := b.Receipt.Key
			must(w.t, b.Receipt.Sign(newKey(w.t), tIssued))
			b.Receipt.Key = right
		}, map[string]string{CheckReceiptSignature: "SIGNATURE_INVALID"}},
		{"receipt dated back", func(w *world, b *Bundle) { b.Receipt.IssuedAt -= 60_000 }, map[string]string{CheckReceiptSignature: "SIGNATURE_INVALID"}},
		{"receipt key signs a checkpoint", func(w *world, b *Bundle) {
			w.keys[RoleLog] = w.keys[RoleReceipt]
			w.reissue(b)
		}, map[string]string{CheckCheckpoint: "KEY_ROLE"}},
		{"checkpoint of another tree", func(w *world, b *Bundle) {
			proof := b.Receipt.Proof
			w.tree[0][0] ^= 1
			w.reissue(b)
			b.Receipt.Proof = proof
			w.resign(b)
		}, map[string]string{CheckInclusion: "INCLUSION_INVALID"}},
		{"forked log", func(w *world, b *Bundle) {
			w.tree[len(w.tree)-1][0] ^= 1 // another entry behind ours
			w.reissue(b)
		}, map[string]string{CheckAnchor: "ANCHOR_FORK"}},
		{"block of another head", func(w *world, b *Bundle) {
			w.fill(1)
			note, _ := w.head(b.Receipt.Index)
			b.Proof.Block = w.block(note, tAnchored)
		}, map[string]string{CheckAnchor: "ANCHOR_MISMATCH"}},
		{"block signed by nobody known", func(w *world, b *Bundle) {
			w.keys[RoleLedger] = newKey(w.t)
			b.Proof.Block = w.block([]byte(b.Proof.Checkpoint), tAnchored)
		}, map[string]string{CheckAnchor: "KEY_UNKNOWN"}},
		{"anchored checkpoint signed by nobody known", func(w *world, b *Bundle) {
			w.keys[RoleLog] = newKey(w.t)
			w.anchor(b)
		}, map[string]string{CheckAnchorCheckpoint: "KEY_UNKNOWN"}},
		{"proof of another leaf", func(w *world, b *Bundle) {
			note, proof := w.head(b.Receipt.Index + 1)
			b.Proof = NewProof(w.origin, b.Receipt.Index, note, proof, LedgerEmbedded, w.block(note, tAnchored))
		}, map[string]string{CheckAnchorInclusion: "INCLUSION_INVALID"}},
		{"proof with another index", func(w *world, b *Bundle) { b.Proof.Index++ }, map[string]string{CheckAnchor: "ANCHOR_MISMATCH"}},
		{"unknown kind of ledger", func(w *world, b *Bundle) { b.Proof.Kind = "another" }, map[string]string{CheckAnchor: "ANCHOR_KIND"}},
		{"block before the receipt", func(w *world, b *Bundle) {
			b.Proof.Block = w.block([]byte(b.Proof.Checkpoint), tReceived-3_600_000)
		}, map[string]string{CheckTime: "TIME_CONTRADICTION"}},
		{"not a block", func(w *world, b *Bundle) { b.Proof.Block = []byte("{}") }, map[string]string{CheckAnchor: "ANCHOR_INVALID"}},
		{"not a checkpoint", func(w *world, b *Bundle) { b.Proof.Checkpoint = "x\n" }, map[string]string{CheckAnchorCheckpoint: "CHECKPOINT_FORM"}},
		{"not a checkpoint in the receipt", func(w *world, b *Bundle) {
			b.Receipt.Checkpoint = "x\n"
			w.resign(b)
		}, map[string]string{CheckCheckpoint: "CHECKPOINT_FORM"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.fill(4)
			b := w.accept(testStatement(), testDisclosures(t))
			w.fill(3)
			w.anchor(b)
			test.forge(w, b)
			r := w.verify(w.write(b, nil))
			if r.Verdict == Passed {
				t.Errorf("passed:\n%s", r.Text(English))
			}
			for id, code := range test.codes {
				if r.check(id) != code {
					t.Errorf("%s: %s, want %s\n%s", id, r.check(id), code, r.Text(English))
				}
			}
		})
	}
}

// TestCheckpointOfAnotherLog holds that a receipt with the checkpoint of another log is false whatever is trusted.
func TestCheckpointOfAnotherLog(t *testing.T) {
	w := newWorld(t)
	w.fill(4)
	b := w.accept(testStatement(), nil)
	w.origin = "other.example"
	w.reissue(b)
	bundle := w.write(b, nil)
	stranger := newWorld(t).trust
	stranger.Logs[0].Origin = "stranger.example"
	for name, trust := range map[string]*Trust{"right": w.trust, "none": nil, "without the log": stranger} {
		if r := w.verify(bundle, trusting(trust)); r.Verdict != Failed || r.check(CheckCheckpoint) != "CHECKPOINT_FORM" {
			t.Errorf("trust file %s: %s, %s", name, r.Verdict, r.check(CheckCheckpoint))
		}
	}
}

// TestNumberNotAfterReceipt holds that a number may be of an earlier day than the receipt, in UTC+8, never of a later one.
func TestNumberNotAfterReceipt(t *testing.T) {
	lastMoment := mustInstant("2026-11-23T15:59:59.999Z") // of 23 November in UTC+8
	for days, valid := range map[int]bool{-1: true, 0: true, 1: false} {
		s := testStatement()
		s.ReceivedAt = lastMoment
		s.Number = NumberFormat{"XM", "350200", "NOT01"}.Format(lastMoment.Time().AddDate(0, 0, days), 1)
		if err := s.Validate(); (err == nil) != valid {
			t.Errorf("%+d days: %v", days, err)
		}
	}
}

// reissue gives the bundle a receipt for the tree as it stands, under the present keys.
func (w *world) reissue(b *Bundle) {
	w.t.Helper()
	note, proof := w.head(b.Receipt.Index)
	b.Receipt.Checkpoint, b.Receipt.Proof = string(note), digests(proof)
	w.resign(b)
}

func (w *world) resign(b *Bundle) { must(w.t, b.Receipt.Sign(w.keys[RoleReceipt], tIssued)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestReaderErrors holds that a failing disk is an error and not a verdict.
func TestReaderErrors(t *testing.T) {
	w := newWorld(t)
	bundle := w.fullBundle()
	broken := errors.New("disk error")
	for n := range int64(3) {
		failing := &failingReader{data: bytes.NewReader(bundle), from: int64(len(bundle)) * n / 3, err: broken}
		if _, err := Verify(Input{Bundle: failing, Size: int64(len(bundle)), Trust: w.trust, At: tVerdict.Time()}); !errors.Is(err, broken) {
			t.Errorf("from %d: %v", failing.from, err)
		}
	}
	in := Input{Bundle: bytes.NewReader(bundle), Size: int64(len(bundle)), Trust: w.trust, At: tVerdict.Time(), Content: io.MultiReader(strings.NewReader("合"), errReader{broken})}
	if _, err := Verify(in); !errors.Is(err, broken) {
		t.Errorf("original: %v", err)
	}
	in.Trust, in.Content = &Trust{}, nil
	if _, err := Verify(in); err == nil {
		t.Error("an invalid trust file is no error")
	}
}

type failingReader struct {
	data io.ReaderAt
	from int64
	err  error
}

func (f *failingReader) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.from {
		return 0, f.err
	}
	return f.data.ReadAt(b, off)
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

// TestReceiptVerify holds what the platform does with every receipt before it answers.
func TestReceiptVerify(t *testing.T) {
	w := newWorld(t)
	w.fill(9)
	b := w.accept(testStatement(), nil)
	verifier := newVerifier(t, w)
	key := w.keys[RoleReceipt].Public().(*sm2.PublicKey)
	must(t, b.Receipt.Verify(b.Statement, key, verifier))
	for name, change := range map[string]func(*Receipt){
		"index":      func(r *Receipt) { r.Index++ },
		"time":       func(r *Receipt) { r.ReceivedAt++ },
		"proof":      func(r *Receipt) { r.Proof = append([]Digest{{1}}, r.Proof[1:]...) },
		"signature":  func(r *Receipt) { r.Signature = append([]byte(nil), r.Signature[:len(r.Signature)-1]...) },
		"checkpoint": func(r *Receipt) { r.Checkpoint = strings.Replace(r.Checkpoint, "\n10\n", "\n11\n", 1) },
	} {
		r := *b.Receipt
		change(&r)
		if r.Verify(b.Statement, key, verifier) == nil {
			t.Errorf("a receipt with another %s verifies", name)
		}
	}
}
