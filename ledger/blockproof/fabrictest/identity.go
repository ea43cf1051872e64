// Package fabrictest makes channels of Hyperledger Fabric out of nothing: organisations with certificates, config
// blocks, transactions and blocks, signed as a real network signs them, and each part replaceable by a false one. Tests
// of verifiers use it where a real network cannot be made to lie.
//
// It encodes with Fabric's generated messages, so that what it makes does not share the errors of a decoder that was
// written by hand. These are of the second generation: no test that imports this package may link fabric-sdk-go.
package fabrictest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
)

// Period in which certificates are valid, unless a [Subject] says otherwise.
var (
	NotBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	NotAfter  = time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Identity is a certificate with its key.
type Identity struct {
	MSP  string
	Cert *x509.Certificate
	PEM  []byte
	Key  *ecdsa.PrivateKey
}

// Subject says what certificate to issue.
type Subject struct {
	Name                string
	Units               []string // organisational units: "peer", "client", "admin", "orderer"
	CA                  bool
	NotBefore, NotAfter time.Time      // zero: the package's
	Curve               elliptic.Curve // nil: P-256
	Key                 *ecdsa.PrivateKey
}

// Issue returns a new certificate by the authority, or a root if that is nil.
func Issue(authority *Identity, mspID string, s Subject) *Identity {
	if s.NotBefore.IsZero() {
		s.NotBefore = NotBefore
	}
	if s.NotAfter.IsZero() {
		s.NotAfter = NotAfter
	}
	if s.Curve == nil {
		s.Curve = elliptic.P256()
	}
	key := s.Key
	if key == nil {
		key = must(ecdsa.GenerateKey(s.Curve, rand.Reader))
	}
	template := &x509.Certificate{
		SerialNumber:          must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))),
		Subject:               pkix.Name{CommonName: s.Name, OrganizationalUnit: s.Units},
		NotBefore:             s.NotBefore,
		NotAfter:              s.NotAfter,
		BasicConstraintsValid: true,
		IsCA:                  s.CA,
		KeyUsage:              x509.KeyUsageDigitalSignature,
	}
	if s.CA {
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	parent, signer := template, key
	if authority != nil {
		parent, signer = authority.Cert, authority.Key
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer))
	return &Identity{
		MSP:  mspID,
		Cert: must(x509.ParseCertificate(der)),
		PEM:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  key,
	}
}

// RevocationList returns a list in PEM, signed by the authority.
func RevocationList(authority *Identity, revoked ...*Identity) []byte {
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: NotBefore, NextUpdate: NotAfter}
	for _, id := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: id.Cert.SerialNumber, RevocationTime: NotBefore})
	}
	der := must(x509.CreateRevocationList(rand.Reader, template, authority.Cert, authority.Key))
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// Serialized returns the identity as it stands in headers and endorsements.
func (id *Identity) Serialized() []byte {
	return marshal(&msp.SerializedIdentity{Mspid: id.MSP, IdBytes: id.PEM})
}

// Sign signs as Fabric does: ECDSA over SHA-256, s in the lower half.
func (id *Identity) Sign(message []byte) []byte { return id.sign(message, false) }

// SignHigh returns the other valid signature, whose s is in the upper half.
func (id *Identity) SignHigh(message []byte) []byte { return id.sign(message, true) }

func (id *Identity) sign(message []byte, high bool) []byte {
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, id.Key, digest[:])
	if err != nil {
		panic(err)
	}
	n := id.Key.Params().N
	if upper := s.Cmp(new(big.Int).Rsh(n, 1)) > 0; upper != high {
		s.Sub(n, s)
	}
	return must(asn1.Marshal(struct{ R, S *big.Int }{r, s}))
}

// must returns v. The calls of this package fail only if it is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
