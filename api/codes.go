package api

import (
	"net/http"
	"time"

	"cunzheng/api/token"
	"cunzheng/notary"
	"cunzheng/notary/consortium"
)

// Codes of the errors this package finds itself. They are part of the interface and never change their meaning.
const (
	codeInternal         = notary.CodeInternal
	codeAborted          = "ABORTED"
	codeNoSuchPath       = "NO_SUCH_PATH"
	codeMethod           = "METHOD_NOT_ALLOWED"
	codeMediaType        = "MEDIA_TYPE_UNSUPPORTED"
	codeHeader           = "HEADER_INVALID"
	codeDigestHeader     = "DIGEST_HEADER_INVALID"
	codeRange            = "RANGE_NOT_SATISFIABLE"
	codeQuery            = notary.CodeQueryInvalid
	codeForm             = "FORM_INVALID"
	codeMultipart        = "MULTIPART_INVALID"
	codeJSON             = "JSON_INVALID"
	codeContradiction    = "CONTRADICTION"
	codeMetadataTooLarge = "METADATA_TOO_LARGE"
	codeBodyTooLarge     = "BODY_TOO_LARGE"
	codeBodyUnexpected   = "BODY_UNEXPECTED"
	codeBodyTimeout      = "BODY_TIMEOUT"
	codeBodyCut          = "BODY_CUT_OFF"
	codeBatchTooLong     = "BATCH_TOO_LONG"
	codeTokenMissing     = "TOKEN_MISSING"
	codeTokenScheme      = "TOKEN_SCHEME"
	codeTokenRevoked     = "TOKEN_REVOKED"
	codeForbidden        = notary.CodeForbidden
	codeGrantType        = "GRANT_TYPE_UNSUPPORTED"
	codeTooMany          = "TOO_MANY_REQUESTS"
	codeAccountLocked    = "ACCOUNT_LOCKED" // from one address
)

// kind is what a code means over HTTP. The titles also serve as the sentence where an error brings none of its own.
type kind struct {
	status int
	zh, en string
	retry  time.Duration // for Retry-After
	grant  bool          // on the token endpoint: invalid_grant of RFC 6749 §5.2
	speaks bool          // a 5xx whose own sentences are for the caller
}

// kinds is the one table from domain error to status.
var kinds = map[string]kind{
	codeInternal:         {status: http.StatusInternalServerError, zh: "服务器内部错误", en: "Internal error"},
	codeAborted:          {status: http.StatusServiceUnavailable, zh: "请求未完成", en: "The request was not completed", retry: time.Second},
	codeNoSuchPath:       {status: http.StatusNotFound, zh: "没有此路径", en: "No such path"},
	codeMethod:           {status: http.StatusMethodNotAllowed, zh: "此路径不支持该方法", en: "The path does not support this method"},
	codeMediaType:        {status: http.StatusUnsupportedMediaType, zh: "不支持的媒体类型", en: "Unsupported media type"},
	codeHeader:           {status: http.StatusBadRequest, zh: "请求头无效", en: "Invalid header"},
	codeDigestHeader:     {status: http.StatusBadRequest, zh: "摘要请求头无效", en: "Invalid digest header"},
	codeRange:            {status: http.StatusRequestedRangeNotSatisfiable, zh: "请求的范围无效", en: "Range not satisfiable"},
	codeQuery:            {status: http.StatusBadRequest, zh: "查询参数无效", en: "Invalid query parameter"},
	codeForm:             {status: http.StatusBadRequest, zh: "表单无效", en: "Invalid form"},
	codeMultipart:        {status: http.StatusBadRequest, zh: "multipart 表单无效", en: "Invalid multipart form"},
	codeJSON:             {status: http.StatusBadRequest, zh: "JSON 无效", en: "Invalid JSON"},
	codeContradiction:    {status: http.StatusBadRequest, zh: "请求自相矛盾", en: "The request contradicts itself"},
	codeMetadataTooLarge: {status: http.StatusRequestEntityTooLarge, zh: "元数据过大", en: "Metadata too large"},
	codeBodyTooLarge:     {status: http.StatusRequestEntityTooLarge, zh: "请求正文过大", en: "Request body too large"},
	codeBodyUnexpected:   {status: http.StatusBadRequest, zh: "此请求不应有正文", en: "This request takes no body"},
	codeBodyTimeout:      {status: http.StatusRequestTimeout, zh: "请求正文传送过慢", en: "The request body came too slowly"},
	codeBodyCut:          {status: http.StatusBadRequest, zh: "请求正文不完整", en: "The request body is incomplete"},
	codeBatchTooLong:     {status: http.StatusRequestEntityTooLarge, zh: "批次行数超过上限：自本行起均未受理", en: "The batch has too many lines: this line and all after it were refused"},
	codeTokenMissing:     {status: http.StatusUnauthorized, zh: "需要访问令牌", en: "An access token is needed"},
	codeTokenScheme:      {status: http.StatusUnauthorized, zh: "Authorization 须为 Bearer 令牌", en: "Authorization must be a Bearer token"},
	codeTokenRevoked:     {status: http.StatusUnauthorized, zh: "账号或密钥已停用，请重新登录", en: "The account or its key may no longer be used; sign in again"},
	codeGrantType:        {status: http.StatusBadRequest, zh: "不支持的 grant_type", en: "Unsupported grant_type"},
	codeTooMany:          {status: http.StatusTooManyRequests, zh: "请求过多，请稍后再试", en: "Too many requests; try again later", retry: time.Second},
	codeAccountLocked:    {status: http.StatusTooManyRequests, zh: "此账号从此地址登录失败次数过多，请稍后再试", en: "Too many failures of this account from this address; try again later", retry: time.Minute},

	notary.CodeNameInvalid:         {status: http.StatusUnprocessableEntity, zh: "文件名无效", en: "Invalid file name"},
	notary.CodeFieldInvalid:        {status: http.StatusUnprocessableEntity, zh: "字段不符合规则", en: "A field breaks a rule"},
	notary.CodeDigestInvalid:       {status: http.StatusUnprocessableEntity, zh: "杂凑值无效", en: "Invalid digest"},
	notary.CodeDigestMismatch:      {status: http.StatusUnprocessableEntity, zh: "申报的杂凑值或大小与内容不符", en: "The declared digest or size contradicts the content"},
	notary.CodeContentTooLarge:     {status: http.StatusRequestEntityTooLarge, zh: "文件过大", en: "The file is too large"},
	notary.CodeContentInterrupted:  {status: http.StatusBadRequest, zh: "上传中断", en: "The upload broke off"},
	notary.CodeIdempotencyConflict: {status: http.StatusConflict, zh: "幂等键已用于其他存证", en: "The idempotency key stands for another deposit"},
	notary.CodeIdempotencyInvalid:  {status: http.StatusBadRequest, zh: "幂等键无效", en: "Invalid idempotency key"},
	notary.CodeBatchTooLarge:       {status: http.StatusRequestEntityTooLarge, zh: "批次过大", en: "The batch is too large"},
	notary.CodeNumberInvalid:       {status: http.StatusNotFound, zh: "存证编号有误", en: "Not an evidence number"},
	notary.CodeNotFound:            {status: http.StatusNotFound, zh: "没有此存证", en: "No such evidence"},
	notary.CodeForbidden:           {status: http.StatusForbidden, zh: "您的角色无权进行此操作", en: "None of your roles may do this"},
	notary.CodeContentNotKept:      {status: http.StatusNotFound, zh: "平台未保管原文", en: "The platform does not keep the original"},
	notary.CodeContentDamaged:      {status: http.StatusInternalServerError, zh: "保存的原文已损坏", en: "The stored original is damaged", speaks: true},
	notary.CodeCursorInvalid:       {status: http.StatusBadRequest, zh: "翻页游标无效", en: "Invalid cursor"},
	notary.CodeStoreFull:           {status: http.StatusInsufficientStorage, zh: "存储空间已满", en: "The store is full", speaks: true},
	notary.CodeStoreUnavailable:    {status: http.StatusServiceUnavailable, zh: "原文存储暂不可用", en: "The store of originals is not available", retry: 10 * time.Second, speaks: true},
	notary.CodeBusy:                {status: http.StatusTooManyRequests, zh: "系统繁忙", en: "Busy", retry: time.Second},
	notary.CodeLogHalted:           {status: http.StatusServiceUnavailable, zh: "日志已停止写入", en: "The log has stopped", speaks: true},
	notary.CodeClockBehind:         {status: http.StatusServiceUnavailable, zh: "服务器时钟落后，暂停受理", en: "The server's clock is behind: nothing is accepted", retry: time.Minute, speaks: true},
	notary.CodeClockAhead:          {status: http.StatusServiceUnavailable, zh: "服务器时钟突然前跳，暂停受理", en: "The server's clock leapt ahead: nothing is accepted", retry: time.Minute, speaks: true},
	notary.CodeReceiptFailed:       {status: http.StatusInternalServerError, zh: "已受理，但回执未能生成", en: "Deposited, but the receipt could not be made", speaks: true},
	notary.CodeStopping:            {status: http.StatusServiceUnavailable, zh: "服务正在停止", en: "The service is stopping", retry: 5 * time.Second, speaks: true},
	notary.CodeOrganisationUnknown: {status: http.StatusUnprocessableEntity, zh: "没有此机构", en: "No such organisation"},
	notary.CodeOrganisationClosed:  {status: http.StatusConflict, zh: "机构已停用", en: "The organisation is closed"},
	notary.CodeAccountUnknown:      {status: http.StatusNotFound, zh: "没有此账号", en: "No such account"},
	notary.CodeAccountClosed:       {status: http.StatusConflict, zh: "账号已停用", en: "The account is closed"},
	notary.CodeAccountTaken:        {status: http.StatusConflict, zh: "账号标识已被占用", en: "The account identifier is taken"},
	notary.CodeRoleUnknown:         {status: http.StatusUnprocessableEntity, zh: "没有此角色", en: "No such role"},
	notary.CodeRoleConflict:        {status: http.StatusUnprocessableEntity, zh: "角色不得兼任", en: "Roles that exclude each other"},
	notary.CodeLastAdministrator:   {status: http.StatusConflict, zh: "不得停用最后一名管理员", en: "The last administrator of a kind stays"},
	notary.CodeKeyUnknown:          {status: http.StatusNotFound, zh: "没有此密钥", en: "No such key"},
	notary.CodeKeyExists:           {status: http.StatusConflict, zh: "密钥已登记", en: "The key is already registered"},
	notary.CodeKeyRevoked:          {status: http.StatusConflict, zh: "密钥已撤销", en: "The key is revoked"},
	notary.CodeKeyNotInUse:         {status: http.StatusConflict, zh: "密钥不在有效期内", en: "The key is not within its validity"},
	notary.CodePasswordWeak:        {status: http.StatusUnprocessableEntity, zh: "密码强度不足", en: "The password is too weak"},
	notary.CodeLoginFailed:         {status: http.StatusUnauthorized, zh: "账号或密码错误", en: "Wrong account or password", grant: true},

	consortium.CodeOfficeUnknown:        {status: http.StatusNotFound, zh: "联盟中没有此机构", en: "No such office in the consortium"},
	consortium.CodeNodeUnavailable:      {status: http.StatusServiceUnavailable, zh: "其他机构的节点暂无应答", en: "Another office's node does not answer", retry: 10 * time.Second, speaks: true},
	consortium.CodeNodeAnswer:           {status: http.StatusBadGateway, zh: "其他机构的节点未给出证明", en: "Another office's node gave no proof", speaks: true},
	consortium.CodeProofFalse:           {status: http.StatusBadGateway, zh: "其他机构的节点给出的证明不成立", en: "Another office's node gave a false proof", speaks: true},
	consortium.CodeProofUndecided:       {status: http.StatusBadGateway, zh: "其他机构的节点给出的证明无法判定", en: "The proof of another office's node can be neither confirmed nor refuted", speaks: true},
	consortium.CodeDirectoryUnavailable: {status: http.StatusServiceUnavailable, zh: "联盟账本暂不可用", en: "The consortium's ledger is out of reach", retry: 10 * time.Second, speaks: true},

	string(token.CodeMalformed):   {status: http.StatusUnauthorized, zh: "令牌格式有误", en: "The token is malformed", grant: true},
	string(token.CodeAlgorithm):   {status: http.StatusUnauthorized, zh: "令牌算法只能是 SM2-SM3", en: "The algorithm of the token must be SM2-SM3", grant: true},
	string(token.CodeUnknownKey):  {status: http.StatusUnauthorized, zh: "签署令牌的密钥未登记、已停用或不属于该账号", en: "The key of the token is not registered, not in use, or another account's", grant: true},
	string(token.CodeSignature):   {status: http.StatusUnauthorized, zh: "令牌签名不符", en: "The signature of the token does not fit", grant: true},
	string(token.CodeExpired):     {status: http.StatusUnauthorized, zh: "令牌已过期", en: "The token has expired", grant: true},
	string(token.CodeNotYetValid): {status: http.StatusUnauthorized, zh: "令牌尚未生效，请检查时钟", en: "The token is not valid yet; check the clock", grant: true},
	string(token.CodeIssuer):      {status: http.StatusUnauthorized, zh: "令牌由其他平台签发", en: "The token is another platform's", grant: true},
	string(token.CodeAudience):    {status: http.StatusUnauthorized, zh: "令牌的接收方不是本平台", en: "The token is meant for another platform", grant: true},
	string(token.CodeClaims):      {status: http.StatusUnauthorized, zh: "令牌内容缺失或矛盾", en: "Claims of the token are missing or contradict each other", grant: true},
	string(token.CodeReplayed):    {status: http.StatusUnauthorized, zh: "该断言已使用过", en: "The assertion was used before", grant: true},
	string(token.CodeBusy):        {status: http.StatusTooManyRequests, zh: "登录请求过多，请稍后再试", en: "Too many sign-ins; try again later", retry: 10 * time.Second},
}
