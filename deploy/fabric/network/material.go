//go:build unix

package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// issueAll makes the identities of every organisation, once: a folder of a network never changes its authorities. It
// builds them beside their place and moves them there, so that an interruption leaves none or all.
func (l layout) issueAll(c Consortium, now time.Time) (issued bool, err error) {
	if _, err := os.Stat(l.organisations()); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	draft := layout(l.join("draft"))
	if err := os.RemoveAll(string(draft)); err != nil {
		return false, err
	}
	for _, o := range c.Organisations {
		if err := draft.issue(o, now); err != nil {
			return false, fmt.Errorf("identities of %s: %w", o.ID, err)
		}
	}
	if err := os.Rename(draft.organisations(), l.organisations()); err != nil {
		return false, err
	}
	return true, os.Remove(string(draft))
}

func (l layout) issue(o Organisation, now time.Time) error {
	ca, err := newAuthority(o, o.MSP+" CA", now)
	if err != nil {
		return err
	}
	tlsca, err := newAuthority(o, o.MSP+" TLS CA", now)
	if err != nil {
		return err
	}
	organisation := []entry{
		{l.organisation(o, "ca", certificateFile), ca.certificate}, {l.organisation(o, "ca", keyFile), ca.key},
		{l.organisation(o, "tlsca", certificateFile), tlsca.certificate}, {l.organisation(o, "tlsca", keyFile), tlsca.key},
	}
	if err := writeAll(slices.Concat(organisation, mspFiles(l.msp(o), ca, tlsca, nil))); err != nil {
		return err
	}
	type member struct{ msp, name, role string }
	members := []member{
		{l.peer(o, "msp"), peerName(o), "peer"},
		{l.user(o, adminUser), adminUser + "@" + o.ID, "admin"},
		{l.user(o, clientUser), clientUser + "@" + o.ID, "client"},
	}
	if o.Orders() {
		members = append(members, member{l.orderer(o, "msp"), ordererName(o), "orderer"})
	}
	for _, m := range members {
		id, err := ca.member(o, m.name, m.role, now)
		if err != nil {
			return err
		}
		if err := writeAll(mspFiles(m.msp, ca, tlsca, &id)); err != nil {
			return err
		}
	}
	type server struct {
		dir, name string
		hosts     []string
	}
	servers := []server{
		{l.peer(o, "tls"), peerName(o), serverNames(o.Peer.Host)},
		{l.chaincode(o, "tls"), chaincodeName(o), serverNames(loopback)},
	}
	if o.Orders() {
		servers = append(servers, server{l.orderer(o, "tls"), ordererName(o), serverNames(o.Orderer.Host)})
	}
	for _, s := range servers {
		id, err := tlsca.server(o, s.name, s.hosts, now)
		if err != nil {
			return err
		}
		if err := writeAll(tlsFiles(s.dir, tlsca, id)); err != nil {
			return err
		}
	}
	return nil
}

// serverNames are the names under which a process is reached: its host, and the loopback interface, where its own
// organisation's tools run.
func serverNames(host string) []string {
	names := []string{host, loopback, "localhost"}
	slices.Sort(names)
	return slices.Compact(names)
}

// entry is a file to write. Everything is for the owner's eyes: most of it is, or lies beside, a private key.
type entry struct {
	path string
	data []byte
}

// nodeUnits is config.yaml of an MSP: which organisational unit of a certificate makes its holder what (NodeOUs).
const nodeUnits = `NodeOUs:
  Enable: true
  ClientOUIdentifier:
    Certificate: cacerts/ca.pem
    OrganizationalUnitIdentifier: client
  PeerOUIdentifier:
    Certificate: cacerts/ca.pem
    OrganizationalUnitIdentifier: peer
  AdminOUIdentifier:
    Certificate: cacerts/ca.pem
    OrganizationalUnitIdentifier: admin
  OrdererOUIdentifier:
    Certificate: cacerts/ca.pem
    OrganizationalUnitIdentifier: orderer
`

// mspFiles are the files of an MSP folder; without an identity, of the organisation's public one.
func mspFiles(dir string, ca, tlsca *authority, id *identity) []entry {
	files := publicMSP(dir, ca.certificate, tlsca.certificate)
	if id != nil {
		files = append(files, entry{signingCertificate(dir), id.certificate}, entry{signingKey(dir), id.key})
	}
	return files
}

// publicMSP are the files of an organisation's MSP that it shows the others.
func publicMSP(dir string, ca, tlsca []byte) []entry {
	return []entry{
		{filepath.Join(dir, rootsDir, authorityFile), ca},
		{filepath.Join(dir, tlsRootsDir, authorityFile), tlsca},
		{filepath.Join(dir, "config.yaml"), []byte(nodeUnits)},
	}
}

func tlsFiles(dir string, tlsca *authority, id identity) []entry {
	return []entry{
		{filepath.Join(dir, authorityFile), tlsca.certificate},
		{filepath.Join(dir, certificateFile), id.certificate},
		{filepath.Join(dir, keyFile), id.key},
	}
}

func writeAll(files []entry) error {
	for _, f := range files {
		if err := writeFile(f.path, f.data); err != nil {
			return err
		}
	}
	return nil
}

// writeFile makes the file's folder and replaces the file as a whole.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	draft := path + ".new"
	if err := os.WriteFile(draft, data, 0o600); err != nil {
		return err
	}
	return os.Rename(draft, path)
}
