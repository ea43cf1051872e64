package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	"cunzheng/chaincode"
)

// authority issues certificates for the loopback address.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, certificate}
}

// write puts the authority's certificate into a file.
func (a *authority) write(t *testing.T) string {
	t.Helper()
	return writePEM(t, "CERTIFICATE", a.certificate.Raw)
}

// pool holds the authority's certificate.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// issue returns the files of a new certificate and its key.
func (a *authority) issue(t *testing.T) (certificate, key string) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, own.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "CERTIFICATE", der), writePEM(t, "PRIVATE KEY", pkcs8)
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	certificate, key := ca.issue(t)
	address := start(t, "--tls-cert", certificate, "--tls-key", key, "--client-ca", ca.write(t))

	client := func(issuer *authority, roots *x509.CertPool) credentials.TransportCredentials {
		c := &tls.Config{RootCAs: roots}
		if issuer != nil {
			certificate, key := issuer.issue(t)
			pair, err := tls.LoadX509KeyPair(certificate, key)
			if err != nil {
				t.Fatal(err)
			}
			c.Certificates = []tls.Certificate{pair}
		}
		return credentials.NewTLS(c)
	}
	p := newPeer(t, address, client(ca, ca.pool()))
	_, err := p.Invoke(p.Owner(), chaincode.FuncLatest, []byte("log.example"))
	var refusal *chaincode.Error
	if !errors.As(err, &refusal) || refusal.Code != chaincode.LogUnknown {
		t.Errorf("the peer's own certificate: %v", err)
	}
	for name, c := range map[string]credentials.TransportCredentials{
		"in the clear":                   nil,
		"no certificate":                 client(nil, ca.pool()),
		"certificate of another issuer":  client(other, ca.pool()),
		"the server is not who it seems": client(ca, other.pool()),
	} {
		if _, err := connect(t, address, c); err == nil {
			t.Errorf("%s: connected", name)
		}
	}
}

func TestServeFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	ca := newAuthority(t)
	certificate, key := ca.issue(t)
	for name, args := range map[string][]string{
		"address in use":              {"--address", taken.Addr().String()},
		"key of another certificate":  {"--address", "127.0.0.1:0", "--tls-cert", ca.write(t), "--tls-key", key},
		"client CA missing":           {"--address", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key, "--client-ca", "missing.pem"},
		"client CA is no certificate": {"--address", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key, "--client-ca", key},
	} {
		var stderr bytes.Buffer
		code := run(t.Context(), append([]string{"--id", "cunzheng:1"}, args...), func(string) string { return "" }, io.Discard, &stderr)
		if code != exitError || !bytes.Contains(stderr.Bytes(), []byte("cunzheng-chaincode: ")) {
			t.Errorf("%s: exit code %d, %s", name, code, &stderr)
		}
	}
}
