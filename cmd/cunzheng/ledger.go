package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cunzheng/crypto/sm2"
	"cunzheng/keystore"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/anchor/embedded"
	"cunzheng/ledger/anchor/fabric"
	"cunzheng/ledger/blockproof"
	"cunzheng/notary"
)

// pinnedFile is the config block of the Fabric channel that this node trusts.
const pinnedFile = "channel.block"

// followedFile says how far the node has followed the other logs on the ledger.
const followedFile = "followed.json"

const (
	firstContact = 30 * time.Second // how long a first start waits for the channel
	lastHead     = 10 * time.Second // how long a start waits for the last anchored head
)

// openLedger opens the ledger that the configuration names and refuses a log that is not the one it has anchored.
func (n *node) openLedger(ctx context.Context) error {
	var err error
	if n.config.Ledger.Kind == blockproof.KindFabric {
		err = n.openChannel(ctx)
	} else {
		err = n.openChain()
	}
	if err != nil {
		return err
	}
	if n.era, err = currentEra(n.dir, n.config.chainName(), n.ledger.Describe(), n.log); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lastHead)
	defer cancel()
	_, err = anchor.Compare(ctx, eraLog{n.log, n.era.Kind}, n.ledger)
	var contradiction *anchor.Contradiction
	if errors.As(err, &contradiction) {
		n.reportFork(ctx, contradiction)
		return withHint(fmt.Errorf("this log is not the one the ledger has anchored, and must not grow: %w", err),
			"was an old backup restored? restore the newest one; both heads are in the error: keep them")
	}
	if errors.Is(err, anchor.ErrUnavailable) {
		n.logger.Warn("the ledger does not answer; deposits are taken, and anchored when it does", "error", err)
	}
	return nil // a ledger that does not answer delays anchoring and stops nothing
}

// chainOptions are what the embedded ledger needs to be opened or checked.
func chainOptions(config Config, keys *keystore.Store) (embedded.Options, error) {
	signer, err := keys.Signer(keystore.RoleLedger)
	if err != nil {
		return embedded.Options{}, err
	}
	o := embedded.Options{Name: config.chainName(), Org: config.Organisation.ID, Signer: sm2.Verified(signer)}
	for _, k := range keys.Keys(keystore.RoleLedger) {
		o.Keys = append(o.Keys, k.Key)
	}
	return o, nil
}

// openChain opens the node's own chain, and makes it if the node was set up for another ledger.
func (n *node) openChain() error {
	o, err := chainOptions(n.config, n.keys)
	if err != nil {
		return err
	}
	o.Logger = n.logger
	path := filepath.Join(n.dir, chainDir)
	if err := n.createChain(path, o); err != nil {
		return err
	}
	chain, err := embedded.Open(path, o)
	if err != nil {
		return err
	}
	n.ledger = chain
	return nil
}

// createChain makes the chain if it never was: a chain that is missing must not come back empty.
func (n *node) createChain(path string, o embedded.Options) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if eras, err := readEras(filepath.Join(n.dir, erasFile)); err != nil || onceOn(eras, n.config.chainName()) {
		return nil // opening it will say what is wrong
	}
	return embedded.Create(path, o)
}

// openChannel joins the channel of a Fabric network. The first start pins its configuration; later ones hold the
// network to it.
func (n *node) openChannel(ctx context.Context) error {
	c := n.config.Ledger
	if c.Profile == "" {
		return withHint(errors.New("no connection profile for the Fabric channel"), "set ledger.profile in "+configFile+", or --fabric-profile FILE")
	}
	o := fabric.Options{
		Profile: within(n.dir, c.Profile), Channel: c.Channel, Chaincode: c.Chaincode,
		Organisation: c.Organisation, User: c.User, Logger: n.logger,
	}
	var err error
	if o.Config, err = n.pinned(); err != nil {
		return err
	}
	channel, err := fabric.Open(ctx, o)
	if err != nil {
		return withHint(err, "look at ledger.profile, ledger.organisation and ledger.user in "+configFile)
	}
	n.ledger = channel
	if o.Config == nil {
		if o.Config, err = n.pin(ctx, channel); err != nil {
			return err
		}
	}
	n.channel, err = blockproof.ParseFabricConfig(o.Config)
	return err
}

// pinned returns the config block that the operator or the first start pinned, or nil.
func (n *node) pinned() ([]byte, error) {
	path := filepath.Join(n.dir, pinnedFile)
	if n.config.Ledger.Genesis != "" {
		path = within(n.dir, n.config.Ledger.Genesis)
	}
	block, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && n.config.Ledger.Genesis == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the channel's pinned config block: %w", err)
	}
	return block, nil
}

// pin asks a peer for the channel's first block and keeps it.
func (n *node) pin(ctx context.Context, channel *fabric.Ledger) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, firstContact)
	defer cancel()
	blocks, err := channel.ConfigBlocks(ctx)
	if err != nil {
		return nil, withHint(fmt.Errorf("the channel cannot be reached, and no config block of it is pinned yet: %w", err),
			"start the network first, or set ledger.genesis to the channel's genesis block as the consortium published it")
	}
	return blocks[0], replaceFile(filepath.Join(n.dir, pinnedFile), blocks[0])
}

// trustLedgers describes, for trust files, each ledger on which the log has been anchored.
func (n *node) trustLedgers() []notary.Ledger {
	var ledgers []notary.Ledger
	if n.channel != nil {
		ledgers = append(ledgers, notary.Ledger{
			Kind: blockproof.KindFabric, Name: n.channel.Channel(), Operators: n.channel.Organisations(),
			Chaincode: n.config.Ledger.Chaincode, Configs: [][]byte{n.channel.Block()},
		})
	}
	if _, err := os.Stat(filepath.Join(n.dir, chainDir)); err == nil {
		ledgers = append(ledgers, notary.Ledger{
			Kind: blockproof.KindEmbedded, Name: n.config.chainName(), Operators: []string{n.config.Organisation.ID},
		})
	}
	return ledgers
}

// reportFork shows a fork that proves itself to all who follow the ledger. The worker does the same later on.
func (n *node) reportFork(ctx context.Context, c *anchor.Contradiction) {
	reporter, ok := n.ledger.(anchor.ForkReporter)
	if !ok || !c.Proves() {
		return
	}
	if err := reporter.ReportFork(ctx, n.config.Origin, c.Anchored.Note, c.Local.Note); err != nil {
		n.logger.Error("the fork of the log could not be filed on the ledger", "error", err)
	}
}

// follow watches all logs on a ledger that others share. One's own chain holds nobody else's.
func (n *node) follow() error {
	source, ok := n.ledger.(anchor.EventSource)
	if !ok || n.channel == nil {
		return nil
	}
	var err error
	n.follower, err = anchor.NewFollower(anchor.FollowerOptions{
		Ledger: source, Bookmark: anchor.FileBookmark(filepath.Join(n.dir, followedFile)),
		Alarm: n.alarm, Logger: n.logger, Registerer: n.metrics,
	})
	return err
}

// contradicted halts intake: whatever would be acknowledged now could not be anchored any more.
func (n *node) contradicted(err error) {
	n.alarm(err)
	n.log.Halt(err)
}

// ledgerLine tells the operator what the ledger is worth.
func ledgerLine(about anchor.Description) string {
	if about.Kind == blockproof.KindFabric {
		return fmt.Sprintf("ledger: Fabric channel %s, shared by %s", about.Name, strings.Join(about.Operators, ", "))
	}
	return "ledger: embedded, one organisation's own chain; a consortium is needed to prove anything against its operator"
}
