//go:build unix

package network

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

// Consortium says who shares the ledger and where their processes are. It is what consortium.toml holds.
type Consortium struct {
	Channel       string         `toml:"channel" comment:"Name of the channel, which is the ledger that all share.\n通道名称，即各方共享的账本。"`
	Chaincode     Chaincode      `toml:"chaincode" comment:"The contract on it. A new version is approved and committed by all when the network comes up.\n智能合约。"`
	Organisations []Organisation `toml:"organisations"`
}

// Chaincode names the contract and its version on the channel.
type Chaincode struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
}

// Organisation is one member of the consortium: it runs one peer, the chaincode beside the peer, and one orderer. One
// that joined later may have no orderer.
type Organisation struct {
	ID      string  `toml:"id" comment:"Lower-case letters, digits and hyphens: part of file and process names."`
	MSP     string  `toml:"msp" comment:"Fabric's identifier of the organisation. It is in every signature and can never change."`
	Title   string  `toml:"title" comment:"Name for people; in the organisation's certificates."`
	Orderer Orderer `toml:"orderer"`
	Peer    Peer    `toml:"peer"`
}

// Orderer is where an organisation's ordering node listens. Clients and the other orderers use Host and Port,
// administrators Host and AdminPort; the health of the process is asked on the loopback interface.
type Orderer struct {
	Host           string `toml:"host"`
	Port           int    `toml:"port"`
	AdminPort      int    `toml:"admin_port"`
	OperationsPort int    `toml:"operations_port"`
}

// Peer is where an organisation's peer listens. Clients and the other peers use Host and Port; the health of the
// process is asked, and the chaincode is reached, on the loopback interface.
type Peer struct {
	Host           string `toml:"host"`
	Port           int    `toml:"port"`
	OperationsPort int    `toml:"operations_port"`
	ChaincodePort  int    `toml:"chaincode_port"`
}

// Limits of a consortium file.
const (
	// minOrganisations is the smallest network that survives one faulty orderer: n = 3f + 1.
	minOrganisations = 4
	maxOrganisations = 64
	portsEach        = 10
)

// Default is the consortium of four on the loopback interface that development and tests use: a notary office, a data
// bureau, a department and a court. Its ports are the 40 from port on.
func Default(port int) Consortium {
	c := Consortium{Channel: "cunzheng", Chaincode: Chaincode{Name: "cunzheng", Version: "1"}}
	for i, o := range []struct{ id, msp, title string }{
		{"notary", "NotaryMSP", "公证处"},
		{"bureau", "BureauMSP", "数据局"},
		{"health", "HealthMSP", "卫健委"},
		{"court", "CourtMSP", "法院"},
	} {
		first := port + portsEach*i
		c.Organisations = append(c.Organisations, Organisation{
			ID: o.id, MSP: o.msp, Title: o.title,
			Orderer: Orderer{Host: "127.0.0.1", Port: first, AdminPort: first + 1, OperationsPort: first + 2},
			Peer:    Peer{Host: "127.0.0.1", Port: first + 3, OperationsPort: first + 4, ChaincodePort: first + 5},
		})
	}
	return c
}

// Parse reads consortium.toml. An unknown key is an error, so that a misspelt one never passes in silence, and every
// error says which field it is about.
func Parse(data []byte) (Consortium, error) {
	var c Consortium
	if err := decode(data, &c); err != nil {
		return Consortium{}, err
	}
	if err := c.validate(); err != nil {
		return Consortium{}, err
	}
	return c, nil
}

func decode(data []byte, into any) error {
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(into)
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		return fmt.Errorf("unknown keys:\n%s", strict.String())
	}
	var place *toml.DecodeError
	if errors.As(err, &place) {
		line, _ := place.Position()
		return fmt.Errorf("line %d: %w", line, err)
	}
	return err
}

// Orderers are the organisations that run an orderer.
func (c Consortium) Orderers() []Organisation {
	return slices.DeleteFunc(slices.Clone(c.Organisations), func(o Organisation) bool { return !o.Orders() })
}

// Orders says whether the organisation runs an orderer.
func (o Organisation) Orders() bool { return o.Orderer != Orderer{} }

// The names are Fabric's own rules, less what would not do as part of a file name or of the text of a policy.
var (
	channelPattern   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,99}$`)
	chaincodePattern = regexp.MustCompile(`^[A-Za-z0-9]+([_-][A-Za-z0-9]+)*$`)
	versionPattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+-]{0,31}$`)
	idPattern        = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	mspPattern       = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)
	hostPattern      = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
)

func (c Consortium) validate() error {
	switch {
	case !channelPattern.MatchString(c.Channel):
		return fmt.Errorf("channel %q: want lower-case letters, digits and hyphens", c.Channel)
	case !chaincodePattern.MatchString(c.Chaincode.Name) || len(c.Chaincode.Name) > 64:
		return fmt.Errorf("chaincode.name %q: want letters, digits, single hyphens or underscores", c.Chaincode.Name)
	case !versionPattern.MatchString(c.Chaincode.Version):
		return fmt.Errorf("chaincode.version %q: want a version such as 1 or 1.2.0", c.Chaincode.Version)
	case len(c.Orderers()) < minOrganisations:
		return fmt.Errorf("organisations with an orderer: %d, want at least %d: with fewer, no orderer may fail", len(c.Orderers()), minOrganisations)
	case len(c.Organisations) > maxOrganisations:
		return fmt.Errorf("organisations: %d, want at most %d", len(c.Organisations), maxOrganisations)
	}
	names := map[string]string{}
	for i, o := range c.Organisations {
		if err := o.validate(); err != nil {
			return fmt.Errorf("organisations[%d].%w", i, err)
		}
		for _, name := range []struct{ field, value string }{{"id", o.ID}, {"msp", strings.ToLower(o.MSP)}} {
			key := name.field + " " + name.value
			if other, taken := names[key]; taken {
				return fmt.Errorf("organisations[%d].%s: %q is that of organisation %s, too", i, name.field, name.value, other)
			}
			names[key] = o.ID
		}
	}
	return c.checkPorts()
}

func (o Organisation) validate() error {
	switch {
	case !idPattern.MatchString(o.ID):
		return fmt.Errorf("id %q: want lower-case letters, digits and hyphens, a letter first", o.ID)
	case !mspPattern.MatchString(o.MSP):
		return fmt.Errorf("msp %q: want letters, digits and hyphens, a letter first", o.MSP)
	case !validTitle(o.Title):
		return fmt.Errorf("title %q: want a name of 1 to 64 characters", o.Title)
	case o.Orders() && !validHost(o.Orderer.Host):
		return fmt.Errorf("orderer.host %q: want an IP address or a host name", o.Orderer.Host)
	case !validHost(o.Peer.Host):
		return fmt.Errorf("peer.host %q: want an IP address or a host name", o.Peer.Host)
	}
	return nil
}

// validTitle takes what fits the organisation name of a certificate (X.520 bounds it at 64 characters).
func validTitle(title string) bool {
	return utf8.ValidString(title) && strings.TrimSpace(title) == title && title != "" &&
		utf8.RuneCountInString(title) <= 64 && !strings.ContainsFunc(title, unicode.IsControl)
}

// validHost takes no IPv6 zone: it would be part of a certificate.
func validHost(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Zone() == "" && !address.IsUnspecified()
	}
	return len(host) <= 253 && hostPattern.MatchString(host)
}

// endpoint is one place where a process listens.
type endpoint struct {
	field   string // as in consortium.toml
	process string
	host    string
	port    int
}

func (e endpoint) address() string { return net.JoinHostPort(e.host, fmt.Sprint(e.port)) }

// loopback is where processes of one organisation find each other, and where their operations endpoints are: those
// speak plain HTTP and let whoever reaches them change the log level.
const loopback = "127.0.0.1"

func (o Organisation) endpoints() []endpoint {
	var endpoints []endpoint
	if o.Orders() {
		endpoints = []endpoint{
			{"orderer.port", ordererName(o), o.Orderer.Host, o.Orderer.Port},
			{"orderer.admin_port", ordererName(o), o.Orderer.Host, o.Orderer.AdminPort},
			{"orderer.operations_port", ordererName(o), loopback, o.Orderer.OperationsPort},
		}
	}
	return append(endpoints, []endpoint{
		{"peer.port", peerName(o), o.Peer.Host, o.Peer.Port},
		{"peer.operations_port", peerName(o), loopback, o.Peer.OperationsPort},
		{"peer.chaincode_port", chaincodeName(o), loopback, o.Peer.ChaincodePort},
	}...)
}

func (c Consortium) checkPorts() error {
	taken := map[string]string{}
	for i, o := range c.Organisations {
		for _, e := range o.endpoints() {
			field := fmt.Sprintf("organisations[%d].%s", i, e.field)
			if e.port < 1 || e.port > 65535 {
				return fmt.Errorf("%s: %d is no port", field, e.port)
			}
			if other, found := taken[e.address()]; found {
				return fmt.Errorf("%s: %s is %s, too", field, e.address(), other)
			}
			taken[e.address()] = field
		}
	}
	return nil
}

func ordererName(o Organisation) string   { return "orderer." + o.ID }
func peerName(o Organisation) string      { return "peer." + o.ID }
func chaincodeName(o Organisation) string { return "chaincode." + o.ID }
