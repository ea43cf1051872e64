package fabric

import (
	"context"
	"fmt"

	"github.com/hyperledger/fabric-protos-go/common"
	pb "github.com/hyperledger/fabric-protos-go/peer"
	"github.com/hyperledger/fabric-sdk-go/pkg/fab/events/deliverclient/connection"
	"github.com/hyperledger/fabric-sdk-go/pkg/fab/events/deliverclient/seek"

	"cunzheng/chaincode"
)

// Events calls fn for each event of the contract from a block on, in the order of the ledger, whoever's transaction it
// was, until ctx is done, fn returns an error, or the peer fails. It implements [anchor.EventSource].
//
// They come from a peer of the identity's own organisation, which has checked the blocks itself; what another's peer
// tells could be made up. An organisation without peers has to ask another's.
func (l *Ledger) Events(ctx context.Context, fromBlock uint64, fn func(block uint64, a chaincode.Announcement) error) error {
	ctx, end, err := l.begin(ctx, 0)
	if err != nil {
		return err
	}
	defer end()
	var stopped error // what fn returned
	for _, p := range l.witnesses() {
		next := fromBlock
		err = l.client.follow(ctx, p, seek.InfoFrom(fromBlock), connection.Deliver, func(r *pb.DeliverResponse) error {
			block := r.GetBlock()
			if number := block.GetHeader().GetNumber(); block == nil || number != next {
				return fmt.Errorf("%s delivers block %d instead of %d", p.URL(), number, next)
			}
			next++
			stopped = announced(block, l.o.Chaincode, fn)
			return stopped
		})
		if stopped != nil {
			return stopped
		}
		if cause := context.Cause(ctx); cause != nil {
			return unavailable(PhaseTransport, "", cause)
		}
		if next > fromBlock { // it has worked: the caller knows where it goes on
			break
		}
	}
	return unavailable(PhaseTransport, "", err)
}

// witnesses returns the peers whose word on events is taken.
func (l *Ledger) witnesses() []*peer {
	all := l.client.sources()
	var own []*peer
	for _, p := range all {
		if p.MSPID() == l.client.msp {
			own = append(own, p)
		}
	}
	if own == nil {
		return all
	}
	return own
}

// announced calls fn for the events of a contract in a block.
func announced(block *common.Block, contract string, fn func(uint64, chaincode.Announcement) error) error {
	number := block.GetHeader().GetNumber()
	var codes []byte
	if metadata := block.GetMetadata().GetMetadata(); len(metadata) > int(common.BlockMetadataIndex_TRANSACTIONS_FILTER) {
		codes = metadata[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
	}
	for i, encoded := range block.GetData().GetData() {
		if i >= len(codes) || pb.TxValidationCode(codes[i]) != pb.TxValidationCode_VALID {
			continue
		}
		payload, header, err := openEnvelope(encoded)
		if err != nil {
			return fmt.Errorf("fabric: block %d: transaction %d: %w", number, i, err)
		}
		if common.HeaderType(header.Type) != common.HeaderType_ENDORSER_TRANSACTION {
			continue
		}
		events, err := eventsOf(payload)
		if err != nil {
			return fmt.Errorf("fabric: block %d: transaction %d: %w", number, i, err)
		}
		for _, e := range events {
			if e.ChaincodeId != contract || e.EventName == "" {
				continue
			}
			if err := fn(number, chaincode.Announcement{Name: e.EventName, Payload: e.Payload}); err != nil {
				return err
			}
		}
	}
	return nil
}

func eventsOf(payload *common.Payload) ([]*pb.ChaincodeEvent, error) {
	transaction := new(pb.Transaction)
	if err := unmarshal(payload.Data, transaction); err != nil {
		return nil, err
	}
	var events []*pb.ChaincodeEvent
	for _, action := range transaction.Actions {
		body, response := new(pb.ChaincodeActionPayload), new(pb.ProposalResponsePayload)
		simulated, event := new(pb.ChaincodeAction), new(pb.ChaincodeEvent)
		if err := unwrap(
			layer{func() []byte { return action.Payload }, body},
			layer{func() []byte { return body.GetAction().GetProposalResponsePayload() }, response},
			layer{func() []byte { return response.Extension }, simulated},
			layer{func() []byte { return simulated.Events }, event},
		); err != nil {
			return nil, err
		}
		events = append(events, event)
	}
	return events, nil
}
