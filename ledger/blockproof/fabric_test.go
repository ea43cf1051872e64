package blockproof_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/blockproof"
	"cunzheng/ledger/blockproof/fabrictest"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

const origin = "log.example/2026"

var anchoredAt = time.Date(2026, 11, 23, 11, 22, 33, 456_000_000, time.UTC)

// note returns a signed head of the log.
func note(t testing.TB, size uint64) []byte {
	t.Helper()
	key, err := sm2.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := checkpoint.Sign(checkpoint.Checkpoint{Origin: origin, Size: size, Root: tlog.LeafHash([]byte("root"))}, origin, key)
	if err != nil {
		t.Fatal(err)
	}
	return signed.Note
}

// forgery is one proof in the making. Its functions change a part before the parts that rest on it are made.
type forgery struct {
	network     func(*fabrictest.Network) // before anything is made
	pinned      func(*fabrictest.Network) []byte
	transaction func(*fabrictest.Network, *fabrictest.Transaction)
	envelopes   func(n *fabrictest.Network, own []byte) [][]byte
	block       func(*fabrictest.Network, *fabrictest.Block)
	built       func(*common.Block)
	proof       func(*fabrictest.Network, *blockproof.FabricProof)
	chaincode   string
}

// world is what a case of the table was made of.
type world struct {
	network *fabrictest.Network
	note    []byte
	proof   blockproof.FabricProof
	pinned  []byte
}

func makeWorld(t testing.TB, f forgery) *world {
	t.Helper()
	n := fabrictest.New()
	if f.network != nil {
		f.network(n)
	}
	w := &world{network: n, note: note(t, 3)}
	w.pinned = n.ConfigBlock(0, anchoredAt)
	if f.pinned != nil {
		w.pinned = f.pinned(n)
	}
	tx := n.Anchor(origin, 3, w.note, anchoredAt)
	if f.transaction != nil {
		f.transaction(n, &tx)
	}
	envelope, id := tx.Envelope()
	b := fabrictest.Block{Number: 7, Envelopes: [][]byte{envelope}, Orderers: map[uint32]*fabrictest.Identity{}}
	for i, o := range n.Orderers[:3] {
		b.Orderers[uint32(i+1)] = o
	}
	if f.envelopes != nil {
		b.Envelopes = f.envelopes(n, envelope)
	}
	if f.block != nil {
		f.block(n, &b)
	}
	built := b.Build()
	if f.built != nil {
		f.built(built)
	}
	w.proof = blockproof.FabricProof{Block: fabrictest.Marshal(built), Transaction: id}
	if f.proof != nil {
		f.proof(n, &w.proof)
	}
	return w
}

func (w *world) verify(t testing.TB, chaincode string) (blockproof.Fabric, error) {
	t.Helper()
	pinned, err := blockproof.ParseFabricConfig(w.pinned)
	if err != nil {
		return blockproof.Fabric{}, err
	}
	text, err := w.proof.Encode()
	if err != nil {
		return blockproof.Fabric{}, err
	}
	return blockproof.VerifyFabric(text, chaincode, pinned)
}

func TestVerifyFabric(t *testing.T) {
	w := makeWorld(t, forgery{})
	got, err := w.verify(t, "cunzheng")
	if err != nil {
		t.Fatal(err)
	}
	want := blockproof.Fabric{
		Channel: "cunzheng", Chaincode: "cunzheng", Org: "NotaryMSP", Transaction: w.proof.Transaction, Height: 7, BlockHash: got.BlockHash,
		Time: anchoredAt, Consenters: []string{"BureauMSP", "HealthMSP", "NotaryMSP"}, Signatures: 3, Quorum: 3, Orderers: 4,
		Endorsers:     []string{"BureauMSP", "HealthMSP", "NotaryMSP"},
		Organisations: []string{"BureauMSP", "CourtMSP", "HealthMSP", "NotaryMSP"},
		Origin:        origin, Checkpoint: w.note,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseFabricConfig(t *testing.T) {
	n := fabrictest.New()
	raw := n.ConfigBlock(0, anchoredAt)
	c, err := blockproof.ParseFabricConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.Channel(), c.Number(), c.Organisations(), c.Consenters(), c.Quorum()}
	want := []any{"cunzheng", uint64(0), []string{"BureauMSP", "CourtMSP", "HealthMSP", "NotaryMSP"}, []string{"NotaryMSP", "BureauMSP", "HealthMSP", "CourtMSP"}, 3}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	trimmed, err := blockproof.ParseFabricConfig(c.Block())
	if err != nil {
		t.Fatal(err)
	}
	if trimmed.Hash() != c.Hash() || !bytes.Equal(trimmed.Block(), c.Block()) || len(c.Block()) >= len(raw) {
		t.Error("the block without metadata is another one")
	}
}

// TestQuorum has the numbers of Fabric's own test of ComputeBFTQuorum.
func TestQuorum(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 7: 5, 8: 6, 9: 6, 10: 7, 11: 8, 12: 8} {
		network := fabrictest.New()
		network.Orderers = nil
		for i := range n {
			network.Orderers = append(network.Orderers, network.Organisations[i%4].Member("orderer", "orderer"))
		}
		c, err := blockproof.ParseFabricConfig(network.ConfigBlock(0, anchoredAt))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Quorum(); got != want {
			t.Errorf("%d orderers: quorum %d, want %d", n, got, want)
		}
	}
}

func setOrderer(id uint32, of func(*fabrictest.Network) *fabrictest.Identity) func(*fabrictest.Network, *fabrictest.Block) {
	return func(n *fabrictest.Network, b *fabrictest.Block) { b.Orderers[id] = of(n) }
}

func endorsers(of func(*fabrictest.Network) []*fabrictest.Identity) func(*fabrictest.Network, *fabrictest.Transaction) {
	return func(n *fabrictest.Network, t *fabrictest.Transaction) { t.Endorsers = of(n) }
}

// forgeries are proofs in each of which one thing is wrong, with what the error says.
var forgeries = map[string]struct {
	forgery
	want string
}{
	"tampered envelope": {forgery{built: func(b *common.Block) {
		b.Data.Data[0] = bytes.Replace(b.Data.Data[0], []byte("Anchor"), []byte("Enchor"), 1)
	}}, "data hash"},
	"tampered envelope and data hash": {forgery{built: func(b *common.Block) {
		b.Data.Data[0] = bytes.Replace(b.Data.Data[0], []byte("Anchored"), []byte("Enchored"), 1)
		sum := sha256.Sum256(b.Data.Data[0])
		b.Header.DataHash = sum[:]
	}}, "orderer 1: blockproof: invalid proof: NotaryMSP: signature does not verify"},
	"tampered number":           {forgery{built: func(b *common.Block) { b.Header.Number++ }}, "signature does not verify"},
	"tampered hash of previous": {forgery{built: func(b *common.Block) { b.Header.PreviousHash[0] ^= 1 }}, "signature does not verify"},
	"tampered last config": {forgery{built: func(b *common.Block) {
		b.Metadata.Metadata[0] = bytes.Replace(b.Metadata.Metadata[0], []byte("view"), []byte("vied"), 1)
	}}, "signature does not verify"},
	"no metadata":             {forgery{built: func(b *common.Block) { b.Metadata = nil }}, "too few orderers: 0 of 4, 3 needed"},
	"too few orderers":        {forgery{block: func(_ *fabrictest.Network, b *fabrictest.Block) { delete(b.Orderers, 2) }}, "too few orderers: 2 of 4, 3 needed"},
	"high-S of an orderer":    {forgery{block: func(_ *fabrictest.Network, b *fabrictest.Block) { b.HighS = true }}, "orderer 1: blockproof: invalid proof: NotaryMSP: signature is not in low-S form"},
	"number of no orderer":    {forgery{block: setOrderer(9, func(n *fabrictest.Network) *fabrictest.Identity { return n.Orderers[3] })}, "signed by 9, which is no orderer"},
	"foreign orderer":         {forgery{block: setOrderer(3, func(*fabrictest.Network) *fabrictest.Identity { return fabrictest.New().Orderers[2] })}, "orderer 3: blockproof: invalid proof: HealthMSP: signature does not verify"},
	"peer for an orderer":     {forgery{block: setOrderer(3, func(n *fabrictest.Network) *fabrictest.Identity { return n.Organisations[2].Peer })}, "signature does not verify"},
	"one orderer for another": {forgery{block: setOrderer(3, func(n *fabrictest.Network) *fabrictest.Identity { return n.Orderers[0] })}, "signature does not verify"},
	"same orderer twice": {forgery{built: func(b *common.Block) {
		m := &common.Metadata{}
		if proto.Unmarshal(b.Metadata.Metadata[0], m) == nil {
			m.Signatures[2] = m.Signatures[1]
		}
		b.Metadata.Metadata[0] = fabrictest.Marshal(m)
	}}, "signed twice by orderer 2"},
	"one key as two orderers": {forgery{network: func(n *fabrictest.Network) { n.Orderers[2] = n.Orderers[0] }}, "signed twice by orderer 3"},
	"signature by certificate": {forgery{built: func(b *common.Block) {
		m := &common.Metadata{}
		if proto.Unmarshal(b.Metadata.Metadata[0], m) == nil {
			m.Signatures[0].SignatureHeader = []byte{10, 1, 'a'}
		}
		b.Metadata.Metadata[0] = fabrictest.Marshal(m)
	}}, "not one of a BFT orderer"},
	"orderer's certificate of another authority": {forgery{network: func(n *fabrictest.Network) {
		n.Orderers[0] = fabrictest.New().Orderers[0]
	}}, "orderer 1: blockproof: invalid proof: NotaryMSP: the certificate has no chain to a root"},
	"orderer's certificate revoked": {forgery{network: func(n *fabrictest.Network) {
		n.Organisations[0].Revoked = [][]byte{fabrictest.RevocationList(n.Organisations[0].CA, n.Orderers[0])}
	}}, "orderer 1: blockproof: invalid proof: NotaryMSP: the certificate is revoked"},

	"endorsed by one organisation":  {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity { return n.Peers(1) })}, "too few organisations: 1 of 4, 3 needed (NotaryMSP)"},
	"endorsed by two organisations": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity { return n.Peers(2) })}, "too few organisations: 2 of 4, 3 needed (BureauMSP, NotaryMSP)"},
	"endorsed by nobody":            {forgery{transaction: endorsers(func(*fabrictest.Network) []*fabrictest.Identity { return nil })}, "too few organisations: 0 of 4"},
	"same organisation twice": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), n.Organisations[0].Member("peer1", "peer"))
	})}, "too few organisations: 2 of 4"},
	"same endorsement twice": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), n.Peers(2)...)
	})}, "too few organisations: 2 of 4"},
	"client endorsing": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), n.Organisations[2].Client)
	})}, "too few organisations: 2 of 4"},
	"orderer endorsing": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), n.Organisations[2].Orderer)
	})}, "too few organisations: 2 of 4"},
	"peer of no role": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), n.Organisations[2].Member("peer1"))
	})}, "not counted: blockproof: invalid proof: HealthMSP: the certificate has 0 roles"},
	"peer of two roles": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), n.Organisations[2].Member("peer1", "peer", "client"))
	})}, "the certificate has 2 roles"},
	"authority endorsing": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), n.Organisations[2].CA)
	})}, "the certificate is that of an authority"},
	"member by the root above the authority of members": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), fabrictest.Issue(n.Organisations[2].Root, "HealthMSP", fabrictest.Subject{Name: "peer", Units: []string{"peer"}}))
	})}, "the issuer is not one of members"},
	"peer with another curve": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), fabrictest.Issue(n.Organisations[3].CA, "CourtMSP", fabrictest.Subject{Name: "peer", Units: []string{"peer"}, Curve: elliptic.P384()}))
	})}, "not one of ECDSA P-256"},
	"expired endorser": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), fabrictest.Issue(n.Organisations[3].CA, "CourtMSP", fabrictest.Subject{Name: "peer", Units: []string{"peer"}, NotAfter: anchoredAt.Add(-time.Second)}))
	})}, "CourtMSP: a certificate of the chain is not valid at 2026-11-23T11:22:33.456Z"},
	"endorser not yet valid": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), fabrictest.Issue(n.Organisations[3].CA, "CourtMSP", fabrictest.Subject{Name: "peer", Units: []string{"peer"}, NotBefore: anchoredAt.Add(time.Second)}))
	})}, "CourtMSP: a certificate of the chain is not valid at 2026-11-23T11:22:33.456Z"},
	"foreign endorser": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), fabrictest.New().Organisations[3].Peer)
	})}, "not counted: blockproof: invalid proof: CourtMSP: the certificate has no chain to a root"},
	"endorser of an unknown organisation": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		return append(n.Peers(2), fabrictest.NewOrganisation("OtherMSP").Peer)
	})}, `"OtherMSP" is no organisation of the channel`},
	"endorser under another organisation's name": {forgery{transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity {
		borrowed := *n.Organisations[0].Peer
		borrowed.MSP = "CourtMSP"
		return append(n.Peers(2), &borrowed)
	})}, "not counted: blockproof: invalid proof: CourtMSP: the certificate has no chain to a root"},
	"revoked endorser": {forgery{network: func(n *fabrictest.Network) {
		n.Organisations[1].Revoked = [][]byte{fabrictest.RevocationList(n.Organisations[1].CA, n.Organisations[1].Peer)}
	}}, "not counted: blockproof: invalid proof: BureauMSP: the certificate is revoked"},
	"revoked authority": {forgery{network: func(n *fabrictest.Network) {
		n.Organisations[2].Revoked = [][]byte{fabrictest.RevocationList(n.Organisations[2].Root, n.Organisations[2].CA)}
		n.Orderers[2] = n.Organisations[0].Member("orderer1", "orderer")
	}}, "HealthMSP: the certificate is revoked"},
	"high-S of endorsers": {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) { t.HighS = true }}, "too few organisations: 0 of 4, 3 needed (none); not counted: blockproof: invalid proof: NotaryMSP: signature is not in low-S form"},
	"false endorsement": {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) {
		t.OnEndorsed = func(e *peer.ChaincodeEndorsedAction) { e.Endorsements[2].Signature = e.Endorsements[1].Signature }
	}}, "not counted: blockproof: invalid proof: HealthMSP: signature does not verify"},
	"endorsements of another answer": {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) {
		t.OnEndorsed = func(e *peer.ChaincodeEndorsedAction) {
			e.ProposalResponsePayload = bytes.Replace(e.ProposalResponsePayload, []byte("Anchored"), []byte("Enchored"), 1)
		}
	}}, "too few organisations: 0 of 4"},
	"policy ALL": {forgery{network: func(n *fabrictest.Network) { n.Endorsement = fabrictest.Implicit(common.ImplicitMetaPolicy_ALL) }}, "too few organisations: 3 of 4, 4 needed"},
	"policy of signatures": {forgery{network: func(n *fabrictest.Network) {
		n.Endorsement = fabrictest.OutOf(2, fabrictest.Role("NotaryMSP", msp.MSPRole_PEER), fabrictest.Role("CourtMSP", msp.MSPRole_PEER))
	}}, "do not satisfy the policy"},
	"policy that nobody need satisfy": {forgery{network: func(n *fabrictest.Network) { n.Endorsement = fabrictest.OutOf(0) }}, "do not satisfy the policy"},
	"organisations that demand nothing": {forgery{network: func(n *fabrictest.Network) {
		for _, o := range n.Organisations[2:] {
			o.Endorsement = fabrictest.OutOf(0)
		}
	}, transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity { return n.Peers(2) })}, "too few organisations: 2 of 4"},
	"organisations whose policy refers to nothing": {forgery{network: func(n *fabrictest.Network) {
		for _, o := range n.Organisations[2:] {
			o.Endorsement = fabrictest.Implicit(common.ImplicitMetaPolicy_MAJORITY)
		}
	}, transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity { return n.Peers(2) })}, "too few organisations: 2 of 4"},

	"other chaincode":             {forgery{chaincode: "other"}, `transaction of the chaincode "cunzheng", not "other"`},
	"wrong namespace":             {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) { t.Namespace = "other" }}, "did not store the note"},
	"other function":              {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) { t.Args[0] = []byte("ReportFork") }}, "anchors nothing"},
	"one argument more":           {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) { t.Args = append(t.Args, nil) }}, "anchors nothing"},
	"note of another log":         {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) { t.Args[1] = []byte("other.example") }}, "anchored as"},
	"no note":                     {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) { t.Args[2] = []byte("note") }}, "anchored note"},
	"other note in the write set": {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) { t.Writes[0].Value = []byte("note") }}, "did not store the note"},
	"other size in the write set": {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) {
		t.Writes[0].Key = "head " + origin + " 0000000000000004"
	}}, "did not store the note"},
	"deleted row": {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) { t.Writes[0].IsDelete = true }}, "did not store the note"},
	"two heads": {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) {
		t.Writes = append(t.Writes, &kvrwset.KVWrite{Key: "head " + origin + " 0000000000000009", Value: []byte("x")})
	}}, "did not store the note"},
	"nothing written":          {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) { t.Writes = nil }}, "did not store the note"},
	"refused by the chaincode": {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) { t.Status = 500 }}, "status 500"},

	"wrong transaction id": {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) { t.ID = strings.Repeat("ab", 32) }}, "transaction id is not that of creator and nonce"},
	"transaction that is not there": {forgery{proof: func(_ *fabrictest.Network, p *blockproof.FabricProof) {
		p.Transaction = strings.Repeat("ab", 32)
	}}, "does not hold the transaction"},
	"transaction twice": {forgery{envelopes: func(_ *fabrictest.Network, own []byte) [][]byte { return [][]byte{own, own} }}, "the transaction twice"},
	"no nonce":          {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) { t.Nonce = nil }}, "header of the transaction"},
	"wrong creator signature": {forgery{transaction: func(n *fabrictest.Network, t *fabrictest.Transaction) { t.Signer = n.Organisations[1].Client }},
		"creator of the transaction: blockproof: invalid proof: NotaryMSP: signature does not verify"},
	"foreign creator": {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) {
		t.Creator = fabrictest.New().Organisations[0].Client
		t.Signer = t.Creator
	}}, "creator of the transaction: blockproof: invalid proof: NotaryMSP: the certificate has no chain to a root"},
	"expired creator": {forgery{transaction: func(n *fabrictest.Network, t *fabrictest.Transaction) {
		t.Creator = fabrictest.Issue(n.Organisations[0].CA, "NotaryMSP", fabrictest.Subject{Name: "c", Units: []string{"client"}, NotAfter: anchoredAt.Add(-time.Hour)})
		t.Signer = t.Creator
	}}, "creator of the transaction"},
	"another creator's proposal": {forgery{transaction: func(n *fabrictest.Network, t *fabrictest.Transaction) {
		t.OnAction = func(a *peer.TransactionAction) {
			a.Header = fabrictest.Marshal(&common.SignatureHeader{Creator: n.Organisations[1].Client.Serialized(), Nonce: t.Nonce})
		}
	}}, "another creator's"},
	"answer to another proposal": {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) {
		t.OnResponse = func(r *peer.ProposalResponsePayload) { r.ProposalHash[0] ^= 1 }
	}}, "proposal hash"},
	"two actions": {forgery{transaction: func(_ *fabrictest.Network, t *fabrictest.Transaction) {
		t.OnPayload = func(p *common.Payload) { p.Data = append(p.Data, p.Data...) }
	}}, "2 actions"},
	"overtaken in the block": {forgery{envelopes: func(n *fabrictest.Network, own []byte) [][]byte {
		other := n.Anchor(origin, 4, []byte("fork"), anchoredAt)
		first, _ := other.Envelope()
		return [][]byte{first, own}
	}}, "overtaken"},
	"overtaken by one that did not read": {forgery{envelopes: func(n *fabrictest.Network, own []byte) [][]byte {
		other := n.Anchor(origin, 4, []byte("fork"), anchoredAt)
		other.Reads = nil
		first, _ := other.Envelope()
		return [][]byte{first, own}
	}}, "overtaken"},
}

func TestForgeries(t *testing.T) {
	for name, f := range forgeries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chaincode := f.chaincode
			if chaincode == "" {
				chaincode = "cunzheng"
			}
			got, err := makeWorld(t, f.forgery).verify(t, chaincode)
			if !errors.Is(err, blockproof.ErrInvalid) || errors.Is(err, blockproof.ErrUnknownKey) {
				t.Fatalf("%+v, %v; want ErrInvalid", got, err)
			}
			if !strings.Contains(err.Error(), f.want) {
				t.Errorf("%v; want %q", err, f.want)
			}
		})
	}
}

// TestUnusual has proofs that differ from the common one and hold nevertheless.
func TestUnusual(t *testing.T) {
	for name, f := range map[string]forgery{
		"all orderers sign": {block: setOrderer(4, func(n *fabrictest.Network) *fabrictest.Identity { return n.Orderers[3] })},
		"a false endorsement beside enough good ones": {transaction: func(n *fabrictest.Network, t *fabrictest.Transaction) {
			t.Endorsers = append(n.Peers(4), n.Organisations[0].Client)
			t.OnEndorsed = func(e *peer.ChaincodeEndorsedAction) { e.Endorsements[0].Signature = e.Endorsements[1].Signature }
		}},
		"policy ANY": {network: func(n *fabrictest.Network) { n.Endorsement = fabrictest.Implicit(common.ImplicitMetaPolicy_ANY) },
			transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity { return n.Peers(1) })},
		"policy of signatures": {network: func(n *fabrictest.Network) {
			n.Endorsement = fabrictest.OutOf(2, fabrictest.Role("NotaryMSP", msp.MSPRole_MEMBER), fabrictest.Role("BureauMSP", msp.MSPRole_PEER), fabrictest.Role("CourtMSP", msp.MSPRole_PEER))
		}, transaction: endorsers(func(n *fabrictest.Network) []*fabrictest.Identity { return n.Peers(2) })},
		"policy that names a certificate": {network: func(n *fabrictest.Network) {
			n.Organisations[2].Endorsement = fabrictest.SignedBy(&msp.MSPPrincipal{PrincipalClassification: msp.MSPPrincipal_IDENTITY, Principal: n.Organisations[2].Peer.Serialized()})
		}},
		"policy that names a unit": {network: func(n *fabrictest.Network) {
			issuers := sha256.Sum256(n.Organisations[0].CA.Cert.Raw)
			n.Organisations[0].Endorsement = fabrictest.SignedBy(&msp.MSPPrincipal{PrincipalClassification: msp.MSPPrincipal_ORGANIZATION_UNIT,
				Principal: fabrictest.Marshal(&msp.OrganizationUnit{MspIdentifier: "NotaryMSP", OrganizationalUnitIdentifier: "peer", CertifiersIdentifier: issuers[:]})})
		}},
		"somebody else revoked": {network: func(n *fabrictest.Network) {
			n.Organisations[1].Revoked = [][]byte{fabrictest.RevocationList(n.Organisations[1].CA, n.Organisations[0].Peer)}
		}},
		"revocation by somebody else": {network: func(n *fabrictest.Network) {
			n.Organisations[1].Revoked = [][]byte{fabrictest.RevocationList(n.Organisations[0].CA, n.Organisations[1].Peer)}
		}},
		"other transactions in the block": {envelopes: func(n *fabrictest.Network, own []byte) [][]byte {
			other := n.Anchor("other.example", 4, []byte("note"), anchoredAt)
			first, _ := other.Envelope()
			later := n.Anchor(origin, 4, []byte("later"), anchoredAt)
			last, _ := later.Envelope()
			return [][]byte{first, own, last}
		}},
		"a void transaction before it": {envelopes: func(n *fabrictest.Network, own []byte) [][]byte {
			stale := n.Anchor(origin, 4, []byte("stale"), anchoredAt)
			stale.Reads[0].Version.BlockNum--
			first, _ := stale.Envelope()
			return [][]byte{first, own}
		}},
		"a transaction before it that too few endorsed": {envelopes: func(n *fabrictest.Network, own []byte) [][]byte {
			other := n.Anchor(origin, 4, []byte("lonely"), anchoredAt)
			other.Endorsers = n.Peers(2)
			first, _ := other.Envelope()
			return [][]byte{first, own}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := makeWorld(t, f).verify(t, "cunzheng"); err != nil {
				t.Error(err)
			}
		})
	}
}

// history is a channel whose configuration changed twice: in block 3 the fifth organisation joined, in block 5 its orderer.
type history struct {
	network *fabrictest.Network
	configs [][]byte // 0, 3, 5
	proof   blockproof.FabricProof
}

func newHistory(t testing.TB) *history {
	t.Helper()
	h := &history{network: fabrictest.New()}
	n := h.network
	h.configs = append(h.configs, n.ConfigBlock(0, anchoredAt))
	fifth := fabrictest.NewOrganisation("TaxMSP")
	n.Organisations = append(n.Organisations, fifth)
	n.Sequence++
	h.configs = append(h.configs, n.ConfigBlock(3, anchoredAt, n.Orderers...))
	before := slices.Clone(n.Orderers)
	n.Orderers = append(n.Orderers, fifth.Orderer)
	n.Sequence++
	h.configs = append(h.configs, n.ConfigBlock(5, anchoredAt, before...))
	envelope, id := n.Anchor(origin, 3, note(t, 3), anchoredAt).Envelope()
	b := fabrictest.Block{Number: 7, LastConfig: 5, Envelopes: [][]byte{envelope}, Orderers: map[uint32]*fabrictest.Identity{}}
	for i, o := range n.Orderers[1:] {
		b.Orderers[uint32(i+2)] = o
	}
	h.proof = blockproof.FabricProof{Block: fabrictest.Marshal(b.Build()), Configs: h.configs[1:], Transaction: id}
	return h
}

func (h *history) verify(t testing.TB, pinned ...int) (blockproof.Fabric, error) {
	t.Helper()
	var configs []*blockproof.FabricConfig
	for _, i := range pinned {
		c, err := blockproof.ParseFabricConfig(h.configs[i])
		if err != nil {
			t.Fatal(err)
		}
		configs = append(configs, c)
	}
	text, err := h.proof.Encode()
	if err != nil {
		return blockproof.Fabric{}, err
	}
	return blockproof.VerifyFabric(text, "cunzheng", configs...)
}

func TestConfigChain(t *testing.T) {
	for _, pinned := range [][]int{{0}, {1}, {2}, {0, 1}, {2, 0}, {0, 1, 2}} {
		got, err := newHistory(t).verify(t, pinned...)
		if err != nil {
			t.Errorf("pinned %d: %v", pinned, err)
			continue
		}
		if got.Config != 5 || got.Orderers != 5 || got.Quorum != 4 || !slices.Contains(got.Consenters, "TaxMSP") {
			t.Errorf("pinned %d: %+v", pinned, got)
		}
	}
}

func TestConfigChainForgeries(t *testing.T) {
	// reseal makes block 3 anew.
	reseal := func(change func(*history, *fabrictest.Network), orderers int) func(*history) {
		return func(h *history) {
			n := *h.network
			n.Orderers, n.Sequence = n.Orderers[:4], 1
			if change != nil {
				change(h, &n)
			}
			h.proof.Configs = [][]byte{n.ConfigBlock(3, anchoredAt, h.network.Orderers[:orderers]...), h.configs[2]}
		}
	}
	for name, c := range map[string]struct {
		change func(*history)
		pinned []int
		want   string // "": ErrUnknownKey
	}{
		"nothing pinned":                        {func(*history) {}, nil, ""},
		"no chain":                              {func(h *history) { h.proof.Configs = nil }, []int{0}, ""},
		"first link missing":                    {func(h *history) { h.proof.Configs = h.configs[2:] }, []int{0}, ""},
		"last link missing":                     {func(h *history) { h.proof.Configs = h.configs[1:2] }, []int{0}, "the last one is 3, that in force 5"},
		"wrong order":                           {func(h *history) { h.proof.Configs = [][]byte{h.configs[2], h.configs[1]} }, []int{0}, "the last one is 3"},
		"one link twice":                        {func(h *history) { h.proof.Configs = [][]byte{h.configs[1], h.configs[1], h.configs[2]} }, []int{0}, "does not follow"},
		"too few signatures of the ones before": {reseal(nil, 2), []int{0}, "block 3 is signed by too few orderers: 2 of 4, 3 needed"},
		"signed by new orderers": {func(h *history) {
			n := *h.network
			n.Sequence = 1
			n.Orderers = fabrictest.New().Orderers
			h.proof.Configs = [][]byte{n.ConfigBlock(3, anchoredAt, n.Orderers...), h.configs[2]}
		}, []int{0}, "signature does not verify"},
		"another channel":         {reseal(func(_ *history, n *fabrictest.Network) { n.Channel = "other" }, 4), []int{0}, "is of channel"},
		"configuration left out":  {reseal(func(_ *history, n *fabrictest.Network) { n.Sequence = 2 }, 4), []int{0}, ""},
		"configuration of before": {reseal(func(_ *history, n *fabrictest.Network) { n.Sequence = 0 }, 4), []int{0}, "does not follow"},
		"no config block":         {func(h *history) { h.proof.Configs = [][]byte{h.proof.Block} }, []int{0}, "is not a config block"},
		"rewritten by the old orderers": {func(h *history) {
			n := *h.network
			n.Orderers, n.Sequence = n.Orderers[:4], 3
			h.proof.Configs = append(slices.Clone(h.proof.Configs), n.ConfigBlock(6, anchoredAt, n.Orderers...))
		}, []int{0}, "the last one is 6"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			c.change(h)
			got, err := h.verify(t, c.pinned...)
			switch {
			case c.want == "" && (!errors.Is(err, blockproof.ErrUnknownKey) || errors.Is(err, blockproof.ErrInvalid)):
				t.Errorf("%+v, %v; want ErrUnknownKey", got, err)
			case c.want != "" && (!errors.Is(err, blockproof.ErrInvalid) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%+v, %v; want ErrInvalid with %q", got, err, c.want)
			}
		})
	}
}

// TestOtherChannel pins the configuration of another channel: nothing is proven, nothing refuted.
func TestOtherChannel(t *testing.T) {
	w := makeWorld(t, forgery{pinned: func(n *fabrictest.Network) []byte {
		other := *n
		other.Channel = "other"
		return other.ConfigBlock(0, anchoredAt)
	}})
	if _, err := w.verify(t, "cunzheng"); !errors.Is(err, blockproof.ErrUnknownKey) {
		t.Errorf("%v, want ErrUnknownKey", err)
	}
}

// TestBadConfigs has config blocks that are refused.
func TestBadConfigs(t *testing.T) {
	group := func(name string) func(*common.ConfigGroup) {
		return func(g *common.ConfigGroup) { delete(g.Groups, name) }
	}
	for name, c := range map[string]struct {
		change func(*fabrictest.Network)
		want   string
	}{
		"Raft":             {func(n *fabrictest.Network) { n.Consensus = "etcdraft" }, `"etcdraft" is not BFT`},
		"no orderers":      {func(n *fabrictest.Network) { n.Orderers = nil }, "0 orderers"},
		"no organisations": {func(n *fabrictest.Network) { n.Organisations = nil }, "0 organisations"},
		"orderer of an unknown organisation": {func(n *fabrictest.Network) {
			n.Orderers[0] = fabrictest.NewOrganisation("OtherMSP").Orderer
		}, "unknown organisation"},
		"two of one membership": {func(n *fabrictest.Network) { n.Configure = rename }, "two organisations share the membership"},
		"no orderer group":      {func(n *fabrictest.Network) { n.Configure = group("Orderer") }, "no group Orderer"},
		"no application group":  {func(n *fabrictest.Network) { n.Configure = group("Application") }, "no group Application"},
		"no hash function": {func(n *fabrictest.Network) {
			n.Configure = func(g *common.ConfigGroup) { delete(g.Values, "HashingAlgorithm") }
		}, "no value HashingAlgorithm"},
		"another hash function": {func(n *fabrictest.Network) {
			n.Configure = func(g *common.ConfigGroup) {
				g.Values["HashingAlgorithm"].Value = fabrictest.Marshal(&common.HashingAlgorithm{Name: "SHA3_256"})
			}
		}, "hash function"},
		"no membership": {func(n *fabrictest.Network) {
			n.Configure = func(g *common.ConfigGroup) { delete(g.Groups["Application"].Groups["CourtMSP"].Values, "MSP") }
		}, "no value MSP"},
		"different memberships of one name": {func(n *fabrictest.Network) {
			n.Configure = func(g *common.ConfigGroup) {
				other := fabrictest.New()
				other.Configure = func(o *common.ConfigGroup) { g.Groups["Orderer"] = o.Groups["Orderer"] }
				other.ConfigBlock(0, anchoredAt)
			}
		}, "two memberships are called"},
		"no endorsement policy": {func(n *fabrictest.Network) {
			n.Configure = func(g *common.ConfigGroup) { delete(g.Groups["Application"].Policies, "Endorsement") }
		}, "no endorsement policy"},
		"unknown rule":        {func(n *fabrictest.Network) { n.Endorsement = fabrictest.Implicit(7) }, "unknown rule 7"},
		"policy out of range": {func(n *fabrictest.Network) { n.Endorsement = deepPolicy(0) }, "names a principal that it lacks"},
		"policy too deep":     {func(n *fabrictest.Network) { n.Endorsement = deepPolicy(20) }, "too many rules"},
		"no channel":          {func(n *fabrictest.Network) { n.Channel = "" }, "is not a config block"},
	} {
		t.Run(name, func(t *testing.T) {
			n := fabrictest.New()
			c.change(n)
			if _, err := blockproof.ParseFabricConfig(n.ConfigBlock(0, anchoredAt)); !errors.Is(err, blockproof.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want ErrInvalid with %q", err, c.want)
			}
		})
	}
}

// rename gives the organisation whose membership stands twice another group.
func rename(g *common.ConfigGroup) {
	for _, parent := range g.Groups {
		for name, o := range parent.Groups {
			parent.Groups[name+"-again"] = o
			return
		}
	}
}

// deepPolicy nests n rules around one that names a principal which is not there.
func deepPolicy(n int) *common.Policy {
	rule := &common.SignaturePolicy{Type: &common.SignaturePolicy_SignedBy{SignedBy: 3}}
	for range n {
		rule = &common.SignaturePolicy{Type: &common.SignaturePolicy_NOutOf_{NOutOf: &common.SignaturePolicy_NOutOf{N: 1, Rules: []*common.SignaturePolicy{rule}}}}
	}
	return &common.Policy{Type: int32(common.Policy_SIGNATURE), Value: fabrictest.Marshal(&common.SignaturePolicyEnvelope{Rule: rule})}
}

// TestFabricText changes the text of a proof in ways that mean the same. There is one text only.
func TestFabricText(t *testing.T) {
	w := makeWorld(t, forgery{})
	pinned, err := blockproof.ParseFabricConfig(w.pinned)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := w.proof.Encode()
	if err != nil {
		t.Fatal(err)
	}
	proof := string(encoded)
	for name, text := range map[string]string{
		"empty":                   "",
		"null":                    "null",
		"no members":              "{}",
		"final newline":           proof + "\n",
		"space":                   strings.Replace(proof, `,"kind"`, `, "kind"`, 1),
		"unknown member":          strings.Replace(proof, `{"block"`, `{"a":1,"block"`, 1),
		"member twice":            strings.Replace(proof, `"kind"`, `"kind":"fabric","kind"`, 1),
		"no configs":              strings.Replace(proof, `"configs":[],`, "", 1),
		"null configs":            strings.Replace(proof, `"configs":[]`, `"configs":null`, 1),
		"other kind":              strings.Replace(proof, `"fabric"`, `"embedded"`, 1),
		"upper-case id":           strings.Replace(proof, w.proof.Transaction, strings.ToUpper(w.proof.Transaction), 1),
		"too long":                proof + strings.Repeat(" ", blockproof.MaxFabricSize),
		"base64 unpadded":         strings.Replace(proof, `=","configs`, `","configs`, 1),
		"empty block":             `{"block":"","configs":[],"kind":"fabric","transaction":"` + w.proof.Transaction + `"}`,
		"bytes that are no block": `{"block":"AAAA","configs":[],"kind":"fabric","transaction":"` + w.proof.Transaction + `"}`,
	} {
		if text == proof {
			continue // no padding to take away
		}
		if _, err := blockproof.VerifyFabric([]byte(text), "cunzheng", pinned); !errors.Is(err, blockproof.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

// mutate checks that none of the proofs with one byte changed verifies; step bounds the work.
func mutate(t *testing.T, text []byte, step int, pinned ...*blockproof.FabricConfig) {
	t.Helper()
	if _, err := blockproof.VerifyFabric(text, "cunzheng", pinned...); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(text); i += step {
		for _, flip := range []byte{0x01, 0x20} {
			mutated := bytes.Clone(text)
			mutated[i] ^= flip
			if got, err := blockproof.VerifyFabric(mutated, "cunzheng", pinned...); !errors.Is(err, blockproof.ErrInvalid) && !errors.Is(err, blockproof.ErrUnknownKey) {
				t.Fatalf("byte %d ^ %#x: %+v, %v", i, flip, got, err)
			}
		}
	}
}

func TestFabricMutations(t *testing.T) {
	w := makeWorld(t, forgery{})
	pinned, err := blockproof.ParseFabricConfig(w.pinned)
	if err != nil {
		t.Fatal(err)
	}
	text, err := w.proof.Encode()
	if err != nil {
		t.Fatal(err)
	}
	mutate(t, text, 5, pinned)

	h := newHistory(t)
	if pinned, err = blockproof.ParseFabricConfig(h.configs[0]); err != nil {
		t.Fatal(err)
	}
	if text, err = h.proof.Encode(); err != nil {
		t.Fatal(err)
	}
	mutate(t, text, 101, pinned)
}

// TestMetadataIsNotEvidence changes what a peer adds to a block: the proof stays the same.
func TestMetadataIsNotEvidence(t *testing.T) {
	w := makeWorld(t, forgery{})
	want, err := w.proof.Encode()
	if err != nil {
		t.Fatal(err)
	}
	block := &common.Block{}
	if err := proto.Unmarshal(w.proof.Block, block); err != nil {
		t.Fatal(err)
	}
	block.Metadata.Metadata = [][]byte{block.Metadata.Metadata[0], []byte("old"), {11}, {}, []byte("another peer's hash")}
	got, err := blockproof.FabricProof{Block: fabrictest.Marshal(block), Transaction: w.proof.Transaction}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the proof holds a peer's own metadata")
	}
}

// TestHeaderHash compares with the hash of a block as Fabric documents it.
func TestHeaderHash(t *testing.T) {
	w := makeWorld(t, forgery{})
	got, err := w.verify(t, "cunzheng")
	if err != nil {
		t.Fatal(err)
	}
	block := &common.Block{}
	if err := proto.Unmarshal(w.proof.Block, block); err != nil {
		t.Fatal(err)
	}
	// SEQUENCE { INTEGER 7, OCTET STRING previous, OCTET STRING data }
	der := slices.Concat([]byte{0x30, 71, 0x02, 1, 7, 0x04, 32}, block.Header.PreviousHash, []byte{0x04, 32}, block.Header.DataHash)
	if want := sha256.Sum256(der); got.BlockHash != want {
		t.Errorf("hash %s, want %s", hex.EncodeToString(got.BlockHash[:]), hex.EncodeToString(want[:]))
	}
}

func FuzzParseFabricConfig(f *testing.F) {
	n := fabrictest.New()
	f.Add(n.ConfigBlock(0, anchoredAt))
	f.Add(n.ConfigBlock(3, anchoredAt, n.Orderers...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := blockproof.ParseFabricConfig(raw)
		if err != nil {
			if !errors.Is(err, blockproof.ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			return
		}
		again, err := blockproof.ParseFabricConfig(c.Block())
		if err != nil || again.Hash() != c.Hash() || !bytes.Equal(again.Block(), c.Block()) {
			t.Fatalf("another config block when read again: %v", err)
		}
	})
}

// FuzzVerifyFabric changes the block of a proof, not its text, so that the changes reach the decoder.
func FuzzVerifyFabric(f *testing.F) {
	w := makeWorld(f, forgery{})
	pinned, err := blockproof.ParseFabricConfig(w.pinned)
	if err != nil {
		f.Fatal(err)
	}
	want, err := w.verify(f, "cunzheng")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(w.proof.Block, w.proof.Transaction)
	f.Fuzz(func(t *testing.T, block []byte, transaction string) {
		text, err := blockproof.FabricProof{Block: block, Transaction: transaction}.Encode()
		if err != nil {
			if !errors.Is(err, blockproof.ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			return
		}
		got, err := blockproof.VerifyFabric(text, "cunzheng", pinned)
		if err == nil {
			if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Consenters" || p.String() == "Signatures" }, cmp.Ignore())); diff != "" {
				t.Fatal(diff)
			}
		} else if !errors.Is(err, blockproof.ErrInvalid) && !errors.Is(err, blockproof.ErrUnknownKey) {
			t.Fatalf("%v is neither ErrInvalid nor ErrUnknownKey", err)
		}
	})
}
