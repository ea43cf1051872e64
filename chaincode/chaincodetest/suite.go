package chaincodetest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"

	"cunzheng/chaincode"
	"cunzheng/crypto/sm2"
	"cunzheng/ledger/checkpoint"
)

// Chain is a ledger that runs the contract.
type Chain interface {
	// Invoke runs one transaction as a member of the organisation org. A refusal by the contract must be an
	// *chaincode.Error in the chain of err.
	Invoke(org, function string, args ...[]byte) (Outcome, error)

	// Owner and Foreign name two organisations of the ledger.
	Owner() string
	Foreign() string
}

// Outcome is what a transaction did.
type Outcome struct {
	Result  []byte
	Event   *chaincode.Announcement // nil if there was none
	Changed bool                    // whether it wrote state
}

// Run tests the contract on the ledgers that open returns. They may share their state: each test has logs of its own.
func Run(t *testing.T, open func(t *testing.T) Chain) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, f *fixture)
	}{
		{"Register", testRegister},
		{"Anchor", testAnchor},
		{"AnchorRefused", testAnchorRefused},
		{"Rotate", testRotate},
		{"RotateRefused", testRotateRefused},
		{"History", testHistory},
		{"NeighbouringOrigins", testNeighbouringOrigins},
		{"Syntax", testSyntax},
		{"RegisterKey", testRegisterKey},
		{"RegisterKeyRefused", testRegisterKeyRefused},
		{"RevokeKey", testRevokeKey},
		{"Keys", testKeys},
		{"PublishNode", testPublishNode},
		{"PublishNodeRefused", testPublishNodeRefused},
		{"Nodes", testNodes},
		{"PublishStatus", testPublishStatus},
		{"PublishStatusRefused", testPublishStatusRefused},
		{"ReportFork", testReportFork},
		{"ReportForkRefused", testReportForkRefused},
		{"Forks", testForks},
		{"NeighbouringRows", testNeighbouringRows},
		{"DirectorySyntax", testDirectorySyntax},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, &fixture{t: t, chain: open(t)}) })
	}
}

type fixture struct {
	t     *testing.T
	chain Chain
}

// newLog returns a log under an origin that no other test uses.
func (f *fixture) newLog() *Log {
	f.t.Helper()
	return NewLog(f.t, "cunzheng.test/"+rand.Text())
}

// registered returns a log with n entries that the owner has registered.
func (f *fixture) registered(n int) *Log {
	f.t.Helper()
	log := f.newLog()
	log.Append(n)
	f.must(f.chain.Owner(), chaincode.FuncRegisterLog, []byte(log.Origin), log.SPKI())
	return log
}

func (f *fixture) must(org, function string, args ...[]byte) Outcome {
	f.t.Helper()
	outcome, err := f.chain.Invoke(org, function, args...)
	if err != nil {
		f.t.Fatalf("%s: %v", function, err)
	}
	return outcome
}

// refused checks that the transaction is refused with this code.
func (f *fixture) refused(code chaincode.Code, org, function string, args ...[]byte) {
	f.t.Helper()
	outcome, err := f.chain.Invoke(org, function, args...)
	var refusal *chaincode.Error
	switch {
	case err == nil:
		f.t.Errorf("%s was accepted (%q), want %s", function, outcome.Result, code)
	case !errors.As(err, &refusal):
		f.t.Errorf("%s: %v, want a refusal with %s", function, err, code)
	case refusal.Code != code:
		f.t.Errorf("%s: %v, want %s", function, refusal, code)
	}
}

// anchor anchors the first size entries of log, of which from are anchored.
func (f *fixture) anchor(log *Log, from, size uint64) Outcome {
	f.t.Helper()
	proof := chaincode.EncodeProof(log.Consistency(f.t, from, size))
	return f.must(f.chain.Owner(), chaincode.FuncAnchor, []byte(log.Origin), log.Head(f.t, size).Note, proof)
}

// latest checks the size and the root of the last head of log.
func (f *fixture) latest(log *Log, size uint64) {
	f.t.Helper()
	note := f.must(f.chain.Foreign(), chaincode.FuncLatest, []byte(log.Origin)).Result
	head, err := checkpoint.Parse(note)
	if err != nil {
		f.t.Fatal(err)
	}
	if want := (checkpoint.Checkpoint{Origin: log.Origin, Size: size, Root: log.Root(f.t, size)}); head != want {
		f.t.Errorf("latest head is %+v, want %+v", head, want)
	}
}

func (f *fixture) event(outcome Outcome, name, payload string) {
	f.t.Helper()
	switch {
	case outcome.Event == nil:
		f.t.Errorf("no event, want %s", name)
	case outcome.Event.Name != name || string(outcome.Event.Payload) != payload:
		f.t.Errorf("event %s %s, want %s %s", outcome.Event.Name, outcome.Event.Payload, name, payload)
	}
}

// unchanged checks that a transaction was a success without effect.
func (f *fixture) unchanged(outcome Outcome) {
	f.t.Helper()
	if outcome.Changed || outcome.Event != nil {
		f.t.Errorf("changed state: %v, event: %+v; want neither", outcome.Changed, outcome.Event)
	}
}

func testRegister(t *testing.T, f *fixture) {
	owner, foreign := f.chain.Owner(), f.chain.Foreign()
	log := f.newLog()
	origin := []byte(log.Origin)
	key := jsonText(t, log.SPKI())

	f.refused(chaincode.LogUnknown, owner, chaincode.FuncLatest, origin)
	outcome := f.must(owner, chaincode.FuncRegisterLog, origin, log.SPKI())
	f.event(outcome, chaincode.EventLogRegistered,
		fmt.Sprintf(`{"key":%s,"organisation":%q,"origin":%q}`, key, owner, log.Origin))
	f.refused(chaincode.NoAnchor, owner, chaincode.FuncLatest, origin)

	f.unchanged(f.must(owner, chaincode.FuncRegisterLog, origin, log.SPKI()))
	f.refused(chaincode.LogExists, owner, chaincode.FuncRegisterLog, origin, f.newLog().SPKI())
	f.refused(chaincode.LogExists, foreign, chaincode.FuncRegisterLog, origin, log.SPKI())
}

func testAnchor(t *testing.T, f *fixture) {
	log := f.registered(20)
	origin := []byte(log.Origin)
	last := uint64(0)
	for _, size := range []uint64{1, 2, 7, 8, 20} {
		outcome := f.anchor(log, last, size)
		f.event(outcome, chaincode.EventAnchored,
			fmt.Sprintf(`{"origin":%q,"root":%q,"size":%d}`, log.Origin, log.Root(t, size), size))
		f.latest(log, size)

		// The same head again, with another signature and without a proof.
		f.unchanged(f.must(f.chain.Owner(), chaincode.FuncAnchor, origin, log.Head(t, size).Note, nil))
		last = size
	}
	if at := f.must(f.chain.Foreign(), chaincode.FuncAt, origin, []byte("7")).Result; !bytes.Contains(at, []byte("\n7\n")) {
		t.Errorf("head of size 7 is %q", at)
	}
	f.refused(chaincode.NoAnchor, f.chain.Owner(), chaincode.FuncAt, origin, []byte("6"))
	f.refused(chaincode.NoAnchor, f.chain.Owner(), chaincode.FuncAt, origin, []byte("0"))
}

func testAnchorRefused(t *testing.T, f *fixture) {
	owner := f.chain.Owner()
	log := f.registered(20)
	f.anchor(log, 0, 5)
	f.anchor(log, 5, 10)

	stranger := log.Fork(10, 10)
	stranger.Key = NewKey(t)
	stranger.Append(5)
	unregistered := f.newLog()
	unregistered.Append(1)
	other := f.registered(20)
	proof := func(l *Log, from, to uint64) []byte { return chaincode.EncodeProof(l.Consistency(t, from, to)) }
	damaged := proof(log, 10, 20)
	damaged[0] ^= 1

	for _, test := range []struct {
		name  string
		code  chaincode.Code
		org   string
		log   *Log
		note  []byte
		proof []byte
	}{
		{"unknown log", chaincode.LogUnknown, owner, unregistered, unregistered.Head(t, 1).Note, nil},
		{"foreign organisation", chaincode.NotOwner, f.chain.Foreign(), log, log.Head(t, 20).Note, proof(log, 10, 20)},
		{"foreign organisation, same head", chaincode.NotOwner, f.chain.Foreign(), log, log.Head(t, 10).Note, nil},
		{"key of somebody else", chaincode.Signature, owner, log, stranger.Head(t, 20).Note, proof(stranger, 10, 20)},
		{"head of another log", chaincode.Syntax, owner, log, other.Head(t, 20).Note, proof(other, 10, 20)},
		{"changed signature", chaincode.Signature, owner, log, changeSignature(log.Head(t, 20).Note), proof(log, 10, 20)},
		{"fork", chaincode.Fork, owner, log, log.Fork(9, 1).Head(t, 10).Note, nil},
		{"rollback to an anchored head", chaincode.Rollback, owner, log, log.Head(t, 5).Note, nil},
		{"rollback", chaincode.Rollback, owner, log, log.Head(t, 9).Note, nil},
		{"rollback to nothing", chaincode.Rollback, owner, log, log.Head(t, 0).Note, nil},
		{"forked log that grew", chaincode.Proof, owner, log, log.Fork(9, 11).Head(t, 20).Note, proof(log.Fork(9, 11), 10, 20)},
		{"proof from another size", chaincode.Proof, owner, log, log.Head(t, 20).Note, proof(log, 5, 20)},
		{"no proof", chaincode.Proof, owner, log, log.Head(t, 20).Note, nil},
		{"damaged proof", chaincode.Proof, owner, log, log.Head(t, 20).Note, damaged},
		{"proof too short", chaincode.Proof, owner, log, log.Head(t, 20).Note, damaged[32:]},
		{"part of a hash", chaincode.Syntax, owner, log, log.Head(t, 20).Note, damaged[1:]},
		{"huge proof", chaincode.Syntax, owner, log, log.Head(t, 20).Note, make([]byte, chaincode.MaxProof+32)},
		{"no note", chaincode.Syntax, owner, log, nil, nil},
		{"huge note", chaincode.Syntax, owner, log, bytes.Repeat([]byte("a"), chaincode.MaxNote+1), nil},
		{"bytes after the note", chaincode.Syntax, owner, log, append(log.Head(t, 20).Note, '\n'), proof(log, 10, 20)},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &fixture{t: t, chain: f.chain}
			f.refused(test.code, test.org, chaincode.FuncAnchor, []byte(test.log.Origin), test.note, test.proof)
		})
	}
	f.latest(log, 10)
	f.anchor(log, 10, 20)
}

// changeSignature changes one character within the signature of a note with one signature.
func changeSignature(note []byte) []byte {
	changed := bytes.Clone(note)
	i := bytes.LastIndexByte(changed, ' ') + 40
	if changed[i] == 'A' {
		changed[i] = 'B'
	} else {
		changed[i] = 'A'
	}
	return changed
}

func testRotate(t *testing.T, f *fixture) {
	owner := f.chain.Owner()
	log := f.registered(20)
	origin := []byte(log.Origin)
	f.anchor(log, 0, 10)

	old, fresh := log.Key, NewKey(t)
	outcome := f.must(owner, chaincode.FuncRotateLogKey, rotation(t, log.Origin, old, fresh, 10)...)
	newKey, oldKey := jsonText(t, spki(fresh)), jsonText(t, spki(old))
	f.event(outcome, chaincode.EventLogKeyRotated,
		fmt.Sprintf(`{"key":%s,"origin":%q,"previous":%s,"size":10}`, newKey, log.Origin, oldKey))

	// The same rotation again, with another signature of the old key.
	f.unchanged(f.must(owner, chaincode.FuncRotateLogKey, rotation(t, log.Origin, old, fresh, 10)...))

	proof := chaincode.EncodeProof(log.Consistency(t, 10, 20))
	f.refused(chaincode.Signature, owner, chaincode.FuncAnchor, origin, log.Head(t, 20).Note, proof)
	log.Key = fresh
	f.anchor(log, 10, 20)
	f.latest(log, 20)

	// After the next head, too, the rotation may be sent again.
	f.unchanged(f.must(owner, chaincode.FuncRotateLogKey, rotation(t, log.Origin, old, fresh, 10)...))
	// A retired key does not come back.
	f.refused(chaincode.KeyUsed, owner, chaincode.FuncRotateLogKey, rotation(t, log.Origin, fresh, old, 20)...)
	f.refused(chaincode.LogExists, owner, chaincode.FuncRegisterLog, origin, spki(old))
}

func testRotateRefused(t *testing.T, f *fixture) {
	owner := f.chain.Owner()
	log := f.registered(10)
	f.anchor(log, 0, 10)
	other := f.registered(10)
	fresh, stranger := NewKey(t), NewKey(t)
	good := rotation(t, log.Origin, log.Key, fresh, 10)
	swapped := rotation(t, log.Origin, log.Key, stranger, 10)
	swapped[1] = spki(fresh)

	for _, test := range []struct {
		name string
		code chaincode.Code
		org  string
		args [][]byte
	}{
		{"unknown log", chaincode.LogUnknown, owner, rotation(t, f.newLog().Origin, log.Key, fresh, 10)},
		{"foreign organisation", chaincode.NotOwner, f.chain.Foreign(), good},
		{"signed by the new key", chaincode.Signature, owner, [][]byte{good[0], good[1], sign(t, fresh, chaincode.RotationMessage(log.Origin, log.SPKI(), spki(fresh), 10))}},
		{"signed for another log", chaincode.Signature, owner, [][]byte{good[0], good[1], rotation(t, other.Origin, log.Key, fresh, 10)[2]}},
		{"signed for another size", chaincode.Signature, owner, rotation(t, log.Origin, log.Key, fresh, 9)},
		{"signed for another key", chaincode.Signature, owner, swapped},
		{"without domain", chaincode.Signature, owner, [][]byte{good[0], good[1], sign(t, log.Key, spki(fresh))}},
		{"no signature", chaincode.Signature, owner, [][]byte{good[0], good[1], nil}},
		{"huge signature", chaincode.Signature, owner, [][]byte{good[0], good[1], make([]byte, 1<<16)}},
		{"no key", chaincode.Syntax, owner, [][]byte{good[0], nil, good[2]}},
		{"bytes after the key", chaincode.Syntax, owner, [][]byte{good[0], append(spki(fresh), 0), good[2]}},
		{"the first key again", chaincode.KeyUsed, owner, rotation(t, log.Origin, log.Key, log.Key, 10)},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &fixture{t: t, chain: f.chain}
			f.refused(test.code, test.org, chaincode.FuncRotateLogKey, test.args...)
		})
	}
	log.Append(1)
	f.anchor(log, 10, 11) // with the old key: nothing has changed
}

func testHistory(t *testing.T, f *fixture) {
	log := f.registered(8)
	var want []string
	for size := uint64(1); size <= 8; size++ {
		head := log.Head(t, size)
		f.must(f.chain.Owner(), chaincode.FuncAnchor, []byte(log.Origin), head.Note,
			chaincode.EncodeProof(log.Consistency(t, size-1, size)))
		want = append(want, string(head.Note))
	}
	for limit := 1; limit <= 9; limit++ {
		var got []string
		for from := uint64(0); ; {
			result := f.must(f.chain.Foreign(), chaincode.FuncHistory,
				[]byte(log.Origin), fmt.Append(nil, from), fmt.Append(nil, limit)).Result
			var page chaincode.Page
			if err := json.Unmarshal(result, &page, json.RejectUnknownMembers(true)); err != nil {
				t.Fatalf("%q: %v", result, err)
			}
			if len(page.Heads) > limit || page.Next != 0 && (len(page.Heads) != limit || page.Next <= from) {
				t.Fatalf("page from %d with limit %d: %q", from, limit, result)
			}
			got = append(got, page.Heads...)
			if from = page.Next; from == 0 {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %d heads differ from the %d anchored", limit, len(got), len(want))
		}
	}
	if result := f.must(f.chain.Owner(), chaincode.FuncHistory, []byte(log.Origin), []byte("9"), []byte("1")).Result; string(result) != `{"heads":[]}` {
		t.Errorf("history beyond the end is %q", result)
	}
	for _, limit := range []string{"0", "101"} {
		f.refused(chaincode.Syntax, f.chain.Owner(), chaincode.FuncHistory, []byte(log.Origin), []byte("0"), []byte(limit))
	}
}

// neighbours are appended to an origin to make others whose rows stand right beside its own.
var neighbours = []string{"", "!", "/a", "0000000000000001", "~"}

// testNeighbouringOrigins has logs whose names begin alike, to see that their rows do not mix.
func testNeighbouringOrigins(t *testing.T, f *fixture) {
	base := f.newLog().Origin
	for _, suffix := range neighbours {
		log := NewLog(t, base+suffix)
		log.Append(3)
		f.must(f.chain.Owner(), chaincode.FuncRegisterLog, []byte(log.Origin), log.SPKI())
		f.anchor(log, 0, 3)
	}
	result := f.must(f.chain.Owner(), chaincode.FuncHistory, []byte(base), []byte("0"), []byte("100")).Result
	var page chaincode.Page
	if err := json.Unmarshal(result, &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Heads) != 1 || page.Next != 0 {
		t.Errorf("history of %q has heads of other logs: %q", base, result)
	}
}

func testSyntax(t *testing.T, f *fixture) {
	log := f.registered(1)
	origin := []byte(log.Origin)
	for _, test := range []struct {
		name     string
		function string
		args     [][]byte
	}{
		{"unknown function", "Delete", [][]byte{origin}},
		{"other case", "latest", [][]byte{origin}},
		{"no argument", chaincode.FuncLatest, nil},
		{"too many arguments", chaincode.FuncLatest, [][]byte{origin, origin}},
		{"empty origin", chaincode.FuncLatest, [][]byte{nil}},
		{"space in the origin", chaincode.FuncLatest, [][]byte{[]byte("a b")}},
		{"plus in the origin", chaincode.FuncLatest, [][]byte{[]byte("a+b")}},
		{"zero byte in the origin", chaincode.FuncLatest, [][]byte{[]byte("a\x00b")}},
		{"origin outside ASCII", chaincode.FuncLatest, [][]byte{[]byte("公证")}},
		{"broken UTF-8 in the origin", chaincode.FuncLatest, [][]byte{[]byte("a\xff")}},
		{"long origin", chaincode.FuncLatest, [][]byte{bytes.Repeat([]byte("a"), chaincode.MaxOrigin+1)}},
		{"register an empty origin", chaincode.FuncRegisterLog, [][]byte{nil, log.SPKI()}},
		{"register without key", chaincode.FuncRegisterLog, [][]byte{[]byte("a"), nil}},
		{"register a damaged key", chaincode.FuncRegisterLog, [][]byte{[]byte("a"), log.SPKI()[1:]}},
		{"no number", chaincode.FuncAt, [][]byte{origin, nil}},
		{"leading zero", chaincode.FuncAt, [][]byte{origin, []byte("01")}},
		{"sign", chaincode.FuncAt, [][]byte{origin, []byte("+1")}},
		{"number too large", chaincode.FuncAt, [][]byte{origin, []byte("18446744073709551616")}},
		{"long number", chaincode.FuncAt, [][]byte{origin, bytes.Repeat([]byte("1"), 1<<16)}},
		{"limit is no number", chaincode.FuncHistory, [][]byte{origin, []byte("0"), []byte("all")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &fixture{t: t, chain: f.chain}
			f.refused(chaincode.Syntax, f.chain.Owner(), test.function, test.args...)
		})
	}
}

// rotation returns the arguments that hand the log over from one key to another, signed by the old one.
func rotation(t testing.TB, origin string, from, to *sm2.PrivateKey, size uint64) [][]byte {
	t.Helper()
	message := chaincode.RotationMessage(origin, spki(from), spki(to), size)
	return [][]byte{[]byte(origin), spki(to), sign(t, from, message)}
}

func sign(t testing.TB, key *sm2.PrivateKey, message []byte) []byte {
	t.Helper()
	signature, err := sm2.Sign(key, message)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func spki(key *sm2.PrivateKey) []byte { return key.Public().(*sm2.PublicKey).SPKI() }
