package evidence

import (
	"bytes"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"

	"cunzheng/crypto/sm2"
)

// repack packs files with a manifest that is right for them and signed with the platform's key: what a platform with
// a defect, or a thief of the receipt key alone, could make.
func (w *world) repack(files []file, change ...func(*manifest)) []byte {
	w.t.Helper()
	m := manifest{Created: tCreated, Key: w.keys[RoleReceipt].Public().(*sm2.PublicKey).Fingerprint(), Log: w.origin, Schema: SchemaManifest}
	for _, f := range files[firstListed:] {
		m.Files = append(m.Files, manifestOf(f.name, f.data))
	}
	for _, c := range change {
		c(&m)
	}
	data, err := m.encode()
	must(w.t, err)
	signature, err := sm2.Sign(w.keys[RoleReceipt], signedMessage(SchemaManifest, data))
	must(w.t, err)
	files = slices.Clone(files)
	files[1].data, files[2].data = data, signature
	return pack(w.t, files)
}

// Places of the files in a full bundle.
const (
	atManifest = 1 + iota
	atSignature
	atStatement
	atReceipt
	atProof
	atDisclosures
	atTrust
	atReadme
	atContent
)

// TestRepackedMutations changes every byte of the parts that prove something and signs the manifest anew: the proof
// does not rest on the manifest.
func TestRepackedMutations(t *testing.T) {
	if testing.Short() {
		t.Skip("signs thousands of manifests")
	}
	w := newWorld(t)
	files := unpack(t, w.fullBundle())
	if r := w.verify(w.repack(files)); r.Verdict != Passed {
		t.Fatal(r.Text(English))
	}
	var workers sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for _, part := range []int{atStatement, atReceipt, atProof, atDisclosures, atContent} {
				for i := worker; i < len(files[part].data); i += runtime.GOMAXPROCS(0) {
					changed := slices.Clone(files)
					changed[part].data = bytes.Clone(files[part].data)
					changed[part].data[i] ^= 1 << (i % 8)
					w.refused(fmt.Sprintf("byte %d of %s", i, files[part].name), w.repack(changed))
				}
			}
		})
	}
	workers.Wait()

	// The walk-through and the snapshot of the trust file prove nothing, so only the manifest covers them.
	for _, part := range []int{atTrust, atReadme} {
		changed := slices.Clone(files)
		changed[part].data = []byte("anything")
		if r := w.verify(w.repack(changed)); r.Verdict != Passed {
			t.Errorf("%s takes part in the verdict: %s", files[part].name, r.Verdict)
		}
	}
}

// TestParts holds the code for each part that is malformed, of a newer version, or does not belong.
func TestParts(t *testing.T) {
	w := newWorld(t)
	files := unpack(t, w.fullBundle())
	other := newWorld(t)
	other.keys, other.trust = w.keys, w.trust
	foreign := unpack(t, other.fullBundle())
	key := unpack(t, w.write(w.accept(registryStatements(w)[2], nil), nil))

	part := func(i int, data []byte) []file {
		f := slices.Clone(files)
		f[i].data = data
		return f
	}
	replace := func(i int, old, new string) []file {
		return part(i, bytes.Replace(files[i].data, []byte(old), []byte(new), 1))
	}
	tests := []struct {
		name    string
		bundle  []byte
		verdict Verdict
		codes   map[string]string
	}{
		{"as it is", w.repack(files), Passed, map[string]string{CheckContent: "CONTENT_OK"}},
		{"statement", w.repack(part(atStatement, []byte("{}"))), Failed, map[string]string{CheckStatement: "STATEMENT_FORM", CheckContent: "NOT_REACHED", CheckReceipt: "RECEIPT_MISMATCH"}},
		{"statement of a newer version", w.repack(replace(atStatement, "statement/v1", "statement/v2")), Failed, map[string]string{CheckStatement: "FORMAT_NEWER", CheckReceipt: "RECEIPT_MISMATCH"}},
		{"statement of another record", w.repack(part(atStatement, foreign[atStatement].data)), Failed, map[string]string{CheckReceipt: "RECEIPT_MISMATCH", CheckDisclosures: "DISCLOSURES_MISMATCH", CheckAnchorInclusion: "INCLUSION_INVALID"}},
		{"receipt", w.repack(part(atReceipt, []byte("[]"))), Failed, map[string]string{CheckReceipt: "RECEIPT_FORM", CheckTrust: "NOT_REACHED"}},
		{"receipt of a newer version", w.repack(replace(atReceipt, "receipt/v1", "receipt/v2")), Indeterminate, map[string]string{CheckReceipt: "FORMAT_NEWER"}},
		{"receipt of another record", w.repack(part(atReceipt, foreign[atReceipt].data)), Failed, map[string]string{CheckReceipt: "RECEIPT_MISMATCH"}},
		{"proof", w.repack(part(atProof, nil)), Failed, map[string]string{CheckAnchor: "ANCHOR_FORM", CheckAnchorInclusion: "NOT_REACHED"}},
		{"proof of a newer version", w.repack(replace(atProof, "proof/v1", "proof/v2")), Indeterminate, map[string]string{CheckAnchor: "FORMAT_NEWER"}},
		{"proof of another record", w.repack(part(atProof, foreign[atProof].data)), Failed, map[string]string{CheckAnchorInclusion: "INCLUSION_INVALID"}},
		{"disclosures", w.repack(part(atDisclosures, []byte("x"))), Failed, map[string]string{CheckDisclosures: "DISCLOSURES_FORM"}},
		{"disclosures of a newer version", w.repack(replace(atDisclosures, "disclosures/v1", "disclosures/v2")), Indeterminate, map[string]string{CheckDisclosures: "FORMAT_NEWER"}},
		{"disclosures of another record", w.repack(part(atDisclosures, foreign[atDisclosures].data)), Failed, map[string]string{CheckDisclosures: "DISCLOSURES_MISMATCH"}},
		{"disclosures left out, the name kept", w.repack(slices.Delete(slices.Clone(files), atDisclosures, atDisclosures+1)), Failed, map[string]string{CheckDisclosures: "DISCLOSURES_MISMATCH"}},
		{"other original", w.repack(part(atContent, []byte("other"))), Failed, map[string]string{CheckContent: "CONTENT_MISMATCH", CheckManifest: "MANIFEST_OK"}},
		{"no original", w.repack(files[:atContent]), Passed, map[string]string{CheckContent: "CONTENT_ABSENT"}},
		{"not anchored", w.repack(slices.Delete(slices.Clone(files), atProof, atProof+1)), Passed, map[string]string{CheckAnchor: "ANCHOR_NONE"}},
		{"manifest", pack(t, part(atManifest, []byte("{}"))), Failed, map[string]string{CheckManifest: "MANIFEST_FORM", CheckManifestSignature: "NOT_REACHED"}},
		{"manifest of another log", w.repack(files, func(m *manifest) { m.Log = "other" }), Failed, map[string]string{CheckManifest: "MANIFEST_MISMATCH"}},
		{"manifest with a file more", w.repack(files, func(m *manifest) { m.Files = append(m.Files, m.Files[0]) }), Failed, map[string]string{CheckManifest: "MANIFEST_MISMATCH"}},
		{"manifest with a file less", w.repack(files, func(m *manifest) { m.Files = m.Files[1:] }), Failed, map[string]string{CheckManifest: "MANIFEST_MISMATCH"}},
		{"manifest by an unknown key", w.repack(files, func(m *manifest) { m.Key[0] ^= 1 }), Indeterminate, map[string]string{CheckManifestSignature: "KEY_UNKNOWN"}},
		{"manifest dated before the record", w.repack(files, func(m *manifest) { m.Created = tKeys }), Indeterminate, map[string]string{CheckTime: "TIME_CONTRADICTION"}},
		{"signature of the manifest", pack(t, part(atSignature, []byte{0x30})), Failed, map[string]string{CheckManifestSignature: "SIGNATURE_INVALID"}},
		{"registry", pack(t, key), Passed, map[string]string{CheckContent: "CONTENT_NONE"}},
		{"registry with an original", w.repack(append(slices.Clone(key), file{"content/original", nil})), Failed, map[string]string{CheckContent: "CONTENT_MISMATCH"}},
	}
	for _, test := range tests {
		r := w.verify(test.bundle)
		if r.Verdict != test.verdict {
			t.Errorf("%s: %s, want %s\n%s", test.name, r.Verdict, test.verdict, r.Text(English))
		}
		for _, id := range slices.Sorted(maps.Keys(test.codes)) {
			if got := r.check(id); got != test.codes[id] {
				t.Errorf("%s: %s is %s, want %s", test.name, id, got, test.codes[id])
			}
		}
		if text := r.Text(Chinese); text == "" {
			t.Errorf("%s: no text", test.name)
		}
	}
}
