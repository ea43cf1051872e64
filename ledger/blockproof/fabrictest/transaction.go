package fabrictest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Transaction says what transaction to make.
type Transaction struct {
	Channel   string
	Chaincode string // that is invoked
	Namespace string // that the rows belong to
	Creator   *Identity
	Signer    *Identity // of the envelope
	Nonce     []byte
	ID        string // "": what follows from nonce and creator
	Time      time.Time
	Args      [][]byte
	Reads     []*kvrwset.KVRead
	Writes    []*kvrwset.KVWrite
	Status    int32
	Endorsers []*Identity
	HighS     bool // of the endorsements
	// Hooks change a part before it is signed or hashed; each may be nil.
	OnResponse func(*peer.ProposalResponsePayload)
	OnEndorsed func(*peer.ChaincodeEndorsedAction)
	OnAction   func(*peer.TransactionAction)
	OnPayload  func(*common.Payload)
}

// Anchor returns the transaction that anchors a note: created by the first organisation's client, endorsed by the peers
// of the first three.
func (n *Network) Anchor(origin string, size uint64, note []byte, at time.Time) Transaction {
	nonce := sha256.Sum256(note)
	return Transaction{
		Channel:   n.Channel,
		Chaincode: n.Chaincode,
		Namespace: n.Chaincode,
		Creator:   n.Organisations[0].Client,
		Signer:    n.Organisations[0].Client,
		Nonce:     nonce[:24],
		Time:      at,
		Args:      [][]byte{[]byte("Anchor"), []byte(origin), note, {}},
		Reads:     []*kvrwset.KVRead{{Key: "log " + origin, Version: &kvrwset.Version{BlockNum: 3}}},
		Writes: []*kvrwset.KVWrite{
			{Key: fmt.Sprintf("head %s %016x", origin, size), Value: note},
			{Key: "log " + origin, Value: []byte("{}")},
		},
		Status:    200,
		Endorsers: n.Peers(3),
	}
}

// Envelope returns the transaction as it stands in a block, and its identifier.
func (t Transaction) Envelope() (envelope []byte, id string) {
	creator := t.Creator.Serialized()
	sum := sha256.Sum256(slices.Concat(t.Nonce, creator))
	if id = t.ID; id == "" {
		id = hex.EncodeToString(sum[:])
	}
	chaincode := &peer.ChaincodeID{Name: t.Chaincode}
	header := &common.Header{
		ChannelHeader: marshal(&common.ChannelHeader{
			Type: int32(common.HeaderType_ENDORSER_TRANSACTION), ChannelId: t.Channel, TxId: id, Timestamp: timestamppb.New(t.Time),
			Extension: marshal(&peer.ChaincodeHeaderExtension{ChaincodeId: chaincode}),
		}),
		SignatureHeader: marshal(&common.SignatureHeader{Creator: creator, Nonce: t.Nonce}),
	}
	proposal := marshal(&peer.ChaincodeProposalPayload{Input: marshal(&peer.ChaincodeInvocationSpec{ChaincodeSpec: &peer.ChaincodeSpec{
		Type: peer.ChaincodeSpec_GOLANG, ChaincodeId: chaincode, Input: &peer.ChaincodeInput{Args: t.Args},
	}})})
	endorsed := t.endorsed(header, proposal)
	if t.OnEndorsed != nil {
		t.OnEndorsed(endorsed)
	}
	action := &peer.TransactionAction{
		Header:  header.SignatureHeader,
		Payload: marshal(&peer.ChaincodeActionPayload{ChaincodeProposalPayload: proposal, Action: endorsed}),
	}
	if t.OnAction != nil {
		t.OnAction(action)
	}
	payload := &common.Payload{Header: header, Data: marshal(&peer.Transaction{Actions: []*peer.TransactionAction{action}})}
	if t.OnPayload != nil {
		t.OnPayload(payload)
	}
	raw := marshal(payload)
	return marshal(&common.Envelope{Payload: raw, Signature: t.Signer.Sign(raw)}), id
}

// endorsed returns the answer of the chaincode with the endorsers' signatures.
func (t Transaction) endorsed(header *common.Header, proposal []byte) *peer.ChaincodeEndorsedAction {
	hash := sha256.Sum256(slices.Concat(header.ChannelHeader, header.SignatureHeader, proposal))
	rows := marshal(&kvrwset.KVRWSet{Reads: t.Reads, Writes: t.Writes})
	response := &peer.ProposalResponsePayload{
		ProposalHash: hash[:],
		Extension: marshal(&peer.ChaincodeAction{
			Results: marshal(&rwset.TxReadWriteSet{NsRwset: []*rwset.NsReadWriteSet{
				{Namespace: "_lifecycle", Rwset: marshal(&kvrwset.KVRWSet{Reads: []*kvrwset.KVRead{{Key: "namespaces/fields/" + t.Chaincode + "/Sequence"}}})},
				{Namespace: t.Namespace, Rwset: rows},
			}}),
			Events:      marshal(&peer.ChaincodeEvent{ChaincodeId: t.Chaincode, EventName: "Anchored"}),
			Response:    &peer.Response{Status: t.Status},
			ChaincodeId: &peer.ChaincodeID{Name: t.Chaincode, Version: "1"},
		}),
	}
	if t.OnResponse != nil {
		t.OnResponse(response)
	}
	raw := marshal(response)
	endorsed := &peer.ChaincodeEndorsedAction{ProposalResponsePayload: raw}
	for _, id := range t.Endorsers {
		message := slices.Concat(raw, id.Serialized())
		signature := id.Sign(message)
		if t.HighS {
			signature = id.SignHigh(message)
		}
		endorsed.Endorsements = append(endorsed.Endorsements, &peer.Endorsement{Endorser: id.Serialized(), Signature: signature})
	}
	return endorsed
}

// Block returns the block of that number with these envelopes, signed by the first three orderers.
func (n *Network) Block(number, lastConfig uint64, envelopes ...[]byte) []byte {
	return marshal(Block{Number: number, LastConfig: lastConfig, Envelopes: envelopes, Orderers: n.places(n.Orderers[:3])}.Build())
}
