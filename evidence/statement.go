package evidence

// SchemaStatement names the format of a statement.
const SchemaStatement = "cunzheng/statement/v1"

// MaxStatementSize bounds the encoded statement: one log entry.
const MaxStatementSize = 65535

// Type says what a statement records. New types join the list; what a type means never changes.
type Type string

// Statement types of version 1.
const (
	TypeFile          Type = "file"           // the platform received the bytes and hashed them itself
	TypeDigest        Type = "digest"         // the depositor hashed the bytes; the platform never saw them
	TypeOrganisation  Type = "organisation"   // an organisation is registered or changed
	TypeOfficer       Type = "officer"        // an account (person or system) is registered or changed
	TypeKey           Type = "key"            // a signer's public key is registered
	TypeKeyRevocation Type = "key-revocation" // a signer's public key is revoked
	TypeLogKey        Type = "log-key"        // the platform takes a new key of its own into use
)

// Evidence reports whether statements of this type are evidence: they carry a number and content.
func (t Type) Evidence() bool { return t == TypeFile || t == TypeDigest }

// Statement is one record. Its canonical encoding is a leaf of the log, so it holds only what may stay for ever: no
// content, no personal data in clear. Free text and personal fields are salted commitments in Private; see
// [Disclosure].
//
// The order of the fields is the order of RFC 8785, so that encoding needs no sorting; a test holds it.
type Statement struct {
	Case         string            `json:"case,omitzero"`         // case number, chosen by the depositor
	Content      *Content          `json:"content,omitzero"`      // evidence types only
	Correlation  string            `json:"correlation,omitzero"`  // joins the records of one business process
	Depositor    Depositor         `json:"depositor"`             // who brought it
	Idempotency  Digest            `json:"idempotency,omitzero"`  // see IdempotencyDigest
	Key          *Key              `json:"key,omitzero"`          // TypeKey only
	Log          string            `json:"log"`                   // origin of the log this statement belongs to
	LogKey       *LogKey           `json:"logKey,omitzero"`       // TypeLogKey only
	Nonce        Nonce             `json:"nonce"`                 // random; makes the leaf hash hiding
	Number       string            `json:"number,omitzero"`       // evidence number; evidence types only
	Officer      *Officer          `json:"officer,omitzero"`      // TypeOfficer only
	Organisation *Organisation     `json:"organisation,omitzero"` // TypeOrganisation only
	OriginalKept Keeper            `json:"originalKept,omitzero"` // evidence types only
	Private      map[string]Digest `json:"private,omitzero"`      // field name → commitment; see Disclosure
	Provenance   *Provenance       `json:"provenance,omitzero"`   // evidence types only
	ReceivedAt   Instant           `json:"receivedAt"`            // the platform's clock when it had all the data
	Related      []string          `json:"related,omitzero"`      // numbers of related evidence, any log
	Revocation   *KeyRevocation    `json:"revocation,omitzero"`   // TypeKeyRevocation only
	Schema       string            `json:"schema"`                // SchemaStatement
	Type         Type              `json:"type"`
}

// Content identifies the bytes that are preserved.
type Content struct {
	MediaType string `json:"mediaType,omitzero"` // as declared, e.g. "application/pdf"; lower case, no parameters
	SHA256    Digest `json:"sha256,omitzero"`    // for foreign tools; always there in TypeFile
	Size      *int64 `json:"size,omitzero"`      // bytes; always there in TypeFile, where an empty file is 0
	SM3       Digest `json:"sm3"`                // always there
}

// Depositor names who deposited: the organisation, and the account by an identifier, never by a person's name. The
// platform fills it from its registry, so that a bundle can be read without that.
type Depositor struct {
	Account        string         `json:"account"`                 // identifier of the account within the organisation
	Authentication Authentication `json:"authentication,omitzero"` // how the account proved itself
	CreditCode     string         `json:"creditCode,omitzero"`     // of the organisation, as registered at the time
	Key            Digest         `json:"key,omitzero"`            // fingerprint of the SM2 key it proved itself with
	Name           string         `json:"name,omitzero"`           // of the organisation, as registered at the time
	Organisation   string         `json:"organisation"`            // identifier of the organisation
}

// Authentication says how the depositor's account proved itself to the platform.
type Authentication string

// Ways of authentication.
const (
	AuthenticationKey      Authentication = "key"      // assertion signed with a registered SM2 key
	AuthenticationPassword Authentication = "password" // name and password
)

// Keeper says who keeps the original.
type Keeper string

// Keepers.
const (
	KeptByPlatform  Keeper = "platform"
	KeptByDepositor Keeper = "depositor"
)

// Provenance answers what a court asks about the time before deposit (人民法院在线诉讼规则 Art 18). All of it is
// declared by the depositor. Remarks and names of persons go into Private.
type Provenance struct {
	CollectedAt  Instant     `json:"collectedAt,omitzero"`  // when it was collected from the source (采集时间)
	Custody      Custody     `json:"custody,omitzero"`      // where it was kept until deposit (保管经过)
	DeclaredAt   Instant     `json:"declaredAt,omitzero"`   // when it came into being (生成时间, 申请人申报)
	Environment  Environment `json:"environment,omitzero"`  // state of the environment it was collected in (清洁性)
	Generation   Generation  `json:"generation,omitzero"`   // how it came into being (生成方式)
	SourceSystem string      `json:"sourceSystem,omitzero"` // name of the system it comes from (来源系统)
	Tool         string      `json:"tool,omitzero"`         // collection tool (采集工具)
	ToolVersion  string      `json:"toolVersion,omitzero"`
}

// Generation says how the data came into being (生成方式). Free words go into the committed field "generationNote".
type Generation string

// Ways of generation.
const (
	GenerationSystem     Generation = "system"     // by a system in its normal course (系统自动生成)
	GenerationManual     Generation = "manual"     // written or entered by a person (人工制作)
	GenerationExport     Generation = "export"     // exported from a system (系统导出)
	GenerationScan       Generation = "scan"       // scanned from paper (纸质扫描)
	GenerationPhoto      Generation = "photo"      // photographed (拍摄照片)
	GenerationAudio      Generation = "audio"      // sound recording (录音)
	GenerationVideo      Generation = "video"      // video recording (录像)
	GenerationScreen     Generation = "screen"     // recording of a screen (录屏)
	GenerationWeb        Generation = "web"        // captured from the web (网页取证)
	GenerationConversion Generation = "conversion" // converted from another format (格式转换)
	GenerationOther      Generation = "other"      // 其他
)

// Custody says who held the data between its generation and deposit (保管经过). Remarks go into "custodyNote".
type Custody string

// Kinds of custody.
const (
	CustodySystem     Custody = "system"      // in the source system until deposit (始终在来源系统内)
	CustodyDepositor  Custody = "depositor"   // with the depositor (申请人保管)
	CustodyThirdParty Custody = "third-party" // with a third party (第三方保管)
	CustodyNotary     Custody = "notary"      // with a notary office (公证机构保管)
	CustodyArchive    Custody = "archive"     // in an archive (档案保管)
)

// Environment says in what state the collecting environment was (清洁性). Remarks go into "environmentNote".
type Environment string

// States of the environment.
const (
	EnvironmentChecked    Environment = "checked"     // a cleanliness check ran and passed (清洁性检查通过)
	EnvironmentNormal     Environment = "normal"      // in normal operation, not checked separately (正常运行)
	EnvironmentNotChecked Environment = "not-checked" // 未检查
)

// Organisation is a registered organisation. Names of organisations are public, so the name is in clear.
type Organisation struct {
	CreditCode string   `json:"creditCode,omitzero"` // 统一社会信用代码 (GB 32100), 18 characters
	ID         string   `json:"id"`                  // identifier used in Depositor
	Level      string   `json:"level,omitzero"`      // 市 "city", 区 "district", 镇/街道 "town", 社区 "community"
	Name       string   `json:"name"`
	Region     string   `json:"region,omitzero"` // six-digit administrative region code (GB/T 2260)
	Status     Standing `json:"status"`
}

// Standing says whether a registered organisation or account may act.
type Standing string

// Standings.
const (
	StandingActive Standing = "active"
	StandingClosed Standing = "closed"
)

// Officer is an account, of a person or of a system. A person's display name is the committed field "displayName".
type Officer struct {
	ID           string      `json:"id"` // unique on the platform; an opaque code, not a person's name
	Kind         AccountKind `json:"kind"`
	Organisation string      `json:"organisation"`
	Roles        []string    `json:"roles"` // sorted, without repeats
	Status       Standing    `json:"status"`
}

// AccountKind says what acts through an account.
type AccountKind string

// Kinds of account.
const (
	AccountPerson AccountKind = "person"
	AccountSystem AccountKind = "system"
)

// Key is a signer's registered SM2 public key. The platform never holds the private half.
type Key struct {
	Account      string   `json:"account,omitzero"` // absent: the organisation's own key
	Fingerprint  Digest   `json:"fingerprint"`      // SM3 of SPKI
	NotAfter     Instant  `json:"notAfter"`
	NotBefore    Instant  `json:"notBefore"`
	Organisation string   `json:"organisation"`
	Roles        []string `json:"roles,omitzero"` // sorted, without repeats
	SPKI         []byte   `json:"spki"`           // DER SubjectPublicKeyInfo, in JSON base64
	Use          KeyUse   `json:"use"`
}

// KeyUse says what a signer's key is for.
type KeyUse string

// Uses of a key.
const (
	UseAuthentication KeyUse = "authentication" // proves an account to the platform
	UseSignature      KeyUse = "signature"      // signs documents and events
)

// KeyRevocation revokes a registered key, or one of the platform's own.
type KeyRevocation struct {
	At          Instant          `json:"at"` // from when the key is not to be trusted; may lie before ReceivedAt
	Fingerprint Digest           `json:"fingerprint"`
	Reason      RevocationReason `json:"reason"`
}

// RevocationReason says why a key was revoked.
type RevocationReason string

// Reasons. After the first, signatures made before the revocation are doubtful, since a thief can date them back;
// after the others they stand.
const (
	ReasonCompromise RevocationReason = "compromise" // the key is, or may be, in other hands
	ReasonSuperseded RevocationReason = "superseded" // replaced by a newer key
	ReasonCessation  RevocationReason = "cessation"  // the holder ceased to act
)

// LogKey takes a new key of the platform into use.
type LogKey struct {
	Fingerprint Digest  `json:"fingerprint"`       // SM3 of SPKI
	From        Instant `json:"from"`              // in use from here
	Previous    Digest  `json:"previous,omitzero"` // fingerprint of the key it replaces; that one ends at From
	Role        Role    `json:"role"`
	SPKI        []byte  `json:"spki"` // DER SubjectPublicKeyInfo, in JSON base64
}

// Role says what one of the platform's keys signs.
type Role string

// Roles of the platform's keys.
const (
	RoleLog     Role = "log"     // checkpoints
	RoleReceipt Role = "receipt" // receipts and bundle manifests
	RoleToken   Role = "token"   // access tokens
	RoleSeal    Role = "seal"    // certificates
	RoleLedger  Role = "ledger"  // blocks of an embedded ledger
)
