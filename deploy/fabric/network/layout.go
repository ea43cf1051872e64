//go:build unix

package network

import (
	"os"
	"path/filepath"
)

// layout is the folder of a network:
//
//	consortium.toml                     who takes part
//	org.json                            of an organisation that joins: what it shows the others
//	channel/                            configtx.yaml, genesis.block, the chaincode package
//	organisations/ID/ca, tlsca          the organisation's certificate authorities with their keys
//	organisations/ID/msp                what the others know of the organisation: its authorities and roles
//	organisations/ID/users/NAME/msp     signing identities of the administrator (admin) and of a client (User1)
//	organisations/ID/{orderer,peer}     configuration, msp, tls and data of the process
//	organisations/ID/chaincode/tls      TLS identity of the chaincode server
//	organisations/ID/connection.yaml    connection profile for clients
//	logs/PROCESS.log                    what a process wrote
//	run/PROCESS.pid                     its process id; locked as long as it lives
type layout string

// Names of the two users of each organisation. Fabric's tools and samples call the first client User1.
const (
	adminUser  = "admin"
	clientUser = "User1"
)

func (l layout) join(parts ...string) string {
	return filepath.Join(append([]string{string(l)}, parts...)...)
}

func (l layout) consortium() string     { return l.join("consortium.toml") }
func (l layout) channel() string        { return l.join("channel") }
func (l layout) genesis() string        { return l.join("channel", "genesis.block") }
func (l layout) organisations() string  { return l.join("organisations") }
func (l layout) log(name string) string { return l.join("logs", name+".log") }
func (l layout) pid(name string) string { return l.join("run", name+".pid") }

func (l layout) organisation(o Organisation, parts ...string) string {
	return l.join(append([]string{"organisations", o.ID}, parts...)...)
}

func (l layout) orderer(o Organisation, parts ...string) string {
	return l.organisation(o, append([]string{"orderer"}, parts...)...)
}

func (l layout) peer(o Organisation, parts ...string) string {
	return l.organisation(o, append([]string{"peer"}, parts...)...)
}

func (l layout) chaincode(o Organisation, parts ...string) string {
	return l.organisation(o, append([]string{"chaincode"}, parts...)...)
}

// here are the organisations whose keys this folder holds, so that their processes run from it. Of the others, which
// joined or run elsewhere, there is only what is public.
func (l layout) here(c Consortium) []Organisation {
	var here []Organisation
	for _, o := range c.Organisations {
		if _, err := os.Stat(signingKey(l.peer(o, "msp"))); err == nil {
			here = append(here, o)
		}
	}
	return here
}

func (l layout) msp(o Organisation) string { return l.organisation(o, "msp") }

func (l layout) user(o Organisation, name string) string {
	return l.organisation(o, "users", name, "msp")
}

func (l layout) tlsRoot(o Organisation) string {
	return l.organisation(o, "msp", tlsRootsDir, authorityFile)
}

func (l layout) profile(o Organisation) string { return l.organisation(o, "connection.yaml") }

// Names of files and folders of an MSP, which Fabric fixes, and of a TLS folder, which are ours.
const (
	rootsDir        = "cacerts"
	tlsRootsDir     = "tlscacerts"
	certificateDir  = "signcerts"
	keyDir          = "keystore"
	authorityFile   = "ca.pem"
	certificateFile = "cert.pem"
	keyFile         = "key.pem"
)

func signingCertificate(msp string) string {
	return filepath.Join(msp, certificateDir, certificateFile)
}
func signingKey(msp string) string { return filepath.Join(msp, keyDir, keyFile) }
