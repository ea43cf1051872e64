package evidence

import (
	"fmt"
	"time"

	"cunzheng/crypto/sm2"
)

var statementTypes = []Type{TypeFile, TypeDigest, TypeOrganisation, TypeOfficer, TypeKey, TypeKeyRevocation, TypeLogKey}

const (
	maxRelated = 100
	// clockTolerance is how far a time that the depositor declares may lie after the time of receipt.
	clockTolerance = Instant(5 * time.Minute / time.Millisecond)
)

// Validate checks every rule of the format but the total length, which Encode checks. The error is a [FieldErrors].
func (s *Statement) Validate() error {
	var p problems
	if s.Schema != SchemaStatement {
		p.add("schema", FieldValue, "应为 "+SchemaStatement+"。", "must be "+SchemaStatement)
	}
	oneOf(&p, "type", s.Type, false, statementTypes...)
	p.origin("log", s.Log)
	if s.Nonce.IsZero() {
		p.required("nonce")
	}
	p.instant("receivedAt", s.ReceivedAt, false)
	p.identifier("depositor.organisation", s.Depositor.Organisation)
	p.identifier("depositor.account", s.Depositor.Account)
	oneOf(&p, "depositor.authentication", s.Depositor.Authentication, true, AuthenticationKey, AuthenticationPassword)
	p.line("depositor.name", s.Depositor.Name, maxLine)
	if c := s.Depositor.CreditCode; c != "" && !ValidCreditCode(c) {
		p.creditCode("depositor.creditCode")
	}
	for field := range s.Private {
		if !lowerName(field, false) {
			p.add("private", FieldFormat, "字段名应以小写字母开头，由字母和数字组成，最多 32 个字符。", "field names begin with a lower-case letter and have up to 32 letters and digits")
			break
		}
	}
	if len(s.Private) > maxPrivate {
		p.add("private", FieldTooLong, fmt.Sprintf("最多 %d 项。", maxPrivate), fmt.Sprintf("has more than %d fields", maxPrivate))
	}
	if s.Private != nil && len(s.Private) == 0 {
		p.add("private", FieldFormat, "不应为空对象。", "must be absent rather than empty")
	}
	p.line("case", s.Case, maxLine)
	p.line("correlation", s.Correlation, maxLine)
	s.evidence(&p)
	s.registry(&p)
	return p.err()
}

// evidence checks the fields that evidence types have and others have not.
func (s *Statement) evidence(p *problems) {
	if !s.Type.Evidence() {
		p.absent("number", s.Number != "")
		p.absent("content", s.Content != nil)
		p.absent("provenance", s.Provenance != nil)
		p.absent("originalKept", s.OriginalKept != "")
		p.absent("related", s.Related != nil)
		return
	}
	p.number("number", s.Number)
	if n, err := parseNumber(s.Number); err == nil && s.ReceivedAt != 0 && InstantOf(n.Date) > s.ReceivedAt {
		p.add("number", FieldRange, "编号日期晚于平台接收日期。", "bears a day after the day of receipt")
	}
	if s.Content == nil {
		p.required("content")
	} else {
		s.Content.validate(p, s.Type)
	}
	oneOf(p, "originalKept", s.OriginalKept, false, KeptByPlatform, KeptByDepositor)
	if s.Type == TypeDigest && s.OriginalKept == KeptByPlatform {
		p.add("originalKept", FieldValue, "仅存摘要时原文由申请人保管。", "with a digest only, the depositor keeps the original")
	}
	if s.Provenance != nil {
		s.Provenance.validate(p, s.ReceivedAt)
	}
	if len(s.Related) > maxRelated {
		p.add("related", FieldTooLong, fmt.Sprintf("最多 %d 项。", maxRelated), fmt.Sprintf("has more than %d items", maxRelated))
		return
	}
	if s.Related != nil && len(s.Related) == 0 {
		p.add("related", FieldFormat, "不应为空数组。", "must be absent rather than empty")
	}
	for i, number := range s.Related {
		field := fmt.Sprintf("related[%d]", i)
		p.number(field, number)
		for _, earlier := range s.Related[:i] {
			if earlier == number {
				p.add(field, FieldRepeated, "重复。", "is repeated")
				break
			}
		}
	}
}

func (p *problems) number(field, value string) {
	if value == "" {
		p.required(field)
		return
	}
	if _, err := parseNumber(value); err == ErrCheckDigit {
		p.add(field, FieldCheck, "存证编号校验码不符。", "is an evidence number whose check character does not match")
	} else if err != nil {
		p.add(field, FieldFormat, "不是存证编号。", "is not an evidence number")
	}
}

func (p *problems) instant(field string, value Instant, optional bool) {
	if value == 0 {
		if !optional {
			p.required(field)
		}
		return
	}
	if value < minInstant || value > maxInstant {
		p.add(field, FieldRange, "时间超出 1970 至 9999 年。", "is outside the years 1970 to 9999")
	}
}

func (c *Content) validate(p *problems, t Type) {
	if c.SM3.IsZero() {
		p.required("content.sm3")
	}
	if c.MediaType != "" {
		p.mediaType("content.mediaType", c.MediaType)
	}
	if t == TypeFile {
		if c.SHA256.IsZero() {
			p.required("content.sha256")
		}
		if c.Size == nil {
			p.required("content.size")
		}
	}
	if c.Size != nil && (*c.Size < 0 || *c.Size > maxInteger) {
		p.add("content.size", FieldRange, "大小超出范围。", "is out of range")
	}
}

func (v *Provenance) validate(p *problems, received Instant) {
	if *v == (Provenance{}) {
		p.add("provenance", FieldFormat, "不应为空对象。", "must be absent rather than empty")
	}
	for _, t := range []struct {
		field string
		value Instant
	}{{"provenance.declaredAt", v.DeclaredAt}, {"provenance.collectedAt", v.CollectedAt}} {
		p.instant(t.field, t.value, true)
		if t.value > received+clockTolerance {
			p.add(t.field, FieldRange, "晚于平台接收时间。", "lies after the time of receipt")
		}
	}
	oneOf(p, "provenance.generation", v.Generation, true, GenerationSystem, GenerationManual, GenerationExport, GenerationScan,
		GenerationPhoto, GenerationAudio, GenerationVideo, GenerationScreen, GenerationWeb, GenerationConversion, GenerationOther)
	oneOf(p, "provenance.custody", v.Custody, true, CustodySystem, CustodyDepositor, CustodyThirdParty, CustodyNotary, CustodyArchive)
	oneOf(p, "provenance.environment", v.Environment, true, EnvironmentChecked, EnvironmentNormal, EnvironmentNotChecked)
	p.line("provenance.sourceSystem", v.SourceSystem, maxLine)
	p.line("provenance.tool", v.Tool, maxLine)
	p.line("provenance.toolVersion", v.ToolVersion, maxVersion)
}

// registry checks the body that belongs to the type, and that no other is there.
func (s *Statement) registry(p *problems) {
	body := func(field string, t Type, there bool) bool {
		if s.Type == t && !there {
			p.required(field)
		}
		if s.Type != t {
			p.absent(field, there)
		}
		return there && s.Type == t
	}
	if body("organisation", TypeOrganisation, s.Organisation != nil) {
		s.Organisation.validate(p)
	}
	if body("officer", TypeOfficer, s.Officer != nil) {
		s.Officer.validate(p)
	}
	if body("key", TypeKey, s.Key != nil) {
		s.Key.validate(p)
	}
	if body("revocation", TypeKeyRevocation, s.Revocation != nil) {
		s.Revocation.validate(p)
	}
	if body("logKey", TypeLogKey, s.LogKey != nil) {
		s.LogKey.validate(p)
	}
}

func (p *problems) creditCode(field string) {
	p.add(field, FieldCheck, "统一社会信用代码有误（GB 32100）。", "is not a unified social credit code (GB 32100)")
}

func (o *Organisation) validate(p *problems) {
	p.identifier("organisation.id", o.ID)
	if o.Name == "" {
		p.required("organisation.name")
	}
	p.line("organisation.name", o.Name, maxLine)
	oneOf(p, "organisation.status", o.Status, false, StandingActive, StandingClosed)
	oneOf(p, "organisation.level", o.Level, true, "city", "district", "town", "community")
	if o.CreditCode != "" && !ValidCreditCode(o.CreditCode) {
		p.creditCode("organisation.creditCode")
	}
	if o.Region != "" && (len(o.Region) != 6 || !digits(o.Region)) {
		p.add("organisation.region", FieldFormat, "行政区划代码应为 6 位数字。", "must be 6 digits")
	}
}

func (o *Officer) validate(p *problems) {
	p.identifier("officer.id", o.ID)
	p.identifier("officer.organisation", o.Organisation)
	oneOf(p, "officer.kind", o.Kind, false, AccountPerson, AccountSystem)
	oneOf(p, "officer.status", o.Status, false, StandingActive, StandingClosed)
	if o.Roles == nil {
		p.required("officer.roles")
	}
	p.roles("officer.roles", o.Roles)
}

func (k *Key) validate(p *problems) {
	p.identifier("key.organisation", k.Organisation)
	if k.Account != "" {
		p.identifier("key.account", k.Account)
	}
	p.publicKey("key", k.SPKI, k.Fingerprint)
	p.instant("key.notBefore", k.NotBefore, false)
	p.instant("key.notAfter", k.NotAfter, false)
	if k.NotAfter <= k.NotBefore {
		p.add("key.notAfter", FieldRange, "应晚于生效时间。", "must lie after notBefore")
	}
	if k.Roles != nil && len(k.Roles) == 0 {
		p.add("key.roles", FieldFormat, "不应为空数组。", "must be absent rather than empty")
	}
	p.roles("key.roles", k.Roles)
	oneOf(p, "key.use", k.Use, false, UseAuthentication, UseSignature)
}

func (r *KeyRevocation) validate(p *problems) {
	p.instant("revocation.at", r.At, false)
	if r.Fingerprint.IsZero() {
		p.required("revocation.fingerprint")
	}
	oneOf(p, "revocation.reason", r.Reason, false, revocationReasons...)
}

var revocationReasons = []RevocationReason{ReasonCompromise, ReasonSuperseded, ReasonCessation}

func (k *LogKey) validate(p *problems) {
	p.publicKey("logKey", k.SPKI, k.Fingerprint)
	p.instant("logKey.from", k.From, false)
	oneOf(p, "logKey.role", k.Role, false, keyRoles...)
}

var keyRoles = []Role{RoleLog, RoleReceipt, RoleToken, RoleSeal, RoleLedger}

// publicKey checks that spki is an SM2 public key in its one encoding and fingerprint its SM3.
func (p *problems) publicKey(field string, spki []byte, fingerprint Digest) {
	key, err := sm2.ParsePublicKey(spki)
	if err != nil {
		p.add(field+".spki", FieldFormat, "不是 SM2 公钥（DER SubjectPublicKeyInfo）。", "is not an SM2 public key (DER SubjectPublicKeyInfo)")
		return
	}
	if Digest(key.Fingerprint()) != fingerprint {
		p.add(field+".fingerprint", FieldCheck, "与公钥不符。", "is not the fingerprint of the key")
	}
}
