//go:build unix

package network

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"time"
)

// Lifetimes of what an authority issues. A certificate starts a little in the past, so that a machine whose clock is
// behind takes it, too.
const (
	authorityLifetime = 20 * 365 * 24 * time.Hour
	identityLifetime  = 10 * 365 * 24 * time.Hour
	clockSkew         = 10 * time.Minute
)

// identity is a key and its certificate, both as PEM.
type identity struct {
	certificate, key []byte
}

// authority issues certificates of one organisation. Fabric knows ECDSA P-256; upstream has no SM2.
type authority struct {
	identity
	parsed *x509.Certificate
	signer crypto.Signer
}

func newAuthority(o Organisation, commonName string, now time.Time) (*authority, error) {
	template := &x509.Certificate{
		Subject:               subject(o, commonName),
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(authorityLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	issued, parsed, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	return &authority{identity: issued, parsed: parsed, signer: key}, nil
}

// member issues a signing identity. Its role is the organisational unit by which Fabric tells administrators, peers,
// orderers and clients apart (NodeOUs).
func (a *authority) member(o Organisation, commonName, role string, now time.Time) (identity, error) {
	template := &x509.Certificate{
		Subject:               subject(o, commonName, role),
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(identityLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	return a.issue(template)
}

// server issues a TLS certificate for hosts. It serves as a client's, too: orderers and the peer's link to its
// chaincode authenticate both ways.
func (a *authority) server(o Organisation, commonName string, hosts []string, now time.Time) (identity, error) {
	template := &x509.Certificate{
		Subject:               subject(o, commonName),
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(identityLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return a.issue(template)
}

func (a *authority) issue(template *x509.Certificate) (identity, error) {
	key, err := newKey()
	if err != nil {
		return identity{}, err
	}
	issued, _, err := sign(template, a.parsed, key, a.signer)
	return issued, err
}

func subject(o Organisation, commonName string, units ...string) pkix.Name {
	return pkix.Name{Country: []string{"CN"}, Organization: []string{o.Title}, OrganizationalUnit: units, CommonName: commonName}
}

func newKey() (lowS, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return lowS{key}, err
}

// sign makes the certificate of key, signed by the issuer.
func sign(template, parent *x509.Certificate, key lowS, issuer crypto.Signer) (identity, *x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), issuer)
	if err != nil {
		return identity{}, nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return identity{}, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key.PrivateKey)
	if err != nil {
		return identity{}, nil, err
	}
	return identity{
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, parsed, nil
}

// lowS signs with ECDSA and, of the two signatures that are valid for a message, (r, s) and (r, n − s), gives the one
// with the smaller s. Fabric refuses the other in transactions and rewrites it in certificates; the MSP of
// fabric-sdk-go, on a current Go, then no longer recognises the certificate authority it came from.
type lowS struct{ *ecdsa.PrivateKey }

func (k lowS) Sign(random io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	der, err := k.PrivateKey.Sign(random, digest, options)
	if err != nil {
		return nil, err
	}
	var signature struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &signature); err != nil || len(rest) > 0 {
		return nil, errors.New("the key made a signature that is not DER")
	}
	order := k.Params().N
	if half := new(big.Int).Rsh(order, 1); signature.S.Cmp(half) > 0 {
		signature.S.Sub(order, signature.S)
	}
	return asn1.Marshal(signature)
}
