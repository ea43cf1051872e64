package fabric

import (
	"context"
	"fmt"

	"github.com/hyperledger/fabric-protos-go/common"
	ab "github.com/hyperledger/fabric-protos-go/orderer"
	pb "github.com/hyperledger/fabric-protos-go/peer"
	"github.com/hyperledger/fabric-sdk-go/pkg/fab/chconfig"
	"github.com/hyperledger/fabric-sdk-go/pkg/fab/comm"
	"github.com/hyperledger/fabric-sdk-go/pkg/fab/events/client/dispatcher"
	"github.com/hyperledger/fabric-sdk-go/pkg/fab/events/deliverclient/connection"
)

// follow calls fn for the blocks that p delivers from the place in seek on, until ctx is done, the stream breaks or fn
// returns an error.
func (c *client) follow(ctx context.Context, p *peer, seek *ab.SeekInfo, stream connection.StreamProvider, fn func(*pb.DeliverResponse) error) error {
	request, cancel := c.request(ctx, answerTimeout)
	defer cancel()
	// The SDK opens the stream itself without a limit: it must not wait for a connection that broke just now.
	options := append(comm.OptsFromPeerConfig(&p.config.PeerConfig),
		comm.WithFailFast(true), comm.WithConnectTimeout(answerTimeout), comm.WithParentContext(request))
	deliver, err := connection.New(c.identity, chconfig.NewChannelCfg(c.channel), stream, p.URL(), options...)
	if err != nil {
		return err
	}
	received := make(chan any)
	go func() {
		defer close(received)
		deliver.Receive(received)
	}()
	defer func() { // ends Receive, which may wait for a reader
		deliver.Close()
		for range received {
		}
	}()
	if err := deliver.Send(seek); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case event, ok := <-received:
			if !ok {
				return fmt.Errorf("the stream of %s has ended", p.URL())
			}
			if err := c.delivered(event, fn); err != nil {
				return err
			}
		}
	}
}

func (c *client) delivered(event any, fn func(*pb.DeliverResponse) error) error {
	switch event := event.(type) {
	case *dispatcher.DisconnectedEvent:
		return event.Err
	case *connection.Event:
		response, ok := event.Event.(*pb.DeliverResponse)
		if !ok {
			return fmt.Errorf("unexpected delivery %T", event.Event)
		}
		if s, ok := response.Type.(*pb.DeliverResponse_Status); ok {
			return fmt.Errorf("%s delivers no more: %s", event.SourceURL, common.Status_name[int32(s.Status)])
		}
		return fn(response)
	}
	return fmt.Errorf("unexpected delivery %T", event)
}
