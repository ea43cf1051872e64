package chaincode

import "fmt"

// NodeRecord is what an organisation says of the node that runs one of its logs.
type NodeRecord struct {
	Name   string `json:"name"`   // for people
	Office string `json:"office"` // fixed part of the node's evidence numbers, as in XM-350200-NOT01
	URL    string `json:"url"`    // base URL of its public API
}

// Encode checks the record and returns it as [PublishNode] takes it.
func (n *NodeRecord) Encode() ([]byte, error) { return encodeRecord(n) }

func (n *NodeRecord) check() error {
	if err := checkName(n.Name); err != nil {
		return err
	}
	if err := checkOffice(n.Office); err != nil {
		return err
	}
	return checkURL(n.URL)
}

// PublishedNode is a node in the consortium's directory. It is the row "node ORIGIN".
type PublishedNode struct {
	Organisation string     `json:"organisation"`
	Origin       string     `json:"origin"`
	Record       NodeRecord `json:"record"`
}

const nodePrefix = "node "

func nodeRow(origin string) string { return nodePrefix + origin }

// nodesPrefix begins the rows that list the nodes of an office. A node that left the office stays listed there, since
// the contract deletes nothing; its own row says where it is.
func nodesPrefix(office string) string { return "node-of " + office + " " }

// officeOwner is the row "office OFFICE".
type officeOwner struct {
	Organisation string `json:"organisation"`
}

func officeRow(office string) string { return "office " + office }

// PublishNode says which node runs the log origin, in place of what was said before. The office code belongs to the
// first organisation that used it.
//
// Codes: SYNTAX, LOG_UNKNOWN, NOT_OWNER, OFFICE_TAKEN.
func PublishNode(s State, origin string, arg []byte) error {
	node := PublishedNode{Origin: origin}
	if err := parseRecord(arg, &node.Record); err != nil {
		return err
	}
	l, err := loadOwnLog(s, origin)
	if err != nil {
		return err
	}
	node.Organisation = l.Organisation
	var held PublishedNode
	found, err := load(s, nodeRow(origin), &held)
	if err != nil {
		return err
	}
	if found && held == node {
		return nil
	}
	if err := claimOffice(s, node); err != nil {
		return err
	}
	if err := store(s, nodeRow(origin), node); err != nil {
		return err
	}
	if err := put(s, nodesPrefix(node.Record.Office)+origin, []byte(origin)); err != nil {
		return err
	}
	return announce(s, EventNodePublished, node)
}

// claimOffice makes the node's organisation the owner of its office code if there is none.
func claimOffice(s State, node PublishedNode) error {
	row := officeRow(node.Record.Office)
	var owner officeOwner
	found, err := load(s, row, &owner)
	if err != nil {
		return err
	}
	if found && owner.Organisation != node.Organisation {
		return refuse(OfficeTaken, "office %s belongs to %q", node.Record.Office, owner.Organisation)
	}
	if found {
		return nil
	}
	return store(s, row, officeOwner{node.Organisation})
}

// Node returns the node that runs the log origin.
//
// Codes: SYNTAX, NODE_UNKNOWN.
func Node(r Reader, origin string) (PublishedNode, error) {
	if err := checkOrigin(origin); err != nil {
		return PublishedNode{}, err
	}
	var node PublishedNode
	found, err := load(r, nodeRow(origin), &node)
	if err != nil {
		return PublishedNode{}, err
	}
	if !found {
		return PublishedNode{}, refuse(NodeUnknown, "no node of %q is published", origin)
	}
	return node, nil
}

// NodePage is a part of the directory of nodes. It may hold fewer nodes than asked for and still not be the last.
type NodePage struct {
	Next  string          `json:"next,omitzero"` // origin to go on from; empty on the last page
	Nodes []PublishedNode `json:"nodes"`         // in the order of their origins
}

// Nodes returns up to limit nodes with this office code, or of all nodes if it is empty, from an origin on.
//
// Codes: SYNTAX.
func Nodes(r Reader, office, from string, limit uint64) (NodePage, error) {
	if err := checkLimit(limit); err != nil {
		return NodePage{}, err
	}
	if from != "" {
		if err := checkOrigin(from); err != nil {
			return NodePage{}, err
		}
	}
	if office == "" {
		return allNodes(r, from, limit)
	}
	if err := checkOffice(office); err != nil {
		return NodePage{}, err
	}
	origins, next, err := list(r, nodesPrefix(office), from, limit)
	if err != nil {
		return NodePage{}, err
	}
	page := NodePage{Next: next}
	for _, origin := range origins {
		var node PublishedNode
		if err := loadListed(r, nodeRow(string(origin)), &node); err != nil {
			return NodePage{}, err
		}
		if node.Record.Office == office {
			page.Nodes = append(page.Nodes, node)
		}
	}
	return page, nil
}

func allNodes(r Reader, from string, limit uint64) (NodePage, error) {
	rows, next, err := list(r, nodePrefix, from, limit)
	if err != nil {
		return NodePage{}, err
	}
	page := NodePage{Next: next, Nodes: make([]PublishedNode, len(rows))}
	for i, row := range rows {
		if err := decode(nodePrefix, row, &page.Nodes[i]); err != nil {
			return NodePage{}, err
		}
	}
	return page, nil
}

// loadListed loads a row that another row says is there.
func loadListed(r Reader, key string, row any) error {
	found, err := load(r, key, row)
	if err == nil && !found {
		err = fmt.Errorf("chaincode: row %q is listed and missing", key)
	}
	return err
}
