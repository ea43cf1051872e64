package notary

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"cunzheng/evidence"
	"cunzheng/ledger"
	"cunzheng/notary/vault"
)

// Error is an error for people and programs.
type Error struct {
	Code     string        // stable; programs act on it
	ZH, EN   string        // one sentence or more each, without secrets and personal data
	Field    string        // what is wrong, as a path in the JSON form, or empty
	Existing string        // number of the evidence that is in the way, or empty
	Retry    time.Duration // when to try again, or 0
	Err      error         // the cause, for the log only; may be nil
}

// Codes of an [Error]. They are part of the interface and never change their meaning.
const (
	CodeNameInvalid         = "NAME_INVALID"         // file name with path parts or control characters, too long, or missing
	CodeFieldInvalid        = "FIELD_INVALID"        // another field breaks a rule of the format
	CodeDigestInvalid       = "DIGEST_INVALID"       // SM3 missing
	CodeDigestMismatch      = "DIGEST_MISMATCH"      // declared digest or size contradicts the bytes
	CodeContentTooLarge     = "CONTENT_TOO_LARGE"    // over the configured limit
	CodeContentInterrupted  = "CONTENT_INTERRUPTED"  // the upload broke off
	CodeIdempotencyConflict = "IDEMPOTENCY_CONFLICT" // the key stands for another deposit, see Existing
	CodeIdempotencyInvalid  = "IDEMPOTENCY_KEY_INVALID"
	CodeBatchTooLarge       = "BATCH_TOO_LARGE"
	CodeNumberInvalid       = "NUMBER_INVALID"   // not an evidence number, or its check character is wrong
	CodeNotFound            = "NOT_FOUND"        // no such evidence, or not for this actor
	CodeForbidden           = "FORBIDDEN"        // the actor's roles do not allow this
	CodeContentNotKept      = "CONTENT_NOT_KEPT" // only the digest was deposited
	CodeContentDamaged      = "CONTENT_DAMAGED"  // the stored original no longer is what was deposited
	CodeCursorInvalid       = "CURSOR_INVALID"   // the cursor is not from this query
	CodeQueryInvalid        = "QUERY_INVALID"
	CodeStoreFull           = "STORE_FULL"        // no room for originals
	CodeStoreUnavailable    = "STORE_UNAVAILABLE" // the store of originals is down or refuses us
	CodeBusy                = "BUSY"              // too much waits; see Retry
	CodeLogHalted           = "LOG_HALTED"        // the log stopped; whether the deposit is in it is not known
	CodeClockBehind         = "CLOCK_BEHIND"      // the machine's clock shows a time that has passed; see Retry
	CodeClockAhead          = "CLOCK_AHEAD"       // the machine's clock leapt ahead; see Retry
	CodeReceiptFailed       = "RECEIPT_FAILED"    // the deposit stands, see Existing; its answer could not be made
	CodeStopping            = "STOPPING"          // the service is being stopped
	CodeInternal            = "INTERNAL"
	CodeOrganisationUnknown = "ORGANISATION_UNKNOWN"
	CodeOrganisationClosed  = "ORGANISATION_CLOSED"
	CodeAccountUnknown      = "ACCOUNT_UNKNOWN"
	CodeAccountClosed       = "ACCOUNT_CLOSED"
	CodeAccountTaken        = "ACCOUNT_TAKEN" // the identifier belongs to another organisation
	CodeRoleUnknown         = "ROLE_UNKNOWN"
	CodeRoleConflict        = "ROLE_CONFLICT"      // administrators hold no other role
	CodeLastAdministrator   = "LAST_ADMINISTRATOR" // nobody else could act in this administrator's role
	CodeKeyUnknown          = "KEY_UNKNOWN"
	CodeKeyExists           = "KEY_EXISTS"
	CodeKeyRevoked          = "KEY_REVOKED"
	CodeKeyNotInUse         = "KEY_NOT_IN_USE" // before or after its validity
	CodePasswordWeak        = "PASSWORD_WEAK"
	CodeLoginFailed         = "LOGIN_FAILED" // unknown account or wrong password; never says which
)

// Error gives the code, the English sentence and the cause.
func (e *Error) Error() string {
	s := e.Code + ": " + e.EN
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func refuse(code, zh, en string) *Error { return &Error{Code: code, ZH: zh, EN: en} }

func (e *Error) because(err error) *Error { e.Err = err; return e }
func (e *Error) at(field string) *Error   { e.Field = field; return e }

func internal(err error) *Error {
	return refuse(CodeInternal, "服务器内部错误。", "Internal error.").because(err)
}

// errorOf returns err if it is an *Error, and makes one of everything else.
func errorOf(err error) error {
	if _, ok := errors.AsType[*Error](err); ok || err == nil {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return full(err)
	}
	return internal(err)
}

func full(err error) *Error {
	return refuse(CodeStoreFull, "存储空间已满，未受理。", "There is no room left; nothing was deposited.").because(err)
}

// maxProblems bounds how many of the problems of a statement an error tells.
const maxProblems = 5

// fieldError turns what evidence says about a statement into an Error.
func fieldError(err error) error {
	found, ok := errors.AsType[evidence.FieldErrors](err)
	if !ok || len(found) == 0 {
		return internal(err)
	}
	e := &Error{Code: CodeFieldInvalid, Field: found[0].Field, Err: err}
	switch found[0].Field {
	case privatePrefix + evidence.FieldName:
		e.Code, e.Field = CodeNameInvalid, "name"
	case "content.sm3", "content.sha256":
		e.Code = CodeDigestInvalid
	}
	var zh, en strings.Builder
	for i, f := range found {
		if i == maxProblems {
			fmt.Fprintf(&zh, "另有 %d 项。", len(found)-i)
			fmt.Fprintf(&en, " And %d more.", len(found)-i)
			break
		}
		if i > 0 {
			en.WriteByte(' ')
		}
		name := f.Field
		if name == privatePrefix+evidence.FieldName {
			name = "name"
		}
		fmt.Fprintf(&zh, "%s：%s", name, f.ZH)
		fmt.Fprintf(&en, "%s %s.", name, f.EN)
	}
	e.ZH, e.EN = zh.String(), en.String()
	return e
}

const privatePrefix = "private."

// logError says what an error of the log means for a caller. definite means that nothing was appended for sure.
func logError(err error) (_ error, definite bool) {
	switch {
	case errors.Is(err, ledger.ErrBusy):
		return &Error{Code: CodeBusy, ZH: "系统繁忙，请稍后重试。", EN: "Too many deposits are waiting; try again soon.",
			Retry: time.Second, Err: err}, true
	case errors.Is(err, ledger.ErrFull):
		return full(err), true
	case errors.Is(err, ledger.ErrClosed):
		return refuse(CodeStopping, "服务正在停止，未受理。", "The service is stopping; nothing was deposited.").because(err), true
	case errors.Is(err, ledger.ErrHalted):
		return refuse(CodeLogHalted, "日志已停止写入，本次存证是否成功尚不确定；恢复后请用相同的幂等键重试。",
			"The log has stopped; whether this was deposited is not known. Repeat with the same idempotency key once it works again.").because(err), false
	case errors.Is(err, ledger.ErrInvalid):
		return internal(err), true
	}
	return internal(err), false
}

// unanswered says that a deposit stands under number and that its answer could not be made.
func unanswered(number string, err error) error {
	e := refuse(CodeReceiptFailed, "存证 "+number+" 已受理，但回执未能生成；请稍后用编号查询。",
		"The deposit stands under the number "+number+", but its receipt could not be made; look it up later.")
	e.Existing = number
	return e.because(err)
}

// contentError says what an error of the vault means for a caller.
func contentError(err error, limit int64) error {
	switch {
	case errors.Is(err, vault.ErrTooLarge):
		return tooLarge(limit).because(err)
	case errors.Is(err, vault.ErrNoSpace):
		return full(err)
	case errors.Is(err, vault.ErrUnavailable), errors.Is(err, vault.ErrDenied), errors.Is(err, vault.ErrNoBucket):
		e := refuse(CodeStoreUnavailable, "原文存储暂不可用，请稍后重试。", "The store of originals is not available; try again later.")
		e.Retry = 10 * time.Second
		return e.because(err)
	case errors.Is(err, vault.ErrCorrupt), errors.Is(err, vault.ErrNotFound), errors.Is(err, evidence.ErrContent):
		return refuse(CodeContentDamaged, "保存的原文已损坏或缺失，请联系管理员从备份恢复；存证记录本身不受影响。",
			"The stored original is damaged or missing; an administrator must restore it from a backup. The record itself is intact.").because(err)
	}
	if _, ok := errors.AsType[*vault.SourceError](err); ok {
		return refuse(CodeContentInterrupted, "上传中断，未受理。", "The upload broke off; nothing was deposited.").because(err)
	}
	return internal(err)
}

func tooLarge(limit int64) *Error {
	return refuse(CodeContentTooLarge, fmt.Sprintf("文件超过上限 %d 字节。", limit),
		fmt.Sprintf("The file is larger than the limit of %d bytes.", limit)).at("content")
}
