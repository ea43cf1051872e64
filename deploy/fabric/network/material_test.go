//go:build unix

package network

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

func isLowS(t *testing.T, der []byte) bool {
	t.Helper()
	var signature struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &signature); err != nil || len(rest) > 0 {
		t.Fatalf("not a signature: %v", err)
	}
	return signature.S.Cmp(new(big.Int).Rsh(elliptic.P256().Params().N, 1)) <= 0
}

// TestLowS: of signatures that were not normalised, half would be high.
func TestLowS(t *testing.T) {
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 64 {
		digest := sha256.Sum256([]byte{byte(i)})
		signature, err := key.Sign(rand.Reader, digest[:], nil)
		if err != nil {
			t.Fatal(err)
		}
		if !isLowS(t, signature) || !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
			t.Fatalf("signature %d is high-S or invalid", i)
		}
	}
}

func issued(t *testing.T) (layout, Consortium) {
	t.Helper()
	l, c := layout(t.TempDir()), Default(7050)
	c.Organisations[1].Peer.Host = "peer.bureau.example.cn"
	made, err := l.issueAll(c, time.Now())
	if err != nil || !made {
		t.Fatalf("issueAll: %v, %v", made, err)
	}
	return l, c
}

func readCertificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 {
		t.Fatalf("%s holds not exactly one certificate", path)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// TestEveryCertificateIsLowS walks the whole folder: no kind of certificate is forgotten.
func TestEveryCertificateIsLowS(t *testing.T) {
	l, _ := issued(t)
	certificates := 0
	err := filepath.WalkDir(string(l), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		if name := entry.Name(); name != authorityFile && name != certificateFile {
			return nil
		}
		certificates++
		if !isLowS(t, readCertificate(t, path).Signature) {
			t.Errorf("%s has a high-S signature", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if certificates < 4*10 {
		t.Errorf("only %d certificates found", certificates)
	}
}

func TestIdentitiesPlayTheirRoles(t *testing.T) {
	l, c := issued(t)
	for _, o := range c.Organisations {
		roots := x509.NewCertPool()
		roots.AddCert(readCertificate(t, filepath.Join(l.msp(o), rootsDir, authorityFile)))
		for role, msp := range map[string]string{
			"orderer": l.orderer(o, "msp"), "peer": l.peer(o, "msp"), "admin": l.user(o, adminUser), "client": l.user(o, clientUser),
		} {
			certificate := readCertificate(t, signingCertificate(msp))
			if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots}); err != nil {
				t.Errorf("%s of %s: %v", role, o.ID, err)
			}
			if diff := cmp.Diff([]string{role}, certificate.Subject.OrganizationalUnit); diff != "" {
				t.Errorf("units of the %s of %s:\n%s", role, o.ID, diff)
			}
			if diff := cmp.Diff([]string{o.Title}, certificate.Subject.Organization); diff != "" {
				t.Errorf("organisation of the %s of %s:\n%s", role, o.ID, diff)
			}
			checkKey(t, signingKey(msp), certificate)
		}
		if found, err := filepath.Glob(filepath.Join(l.msp(o), keyDir, "*")); err != nil || len(found) > 0 {
			t.Errorf("the public MSP of %s has keys: %v %v", o.ID, found, err)
		}
	}
}

func TestServersAreWhoTheirClientsCall(t *testing.T) {
	l, c := issued(t)
	for _, o := range c.Organisations {
		roots := x509.NewCertPool()
		roots.AddCert(readCertificate(t, l.tlsRoot(o)))
		for dir, hosts := range map[string][]string{
			l.orderer(o, "tls"):   {o.Orderer.Host, "localhost"},
			l.peer(o, "tls"):      {o.Peer.Host, "localhost", loopback},
			l.chaincode(o, "tls"): {loopback},
		} {
			certificate := readCertificate(t, filepath.Join(dir, certificateFile))
			for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
				if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
					t.Errorf("%s: %v", dir, err)
				}
			}
			for _, host := range hosts {
				if err := certificate.VerifyHostname(host); err != nil {
					t.Errorf("%s: %v", dir, err)
				}
			}
			checkKey(t, filepath.Join(dir, keyFile), certificate)
		}
	}
}

func checkKey(t *testing.T, path string, certificate *x509.Certificate) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !key.(*ecdsa.PrivateKey).PublicKey.Equal(certificate.PublicKey) {
		t.Errorf("%s is not the key of its certificate", path)
	}
}

// TestIdentitiesAreIssuedOnce: a second run, and one after an interruption, keep or complete what there is.
func TestIdentitiesAreIssuedOnce(t *testing.T) {
	l, c := issued(t)
	before, err := os.ReadFile(l.tlsRoot(c.Organisations[0]))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.issueAll(c, time.Now()); again || err != nil {
		t.Errorf("issued again: %v, %v", again, err)
	}
	after, err := os.ReadFile(l.tlsRoot(c.Organisations[0]))
	if err != nil || string(after) != string(before) {
		t.Errorf("the authority changed: %v", err)
	}

	interrupted := layout(t.TempDir())
	if err := layout(interrupted.join("draft")).issue(c.Organisations[0], time.Now()); err != nil {
		t.Fatal(err)
	}
	if made, err := interrupted.issueAll(c, time.Now()); !made || err != nil {
		t.Fatalf("after an interruption: %v, %v", made, err)
	}
	if _, err := os.Stat(interrupted.join("draft")); !os.IsNotExist(err) {
		t.Errorf("the draft is still there: %v", err)
	}
}

// TestConfigurationQuotes: the folder's name goes into YAML files, where it must stay one string.
func TestConfigurationQuotes(t *testing.T) {
	l, c := layout(filepath.Join(t.TempDir(), `a "b": {c} # 存证`)), Default(7050)
	if _, err := l.issueAll(c, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := l.configure(c); err != nil {
		t.Fatal(err)
	}
	o := c.Organisations[0]
	var core struct {
		Peer struct {
			FileSystemPath string `yaml:"fileSystemPath"`
		}
	}
	parseYAML(t, l.peer(o, "core.yaml"), &core)
	if want := l.peer(o, "data"); core.Peer.FileSystemPath != want {
		t.Errorf("fileSystemPath is %q, want %q", core.Peer.FileSystemPath, want)
	}
	for _, path := range []string{l.orderer(o, "orderer.yaml"), l.join("channel", "configtx.yaml")} {
		var any map[string]any
		parseYAML(t, path, &any)
	}
}

// TestProfileLeadsToFiles: every path of a connection profile is absolute and exists, and every process is in it.
func TestProfileLeadsToFiles(t *testing.T) {
	l, c := issued(t)
	if err := l.configure(c); err != nil {
		t.Fatal(err)
	}
	for _, o := range c.Organisations {
		var profile struct {
			Client        struct{ Organization string }
			Organizations map[string]struct {
				MSPID string `yaml:"mspid"`
				Users map[string]struct{ Key, Cert struct{ Path string } }
			}
			Orderers, Peers map[string]struct {
				URL        string
				TLSCACerts struct{ Path string } `yaml:"tlsCACerts"`
			}
		}
		parseYAML(t, l.profile(o), &profile)
		if profile.Client.Organization != o.ID || profile.Organizations[o.ID].MSPID != o.MSP {
			t.Errorf("profile of %s is %s's", o.ID, profile.Client.Organization)
		}
		user := profile.Organizations[o.ID].Users[clientUser]
		paths := []string{user.Key.Path, user.Cert.Path}
		for _, other := range c.Organisations {
			orderer, peer := profile.Orderers[ordererName(other)], profile.Peers[peerName(other)]
			paths = append(paths, orderer.TLSCACerts.Path, peer.TLSCACerts.Path)
			if orderer.URL != "grpcs://"+ordererAddress(other) || peer.URL != "grpcs://"+peerAddress(other) {
				t.Errorf("%s is at %q and %q", other.ID, orderer.URL, peer.URL)
			}
		}
		for _, path := range paths {
			if _, err := os.Stat(path); err != nil || !filepath.IsAbs(path) {
				t.Errorf("path %q: %v", path, err)
			}
		}
	}
}

func parseYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestPackageIsTheSameForAll: organisations approve a package by its hash.
func TestPackageIsTheSameForAll(t *testing.T) {
	c := Default(7050).Chaincode
	first, err := layout(t.TempDir()).packageContract(c)
	if err != nil {
		t.Fatal(err)
	}
	second, err := layout(t.TempDir()).packageContract(c)
	if err != nil {
		t.Fatal(err)
	}
	if first.id != second.id || !strings.HasPrefix(first.id, "cunzheng_1:") {
		t.Errorf("packages %s and %s", first.id, second.id)
	}
}

func TestServerNames(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "localhost", "peer.example.cn"} {
		names := serverNames(host)
		if !slices.Contains(names, host) || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("names of %s: %v", host, names)
		}
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	o := Default(7050).Organisations[0]
	o.Peer.Port = listener.Addr().(*net.TCPAddr).Port
	err = checkPorts([]process{{peerName(o), peerKind, o}})
	want := &PortError{Address: listener.Addr().String(), Process: "peer.notary"}
	if diff := cmp.Diff(error(want), err); diff != "" {
		t.Error(diff)
	}
}
