// Package chaincode is the contract that organisations share: it keeps, for each log, the public key and the tree heads
// that were anchored, and refuses a head that contradicts them. Beside the heads it keeps what all must agree on: whose
// keys are good, which node serves which log, what became of a certificate, and the proofs that a log was forked.
//
// It is a set of pure functions over [State]. The same code runs as Fabric chaincode and inside the embedded ledger. It
// reads no clock and no random numbers, and its answer depends on its arguments and the state alone, so that every
// peer comes to the same verdict.
//
// # Functions
//
// All arguments are byte strings. Numbers are decimal without leading zeros. A RECORD is JSON in the canonical form of
// RFC 8785 with exactly the members shown under Records. FINGERPRINT is SM3 of a key, as 64 hexadecimal digits.
//
//	RegisterLog   origin, key                  the caller's organisation becomes the owner of the log
//	RotateLogKey  origin, key, signature       signature by the old key over RotationMessage
//	Anchor        origin, note, proof          note is a signed checkpoint; proof is the consistency proof from the last
//	                                           anchored head, its 32-byte hashes one after the other
//	Latest        origin                       → note
//	At            origin, size                 → note
//	History       origin, from, limit          → {"heads":["note",…],"next":size}, from and next are sizes
//
//	RegisterKey   record, proof                the caller's organisation answers for the key in record; proof is that
//	                                           key's own signature over KeyMessage
//	RevokeKey     fingerprint, reason, at      by the organisation that registered it, for good
//	Key           fingerprint                  → {"organisation":"…","proof":"…","record":RECORD,
//	                                             "revocation":{"at":TIME,"reason":"…"}}, revocation only if there is one
//	Keys          log, from, limit             → {"keys":[as Key,…],"next":FINGERPRINT}; an empty log stands for all keys
//
//	PublishNode   origin, record               by the log's owner; replaces what was published before
//	Node          origin                       → {"organisation":"…","origin":"…","record":RECORD}
//	Nodes         office, from, limit          → {"next":"origin","nodes":[as Node,…]}; an empty office stands for all
//
//	PublishStatus origin, record               by the log's owner; appends to the series of the certificate
//	Status        origin, certificate          → {"series":[RECORD,…]}, oldest first, empty if nothing was published
//
//	ReportFork    origin, note, note           by anybody: two signed heads of one size with different roots
//	Forks         origin, from, limit          → {"forks":[{"heads":["note","note"],"organisation":"…","size":1},…],
//	                                             "next":"…"}; from is a size, or next of the page before
//
// A key is a DER SubjectPublicKeyInfo. A log without an anchored head stands at size 0, so that the first head needs the
// empty proof. A page that is not the last one has a member next to go on from; from is inclusive, and empty (for sizes
// 0) on the first page. A page may hold fewer than limit and still have a next.
//
// Sending the same registration, rotation, head, revocation, node, status or fork again is a success that changes
// nothing: whoever does not know whether a transaction went through sends it again.
//
// # Records
//
// The times and texts are the owner's claims: the contract has no clock.
//
//	of a key     {"from":TIME,"holder":"…","key":SPKI,"log":"origin or empty","role":"log|receipt|token|seal|timestamp|
//	             officer|department"}; holder is the code of an institution or account, never a person's name or number
//	of a node    {"name":"…","office":"XM-350200-NOT01","url":"https://…"}
//	of a status  {"at":TIME,"certificate":SM3,"entry":0,"reason":"…","status":"valid|corrected|superseded|revoked|
//	             expired","successor":SM3}; certificate is SM3 of the certificate's log leaf, entry an index in the log,
//	             successor optional
//
// A TIME has the form 2026-11-23T11:22:33.456Z. Whoever first publishes a node with an office code owns that code.
// Nothing follows the status revoked.
//
// # State
//
// An origin has no space, so the keys cannot run into each other. SIZE has 16 hexadecimal digits. All keys are ASCII, so
// that every ledger sorts them alike.
//
//	log ORIGIN                 {"key":SPKI,"organisation":"…","root":"…","size":0}   owner, current key, last head
//	key ORIGIN FINGERPRINT     {"key":SPKI,"previous":"…","signature":"…","size":0}  each key that the log ever had
//	head ORIGIN SIZE           the note as it was anchored
//	signer FINGERPRINT         as Key answers
//	signer-of ORIGIN FINGERPRINT  the fingerprint: keys whose record names this log
//	node ORIGIN                as Node answers
//	node-of OFFICE ORIGIN      the origin: nodes that have, or had, this office code
//	office OFFICE              {"organisation":"…"}  who owns the code
//	status ORIGIN CERTIFICATE  as Status answers
//	fork ORIGIN SIZE ROOT ROOT one of the forks as Forks answers; the roots in hexadecimal, the lesser first
//
// # Events
//
// A transaction that changes the state announces one event, as canonical JSON:
//
//	LogRegistered    {"key":SPKI,"organisation":"…","origin":"…"}
//	LogKeyRotated    {"key":SPKI,"origin":"…","previous":SPKI,"size":0}
//	Anchored         {"origin":"…","root":"…","size":1}
//	KeyRegistered    {"fingerprint":"…","organisation":"…","record":RECORD}
//	KeyRevoked       {"at":TIME,"fingerprint":"…","organisation":"…","reason":"…"}
//	NodePublished    {"organisation":"…","origin":"…","record":RECORD}
//	StatusPublished  {"organisation":"…","origin":"…","record":RECORD}
//	ForkReported     {"organisation":"…","origin":"…","roots":["…","…"],"size":1}  the organisation that filed it
package chaincode

// Names of the contract's functions, for [Invoke].
const (
	FuncRegisterLog   = "RegisterLog"
	FuncRotateLogKey  = "RotateLogKey"
	FuncAnchor        = "Anchor"
	FuncLatest        = "Latest"
	FuncAt            = "At"
	FuncHistory       = "History"
	FuncRegisterKey   = "RegisterKey"
	FuncRevokeKey     = "RevokeKey"
	FuncKey           = "Key"
	FuncKeys          = "Keys"
	FuncPublishNode   = "PublishNode"
	FuncNode          = "Node"
	FuncNodes         = "Nodes"
	FuncPublishStatus = "PublishStatus"
	FuncStatus        = "Status"
	FuncReportFork    = "ReportFork"
	FuncForks         = "Forks"
)

// Names of the contract's events.
const (
	EventLogRegistered   = "LogRegistered"
	EventLogKeyRotated   = "LogKeyRotated"
	EventAnchored        = "Anchored"
	EventKeyRegistered   = "KeyRegistered"
	EventKeyRevoked      = "KeyRevoked"
	EventNodePublished   = "NodePublished"
	EventStatusPublished = "StatusPublished"
	EventForkReported    = "ForkReported"
)
