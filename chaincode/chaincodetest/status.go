package chaincodetest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"cunzheng/chaincode"
)

var (
	certificate = strings.Repeat("c0", 32)
	successor   = strings.Repeat("c1", 32)
)

// statusRecord says state of the test's certificate, from a minute of the day on.
func statusRecord(t testing.TB, minute int, state chaincode.CertificateState, successor string) []byte {
	t.Helper()
	return encode(t, &chaincode.StatusRecord{
		At: fmt.Sprintf("2026-11-23T11:%02d:00.000Z", minute), Certificate: certificate, Entry: 7,
		Reason: "review", Status: state, Successor: successor,
	})
}

// series checks what is said of the test's certificate.
func (f *fixture) series(log *Log, records ...[]byte) {
	f.t.Helper()
	got := f.must(f.chain.Foreign(), chaincode.FuncStatus, []byte(log.Origin), []byte(certificate)).Result
	if want := fmt.Sprintf(`{"series":[%s]}`, bytes.Join(records, []byte(","))); string(got) != want {
		f.t.Errorf("status is %s, want %s", got, want)
	}
}

func testPublishStatus(t *testing.T, f *fixture) {
	owner := f.chain.Owner()
	log, other := f.registered(1), f.registered(1)
	origin := []byte(log.Origin)
	f.series(log)
	records := [][]byte{
		statusRecord(t, 1, chaincode.StateValid, ""),
		statusRecord(t, 2, chaincode.StateCorrected, ""),
		statusRecord(t, 3, chaincode.StateSuperseded, successor),
		statusRecord(t, 4, chaincode.StateValid, ""),
		statusRecord(t, 5, chaincode.StateExpired, ""),
		statusRecord(t, 6, chaincode.StateRevoked, successor),
	}
	for n, record := range records {
		f.event(f.must(owner, chaincode.FuncPublishStatus, origin, record), chaincode.EventStatusPublished,
			fmt.Sprintf(`{"organisation":%q,"origin":%q,"record":%s}`, owner, log.Origin, record))
		f.series(log, records[:n+1]...)
	}
	for _, record := range records {
		f.unchanged(f.must(owner, chaincode.FuncPublishStatus, origin, record))
	}
	// A revoked certificate stays revoked.
	for _, state := range []chaincode.CertificateState{chaincode.StateValid, chaincode.StateCorrected, chaincode.StateRevoked} {
		f.refused(chaincode.StatusFinal, owner, chaincode.FuncPublishStatus, origin, statusRecord(t, 7, state, ""))
	}
	f.series(log, records...)
	f.series(other)
}

func testPublishStatusRefused(t *testing.T, f *fixture) {
	owner := f.chain.Owner()
	log := f.registered(1)
	good := statusRecord(t, 1, chaincode.StateSuperseded, successor)
	edit := func(old, new string) []byte {
		if !bytes.Contains(good, []byte(old)) {
			t.Fatalf("%q is not in the record", old)
		}
		return bytes.Replace(good, []byte(old), []byte(new), 1)
	}
	for _, test := range []struct {
		name   string
		code   chaincode.Code
		org    string
		origin string
		record []byte
	}{
		{"unknown log", chaincode.LogUnknown, owner, f.newLog().Origin, good},
		{"foreign organisation", chaincode.NotOwner, f.chain.Foreign(), log.Origin, good},
		{"malformed origin", chaincode.Syntax, owner, "a b", good},
		{"no record", chaincode.Syntax, owner, log.Origin, nil},
		{"not canonical", chaincode.Syntax, owner, log.Origin, edit(`"entry":7`, `"entry":7.0`)},
		{"unknown member", chaincode.Syntax, owner, log.Origin, edit(`"entry":7`, `"entry":7,"name":""`)},
		{"member missing", chaincode.Syntax, owner, log.Origin, edit(`"entry":7,`, ``)},
		{"empty successor", chaincode.Syntax, owner, log.Origin, edit(successor, ``)},
		{"malformed time", chaincode.Syntax, owner, log.Origin, edit(`2026-11-23T`, `2026-11-23 `)},
		{"malformed certificate", chaincode.Syntax, owner, log.Origin, edit(certificate, "c0")},
		{"malformed successor", chaincode.Syntax, owner, log.Origin, edit(successor, "c1")},
		{"successor of itself", chaincode.Syntax, owner, log.Origin, edit(successor, certificate)},
		{"negative entry", chaincode.Syntax, owner, log.Origin, edit(`"entry":7`, `"entry":-1`)},
		{"great entry", chaincode.Syntax, owner, log.Origin, edit(`"entry":7`, `"entry":9007199254740992`)},
		{"reason that is no code", chaincode.Syntax, owner, log.Origin, edit(`"review"`, `"because of 张三"`)},
		{"unknown status", chaincode.Syntax, owner, log.Origin, edit(`"superseded"`, `"lost"`)},
		{"large record", chaincode.Syntax, owner, log.Origin, make([]byte, chaincode.MaxRecord+1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &fixture{t: t, chain: f.chain}
			f.refused(test.code, test.org, chaincode.FuncPublishStatus, []byte(test.origin), test.record)
		})
	}
	f.series(log)
	f.refused(chaincode.LogUnknown, owner, chaincode.FuncStatus, []byte(f.newLog().Origin), []byte(certificate))
	f.must(owner, chaincode.FuncPublishStatus, []byte(log.Origin), edit(`"review"`, `""`))
}
