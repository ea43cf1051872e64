package notary

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cunzheng/evidence"
)

// draft is a deposit on its way into the log.
type draft struct {
	evidence.Statement
	disclosures []evidence.Disclosure
	notes       []Note
}

// metadata is what file and digest deposits have in common.
type metadata struct {
	name, mediaType string
	caseNumber      string
	correlation     string
	provenance      *evidence.Provenance
	private         map[string]string
	related         []string
	idempotencyKey  string
}

// MaxIdempotencyKey is the greatest length of an idempotency key, in bytes.
const MaxIdempotencyKey = 255

// draft makes a statement that is complete but for number, time and content, and checks what can be checked by now.
func (s *Service) draft(by Actor, t evidence.Type, m metadata) (*draft, error) {
	if err := by.demand(actDeposit); err != nil {
		return nil, err
	}
	if m.idempotencyKey != "" && !ValidIdempotencyKey(m.idempotencyKey) {
		return nil, refuse(CodeIdempotencyInvalid, fmt.Sprintf("幂等键应为不超过 %d 个可见 ASCII 字符。", MaxIdempotencyKey),
			fmt.Sprintf("An idempotency key has up to %d visible ASCII characters.", MaxIdempotencyKey)).at("idempotencyKey")
	}
	disclosures, err := disclose(m)
	if err != nil {
		return nil, err
	}
	d := &draft{disclosures: disclosures, Statement: evidence.Statement{
		Schema:       evidence.SchemaStatement,
		Type:         t,
		Log:          s.config.Origin,
		Nonce:        evidence.NewNonce(),
		Depositor:    s.depositor(by),
		Case:         m.caseNumber,
		Correlation:  m.correlation,
		Private:      evidence.Commit(disclosures),
		Related:      emptyToNil(m.related),
		OriginalKept: evidence.KeptByDepositor,
	}}
	if m.provenance != nil && *m.provenance != (evidence.Provenance{}) {
		d.Provenance = m.provenance
	}
	if t == evidence.TypeFile {
		d.OriginalKept = evidence.KeptByPlatform
	}
	if m.idempotencyKey != "" {
		d.Idempotency = evidence.IdempotencyDigest(by.Organisation, m.idempotencyKey)
	}
	return d, nil
}

// depositor names an actor in a statement, and its organisation as it is registered now.
func (s *Service) depositor(by Actor) evidence.Depositor {
	d := evidence.Depositor{Organisation: by.Organisation, Account: by.Account, Authentication: by.Authentication, Key: by.Key}
	if o, err := s.registry.organisation(by.Organisation); err == nil {
		d.Name, d.CreditCode = o.Name, o.CreditCode
	}
	return d
}

func emptyToNil(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return s
}

// ValidIdempotencyKey reports whether key can be an idempotency key: 1 to MaxIdempotencyKey visible ASCII characters.
func ValidIdempotencyKey(key string) bool {
	invisible := func(r rune) bool { return r <= ' ' || r > '~' }
	return key != "" && len(key) <= MaxIdempotencyKey && !strings.ContainsFunc(key, invisible)
}

// disclose opens one commitment for each personal field. The file name is one of them.
func disclose(m metadata) ([]evidence.Disclosure, error) {
	fields := m.private
	if m.name != "" {
		if given, there := m.private[evidence.FieldName]; there && given != m.name {
			return nil, refuse(CodeFieldInvalid, "name 与 private.name 不同。", "name and private.name differ.").at("name")
		}
		fields = maps.Clone(m.private)
		if fields == nil {
			fields = make(map[string]string, 1)
		}
		fields[evidence.FieldName] = m.name
	}
	if len(fields) == 0 {
		return nil, nil
	}
	disclosures := make([]evidence.Disclosure, 0, len(fields))
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		d, err := evidence.NewDisclosure(field, fields[field])
		if err != nil {
			return nil, fieldError(err)
		}
		disclosures = append(disclosures, d)
	}
	return disclosures, nil
}

// rehearse checks a file's statement before its bytes are taken: nobody uploads ten gigabytes to learn that the case
// number is too long.
func (d *draft) rehearse(now evidence.Instant, number string, mediaType string) error {
	trial := d.Statement
	trial.Number, trial.ReceivedAt = number, now
	trial.Content = &evidence.Content{MediaType: mediaType, SM3: evidence.Digest{1}, SHA256: evidence.Digest{1}, Size: new(int64)}
	if _, err := trial.Encode(); err != nil {
		return fieldError(err)
	}
	return nil
}

// trialNumber stands in for a number that is not taken yet.
func (s *Service) trialNumber() string { return s.config.Number.Format(time.Unix(0, 0), 99_999_999) }
