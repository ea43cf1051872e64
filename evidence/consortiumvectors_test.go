package evidence

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"google.golang.org/protobuf/proto"

	"cunzheng/ledger/blockproof/fabrictest"
)

// consortiumForgeries are bundles whose block is not what the channel's members made, each for one reason.
var consortiumForgeries = []struct {
	name  string // of case and bundle
	forge func(*fabrictest.Network, *fabrictest.Transaction, *fabrictest.Block)
}{
	{"two orderers", func(_ *fabrictest.Network, _ *fabrictest.Transaction, b *fabrictest.Block) { delete(b.Orderers, 2) }},
	{"foreign orderer", func(_ *fabrictest.Network, _ *fabrictest.Transaction, b *fabrictest.Block) {
		b.Orderers[3] = fabrictest.New().Orderers[2]
	}},
	{"orderers in high-S", func(_ *fabrictest.Network, _ *fabrictest.Transaction, b *fabrictest.Block) { b.HighS = true }},
	{"one endorser", func(_ *fabrictest.Network, tx *fabrictest.Transaction, _ *fabrictest.Block) {
		tx.Endorsers = tx.Endorsers[:1]
	}},
	{"two endorsers of one organisation", func(n *fabrictest.Network, tx *fabrictest.Transaction, _ *fabrictest.Block) {
		tx.Endorsers = append(n.Peers(2), n.Organisations[0].Member("peer1", "peer"))
	}},
	{"client endorsing", func(n *fabrictest.Network, tx *fabrictest.Transaction, _ *fabrictest.Block) {
		tx.Endorsers = append(n.Peers(2), n.Organisations[3].Client)
	}},
	{"revoked endorser", func(n *fabrictest.Network, tx *fabrictest.Transaction, _ *fabrictest.Block) {
		tx.Endorsers = append(n.Peers(2), n.Organisations[3].Peer)
	}},
	{"expired endorser", func(n *fabrictest.Network, tx *fabrictest.Transaction, _ *fabrictest.Block) {
		tx.Endorsers = append(n.Peers(2), fabrictest.Issue(n.Organisations[2].CA, "HealthMSP", fabrictest.Subject{Name: "peer", Units: []string{"peer"}, NotAfter: tAnchored.Time().Add(-time.Hour)}))
	}},
	{"foreign endorser", func(n *fabrictest.Network, tx *fabrictest.Transaction, _ *fabrictest.Block) {
		tx.Endorsers = append(n.Peers(2), fabrictest.New().Organisations[2].Peer)
	}},
	{"endorser by the wrong authority", func(n *fabrictest.Network, tx *fabrictest.Transaction, _ *fabrictest.Block) {
		tx.Endorsers = append(n.Peers(2), fabrictest.Issue(n.Organisations[2].Root, "HealthMSP", fabrictest.Subject{Name: "peer", Units: []string{"peer"}}))
	}},
	{"other namespace", func(_ *fabrictest.Network, tx *fabrictest.Transaction, _ *fabrictest.Block) { tx.Namespace = "other" }},
	{"other note stored", func(_ *fabrictest.Network, tx *fabrictest.Transaction, _ *fabrictest.Block) {
		tx.Writes[0] = &kvrwset.KVWrite{Key: tx.Writes[0].Key, Value: []byte("note")}
	}},
	{"wrong transaction id", func(_ *fabrictest.Network, tx *fabrictest.Transaction, _ *fabrictest.Block) {
		tx.ID = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	}},
	{"wrong creator", func(n *fabrictest.Network, tx *fabrictest.Transaction, _ *fabrictest.Block) {
		tx.Signer = n.Organisations[1].Client
	}},
	{"overtaken", func(n *fabrictest.Network, _ *fabrictest.Transaction, b *fabrictest.Block) {
		first, _ := n.Anchor(testOrigin, 9, []byte("fork"), tAnchored.Time()).Envelope()
		b.Envelopes = [][]byte{first}
	}},
}

// makeConsortiumVectors makes the bundles that a Fabric channel anchors, and returns their cases.
func makeConsortiumVectors(t *testing.T) []vectorCase {
	w := newWorld(t)
	n := fabrictest.New()
	court := n.Organisations[3]
	court.Revoked = [][]byte{fabrictest.RevocationList(court.CA, court.Peer)}
	genesis := n.ConfigBlock(0, tKeys.Time())
	w.trust.Ledgers = []TrustLedger{w.channel(genesis)}
	w.fill(5)
	b := w.accept(testStatement(), testDisclosures(t)[:1])
	b.Trust = nil
	w.fill(6)
	bundle := func(name string, change func(*fabrictest.Transaction, *fabrictest.Block), configs ...[]byte) string {
		w.anchorOn(n, b, change, configs...)
		save(t, name, w.write(b, nil))
		return name
	}
	trust := func(name string, change func(*Trust)) string {
		text, err := w.trust.Encode()
		must(t, err)
		copied, err := ParseTrust(text)
		must(t, err)
		change(copied)
		text, err = copied.Encode()
		must(t, err)
		save(t, name, text)
		return name
	}
	pinned := trust("trust-consortium.json", func(*Trust) {})
	stolen := trust("trust-consortium-revoked.json", func(c *Trust) {
		c.Logs[0].Keys[0].Revoked = &TrustRevocation{At: tCreated, Reason: ReasonCompromise}
	})
	nothing := trust("trust-consortium-without.json", func(c *Trust) { c.Ledgers = []TrustLedger{} })

	good := bundle("consortium.zip", nil)
	at := tVerdict.String()
	cases := []vectorCase{
		{Name: "consortium", Bundle: good, Trust: pinned, At: at},
		{Name: "consortium, no trust file", Bundle: good, At: at},
		{Name: "consortium, channel not trusted", Bundle: good, Trust: nothing, At: at},
		{Name: "consortium, before the anchor", Bundle: good, Trust: pinned, At: (tAnchored - 1).String()},
		{Name: "consortium, log key stolen later", Bundle: good, Trust: stolen, At: at},
	}
	for _, f := range consortiumForgeries {
		name := "consortium, " + f.name
		cases = append(cases, vectorCase{Name: name, Trust: pinned, At: at,
			Bundle: bundle(string(slug(name))+".zip", func(tx *fabrictest.Transaction, block *fabrictest.Block) { f.forge(n, tx, block) })})
	}
	cases = append(cases, makeTamperedConsortium(t, w, n, b, pinned)...)
	return append(cases, makeChangedConsortium(t, w, n, bundle, trust, genesis)...)
}

// makeTamperedConsortium makes bundles whose proof was changed after it was made.
func makeTamperedConsortium(t *testing.T, w *world, n *fabrictest.Network, b *Bundle, trust string) []vectorCase {
	w.anchorOn(n, b, nil)
	var cases []vectorCase
	tamper := func(name string, change func(*common.Block)) {
		tampered := *b
		proof := *b.Proof
		var text struct {
			Block       []byte   `json:"block"`
			Configs     [][]byte `json:"configs"`
			Kind        string   `json:"kind"`
			Transaction string   `json:"transaction"`
		}
		must(t, json.Unmarshal(proof.Block, &text))
		block := &common.Block{}
		must(t, proto.Unmarshal(text.Block, block))
		change(block)
		text.Block = fabrictest.Marshal(block)
		var err error
		proof.Block, err = canonical(text)
		must(t, err)
		tampered.Proof = &proof
		name = "consortium, " + name
		file := string(slug(name)) + ".zip"
		save(t, file, w.write(&tampered, nil))
		cases = append(cases, vectorCase{Name: name, Bundle: file, Trust: trust, At: tVerdict.String()})
	}
	tamper("changed transaction", func(b *common.Block) {
		b.Data.Data[0] = bytes.Replace(b.Data.Data[0], []byte("Anchored"), []byte("Enchored"), 1)
	})
	tamper("changed number", func(b *common.Block) { b.Header.Number++ })
	tamper("flags of a peer", func(b *common.Block) { b.Metadata.Metadata = append(b.Metadata.Metadata, nil, []byte{0}) })
	tamper("orderer twice", func(b *common.Block) {
		m := &common.Metadata{}
		must(t, proto.Unmarshal(b.Metadata.Metadata[0], m))
		m.Signatures[2] = m.Signatures[0]
		b.Metadata.Metadata[0] = fabrictest.Marshal(m)
	})
	earlier := *b
	old := b.Proof.Block
	w.fill(1)
	w.anchorOn(n, b, nil)
	b.Proof.Block = old
	save(t, "consortium-earlier-head.zip", w.write(b, nil))
	*b = earlier
	return append(cases, vectorCase{Name: "consortium, earlier head", Bundle: "consortium-earlier-head.zip", Trust: trust, At: tVerdict.String()})
}

// makeChangedConsortium lets an organisation join in block 3 and its orderer in block 5.
func makeChangedConsortium(t *testing.T, w *world, n *fabrictest.Network, bundle func(string, func(*fabrictest.Transaction, *fabrictest.Block), ...[]byte) string,
	trust func(string, func(*Trust)) string, genesis []byte) []vectorCase {
	before := slices.Clone(n.Orderers)
	fifth := fabrictest.NewOrganisation("TaxMSP")
	n.Organisations = append(n.Organisations, fifth)
	n.Sequence = 1
	three := n.ConfigBlock(3, tReceived.Time(), before[:3]...)
	few := n.ConfigBlock(3, tReceived.Time(), before[:2]...)
	n.Orderers = append(n.Orderers, fifth.Orderer)
	n.Sequence = 2
	five := n.ConfigBlock(5, tReceived.Time(), before[1:]...)
	change := func(tx *fabrictest.Transaction, b *fabrictest.Block) {
		b.LastConfig = 5
		b.Orderers = map[uint32]*fabrictest.Identity{1: n.Orderers[0], 2: n.Orderers[1], 4: n.Orderers[3], 5: n.Orderers[4]}
		tx.Endorsers = append(n.Peers(2), fifth.Peer)
	}
	pinned := "trust-consortium.json"
	later := trust("trust-consortium-later.json", func(c *Trust) { c.Ledgers = []TrustLedger{w.channel(three)} })
	both := trust("trust-consortium-both.json", func(c *Trust) { c.Ledgers = []TrustLedger{w.channel(genesis, five)} })
	linked := bundle("consortium-changed.zip", change, three, five)
	at := tVerdict.String()
	return []vectorCase{
		{Name: "consortium, later configuration trusted", Bundle: "consortium.zip", Trust: later, At: at},
		{Name: "consortium changed", Bundle: linked, Trust: pinned, At: at},
		{Name: "consortium changed, later configuration trusted", Bundle: linked, Trust: later, At: at},
		{Name: "consortium changed, both trusted", Bundle: linked, Trust: both, At: at},
		{Name: "consortium changed, link missing", Bundle: bundle("consortium-link-missing.zip", change, five), Trust: pinned, At: at},
		{Name: "consortium changed, end missing", Bundle: bundle("consortium-end-missing.zip", change, three), Trust: pinned, At: at},
		{Name: "consortium changed, no links", Bundle: bundle("consortium-no-links.zip", change), Trust: pinned, At: at},
		{Name: "consortium changed, link by two orderers", Bundle: bundle("consortium-weak-link.zip", change, few, five), Trust: pinned, At: at},
	}
}
