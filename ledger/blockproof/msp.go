package blockproof

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"google.golang.org/protobuf/encoding/protowire"
)

// Shapes of an organisation's membership: msp/msp_config.proto, msp/identities.proto.
var (
	shapeMSP        = &shape{name: "MSPConfig", open: true, fields: map[protowire.Number]fieldKind{1: number, 2: octets}}
	shapeFabricMSP  = &shape{name: "FabricMSPConfig", open: true, fields: map[protowire.Number]fieldKind{1: octets, 2: manyOctets, 3: manyOctets, 4: manyOctets, 5: manyOctets, 7: manyOctets, 11: octets}}
	shapeOU         = &shape{name: "FabricOUIdentifier", open: true, fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapeNodeOUs    = &shape{name: "FabricNodeOUs", open: true, fields: map[protowire.Number]fieldKind{1: number, 2: octets, 3: octets, 4: octets, 5: octets}}
	shapeSerialized = &shape{name: "SerializedIdentity", fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
)

// mspX509 is the type of a membership service that rests on X.509 certificates. The other one, Idemix, cannot endorse.
const mspX509 = 0

// maxCertificates bounds each list of certificates of one organisation.
const maxCertificates = 64

// membership is what a channel's configuration says of one organisation: who belongs to it, and in which role
// (Fabric: package msp, MSP version 1.4.3 and later).
type membership struct {
	id                   string
	encoded              []byte
	roots, intermediates *x509.CertPool
	inner                []*x509.Certificate // authorities that issued another one of the organisation: they issue no members
	admins               []*x509.Certificate
	revoked              []*x509.RevocationList
	units                []unit // if any, a member has one of them
	enforced             bool   // a member has exactly one of the four roles, told by its organisational unit
	roles                [roles]*unit
}

// unit is an organisational unit in the subject of a certificate.
type unit struct {
	name      string
	authority *x509.Certificate // that must have issued the certificate; nil: any of the organisation
}

// role is a member's role, with the values of common.MSPRole.
type role uint64

const (
	roleMember role = iota
	roleAdmin
	roleClient
	rolePeer
	roleOrderer
	roles // how many there are
)

// parseMembership reads an msp.MSPConfig.
func parseMembership(raw []byte) (*membership, error) {
	m, err := shapeMSP.decode(raw)
	if err != nil {
		return nil, err
	}
	if m.uint(1) != mspX509 {
		return nil, fmt.Errorf("%w: membership of type %d", ErrInvalid, m.uint(1))
	}
	c, err := shapeFabricMSP.decode(m.octets(2))
	if err != nil {
		return nil, err
	}
	s := &membership{encoded: raw, roots: x509.NewCertPool(), intermediates: x509.NewCertPool()}
	if s.id, err = c.text(1); err != nil {
		return nil, err
	}
	if !validName(s.id) {
		return nil, fmt.Errorf("%w: name of a membership", ErrInvalid)
	}
	if err := s.parse(c); err != nil {
		return nil, fmt.Errorf("%s: %w", s.id, err)
	}
	return s, nil
}

func (s *membership) parse(c *message) error {
	roots, err := parseCertificates(c.all(2))
	if err != nil {
		return err
	}
	if len(roots) == 0 {
		return fmt.Errorf("%w: no root certificate", ErrInvalid)
	}
	intermediates, err := parseCertificates(c.all(3))
	if err != nil {
		return err
	}
	if s.admins, err = parseCertificates(c.all(4)); err != nil {
		return err
	}
	for _, root := range roots {
		s.roots.AddCert(root)
	}
	for _, ca := range intermediates {
		s.intermediates.AddCert(ca)
	}
	for _, ca := range intermediates {
		chain, err := s.chain(ca, ca.NotBefore.Add(time.Second)) // as Fabric does: the past validity of an authority is not in question
		if err != nil {
			return err
		}
		s.inner = append(s.inner, chain[1:]...)
	}
	if err := s.parseRevoked(c.all(5)); err != nil {
		return err
	}
	for _, raw := range c.all(7) {
		u, err := parseUnit(raw)
		if err != nil {
			return err
		}
		s.units = append(s.units, u)
	}
	return s.parseRoles(c.octets(11))
}

func (s *membership) parseRevoked(lists [][]byte) error {
	if len(lists) > maxCertificates {
		return fmt.Errorf("%w: %d revocation lists", ErrInvalid, len(lists))
	}
	for _, text := range lists {
		block, _ := pem.Decode(text)
		if block == nil {
			return fmt.Errorf("%w: revocation list is not PEM", ErrInvalid)
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return fmt.Errorf("%w: revocation list: %w", ErrInvalid, err)
		}
		s.revoked = append(s.revoked, list)
	}
	return nil
}

func (s *membership) parseRoles(raw []byte) error {
	m, err := shapeNodeOUs.decode(raw)
	if err != nil {
		return err
	}
	s.enforced = m.uint(1) != 0
	for num := protowire.Number(2); num <= 5; num++ {
		r := map[protowire.Number]role{2: roleClient, 3: rolePeer, 4: roleAdmin, 5: roleOrderer}[num]
		if !s.enforced || !m.has(num) {
			continue
		}
		u, err := parseUnit(m.octets(num))
		if err != nil {
			return err
		}
		s.roles[r] = &u
	}
	return nil
}

func parseUnit(raw []byte) (unit, error) {
	m, err := shapeOU.decode(raw)
	if err != nil {
		return unit{}, err
	}
	u := unit{}
	if u.name, err = m.text(2); err != nil {
		return unit{}, err
	}
	if len(m.octets(1)) > 0 {
		if u.authority, err = parseCertificate(m.octets(1)); err != nil {
			return unit{}, err
		}
	}
	return u, nil
}

func parseCertificates(list [][]byte) ([]*x509.Certificate, error) {
	if len(list) > maxCertificates {
		return nil, fmt.Errorf("%w: %d certificates in one list", ErrInvalid, len(list))
	}
	var certs []*x509.Certificate
	for _, text := range list {
		cert, err := parseCertificate(text)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

// parseCertificate reads one certificate in PEM with nothing behind it.
func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.Trim(rest, " \t\r\n")) > 0 {
		return nil, fmt.Errorf("%w: certificate is not PEM", ErrInvalid)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: certificate: %w", ErrInvalid, err)
	}
	return cert, nil
}

// sameCertificate compares what the authority signed. Fabric rewrites the signatures of its CA certificates to low-S
// in some places and not in others, so that the signature itself may differ.
func sameCertificate(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawTBSCertificate, b.RawTBSCertificate)
}

// chain returns the one path from cert to a root of the organisation, all of whose certificates are valid at that time.
func (s *membership) chain(cert *x509.Certificate, at time.Time) ([]*x509.Certificate, error) {
	chains, err := cert.Verify(x509.VerifyOptions{
		Roots:         s.roots,
		Intermediates: s.intermediates,
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	// The words of package x509 are left out: they change with Go, and reports are compared byte for byte.
	invalid := x509.CertificateInvalidError{}
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return nil, errNotMember(s.id, "a certificate of the chain is not valid at "+at.UTC().Format(timeFormat))
	case err != nil:
		return nil, errNotMember(s.id, "the certificate has no chain to a root")
	case len(chains) != 1:
		return nil, errNotMember(s.id, fmt.Sprintf("the certificate has %d chains", len(chains)))
	}
	return chains[0], nil
}

// identity is a member of an organisation at a time.
type identity struct {
	msp     *membership
	cert    *x509.Certificate
	issuer  *x509.Certificate
	issuers [sha256.Size]byte // hash over the chain without the certificate itself
}

// errNotMember says why somebody does not count as a member.
func errNotMember(id, why string) error { return fmt.Errorf("%w: %s: %s", ErrInvalid, id, why) }

// member returns the holder of a certificate as a member of the organisation.
func (s *membership) member(text []byte, at time.Time) (*identity, error) {
	cert, err := parseCertificate(text)
	if err != nil {
		return nil, err
	}
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, errNotMember(s.id, "the key is not one of ECDSA P-256")
	}
	if cert.IsCA {
		return nil, errNotMember(s.id, "the certificate is that of an authority")
	}
	chain, err := s.chain(cert, at)
	if err != nil {
		return nil, err
	}
	if len(chain) < 2 {
		return nil, errNotMember(s.id, "the certificate is a root")
	}
	if slices.ContainsFunc(s.inner, func(ca *x509.Certificate) bool { return sameCertificate(ca, chain[1]) }) {
		return nil, errNotMember(s.id, "the issuer is not one of members")
	}
	if s.isRevoked(chain) {
		return nil, errNotMember(s.id, "the certificate is revoked")
	}
	id := &identity{msp: s, cert: cert, issuer: chain[1], issuers: hashChain(chain[1:])}
	if err := s.checkUnits(id); err != nil {
		return nil, err
	}
	return id, nil
}

func hashChain(chain []*x509.Certificate) [sha256.Size]byte {
	hash := sha256.New()
	for _, cert := range chain {
		hash.Write(cert.Raw)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

func (s *membership) isRevoked(chain []*x509.Certificate) bool {
	for i, issuer := range chain[1:] {
		for _, list := range s.revoked {
			listed := slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
				return e.SerialNumber.Cmp(chain[i].SerialNumber) == 0
			})
			if listed && bytes.Equal(list.AuthorityKeyId, issuer.SubjectKeyId) &&
				issuer.CheckSignature(list.SignatureAlgorithm, list.RawTBSRevocationList, list.Signature) == nil {
				return true
			}
		}
	}
	return false
}

func (s *membership) checkUnits(id *identity) error {
	if len(s.units) > 0 && !slices.ContainsFunc(s.units, id.in) {
		return errNotMember(s.id, "the certificate has none of the organisational units of members")
	}
	if !s.enforced {
		return nil
	}
	count := 0
	for _, name := range id.cert.Subject.OrganizationalUnit {
		i := slices.IndexFunc(s.roles[:], func(u *unit) bool { return u != nil && u.name == name })
		if i < 0 {
			continue
		}
		if !id.in(*s.roles[i]) {
			return errNotMember(s.id, "the certificate's role was given by another authority")
		}
		count++
	}
	if count != 1 {
		return errNotMember(s.id, fmt.Sprintf("the certificate has %d roles", count))
	}
	return nil
}

// in reports whether the certificate bears the organisational unit, given by the right authority.
func (id *identity) in(u unit) bool {
	return slices.Contains(id.cert.Subject.OrganizationalUnit, u.name) && (u.authority == nil || sameCertificate(u.authority, id.issuer))
}

// has reports whether a valid member has the role.
func (id *identity) has(r role) bool {
	switch r {
	case roleMember:
		return true
	case roleAdmin:
		if slices.ContainsFunc(id.msp.admins, func(c *x509.Certificate) bool { return sameCertificate(c, id.cert) }) {
			return true
		}
	}
	if r >= roles {
		return false
	}
	u := id.msp.roles[r]
	return u != nil && slices.Contains(id.cert.Subject.OrganizationalUnit, u.name)
}

// sameKey reports whether two identities hold the same key: whoever signs twice counts once.
func (id *identity) sameKey(other *identity) bool {
	return bytes.Equal(id.cert.RawSubjectPublicKeyInfo, other.cert.RawSubjectPublicKeyInfo)
}

// verify checks an ECDSA signature over SHA-256 of the message in Fabric's form: DER with s in the lower half, so that
// nobody can make a second one from it.
func (id *identity) verify(message, signature []byte) error {
	key := id.cert.PublicKey.(*ecdsa.PublicKey)
	if !lowS(key, signature) {
		return fmt.Errorf("%w: %s: signature is not in low-S form", ErrInvalid, id.msp.id)
	}
	digest := sha256.Sum256(message)
	if !ecdsa.VerifyASN1(key, digest[:], signature) {
		return fmt.Errorf("%w: %s: signature does not verify", ErrInvalid, id.msp.id)
	}
	return nil
}

func lowS(key *ecdsa.PublicKey, signature []byte) bool {
	var inner cryptobyte.String
	r, s := new(big.Int), new(big.Int)
	input := cryptobyte.String(signature)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() || !inner.ReadASN1Integer(r) || !inner.ReadASN1Integer(s) || !inner.Empty() {
		return false
	}
	half := new(big.Int).Rsh(key.Params().N, 1)
	return s.Sign() > 0 && s.Cmp(half) <= 0
}
