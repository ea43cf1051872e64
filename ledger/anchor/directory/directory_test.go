package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"cunzheng/chaincode"
	"cunzheng/chaincode/chaincodetest"
	"cunzheng/crypto/sm2"
)

var began = time.Date(2026, 11, 23, 11, 22, 33, 456_000_000, time.UTC)

// member runs the contract in memory in the name of one organisation.
type member struct {
	*chaincodetest.Memory
	organisation string
	twist        func(function string, answer []byte) []byte // what a lying peer makes of an answer; may be nil
}

func (m member) Submit(_ context.Context, function string, args ...[]byte) (string, error) {
	done, err := m.Invoke(m.organisation, function, args...)
	if err != nil || !done.Changed {
		return "", err
	}
	return "transaction", nil
}

func (m member) Evaluate(_ context.Context, function string, args ...[]byte) ([]byte, error) {
	done, err := m.Invoke(m.organisation, function, args...)
	if err == nil && m.twist != nil {
		done.Result = m.twist(function, done.Result)
	}
	return done.Result, err
}

// join registers a log for an organisation and returns the organisation's directory.
func join(t *testing.T, chain *chaincodetest.Memory, organisation, origin string) *Directory {
	t.Helper()
	if _, err := chain.Invoke(organisation, chaincode.FuncRegisterLog, []byte(origin), public(chaincodetest.NewKey(t)).SPKI()); err != nil {
		t.Fatal(err)
	}
	return New(member{Memory: chain, organisation: organisation}, organisation)
}

func public(k *sm2.PrivateKey) *sm2.PublicKey { return k.Public().(*sm2.PublicKey) }

func node(origin, office string) Node {
	return Node{Origin: origin, Name: "厦门公证处", Office: office, URL: "https://cz.example/base"}
}

func (d *Directory) mustRegister(t *testing.T, log string) Key {
	t.Helper()
	key := chaincodetest.NewKey(t)
	k := Key{Key: public(key), Log: log, Role: "receipt", Holder: "xm-notary", From: began}
	if err := d.RegisterKey(t.Context(), k, key); err != nil {
		t.Fatal(err)
	}
	k.Organisation = d.organisation
	return k
}

func code(err error) chaincode.Code {
	if refusal, ok := errors.AsType[*chaincode.Error](err); ok {
		return refusal.Code
	}
	return ""
}

func TestNodes(t *testing.T) {
	chain := chaincodetest.NewMemory()
	notary := join(t, chain, "NotaryMSP", "log.example/a")
	if _, err := notary.Node(t.Context(), "log.example/a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("before it is published: %v", err)
	}
	want := node("log.example/a", "XM-350200-NOT01")
	for range 2 { // the second time changes nothing
		if err := notary.PublishNode(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	want.Organisation = "NotaryMSP"
	bureau := join(t, chain, "BureauMSP", "log.example/b")
	if got, err := bureau.Node(t.Context(), "log.example/a"); err != nil || got != want {
		t.Errorf("another organisation reads %+v, %v; want %+v", got, err, want)
	}
	if err := bureau.PublishNode(t.Context(), node("log.example/a", "XM-350200-NOT01")); code(err) != chaincode.NotOwner {
		t.Errorf("another's log: %v", err)
	}
	if err := bureau.PublishNode(t.Context(), node("log.example/b", "XM-350200-NOT01")); code(err) != chaincode.OfficeTaken {
		t.Errorf("another's office: %v", err)
	}
	if err := bureau.PublishNode(t.Context(), Node{Origin: "log.example/b", Office: "not an office"}); err == nil {
		t.Error("a malformed node was sent")
	}
	if err := bureau.PublishNode(t.Context(), node("log.example/b", "XM-350200-BUR01")); err != nil {
		t.Fatal(err)
	}
	for office, want := range map[string][]string{
		"": {"log.example/a", "log.example/b"}, "XM-350200-BUR01": {"log.example/b"}, "XM-350200-NON01": nil,
	} {
		nodes, err := notary.Nodes(t.Context(), office)
		if err != nil || len(nodes) != len(want) {
			t.Fatalf("office %q: %+v, %v", office, nodes, err)
		}
		for i, n := range nodes {
			if n.Origin != want[i] {
				t.Errorf("office %q: node %d is that of %s, want %s", office, i, n.Origin, want[i])
			}
		}
	}
}

// TestNodesThatMoved walks an office whose first pages are empty, since its nodes have gone to another.
func TestNodesThatMoved(t *testing.T) {
	chain := chaincodetest.NewMemory()
	var d *Directory
	for i := range 2*chaincode.MaxPage + 1 {
		origin := fmt.Sprintf("log.example/%03d", i)
		d = join(t, chain, "NotaryMSP", origin)
		if err := d.PublishNode(t.Context(), node(origin, "XM-350200-NOT01")); err != nil {
			t.Fatal(err)
		}
		if i == 2*chaincode.MaxPage {
			break
		}
		if err := d.PublishNode(t.Context(), node(origin, "XM-350200-NOT02")); err != nil {
			t.Fatal(err)
		}
	}
	for office, want := range map[string]int{"XM-350200-NOT01": 1, "XM-350200-NOT02": 2 * chaincode.MaxPage, "": 2*chaincode.MaxPage + 1} {
		if nodes, err := d.Nodes(t.Context(), office); err != nil || len(nodes) != want {
			t.Errorf("office %q has %d nodes, want %d; %v", office, len(nodes), want, err)
		}
	}
}

func TestKeys(t *testing.T) {
	chain := chaincodetest.NewMemory()
	d := join(t, chain, "NotaryMSP", "log.example/a")
	join(t, chain, "NotaryMSP", "log.example/other").mustRegister(t, "log.example/other")
	want := map[string]Key{}
	for range chaincode.MaxPage + 20 {
		k := d.mustRegister(t, "log.example/a")
		want[fmt.Sprintf("%x", k.Key.Fingerprint())] = k
	}
	for fingerprint, k := range want {
		revocation := Revocation{At: began.Add(time.Hour), Reason: "compromise"}
		for range 2 {
			if err := d.RevokeKey(t.Context(), k.Key, revocation); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.RevokeKey(t.Context(), k.Key, Revocation{At: began, Reason: "compromise"}); code(err) != chaincode.KeyRevoked {
			t.Errorf("another revocation: %v", err)
		}
		k.Revoked = &revocation
		want[fingerprint] = k
		break
	}
	keys, err := d.Keys(t.Context(), "log.example/a")
	if err != nil || len(keys) != len(want) {
		t.Fatalf("%d keys, want %d; %v", len(keys), len(want), err)
	}
	for _, k := range keys {
		w := want[fmt.Sprintf("%x", k.Key.Fingerprint())]
		if (k.Revoked == nil) != (w.Revoked == nil) || k.Revoked != nil && *k.Revoked != *w.Revoked {
			t.Errorf("revocation %+v, want %+v", k.Revoked, w.Revoked)
		}
		if k.Organisation != "NotaryMSP" || k.Log != w.Log || k.Role != w.Role || k.Holder != w.Holder || !k.From.Equal(w.From) {
			t.Errorf("got %+v, want %+v", k, w)
		}
	}
}

func TestRegisterKeyProvesPossession(t *testing.T) {
	d := join(t, chaincodetest.NewMemory(), "NotaryMSP", "log.example/a")
	key, other := chaincodetest.NewKey(t), chaincodetest.NewKey(t)
	k := Key{Key: public(key), Log: "log.example/a", Role: "seal", Holder: "xm-notary", From: began}
	if err := d.RegisterKey(t.Context(), k, other); err == nil {
		t.Error("registered a key that the signer does not hold")
	}
	for range 2 {
		if err := d.RegisterKey(t.Context(), k, key); err != nil {
			t.Fatal(err)
		}
	}
	k.Holder = "somebody-else"
	if err := d.RegisterKey(t.Context(), k, key); code(err) != chaincode.KeyExists {
		t.Errorf("another record of the same key: %v", err)
	}
}

// edit returns a twist that changes the answer of one function as JSON.
func edit(function string, change func(answer map[string]any)) func(string, []byte) []byte {
	return func(called string, answer []byte) []byte {
		if called != function {
			return answer
		}
		var v map[string]any
		if err := json.Unmarshal(answer, &v); err != nil {
			panic(err)
		}
		change(v)
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return text
	}
}

func first(answer map[string]any, list string) map[string]any {
	return answer[list].([]any)[0].(map[string]any)
}

// TestLyingPeer holds that what an answer itself shows to be wrong is found.
func TestLyingPeer(t *testing.T) {
	chain := chaincodetest.NewMemory()
	honest := join(t, chain, "NotaryMSP", "log.example/a")
	if err := honest.PublishNode(t.Context(), node("log.example/a", "XM-350200-NOT01")); err != nil {
		t.Fatal(err)
	}
	honest.mustRegister(t, "log.example/a")
	honest.mustRegister(t, "log.example/a")
	stranger := chaincodetest.NewKey(t)

	keys := func(d *Directory) error { _, err := d.Keys(context.Background(), "log.example/a"); return err }
	nodes := func(d *Directory) error { _, err := d.Nodes(context.Background(), "XM-350200-NOT01"); return err }
	one := func(d *Directory) error { _, err := d.Node(context.Background(), "log.example/a"); return err }
	for name, c := range map[string]struct {
		read  func(*Directory) error
		twist func(string, []byte) []byte
	}{
		"no JSON":         {one, func(string, []byte) []byte { return []byte("{") }},
		"unknown member":  {one, edit(chaincode.FuncNode, func(a map[string]any) { a["more"] = 1 })},
		"other log":       {one, edit(chaincode.FuncNode, func(a map[string]any) { a["origin"] = "log.example/b" })},
		"no organisation": {one, edit(chaincode.FuncNode, func(a map[string]any) { a["organisation"] = "" })},
		"malformed URL": {one, edit(chaincode.FuncNode, func(a map[string]any) {
			a["record"].(map[string]any)["url"] = "file:///etc/passwd"
		})},
		"other office": {nodes, edit(chaincode.FuncNodes, func(a map[string]any) {
			first(a, "nodes")["record"].(map[string]any)["office"] = "XM-350200-BUR01"
		})},
		"page without end": {nodes, edit(chaincode.FuncNodes, func(a map[string]any) { a["next"] = "log.example/a" })},
		"the same page for ever": {nodes, edit(chaincode.FuncNodes, func(a map[string]any) {
			a["nodes"], a["next"] = []any{}, "z"
		})},
		"page too long": {nodes, edit(chaincode.FuncNodes, func(a map[string]any) {
			for len(a["nodes"].([]any)) <= chaincode.MaxPage {
				a["nodes"] = append(a["nodes"].([]any), first(a, "nodes"))
			}
		})},
		"out of order": {keys, edit(chaincode.FuncKeys, func(a map[string]any) {
			k := a["keys"].([]any)
			k[0], k[1] = k[1], k[0]
		})},
		"twice": {keys, edit(chaincode.FuncKeys, func(a map[string]any) {
			a["keys"] = []any{first(a, "keys"), first(a, "keys")}
		})},
		"other role": {keys, edit(chaincode.FuncKeys, func(a map[string]any) {
			first(a, "keys")["record"].(map[string]any)["role"] = "log"
		})},
		"earlier": {keys, edit(chaincode.FuncKeys, func(a map[string]any) {
			first(a, "keys")["record"].(map[string]any)["from"] = "2020-01-01T00:00:00.000Z"
		})},
		"other organisation": {keys, edit(chaincode.FuncKeys, func(a map[string]any) { first(a, "keys")["organisation"] = "BureauMSP" })},
		"foreign key": {keys, edit(chaincode.FuncKeys, func(a map[string]any) {
			first(a, "keys")["record"].(map[string]any)["key"] = public(stranger).SPKI()
		})},
		"invented reason": {keys, edit(chaincode.FuncKeys, func(a map[string]any) {
			first(a, "keys")["revocation"] = map[string]any{"at": "2026-11-23T11:22:33.456Z", "reason": "mood"}
		})},
		"revoked at no time": {keys, edit(chaincode.FuncKeys, func(a map[string]any) {
			first(a, "keys")["revocation"] = map[string]any{"at": "yesterday", "reason": "compromise"}
		})},
	} {
		liar := New(member{Memory: chain, organisation: "NotaryMSP", twist: c.twist}, "NotaryMSP")
		if err := c.read(honest); err != nil {
			t.Fatalf("%s: the honest answer: %v", name, err)
		}
		err := c.read(liar)
		if !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: got %v, want ErrAnswer", name, err)
		}
	}
}

// TestWalkEnds holds that a peer that always has more is not followed for ever.
func TestWalkEnds(t *testing.T) {
	key := func(s string) string { return s }
	pages := 0
	_, err := walk(1000, key, func(from string) ([]string, string, error) {
		pages++
		return nil, from + "x", nil
	})
	if !errors.Is(err, ErrTooMany) || pages > 100 {
		t.Errorf("empty pages: %v after %d", err, pages)
	}
	_, err = walk(150, key, func(from string) ([]string, string, error) {
		n := len(strings.TrimSuffix(from, "!"))
		var page []string
		for i := range chaincode.MaxPage {
			page = append(page, strings.Repeat("y", n+i+1))
		}
		return page, page[len(page)-1] + "!", nil
	})
	if !errors.Is(err, ErrTooMany) {
		t.Errorf("full pages: %v", err)
	}
}

// FuzzAnswers holds that no answer makes the client do more than fail.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"nodes":[{"organisation":"A","origin":"a","record":{"name":"n","office":"XM-350200-NOT01","url":"https://a"}}]}`))
	f.Add([]byte(`{"keys":[{"organisation":"A","proof":"","record":{"from":"2026-11-23T11:22:33.456Z","holder":"h","key":"","log":"a","role":"log"}}],"next":"a"}`))
	f.Add([]byte(`{"organisation":"A","origin":"a","record":{"name":"n","office":"XM-350200-NOT01","url":"https://a"}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		d := New(fixed(answer), "A")
		if n, err := d.Node(t.Context(), "a"); err == nil && (n.Origin != "a" || n.Organisation == "" || n.URL == "") {
			t.Errorf("node %+v", n)
		}
		if nodes, err := d.Nodes(t.Context(), ""); err == nil && len(nodes) > chaincode.MaxPage {
			t.Errorf("%d nodes", len(nodes))
		}
		if keys, err := d.Keys(t.Context(), "a"); err == nil && len(keys) > 0 && !jsontext.Value(answer).IsValid() {
			t.Error("keys from what is no JSON")
		}
	})
}

type fixed []byte

func (f fixed) Submit(context.Context, string, ...[]byte) (string, error) { return "", nil }

func (f fixed) Evaluate(context.Context, string, ...[]byte) ([]byte, error) { return f, nil }
