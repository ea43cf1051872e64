package blockproof

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Shapes of a channel's configuration: common/configtx.proto, common/configuration.proto, orderer/configuration.proto.
var (
	shapeConfigEnvelope = &shape{name: "ConfigEnvelope", open: true, fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapeConfig         = &shape{name: "Config", open: true, fields: map[protowire.Number]fieldKind{1: number, 2: octets}}
	shapeGroup          = &shape{name: "ConfigGroup", open: true, fields: map[protowire.Number]fieldKind{1: number, 2: manyOctets, 3: manyOctets, 4: manyOctets, 5: octets}}
	shapeValue          = &shape{name: "ConfigValue", open: true, fields: map[protowire.Number]fieldKind{1: number, 2: octets, 3: octets}}
	shapeConfigPolicy   = &shape{name: "ConfigPolicy", open: true, fields: map[protowire.Number]fieldKind{1: number, 2: octets, 3: octets}}
	shapeConsensus      = &shape{name: "ConsensusType", open: true, fields: map[protowire.Number]fieldKind{1: octets}}
	shapeHashing        = &shape{name: "HashingAlgorithm", open: true, fields: map[protowire.Number]fieldKind{1: octets}}
	shapeOrderers       = &shape{name: "Orderers", open: true, fields: map[protowire.Number]fieldKind{1: manyOctets}}
	shapeConsenter      = &shape{name: "Consenter", open: true, fields: map[protowire.Number]fieldKind{1: number, 4: octets, 5: octets}}
)

// MaxFabricConfigSize is the greatest length of a config block in bytes. One of four organisations has about 40 KB.
const MaxFabricConfigSize = 1 << 20

const (
	maxOrganisations = 256 // of each group of a channel
	maxConsenters    = 256
)

// FabricConfig is the configuration of a Fabric channel as one of its config blocks holds it: the organisations with
// their root certificates, the orderers, and the endorsement policy. Immutable.
type FabricConfig struct {
	block       *fabricBlock
	channel     string
	sequence    uint64 // of configurations; each update adds one
	time        time.Time
	members     map[string]*membership // by MSP ID
	application []string               // MSP IDs, sorted
	consenters  []consenter
	policy      *endorsementPolicy
}

// consenter is one orderer that signs blocks.
type consenter struct {
	id   uint32
	msp  string
	cert []byte // PEM
}

// ParseFabricConfig reads a config block of a channel as peers and orderers hand it out, or as [FabricConfig.Block]
// returns it. It checks the form, and that the header goes with the data. It does not check the orderers' signatures:
// what to trust is the caller's to say.
//
// The consensus of the channel must be BFT (SmartBFT, Fabric 3): under another one a block carries the word of a single
// orderer. The error wraps [ErrInvalid].
func ParseFabricConfig(block []byte) (*FabricConfig, error) {
	if len(block) > MaxFabricConfigSize {
		return nil, fmt.Errorf("%w: config block of %d bytes, at most %d", ErrInvalid, len(block), MaxFabricConfigSize)
	}
	b, err := parseBlock(block)
	if err != nil {
		return nil, err
	}
	return newConfig(b)
}

func newConfig(b *fabricBlock) (*FabricConfig, error) {
	if len(b.envelopes) != 1 {
		return nil, fmt.Errorf("%w: block %d is not a config block", ErrInvalid, b.number)
	}
	e, err := parseEnvelope(b.envelopes[0])
	if err != nil {
		return nil, err
	}
	if e.kind != kindConfig || !validName(e.channel) {
		return nil, fmt.Errorf("%w: block %d is not a config block", ErrInvalid, b.number)
	}
	envelope, err := shapeConfigEnvelope.decode(e.data)
	if err != nil {
		return nil, err
	}
	config, err := shapeConfig.decode(envelope.octets(1))
	if err != nil {
		return nil, err
	}
	c := &FabricConfig{block: b, channel: e.channel, sequence: config.uint(1), time: e.time, members: make(map[string]*membership)}
	root, err := parseGroup(config.octets(2))
	if err != nil {
		return nil, err
	}
	if err := c.parseRoot(root); err != nil {
		return nil, fmt.Errorf("config block %d of channel %q: %w", b.number, c.channel, err)
	}
	return c, nil
}

// Channel returns the name of the channel.
func (c *FabricConfig) Channel() string { return c.channel }

// Number returns the number of the config block.
func (c *FabricConfig) Number() uint64 { return c.block.number }

// Hash returns the hash of the config block's header: SHA-256, by which every member of the channel knows the block.
func (c *FabricConfig) Hash() [sha256.Size]byte { return c.block.hash() }

// Organisations returns the MSP IDs of the application group's organisations, sorted. These endorse.
func (c *FabricConfig) Organisations() []string { return slices.Clone(c.application) }

// Consenters returns the MSP ID of each orderer, in the order of the configuration.
func (c *FabricConfig) Consenters() []string {
	list := make([]string, len(c.consenters))
	for i, o := range c.consenters {
		list[i] = o.msp
	}
	return list
}

// Quorum returns how many orderers must sign a block (Fabric: policies.ComputeBFTQuorum): with n orderers of which
// f = (n-1)/3 may be faulty, half of n+f+1, rounded up. That is 2f+1 if n = 3f+1.
func (c *FabricConfig) Quorum() int {
	n := len(c.consenters)
	f := (n - 1) / 3
	return (n + f + 2) / 2
}

// Block returns the config block without what nobody signs: it is the same whoever handed out the block, but for the
// set of orderers' signatures.
func (c *FabricConfig) Block() []byte { return c.block.encode() }

// group is a common.ConfigGroup with its members not yet decoded.
type group struct {
	groups, values, policies map[string][]byte
}

func parseGroup(raw []byte) (*group, error) {
	m, err := shapeGroup.decode(raw)
	if err != nil {
		return nil, err
	}
	g := &group{}
	if g.groups, err = m.entries(2); err != nil {
		return nil, err
	}
	if g.values, err = m.entries(3); err != nil {
		return nil, err
	}
	g.policies, err = m.entries(4)
	return g, err
}

// child returns the group of that name.
func (g *group) child(name string) (*group, error) {
	raw, ok := g.groups[name]
	if !ok {
		return nil, fmt.Errorf("%w: no group %s", ErrInvalid, name)
	}
	return parseGroup(raw)
}

// value returns the decoded value of that name.
func (g *group) value(name string, s *shape) (*message, error) {
	raw, err := g.raw(name)
	if err != nil {
		return nil, err
	}
	return s.decode(raw)
}

func (g *group) raw(name string) ([]byte, error) {
	entry, ok := g.values[name]
	if !ok {
		return nil, fmt.Errorf("%w: no value %s", ErrInvalid, name)
	}
	m, err := shapeValue.decode(entry)
	if err != nil {
		return nil, err
	}
	return m.octets(2), nil
}

// policy returns type and value of the policy of that name, or 0 if there is none.
func (g *group) policy(name string) (uint64, []byte, error) {
	entry, ok := g.policies[name]
	if !ok {
		return 0, nil, nil
	}
	m, err := shapeConfigPolicy.decode(entry)
	if err != nil {
		return 0, nil, err
	}
	p, err := shapePolicy.decode(m.octets(2))
	if err != nil {
		return 0, nil, err
	}
	return p.uint(1), p.octets(2), nil
}

func (c *FabricConfig) parseRoot(root *group) error {
	hashing, err := root.value("HashingAlgorithm", shapeHashing)
	if err != nil {
		return err
	}
	if name := hashing.octets(1); string(name) != "SHA256" {
		return fmt.Errorf("%w: hash function %.80q", ErrInvalid, name)
	}
	orderer, err := root.child("Orderer")
	if err != nil {
		return err
	}
	application, err := root.child("Application")
	if err != nil {
		return err
	}
	if _, err := c.parseOrganisations(orderer); err != nil {
		return err
	}
	organisations, err := c.parseOrganisations(application)
	if err != nil {
		return err
	}
	for _, o := range organisations {
		c.application = append(c.application, o.msp)
	}
	slices.Sort(c.application)
	if err := c.parseConsenters(orderer); err != nil {
		return err
	}
	c.policy, err = parseEndorsement(application, organisations)
	return err
}

// organisation is one group below the orderer or application group.
type organisation struct {
	name  string
	msp   string
	group *group
}

func (c *FabricConfig) parseOrganisations(parent *group) ([]organisation, error) {
	if n := len(parent.groups); n == 0 || n > maxOrganisations {
		return nil, fmt.Errorf("%w: %d organisations", ErrInvalid, n)
	}
	var list []organisation
	for _, name := range slices.Sorted(maps.Keys(parent.groups)) {
		g, err := parent.child(name)
		if err != nil {
			return nil, err
		}
		raw, err := g.raw("MSP")
		if err != nil {
			return nil, fmt.Errorf("organisation %.80q: %w", name, err)
		}
		s, err := parseMembership(raw)
		if err != nil {
			return nil, fmt.Errorf("organisation %.80q: %w", name, err)
		}
		if known := c.members[s.id]; known != nil && !bytes.Equal(known.encoded, s.encoded) {
			return nil, fmt.Errorf("%w: two memberships are called %q", ErrInvalid, s.id)
		}
		if slices.ContainsFunc(list, func(o organisation) bool { return o.msp == s.id }) {
			return nil, fmt.Errorf("%w: two organisations share the membership %q", ErrInvalid, s.id)
		}
		c.members[s.id] = s
		list = append(list, organisation{name: name, msp: s.id, group: g})
	}
	return list, nil
}

func (c *FabricConfig) parseConsenters(orderer *group) error {
	consensus, err := orderer.value("ConsensusType", shapeConsensus)
	if err != nil {
		return err
	}
	if kind := consensus.octets(1); string(kind) != "BFT" {
		return fmt.Errorf("%w: consensus %.80q is not BFT", ErrInvalid, kind)
	}
	m, err := orderer.value("Orderers", shapeOrderers)
	if err != nil {
		return err
	}
	if n := len(m.all(1)); n == 0 || n > maxConsenters {
		return fmt.Errorf("%w: %d orderers", ErrInvalid, n)
	}
	for _, raw := range m.all(1) {
		one, err := shapeConsenter.decode(raw)
		if err != nil {
			return err
		}
		o := consenter{id: uint32(one.uint(1)), cert: one.octets(5)}
		if o.msp, err = one.text(4); err != nil {
			return err
		}
		if c.members[o.msp] == nil {
			return fmt.Errorf("%w: orderer of the unknown organisation %.80q", ErrInvalid, o.msp)
		}
		if uint64(o.id) != one.uint(1) || c.consenter(o.id) != nil {
			return fmt.Errorf("%w: orderer %d is there twice", ErrInvalid, one.uint(1))
		}
		c.consenters = append(c.consenters, o)
	}
	return nil
}

func (c *FabricConfig) consenter(id uint32) *consenter {
	i := slices.IndexFunc(c.consenters, func(o consenter) bool { return o.id == id })
	if i < 0 {
		return nil
	}
	return &c.consenters[i]
}

// parseEndorsement reads the policy Endorsement of the application group.
func parseEndorsement(application *group, organisations []organisation) (*endorsementPolicy, error) {
	const name = "Endorsement"
	kind, raw, err := application.policy(name)
	if err != nil {
		return nil, err
	}
	switch kind {
	case policySignature:
		p, err := parseSignaturePolicy(raw)
		return &endorsementPolicy{single: p}, err
	case policyImplicitMeta:
		return parseImplicitMeta(raw, organisations)
	}
	return nil, fmt.Errorf("%w: the channel has no endorsement policy", ErrInvalid)
}

func parseImplicitMeta(raw []byte, organisations []organisation) (*endorsementPolicy, error) {
	m, err := shapeMetaPolicy.decode(raw)
	if err != nil {
		return nil, err
	}
	sub, err := m.text(1)
	if err != nil {
		return nil, err
	}
	p := &endorsementPolicy{}
	switch n := len(organisations); m.uint(2) {
	case ruleAny:
		p.needed = 1
	case ruleAll:
		p.needed = n
	case ruleMajority:
		p.needed = n/2 + 1
	default:
		return nil, fmt.Errorf("%w: endorsement policy with the unknown rule %d", ErrInvalid, m.uint(2))
	}
	for _, o := range organisations {
		kind, raw, err := o.group.policy(sub)
		if err != nil {
			return nil, err
		}
		one := organisationPolicy{name: o.name}
		if kind == policySignature {
			if one.policy, err = parseSignaturePolicy(raw); err != nil {
				return nil, err
			}
		}
		p.organisations = append(p.organisations, one)
	}
	return p, nil
}

// identify returns the signer of something as a member of one of the channel's organisations.
func (c *FabricConfig) identify(serialized []byte, at time.Time) (*identity, error) {
	m, err := shapeSerialized.decode(serialized)
	if err != nil {
		return nil, err
	}
	name, err := m.text(1)
	if err != nil {
		return nil, err
	}
	s := c.members[name]
	if s == nil {
		return nil, fmt.Errorf("%w: %.80q is no organisation of the channel", ErrInvalid, name)
	}
	return s.member(m.octets(2), at)
}

// verifyOrderers checks that a quorum of the orderers signed the block, and returns those who did. Every signature must
// count: a false one, or a second one by the same orderer, was not there when the block was made.
func (c *FabricConfig) verifyOrderers(b *fabricBlock, at time.Time) ([]*identity, error) {
	if len(b.signatures) > maxSignatures {
		return nil, fmt.Errorf("%w: block %d has %d signatures", ErrInvalid, b.number, len(b.signatures))
	}
	var signers []*identity
	for _, s := range b.signatures {
		o := c.consenter(s.identifier)
		if o == nil {
			return nil, fmt.Errorf("%w: block %d is signed by %d, which is no orderer of the channel", ErrInvalid, b.number, s.identifier)
		}
		id, err := c.members[o.msp].member(o.cert, at)
		if err != nil {
			return nil, fmt.Errorf("block %d, orderer %d: %w", b.number, o.id, err)
		}
		if slices.ContainsFunc(signers, id.sameKey) {
			return nil, fmt.Errorf("%w: block %d is signed twice by orderer %d", ErrInvalid, b.number, o.id)
		}
		if err := id.verify(b.message(s), s.signature); err != nil {
			return nil, fmt.Errorf("block %d, orderer %d: %w", b.number, o.id, err)
		}
		signers = append(signers, id)
	}
	if len(signers) < c.Quorum() {
		return nil, fmt.Errorf("%w: block %d is signed by too few orderers: %d of %d, %d needed", ErrInvalid, b.number, len(signers), len(c.consenters), c.Quorum())
	}
	return signers, nil
}

// follow checks that next is the configuration that came after c, by the word of c's orderers.
func (c *FabricConfig) follow(next *FabricConfig) error {
	if next.channel != c.channel {
		return fmt.Errorf("%w: config block %d is of channel %.80q, not %.80q", ErrInvalid, next.Number(), next.channel, c.channel)
	}
	if next.Number() <= c.Number() || next.sequence != c.sequence+1 || next.block.lastConfig != next.Number() {
		return fmt.Errorf("%w: config block %d (configuration %d) does not follow %d (configuration %d)", ErrInvalid, next.Number(), next.sequence, c.Number(), c.sequence)
	}
	_, err := c.verifyOrderers(next.block, next.time)
	return err
}
