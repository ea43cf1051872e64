package fabrictest

import (
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Organisation is one member of a channel.
type Organisation struct {
	MSP         string
	Root        *Identity
	CA          *Identity // issues the members; the root, or an intermediate authority below it
	Peer        *Identity
	Client      *Identity
	Orderer     *Identity
	Revoked     [][]byte       // revocation lists
	Endorsement *common.Policy // a peer of the organisation
}

// NewOrganisation returns an organisation whose root issues its members.
func NewOrganisation(id string) *Organisation {
	root := Issue(nil, id, Subject{Name: "ca." + id, CA: true})
	return newMembers(&Organisation{MSP: id, Root: root, CA: root})
}

// NewNestedOrganisation returns an organisation whose members are issued by an intermediate authority.
func NewNestedOrganisation(id string) *Organisation {
	root := Issue(nil, id, Subject{Name: "root." + id, CA: true})
	return newMembers(&Organisation{MSP: id, Root: root, CA: Issue(root, id, Subject{Name: "ca." + id, CA: true})})
}

func newMembers(o *Organisation) *Organisation {
	o.Peer = o.Member("peer0", "peer")
	o.Client = o.Member("User1", "client")
	o.Orderer = o.Member("orderer0", "orderer")
	o.Endorsement = SignedBy(Role(o.MSP, msp.MSPRole_PEER))
	return o
}

// Member issues a certificate with these organisational units.
func (o *Organisation) Member(name string, units ...string) *Identity {
	return Issue(o.CA, o.MSP, Subject{Name: name + "." + o.MSP, Units: units})
}

// config returns the membership as cryptogen and configtxgen lay it out.
func (o *Organisation) config() []byte {
	ou := func(name string) *msp.FabricOUIdentifier {
		return &msp.FabricOUIdentifier{Certificate: o.CA.PEM, OrganizationalUnitIdentifier: name}
	}
	c := &msp.FabricMSPConfig{
		Name:           o.MSP,
		RootCerts:      [][]byte{o.Root.PEM},
		RevocationList: o.Revoked,
		CryptoConfig:   &msp.FabricCryptoConfig{SignatureHashFamily: "SHA2", IdentityIdentifierHashFunction: "SHA256"},
		TlsRootCerts:   [][]byte{o.Root.PEM},
		FabricNodeOus: &msp.FabricNodeOUs{Enable: true, ClientOuIdentifier: ou("client"), PeerOuIdentifier: ou("peer"),
			AdminOuIdentifier: ou("admin"), OrdererOuIdentifier: ou("orderer")},
	}
	if o.CA != o.Root {
		c.IntermediateCerts = [][]byte{o.CA.PEM}
	}
	return marshal(&msp.MSPConfig{Config: marshal(c)})
}

// Role returns the principal of a role in an organisation.
func Role(mspID string, role msp.MSPRole_MSPRoleType) *msp.MSPPrincipal {
	return &msp.MSPPrincipal{PrincipalClassification: msp.MSPPrincipal_ROLE, Principal: marshal(&msp.MSPRole{MspIdentifier: mspID, Role: role})}
}

// SignedBy returns the policy that is satisfied by a signature of any of the principals.
func SignedBy(principals ...*msp.MSPPrincipal) *common.Policy { return OutOf(1, principals...) }

// OutOf returns the policy that is satisfied by signatures of n of the principals.
func OutOf(n int32, principals ...*msp.MSPPrincipal) *common.Policy {
	rules := &common.SignaturePolicy_NOutOf{N: n}
	for i := range principals {
		rules.Rules = append(rules.Rules, &common.SignaturePolicy{Type: &common.SignaturePolicy_SignedBy{SignedBy: int32(i)}})
	}
	return &common.Policy{Type: int32(common.Policy_SIGNATURE), Value: marshal(&common.SignaturePolicyEnvelope{
		Rule:       &common.SignaturePolicy{Type: &common.SignaturePolicy_NOutOf_{NOutOf: rules}},
		Identities: principals,
	})}
}

// Implicit returns the policy that counts the organisations whose own policy "Endorsement" is satisfied.
func Implicit(rule common.ImplicitMetaPolicy_Rule) *common.Policy {
	return &common.Policy{Type: int32(common.Policy_IMPLICIT_META), Value: marshal(&common.ImplicitMetaPolicy{SubPolicy: "Endorsement", Rule: rule})}
}

// Network is a channel. Its fields may be changed before a block is made.
type Network struct {
	Channel       string
	Chaincode     string
	Organisations []*Organisation
	Orderers      []*Identity // the identifier of each is its place in the list, from 1
	Endorsement   *common.Policy
	Consensus     string
	Sequence      uint64                    // of the configuration
	Configure     func(*common.ConfigGroup) // changes the configuration before it is encoded; may be nil
}

// New returns a channel "cunzheng" with the chaincode "cunzheng" of the organisations NotaryMSP, BureauMSP, HealthMSP
// and CourtMSP, each with one orderer. The endorsement policy is MAJORITY. HealthMSP has an intermediate authority.
func New() *Network {
	n := &Network{Channel: "cunzheng", Chaincode: "cunzheng", Endorsement: Implicit(common.ImplicitMetaPolicy_MAJORITY), Consensus: "BFT"}
	for _, id := range []string{"NotaryMSP", "BureauMSP", "HealthMSP", "CourtMSP"} {
		o := NewOrganisation(id)
		if id == "HealthMSP" {
			o = NewNestedOrganisation(id)
		}
		n.Organisations = append(n.Organisations, o)
		n.Orderers = append(n.Orderers, o.Orderer)
	}
	return n
}

// Peers returns the peers of the first count organisations.
func (n *Network) Peers(count int) []*Identity {
	var peers []*Identity
	for _, o := range n.Organisations[:count] {
		peers = append(peers, o.Peer)
	}
	return peers
}

func value(v []byte) *common.ConfigValue { return &common.ConfigValue{Value: v, ModPolicy: "Admins"} }

func policy(p *common.Policy) *common.ConfigPolicy {
	return &common.ConfigPolicy{Policy: p, ModPolicy: "Admins"}
}

func (n *Network) organisations(kind string) map[string]*common.ConfigGroup {
	groups := make(map[string]*common.ConfigGroup)
	for _, o := range n.Organisations {
		groups[o.MSP+kind] = &common.ConfigGroup{
			Values:    map[string]*common.ConfigValue{"MSP": value(o.config())},
			Policies:  map[string]*common.ConfigPolicy{"Endorsement": policy(o.Endorsement)},
			ModPolicy: "Admins",
		}
	}
	return groups
}

// group returns the configuration of the channel.
func (n *Network) group() *common.ConfigGroup {
	consenters := &common.Orderers{}
	for i, id := range n.Orderers {
		consenters.ConsenterMapping = append(consenters.ConsenterMapping, &common.Consenter{
			Id: uint32(i + 1), Host: "127.0.0.1", Port: 7050, MspId: id.MSP, Identity: id.PEM, ClientTlsCert: id.PEM, ServerTlsCert: id.PEM,
		})
	}
	root := &common.ConfigGroup{
		Groups: map[string]*common.ConfigGroup{
			"Orderer": {
				Groups: n.organisations("-orderer"),
				Values: map[string]*common.ConfigValue{
					"ConsensusType": value(marshal(&orderer.ConsensusType{Type: n.Consensus, Metadata: []byte("options")})),
					"Orderers":      value(marshal(consenters)),
				},
				ModPolicy: "Admins",
			},
			"Application": {
				Groups:    n.organisations(""),
				Policies:  map[string]*common.ConfigPolicy{"Endorsement": policy(n.Endorsement)},
				ModPolicy: "Admins",
			},
		},
		Values: map[string]*common.ConfigValue{
			"HashingAlgorithm":          value(marshal(&common.HashingAlgorithm{Name: "SHA256"})),
			"BlockDataHashingStructure": value(marshal(&common.BlockDataHashingStructure{Width: 1<<32 - 1})),
			"Capabilities":              value(marshal(&common.Capabilities{Capabilities: map[string]*common.Capability{"V3_0": {}}})),
		},
		ModPolicy: "Admins",
	}
	if n.Configure != nil {
		n.Configure(root)
	}
	return root
}

// ConfigBlock returns the config block of that number, signed by the orderers of the configuration before.
func (n *Network) ConfigBlock(number uint64, at time.Time, orderers ...*Identity) []byte {
	signer := &common.SignatureHeader{Nonce: []byte("nonce")}
	if len(orderers) > 0 {
		signer.Creator = orderers[0].Serialized()
	}
	envelope := &common.Envelope{Payload: marshal(&common.Payload{
		Header: &common.Header{
			ChannelHeader:   marshal(&common.ChannelHeader{Type: int32(common.HeaderType_CONFIG), ChannelId: n.Channel, Timestamp: timestamppb.New(at)}),
			SignatureHeader: marshal(signer),
		},
		Data: marshal(&common.ConfigEnvelope{
			Config:     &common.Config{Sequence: n.Sequence, ChannelGroup: n.group()},
			LastUpdate: &common.Envelope{Payload: []byte("update"), Signature: []byte("signature")},
		}),
	})}
	if len(orderers) > 0 {
		envelope.Signature = orderers[0].Sign(envelope.Payload)
	}
	return marshal(Block{Number: number, LastConfig: number, Envelopes: [][]byte{marshal(envelope)}, Orderers: n.places(orderers)}.Build())
}

func (n *Network) places(orderers []*Identity) map[uint32]*Identity {
	places := make(map[uint32]*Identity)
	for i, id := range n.Orderers {
		for _, o := range orderers {
			if o == id {
				places[uint32(i+1)] = id
			}
		}
	}
	return places
}

// Block says what block to make.
type Block struct {
	Number     uint64
	LastConfig uint64
	Envelopes  [][]byte
	Orderers   map[uint32]*Identity // who signs, by identifier
	HighS      bool                 // signatures in the other form
}

// Build returns the block, signed, with the metadata that a peer adds.
func (b Block) Build() *common.Block {
	data := sha256.New()
	for _, e := range b.Envelopes {
		data.Write(e)
	}
	previous := sha256.Sum256([]byte{byte(b.Number)})
	block := &common.Block{
		Header: &common.BlockHeader{Number: b.Number, DataHash: data.Sum(nil)},
		Data:   &common.BlockData{Data: b.Envelopes},
	}
	if b.Number > 0 {
		block.Header.PreviousHash = previous[:]
	}
	Sign(block, b)
	return block
}

// Sign puts the orderers' signatures of the header as it is now into the block.
func Sign(block *common.Block, b Block) {
	m := &common.Metadata{Value: marshal(&common.OrdererBlockMetadata{LastConfig: &common.LastConfig{Index: b.LastConfig}, ConsenterMetadata: []byte("view")})}
	header := must(asn1.Marshal(struct {
		Number         *big.Int
		Previous, Data []byte
	}{new(big.Int).SetUint64(block.Header.Number), block.Header.PreviousHash, block.Header.DataHash}))
	for id := uint32(0); id < 256; id++ {
		signer := b.Orderers[id]
		if signer == nil {
			continue
		}
		identifier := marshal(&common.IdentifierHeader{Identifier: id, Nonce: []byte("nonce of an orderer")})
		message := append(append(append([]byte{}, m.Value...), identifier...), header...)
		signature := signer.Sign(message)
		if b.HighS {
			signature = signer.SignHigh(message)
		}
		m.Signatures = append(m.Signatures, &common.MetadataSignature{IdentifierHeader: identifier, Signature: signature})
	}
	block.Metadata = &common.BlockMetadata{Metadata: [][]byte{marshal(m), {}, {0}, {}, []byte("commit hash")}}
}

func marshal(m proto.Message) []byte {
	return must(proto.MarshalOptions{Deterministic: true}.Marshal(m))
}

// Marshal encodes a message as Fabric does.
func Marshal(m proto.Message) []byte { return marshal(m) }
