package chaincode_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
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

// TestBrokenState has each use of the state fail in turn: the error comes out, and it is not a refusal.
func TestBrokenState(t *testing.T) {
	log := chaincodetest.NewLog(t, "log.example")
	log.Append(2)
	origin := []byte(log.Origin)
	memory := chaincodetest.NewMemory()
	for _, call := range [][][]byte{{origin, log.SPKI()}, {origin, log.Head(t, 1).Note, nil}} {
		function := chaincode.FuncRegisterLog
		if len(call) == 3 {
			function = chaincode.FuncAnchor
		}
		if _, err := memory.Invoke("notary", function, call...); err != nil {
			t.Fatal(err)
		}
	}
	fresh := chaincodetest.NewKey(t)
	spki := fresh.Public().(*sm2.PublicKey).SPKI()
	signature, err := sm2.Sign(log.Key, chaincode.RotationMessage(log.Origin, log.SPKI(), spki, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		function string
		uses     int
		args     [][]byte
	}{
		{chaincode.FuncRegisterLog, 4, [][]byte{[]byte("other.example"), spki}},
		{chaincode.FuncRotateLogKey, 5, [][]byte{origin, spki, signature}},
		{chaincode.FuncAnchor, 4, [][]byte{origin, log.Head(t, 2).Note, chaincode.EncodeProof(log.Consistency(t, 1, 2))}},
		{chaincode.FuncLatest, 2, [][]byte{origin}},
		{chaincode.FuncAt, 2, [][]byte{origin, []byte("1")}},
		{chaincode.FuncHistory, 2, [][]byte{origin, []byte("0"), []byte("1")}},
	} {
		for n := range test.uses + 1 {
			left := n
			s := broken{chaincode.NewTransaction(memory.Reader(), "notary"), &left}
			_, err := chaincode.Invoke(s, test.function, test.args)
			var refusal *chaincode.Error
			switch {
			case n == test.uses && err != nil:
				t.Errorf("%s with %d uses of the state: %v", test.function, n, err)
			case n < test.uses && (!errors.Is(err, errBroken) || errors.As(err, &refusal)):
				t.Errorf("%s, use %d of the state fails: %v", test.function, n, err)
			}
		}
	}
}

func TestDamagedState(t *testing.T) {
	for _, value := range []string{"", "{", "{}x", `{"key":"","organisation":"notary","root":"00","size":0}`, `{"other":1}`} {
		s := chaincode.NewTransaction(damaged(value), "notary")
		_, err := chaincode.Invoke(s, chaincode.FuncLatest, [][]byte{[]byte("log.example")})
		var refusal *chaincode.Error
		if err == nil || errors.As(err, &refusal) {
			t.Errorf("row %q: %v, want an error that is not a refusal", value, err)
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
	log := chaincodetest.NewLog(f, "log.example")
	log.Append(4)
	origin := []byte(log.Origin)
	memory := chaincodetest.NewMemory()
	for _, call := range []struct {
		function string
		args     [][]byte
	}{
		{chaincode.FuncRegisterLog, [][]byte{origin, log.SPKI()}},
		{chaincode.FuncAnchor, [][]byte{origin, log.Head(f, 2).Note, nil}},
	} {
		if _, err := memory.Invoke("notary", call.function, call.args...); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(chaincode.FuncRegisterLog, 2, []byte("other.example"), log.SPKI(), []byte(nil))
	f.Add(chaincode.FuncRotateLogKey, 3, origin, log.SPKI(), []byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	f.Add(chaincode.FuncAnchor, 3, origin, log.Head(f, 4).Note, chaincode.EncodeProof(log.Consistency(f, 2, 4)))
	f.Add(chaincode.FuncAnchor, 3, origin, log.Head(f, 2).Note, []byte(nil))
	f.Add(chaincode.FuncLatest, 1, origin, []byte(nil), []byte(nil))
	f.Add(chaincode.FuncAt, 2, origin, []byte("2"), []byte(nil))
	f.Add(chaincode.FuncHistory, 3, origin, []byte("0"), []byte("100"))
	f.Fuzz(func(t *testing.T, function string, n int, a, b, c []byte) {
		args := [][]byte{a, b, c}[:max(0, min(n, 3))]
		var results [2][]byte
		var errs [2]error
		var writes [2][]chaincode.Write
		for peer := range 2 {
			tx := chaincode.NewTransaction(memory.Reader(), "notary")
			results[peer], errs[peer] = chaincode.Invoke(tx, function, args)
			writes[peer] = tx.Writes()
		}
		var refusal *chaincode.Error
		if errs[0] != nil && !errors.As(errs[0], &refusal) {
			t.Fatalf("%s: %v is not a refusal", function, errs[0])
		}
		if fmt.Sprint(errs[0]) != fmt.Sprint(errs[1]) || !bytes.Equal(results[0], results[1]) || !cmp.Equal(writes[0], writes[1]) {
			t.Fatalf("%s: two peers disagree", function)
		}
		if errs[0] == nil && len(writes[0]) > 0 && function != chaincode.FuncRegisterLog && function != chaincode.FuncAnchor {
			t.Fatalf("%s wrote %q", function, writes[0])
		}
	})
}
