package fabric

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"slices"
	"strings"
	"time"

	"github.com/hyperledger/fabric-protos-go/common"
	pb "github.com/hyperledger/fabric-protos-go/peer"
	contextapi "github.com/hyperledger/fabric-sdk-go/pkg/common/providers/context"
	"github.com/hyperledger/fabric-sdk-go/pkg/common/providers/fab"
	sdkcontext "github.com/hyperledger/fabric-sdk-go/pkg/context"
	"github.com/hyperledger/fabric-sdk-go/pkg/core/config"
	sdklog "github.com/hyperledger/fabric-sdk-go/pkg/core/logging/api"
	"github.com/hyperledger/fabric-sdk-go/pkg/fab/txn"
	"github.com/hyperledger/fabric-sdk-go/pkg/fabsdk"
	"github.com/hyperledger/fabric-sdk-go/pkg/fabsdk/factory/defcore"
)

// client is one identity on one channel, as the connection profile describes it.
type client struct {
	channel     string
	msp         string // of the identity
	identity    contextapi.Client
	connections *connections
	sdk         *fabsdk.FabricSDK
	peers       []*peer // the identity's organisation first
	orderers    []fab.Orderer
}

// peer is a peer of the channel with the uses that the profile allows.
type peer struct {
	fab.Peer
	config fab.ChannelPeer
}

// open reads the profile and the identity. It does not use the network.
func open(o Options) (*client, error) {
	c := &client{channel: o.Channel, connections: new(connections)}
	var err error
	c.sdk, err = fabsdk.New(config.FromFile(o.Profile),
		fabsdk.WithLoggerPkg(silence{}),
		fabsdk.WithCorePkg(factory{defcore.NewProviderFactory(), c.connections}))
	if err != nil {
		return nil, fmt.Errorf("fabric: connection profile %s: %w", o.Profile, err)
	}
	if err := c.load(o); err != nil {
		return nil, errors.Join(fmt.Errorf("fabric: connection profile %s: %w", o.Profile, err), c.close())
	}
	return c, nil
}

func (c *client) load(o Options) error {
	options := []fabsdk.ContextOption{fabsdk.WithUser(cmp.Or(o.User, defaultUser))}
	if o.Organisation != "" {
		options = append(options, fabsdk.WithOrg(o.Organisation))
	}
	var err error
	if c.identity, err = c.sdk.Context(options...)(); err != nil {
		return fmt.Errorf("identity %q: %w", cmp.Or(o.User, defaultUser), err)
	}
	c.msp = c.identity.Identifier().MSPID
	if err := c.loadPeers(); err != nil {
		return err
	}
	return c.loadOrderers()
}

func (c *client) loadPeers() error {
	configs := c.identity.EndpointConfig().ChannelPeers(c.channel)
	if len(configs) == 0 { // the profile says nothing about this channel: each peer serves it
		all := fab.PeerChannelConfig{EndorsingPeer: true, ChaincodeQuery: true, LedgerQuery: true, EventSource: true}
		for _, p := range c.identity.EndpointConfig().NetworkPeers() {
			configs = append(configs, fab.ChannelPeer{PeerChannelConfig: all, NetworkPeer: p})
		}
	}
	for _, config := range configs {
		p, err := c.identity.InfraProvider().CreatePeerFromConfig(&config.NetworkPeer)
		if err != nil {
			return fmt.Errorf("peer %s: %w", config.URL, err)
		}
		c.peers = append(c.peers, &peer{Peer: p, config: config})
	}
	for use, peers := range map[string][]*peer{
		"endorsingPeer": c.endorsers(), "chaincodeQuery": c.evaluators(), "ledgerQuery": c.archives(), "eventSource": c.sources(),
	} {
		if len(peers) == 0 {
			return fmt.Errorf("no peer of the channel %s has the role %s", c.channel, use)
		}
	}
	// The SDK gives them in the random order of a map.
	foreign := func(p *peer) int {
		if p.MSPID() == c.msp {
			return 0
		}
		return 1
	}
	slices.SortFunc(c.peers, func(a, b *peer) int {
		return cmp.Or(foreign(a)-foreign(b), strings.Compare(a.MSPID(), b.MSPID()), strings.Compare(a.URL(), b.URL()))
	})
	return nil
}

func (c *client) loadOrderers() error {
	configs := c.identity.EndpointConfig().ChannelOrderers(c.channel)
	if len(configs) == 0 {
		configs = c.identity.EndpointConfig().OrderersConfig()
	}
	for _, config := range configs {
		orderer, err := c.identity.InfraProvider().CreateOrdererFromConfig(&config)
		if err != nil {
			return fmt.Errorf("orderer %s: %w", config.URL, err)
		}
		c.orderers = append(c.orderers, orderer)
	}
	if len(c.orderers) == 0 {
		return errors.New("no orderers")
	}
	return nil
}

func (c *client) close() error {
	c.sdk.Close()
	return c.connections.close()
}

// which returns the peers that the profile allows for a use.
func (c *client) which(use func(fab.PeerChannelConfig) bool) []*peer {
	var peers []*peer
	for _, p := range c.peers {
		if use(p.config.PeerChannelConfig) {
			peers = append(peers, p)
		}
	}
	return peers
}

func (c *client) endorsers() []*peer {
	return c.which(func(p fab.PeerChannelConfig) bool { return p.EndorsingPeer })
}

func (c *client) evaluators() []*peer {
	return c.which(func(p fab.PeerChannelConfig) bool { return p.ChaincodeQuery })
}

func (c *client) archives() []*peer {
	return c.which(func(p fab.PeerChannelConfig) bool { return p.LedgerQuery })
}

func (c *client) sources() []*peer {
	return c.which(func(p fab.PeerChannelConfig) bool { return p.EventSource })
}

// organisations returns the MSPs of the profile's peers.
func (c *client) organisations() []string {
	var all []string
	for _, p := range c.peers {
		all = append(all, p.MSPID())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// request gives ctx what the SDK looks for in it, and an end.
func (c *client) request(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return sdkcontext.NewRequest(c.identity, sdkcontext.WithParent(ctx), sdkcontext.WithTimeout(timeout))
}

func (c *client) sign(message []byte) ([]byte, error) {
	signature, err := c.identity.SigningManager().Sign(message, c.identity.PrivateKey())
	if err != nil {
		return nil, fmt.Errorf("fabric: signing: %w", err)
	}
	return signature, nil
}

// proposal is a call of a chaincode that the client has signed.
type proposal struct {
	*fab.TransactionProposal
	request fab.ProcessProposalRequest
}

func (c *client) propose(chaincode, function string, args [][]byte) (*proposal, error) {
	header, err := txn.NewHeader(c.identity, c.channel)
	if err != nil {
		return nil, fmt.Errorf("fabric: %w", err)
	}
	p, err := txn.CreateChaincodeInvokeProposal(header, fab.ChaincodeInvokeRequest{ChaincodeID: chaincode, Fcn: function, Args: args})
	if err != nil {
		return nil, fmt.Errorf("fabric: %w", err)
	}
	message, err := marshal(p.Proposal)
	if err != nil {
		return nil, fmt.Errorf("fabric: encoding a proposal: %w", err)
	}
	signature, err := c.sign(message)
	if err != nil {
		return nil, err
	}
	signed := &pb.SignedProposal{ProposalBytes: message, Signature: signature}
	return &proposal{p, fab.ProcessProposalRequest{SignedProposal: signed}}, nil
}

// envelope makes the signed transaction of a proposal from the peers' equal answers.
func (c *client) envelope(p *proposal, answers []*fab.TransactionProposalResponse) (*fab.SignedEnvelope, error) {
	transaction, err := txn.New(fab.TransactionRequest{Proposal: p.TransactionProposal, ProposalResponses: answers})
	if err != nil {
		return nil, fmt.Errorf("fabric: %w", err)
	}
	header := new(common.Header)
	if err := unmarshal(p.Header, header); err != nil {
		return nil, fmt.Errorf("fabric: header of a proposal: %w", err)
	}
	data, err := marshal(transaction.Transaction)
	if err != nil {
		return nil, fmt.Errorf("fabric: encoding a transaction: %w", err)
	}
	payload, err := marshal(&common.Payload{Header: header, Data: data})
	if err != nil {
		return nil, fmt.Errorf("fabric: encoding a transaction: %w", err)
	}
	signature, err := c.sign(payload)
	if err != nil {
		return nil, err
	}
	return &fab.SignedEnvelope{Payload: payload, Signature: signature}, nil
}

// silence takes the SDK's log, of which a process has one. What matters in it comes back as an error, too.
type silence struct{}

func (silence) GetLogger(string) sdklog.Logger { return silent{log.New(io.Discard, "", 0)} }

// silent drops messages; those that end the process or the goroutine still do.
type silent struct{ *log.Logger }

func (silent) Debug(...interface{})          {}
func (silent) Debugf(string, ...interface{}) {}
func (silent) Debugln(...interface{})        {}
func (silent) Info(...interface{})           {}
func (silent) Infof(string, ...interface{})  {}
func (silent) Infoln(...interface{})         {}
func (silent) Warn(...interface{})           {}
func (silent) Warnf(string, ...interface{})  {}
func (silent) Warnln(...interface{})         {}
func (silent) Error(...interface{})          {}
func (silent) Errorf(string, ...interface{}) {}
func (silent) Errorln(...interface{})        {}
