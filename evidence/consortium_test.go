package evidence

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cunzheng/ledger/blockproof"
	"cunzheng/ledger/blockproof/fabrictest"
	"cunzheng/ledger/checkpoint"
)

// consortium puts a synthetic Fabric channel into the world's trust file in place of the embedded ledger.
func (w *world) consortium() *fabrictest.Network {
	w.t.Helper()
	n := fabrictest.New()
	w.trust.Ledgers = []TrustLedger{w.channel(n.ConfigBlock(0, tKeys.Time()))}
	return n
}

// channel returns the trust file's entry that pins config blocks.
func (w *world) channel(blocks ...[]byte) TrustLedger {
	w.t.Helper()
	l := TrustLedger{Chaincode: "cunzheng", Keys: []TrustKey{}, Kind: LedgerFabric}
	for _, raw := range blocks {
		c, err := blockproof.ParseFabricConfig(raw)
		must(w.t, err)
		l.Configs = append(l.Configs, c.Block())
		l.Name, l.Operators = c.Channel(), c.Organisations()
	}
	return l
}

// anchorOn anchors the log as it stands on the channel, in block 7, and adds the proof to the bundle. Change may make a
// forgery of it.
func (w *world) anchorOn(n *fabrictest.Network, b *Bundle, change func(*fabrictest.Transaction, *fabrictest.Block), configs ...[]byte) {
	w.t.Helper()
	note, inclusion := w.head(b.Receipt.Index)
	head, err := checkpoint.Parse(note)
	must(w.t, err)
	tx := n.Anchor(w.origin, head.Size, note, tAnchored.Time())
	block := fabrictest.Block{Number: 7, Orderers: map[uint32]*fabrictest.Identity{1: n.Orderers[0], 2: n.Orderers[1], 3: n.Orderers[2]}}
	if change != nil {
		change(&tx, &block)
	}
	envelope, id := tx.Envelope()
	block.Envelopes = append(block.Envelopes, envelope)
	proof, err := blockproof.FabricProof{Block: fabrictest.Marshal(block.Build()), Configs: configs, Transaction: id}.Encode()
	must(w.t, err)
	b.Proof = NewProof(w.origin, b.Receipt.Index, note, inclusion, LedgerFabric, proof)
}

// consortiumWorld returns a world with a bundle that is anchored on a channel.
func consortiumWorld(t testing.TB, change func(*fabrictest.Transaction, *fabrictest.Block)) (*world, *fabrictest.Network, *Bundle) {
	t.Helper()
	w := newWorld(t)
	n := w.consortium()
	w.fill(3)
	b := w.accept(testStatement(), testDisclosures(t))
	w.fill(2)
	w.anchorOn(n, b, change)
	return w, n, b
}

func TestConsortium(t *testing.T) {
	w, _, b := consortiumWorld(t, nil)
	r := w.verify(w.write(b, testOriginal))
	if r.Verdict != Passed || r.Level != LevelAnchored || r.check(CheckAnchor) != "ANCHOR_CONSORTIUM_OK" {
		t.Fatal(r.Text(English))
	}
	a := r.Subject.Anchor
	want := &AnchorSummary{BlockHash: a.BlockHash, Height: 7, Kind: LedgerFabric, Ledger: "cunzheng", Size: 6, Time: tAnchored,
		Operators: []string{"BureauMSP", "CourtMSP", "HealthMSP", "NotaryMSP"},
		Consortium: &ConsortiumSummary{Chaincode: "cunzheng", Endorsers: []string{"BureauMSP", "HealthMSP", "NotaryMSP"}, Orderers: []string{"BureauMSP", "HealthMSP", "NotaryMSP"},
			Quorum: 3, Signatures: 3, Submitter: "NotaryMSP", Total: 4, Transaction: a.Consortium.Transaction}}
	if diff := cmp.Diff(want, a); diff != "" || a.Consortium.Transaction == "" {
		t.Error(diff)
	}
	codes := func(list []Remark) (codes []string) {
		for _, r := range list {
			codes = append(codes, r.Code)
		}
		return codes
	}
	if got, want := codes(r.Proves), []string{"PROVES_ACCEPTED", "PROVES_CONSORTIUM", "PROVES_CONTENT"}; !slices.Equal(got, want) {
		t.Errorf("proves %q, want %q", got, want)
	}
	limits := codes(r.Limits)
	for _, code := range []string{"LIMIT_CONSORTIUM_EFFECT", "LIMIT_CONSORTIUM_TIME", "LIMIT_CONSORTIUM_ALGORITHM"} {
		if !slices.Contains(limits, code) {
			t.Errorf("%s is not among the limits %q", code, limits)
		}
	}
	if slices.Contains(limits, "LIMIT_EMBEDDED") {
		t.Error("a consortium's ledger is called an embedded one")
	}
	for language, words := range map[Language][]string{
		Chinese: {"上链时间（提交方申报）", "背书机构", "BureauMSP, HealthMSP, NotaryMSP（4 个排序节点中 3 个签名，须 3 个）", "不是 SM2", a.Consortium.Transaction},
		English: {"Anchored (as claimed)", "Endorsed by", "BureauMSP, HealthMSP, NotaryMSP (4 orderers, 3 signed, 3 needed)", "not SM2", "block 7"},
	} {
		text := r.Text(language)
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("%q is not in\n%s", word, text)
			}
		}
	}
}

// TestConsortiumVerdicts holds what each gap and fault does to the verdict on a bundle that a consortium anchored.
func TestConsortiumVerdicts(t *testing.T) {
	type change = func(*world, *fabrictest.Network)
	tests := []struct {
		name    string
		forge   func(*fabrictest.Transaction, *fabrictest.Block)
		change  change // of the trust file
		options []func(*Input)
		verdict Verdict
		check   string
		code    string
	}{
		{"no trust file", nil, nil, []func(*Input){trusting(nil)}, Indeterminate, CheckAnchor, "TRUST_LEDGER_UNKNOWN"},
		{"no channel in the trust file", nil, func(w *world, _ *fabrictest.Network) { w.trust.Ledgers = []TrustLedger{} }, nil, Indeterminate, CheckAnchor, "TRUST_LEDGER_UNKNOWN"},
		{"another channel in the trust file", nil, func(w *world, n *fabrictest.Network) {
			n.Channel = "other"
			w.trust.Ledgers[0] = w.channel(n.ConfigBlock(0, tKeys.Time()))
		}, nil, Indeterminate, CheckAnchor, "TRUST_LEDGER_UNKNOWN"},
		{"later configuration only", nil, func(w *world, n *fabrictest.Network) {
			w.trust.Ledgers[0] = w.channel(n.ConfigBlock(9, tKeys.Time(), n.Orderers...))
		}, nil, Indeterminate, CheckAnchor, "TRUST_LEDGER_UNKNOWN"},
		{"earlier configuration only", func(_ *fabrictest.Transaction, b *fabrictest.Block) { b.LastConfig = 5 }, nil, nil, Indeterminate, CheckAnchor, "TRUST_LEDGER_UNKNOWN"},
		{"another network under the same names", nil, func(w *world, _ *fabrictest.Network) {
			w.trust.Ledgers[0] = w.channel(fabrictest.New().ConfigBlock(0, tKeys.Time()))
		}, nil, Failed, CheckAnchor, "ANCHOR_INVALID"},
		{"another chaincode", nil, func(w *world, _ *fabrictest.Network) { w.trust.Ledgers[0].Chaincode = "other" }, nil, Failed, CheckAnchor, "ANCHOR_INVALID"},
		{"too few orderers", func(_ *fabrictest.Transaction, b *fabrictest.Block) { delete(b.Orderers, 3) }, nil, nil, Failed, CheckAnchor, "ANCHOR_INVALID"},
		{"too few endorsers", func(tx *fabrictest.Transaction, _ *fabrictest.Block) { tx.Endorsers = tx.Endorsers[:1] }, nil, nil, Failed, CheckAnchor, "ANCHOR_INVALID"},
		{"before 1970", func(tx *fabrictest.Transaction, _ *fabrictest.Block) { tx.Time = tx.Time.AddDate(-60, 0, 0) }, nil, nil, Failed, CheckAnchor, "ANCHOR_INVALID"},
		{"verdict before the claimed time", nil, nil, []func(*Input){at(tAnchored - 1)}, Indeterminate, CheckAnchor, "ANCHOR_LATER"},
		{"claimed long before the receipt", func(tx *fabrictest.Transaction, _ *fabrictest.Block) { tx.Time = tReceived.Time().AddDate(0, 0, -1) }, nil, nil, Indeterminate, CheckTime, "TIME_CONTRADICTION"},
		// The time of a consortium's block is the submitter's claim: it shows nothing about when a key was stolen.
		{"log key stolen later", nil, func(w *world, _ *fabrictest.Network) {
			w.trusted(RoleLog).Revoked = &TrustRevocation{At: tAnchored + 86_400_000, Reason: ReasonCompromise}
		}, nil, Indeterminate, CheckCheckpoint, "KEY_REVOKED_LATER"},
		{"log key stolen later, anchored head", nil, func(w *world, _ *fabrictest.Network) {
			w.trusted(RoleLog).Revoked = &TrustRevocation{At: tAnchored + 86_400_000, Reason: ReasonCompromise}
		}, nil, Indeterminate, CheckAnchorCheckpoint, "KEY_REVOKED_LATER"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, n, b := consortiumWorld(t, test.forge)
			bundle := w.write(b, nil)
			if test.change != nil {
				test.change(w, n)
			}
			r := w.verify(bundle, test.options...)
			if r.Verdict != test.verdict || r.check(test.check) != test.code {
				t.Errorf("%s, %s %s; want %s, %s\n%s", r.Verdict, test.check, r.check(test.check), test.verdict, test.code, r.Text(English))
			}
			if r.Verdict != Passed && r.Subject.Anchor != nil && r.check(CheckAnchor) != "ANCHOR_CONSORTIUM_OK" {
				t.Errorf("an anchor that does not hold is reported: %+v", r.Subject.Anchor)
			}
		})
	}
}

func TestConsortiumForgeries(t *testing.T) {
	for name, c := range map[string]struct {
		forge func(*world, *fabrictest.Network, *Bundle)
		code  string
	}{
		"block of an earlier head": {func(w *world, n *fabrictest.Network, b *Bundle) {
			block := b.Proof.Block
			w.fill(1)
			w.anchorOn(n, b, nil)
			b.Proof.Block = block
		}, "ANCHOR_MISMATCH"},
		"embedded block as a consortium's": {func(w *world, _ *fabrictest.Network, b *Bundle) {
			w.trust.Ledgers = append(w.trust.Ledgers, TrustLedger{Name: "示例内嵌账本", Kind: LedgerEmbedded, Operators: []string{}, Keys: []TrustKey{trustKey(w.keys[RoleLedger], RoleLedger)}})
			ledgers := w.trust.Ledgers
			w.trust.Ledgers = ledgers[1:]
			w.anchor(b)
			w.trust.Ledgers = ledgers
			b.Proof.Kind = LedgerFabric
		}, "ANCHOR_INVALID"},
		"consortium's block as an embedded one": {func(_ *world, _ *fabrictest.Network, b *Bundle) { b.Proof.Kind = LedgerEmbedded }, "ANCHOR_INVALID"},
		"not a block":                           {func(_ *world, _ *fabrictest.Network, b *Bundle) { b.Proof.Block = []byte("{}") }, "ANCHOR_INVALID"},
		"a channel of the forger's": {func(w *world, _ *fabrictest.Network, b *Bundle) {
			forged := fabrictest.New()
			w.anchorOn(forged, b, nil)
		}, "ANCHOR_INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			w, n, b := consortiumWorld(t, nil)
			c.forge(w, n, b)
			r := w.verify(w.write(b, nil))
			if r.Verdict != Failed || r.check(CheckAnchor) != c.code {
				t.Errorf("%s, %s; want %s\n%s", r.Verdict, r.check(CheckAnchor), c.code, r.Text(English))
			}
		})
	}
}

// TestTrustChannel holds the rules of a ledger of kind LedgerFabric in a trust file.
func TestTrustChannel(t *testing.T) {
	base := newWorld(t)
	n := base.consortium()
	zero, nine := base.trust.Ledgers[0].Configs[0], n.ConfigBlock(9, tKeys.Time(), n.Orderers...)
	for name, c := range map[string]struct {
		change func(*TrustLedger)
		field  string // "": valid
	}{
		"as it is":                   {func(*TrustLedger) {}, ""},
		"two configurations":         {func(l *TrustLedger) { l.Configs = [][]byte{zero, nine} }, ""},
		"no configuration":           {func(l *TrustLedger) { l.Configs = nil }, "ledgers[0].configs"},
		"not in order":               {func(l *TrustLedger) { l.Configs = [][]byte{nine, zero} }, "ledgers[0].configs"},
		"one twice":                  {func(l *TrustLedger) { l.Configs = [][]byte{zero, zero} }, "ledgers[0].configs"},
		"too many":                   {func(l *TrustLedger) { l.Configs = slices.Repeat([][]byte{zero}, maxTrustConfigs+1) }, "ledgers[0].configs"},
		"not a block":                {func(l *TrustLedger) { l.Configs = [][]byte{{1}} }, "ledgers[0].configs"},
		"another channel":            {func(l *TrustLedger) { l.Name = "other" }, "ledgers[0].configs"},
		"no chaincode":               {func(l *TrustLedger) { l.Chaincode = "" }, "ledgers[0].chaincode"},
		"chaincode with a blank":     {func(l *TrustLedger) { l.Chaincode = "a b" }, "ledgers[0].chaincode"},
		"no operators":               {func(l *TrustLedger) { l.Operators = nil }, "ledgers[0].operators"},
		"other operators":            {func(l *TrustLedger) { l.Operators = []string{"公证处"} }, "ledgers[0].operators"},
		"keys":                       {func(l *TrustLedger) { l.Keys = []TrustKey{trustKey(base.keys[RoleLedger], RoleLedger)} }, "ledgers[0].keys"},
		"embedded with a chaincode":  {func(l *TrustLedger) { l.Kind, l.Configs = LedgerEmbedded, nil }, "ledgers[0].chaincode"},
		"embedded with config block": {func(l *TrustLedger) { l.Kind, l.Chaincode = LedgerEmbedded, "" }, "ledgers[0].configs"},
		"unknown kind":               {func(l *TrustLedger) { l.Kind = "another" }, "ledgers[0].kind"},
	} {
		trust := *base.trust
		trust.Ledgers = slices.Clone(trust.Ledgers)
		c.change(&trust.Ledgers[0])
		text, err := trust.Encode()
		if c.field == "" {
			must(t, err)
			again, err := ParseTrust(text)
			must(t, err)
			if diff := cmp.Diff(&trust, again); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			continue
		}
		var found FieldErrors
		if !errors.As(err, &found) || !slices.ContainsFunc(found, func(f FieldError) bool { return f.Field == c.field }) {
			t.Errorf("%s: %v, want an error of %s", name, err, c.field)
		}
	}
}

// TestConsortiumMutations changes single bytes of the proof in a bundle that is packed and listed anew.
func TestConsortiumMutations(t *testing.T) {
	w, _, b := consortiumWorld(t, nil)
	block := b.Proof.Block
	for i := 0; i < len(block); i += 401 {
		b.Proof.Block = bytes.Clone(block)
		b.Proof.Block[i] ^= 0x04
		if r := w.verify(w.write(b, nil)); r.Verdict == Passed {
			t.Fatalf("byte %d:\n%s", i, r.Text(English))
		}
	}
}
