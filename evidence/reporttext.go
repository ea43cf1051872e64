package evidence

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Encode returns the canonical form of the report.
func (r *Report) Encode() ([]byte, error) { return canonical(r) }

// Language is a language of [Report.Text].
type Language string

// Languages.
const (
	Chinese Language = "zh"
	English Language = "en"
)

// Text returns the report for people: the verdict first, then what it is about, what is proven, each check, and what
// is not proven.
func (r *Report) Text(lang Language) string {
	t := &reportText{lang: lang}
	t.verdict(r)
	if r.Subject != nil {
		t.subject(r)
	}
	if len(r.Proves) > 0 {
		t.heading("证明的内容", "What is proven")
		t.remarks(r.Proves)
	}
	t.heading("核验事项", "Checks")
	for _, c := range r.Checks {
		t.check(c)
	}
	t.heading("不证明的内容", "What is not proven")
	t.remarks(r.Limits)
	t.heading("核验依据", "Basis")
	t.field("核验时点", "Time of the verdict", t.time(r.At))
	t.digest("信任文件 SM3", "Trust file, SM3", r.Trust)
	t.digest("文件清单 SM3", "List of files, SM3", r.Bundle)
	return t.String()
}

type reportText struct {
	strings.Builder
	lang Language
}

func (t *reportText) say(zh, en string) string {
	if t.lang == English {
		return en
	}
	return zh
}

func (t *reportText) heading(zh, en string) { fmt.Fprintf(t, "\n%s\n", t.say(zh, en)) }

// field writes one line of a table, unless the value is empty. Chinese characters are two columns wide.
func (t *reportText) field(zh, en, value string) {
	if value == "" {
		return
	}
	label := t.say(zh, en)
	width := 0
	for _, r := range label {
		width++
		if r > 0x2e80 {
			width++
		}
	}
	const column = 26
	lines := strings.Split(value, "\n")
	fmt.Fprintf(t, "  %s%s%s\n", label, strings.Repeat(" ", max(1, column-width)), lines[0])
	for _, line := range lines[1:] {
		fmt.Fprintf(t, "  %s%s\n", strings.Repeat(" ", column), line)
	}
}

func (t *reportText) digest(zh, en string, d Digest) {
	if !d.IsZero() {
		t.field(zh, en, d.String())
	}
}

// time writes China Standard Time, in which the people who read this live, and UTC beside it.
func (t *reportText) time(i Instant) string {
	if i == 0 {
		return ""
	}
	local := i.Time().In(chinaStandardTime).Format("2006-01-02 15:04:05.000")
	return fmt.Sprintf("%s %s (%s)", local, t.say("北京时间", "UTC+8"), i)
}

func (t *reportText) verdict(r *Report) {
	var zh, en string
	switch {
	case r.Verdict == Passed && r.Level == LevelAnchored:
		zh, en = "核验通过：已入日志并已上链", "in the log and anchored on a ledger"
	case r.Verdict == Passed:
		zh, en = "核验通过：已入日志，尚未上链", "in the log, not anchored yet"
	case r.Verdict == Indeterminate:
		zh, en = "无法判定：现有材料不足以得出结论", "what is at hand does not suffice for a verdict"
	default:
		zh, en = "核验不通过：存证包或原文有误，不能作为证明", "the bundle or the original is wrong and proves nothing"
	}
	fmt.Fprintf(t, "%s\n", t.say(fmt.Sprintf("%s（%s）", zh, r.Verdict), fmt.Sprintf("%s: %s", r.Verdict, en)))
	// Why, each reason once; that keys are unknown follows from a missing trust file and is not said again.
	said := make(map[string]bool)
	for _, c := range r.Checks {
		decides := string(c.Status) == string(r.Verdict) && r.Verdict != Passed && !((c.Code == "KEY_UNKNOWN" || c.Code == "TRUST_LEDGER_UNKNOWN") && (said["TRUST_NONE"] || said["TRUST_LOG_UNKNOWN"]))
		if (decides || c.Code == "CONTENT_ABSENT" && r.Verdict == Passed) && !said[c.Code] {
			fmt.Fprintf(t, "  %s\n", t.say(c.ZH, c.EN))
		}
		said[c.Code] = true
	}
}

func (t *reportText) subject(r *Report) {
	u, s := r.Subject, r.Subject.Statement
	t.heading("存证记录所载", "What the record says")
	t.field("存证编号", "Evidence number", s.Number)
	t.field("类型", "Type", t.code("", string(s.Type)))
	t.field("存证机构", "Office", u.Office)
	t.field("日志与序号", "Log and index", fmt.Sprintf("%s #%d", u.Log, u.Index))
	t.field("存证主体", "Depositor", cmp.Or(s.Depositor.Name, s.Depositor.Organisation))
	t.field("统一社会信用代码", "Credit code", s.Depositor.CreditCode)
	t.field("账户", "Account", s.Depositor.Organisation+" / "+s.Depositor.Account)
	t.field("身份认证", "Authentication", t.code("authentication-", string(s.Depositor.Authentication)))
	t.field("平台接收时间", "Received", t.time(s.ReceivedAt))
	if u.Anchor != nil {
		t.anchor(u.Anchor)
	}
	if c := s.Content; c != nil {
		t.field("SM3", "SM3", groups(c.SM3))
		if !c.SHA256.IsZero() {
			t.field("SHA-256", "SHA-256", groups(c.SHA256))
		}
		if c.Size != nil {
			t.field("大小（字节）", "Size in bytes", fmt.Sprint(*c.Size))
		}
		t.field("格式", "Media type", c.MediaType)
		t.field("原文保管", "Original kept by", t.code("kept-", string(s.OriginalKept)))
	}
	if p := s.Provenance; p != nil {
		t.field("来源系统（申报）", "Source system (declared)", p.SourceSystem)
		t.field("生成方式（申报）", "Generation (declared)", t.code("", string(p.Generation)))
		t.field("生成时间（申报）", "Generated (declared)", t.time(p.DeclaredAt))
		t.field("采集时间（申报）", "Collected (declared)", t.time(p.CollectedAt))
		t.field("采集工具（申报）", "Tool (declared)", strings.TrimSpace(p.Tool+" "+p.ToolVersion))
		t.field("保管经过（申报）", "Custody (declared)", t.code("custody-", string(p.Custody)))
		t.field("采集环境（申报）", "Environment (declared)", t.code("environment-", string(p.Environment)))
	}
	t.field("案号", "Case", s.Case)
	t.field("业务关联号", "Correlation", s.Correlation)
	t.field("关联存证", "Related evidence", strings.Join(s.Related, "\n"))
	disclosed := slices.Clone(u.Disclosed)
	slices.SortStableFunc(disclosed, func(a, b DisclosedText) int { return cmp.Compare(fieldRank(a.Field), fieldRank(b.Field)) })
	for _, d := range disclosed {
		name := t.code("", d.Field)
		t.field(name, name, d.Value)
	}
	withheld := make([]string, len(u.Withheld))
	for i, field := range u.Withheld {
		withheld[i] = t.code("", field)
	}
	t.field("未披露字段", "Not disclosed", strings.Join(withheld, t.say("、", ", ")))
}

func (t *reportText) anchor(a *AnchorSummary) {
	c := a.Consortium
	if c == nil {
		t.field("上链时间", "Anchored", t.time(a.Time))
	} else {
		t.field("上链时间（提交方申报）", "Anchored (as claimed)", t.time(a.Time))
	}
	t.field("账本", "Ledger", fmt.Sprintf("%s (%s), %s %d", printable(a.Ledger), t.code("", a.Kind), t.say("区块", "block"), a.Height))
	t.field("账本运营方", "Operators of the ledger", strings.Join(a.Operators, ", "))
	if c == nil {
		return
	}
	t.field("提交机构", "Submitted by", c.Submitter)
	t.field("背书机构", "Endorsed by", strings.Join(c.Endorsers, ", "))
	t.field("排序签名机构", "Ordered by", fmt.Sprintf(t.say("%s（%d 个排序节点中 %d 个签名，须 %d 个）", "%s (%d orderers, %d signed, %d needed)"),
		strings.Join(c.Orderers, ", "), c.Total, c.Signatures, c.Quorum))
	t.field("交易号", "Transaction", c.Transaction)
}

// fieldRank orders committed fields for people: what it is, who collected it, then the rest.
func fieldRank(field string) int {
	known := []string{FieldName, FieldDescription, FieldCollector}
	if i := slices.Index(known, field); i >= 0 {
		return i
	}
	return len(known)
}

// groups writes a digest in groups of eight, on two lines.
func groups(d Digest) string {
	s := d.String()
	var b strings.Builder
	for i := 0; i < len(s); i += 8 {
		switch {
		case i == len(s)/2:
			b.WriteByte('\n')
		case i > 0:
			b.WriteByte(' ')
		}
		b.WriteString(s[i : i+8])
	}
	return b.String()
}

func (t *reportText) check(c Check) {
	i := slices.IndexFunc(checkOrder, func(o struct{ id, zh, en string }) bool { return o.id == c.ID })
	mark := map[Status]string{
		StatusPassed:        t.say("[通过]", "[passed]"),
		StatusFailed:        t.say("[失败]", "[FAILED]"),
		StatusIndeterminate: t.say("[待定]", "[undecided]"),
		StatusSkipped:       t.say("[未核]", "[skipped]"),
	}[c.Status]
	fmt.Fprintf(t, "  %s %s%s%s (%s)\n", mark, t.say(checkOrder[i].zh, checkOrder[i].en), t.say("：", ": "), t.say(c.ZH, c.EN), c.Code)
	if c.Detail != "" && c.Status != StatusPassed {
		fmt.Fprintf(t, "      %s\n", c.Detail)
	}
}

func (t *reportText) remarks(list []Remark) {
	for _, r := range list {
		fmt.Fprintf(t, "  - %s\n", t.say(r.ZH, r.EN))
	}
}

// code returns the word for a code of one kind, or the code itself if it has none.
func (t *reportText) code(kind, code string) string {
	if l, ok := labels[kind+code]; ok {
		return t.say(l[0], l[1])
	}
	return code
}

// labels holds the words for codes. Codes of different kinds that would meet bear the kind before them.
var labels = map[string][2]string{
	string(TypeFile):          {"文件存证", "file"},
	string(TypeDigest):        {"摘要存证", "digest only"},
	string(TypeOrganisation):  {"机构登记", "registration of an organisation"},
	string(TypeOfficer):       {"账户登记", "registration of an account"},
	string(TypeKey):           {"密钥登记", "registration of a key"},
	string(TypeKeyRevocation): {"密钥撤销", "revocation of a key"},
	string(TypeLogKey):        {"平台密钥启用", "key of the platform taken into use"},

	LedgerEmbedded: {"内嵌账本，单一机构自有链", "embedded: one organisation's own chain"},
	LedgerFabric:   {"联盟链 Hyperledger Fabric", "a consortium's channel of Hyperledger Fabric"},

	"kept-platform":  {"平台", "platform"},
	"kept-depositor": {"申请人", "depositor"},

	"authentication-key":      {"本单位 SM2 密钥", "own SM2 key"},
	"authentication-password": {"用户名与口令", "name and password"},

	string(GenerationSystem):     {"系统自动生成", "by a system in its normal course"},
	string(GenerationManual):     {"人工制作", "written or entered by a person"},
	string(GenerationExport):     {"系统导出", "exported from a system"},
	string(GenerationScan):       {"纸质扫描", "scanned from paper"},
	string(GenerationPhoto):      {"拍摄照片", "photographed"},
	string(GenerationAudio):      {"录音", "sound recording"},
	string(GenerationVideo):      {"录像", "video recording"},
	string(GenerationScreen):     {"录屏", "recording of a screen"},
	string(GenerationWeb):        {"网页取证", "captured from the web"},
	string(GenerationConversion): {"格式转换", "converted from another format"},
	string(GenerationOther):      {"其他", "other"},

	"custody-system":      {"始终在来源系统内", "in the source system until deposit"},
	"custody-depositor":   {"申请人保管", "with the depositor"},
	"custody-third-party": {"第三方保管", "with a third party"},
	"custody-notary":      {"公证机构保管", "with a notary office"},
	"custody-archive":     {"档案保管", "in an archive"},

	"environment-checked":     {"清洁性检查通过", "cleanliness check passed"},
	"environment-normal":      {"正常运行，未单独检查", "in normal operation, not checked separately"},
	"environment-not-checked": {"未检查", "not checked"},

	FieldName:            {"数据名称", "Name"},
	FieldDescription:     {"数据说明", "Description"},
	FieldCollector:       {"采集人", "Collector"},
	FieldContact:         {"联系方式", "Contact"},
	FieldGenerationNote:  {"生成方式说明", "Note on generation"},
	FieldCustodyNote:     {"保管经过说明", "Note on custody"},
	FieldEnvironmentNote: {"采集环境说明", "Note on environment"},
	FieldDisplayName:     {"姓名", "Name of the person"},
}
