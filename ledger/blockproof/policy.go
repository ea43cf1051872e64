package blockproof

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Shapes of policies: common/policies.proto, msp/msp_principal.proto.
var (
	shapePolicy       = &shape{name: "Policy", open: true, fields: map[protowire.Number]fieldKind{1: number, 2: octets}}
	shapeMetaPolicy   = &shape{name: "ImplicitMetaPolicy", open: true, fields: map[protowire.Number]fieldKind{1: octets, 2: number}}
	shapeSignedPolicy = &shape{name: "SignaturePolicyEnvelope", open: true, fields: map[protowire.Number]fieldKind{1: number, 2: octets, 3: manyOctets}}
	shapeRule         = &shape{name: "SignaturePolicy", fields: map[protowire.Number]fieldKind{1: number, 2: octets}}
	shapeNOutOf       = &shape{name: "NOutOf", fields: map[protowire.Number]fieldKind{1: number, 2: manyOctets}}
	shapePrincipal    = &shape{name: "MSPPrincipal", fields: map[protowire.Number]fieldKind{1: number, 2: octets}}
	shapeRole         = &shape{name: "MSPRole", fields: map[protowire.Number]fieldKind{1: octets, 2: number}}
	shapeUnitOf       = &shape{name: "OrganizationUnit", fields: map[protowire.Number]fieldKind{1: octets, 2: octets, 3: octets}}
)

// Types of policies, rules of implicit policies, and classes of principals.
const (
	policySignature    = 1
	policyImplicitMeta = 3

	ruleAny      = 0
	ruleAll      = 1
	ruleMajority = 2

	principalRole     = 0
	principalUnit     = 1
	principalIdentity = 2
)

const (
	maxRules      = 256 // rules and principals of one policy
	maxRuleDepth  = 8
	maxSignatures = 256 // of one block, and endorsements of one transaction
)

// signaturePolicy demands signatures by certain principals.
type signaturePolicy struct {
	rule       *rule
	principals []principal
}

// rule is satisfied by a signature of a principal, or by n of further rules.
type rule struct {
	principal int // index; -1: n of rules
	n         int
	rules     []*rule
}

// principal says who may sign. One that this program does not know (anonymous or combined ones) nobody satisfies.
type principal struct {
	class  uint64
	msp    string
	role   role
	unit   string
	issuer []byte // of a unit: SHA-256 over the certificates of its authority's chain
	cert   []byte // of an identity: PEM
}

func parseSignaturePolicy(raw []byte) (*signaturePolicy, error) {
	m, err := shapeSignedPolicy.decode(raw)
	if err != nil {
		return nil, err
	}
	if len(m.all(3)) > maxRules {
		return nil, fmt.Errorf("%w: policy with %d principals", ErrInvalid, len(m.all(3)))
	}
	p := &signaturePolicy{}
	for _, raw := range m.all(3) {
		one, err := parsePrincipal(raw)
		if err != nil {
			return nil, err
		}
		p.principals = append(p.principals, one)
	}
	left := maxRules
	p.rule, err = p.parseRule(m.octets(2), maxRuleDepth, &left)
	return p, err
}

func (p *signaturePolicy) parseRule(raw []byte, depth int, left *int) (*rule, error) {
	*left--
	if depth == 0 || *left < 0 {
		return nil, fmt.Errorf("%w: policy with too many rules", ErrInvalid)
	}
	m, err := shapeRule.decode(raw)
	if err != nil {
		return nil, err
	}
	if m.has(1) == m.has(2) {
		return nil, fmt.Errorf("%w: policy with a rule of no kind", ErrInvalid)
	}
	if m.has(1) {
		if m.uint(1) >= uint64(len(p.principals)) {
			return nil, fmt.Errorf("%w: policy names a principal that it lacks", ErrInvalid)
		}
		return &rule{principal: int(m.uint(1))}, nil
	}
	n, err := shapeNOutOf.decode(m.octets(2))
	if err != nil {
		return nil, err
	}
	if n.uint(1) > math.MaxInt32 {
		return nil, fmt.Errorf("%w: policy demands a negative number of signatures", ErrInvalid)
	}
	r := &rule{principal: -1, n: int(n.uint(1))}
	for _, raw := range n.all(2) {
		one, err := p.parseRule(raw, depth-1, left)
		if err != nil {
			return nil, err
		}
		r.rules = append(r.rules, one)
	}
	return r, nil
}

func parsePrincipal(raw []byte) (principal, error) {
	m, err := shapePrincipal.decode(raw)
	if err != nil {
		return principal{}, err
	}
	p := principal{class: m.uint(1)}
	switch p.class {
	case principalRole:
		inner, err := shapeRole.decode(m.octets(2))
		if err != nil {
			return principal{}, err
		}
		p.role = role(inner.uint(2))
		p.msp, err = inner.text(1)
		return p, err
	case principalUnit:
		inner, err := shapeUnitOf.decode(m.octets(2))
		if err != nil {
			return principal{}, err
		}
		if p.msp, err = inner.text(1); err != nil {
			return principal{}, err
		}
		p.issuer = inner.octets(3)
		p.unit, err = inner.text(2)
		return p, err
	case principalIdentity:
		inner, err := shapeSerialized.decode(m.octets(2))
		if err != nil {
			return principal{}, err
		}
		p.cert = inner.octets(2)
		p.msp, err = inner.text(1)
		return p, err
	}
	return p, nil
}

func (p *principal) satisfied(id *identity) bool {
	if p.msp != id.msp.id {
		return false
	}
	switch p.class {
	case principalRole:
		return id.has(p.role)
	case principalUnit:
		return slices.Contains(id.cert.Subject.OrganizationalUnit, p.unit) && bytes.Equal(p.issuer, id.issuers[:])
	case principalIdentity:
		cert, err := parseCertificate(p.cert)
		return err == nil && sameCertificate(cert, id.cert)
	}
	return false
}

// evaluate returns those who satisfy the policy, or nil. Each counts for one principal (Fabric: cauthdsl). A policy
// that demands nobody's signature is never satisfied.
func (p *signaturePolicy) evaluate(ids []*identity) []*identity {
	used := make([]bool, len(ids))
	if !p.satisfied(p.rule, ids, used) {
		return nil
	}
	var signers []*identity
	for i, id := range ids {
		if used[i] {
			signers = append(signers, id)
		}
	}
	return signers
}

func (p *signaturePolicy) satisfied(r *rule, ids []*identity, used []bool) bool {
	if r.principal >= 0 {
		for i, id := range ids {
			if !used[i] && p.principals[r.principal].satisfied(id) {
				used[i] = true
				return true
			}
		}
		return false
	}
	count := 0
	for _, inner := range r.rules {
		attempt := slices.Clone(used)
		if p.satisfied(inner, ids, attempt) {
			count++
			copy(used, attempt)
		}
	}
	return count >= r.n
}

// endorsementPolicy is the policy of the channel's application group. It is either one signature policy, or counts the
// organisations whose own policy is satisfied.
type endorsementPolicy struct {
	single        *signaturePolicy
	organisations []organisationPolicy // sorted by name
	needed        int                  // of the organisations
}

type organisationPolicy struct {
	name   string           // of the organisation's group
	policy *signaturePolicy // nil: it has none, and is never satisfied
}

// evaluate returns those whose endorsements count.
func (p *endorsementPolicy) evaluate(ids []*identity) ([]*identity, error) {
	if p.single != nil {
		if signers := p.single.evaluate(ids); signers != nil {
			return signers, nil
		}
		return nil, fmt.Errorf("%w: the endorsements by %s do not satisfy the policy", ErrInvalid, names(ids))
	}
	var signers []*identity
	count := 0
	for _, o := range p.organisations {
		if o.policy == nil {
			continue
		}
		if s := o.policy.evaluate(ids); s != nil {
			count++
			signers = append(signers, s...)
		}
	}
	if count < p.needed {
		return nil, fmt.Errorf("%w: endorsed by too few organisations: %d of %d, %d needed (%s)", ErrInvalid, count, len(p.organisations), p.needed, names(signers))
	}
	return signers, nil
}

// names returns the organisations of some identities, sorted, each once.
func organisationsOf(ids []*identity) []string {
	var list []string
	for _, id := range ids {
		list = append(list, id.msp.id)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func names(ids []*identity) string {
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(organisationsOf(ids), ", ")
}
