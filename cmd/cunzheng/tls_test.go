package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writeCertificate writes a certificate for 127.0.0.1 that signs itself, and its key.
func writeCertificate(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600),
	); err != nil {
		t.Fatal(err)
	}
}

// TestTLS: the server speaks TLS with the files of its flags, and the command line trusts whom the system trusts.
func TestTLS(t *testing.T) {
	n := newTestNode(t)
	cert, key := filepath.Join(n.dir, "cert.pem"), filepath.Join(n.dir, "key.pem")
	writeCertificate(t, cert, key, 1)
	for _, wrong := range [][]string{
		{"--tls-cert", cert}, {"--tls-key", key}, {"--tls-cert", cert, "--tls-key", cert}, {"--tls-cert", n.dir + "/none", "--tls-key", key},
	} {
		out, err := n.command("cunzheng", append([]string{"serve", "--data", "node", "--listen", "127.0.0.1:0"}, wrong...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "tls") {
			t.Errorf("%q: %v\n%s", wrong, err, out)
		}
	}
	n.start("--tls-cert", "cert.pem", "--tls-key", "key.pem") // relative to where the command is given
	if !strings.HasPrefix(n.server.url, "https://127.0.0.1:") {
		t.Fatalf("it serves %s", n.server.url)
	}
	file := filepath.Join(n.dir, "contract.txt")
	if err := os.WriteFile(file, []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := n.command("cunzheng", "deposit", file).CombinedOutput(); err == nil || !strings.Contains(string(out), "SSL_CERT_FILE") {
		t.Errorf("with an authority that nobody knows: %v\n%s", err, out)
	}
	n.env = append(n.env, "SSL_CERT_FILE="+cert)
	n.run("cunzheng", "deposit", file)
	if err := n.server.stop(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// TestCertificateRenewal: new files are taken without a restart, bad ones leave the old certificate in place.
func TestCertificateRenewal(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	c := &certificate{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), logger: slog.New(slog.NewTextHandler(&log, nil))}
	when := time.Now().Add(-time.Hour)
	touch := func() { // a time of its own for each change, however coarse the file system's
		t.Helper()
		when = when.Add(time.Minute)
		if err := errors.Join(os.Chtimes(c.cert, when, when), os.Chtimes(c.key, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	serial := func() int64 {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.Int64()
	}
	if _, err := c.get(nil); err == nil {
		t.Error("no files, and no error")
	}
	writeCertificate(t, c.cert, c.key, 1)
	touch()
	if got := serial(); got != 1 {
		t.Errorf("serial %d", got)
	}
	writeCertificate(t, c.cert, c.key, 2)
	touch()
	if got := serial(); got != 2 {
		t.Errorf("after a renewal: serial %d", got)
	}
	if err := os.WriteFile(c.cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	touch()
	if got := serial(); got != 2 || serial() != 2 || strings.Count(log.String(), "cannot be used") != 1 {
		t.Errorf("with a file that is cut: serial %d\n%s", got, &log)
	}
	writeCertificate(t, c.cert, c.key, 3)
	touch()
	c.every = time.Hour
	if got := serial(); got != 2 {
		t.Errorf("the files are looked at before their time: serial %d", got)
	}
	c.every = 0
	if err := os.Chmod(c.key, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 2 {
		t.Errorf("a key that everybody can read is used: serial %d", got)
	}
	if err := os.Chmod(c.key, 0o640); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 3 {
		t.Errorf("serial %d", got)
	}
}
