//go:build unix

package network

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"regexp"
	"text/template"
)

//go:embed templates
var templates embed.FS

// connectionEnv names, for the external builder, the file that tells a peer where its chaincode service is.
const connectionEnv = "CUNZHENG_CHAINCODE_CONNECTION"

// configure writes what follows from the consortium and the folder: the configuration of every process, the external
// builder and the connection profiles. All of it is written again at each start, so that it is never out of date.
func (l layout) configure(c Consortium) error {
	if err := l.render(l.join("channel", "configtx.yaml"), "configtx.yaml", c); err != nil {
		return err
	}
	for _, o := range l.here(c) {
		if o.Orders() {
			if err := l.render(l.orderer(o, "orderer.yaml"), "orderer.yaml", o); err != nil {
				return err
			}
		}
		if err := l.render(l.peer(o, "core.yaml"), "core.yaml", o); err != nil {
			return err
		}
		if err := l.writeBuilder(o); err != nil {
			return err
		}
		if err := l.writeChaincodeConnection(o); err != nil {
			return err
		}
		if err := l.render(l.profile(o), "connection.yaml", l.profileOf(c, o)); err != nil {
			return err
		}
	}
	return nil
}

// profile is what the template of a connection profile takes.
type profile struct {
	Consortium
	Own                                Organisation
	User, MSP, Store, Key, Certificate string
}

func (l layout) profileOf(c Consortium, own Organisation) profile {
	msp := l.user(own, clientUser)
	return profile{
		Consortium: c, Own: own, User: clientUser,
		MSP: msp, Store: l.organisation(own, "users", clientUser, "store"), Key: signingKey(msp), Certificate: signingCertificate(msp),
	}
}

func (l layout) render(path, name string, data any) error {
	functions := template.FuncMap{
		"quote":           quote,
		"address":         func(host string, port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) },
		"loopback":        func(port int) string { return net.JoinHostPort(loopback, fmt.Sprint(port)) },
		"number":          func(index int) int { return index + 1 },
		"exactly":         exactly,
		"mspDir":          l.msp,
		"tlsRoot":         l.tlsRoot,
		"ordererIdentity": func(o Organisation) string { return signingCertificate(l.orderer(o, "msp")) },
		"ordererTLS":      func(o Organisation) string { return l.orderer(o, "tls", certificateFile) },
		"dataDir":         func(o Organisation) string { return l.peer(o, "data") },
		"snapshotDir":     func(o Organisation) string { return l.peer(o, "data", "snapshots") },
		"builderDir":      func(o Organisation) string { return l.peer(o, "builder") },
	}
	parsed, err := template.New(name).Funcs(functions).ParseFS(templates, "templates/"+name)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := parsed.Execute(&text, data); err != nil {
		return err
	}
	return writeFile(path, text.Bytes())
}

// quote makes a JSON string, which YAML reads as the same string.
func quote(text string) (string, error) {
	quoted, err := json.Marshal(text)
	return string(quoted), err
}

// exactly is a regular expression that matches any of the names and nothing else.
func exactly(names ...string) string {
	var pattern bytes.Buffer
	for i, name := range names {
		if i > 0 {
			pattern.WriteByte('|')
		}
		pattern.WriteString(regexp.QuoteMeta(name))
	}
	return "^(" + pattern.String() + ")$"
}

func (l layout) writeBuilder(o Organisation) error {
	for _, name := range []string{"detect", "build", "release"} {
		script, err := templates.ReadFile("templates/builder/" + name)
		if err != nil {
			return err
		}
		path := l.peer(o, "builder", "bin", name)
		if err := writeFile(path, script); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// writeChaincodeConnection tells the peer where its chaincode service is. The peer authenticates with its own TLS
// certificate; the format is Fabric's connection.json.
func (l layout) writeChaincodeConnection(o Organisation) error {
	connection := map[string]any{
		"address":              net.JoinHostPort(loopback, fmt.Sprint(o.Peer.ChaincodePort)),
		"dial_timeout":         "5s",
		"tls_required":         true,
		"client_auth_required": true,
	}
	for field, path := range map[string]string{
		"client_key":  l.peer(o, "tls", keyFile),
		"client_cert": l.peer(o, "tls", certificateFile),
		"root_cert":   l.peer(o, "tls", authorityFile),
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		connection[field] = string(text)
	}
	data, err := json.Marshal(connection)
	if err != nil {
		return err
	}
	return writeFile(l.chaincodeConnection(o), data)
}

func (l layout) chaincodeConnection(o Organisation) string { return l.peer(o, "chaincode.json") }
