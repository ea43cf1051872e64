package evidence

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"testing"

	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/ledger/blockproof"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// world is a small platform: a log in memory, its keys, an embedded ledger, and the trust file of all that.
type world struct {
	t      testing.TB
	origin string
	keys   map[Role]*sm2.PrivateKey
	tree   memoryTree
	trust  *Trust
}

const testOrigin = "log.notary.example"

// The story of the test bundles, in order.
var (
	tKeys     = mustInstant("2026-01-01T00:00:00.000Z")
	tReceived = mustInstant("2026-11-23T11:22:33.456Z")
	tIssued   = mustInstant("2026-11-23T11:22:33.470Z")
	tAnchored = mustInstant("2026-11-23T11:25:00.000Z")
	tCreated  = mustInstant("2026-11-23T12:00:00.000Z")
	tVerdict  = mustInstant("2027-06-01T00:00:00.000Z")
)

func mustInstant(s string) Instant {
	var i Instant
	if err := i.UnmarshalText([]byte(s)); err != nil {
		panic(err)
	}
	return i
}

func newKey(t testing.TB) *sm2.PrivateKey {
	t.Helper()
	key, err := sm2.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, origin: testOrigin, keys: make(map[Role]*sm2.PrivateKey)}
	for _, role := range []Role{RoleLog, RoleReceipt, RoleLedger} {
		w.keys[role] = newKey(t)
	}
	w.trust = &Trust{
		Schema:  SchemaTrust,
		Created: tCreated,
		Logs: []TrustLog{{Origin: w.origin, Office: "厦门市示例公证处",
			Keys: []TrustKey{trustKey(w.keys[RoleLog], RoleLog), trustKey(w.keys[RoleReceipt], RoleReceipt)}}},
		Ledgers: []TrustLedger{{Kind: LedgerEmbedded, Name: "示例内嵌账本", Operators: []string{"厦门市示例公证处"},
			Keys: []TrustKey{trustKey(w.keys[RoleLedger], RoleLedger)}}},
	}
	return w
}

func trustKey(k *sm2.PrivateKey, role Role) TrustKey {
	public := k.Public().(*sm2.PublicKey)
	return TrustKey{From: tKeys, ID: public.Fingerprint(), Role: role, SPKI: public.SPKI()}
}

// trusted returns the trust file's entry of the key for a role.
func (w *world) trusted(role Role) *TrustKey {
	for i := range w.trust.Logs[0].Keys {
		if k := &w.trust.Logs[0].Keys[i]; k.Role == role {
			return k
		}
	}
	return &w.trust.Ledgers[0].Keys[0]
}

// memoryTree holds the leaves of a log.
type memoryTree []tlog.Hash

func (m memoryTree) Node(level uint, n uint64) (tlog.Hash, error) {
	if level == 0 {
		return m[n], nil
	}
	left, err := m.Node(level-1, 2*n)
	if err != nil {
		return left, err
	}
	right, err := m.Node(level-1, 2*n+1)
	return tlog.NodeHash(left, right), err
}

// fill appends n entries of other people.
func (w *world) fill(n int) {
	for range n {
		w.tree = append(w.tree, tlog.LeafHash(fmt.Appendf(nil, "entry %d", len(w.tree))))
	}
}

// head returns the signed checkpoint of the tree as it stands, and the proof of the leaf at index in it.
func (w *world) head(index uint64) ([]byte, []tlog.Hash) {
	w.t.Helper()
	size := uint64(len(w.tree))
	root, err := tlog.Root(size, w.tree)
	if err != nil {
		w.t.Fatal(err)
	}
	signed, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: w.origin, Size: size, Root: root}, w.origin, w.keys[RoleLog])
	if err != nil {
		w.t.Fatal(err)
	}
	proof, err := tlog.InclusionProof(index, size, w.tree)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed.Note, proof
}

// accept logs a statement and returns its bundle, not anchored.
func (w *world) accept(s *Statement, disclosures []Disclosure) *Bundle {
	w.t.Helper()
	s.Private = Commit(disclosures)
	encoded, err := s.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	index := uint64(len(w.tree))
	w.tree = append(w.tree, tlog.LeafHash(encoded))
	note, proof := w.head(index)
	r := NewReceipt(s, encoded, index, note, proof)
	if err := r.Sign(w.keys[RoleReceipt], tIssued); err != nil {
		w.t.Fatal(err)
	}
	return &Bundle{Statement: encoded, Receipt: r, Disclosures: disclosures, Trust: w.trust, Created: tCreated}
}

// anchor anchors the log as it stands on the embedded ledger and adds the proof to the bundle.
func (w *world) anchor(b *Bundle) {
	w.t.Helper()
	note, proof := w.head(b.Receipt.Index)
	b.Proof = NewProof(w.origin, b.Receipt.Index, note, proof, LedgerEmbedded, w.block(note, tAnchored))
}

func (w *world) block(note []byte, at Instant) []byte {
	w.t.Helper()
	head, err := checkpoint.Parse(note)
	if err != nil {
		w.t.Fatal(err)
	}
	block, err := blockproof.SealEmbedded(&blockproof.EmbeddedBlock{
		Number: 7, Previous: blockproof.Hash(sm3.Sum([]byte("block 6"))), Ledger: w.trust.Ledgers[0].Name, Organisation: "notary",
		Time: at.Time(), Function: "Anchor", Args: [][]byte{[]byte(w.origin), note, []byte("[]")},
		Writes: []blockproof.Write{{Key: fmt.Sprintf("head %s %016x", w.origin, head.Size), SM3: sm3.Sum(note)}},
		Events: []blockproof.Event{{Name: "Anchored", Payload: []byte("{}")}},
	}, w.keys[RoleLedger])
	if err != nil {
		w.t.Fatal(err)
	}
	return block
}

// write returns the bytes of the bundle; original may be nil.
func (w *world) write(b *Bundle, original []byte) []byte {
	w.t.Helper()
	var out bytes.Buffer
	var content *ContentSource
	if original != nil {
		content = sourceOf(original)
	}
	if err := WriteBundle(&out, b, w.keys[RoleReceipt], content); err != nil {
		w.t.Fatal(err)
	}
	return out.Bytes()
}

func sourceOf(data []byte) *ContentSource {
	return &ContentSource{Size: int64(len(data)), CRC32: crc32.ChecksumIEEE(data), SM3: sm3.Sum(data), SHA256: sha256.Sum256(data),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

var testOriginal = []byte("合同正文：甲方与乙方约定如下。\n")

func testDisclosures(t testing.TB) []Disclosure {
	t.Helper()
	var list []Disclosure
	for _, f := range [][2]string{{FieldName, "合同 '终稿'.pdf"}, {FieldDescription, "采购合同\n第二行"}, {FieldCollector, "张三"}} {
		d, err := NewDisclosure(f[0], f[1])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

// testStatement returns a statement of a file with every field filled.
func testStatement() *Statement {
	size := int64(len(testOriginal))
	return &Statement{
		Schema:     SchemaStatement,
		Type:       TypeFile,
		Number:     NumberFormat{"XM", "350200", "NOT01"}.Format(tReceived.Time(), 1),
		Log:        testOrigin,
		ReceivedAt: tReceived,
		Nonce:      NewNonce(),
		Depositor: Depositor{Organisation: "xm-data-bureau", Account: "exchange-01", Authentication: AuthenticationKey, Key: sm3.Sum([]byte("key")),
			Name: "厦门市数据管理局", CreditCode: "91350100M000100Y43"},
		Content: &Content{MediaType: "application/pdf", SHA256: sha256.Sum256(testOriginal), Size: &size, SM3: sm3.Sum(testOriginal)},
		Provenance: &Provenance{CollectedAt: tReceived - 60_000, Custody: CustodySystem, DeclaredAt: tReceived - 3_600_000, Environment: EnvironmentChecked,
			Generation: GenerationExport, SourceSystem: "市政务数据共享平台", Tool: "cunzheng-agent", ToolVersion: "1.4.2"},
		OriginalKept: KeptByPlatform,
		Case:         "（2026）厦鹭证内字第 1 号",
		Correlation:  "exchange-20261123-0001",
		Related:      []string{NumberFormat{"XM", "350200", "NOT01"}.Format(tReceived.Time(), 99)},
		Idempotency:  IdempotencyDigest("xm-data-bureau", "request-1"),
	}
}

// fullBundle returns a bundle with everything in it: anchored, disclosed, with the original.
func (w *world) fullBundle() []byte {
	w.t.Helper()
	w.fill(5)
	b := w.accept(testStatement(), testDisclosures(w.t))
	w.fill(6)
	w.anchor(b)
	return w.write(b, testOriginal)
}

// verify judges a bundle with the world's trust file at tVerdict, unless options say otherwise.
func (w *world) verify(bundle []byte, options ...func(*Input)) *Report {
	w.t.Helper()
	in := Input{Bundle: bytes.NewReader(bundle), Size: int64(len(bundle)), Trust: w.trust, At: tVerdict.Time()}
	for _, o := range options {
		o(&in)
	}
	r, err := Verify(in)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func at(i Instant) func(*Input)      { return func(in *Input) { in.At = i.Time() } }
func trusting(t *Trust) func(*Input) { return func(in *Input) { in.Trust = t } }
func withContent(b []byte) func(*Input) {
	return func(in *Input) { in.Content = bytes.NewReader(b) }
}

// check returns the code of a check of the report.
func (r *Report) check(id string) string {
	for _, c := range r.Checks {
		if c.ID == id {
			return c.Code
		}
	}
	return ""
}

func newVerifier(t testing.TB, w *world) *checkpoint.Verifier {
	t.Helper()
	v, err := checkpoint.NewVerifier(w.origin, w.keys[RoleLog].Public().(*sm2.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return v
}
