package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/queryresult"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	fabric "github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"cunzheng/chaincode"
	"cunzheng/chaincode/chaincodetest"
)

// testPeer plays a Fabric peer: it speaks the chaincode protocol over a real connection and keeps the state in memory. A
// transaction's writes are applied only if the chaincode answers with success, and are not shown to it before.
type testPeer struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[fabric.ChaincodeMessage, fabric.ChaincodeMessage]

	mu     sync.Mutex // one transaction at a time
	rows   map[string][]byte
	broken bool // every use of the state fails

	writes  map[string][]byte // of the running transaction
	pending [][]byte          // rest of the running range query
}

// newPeer connects as a peer does. Without credentials the connection is in the clear.
func newPeer(t *testing.T, address string, c credentials.TransportCredentials) *testPeer {
	t.Helper()
	p, err := connect(t, address, c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func connect(t *testing.T, address string, c credentials.TransportCredentials) (*testPeer, error) {
	if c == nil {
		c = insecure.NewCredentials()
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(c))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = connection.Close() })
	stream, err := fabric.NewChaincodeClient(connection).Connect(context.Background())
	if err != nil {
		return nil, err
	}
	p := &testPeer{t: t, stream: stream, rows: make(map[string][]byte)}
	registration, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	var id fabric.ChaincodeID
	if err := proto.Unmarshal(registration.GetPayload(), &id); err != nil {
		return nil, err
	}
	if registration.GetType() != fabric.ChaincodeMessage_REGISTER || id.GetName() != "cunzheng:1" {
		return nil, fmt.Errorf("first message is %v of %q", registration.GetType(), id.GetName())
	}
	for _, state := range []fabric.ChaincodeMessage_Type{fabric.ChaincodeMessage_REGISTERED, fabric.ChaincodeMessage_READY} {
		if err := stream.Send(&fabric.ChaincodeMessage{Type: state}); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Owner and Foreign implement chaincodetest.Chain with names as MSPs have them.
func (p *testPeer) Owner() string   { return "NotaryMSP" }
func (p *testPeer) Foreign() string { return "BureauMSP" }

// Invoke implements chaincodetest.Chain.
func (p *testPeer) Invoke(org, function string, args ...[]byte) (chaincodetest.Outcome, error) {
	response, event, writes, err := p.transact(org, append([][]byte{[]byte(function)}, args...))
	if err != nil {
		return chaincodetest.Outcome{}, err
	}
	if response.GetStatus() != 200 {
		if refusal, ok := chaincode.ParseError(response.GetMessage()); ok {
			return chaincodetest.Outcome{}, refusal
		}
		return chaincodetest.Outcome{}, errors.New(response.GetMessage())
	}
	outcome := chaincodetest.Outcome{Result: response.GetPayload(), Changed: writes > 0}
	if event != nil {
		outcome.Event = &chaincode.Announcement{Name: event.GetEventName(), Payload: event.GetPayload()}
	}
	return outcome, nil
}

// transact has the chaincode run one transaction, and answers its questions until it has an answer.
func (p *testPeer) transact(org string, args [][]byte) (response *fabric.Response, event *fabric.ChaincodeEvent, writes int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes, p.pending = make(map[string][]byte), nil
	transaction := &fabric.ChaincodeMessage{
		Type: fabric.ChaincodeMessage_TRANSACTION, Txid: rand.Text(), ChannelId: "cunzheng",
		Payload: marshal(p.t, &fabric.ChaincodeInput{Args: args}), Proposal: proposal(p.t, org),
	}
	if err := p.stream.Send(transaction); err != nil {
		return nil, nil, 0, err
	}
	for {
		message, err := p.stream.Recv()
		if err != nil {
			return nil, nil, 0, err
		}
		if message.GetType() == fabric.ChaincodeMessage_COMPLETED {
			response = new(fabric.Response)
			if err := proto.Unmarshal(message.GetPayload(), response); err != nil {
				return nil, nil, 0, err
			}
			if response.GetStatus() == 200 {
				maps.Copy(p.rows, p.writes)
			}
			return response, message.GetChaincodeEvent(), len(p.writes), nil
		}
		answer := &fabric.ChaincodeMessage{Type: fabric.ChaincodeMessage_RESPONSE, Txid: message.GetTxid(), ChannelId: message.GetChannelId()}
		if answer.Payload, err = p.answer(message); err != nil {
			answer.Type, answer.Payload = fabric.ChaincodeMessage_ERROR, []byte(err.Error())
		}
		if err := p.stream.Send(answer); err != nil {
			return nil, nil, 0, err
		}
	}
}

var errState = errors.New("the state database is broken")

// answer says what a peer says to a question of the chaincode.
func (p *testPeer) answer(message *fabric.ChaincodeMessage) ([]byte, error) {
	if p.broken {
		return nil, errState
	}
	switch message.GetType() {
	case fabric.ChaincodeMessage_GET_STATE:
		var get fabric.GetState
		if err := proto.Unmarshal(message.GetPayload(), &get); err != nil {
			return nil, err
		}
		return p.rows[get.GetKey()], nil
	case fabric.ChaincodeMessage_PUT_STATE:
		var put fabric.PutState
		if err := proto.Unmarshal(message.GetPayload(), &put); err != nil {
			return nil, err
		}
		p.writes[put.GetKey()] = put.GetValue()
		return nil, nil
	case fabric.ChaincodeMessage_GET_STATE_BY_RANGE:
		var query fabric.GetStateByRange
		if err := proto.Unmarshal(message.GetPayload(), &query); err != nil {
			return nil, err
		}
		for _, key := range slices.Sorted(maps.Keys(p.rows)) {
			if key >= query.GetStartKey() && key < query.GetEndKey() {
				p.pending = append(p.pending, marshal(p.t, &queryresult.KV{Key: key, Value: p.rows[key]}))
			}
		}
		return p.batch(), nil
	case fabric.ChaincodeMessage_QUERY_STATE_NEXT:
		return p.batch(), nil
	case fabric.ChaincodeMessage_QUERY_STATE_CLOSE:
		p.pending = nil
		return marshal(p.t, &fabric.QueryResponse{}), nil
	default:
		return nil, fmt.Errorf("unexpected message %v", message.GetType())
	}
}

// batch returns the next few rows of the range query.
func (p *testPeer) batch() []byte {
	n := min(2, len(p.pending))
	response := &fabric.QueryResponse{Id: "query", HasMore: n < len(p.pending)}
	for _, row := range p.pending[:n] {
		response.Results = append(response.Results, &fabric.QueryResultBytes{ResultBytes: row})
	}
	p.pending = p.pending[n:]
	return marshal(p.t, response)
}

// proposal is what a client of the organisation org signed; the peer has checked the signature.
func proposal(t *testing.T, org string) *fabric.SignedProposal {
	t.Helper()
	header := &common.Header{
		ChannelHeader:   marshal(t, &common.ChannelHeader{Type: int32(common.HeaderType_ENDORSER_TRANSACTION), ChannelId: "cunzheng"}),
		SignatureHeader: marshal(t, &common.SignatureHeader{Creator: marshal(t, &msp.SerializedIdentity{Mspid: org, IdBytes: []byte("certificate")})}),
	}
	return &fabric.SignedProposal{ProposalBytes: marshal(t, &fabric.Proposal{
		Header: marshal(t, header), Payload: marshal(t, &fabric.ChaincodeProposalPayload{}),
	})}
}

func marshal(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
