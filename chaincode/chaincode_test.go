package chaincode_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cunzheng/chaincode"
	"cunzheng/chaincode/chaincodetest"
	"cunzheng/crypto/sm2"
)

func TestContract(t *testing.T) {
	chaincodetest.Run(t, func(*testing.T) chaincodetest.Chain { return chaincodetest.NewMemory() })
}

// noRows is the state of a ledger without any log.
type noRows struct{}

func (noRows) Get(string) ([]byte, error) { return nil, nil }

func (noRows) Scan(string, string, func(string, []byte) (bool, error)) error { return nil }

func TestTransaction(t *testing.T) {
	tx := chaincode.NewTransaction(noRows{}, "notary")
	value := []byte("2")
	for _, w := range []chaincode.Write{{Key: "b", Value: []byte("1")}, {Key: "b", Value: value}, {Key: "a", Value: []byte("3")}} {
		if err := tx.Put(w.Key, w.Value); err != nil {
			t.Fatal(err)
		}
	}
	value[0] = 'x'
	if got, err := tx.Get("b"); got != nil || err != nil {
		t.Errorf("the transaction reads its own write: %q, %v", got, err)
	}
	want := []chaincode.Write{{Key: "a", Value: []byte("3")}, {Key: "b", Value: []byte("2")}}
	if diff := cmp.Diff(want, tx.Writes()); diff != "" {
		t.Error(diff)
	}
	if tx.Put("", []byte("1")) == nil || tx.Put("c", nil) == nil {
		t.Error("an empty key or value was accepted")
	}
	if tx.Announced() != nil {
		t.Error("an event that nobody announced")
	}
	if err := tx.Event("A", nil); err != nil {
		t.Fatal(err)
	}
	if tx.Event("B", nil) == nil {
		t.Error("a second event was accepted")
	}
}

func TestRotationMessage(t *testing.T) {
	const want = "cunzheng.log-key-rotation.v1\nlog.example\nb2xk\nbmV3\n42\n"
	if got := chaincode.RotationMessage("log.example", []byte("old"), []byte("new"), 42); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErrorText(t *testing.T) {
	_, err := chaincodetest.NewMemory().Invoke("notary", chaincode.FuncLatest, []byte("log.example"))
	if want := `LOG_UNKNOWN: no log "log.example" is registered`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestNoFunction stands beside the contract's test because clients of Fabric do not send a call without a function.
func TestNoFunction(t *testing.T) {
	_, err := chaincodetest.NewMemory().Invoke("notary", "")
	var refusal *chaincode.Error
	if !errors.As(err, &refusal) || refusal.Code != chaincode.Syntax {
		t.Errorf("%v, want a refusal with SYNTAX", err)
	}
}

// TestRows shows the state and the write order as they are documented, and that two peers come to the same writes.
func TestRows(t *testing.T) {
	log := chaincodetest.NewLog(t, "log.example")
	log.Append(2)
	head := log.Head(t, 2)
	memory := chaincodetest.NewMemory()
	if _, err := memory.Invoke("notary", chaincode.FuncRegisterLog, []byte(log.Origin), log.SPKI()); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		tx := chaincode.NewTransaction(memory.Reader(), "notary")
		if err := chaincode.Anchor(tx, log.Origin, head.Note, nil); err != nil {
			t.Fatal(err)
		}
		spki, root := log.SPKI(), log.Root(t, 2)
		want := []chaincode.Write{
			{Key: "head log.example 0000000000000002", Value: head.Note},
			{Key: "log log.example", Value: fmt.Appendf(nil, `{"key":"%s","organisation":"notary","root":"%s","size":2}`, base64.StdEncoding.EncodeToString(spki), root)},
		}
		if diff := cmp.Diff(want, tx.Writes()); diff != "" {
			t.Fatal(diff)
		}
	}
	keyRow := fmt.Sprintf("key log.example %x", log.PublicKey().Fingerprint())
	if memory.Rows()[keyRow] == nil {
		t.Errorf("no row %q", keyRow)
	}
}

// broken is a state of which the n-th use fails.
type broken struct {
	chaincode.State
	uses *int
}

var errBroken = errors.New("state is broken")

func (b broken) use() error {
	if *b.uses--; *b.uses < 0 {
		return errBroken
	}
	return nil
}

func (b broken) Get(key string) ([]byte, error) {
	if err := b.use(); err != nil {
		return nil, err
	}
	return b.State.Get(key)
}

func (b broken) Scan(from, to string, fn func(string, []byte) (bool, error)) error {
	if err := b.use(); err != nil {
		return err
	}
	return b.State.Scan(from, to, fn)
}

func (b broken) Put(key string, value []byte) error {
	if err := b.use(); err != nil {
		return err
	}
	return b.State.Put(key, value)
}

func (b broken) Event(name string, payload []byte) error {
	if err := b.use(); err != nil {
		return err
	}
	return b.State.Event(name, payload)
}

// world is a ledger in memory on which each function of the contract has something to do.
type world struct {
	memory      *chaincodetest.Memory
	log         *chaincodetest.Log
	key         *sm2.PrivateKey // registered for the log
	certificate string          // with one status
}

const worldOrg = "notary"

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		memory: chaincodetest.NewMemory(), log: chaincodetest.NewLog(t, "log.example"), key: chaincodetest.NewKey(t),
		certificate: strings.Repeat("c0", 32),
	}
	w.log.Append(4)
	for _, call := range []call{
		{chaincode.FuncRegisterLog, [][]byte{w.origin(), w.log.SPKI()}},
		{chaincode.FuncAnchor, [][]byte{w.origin(), w.log.Head(t, 1).Note, nil}},
		{chaincode.FuncRegisterKey, chaincodetest.Registration(t, worldOrg, w.key, chaincode.RoleReceipt, w.log.Origin)},
		{chaincode.FuncPublishNode, [][]byte{w.origin(), w.node(t, "XM-350200-NOT01")}},
		{chaincode.FuncPublishStatus, [][]byte{w.origin(), w.status(t, 1, chaincode.StateValid)}},
		{chaincode.FuncReportFork, w.fork(t, 3)},
	} {
		if _, err := w.memory.Invoke(worldOrg, call.function, call.args...); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) origin() []byte { return []byte(w.log.Origin) }

func (w *world) node(t testing.TB, office string) []byte {
	t.Helper()
	return encode(t, &chaincode.NodeRecord{Name: "甲", Office: office, URL: "https://notary.example"})
}

func (w *world) status(t testing.TB, entry uint64, state chaincode.CertificateState) []byte {
	t.Helper()
	return encode(t, &chaincode.StatusRecord{At: testTime, Certificate: w.certificate, Entry: entry, Status: state})
}

// fork returns the arguments that report a fork of this size.
func (w *world) fork(t testing.TB, size uint64) [][]byte {
	t.Helper()
	return [][]byte{w.origin(), w.log.Head(t, size).Note, w.log.Fork(1, 3).Head(t, size).Note}
}

const testTime = "2026-11-23T11:22:33.456Z"

func encode(t testing.TB, record interface{ Encode() ([]byte, error) }) []byte {
	t.Helper()
	arg, err := record.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return arg
}

// call is one use of the contract.
type call struct {
	function string
	args     [][]byte
}

// use is a call that succeeds, and how often it uses the state.
type use struct {
	call
	uses int
}

// uses returns a successful call of each function; those of functions that change the state have something to change.
func (w *world) uses(t testing.TB) []use {
	t.Helper()
	fresh := chaincodetest.NewKey(t)
	spki := fresh.Public().(*sm2.PublicKey).SPKI()
	signature, err := sm2.Sign(w.log.Key, chaincode.RotationMessage(w.log.Origin, w.log.SPKI(), spki, 1))
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := []byte(chaincodetest.Fingerprint(w.key))
	zero, one := []byte("0"), []byte("1")
	return []use{
		{call{chaincode.FuncRegisterLog, [][]byte{[]byte("other.example"), spki}}, 4},
		{call{chaincode.FuncRotateLogKey, [][]byte{w.origin(), spki, signature}}, 5},
		{call{chaincode.FuncAnchor, [][]byte{w.origin(), w.log.Head(t, 2).Note, chaincode.EncodeProof(w.log.Consistency(t, 1, 2))}}, 4},
		{call{chaincode.FuncLatest, [][]byte{w.origin()}}, 2},
		{call{chaincode.FuncAt, [][]byte{w.origin(), one}}, 2},
		{call{chaincode.FuncHistory, [][]byte{w.origin(), zero, one}}, 2},
		{call{chaincode.FuncRegisterKey, chaincodetest.Registration(t, worldOrg, fresh, chaincode.RoleSeal, w.log.Origin)}, 5},
		{call{chaincode.FuncRevokeKey, [][]byte{fingerprint, []byte(chaincode.ReasonSuperseded), []byte(testTime)}}, 3},
		{call{chaincode.FuncKey, [][]byte{fingerprint}}, 1},
		{call{chaincode.FuncKeys, [][]byte{w.origin(), nil, one}}, 3},
		{call{chaincode.FuncKeys, [][]byte{nil, fingerprint, one}}, 1},
		{call{chaincode.FuncPublishNode, [][]byte{w.origin(), w.node(t, "XM-350200-NOT02")}}, 7},
		{call{chaincode.FuncNode, [][]byte{w.origin()}}, 1},
		{call{chaincode.FuncNodes, [][]byte{[]byte("XM-350200-NOT01"), w.origin(), one}}, 2},
		{call{chaincode.FuncNodes, [][]byte{nil, nil, one}}, 1},
		{call{chaincode.FuncPublishStatus, [][]byte{w.origin(), w.status(t, 2, chaincode.StateRevoked)}}, 4},
		{call{chaincode.FuncStatus, [][]byte{w.origin(), []byte(w.certificate)}}, 2},
		{call{chaincode.FuncReportFork, w.fork(t, 2)}, 5},
		{call{chaincode.FuncForks, [][]byte{w.origin(), zero, one}}, 2},
	}
}

// TestBrokenState has each use of the state fail in turn: the error comes out, and it is not a refusal.
func TestBrokenState(t *testing.T) {
	w := newWorld(t)
	for _, use := range w.uses(t) {
		for n := range use.uses + 1 {
			left := n
			s := broken{chaincode.NewTransaction(w.memory.Reader(), worldOrg), &left}
			_, err := chaincode.Invoke(s, use.function, use.args)
			var refusal *chaincode.Error
			switch {
			case n == use.uses && (err != nil || left != 0):
				t.Errorf("%s with %d uses of the state: %v, %d left", use.function, n, err, left)
			case n < use.uses && (!errors.Is(err, errBroken) || errors.As(err, &refusal)):
				t.Errorf("%s, use %d of the state fails: %v", use.function, n, err)
			}
		}
	}
}

// TestChangesState holds that the functions that change the state are those of which it is said, and that what they
// write and announce is fit for every ledger: keys of visible ASCII, one event.
func TestChangesState(t *testing.T) {
	w := newWorld(t)
	for _, use := range w.uses(t) {
		tx := chaincode.NewTransaction(w.memory.Reader(), worldOrg)
		if _, err := chaincode.Invoke(tx, use.function, use.args); err != nil {
			t.Fatalf("%s: %v", use.function, err)
		}
		changes := chaincode.ChangesState(use.function)
		if len(tx.Writes()) > 0 != changes || (tx.Announced() != nil) != changes {
			t.Errorf("%s: changes the state: %v, but it wrote %q and announced %v", use.function, changes, tx.Writes(), tx.Announced())
		}
		for _, write := range tx.Writes() {
			if strings.ContainsFunc(write.Key, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s writes the row %q", use.function, write.Key)
			}
		}
	}
	if chaincode.ChangesState("Delete") {
		t.Error("a function that does not exist changes the state")
	}
}

// TestDirectoryRows shows the rows of the directory as they are documented.
func TestDirectoryRows(t *testing.T) {
	w := newWorld(t)
	registration := chaincodetest.Registration(t, worldOrg, w.key, chaincode.RoleReceipt, w.log.Origin)
	fingerprint := chaincodetest.Fingerprint(w.key)
	rows := w.memory.Rows()
	for key, want := range map[string]string{
		"signer-of log.example " + fingerprint: fingerprint,
		"node log.example": `{"organisation":"notary","origin":"log.example","record":{"name":"甲","office":"XM-350200-NOT01",` +
			`"url":"https://notary.example"}}`,
		"node-of XM-350200-NOT01 log.example": "log.example",
		"office XM-350200-NOT01":              `{"organisation":"notary"}`,
		"status log.example " + w.certificate: fmt.Sprintf(`{"series":[%s]}`, w.status(t, 1, chaincode.StateValid)),
	} {
		if string(rows[key]) != want {
			t.Errorf("row %q is %s, want %s", key, rows[key], want)
		}
	}
	if signer := rows["signer "+fingerprint]; !bytes.Contains(signer, append([]byte(`"record":`), registration[0]...)) {
		t.Errorf("row of the key is %s", signer)
	}
	a, b := w.log.Root(t, 3), w.log.Fork(1, 3).Root(t, 3)
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	if key := fmt.Sprintf("fork log.example 0000000000000003 %s %s", a, b); rows[key] == nil {
		t.Errorf("no row %q", key)
	}
	if len(rows) != 10 { // and "log", "key" and "head" of the log
		t.Errorf("%d rows: %q", len(rows), slices.Sorted(maps.Keys(rows)))
	}
}

func TestKeyMessage(t *testing.T) {
	const want = "cunzheng.key-registration.v1\nNotaryMSP\n{}\n"
	if got := chaincode.KeyMessage("NotaryMSP", []byte("{}")); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEncode holds that a record that the contract would refuse cannot be made.
func TestEncode(t *testing.T) {
	for _, record := range []interface{ Encode() ([]byte, error) }{
		&chaincode.KeyRecord{}, &chaincode.NodeRecord{}, &chaincode.StatusRecord{},
	} {
		var refusal *chaincode.Error
		if arg, err := record.Encode(); !errors.As(err, &refusal) || refusal.Code != chaincode.Syntax {
			t.Errorf("%T: %q, %v", record, arg, err)
		}
	}
}

func TestParseError(t *testing.T) {
	for _, want := range []chaincode.Error{
		{Code: chaincode.Fork, Reason: "log: two roots"}, {Code: chaincode.NoFork, Reason: ""},
		{Code: chaincode.KeyExists, Reason: "a\nb"}, {Code: chaincode.Syntax, Reason: ": "},
	} {
		if got, ok := chaincode.ParseError(want.Error()); !ok || *got != want {
			t.Errorf("%q gives %+v, %v", want.Error(), got, ok)
		}
	}
	for _, text := range []string{"", "FORK", "FORK:", "FORK two roots", "fork: two roots", " FORK: two roots", "INTERNAL: FORK: two roots"} {
		if got, ok := chaincode.ParseError(text); ok {
			t.Errorf("%q gives %+v", text, got)
		}
	}
}

// TestSeriesIsBounded fills a certificate's series: a revocation still fits.
func TestSeriesIsBounded(t *testing.T) {
	w := newWorld(t)
	publish := func(entry uint64, state chaincode.CertificateState) error {
		_, err := w.memory.Invoke(worldOrg, chaincode.FuncPublishStatus, w.origin(), w.status(t, entry, state))
		return err
	}
	for n := uint64(2); n < chaincode.MaxSeries; n++ {
		if err := publish(n, chaincode.StateCorrected); err != nil {
			t.Fatalf("status %d: %v", n, err)
		}
	}
	var refusal *chaincode.Error
	if err := publish(chaincode.MaxSeries, chaincode.StateCorrected); !errors.As(err, &refusal) || refusal.Code != chaincode.StatusFull {
		t.Errorf("status %d: %v", chaincode.MaxSeries, err)
	}
	if err := publish(2, chaincode.StateCorrected); err != nil {
		t.Errorf("a status again: %v", err)
	}
	if err := publish(chaincode.MaxSeries, chaincode.StateRevoked); err != nil {
		t.Errorf("the revocation: %v", err)
	}
}

// TestForkByKeysOfOneName has a log with two keys whose names in a note, 32 bits long, are the same. It takes a second to
// find such a pair, and it must not save an owner who signs a fork with the other one.
func TestForkByKeysOfOneName(t *testing.T) {
	var keys []*sm2.PrivateKey
	for _, text := range []string{
		"MIGHAgEAMBMGByqGSM49AgEGCCqBHM9VAYItBG0wawIBAQQgsvZ6+U6gj4KKThi5j8xrTDLwIa8XG5lVnBtigBjBN0ShRANCAATX4Olvam63EA9Poovt" +
			"+qpe7CG232cqRVtQ3jVEcEWTMF0+hXSnNdR/QB7PSZbsYFl1KDfiXLVJFdxspojudsZD",
		"MIGHAgEAMBMGByqGSM49AgEGCCqBHM9VAYItBG0wawIBAQQgdbbxD1d4VobhAX7FundxUBpM/ZDLNU/nJ2R/2SBTAcWhRANCAAS0FpQEM8VQTJWVpxJx" +
			"QHk1R6LnEaHseR2EqZwo5oqwemFQQAuTB9OU7k5L5kmTUTc5BvntSnrQtbHz82v3YBvb",
	} {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		key, err := sm2.ParsePrivateKey(der)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	log := chaincodetest.NewLog(t, "log.example")
	log.Key = keys[0]
	log.Append(2)
	fork := log.Fork(1, 1)
	fork.Key = keys[1]
	head, forked := log.Head(t, 2).Note, fork.Head(t, 2).Note

	memory := chaincodetest.NewMemory()
	spki := keys[1].Public().(*sm2.PublicKey).SPKI()
	handover, err := sm2.Sign(keys[0], chaincode.RotationMessage(log.Origin, log.SPKI(), spki, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []call{
		{chaincode.FuncRegisterLog, [][]byte{[]byte(log.Origin), log.SPKI()}},
		{chaincode.FuncRotateLogKey, [][]byte{[]byte(log.Origin), spki, handover}},
		{chaincode.FuncReportFork, [][]byte{[]byte(log.Origin), head, forked}},
	} {
		if outcome, err := memory.Invoke(worldOrg, call.function, call.args...); err != nil || !outcome.Changed {
			t.Fatalf("%s: %v, changed: %v", call.function, err, outcome.Changed)
		}
	}
}

// TestDamagedState has every function meet rows that are not what the contract wrote: it is an error of the state.
func TestDamagedState(t *testing.T) {
	w := newWorld(t)
	for _, use := range w.uses(t) {
		for _, value := range []string{"", "{", "{}x", `{"key":"","organisation":"notary","root":"00","size":0}`, `{"other":1}`, "XM"} {
			s := chaincode.NewTransaction(damaged(value), worldOrg)
			_, err := chaincode.Invoke(s, use.function, use.args)
			var refusal *chaincode.Error
			if err == nil || errors.As(err, &refusal) {
				t.Errorf("%s, row %q: %v, want an error that is not a refusal", use.function, value, err)
			}
		}
	}
}

// damaged is a state in which every row has the same value.
type damaged []byte

func (d damaged) Get(string) ([]byte, error) { return d, nil }

func (d damaged) Scan(_, _ string, fn func(string, []byte) (bool, error)) error {
	_, err := fn("head", d)
	return err
}

// FuzzInvoke holds that whatever comes in is accepted or refused, that only what may change the state does, and that
// two peers agree.
func FuzzInvoke(f *testing.F) {
	w := newWorld(f)
	for _, use := range w.uses(f) {
		args := slices.Grow(use.args, 3)[:3]
		f.Add(use.function, len(use.args), args[0], args[1], args[2])
	}
	f.Add(chaincode.FuncRotateLogKey, 3, w.origin(), w.log.SPKI(), []byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	f.Add(chaincode.FuncAnchor, 3, w.origin(), w.log.Head(f, 1).Note, []byte(nil))
	f.Fuzz(func(t *testing.T, function string, n int, a, b, c []byte) {
		args := [][]byte{a, b, c}[:max(0, min(n, 3))]
		var results [2][]byte
		var errs [2]error
		var txs [2]*chaincode.Transaction
		for peer := range 2 {
			txs[peer] = chaincode.NewTransaction(w.memory.Reader(), worldOrg)
			results[peer], errs[peer] = chaincode.Invoke(txs[peer], function, args)
		}
		var refusal *chaincode.Error
		if errs[0] != nil && !errors.As(errs[0], &refusal) {
			t.Fatalf("%s: %v is not a refusal", function, errs[0])
		}
		if fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) || !bytes.Equal(results[0], results[1]) ||
			!cmp.Equal(txs[0].Writes(), txs[1].Writes()) || !cmp.Equal(txs[0].Announced(), txs[1].Announced()) {
			t.Fatalf("%s: two peers disagree", function)
		}
		if errs[0] == nil && len(txs[0].Writes()) > 0 && !chaincode.ChangesState(function) {
			t.Fatalf("%s wrote %q", function, txs[0].Writes())
		}
	})
}
