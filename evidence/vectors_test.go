package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// update makes the vectors anew, with fresh keys:
//
//	go test ./evidence -run TestVectors -update
var update = flag.Bool("update", false, "make testdata/vectors anew")

const vectors = "../testdata/vectors"

// vectorCase is one verdict: the report must come out byte for byte.
type vectorCase struct {
	Name    string  `json:"name"`
	Bundle  string  `json:"bundle"`
	Trust   string  `json:"trust,omitempty"`
	Content string  `json:"content,omitempty"`
	At      string  `json:"at"`
	Verdict Verdict `json:"verdict"`
	Level   Level   `json:"level"`
	Report  string  `json:"report"`
}

// worked follows one statement of anchored.zip from its bytes to the signatures.
type worked struct {
	Statement    string `json:"statement"`    // text of statement.json
	StatementSM3 Digest `json:"statementSM3"` // SM3(statement)
	Leaf         Digest `json:"leaf"`         // SM3(0x00 || statement)
	Index        uint64 `json:"index"`
	Steps        []step `json:"steps"` // the inclusion proof, applied
	Size         uint64 `json:"size"`
	Root         Digest `json:"root"`
	RootBase64   string `json:"rootBase64"` // as it stands in the checkpoint

	Checkpoint          string `json:"checkpoint"`          // signed note
	CheckpointText      string `json:"checkpointText"`      // what is signed
	LogKeySPKI          []byte `json:"logKeySPKI"`          // base64
	LogKeyID            string `json:"logKeyID"`            // first four bytes of the signature line, hex
	CheckpointSignature string `json:"checkpointSignature"` // DER, hex

	ReceiptMessage   string `json:"receiptMessage"`   // what is signed
	ReceiptKey       Digest `json:"receiptKey"`       // SM3(SPKI)
	ReceiptKeySPKI   []byte `json:"receiptKeySPKI"`   // base64
	ReceiptSignature string `json:"receiptSignature"` // DER, hex
}

type step struct {
	Left   Digest `json:"left"`
	Right  Digest `json:"right"`
	Parent Digest `json:"parent"` // SM3(0x01 || left || right)
}

type vectorNumber struct {
	Number string `json:"number"`
	Valid  bool   `json:"valid"`
	Why    string `json:"why,omitempty"`
}

type vectorCommitment struct {
	Disclosure
	Preimage   string `json:"preimage"`
	Commitment Digest `json:"commitment"`
}

func TestVectors(t *testing.T) {
	if *update {
		makeVectors(t)
	}
	var cases []vectorCase
	load(t, "cases.json", &cases)
	seen := make(map[Verdict]int)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			report := judge(t, c)
			if report.Verdict != c.Verdict || report.Level != c.Level {
				t.Errorf("%s %s, want %s %s", report.Verdict, report.Level, c.Verdict, c.Level)
			}
			got, err := report.Encode()
			must(t, err)
			if want := read(t, c.Report); !bytes.Equal(got, want) {
				t.Errorf("the report is\n%s\nwant\n%s", got, want)
			}
		})
		seen[c.Verdict]++
	}
	if len(seen) != 3 {
		t.Errorf("verdicts in the vectors: %v, want all three", seen)
	}

	var w worked
	load(t, "worked.json", &w)
	checkWorked(t, &w)

	var numbers []vectorNumber
	load(t, "numbers.json", &numbers)
	for _, n := range numbers {
		if _, err := ParseNumber(n.Number); (err == nil) != n.Valid {
			t.Errorf("%s: %v, want valid: %v", n.Number, err, n.Valid)
		}
	}
	var commitments []vectorCommitment
	load(t, "commitments.json", &commitments)
	for _, c := range commitments {
		if c.Disclosure.Commitment() != c.Commitment || Digest(sm3.Sum([]byte(c.Preimage))) != c.Commitment {
			t.Errorf("commitment of %s", c.Field)
		}
	}
}

func judge(t *testing.T, c vectorCase) *Report {
	t.Helper()
	bundle := read(t, c.Bundle)
	in := Input{Bundle: bytes.NewReader(bundle), Size: int64(len(bundle)), At: mustInstant(c.At).Time()}
	if c.Trust != "" {
		trust, err := ParseTrust(read(t, c.Trust))
		must(t, err)
		in.Trust = trust
	}
	if c.Content != "" {
		in.Content = bytes.NewReader(read(t, c.Content))
	}
	r, err := Verify(in)
	must(t, err)
	return r
}

// checkWorked does each step of the worked example with nothing but hashes and signatures.
func checkWorked(t *testing.T, w *worked) {
	t.Helper()
	statement := []byte(w.Statement)
	if w.StatementSM3 != Digest(sm3.Sum(statement)) || w.Leaf != Digest(sm3.Sum(append([]byte{0}, statement...))) {
		t.Error("worked example: digests of the statement")
	}
	node := w.Leaf
	for i, s := range w.Steps {
		if node != s.Left && node != s.Right {
			t.Errorf("worked example: step %d does not take up the one before", i)
		}
		if s.Parent != Digest(sm3.Sum(slices.Concat([]byte{1}, s.Left[:], s.Right[:]))) {
			t.Errorf("worked example: step %d", i)
		}
		node = s.Parent
	}
	if node != w.Root || w.RootBase64 != base64.StdEncoding.EncodeToString(w.Root[:]) {
		t.Error("worked example: root")
	}
	for _, s := range []struct {
		spki    []byte
		message string
		der     string
	}{{w.LogKeySPKI, w.CheckpointText, w.CheckpointSignature}, {w.ReceiptKeySPKI, w.ReceiptMessage, w.ReceiptSignature}} {
		key, err := sm2.ParsePublicKey(s.spki)
		must(t, err)
		der, err := hex.DecodeString(s.der)
		must(t, err)
		if err := key.Verify([]byte(s.message), der); err != nil {
			t.Errorf("worked example: %v", err)
		}
		if err := key.CrossCheck([]byte(s.message), der); err != nil {
			t.Errorf("worked example, second implementation: %v", err)
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(vectors, name))
	must(t, err)
	return data
}

func load(t *testing.T, name string, v any) {
	t.Helper()
	must(t, json.Unmarshal(read(t, name), v))
}

func save(t *testing.T, name string, data []byte) {
	t.Helper()
	path := filepath.Join(vectors, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, data, 0o644))
}

func saveJSON(t *testing.T, name string, v any) {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	must(t, err)
	save(t, name, append(data, '\n'))
}

func makeVectors(t *testing.T) {
	w := newWorld(t)
	w.fill(5)
	disclosures := testDisclosures(t)
	full := w.accept(testStatement(), disclosures)
	w.fill(6)
	w.anchor(full)
	plain := w.accept(testStatement(), disclosures[:1])
	digest := w.accept(digestStatement(), nil)
	key := w.accept(registryStatements(w)[2], nil)

	anchored := w.write(full, testOriginal)
	save(t, "anchored.zip", anchored)
	save(t, "accepted.zip", w.write(plain, nil))
	save(t, "digest.zip", w.write(digest, nil))
	save(t, "key.zip", w.write(key, nil))
	save(t, "cut.zip", anchored[:len(anchored)-100])
	save(t, "original.txt", testOriginal)
	save(t, "other.txt", []byte("other\n"))
	files := unpack(t, anchored)
	alter := func(name string, i int, old, new string) {
		f := slices.Clone(files)
		f[i].data = bytes.Replace(f[i].data, []byte(old), []byte(new), 1)
		save(t, name, pack(t, f))
	}
	alter("changed-original.zip", len(files)-1, "甲方", "乙方")
	alter("changed-statement.zip", 3, "platform", "depositor")
	alter("changed-disclosure.zip", 6, "张三", "李四")
	alter("changed-readme.zip", 8, "不证明", "已证明")
	alter("newer.zip", 1, "manifest/v1", "manifest/v9")
	forger := newWorld(t)
	forger.tree = slices.Clone(w.tree)
	forger.trust = w.trust
	save(t, "forged.zip", forger.write(forger.accept(digestStatement(), nil), nil))

	saveTrust := func(name string, change func(*world)) {
		text, err := w.trust.Encode()
		must(t, err)
		copied, err := ParseTrust(text)
		must(t, err)
		v := &world{t: t, trust: copied}
		change(v)
		text, err = v.trust.Encode()
		must(t, err)
		save(t, name, text)
	}
	saveTrust("trust.json", func(*world) {})
	saveTrust("trust-other-log.json", func(w *world) { w.trust.Logs[0].Origin = "other.example" })
	saveTrust("trust-no-receipt-key.json", func(w *world) { w.dropKey(RoleReceipt) })
	saveTrust("trust-revoked.json", func(w *world) {
		w.trusted(RoleLog).Revoked = &TrustRevocation{At: tCreated, Reason: ReasonCompromise}
	})
	saveTrust("trust-receipt-revoked.json", func(w *world) {
		w.trusted(RoleReceipt).Revoked = &TrustRevocation{At: tCreated, Reason: ReasonCompromise}
	})

	// The same leaf under the checkpoint of another log.
	foreign := *plain
	receipt := *plain.Receipt
	foreign.Receipt = &receipt
	w.origin = "other.example"
	w.reissue(&foreign)
	save(t, "other-checkpoint.zip", w.write(&foreign, nil))
	w.origin = testOrigin
	saveNumber := func(name string, days int) {
		s := digestStatement()
		s.Number = testFormat.Format(tReceived.Time().AddDate(0, 0, days), 2)
		save(t, name, w.write(w.accept(s, nil), nil))
	}
	saveNumber("number-of-the-day-before.zip", -1)

	atVerdict := tVerdict.String()
	cases := []vectorCase{
		{Name: "anchored", Bundle: "anchored.zip", Trust: "trust.json", At: atVerdict},
		{Name: "anchored, before the anchor", Bundle: "anchored.zip", Trust: "trust.json", At: (tAnchored - 1).String()},
		{Name: "anchored, before the receipt", Bundle: "anchored.zip", Trust: "trust.json", At: (tReceived - 1).String()},
		{Name: "anchored, ten years on", Bundle: "anchored.zip", Trust: "trust.json", At: "2036-11-23T00:00:00.000Z"},
		{Name: "anchored, no trust file", Bundle: "anchored.zip", At: atVerdict},
		{Name: "anchored, trust file of another log", Bundle: "anchored.zip", Trust: "trust-other-log.json", At: atVerdict},
		{Name: "anchored, receipt key missing", Bundle: "anchored.zip", Trust: "trust-no-receipt-key.json", At: atVerdict},
		{Name: "anchored, log key stolen later", Bundle: "anchored.zip", Trust: "trust-revoked.json", At: atVerdict},
		{Name: "anchored, other original supplied", Bundle: "anchored.zip", Trust: "trust.json", Content: "other.txt", At: atVerdict},
		{Name: "accepted", Bundle: "accepted.zip", Trust: "trust.json", At: atVerdict},
		{Name: "accepted, original supplied", Bundle: "accepted.zip", Trust: "trust.json", Content: "original.txt", At: atVerdict},
		{Name: "accepted, other original supplied", Bundle: "accepted.zip", Trust: "trust.json", Content: "other.txt", At: atVerdict},
		{Name: "accepted, log key stolen later", Bundle: "accepted.zip", Trust: "trust-revoked.json", At: atVerdict},
		{Name: "digest", Bundle: "digest.zip", Trust: "trust.json", At: atVerdict},
		{Name: "digest, original supplied", Bundle: "digest.zip", Trust: "trust.json", Content: "original.txt", At: atVerdict},
		{Name: "registered key", Bundle: "key.zip", Trust: "trust.json", At: atVerdict},
		{Name: "changed original", Bundle: "changed-original.zip", Trust: "trust.json", At: atVerdict},
		{Name: "changed statement", Bundle: "changed-statement.zip", Trust: "trust.json", At: atVerdict},
		{Name: "changed disclosure", Bundle: "changed-disclosure.zip", Trust: "trust.json", At: atVerdict},
		{Name: "changed walk-through", Bundle: "changed-readme.zip", Trust: "trust.json", At: atVerdict},
		{Name: "cut off", Bundle: "cut.zip", Trust: "trust.json", At: atVerdict},
		{Name: "forged with other keys", Bundle: "forged.zip", Trust: "trust.json", At: atVerdict},
		{Name: "newer version", Bundle: "newer.zip", Trust: "trust.json", At: atVerdict},
		{Name: "accepted, receipt key revoked when it signed, asked before", Bundle: "accepted.zip", Trust: "trust-receipt-revoked.json", At: (tCreated - 1).String()},
		{Name: "accepted, before it was made", Bundle: "accepted.zip", Trust: "trust.json", At: (tCreated - clockTolerance - 1).String()},
		{Name: "accepted, about when it was made", Bundle: "accepted.zip", Trust: "trust.json", At: (tCreated - clockTolerance).String()},
		{Name: "anchored, receipt key revoked when the bundle was made", Bundle: "anchored.zip", Trust: "trust-receipt-revoked.json", At: atVerdict},
		{Name: "checkpoint of another log, no trust file", Bundle: "other-checkpoint.zip", At: atVerdict},
		{Name: "number of the day before", Bundle: "number-of-the-day-before.zip", Trust: "trust.json", At: atVerdict},
		{Name: "no bundle at all", Bundle: "original.txt", Trust: "trust.json", At: atVerdict},
	}
	cases = append(cases, makeConsortiumVectors(t)...)
	for i := range cases {
		c := &cases[i]
		report := judge(t, *c)
		text, err := report.Encode()
		must(t, err)
		c.Verdict, c.Level = report.Verdict, report.Level
		c.Report = "reports/" + string(slug(c.Name)) + ".json"
		save(t, c.Report, text)
	}
	saveJSON(t, "cases.json", cases)
	saveJSON(t, "worked.json", workedExample(t, w, full))

	good := testFormat.Format(tReceived.Time(), 1)
	saveJSON(t, "numbers.json", []vectorNumber{
		{good, true, ""},
		{testFormat.Format(tReceived.Time(), 99_999_999), true, ""},
		{testFormat.Format(tReceived.Time(), 100_000_000), true, "the serial grows"},
		{NumberFormat{"ZJ", "330000", "NOT01"}.Format(tKeys.Time(), 123), true, ""},
		{good[:len(good)-1] + otherCheck(good), false, "check character"},
		{reseal("XM-350200-NOT01-20261123-000000001"), false, "a needless zero"},
		{reseal("XM-350200-NOT01-20261123-00000000"), false, "serial 0"},
		{reseal("XM-350200-NOT01-20260229-00000001"), false, "no such day"},
		{reseal("xm-350200-NOT01-20261123-00000001"), false, "lower case"},
		{good + " ", false, "blank"},
	})
	var commitments []vectorCommitment
	for _, d := range append(disclosures, Disclosure{Field: FieldCustodyNote, Salt: sm3.Sum(nil), Value: "引号 \" 反斜杠 \\ 换行\n尖括号 <&> 𠮷"}) {
		preimage, err := canonical([4]string{commitmentDomain, d.Salt.String(), d.Field, d.Value})
		must(t, err)
		commitments = append(commitments, vectorCommitment{d, string(preimage), d.Commitment()})
	}
	saveJSON(t, "commitments.json", commitments)
}

func slug(name string) []byte {
	return bytes.Map(func(r rune) rune {
		switch r {
		case ' ':
			return '-'
		case ',':
			return -1
		}
		return r
	}, []byte(name))
}

func workedExample(t *testing.T, w *world, b *Bundle) *worked {
	t.Helper()
	r := b.Receipt
	head, err := checkpoint.Parse([]byte(r.Checkpoint))
	must(t, err)
	text, err := head.Text()
	must(t, err)
	message, err := r.message()
	must(t, err)
	logKey, receiptKey := w.keys[RoleLog].Public().(*sm2.PublicKey), w.keys[RoleReceipt].Public().(*sm2.PublicKey)
	line := r.Checkpoint[bytes.LastIndexByte([]byte(r.Checkpoint), ' ')+1:]
	blob, err := base64.StdEncoding.DecodeString(line[:len(line)-1])
	must(t, err)
	e := &worked{
		Statement: string(b.Statement), StatementSM3: r.Statement, Leaf: r.Leaf, Index: r.Index, Size: head.Size, Root: Digest(head.Root),
		RootBase64: base64.StdEncoding.EncodeToString(head.Root[:]),
		Checkpoint: r.Checkpoint, CheckpointText: text, LogKeySPKI: logKey.SPKI(), LogKeyID: hex.EncodeToString(blob[:4]), CheckpointSignature: hex.EncodeToString(blob[4:]),
		ReceiptMessage: string(message), ReceiptKey: r.Key, ReceiptKeySPKI: receiptKey.SPKI(), ReceiptSignature: hex.EncodeToString(r.Signature),
	}
	// The statement is the last leaf, so that every hash of the proof stands on the left.
	node := r.Leaf
	for _, h := range r.Proof {
		parent := Digest(tlog.NodeHash(tlog.Hash(h), tlog.Hash(node)))
		e.Steps = append(e.Steps, step{Left: h, Right: node, Parent: parent})
		node = parent
	}
	return e
}
