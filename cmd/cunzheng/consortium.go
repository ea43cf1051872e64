package main

import (
	"context"
	"crypto"
	"net/url"

	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/ledger/anchor/directory"
	"cunzheng/ledger/anchor/fabric"
	"cunzheng/notary/consortium"
)

// membership is a node's part in a consortium: it publishes its own address and keys on the shared ledger, and finds the
// proofs of other nodes there.
type membership struct {
	*consortium.Consortium
	publisher *consortium.Publisher // nil if the node has no address that others could use
}

// join makes the node a member of the consortium on its channel, under the address at which the others reach it. It
// returns nil on the embedded ledger, which nobody else is on.
func (n *node) join(publicURL string) (*membership, error) {
	channel, ok := n.ledger.(*fabric.Ledger)
	if !ok {
		return nil, nil
	}
	members := directory.New(channel, channel.Organisation())
	self := directory.Node{
		Origin: n.config.Origin, Name: n.config.Organisation.Name,
		Office: consortium.OfficeCode(n.config.numberFormat()), URL: publicURL,
	}
	m := new(membership)
	var err error
	m.Consortium, err = consortium.New(consortium.Options{
		Directory: members, Node: self, Ledgers: n.ledgersToTrust,
		Logger: n.logger, Registerer: n.metrics, Alarm: n.alarm,
	})
	if err != nil {
		return nil, err
	}
	if !reachable(publicURL) {
		n.logger.Warn("this node is not published to the other members: its address is no place to reach it; set public_url in "+configFile, "address", publicURL)
		return m, nil
	}
	m.publisher, err = consortium.NewPublisher(consortium.PublisherOptions{
		Directory: members, Node: self, Holder: n.config.Organisation.ID, Trust: n.notary.Trust,
		Signer: func(r evidence.Role) (crypto.Signer, error) { return n.keys.Signer(keystore.Role(r)) },
		Logger: n.logger, Registerer: n.metrics,
	})
	return m, err
}

func (n *node) ledgersToTrust(context.Context) ([]evidence.TrustLedger, error) {
	trust, err := n.notary.Trust()
	if err != nil {
		return nil, err
	}
	return trust.Ledgers, nil
}

// run keeps the directory in step with the node until ctx ends. A log has to be introduced to the ledger before its node
// can be published, so that a first start may need a second attempt.
func (m *membership) run(ctx context.Context) {
	if m.publisher != nil {
		m.publisher.Run(ctx)
	}
	<-ctx.Done()
	m.Close()
}

// reachable reports whether an address names a host: a server that listens on all of them does not.
func reachable(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Hostname() != "" && u.Hostname() != "0.0.0.0" && u.Hostname() != "::"
}
