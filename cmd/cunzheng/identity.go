package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cunzheng/evidence"
	"cunzheng/ledger"
)

// identityFile says what the node was made as.
const identityFile = "node.json"

const schemaIdentity = "cunzheng/node/v1"

// identity is what a node is and can never stop being: it stands in its signatures, its statements and its numbers.
type identity struct {
	Schema       string `json:"schema"`
	Origin       string `json:"origin"`
	Organisation string `json:"organisation"`
	Area         string `json:"area"`
	Region       string `json:"region"`
	Office       string `json:"office"`
}

func (c Config) identity() identity {
	return identity{schemaIdentity, c.Origin, c.Organisation.ID, c.Number.Area, c.Number.Region, c.Number.Office}
}

// differences says in which settings the configuration contradicts what is known of the node. What is not known is
// empty.
func (i identity) differences(known identity, where string) []string {
	var found []string
	for _, s := range []struct{ name, configured, known string }{
		{"origin", i.Origin, known.Origin},
		{"organisation.id", i.Organisation, known.Organisation},
		{"number.area", i.Area, known.Area},
		{"number.region", i.Region, known.Region},
		{"number.office", i.Office, known.Office},
	} {
		if s.known != "" && s.configured != s.known {
			found = append(found, fmt.Sprintf("%s = %q, but the node has %q (%s)", s.name, s.configured, s.known, where))
		}
	}
	return found
}

// identityError is a configuration that belongs to another node.
func identityError(dir string, differences []string) error {
	return withHint(fmt.Errorf("%s is not this node's 配置与此节点不符: %s", filepath.Join(dir, configFile), strings.Join(differences, "; ")),
		"put the node's own values back; they can never change. For another office or log make another node: cunzheng init --data OTHER 请改回原值；更换机构或日志须新建节点")
}

// explainOrigin turns a log of another name into the error of a setting.
func explainOrigin(dir string, err error) error {
	var named *ledger.OriginError
	if !errors.As(err, &named) {
		return err
	}
	return identityError(dir, identity{Origin: named.Want}.differences(identity{Origin: named.Log}, "its log"))
}

// checkIdentity refuses a configuration that was edited where it cannot change. The log has the last word; the file
// speaks for what the log of a young node does not show yet.
func (n *node) checkIdentity() error {
	configured := n.config.identity()
	logged, where, err := n.loggedIdentity()
	if err != nil {
		return err
	}
	differences := configured.differences(logged, where)
	path := filepath.Join(n.dir, identityFile)
	kept, err := readIdentity(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	if !missing && len(differences) == 0 {
		differences = configured.differences(kept, identityFile)
	}
	if len(differences) > 0 {
		return identityError(n.dir, differences)
	}
	if !missing {
		return nil
	}
	text, err := json.Marshal(configured, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	return replaceFile(path, append(text, '\n'))
}

func readIdentity(path string) (identity, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return identity{}, err
	}
	var i identity
	if err := json.Unmarshal(text, &i, json.RejectUnknownMembers(true)); err != nil {
		return identity{}, fmt.Errorf("%s: %w", path, err)
	}
	if i.Schema != schemaIdentity {
		return identity{}, fmt.Errorf("%s: schema %q, want %s", path, i.Schema, schemaIdentity)
	}
	return i, nil
}

// loggedIdentity reads out of the log what it shows: its first entry is the platform's own statement about its keys,
// and each piece of evidence bears a number.
func (n *node) loggedIdentity() (found identity, where string, err error) {
	found.Origin, where = n.log.Latest().Origin, "its log"
	if n.log.Latest().Size == 0 {
		return found, where, nil
	}
	first, err := n.statement(0)
	if err != nil {
		return found, where, err
	}
	if first.Type == evidence.TypeLogKey {
		found.Organisation = first.Depositor.Organisation
	}
	hits, _, err := n.log.Find(ledger.Query{Kind: evidence.TermNumber, Limit: 1})
	if err != nil || len(hits) == 0 {
		return found, where, err
	}
	some, err := n.statement(hits[0].Index)
	if err != nil {
		return found, where, err
	}
	number, err := evidence.ParseNumber(some.Number)
	if err != nil {
		return found, where, err
	}
	found.Area, found.Region, found.Office = number.Area, number.Region, number.Office
	return found, where + ", as in " + some.Number, nil
}

func (n *node) statement(index uint64) (*evidence.Statement, error) {
	entry, err := n.log.Entry(index)
	if err != nil {
		return nil, err
	}
	statement, err := evidence.ParseStatement(entry)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", index, err)
	}
	return statement, nil
}
