package evidence

import "strings"

// conclude puts the checks in order and draws verdict, level, and what is proven and what is not.
func (v *verification) conclude() {
	r := v.report
	r.Verdict, r.Level = Passed, LevelNone
	r.Checks = make([]Check, 0, len(checkOrder))
	for _, c := range checkOrder {
		v.set(c.id, "NOT_REACHED", nil)
		check := v.results[c.id]
		r.Checks = append(r.Checks, check)
		switch {
		case check.Status == StatusFailed:
			r.Verdict = Failed
		case check.Status == StatusIndeterminate && r.Verdict == Passed:
			r.Verdict = Indeterminate
		case check.Code == "NOT_REACHED" && r.Verdict == Passed:
			r.Verdict = Indeterminate // a check that was not made never counts as made
		}
	}
	r.Proves, r.Limits = []Remark{}, []Remark{}
	if r.Verdict == Passed {
		r.Level = LevelAccepted
		if v.statement.Type.Evidence() {
			r.prove("PROVES_ACCEPTED")
		} else {
			r.prove("PROVES_REGISTERED")
		}
		if v.anchored != 0 {
			r.Level = LevelAnchored
		}
		switch {
		case v.anchored != 0 && v.kind == LedgerFabric:
			r.prove("PROVES_CONSORTIUM")
		case v.anchored != 0:
			r.prove("PROVES_ANCHORED")
		}
		if v.results[CheckContent].Code == "CONTENT_OK" {
			r.prove("PROVES_CONTENT")
		}
	}
	r.limit("LIMIT_TRUTH", true)
	r.limit("LIMIT_DECLARED", v.statement != nil && v.statement.Type.Evidence())
	r.limit("LIMIT_DIGEST", v.statement != nil && v.statement.Type == TypeDigest)
	r.limit("LIMIT_CONTENT", v.results[CheckContent].Code == "CONTENT_ABSENT")
	r.limit("LIMIT_CLOCK", true)
	anchor := v.results[CheckAnchor].Code
	r.limit("LIMIT_NO_ANCHOR", anchor == "ANCHOR_NONE" || anchor == "ANCHOR_LATER")
	r.limit("LIMIT_EMBEDDED", v.anchored != 0 && v.kind == LedgerEmbedded)
	r.limit("LIMIT_CONSORTIUM_EFFECT", v.anchored != 0 && v.kind == LedgerFabric)
	r.limit("LIMIT_CONSORTIUM_TIME", v.anchored != 0 && v.kind == LedgerFabric)
	r.limit("LIMIT_CONSORTIUM_ALGORITHM", v.anchored != 0 && v.kind == LedgerFabric)
	r.limit("LIMIT_WITHHELD", r.Subject != nil && len(r.Subject.Withheld) > 0)
	r.limit("LIMIT_TRUST", v.in.Trust != nil)
}

func (r *Report) prove(code string) {
	t := remarks[code]
	r.Proves = append(r.Proves, Remark{Code: code, EN: t.en, ZH: t.zh})
}

func (r *Report) limit(code string, applies bool) {
	if applies {
		t := remarks[code]
		r.Limits = append(r.Limits, Remark{Code: code, EN: t.en, ZH: t.zh})
	}
}

// remarks holds what a report says is proven, and what not.
var remarks = map[string]struct{ zh, en string }{
	"PROVES_ACCEPTED": {
		"具有所载杂凑值的数据在平台接收时间之前已经存在，由所载主体提交，自写入日志之时起未检出改动。",
		"Data with the stated digest existed before the time of receipt, was brought by the stated depositor, and no change was found since it entered the log.",
	},
	"PROVES_REGISTERED": {
		"该登记记录于平台接收时间写入日志，此后未检出改动。",
		"The registration entered the log at the time of receipt, and no change was found since.",
	},
	"PROVES_ANCHORED": {
		"载有该记录的日志已在所载区块时间上链，自上链之时起未检出改动。",
		"The log that holds the record was anchored on the ledger at the stated block time, and no change was found since.",
	},
	"PROVES_CONSORTIUM": {
		"所列背书机构的节点各自执行合约、核对了载有该记录的日志检查点并签名；所列机构的排序节点以法定多数将其写入所载区块。自写入之时起未检出改动。",
		"Peers of the stated endorsing organisations each ran the contract on the head of the log that holds the record and signed the result, and a quorum of the stated organisations' orderers put it into the stated block. No change was found since.",
	},
	"PROVES_CONTENT": {
		"所比对的原文就是当时存证的数据，逐字节一致。",
		"The original that was compared is, byte for byte, the data of the record.",
	},

	"LIMIT_TRUTH": {
		"本报告不证明数据内容的真实性、合法性，亦不属于公证书。",
		"This report does not prove that the content is true or lawful, and it is not a notarial certificate.",
	},
	"LIMIT_DECLARED": {
		"来源系统、生成方式、生成时间、保管经过等存证之前的情况由申请人申报，未经本报告证明。",
		"What lies before the deposit (source system, way and time of generation, custody) is declared by the depositor and not proven here.",
	},
	"LIMIT_DIGEST": {
		"平台只收到杂凑值，从未见过原文；杂凑值由申请人计算。",
		"The platform received the digest only and never saw the original; the depositor computed the digest.",
	},
	"LIMIT_CONTENT": {
		"本次没有比对原文：持有的文件是否就是当时存证的文件，须另行提供原文核验。",
		"The original was not compared: whether a file at hand is the one of the record must be checked by supplying it.",
	},
	"LIMIT_CLOCK": {
		"接收时间来自平台自身的时钟，不是独立时间戳机构签发的可信时间戳。",
		"The time of receipt is that of the platform's own clock, not a time-stamp of an independent authority.",
	},
	"LIMIT_NO_ANCHOR": {
		"按核验时点，没有上链证明：记录的存在与不变仅由平台自己的日志签名证明。",
		"At the time of the verdict there is no proof by a ledger: that the record exists unchanged rests on the platform's own log alone.",
	},
	"LIMIT_EMBEDDED": {
		"所用账本为内嵌账本，是单一机构自己维护的链，不是多方共识的联盟链；区块时间由该机构自行记载。",
		"The ledger is an embedded one: one organisation's own chain, not a consortium's; the block time is that organisation's claim.",
	},
	"LIMIT_CONSORTIUM_EFFECT": {
		"区块中各交易的有效标记由各节点自行填写，无人签名，不作为证据；本报告不证明该交易在各节点已经生效，可凭交易号向任一成员机构查询。",
		"The validation flags in a block are each peer's own and signed by nobody: they are not evidence. That the transaction took effect on the peers is not proven here; any member can be asked by its identifier.",
	},
	"LIMIT_CONSORTIUM_TIME": {
		"联盟链的上链时间由提交方申报，不是时间证据；区块号只表明先后次序。",
		"The time of a consortium's transaction is its submitter's claim and no evidence of time; the block's number shows the order only.",
	},
	"LIMIT_CONSORTIUM_ALGORITHM": {
		"联盟链（Hyperledger Fabric）自身的签名采用 ECDSA P-256 与 SHA-256，不是 SM2；记录、回执与日志的签名为 SM2。",
		"The consortium's own signatures (Hyperledger Fabric) are ECDSA P-256 with SHA-256, not SM2; those of record, receipt and log are SM2.",
	},
	"LIMIT_WITHHELD": {
		"部分保密字段未披露，本报告不涉及其内容。",
		"Some committed fields are not disclosed; this report says nothing about them.",
	},
	"LIMIT_TRUST": {
		"结论以所用信任文件真实为前提；请通过其他渠道核对信任文件的 SM3 或其中的密钥指纹。",
		"The verdict stands on the trust file being genuine: compare its SM3, or the fingerprints of its keys, on another channel.",
	},
}

// printable replaces what a terminal or a page could take for an instruction, and cuts the text.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || hides(r) {
			return '�'
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}
