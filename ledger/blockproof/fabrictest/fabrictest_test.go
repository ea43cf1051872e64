package fabrictest_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"cunzheng/ledger/blockproof/fabrictest"
)

// present lists the fields of a message that are set.
func present(m proto.Message) []string {
	var names []string
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		names = append(names, string(f.Name()))
		return true
	})
	slices.Sort(names)
	return names
}

// parts are the messages of an anchoring block and of a config block.
type parts struct {
	t     *testing.T
	found map[string][]string
}

// into decodes raw into m, notes its fields under the name of its type, and refuses fields that the generated messages
// do not know.
func (p *parts) into(m proto.Message, raw []byte) {
	p.t.Helper()
	if err := proto.Unmarshal(raw, m); err != nil {
		p.t.Fatal(err)
	}
	if len(m.ProtoReflect().GetUnknown()) > 0 {
		p.t.Errorf("%T has unknown fields", m)
	}
	p.found[string(m.ProtoReflect().Descriptor().Name())] = present(m)
}

func (p *parts) block(raw []byte) (*common.Block, *common.ChannelHeader, *common.Payload) {
	block, metadata, identifier := &common.Block{}, &common.Metadata{}, &common.IdentifierHeader{}
	p.into(block, raw)
	p.into(metadata, block.Metadata.Metadata[0])
	if len(metadata.Signatures) > 0 {
		p.found["MetadataSignature"] = present(metadata.Signatures[0])
		p.into(identifier, metadata.Signatures[0].IdentifierHeader)
	}
	p.into(&common.OrdererBlockMetadata{}, metadata.Value)
	envelope, payload, header := &common.Envelope{}, &common.Payload{}, &common.ChannelHeader{}
	p.into(envelope, block.Data.Data[0])
	p.into(payload, envelope.Payload)
	p.into(header, payload.Header.ChannelHeader)
	return block, header, payload
}

func (p *parts) anchor(raw []byte) {
	_, header, payload := p.block(raw)
	p.into(&common.SignatureHeader{}, payload.Header.SignatureHeader)
	p.into(&peer.ChaincodeHeaderExtension{}, header.Extension)
	transaction, action := &peer.Transaction{}, &peer.ChaincodeActionPayload{}
	p.into(transaction, payload.Data)
	if got := transaction.Actions[0].Header; string(got) != string(payload.Header.SignatureHeader) {
		p.t.Error("the action's header is not that of the payload")
	}
	p.into(action, transaction.Actions[0].Payload)
	response, result := &peer.ProposalResponsePayload{}, &peer.ChaincodeAction{}
	p.into(response, action.Action.ProposalResponsePayload)
	p.into(result, response.Extension)
	set, rows := &rwset.TxReadWriteSet{}, &kvrwset.KVRWSet{}
	p.into(set, result.Results)
	for _, ns := range set.NsRwset {
		if ns.Namespace == "cunzheng" {
			p.into(rows, ns.Rwset)
		}
	}
	proposal, invocation := &peer.ChaincodeProposalPayload{}, &peer.ChaincodeInvocationSpec{}
	p.into(proposal, action.ChaincodeProposalPayload)
	p.into(invocation, proposal.Input)
	if args := invocation.ChaincodeSpec.Input.Args; len(args) != 4 || string(args[0]) != "Anchor" {
		p.t.Errorf("%d arguments", len(args))
	}
}

func (p *parts) config(raw []byte) *common.ConfigGroup {
	_, _, payload := p.block(raw)
	envelope, membership := &common.ConfigEnvelope{}, &msp.MSPConfig{}
	p.into(envelope, payload.Data)
	root := envelope.Config.ChannelGroup
	orderers := &common.Orderers{}
	p.into(orderers, root.Groups["Orderer"].Values["Orderers"].Value)
	p.found["Consenter"] = present(orderers.ConsenterMapping[0])
	for _, o := range root.Groups["Application"].Groups {
		p.into(membership, o.Values["MSP"].Value)
		fabric := &msp.FabricMSPConfig{}
		p.into(fabric, membership.Config)
		p.found["FabricNodeOUs"] = present(fabric.FabricNodeOus)
		p.found["FabricOUIdentifier"] = present(fabric.FabricNodeOus.PeerOuIdentifier)
		break
	}
	return root
}

// TestLikeReal compares the blocks of this package with those of a real network: which fields are set, and the policies
// byte for byte.
func TestLikeReal(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("../testdata/fabric", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	now := time.Date(2026, 11, 23, 0, 0, 0, 1, time.UTC)
	n := fabrictest.New()
	n.Sequence = 1
	envelope, _ := n.Anchor("log.notary.example", 1, []byte("note"), now).Envelope()
	real, made := &parts{t, map[string][]string{}}, &parts{t, map[string][]string{}}
	real.anchor(read("anchor-5.block"))
	made.anchor(n.Block(5, 1, envelope))
	theirs, ours := real.config(read("config-6.block")), made.config(n.ConfigBlock(6, now, n.Orderers...))
	// What this package leaves out decides nothing.
	ignore := map[string][]string{
		"FabricMSPConfig": {"intermediate_certs"}, // of one organisation
		"ChannelHeader":   {"version", "tls_cert_hash", "tx_id"},
	}
	for name, want := range real.found {
		drop := func(list []string) []string {
			return slices.DeleteFunc(slices.Clone(list), func(f string) bool { return slices.Contains(ignore[name], f) })
		}
		if diff := cmp.Diff(drop(want), drop(made.found[name])); diff != "" {
			t.Errorf("%s (-real +made): %s", name, diff)
		}
	}
	endorsement := func(g *common.ConfigGroup) []byte { return g.Policies["Endorsement"].Policy.Value }
	if diff := cmp.Diff(endorsement(theirs.Groups["Application"]), endorsement(ours.Groups["Application"])); diff != "" {
		t.Error(diff)
	}
	policies := func(root *common.ConfigGroup) [][]byte {
		var list [][]byte
		for _, o := range root.Groups["Application"].Groups {
			list = append(list, endorsement(o))
		}
		slices.SortFunc(list, slices.Compare)
		return list
	}
	if diff := cmp.Diff(policies(theirs), policies(ours)); diff != "" {
		t.Error(diff)
	}
}
