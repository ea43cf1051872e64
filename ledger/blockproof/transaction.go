package blockproof

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"cunzheng/ledger/checkpoint"
)

// Shapes of a transaction: common/common.proto, peer/transaction.proto, peer/proposal.proto, peer/proposal_response.proto,
// peer/chaincode.proto, ledger/rwset/rwset.proto, ledger/rwset/kvrwset/kv_rwset.proto.
var (
	shapeEnvelope        = &shape{name: "Envelope", fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapePayload         = &shape{name: "Payload", fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapeHeader          = &shape{name: "Header", fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapeChannelHeader   = &shape{name: "ChannelHeader", open: true, fields: map[protowire.Number]fieldKind{1: number, 2: number, 3: octets, 4: octets, 5: octets, 6: number, 7: octets}}
	shapeTimestamp       = &shape{name: "Timestamp", fields: map[protowire.Number]fieldKind{1: number, 2: number}}
	shapeSignatureHeader = &shape{name: "SignatureHeader", fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapeExtension       = &shape{name: "ChaincodeHeaderExtension", open: true, fields: map[protowire.Number]fieldKind{2: octets}}
	shapeChaincodeID     = &shape{name: "ChaincodeID", open: true, fields: map[protowire.Number]fieldKind{1: octets, 2: octets, 3: octets}}
	shapeTransaction     = &shape{name: "Transaction", fields: map[protowire.Number]fieldKind{1: manyOctets}}
	shapeAction          = &shape{name: "TransactionAction", fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapeActionPayload   = &shape{name: "ChaincodeActionPayload", fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapeEndorsedAction  = &shape{name: "ChaincodeEndorsedAction", fields: map[protowire.Number]fieldKind{1: octets, 2: manyOctets}}
	shapeEndorsement     = &shape{name: "Endorsement", fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapeResponsePayload = &shape{name: "ProposalResponsePayload", open: true, fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapeChaincodeAction = &shape{name: "ChaincodeAction", open: true, fields: map[protowire.Number]fieldKind{1: octets, 2: octets, 3: octets, 4: octets}}
	shapeResponse        = &shape{name: "Response", open: true, fields: map[protowire.Number]fieldKind{1: number}}
	shapeProposal        = &shape{name: "ChaincodeProposalPayload", open: true, fields: map[protowire.Number]fieldKind{1: octets}}
	shapeInvocation      = &shape{name: "ChaincodeInvocationSpec", open: true, fields: map[protowire.Number]fieldKind{1: octets}}
	shapeSpec            = &shape{name: "ChaincodeSpec", open: true, fields: map[protowire.Number]fieldKind{2: octets, 3: octets}}
	shapeInput           = &shape{name: "ChaincodeInput", open: true, fields: map[protowire.Number]fieldKind{1: manyOctets}}
	shapeSet             = &shape{name: "TxReadWriteSet", open: true, fields: map[protowire.Number]fieldKind{1: number, 2: manyOctets}}
	shapeNamespace       = &shape{name: "NsReadWriteSet", open: true, fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapeKVSet           = &shape{name: "KVRWSet", open: true, fields: map[protowire.Number]fieldKind{1: manyOctets, 3: manyOctets}}
	shapeRead            = &shape{name: "KVRead", open: true, fields: map[protowire.Number]fieldKind{1: octets, 2: octets}}
	shapeVersion         = &shape{name: "Version", fields: map[protowire.Number]fieldKind{1: number, 2: number}}
	shapeWrite           = &shape{name: "KVWrite", open: true, fields: map[protowire.Number]fieldKind{1: octets, 2: number, 3: octets}}
)

// Types of envelopes (common.HeaderType).
const (
	kindConfig      = 1
	kindTransaction = 3
)

const statusOK = 200 // of a chaincode's response

// envelope is one entry of a block's data: a signed configuration or transaction.
type envelope struct {
	payload, signature             []byte // the creator signs payload
	channelHeader, signatureHeader []byte
	kind                           uint64
	channel, transaction           string
	time                           time.Time // the creator's claim
	epoch                          uint64
	extension                      []byte
	creator, nonce                 []byte
	data                           []byte
}

func parseEnvelope(raw []byte) (*envelope, error) {
	m, err := shapeEnvelope.decode(raw)
	if err != nil {
		return nil, err
	}
	e := &envelope{payload: m.octets(1), signature: m.octets(2)}
	payload, err := shapePayload.decode(e.payload)
	if err != nil {
		return nil, err
	}
	e.data = payload.octets(2)
	header, err := shapeHeader.decode(payload.octets(1))
	if err != nil {
		return nil, err
	}
	e.channelHeader, e.signatureHeader = header.octets(1), header.octets(2)
	if err := e.parseChannelHeader(); err != nil {
		return nil, err
	}
	signer, err := shapeSignatureHeader.decode(e.signatureHeader)
	if err != nil {
		return nil, err
	}
	e.creator, e.nonce = signer.octets(1), signer.octets(2)
	return e, nil
}

func (e *envelope) parseChannelHeader() error {
	m, err := shapeChannelHeader.decode(e.channelHeader)
	if err != nil {
		return err
	}
	e.kind, e.epoch, e.extension = m.uint(1), m.uint(6), m.octets(7)
	if e.channel, err = m.text(4); err != nil {
		return err
	}
	if e.transaction, err = m.text(5); err != nil {
		return err
	}
	stamp, err := shapeTimestamp.decode(m.octets(3))
	if err != nil {
		return err
	}
	const year10000 = 253402300800
	seconds, nanos := stamp.uint(1), stamp.uint(2)
	if seconds >= year10000 || nanos >= 1e9 {
		return fmt.Errorf("%w: time out of range", ErrInvalid)
	}
	e.time = time.Unix(int64(seconds), int64(nanos)).UTC()
	return nil
}

// action is a transaction of one chaincode, as the endorsing peers signed it.
type action struct {
	*envelope
	response     []byte // ProposalResponsePayload
	endorsements []endorsement
	args         [][]byte
	reads        map[string]version // in the namespace of the chaincode
	writes       []stateWrite
}

type endorsement struct{ endorser, signature []byte }

// version says which transaction last wrote a row of state. The zero version is that of a row that is not there.
type version struct {
	present      bool
	block, entry uint64
}

// before reports whether v is older than w.
func (v version) before(w version) bool {
	switch {
	case v.present != w.present:
		return w.present
	case v.block != w.block:
		return v.block < w.block
	}
	return v.entry < w.entry
}

type stateWrite struct {
	key     string
	deleted bool
	value   []byte
}

// parseAction reads a transaction of the chaincode and checks what needs no certificate: that its identifier is that of
// its creator and nonce, and that the endorsed response belongs to the proposal.
func (e *envelope) parseAction(chaincode string) (*action, error) {
	id := sha256.Sum256(slices.Concat(e.nonce, e.creator))
	switch {
	case e.kind != kindTransaction:
		return nil, fmt.Errorf("%w: the envelope holds no transaction", ErrInvalid)
	case e.epoch != 0 || len(e.nonce) == 0 || len(e.creator) == 0:
		return nil, fmt.Errorf("%w: header of the transaction", ErrInvalid)
	case hex.EncodeToString(id[:]) != e.transaction:
		return nil, fmt.Errorf("%w: transaction id is not that of creator and nonce", ErrInvalid)
	}
	extension, err := shapeExtension.decode(e.extension)
	if err != nil {
		return nil, err
	}
	if err := isChaincode(extension.octets(2), chaincode); err != nil {
		return nil, err
	}
	transaction, err := shapeTransaction.decode(e.data)
	if err != nil {
		return nil, err
	}
	if n := len(transaction.all(1)); n != 1 {
		return nil, fmt.Errorf("%w: transaction with %d actions", ErrInvalid, n)
	}
	outer, err := shapeAction.decode(transaction.all(1)[0])
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(outer.octets(1), e.signatureHeader) {
		return nil, fmt.Errorf("%w: the endorsed proposal is another creator's", ErrInvalid)
	}
	payload, err := shapeActionPayload.decode(outer.octets(2))
	if err != nil {
		return nil, err
	}
	a := &action{envelope: e}
	if err := a.parseProposal(payload.octets(1), chaincode); err != nil {
		return nil, err
	}
	if err := a.parseEndorsed(payload.octets(2)); err != nil {
		return nil, err
	}
	return a, a.parseResponse(payload.octets(1), chaincode)
}

func isChaincode(id []byte, name string) error {
	m, err := shapeChaincodeID.decode(id)
	if err != nil {
		return err
	}
	if got := string(m.octets(2)); got != name {
		return fmt.Errorf("%w: transaction of the chaincode %.80q, not %q", ErrInvalid, got, name)
	}
	return nil
}

// parseProposal reads the arguments that the creator proposed.
func (a *action) parseProposal(raw []byte, chaincode string) error {
	proposal, err := shapeProposal.decode(raw)
	if err != nil {
		return err
	}
	invocation, err := shapeInvocation.decode(proposal.octets(1))
	if err != nil {
		return err
	}
	spec, err := shapeSpec.decode(invocation.octets(1))
	if err != nil {
		return err
	}
	if err := isChaincode(spec.octets(2), chaincode); err != nil {
		return err
	}
	input, err := shapeInput.decode(spec.octets(3))
	if err != nil {
		return err
	}
	a.args = input.all(1)
	return nil
}

func (a *action) parseEndorsed(raw []byte) error {
	m, err := shapeEndorsedAction.decode(raw)
	if err != nil {
		return err
	}
	a.response = m.octets(1)
	if n := len(m.all(2)); n > maxSignatures {
		return fmt.Errorf("%w: transaction with %d endorsements", ErrInvalid, n)
	}
	for _, raw := range m.all(2) {
		e, err := shapeEndorsement.decode(raw)
		if err != nil {
			return err
		}
		a.endorsements = append(a.endorsements, endorsement{endorser: e.octets(1), signature: e.octets(2)})
	}
	return nil
}

// parseResponse reads what the endorsers signed: the hash of the proposal, the answer of the chaincode, its writes.
func (a *action) parseResponse(proposal []byte, chaincode string) error {
	m, err := shapeResponsePayload.decode(a.response)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(slices.Concat(a.channelHeader, a.signatureHeader, proposal))
	if !bytes.Equal(m.octets(1), hash[:]) {
		return fmt.Errorf("%w: proposal hash: the endorsers signed the answer to another proposal", ErrInvalid)
	}
	result, err := shapeChaincodeAction.decode(m.octets(2))
	if err != nil {
		return err
	}
	if err := isChaincode(result.octets(4), chaincode); err != nil {
		return err
	}
	response, err := shapeResponse.decode(result.octets(3))
	if err != nil {
		return err
	}
	if status := response.uint(1); status != statusOK {
		return fmt.Errorf("%w: the chaincode answered with status %d", ErrInvalid, status)
	}
	return a.parseSet(result.octets(1), chaincode)
}

// parseSet reads the reads and writes in the namespace of the chaincode.
func (a *action) parseSet(raw []byte, chaincode string) error {
	set, err := shapeSet.decode(raw)
	if err != nil {
		return err
	}
	if set.uint(1) != 0 {
		return fmt.Errorf("%w: read-write set of model %d", ErrInvalid, set.uint(1))
	}
	seen := make(map[string]bool)
	for _, raw := range set.all(2) {
		m, err := shapeNamespace.decode(raw)
		if err != nil {
			return err
		}
		name := string(m.octets(1))
		if seen[name] {
			return fmt.Errorf("%w: the namespace %.80q is there twice", ErrInvalid, name)
		}
		seen[name] = true
		if name == chaincode {
			if err := a.parseRows(m.octets(2)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *action) parseRows(raw []byte) error {
	rows, err := shapeKVSet.decode(raw)
	if err != nil {
		return err
	}
	a.reads = make(map[string]version)
	for _, raw := range rows.all(1) {
		m, err := shapeRead.decode(raw)
		if err != nil {
			return err
		}
		v, err := shapeVersion.decode(m.octets(2))
		if err != nil {
			return err
		}
		a.reads[string(m.octets(1))] = version{present: m.has(2), block: v.uint(1), entry: v.uint(2)}
	}
	for _, raw := range rows.all(3) {
		m, err := shapeWrite.decode(raw)
		if err != nil {
			return err
		}
		a.writes = append(a.writes, stateWrite{key: string(m.octets(1)), deleted: m.uint(2) != 0, value: m.octets(3)})
	}
	return nil
}

// anchored returns the head that the transaction anchors: the function is Anchor, and the one row of a head that it
// sets holds the note of its arguments.
func (a *action) anchored() (origin string, note []byte, err error) {
	if len(a.args) != 4 || string(a.args[0]) != "Anchor" {
		return "", nil, fmt.Errorf("%w: the transaction anchors nothing", ErrInvalid)
	}
	origin, note = string(a.args[1]), a.args[2]
	head, err := checkpoint.Parse(note)
	if err != nil {
		return "", nil, fmt.Errorf("%w: anchored note: %w", ErrInvalid, err)
	}
	if head.Origin != origin {
		return "", nil, fmt.Errorf("%w: note of %.80q anchored as %.80q", ErrInvalid, head.Origin, origin)
	}
	heads := 0
	stored := false
	for _, w := range a.writes {
		if strings.HasPrefix(w.key, headPrefix) {
			heads++
			stored = stored || w.key == headKey(origin, head.Size) && !w.deleted && bytes.Equal(w.value, note)
		}
	}
	if heads != 1 || !stored {
		return "", nil, fmt.Errorf("%w: the transaction did not store the note", ErrInvalid)
	}
	return origin, note, nil
}

// overtakes reports whether a, which stands before b in the same block, makes b void: it sets a row that b read, and its
// own reading of that row is not older than b's, by which a would be void itself. Fabric lets the first of two such
// transactions take effect alone.
func (a *action) overtakes(b *action) bool {
	for _, w := range a.writes {
		theirs, concerned := b.reads[w.key]
		ours, read := a.reads[w.key]
		if concerned && (!read || !ours.before(theirs)) {
			return true
		}
	}
	return false
}

// verifyAction checks the signatures of the creator and of the endorsers, and the endorsement policy. Like Fabric it
// passes over an endorsement that is false or by nobody of the channel, and the second one by the same key.
func (c *FabricConfig) verifyAction(a *action) (creator *identity, endorsers []*identity, err error) {
	if creator, err = c.identify(a.creator, a.time); err != nil {
		return nil, nil, fmt.Errorf("creator of the transaction: %w", err)
	}
	if err := creator.verify(a.payload, a.signature); err != nil {
		return nil, nil, fmt.Errorf("creator of the transaction: %w", err)
	}
	var ids []*identity
	var refused error
	for _, e := range a.endorsements {
		id, err := c.identify(e.endorser, a.time)
		if err == nil {
			err = id.verify(slices.Concat(a.response, e.endorser), e.signature)
		}
		switch {
		case err != nil && refused == nil:
			refused = err
		case err == nil && !slices.ContainsFunc(ids, id.sameKey):
			ids = append(ids, id)
		}
	}
	endorsers, err = c.policy.evaluate(ids)
	if err != nil && refused != nil {
		err = fmt.Errorf("%w; not counted: %w", err, refused)
	}
	return creator, endorsers, err
}
