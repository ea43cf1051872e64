package consortium

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"cunzheng/evidence"
	"cunzheng/ledger/anchor/directory"
	"cunzheng/notary"
)

// Codes of the *[notary.Error] that [Consortium.Find] returns, beside notary.CodeNumberInvalid and notary.CodeNotFound.
// They are part of the interface and never change their meaning.
const (
	CodeOfficeUnknown        = "OFFICE_UNKNOWN"        // no node in the directory has this office code
	CodeNodeUnavailable      = "NODE_UNAVAILABLE"      // the node does not answer, or not in time
	CodeNodeAnswer           = "NODE_ANSWER_INVALID"   // the node answers with something else than a proof
	CodeProofFalse           = "PROOF_FALSE"           // the node's proof is refuted; an alarm was raised
	CodeProofUndecided       = "PROOF_UNDECIDED"       // the node's proof can be neither confirmed nor refuted
	CodeDirectoryUnavailable = "DIRECTORY_UNAVAILABLE" // the ledger with the directory is out of reach
)

// FalseProof is an alarm: a node of the consortium served a proof that is refuted, or the proof of something else.
type FalseProof struct {
	Node   directory.Node
	Number string           // that was asked for
	SM3    evidence.Digest  // that was asked for
	Report *evidence.Report // by evidence.Verify
}

func (f *FalseProof) Error() string {
	var failed []string
	for _, c := range f.Report.Checks {
		if c.Status == evidence.StatusFailed {
			failed = append(failed, c.ID+" "+c.Code)
		}
	}
	if len(failed) == 0 { // then the statement could be read
		failed = append(failed, fmt.Sprintf("it is the proof of %s in the log %s, of content with the SM3 %s",
			f.Report.Number, f.Report.Subject.Log, contentOf(f.Report)))
	}
	return fmt.Sprintf("consortium: %s (%s) serves a false proof of %s with the SM3 %s: %s",
		f.Node.Origin, f.Node.URL, f.Number, f.SM3, strings.Join(failed, ", "))
}

const (
	retryNode      = 10 * time.Second
	retryDirectory = 10 * time.Second
)

func fail(code, zh, en string, cause error) *notary.Error {
	return &notary.Error{Code: code, ZH: zh, EN: en, Err: cause}
}

func numberInvalid(err error) error {
	e := fail(notary.CodeNumberInvalid, "不是存证编号。", "This is not an evidence number.", err)
	e.Field = "number"
	if n, ok := errors.AsType[*evidence.NumberError](err); ok {
		e.ZH, e.EN = n.ZH(), n.Error()
	}
	return e
}

func notFound(number string) error {
	return fail(notary.CodeNotFound, "没有编号为 "+number+" 且原文摘要相符的公开证明。",
		"There is no public proof with the number "+number+" whose content has this digest.", nil)
}

func officeUnknown(office string) error {
	return fail(CodeOfficeUnknown, "联盟目录中没有机构 "+office+"。", "The consortium's directory has no office "+office+".", nil)
}

func nodeUnavailable(n directory.Node, cause error) error {
	e := fail(CodeNodeUnavailable, "机构 "+n.Office+" 的节点暂无应答，请稍后重试。",
		"The node of office "+n.Office+" does not answer; try again later.", fmt.Errorf("node of %s: %w", n.Origin, cause))
	e.Retry = retryNode
	return e
}

func nodeAnswer(n directory.Node, cause error) error {
	return fail(CodeNodeAnswer, "机构 "+n.Office+" 的节点未给出证明（可能不提供公开证明）。",
		"The node of office "+n.Office+" answered with something else than a proof; it may not offer public ones.",
		fmt.Errorf("node of %s: %w", n.Origin, cause))
}

func proofFalse(f *FalseProof) error {
	return fail(CodeProofFalse, "机构 "+f.Node.Office+" 的节点给出的证明不成立，未予转交，已告警。",
		"The proof that the node of office "+f.Node.Office+" gave is false; it is not passed on, and an alarm was raised.", f)
}

func proofUndecided(n directory.Node, report *evidence.Report) error {
	var undecided []string
	for _, c := range report.Checks {
		if c.Status == evidence.StatusIndeterminate {
			undecided = append(undecided, c.ID+" "+c.Code)
		}
	}
	return fail(CodeProofUndecided, "机构 "+n.Office+" 的节点给出的证明目前无法判定，未予转交。",
		"The proof that the node of office "+n.Office+" gave can be neither confirmed nor refuted at present; it is not passed on.",
		fmt.Errorf("proof by %s: %s", n.Origin, strings.Join(undecided, ", ")))
}

func directoryUnavailable(cause error) error {
	e := fail(CodeDirectoryUnavailable, "联盟账本暂不可用，无法查找其他机构的证明，请稍后重试。",
		"The consortium's ledger is out of reach, so that proofs of other offices cannot be found; try again later.", cause)
	e.Retry = retryDirectory
	return e
}
