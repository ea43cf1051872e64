package evidence

// Identifiers of the checks, in the order of the report.
const (
	CheckContainer         = "container"
	CheckManifest          = "manifest"
	CheckStatement         = "statement"
	CheckDisclosures       = "disclosures"
	CheckContent           = "content"
	CheckReceipt           = "receipt"
	CheckInclusion         = "inclusion"
	CheckTrust             = "trust"
	CheckAnchor            = "anchor"
	CheckAnchorInclusion   = "anchor-inclusion"
	CheckAnchorCheckpoint  = "anchor-checkpoint"
	CheckCheckpoint        = "checkpoint"
	CheckReceiptSignature  = "receipt-signature"
	CheckManifestSignature = "manifest-signature"
	CheckTime              = "time"
)

// checkOrder holds every check once. A report has them all.
var checkOrder = []struct{ id, zh, en string }{
	{CheckContainer, "文件格式", "File format"},
	{CheckManifest, "文件清单", "List of files"},
	{CheckStatement, "存证记录", "Record"},
	{CheckDisclosures, "已披露字段", "Disclosed fields"},
	{CheckContent, "原文比对", "Original"},
	{CheckReceipt, "回执内容", "Receipt"},
	{CheckInclusion, "入账证明", "Inclusion in the log"},
	{CheckTrust, "信任文件", "Trust file"},
	{CheckAnchor, "上链区块", "Block of the ledger"},
	{CheckAnchorInclusion, "上链入账证明", "Inclusion in the anchored log"},
	{CheckAnchorCheckpoint, "上链日志签名", "Signature of the anchored log"},
	{CheckCheckpoint, "日志签名", "Signature of the log"},
	{CheckReceiptSignature, "回执签名", "Signature of the receipt"},
	{CheckManifestSignature, "清单签名", "Signature of the list of files"},
	{CheckTime, "时间", "Times"},
}

// reason is what a code means. A code always has the same status.
type reason struct {
	status Status
	zh, en string
}

// reasons holds every code of a check. The codes are stable: programs branch on them.
var reasons = map[string]reason{
	"NOT_REACHED": {StatusSkipped, "因前面的核验项未能完成，此项无法核验。", "An earlier check did not complete, so this one could not be made."},

	"CONTAINER_OK":   {StatusPassed, "文件是完整的存证包，逐字节符合规定格式。", "The file is a complete evidence bundle; every byte of its container is as specified."},
	"CONTAINER_FORM": {StatusFailed, "文件不是存证包，或已被损坏、截断、添加内容。", "The file is not an evidence bundle, or it was damaged, cut off or added to."},
	"FORMAT_NEWER":   {StatusIndeterminate, "文件采用本程序不认识的格式版本，请使用更新的核验程序。", "The file has a format version that this program does not know; use a newer verifier."},

	"MANIFEST_OK":       {StatusPassed, "包内每个文件的大小、SM3 与 SHA-256 均与清单一致。", "Size, SM3 and SHA-256 of every file are as the list says."},
	"MANIFEST_FORM":     {StatusFailed, "文件清单格式有误。", "The list of files is malformed."},
	"MANIFEST_MISMATCH": {StatusFailed, "包内文件与清单不一致，文件在打包后被改动。", "A file differs from the list: it was changed after the bundle was made."},

	"STATEMENT_OK":   {StatusPassed, "存证记录格式正确。", "The record is well formed."},
	"STATEMENT_FORM": {StatusFailed, "存证记录格式有误。", "The record is malformed."},

	"DISCLOSURES_OK":       {StatusPassed, "已披露的字段与存证记录中的承诺值一致。", "The disclosed fields match their commitments in the record."},
	"DISCLOSURES_NONE":     {StatusSkipped, "未披露任何保密字段。", "No committed field is disclosed."},
	"DISCLOSURES_FORM":     {StatusFailed, "披露文件格式有误。", "The file of disclosures is malformed."},
	"DISCLOSURES_MISMATCH": {StatusFailed, "披露的字段与存证记录中的承诺值不一致。", "A disclosed field does not match its commitment in the record."},

	"CONTENT_OK":                {StatusPassed, "原文的杂凑值与存证记录一致。", "The digest of the original is that of the record."},
	"CONTENT_ABSENT":            {StatusSkipped, "存证包内没有原文，也未另行提供原文，因此没有比对原文。", "The original is not in the bundle and was not supplied, so it was not compared."},
	"CONTENT_NONE":              {StatusSkipped, "此类记录没有原文。", "A record of this type has no original."},
	"CONTENT_MISMATCH":          {StatusFailed, "包内原文的杂凑值与存证记录不一致。", "The digest of the original in the bundle is not that of the record."},
	"CONTENT_SUPPLIED_MISMATCH": {StatusFailed, "所提供的文件与存证记录不一致：它不是当时存证的文件，或已被改动。", "The supplied file is not the one of the record: it is another file, or it was changed."},

	"RECEIPT_OK":       {StatusPassed, "回执所载内容与存证记录一致。", "The receipt speaks of this record."},
	"RECEIPT_FORM":     {StatusFailed, "回执格式有误。", "The receipt is malformed."},
	"RECEIPT_MISMATCH": {StatusFailed, "回执与存证记录不一致。", "The receipt does not belong to this record."},

	"INCLUSION_OK":      {StatusPassed, "默克尔证明成立：该记录在日志中。", "The Merkle proof holds: the record is in the log."},
	"INCLUSION_INVALID": {StatusFailed, "默克尔证明不成立。", "The Merkle proof does not hold."},

	"TRUST_OK":             {StatusPassed, "信任文件载有该日志的密钥。", "The trust file holds the keys of this log."},
	"TRUST_NONE":           {StatusIndeterminate, "未提供信任文件，无法判断签名出自谁。请从存证机构取得信任文件后再核验。", "No trust file was given, so nobody can say whose signatures these are. Obtain it from the office and verify again."},
	"TRUST_LEDGER_UNKNOWN": {StatusIndeterminate, "信任文件没有核验该区块所需的联盟链通道配置，无法判断区块由谁签署。", "The trust file holds no configuration of the channel by which the block can be judged, so nobody can say who signed it."},
	"TRUST_LOG_UNKNOWN":    {StatusIndeterminate, "信任文件未载有该日志，无法判断签名出自谁。", "The trust file does not name this log, so nobody can say whose signatures these are."},

	"SIGNATURE_OK":              {StatusPassed, "签名有效，密钥属于签名方且当时在用。", "The signature is valid; the key is the signer's and was in use at the time."},
	"SIGNATURE_INVALID":         {StatusFailed, "签名无效。", "The signature is not valid."},
	"KEY_UNKNOWN":               {StatusIndeterminate, "信任文件没有所用的密钥，无法判断签名。", "The trust file lacks the key that was used, so the signature cannot be judged."},
	"KEY_ROLE":                  {StatusFailed, "所用密钥不得用于此类签名。", "The key is not one for signatures of this kind."},
	"KEY_NOT_IN_USE":            {StatusFailed, "签名时该密钥尚未启用或已停用。", "The key was not yet, or no longer, in use when it signed."},
	"KEY_REVOKED":               {StatusFailed, "签名时该密钥已被撤销。", "The key had been revoked when it signed."},
	"KEY_REVOKED_LATER":         {StatusIndeterminate, "该密钥后来因失密被撤销，且没有先于撤销的上链证明表明此签名当时已有，不能排除倒签。", "The key was later revoked as compromised, and no anchor proves that this signature was there before: it may have been dated back."},
	"KEY_REVOKED_AFTER_ANCHOR":  {StatusPassed, "签名有效。该密钥后来因失密被撤销，但记录在撤销之前已经上链。", "The signature is valid. The key was later revoked as compromised, but the record was anchored before that."},
	"KEY_REVOKED_WITHOUT_FAULT": {StatusPassed, "签名有效。该密钥后来正常停用（更换或不再使用），不影响此前的签名。", "The signature is valid. The key was later revoked without fault (replaced or no longer needed), which leaves earlier signatures standing."},
	"CHECKPOINT_FORM":           {StatusFailed, "日志检查点格式有误或属于其他日志。", "The checkpoint is malformed or belongs to another log."},

	"ANCHOR_NONE":          {StatusSkipped, "该记录尚未上链。", "The record is not anchored on a ledger yet."},
	"ANCHOR_LATER":         {StatusSkipped, "上链时间晚于核验时点，按核验时点视为尚未上链。", "The record was anchored after the time of the verdict; at that time it was not."},
	"ANCHOR_OK":            {StatusPassed, "账本区块的签名有效，其中载有该日志的检查点。", "The signature of the ledger's block is valid, and the block holds the log's checkpoint."},
	"ANCHOR_CONSORTIUM_OK": {StatusPassed, "区块载有法定多数排序节点的签名，载有该日志检查点的交易由足够多的机构背书。", "The block is signed by a quorum of the consortium's orderers, and enough organisations endorsed the transaction that holds the log's checkpoint."},
	"ANCHOR_FORM":          {StatusFailed, "上链证明格式有误。", "The anchoring proof is malformed."},
	"ANCHOR_INVALID":       {StatusFailed, "账本区块无效。", "The ledger's block is not valid."},
	"ANCHOR_MISMATCH":      {StatusFailed, "账本区块所载检查点与上链证明不一致。", "The ledger's block does not hold the checkpoint of the proof."},
	"ANCHOR_KIND":          {StatusIndeterminate, "上链证明采用本程序不认识的账本类型，请使用更新的核验程序。", "The anchoring proof is of a kind of ledger that this program does not know; use a newer verifier."},
	"ANCHOR_FORK":          {StatusFailed, "同一大小的日志有两个不同的根：日志被分叉。", "Two trees of the same size have different roots: the log was forked."},
	"ANCHOR_KEY_FOREIGN":   {StatusFailed, "签署区块的密钥属于另一个账本。", "The key that signed the block belongs to another ledger."},

	"TIME_OK":            {StatusPassed, "各项时间先后一致。", "The times follow one another as they must."},
	"TIME_AFTER_AT":      {StatusIndeterminate, "核验时点早于存证包或回执的制作时间：当时尚无此存证包。", "The verdict is asked for a time before the bundle or its receipt was made."},
	"TIME_BEFORE":        {StatusIndeterminate, "核验时点早于接收时间：当时尚无此存证。", "The time of the verdict lies before the time of receipt: the record was not there yet."},
	"TIME_CONTRADICTION": {StatusIndeterminate, "各项时间相互矛盾：后发生的步骤载有更早的时间。", "The times contradict one another: a later step bears an earlier time."},
}
