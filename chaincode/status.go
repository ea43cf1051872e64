package chaincode

import "slices"

// MaxSeries is the greatest number of statuses of one certificate. The last place is kept for a revocation.
const MaxSeries = 100

// CertificateState is what a status says of a certificate.
type CertificateState string

// States of a certificate.
const (
	StateValid      CertificateState = "valid"
	StateCorrected  CertificateState = "corrected"  // stands with corrections
	StateSuperseded CertificateState = "superseded" // another certificate stands in its place
	StateRevoked    CertificateState = "revoked"    // for good
	StateExpired    CertificateState = "expired"
)

var certificateStates = []CertificateState{StateValid, StateCorrected, StateSuperseded, StateRevoked, StateExpired}

// StatusRecord is what a log's owner says of a certificate in the log.
type StatusRecord struct {
	At          string           `json:"at"`          // time from when it holds
	Certificate string           `json:"certificate"` // SM3 of the certificate's log leaf
	Entry       uint64           `json:"entry"`       // index in the log
	Reason      string           `json:"reason"`      // a code; may be empty
	Status      CertificateState `json:"status"`
	Successor   string           `json:"successor,omitzero"` // SM3 of the log leaf of the certificate in its place
}

// Encode checks the record and returns it as [PublishStatus] takes it.
func (r *StatusRecord) Encode() ([]byte, error) { return encodeRecord(r) }

func (r *StatusRecord) check() error {
	if err := checkTime("at", r.At); err != nil {
		return err
	}
	if err := checkDigest("certificate", r.Certificate); err != nil {
		return err
	}
	if r.Entry > MaxSize {
		return refuse(Syntax, "entry %d, at most %d", r.Entry, uint64(MaxSize))
	}
	if r.Reason != "" {
		if err := checkIdentifier("reason", r.Reason); err != nil {
			return err
		}
	}
	if !slices.Contains(certificateStates, r.Status) {
		return refuse(Syntax, "no status %.80q", r.Status)
	}
	if r.Successor == "" {
		return nil
	}
	if r.Successor == r.Certificate {
		return refuse(Syntax, "a certificate is not its own successor")
	}
	return checkDigest("successor", r.Successor)
}

// Series holds the statuses of a certificate. It is the row "status ORIGIN CERTIFICATE".
type Series struct {
	Series []StatusRecord `json:"series"` // oldest first
}

func statusRow(origin, certificate string) string { return "status " + origin + " " + certificate }

// PublishStatus appends to what is said of a certificate in the log origin. Nothing follows a revocation.
//
// Codes: SYNTAX, LOG_UNKNOWN, NOT_OWNER, STATUS_FINAL, STATUS_FULL.
func PublishStatus(s State, origin string, arg []byte) error {
	var status StatusRecord
	if err := parseRecord(arg, &status); err != nil {
		return err
	}
	l, err := loadOwnLog(s, origin)
	if err != nil {
		return err
	}
	row := statusRow(origin, status.Certificate)
	var held Series
	if _, err := load(s, row, &held); err != nil {
		return err
	}
	revoked := func(r StatusRecord) bool { return r.Status == StateRevoked }
	switch {
	case slices.Contains(held.Series, status):
		return nil
	case slices.ContainsFunc(held.Series, revoked):
		return refuse(StatusFinal, "certificate %s is revoked", status.Certificate)
	case len(held.Series) >= MaxSeries-1 && !revoked(status):
		return refuse(StatusFull, "certificate %s has %d statuses", status.Certificate, len(held.Series))
	}
	held.Series = append(held.Series, status)
	if err := store(s, row, held); err != nil {
		return err
	}
	return announce(s, EventStatusPublished, struct {
		Organisation string       `json:"organisation"`
		Origin       string       `json:"origin"`
		Record       StatusRecord `json:"record"`
	}{l.Organisation, origin, status})
}

// Status returns what was said of a certificate. Nothing was said of one that is not known.
//
// Codes: SYNTAX, LOG_UNKNOWN.
func Status(r Reader, origin, certificate string) (Series, error) {
	if err := checkDigest("certificate", certificate); err != nil {
		return Series{}, err
	}
	if _, err := loadLog(r, origin); err != nil {
		return Series{}, err
	}
	var held Series
	_, err := load(r, statusRow(origin, certificate), &held)
	return held, err
}
