package evidence

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"cunzheng/crypto/sm2"
	"cunzheng/ledger/blockproof"
)

// SchemaTrust names the format of a trust file.
const SchemaTrust = "cunzheng/trust/v1"

const (
	maxTrustSize    = 4 << 20
	maxTrustKeys    = 1024 // in each log or ledger
	maxTrustLogs    = 256
	maxTrustConfigs = 32 // in each ledger; a config block of four organisations has about 50 KB
)

// Trust is what a verifier holds to be true: which keys belong to which log and ledger, and when. It reaches the
// verifier on a way of its own, never inside the bundle it is to judge.
type Trust struct {
	Created Instant       `json:"created"`
	Ledgers []TrustLedger `json:"ledgers"`
	Logs    []TrustLog    `json:"logs"`
	Schema  string        `json:"schema"`
}

// TrustLog is one log and its platform's keys.
type TrustLog struct {
	Keys   []TrustKey `json:"keys"`
	Office string     `json:"office"` // who operates it, for people
	Origin string     `json:"origin"`
}

// TrustLedger is one shared ledger.
type TrustLedger struct {
	Chaincode string     `json:"chaincode,omitzero"` // LedgerFabric: name of the contract
	Configs   [][]byte   `json:"configs,omitzero"`   // LedgerFabric: config blocks of the channel to rely on, oldest first, in JSON base64
	Keys      []TrustKey `json:"keys"`               // LedgerEmbedded: keys that sign blocks
	Kind      string     `json:"kind"`               // LedgerEmbedded or LedgerFabric
	Name      string     `json:"name"`               // LedgerFabric: of the channel
	Operators []string   `json:"operators"`          // organisations that run it; LedgerFabric: MSP IDs as the last config block has them
}

// Kinds of ledgers.
const (
	LedgerEmbedded = blockproof.KindEmbedded // one that an organisation runs for itself
	LedgerFabric   = blockproof.KindFabric   // a channel of Hyperledger Fabric, shared by several
)

// TrustKey is one key and the time in which its signatures count.
type TrustKey struct {
	From    Instant          `json:"from"`
	ID      Digest           `json:"id"`               // fingerprint: SM3 of SPKI
	Revoked *TrustRevocation `json:"revoked,omitzero"` // nil: not revoked
	Role    Role             `json:"role"`
	SPKI    []byte           `json:"spki"`           // DER SubjectPublicKeyInfo, in JSON base64
	Until   Instant          `json:"until,omitzero"` // the first instant it was no longer in use; absent: in use
}

// TrustRevocation says from when on a key is not to be trusted, and why.
type TrustRevocation struct {
	At     Instant          `json:"at"`
	Reason RevocationReason `json:"reason"`
}

// ParseTrust reads a trust file. The text may be indented; unknown and repeated members are refused.
func ParseTrust(data []byte) (*Trust, error) {
	if len(data) > maxTrustSize {
		return nil, fmt.Errorf("trust file: %d bytes, at most %d", len(data), maxTrustSize)
	}
	t := new(Trust)
	if err := json.Unmarshal(data, t, json.RejectUnknownMembers(true)); err != nil {
		if newer := newerSchema(data, SchemaTrust); newer != nil {
			return nil, newer
		}
		return nil, fmt.Errorf("trust file: %w", err)
	}
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	return t, nil
}

// Encode validates the trust file and returns its canonical form.
func (t *Trust) Encode() ([]byte, error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("trust file: %w", err)
	}
	return canonical(t)
}

// Validate checks every rule of the format. The error is a *[SchemaError] or a [FieldErrors].
func (t *Trust) Validate() error {
	if t.Schema != SchemaTrust {
		return schemaError(t.Schema, SchemaTrust)
	}
	var p problems
	p.instant("created", t.Created, false)
	if t.Logs == nil {
		p.required("logs")
	}
	if t.Ledgers == nil {
		p.required("ledgers")
	}
	if len(t.Logs) > maxTrustLogs || len(t.Ledgers) > maxTrustLogs {
		p.add("logs", FieldTooLong, "日志或账本过多。", "has too many logs or ledgers")
		return p.err()
	}
	origins := make(map[string]bool)
	for i, l := range t.Logs {
		at := fmt.Sprintf("logs[%d]", i)
		p.origin(at+".origin", l.Origin)
		if origins[l.Origin] {
			p.add(at+".origin", FieldRepeated, "重复。", "is repeated")
		}
		origins[l.Origin] = true
		p.line(at+".office", l.Office, maxLine)
		p.trustKeys(at, l.Keys, RoleLog, RoleReceipt, RoleToken, RoleSeal)
	}
	names := make(map[string]bool)
	for i, l := range t.Ledgers {
		at := fmt.Sprintf("ledgers[%d]", i)
		oneOf(&p, at+".kind", l.Kind, false, LedgerEmbedded, LedgerFabric)
		if l.Name == "" {
			p.required(at + ".name")
		}
		p.line(at+".name", l.Name, maxLine)
		if names[l.Name] {
			p.add(at+".name", FieldRepeated, "重复。", "is repeated")
		}
		names[l.Name] = true
		if l.Operators == nil {
			p.required(at + ".operators")
		}
		for j, o := range l.Operators {
			p.line(fmt.Sprintf("%s.operators[%d]", at, j), o, maxLine)
		}
		p.trustKeys(at, l.Keys, RoleLedger)
		p.trustChannel(at, &l)
	}
	return p.err()
}

// trustChannel checks what a ledger of kind LedgerFabric has and others have not.
func (p *problems) trustChannel(at string, l *TrustLedger) {
	if l.Kind != LedgerFabric {
		p.absent(at+".chaincode", l.Chaincode != "")
		p.absent(at+".configs", l.Configs != nil)
		return
	}
	p.absent(at+".keys", len(l.Keys) > 0)
	p.identifier(at+".chaincode", l.Chaincode)
	if len(l.Configs) == 0 {
		p.required(at + ".configs")
		return
	}
	configs, err := l.channel()
	if err != nil {
		p.add(at+".configs", FieldFormat, "不是该通道的配置区块，或未按区块号排序。", "are not config blocks of this channel in the order of their numbers: "+err.Error())
		return
	}
	if last := configs[len(configs)-1]; !slices.Equal(l.Operators, last.Organisations()) {
		p.add(at+".operators", FieldValue, "应为最后一个配置区块所载各机构的 MSP 标识，按字母排序。",
			fmt.Sprintf("must be the MSP IDs of the last config block, sorted: %q", last.Organisations()))
	}
}

// channel returns the configurations of a ledger of kind LedgerFabric.
func (l *TrustLedger) channel() ([]*blockproof.FabricConfig, error) {
	if len(l.Configs) > maxTrustConfigs {
		return nil, fmt.Errorf("%d config blocks, at most %d", len(l.Configs), maxTrustConfigs)
	}
	var configs []*blockproof.FabricConfig
	for i, raw := range l.Configs {
		c, err := blockproof.ParseFabricConfig(raw)
		if err != nil {
			return nil, err
		}
		if c.Channel() != l.Name {
			return nil, fmt.Errorf("config block %d is of channel %.80q", c.Number(), c.Channel())
		}
		if i > 0 && c.Number() <= configs[i-1].Number() {
			return nil, fmt.Errorf("config block %d stands behind %d", c.Number(), configs[i-1].Number())
		}
		configs = append(configs, c)
	}
	return configs, nil
}

func (p *problems) trustKeys(at string, keys []TrustKey, allowed ...Role) {
	if keys == nil {
		p.required(at + ".keys")
	}
	if len(keys) > maxTrustKeys {
		p.add(at+".keys", FieldTooLong, "密钥过多。", "has too many keys")
		return
	}
	seen := make(map[Digest]bool)
	for i, k := range keys {
		at := fmt.Sprintf("%s.keys[%d]", at, i)
		oneOf(p, at+".role", k.Role, false, allowed...)
		p.publicKey(at, k.SPKI, k.ID)
		if seen[k.ID] {
			p.add(at+".id", FieldRepeated, "一个密钥只能有一个用途。", "is repeated: a key has one role")
		}
		seen[k.ID] = true
		p.instant(at+".from", k.From, false)
		p.instant(at+".until", k.Until, true)
		if k.Until != 0 && k.Until < k.From {
			p.add(at+".until", FieldRange, "早于启用时间。", "lies before from")
		}
		if k.Revoked != nil {
			p.instant(at+".revoked.at", k.Revoked.At, false)
			oneOf(p, at+".revoked.reason", k.Revoked.Reason, false, revocationReasons...)
		}
	}
}

// Log returns the log of that origin, or nil.
func (t *Trust) Log(origin string) *TrustLog {
	i := slices.IndexFunc(t.Logs, func(l TrustLog) bool { return l.Origin == origin })
	if i < 0 {
		return nil
	}
	return &t.Logs[i]
}

// key returns the parsed key with that fingerprint, or nil.
func findKey(keys []TrustKey, id Digest) (*TrustKey, *sm2.PublicKey, error) {
	i := slices.IndexFunc(keys, func(k TrustKey) bool { return k.ID == id })
	if i < 0 {
		return nil, nil, nil
	}
	key, err := sm2.ParsePublicKey(keys[i].SPKI)
	return &keys[i], key, err
}
