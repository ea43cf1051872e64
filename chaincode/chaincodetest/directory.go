package chaincodetest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"cunzheng/chaincode"
	"cunzheng/crypto/sm2"
)

// Fingerprint returns the name of a key in the contract.
func Fingerprint(key *sm2.PrivateKey) string {
	return fmt.Sprintf("%x", key.Public().(*sm2.PublicKey).Fingerprint())
}

// encoder is a record of the contract.
type encoder interface{ Encode() ([]byte, error) }

func encode(t testing.TB, record encoder) []byte {
	t.Helper()
	arg, err := record.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return arg
}

// Registration returns the arguments with which org registers key.
func Registration(t testing.TB, org string, key *sm2.PrivateKey, role chaincode.Role, log string) [][]byte {
	t.Helper()
	record := encode(t, &chaincode.KeyRecord{
		From: "2026-11-23T11:22:33.456Z", Holder: "12350200426600757G", Key: spki(key), Log: log, Role: role,
	})
	return [][]byte{record, sign(t, key, chaincode.KeyMessage(org, record))}
}

// result decodes what a function answers, and holds that it says nothing that the type does not know.
func result[T any](f *fixture, function string, args ...string) T {
	f.t.Helper()
	arguments := make([][]byte, len(args))
	for i, arg := range args {
		arguments[i] = []byte(arg)
	}
	text := f.must(f.chain.Foreign(), function, arguments...).Result
	var v T
	if err := json.Unmarshal(text, &v, json.RejectUnknownMembers(true)); err != nil {
		f.t.Fatalf("%s: %q: %v", function, text, err)
	}
	return v
}

// pages reads a whole list, page by page.
func pages[P, E any](f *fixture, function, what, first string, limit int, split func(P) ([]E, string)) []E {
	f.t.Helper()
	var all []E
	for from := first; ; {
		elements, next := split(result[P](f, function, what, from, fmt.Sprint(limit)))
		if len(elements) > limit || next != "" && next == from {
			f.t.Fatalf("%s from %q: %d elements on a page of %d, next is %q", function, from, len(elements), limit, next)
		}
		all = append(all, elements...)
		if next == "" {
			return all
		}
		from = next
	}
}

// listedKeys returns the fingerprints of the keys on the list, and holds that they are in order.
func (f *fixture) listedKeys(log string, limit int) []string {
	f.t.Helper()
	keys := pages(f, chaincode.FuncKeys, log, "", limit, func(p chaincode.KeyPage) ([]chaincode.RegisteredKey, string) { return p.Keys, p.Next })
	var list []string
	for _, k := range keys {
		key, err := sm2.ParsePublicKey(k.Record.Key)
		if err != nil {
			f.t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%x", key.Fingerprint()))
	}
	if !slices.IsSorted(list) {
		f.t.Errorf("the keys are not in the order of their fingerprints: %q", list)
	}
	return list
}

func testRegisterKey(t *testing.T, f *fixture) {
	owner, foreign := f.chain.Owner(), f.chain.Foreign()
	log := f.registered(1)
	for i, role := range []chaincode.Role{
		chaincode.RoleLog, chaincode.RoleReceipt, chaincode.RoleToken, chaincode.RoleSeal, chaincode.RoleTimestamp,
		chaincode.RoleOfficer, chaincode.RoleDepartment,
	} {
		origin := log.Origin
		if i%2 == 1 {
			origin = ""
		}
		key := NewKey(t)
		args := Registration(t, owner, key, role, origin)
		f.refused(chaincode.KeyUnknown, foreign, chaincode.FuncKey, []byte(Fingerprint(key)))
		f.event(f.must(owner, chaincode.FuncRegisterKey, args...), chaincode.EventKeyRegistered,
			fmt.Sprintf(`{"fingerprint":%q,"organisation":%q,"record":%s}`, Fingerprint(key), owner, args[0]))

		got := f.must(foreign, chaincode.FuncKey, []byte(Fingerprint(key))).Result
		want := fmt.Sprintf(`{"organisation":%q,"proof":%s,"record":%s}`, owner, jsonText(t, args[1]), args[0])
		if string(got) != want {
			t.Errorf("key is %s, want %s", got, want)
		}
		// The same record again, with another signature.
		f.unchanged(f.must(owner, chaincode.FuncRegisterKey, Registration(t, owner, key, role, origin)...))
	}
	// Another organisation answers for a key of its own that serves no log.
	f.must(foreign, chaincode.FuncRegisterKey, Registration(t, foreign, NewKey(t), chaincode.RoleDepartment, "")...)
}

func testRegisterKeyRefused(t *testing.T, f *fixture) {
	owner, foreign := f.chain.Owner(), f.chain.Foreign()
	log := f.registered(1)
	held, free, key := NewKey(t), NewKey(t), NewKey(t)
	f.must(owner, chaincode.FuncRegisterKey, Registration(t, owner, held, chaincode.RoleReceipt, log.Origin)...)
	f.must(owner, chaincode.FuncRegisterKey, Registration(t, owner, free, chaincode.RoleSeal, "")...)
	good := Registration(t, owner, key, chaincode.RoleReceipt, log.Origin)
	edit := func(old, new string) [][]byte {
		if !bytes.Contains(good[0], []byte(old)) {
			t.Fatalf("%q is not in the record", old)
		}
		record := bytes.Replace(good[0], []byte(old), []byte(new), 1)
		return [][]byte{record, sign(t, key, chaincode.KeyMessage(owner, record))}
	}
	for _, test := range []struct {
		name string
		code chaincode.Code
		org  string
		args [][]byte
	}{
		{"held by this organisation with another role", chaincode.KeyExists, owner, Registration(t, owner, held, chaincode.RoleToken, log.Origin)},
		{"held by this organisation for no log", chaincode.KeyExists, owner, Registration(t, owner, held, chaincode.RoleReceipt, "")},
		{"held by another organisation, same record", chaincode.KeyExists, foreign, Registration(t, foreign, free, chaincode.RoleSeal, "")},
		{"held by another organisation", chaincode.KeyExists, foreign, Registration(t, foreign, held, chaincode.RoleReceipt, "")},
		{"log of another organisation", chaincode.NotOwner, foreign, Registration(t, foreign, key, chaincode.RoleReceipt, log.Origin)},
		{"unknown log", chaincode.LogUnknown, owner, Registration(t, owner, key, chaincode.RoleReceipt, f.newLog().Origin)},
		{"proof for another organisation", chaincode.Signature, foreign, Registration(t, owner, key, chaincode.RoleReceipt, "")},
		{"proof by another key", chaincode.Signature, owner, [][]byte{good[0], sign(t, held, chaincode.KeyMessage(owner, good[0]))}},
		{"proof of another record", chaincode.Signature, owner, [][]byte{good[0], Registration(t, owner, key, chaincode.RoleSeal, log.Origin)[1]}},
		{"proof without domain", chaincode.Signature, owner, [][]byte{good[0], sign(t, key, good[0])}},
		{"no proof", chaincode.Signature, owner, [][]byte{good[0], nil}},
		{"no record", chaincode.Syntax, owner, [][]byte{nil, good[1]}},
		{"no object", chaincode.Syntax, owner, [][]byte{[]byte(`[]`), good[1]}},
		{"not canonical", chaincode.Syntax, owner, edit(`,"role"`, `, "role"`)},
		{"unknown member", chaincode.Syntax, owner, edit(`,"role"`, `,"note":"","role"`)},
		{"member twice", chaincode.Syntax, owner, edit(`,"role"`, `,"role":"receipt","role"`)},
		{"member missing", chaincode.Syntax, owner, edit(`"holder":"12350200426600757G",`, ``)},
		{"null", chaincode.Syntax, owner, edit(`"12350200426600757G"`, `null`)},
		{"time with an offset", chaincode.Syntax, owner, edit(`33.456Z`, `33.456+08:00`)},
		{"time without milliseconds", chaincode.Syntax, owner, edit(`33.456Z`, `33Z`)},
		{"time with a comma", chaincode.Syntax, owner, edit(`33.456Z`, `33,456Z`)},
		{"no such day", chaincode.Syntax, owner, edit(`2026-11-23`, `2026-11-31`)},
		{"time before 1970", chaincode.Syntax, owner, edit(`2026-11-23`, `1969-11-23`)},
		{"empty holder", chaincode.Syntax, owner, edit(`12350200426600757G`, ``)},
		{"person as holder", chaincode.Syntax, owner, edit(`12350200426600757G`, `张三`)},
		{"holder with a space", chaincode.Syntax, owner, edit(`12350200426600757G`, `a b`)},
		{"long holder", chaincode.Syntax, owner, edit(`12350200426600757G`, strings.Repeat("a", 65))},
		{"unknown role", chaincode.Syntax, owner, edit(`"receipt"`, `"admin"`)},
		{"log's key for no log", chaincode.Syntax, owner, edit(fmt.Sprintf(`"log":%q,"role":"receipt"`, log.Origin), `"log":"","role":"log"`)},
		{"malformed origin", chaincode.Syntax, owner, edit(log.Origin, "a b")},
		{"no key", chaincode.Syntax, owner, edit(string(jsonText(t, spki(key))), `""`)},
		{"damaged key", chaincode.Syntax, owner, edit(`"key":"M`, `"key":"N`)},
		{"large record", chaincode.Syntax, owner, [][]byte{bytes.Repeat([]byte(" "), chaincode.MaxRecord+1), good[1]}},
		{"huge proof", chaincode.Signature, owner, [][]byte{good[0], make([]byte, 1<<16)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &fixture{t: t, chain: f.chain}
			f.refused(test.code, test.org, chaincode.FuncRegisterKey, test.args...)
		})
	}
	f.refused(chaincode.KeyUnknown, owner, chaincode.FuncKey, []byte(Fingerprint(key)))
	f.must(owner, chaincode.FuncRegisterKey, good...)
}

func testRevokeKey(t *testing.T, f *fixture) {
	owner, foreign := f.chain.Owner(), f.chain.Foreign()
	const at = "2026-11-24T00:00:00.000Z"
	for _, reason := range []chaincode.Reason{chaincode.ReasonCompromise, chaincode.ReasonSuperseded, chaincode.ReasonCessation} {
		key := NewKey(t)
		fingerprint := []byte(Fingerprint(key))
		registration := Registration(t, owner, key, chaincode.RoleOfficer, "")
		f.refused(chaincode.KeyUnknown, owner, chaincode.FuncRevokeKey, fingerprint, []byte(reason), []byte(at))
		f.must(owner, chaincode.FuncRegisterKey, registration...)
		f.refused(chaincode.NotOwner, foreign, chaincode.FuncRevokeKey, fingerprint, []byte(reason), []byte(at))
		f.refused(chaincode.Syntax, owner, chaincode.FuncRevokeKey, fingerprint, []byte(reason), []byte("now"))
		f.refused(chaincode.Syntax, owner, chaincode.FuncRevokeKey, fingerprint, []byte(""), []byte(at))
		f.refused(chaincode.Syntax, owner, chaincode.FuncRevokeKey, fingerprint, []byte("whim"), []byte(at))

		f.event(f.must(owner, chaincode.FuncRevokeKey, fingerprint, []byte(reason), []byte(at)), chaincode.EventKeyRevoked,
			fmt.Sprintf(`{"at":%q,"fingerprint":%q,"organisation":%q,"reason":%q}`, at, fingerprint, owner, reason))
		f.unchanged(f.must(owner, chaincode.FuncRevokeKey, fingerprint, []byte(reason), []byte(at)))

		// It is for good, and registering the key again does not take it back.
		f.refused(chaincode.KeyRevoked, owner, chaincode.FuncRevokeKey, fingerprint, []byte(reason), []byte("2026-11-25T00:00:00.000Z"))
		other := chaincode.ReasonCompromise
		if reason == other {
			other = chaincode.ReasonCessation
		}
		f.refused(chaincode.KeyRevoked, owner, chaincode.FuncRevokeKey, fingerprint, []byte(other), []byte(at))
		f.refused(chaincode.NotOwner, foreign, chaincode.FuncRevokeKey, fingerprint, []byte(reason), []byte(at))
		f.unchanged(f.must(owner, chaincode.FuncRegisterKey, registration...))
		got := string(f.must(foreign, chaincode.FuncKey, fingerprint).Result)
		want := fmt.Sprintf(`{"organisation":%q,"proof":%s,"record":%s,"revocation":{"at":%q,"reason":%q}}`,
			owner, jsonText(t, registration[1]), registration[0], at, reason)
		if got != want {
			t.Errorf("revoked key is %s, want %s", got, want)
		}
	}
}

func testKeys(t *testing.T, f *fixture) {
	owner := f.chain.Owner()
	log, other := f.registered(1), f.registered(1)
	var ofLog, ofNone []string
	for range 5 {
		key, free := NewKey(t), NewKey(t)
		ofLog, ofNone = append(ofLog, Fingerprint(key)), append(ofNone, Fingerprint(free))
		f.must(owner, chaincode.FuncRegisterKey, Registration(t, owner, key, chaincode.RoleReceipt, log.Origin)...)
		f.must(owner, chaincode.FuncRegisterKey, Registration(t, owner, free, chaincode.RoleDepartment, "")...)
	}
	f.must(owner, chaincode.FuncRevokeKey, []byte(ofLog[0]), []byte(chaincode.ReasonSuperseded), []byte("2026-11-24T00:00:00.000Z"))
	slices.Sort(ofLog)
	for limit := 1; limit <= 6; limit++ {
		if got := f.listedKeys(log.Origin, limit); !slices.Equal(got, ofLog) {
			t.Errorf("keys of the log, by %d: %q, want %q", limit, got, ofLog)
		}
	}
	if got := f.listedKeys(other.Origin, 1); len(got) != 0 {
		t.Errorf("a log without keys has %q", got)
	}
	all := f.listedKeys("", 3)
	for _, fingerprint := range slices.Concat(ofLog, ofNone) {
		if !slices.Contains(all, fingerprint) {
			t.Errorf("key %s is not on the list of all", fingerprint)
		}
	}
	page := result[chaincode.KeyPage](f, chaincode.FuncKeys, log.Origin, ofLog[4], "100")
	if len(page.Keys) != 1 || page.Next != "" {
		t.Errorf("the page from the last key on is %+v", page)
	}
	f.refused(chaincode.LogUnknown, owner, chaincode.FuncKeys, []byte(f.newLog().Origin), nil, []byte("1"))
}

// office returns an office code that no other test uses.
func office() string { return "XM-350200-N" + rand.Text()[:11] }

func nodeRecord(t testing.TB, office, name string) []byte {
	t.Helper()
	return encode(t, &chaincode.NodeRecord{Name: name, Office: office, URL: "https://notary.example:8443/cunzheng"})
}

func testPublishNode(t *testing.T, f *fixture) {
	owner, foreign := f.chain.Owner(), f.chain.Foreign()
	log := f.registered(1)
	origin, code := []byte(log.Origin), office()
	f.refused(chaincode.NodeUnknown, foreign, chaincode.FuncNode, origin)
	for _, record := range [][]byte{
		nodeRecord(t, code, "厦门市某某公证处（总部）"),
		nodeRecord(t, code, "Notary Office of Xiamen"),
		nodeRecord(t, office(), "厦门市某某公证处（总部）"),
		nodeRecord(t, code, "厦门市某某公证处（总部）"),
	} {
		want := fmt.Sprintf(`{"organisation":%q,"origin":%q,"record":%s}`, owner, log.Origin, record)
		f.event(f.must(owner, chaincode.FuncPublishNode, origin, record), chaincode.EventNodePublished, want)
		f.unchanged(f.must(owner, chaincode.FuncPublishNode, origin, record))
		if got := f.must(foreign, chaincode.FuncNode, origin).Result; string(got) != want {
			t.Errorf("node is %s, want %s", got, want)
		}
	}
}

func testPublishNodeRefused(t *testing.T, f *fixture) {
	owner, foreign := f.chain.Owner(), f.chain.Foreign()
	log, theirs := f.registered(1), f.newLog()
	f.must(foreign, chaincode.FuncRegisterLog, []byte(theirs.Origin), theirs.SPKI())
	code, left := office(), office()
	f.must(owner, chaincode.FuncPublishNode, []byte(log.Origin), nodeRecord(t, left, "甲"))
	good := nodeRecord(t, code, "甲")
	f.must(owner, chaincode.FuncPublishNode, []byte(log.Origin), good)
	edit := func(old, new string) []byte {
		if !bytes.Contains(good, []byte(old)) {
			t.Fatalf("%q is not in the record", old)
		}
		return bytes.Replace(good, []byte(old), []byte(new), 1)
	}
	const url = "https://notary.example:8443/cunzheng"
	for _, test := range []struct {
		name   string
		code   chaincode.Code
		org    string
		origin string
		record []byte
	}{
		{"unknown log", chaincode.LogUnknown, owner, f.newLog().Origin, good},
		{"log of another organisation", chaincode.NotOwner, foreign, log.Origin, good},
		{"office of another organisation", chaincode.OfficeTaken, foreign, theirs.Origin, good},
		{"office that another organisation left", chaincode.OfficeTaken, foreign, theirs.Origin, nodeRecord(t, left, "甲")},
		{"malformed origin", chaincode.Syntax, owner, "a b", good},
		{"no record", chaincode.Syntax, owner, log.Origin, nil},
		{"not canonical", chaincode.Syntax, owner, log.Origin, edit(`"name"`, ` "name"`)},
		{"unknown member", chaincode.Syntax, owner, log.Origin, edit(`{"name"`, `{"a":1,"name"`)},
		{"empty name", chaincode.Syntax, owner, log.Origin, edit(`甲`, ``)},
		{"name with blanks around", chaincode.Syntax, owner, log.Origin, edit(`甲`, `甲 `)},
		{"name with a line break", chaincode.Syntax, owner, log.Origin, edit(`甲`, `甲\n乙`)},
		{"name that turns the text around", chaincode.Syntax, owner, log.Origin, edit(`甲`, "甲\u202e乙")},
		{"name with a hidden character", chaincode.Syntax, owner, log.Origin, edit(`甲`, "甲\u200b乙")},
		{"name that is no text", chaincode.Syntax, owner, log.Origin, edit(`甲`, "\xff")},
		{"long name", chaincode.Syntax, owner, log.Origin, edit(`甲`, strings.Repeat("甲", 86))},
		{"empty office", chaincode.Syntax, owner, log.Origin, edit(code, "")},
		{"office in lower case", chaincode.Syntax, owner, log.Origin, edit(code, "xm-350200-NOT01")},
		{"office with a short region", chaincode.Syntax, owner, log.Origin, edit(code, "XM-35020-NOT01")},
		{"office that begins with a digit", chaincode.Syntax, owner, log.Origin, edit(code, "XM-350200-1NOT")},
		{"office with four parts", chaincode.Syntax, owner, log.Origin, edit(code, "XM-350200-NOT01-1")},
		{"office with a space", chaincode.Syntax, owner, log.Origin, edit(code, "XM-350200-NO 01")},
		{"empty URL", chaincode.Syntax, owner, log.Origin, edit(url, "")},
		{"other scheme", chaincode.Syntax, owner, log.Origin, edit(url, "javascript:alert(1)")},
		{"no host", chaincode.Syntax, owner, log.Origin, edit(url, "https:///a")},
		{"port without host", chaincode.Syntax, owner, log.Origin, edit(url, "https://:80")},
		{"user in the URL", chaincode.Syntax, owner, log.Origin, edit(url, "https://notary.example@other.example")},
		{"query in the URL", chaincode.Syntax, owner, log.Origin, edit(url, "https://notary.example?a=b")},
		{"slash at the end", chaincode.Syntax, owner, log.Origin, edit(url, "https://notary.example/")},
		{"long URL", chaincode.Syntax, owner, log.Origin, edit(url, "https://"+strings.Repeat("a", 255))},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &fixture{t: t, chain: f.chain}
			f.refused(test.code, test.org, chaincode.FuncPublishNode, []byte(test.origin), test.record)
		})
	}
	want := fmt.Sprintf(`{"organisation":%q,"origin":%q,"record":%s}`, owner, log.Origin, good)
	if got := f.must(owner, chaincode.FuncNode, []byte(log.Origin)).Result; string(got) != want {
		t.Errorf("node is %s, want %s", got, want)
	}
	for _, url := range []string{"http://127.0.0.1:8080", "https://[::1]:8443", "https://a.example/b/c"} {
		f.must(owner, chaincode.FuncPublishNode, []byte(log.Origin), edit("https://notary.example:8443/cunzheng", url))
	}
}

// listedNodes returns the origins of the nodes on the list, and holds that they are in order.
func (f *fixture) listedNodes(office string, limit int) []string {
	f.t.Helper()
	nodes := pages(f, chaincode.FuncNodes, office, "", limit, func(p chaincode.NodePage) ([]chaincode.PublishedNode, string) { return p.Nodes, p.Next })
	var list []string
	for _, node := range nodes {
		list = append(list, node.Origin)
	}
	if !slices.IsSorted(list) {
		f.t.Errorf("the nodes are not in the order of their origins: %q", list)
	}
	return list
}

func testNodes(t *testing.T, f *fixture) {
	owner := f.chain.Owner()
	code, other := office(), office()
	var stay []string
	for n := range 6 {
		log := f.registered(1)
		f.must(owner, chaincode.FuncPublishNode, []byte(log.Origin), nodeRecord(t, code, "甲"))
		if n%2 == 0 {
			stay = append(stay, log.Origin)
		} else {
			f.must(owner, chaincode.FuncPublishNode, []byte(log.Origin), nodeRecord(t, other, "甲"))
		}
	}
	slices.Sort(stay)
	for limit := 1; limit <= 7; limit++ {
		if got := f.listedNodes(code, limit); !slices.Equal(got, stay) {
			t.Errorf("nodes of the office, by %d: %q, want %q", limit, got, stay)
		}
	}
	if got := f.listedNodes(other, 100); len(got) != 3 {
		t.Errorf("the other office has %q", got)
	}
	if got := f.listedNodes(office(), 100); len(got) != 0 {
		t.Errorf("an office without nodes has %q", got)
	}
	all := f.listedNodes("", 2)
	for _, origin := range stay {
		if !slices.Contains(all, origin) {
			t.Errorf("%s is not on the list of all", origin)
		}
	}
}

func testDirectorySyntax(t *testing.T, f *fixture) {
	log := f.registered(1)
	origin, fingerprint := []byte(log.Origin), []byte(strings.Repeat("ab", 32))
	one := []byte("1")
	for _, test := range []struct {
		name     string
		function string
		args     [][]byte
	}{
		{"no fingerprint", chaincode.FuncKey, [][]byte{nil}},
		{"short fingerprint", chaincode.FuncKey, [][]byte{fingerprint[1:]}},
		{"fingerprint in upper case", chaincode.FuncKey, [][]byte{bytes.ToUpper(fingerprint)}},
		{"fingerprint with other text", chaincode.FuncRevokeKey, [][]byte{append([]byte("key "), fingerprint...), []byte("compromise"), []byte("2026-11-24T00:00:00.000Z")}},
		{"keys of a malformed log", chaincode.FuncKeys, [][]byte{[]byte("a b"), nil, one}},
		{"keys from no fingerprint", chaincode.FuncKeys, [][]byte{origin, []byte("a"), one}},
		{"page of no keys", chaincode.FuncKeys, [][]byte{origin, nil, []byte("0")}},
		{"page of too many keys", chaincode.FuncKeys, [][]byte{nil, nil, []byte("101")}},
		{"limit is no number", chaincode.FuncKeys, [][]byte{nil, nil, nil}},
		{"node of a malformed origin", chaincode.FuncNode, [][]byte{nil}},
		{"nodes of a malformed office", chaincode.FuncNodes, [][]byte{[]byte("XM"), nil, one}},
		{"nodes from a malformed origin", chaincode.FuncNodes, [][]byte{nil, []byte("a b"), one}},
		{"page of no nodes", chaincode.FuncNodes, [][]byte{nil, nil, []byte("0")}},
		{"page of too many nodes", chaincode.FuncNodes, [][]byte{nil, nil, []byte("101")}},
		{"status of a malformed origin", chaincode.FuncStatus, [][]byte{nil, fingerprint}},
		{"status of no certificate", chaincode.FuncStatus, [][]byte{origin, nil}},
		{"forks of a malformed origin", chaincode.FuncForks, [][]byte{nil, []byte("0"), one}},
		{"forks from nowhere", chaincode.FuncForks, [][]byte{origin, nil, one}},
		{"forks from half a place", chaincode.FuncForks, [][]byte{origin, fmt.Appendf(nil, "%016x %s", 1, fingerprint), one}},
		{"forks from a place too long", chaincode.FuncForks, [][]byte{origin, fmt.Appendf(nil, "%016x %s %s ", 1, fingerprint, fingerprint), one}},
		{"page of no forks", chaincode.FuncForks, [][]byte{origin, []byte("0"), []byte("0")}},
		{"page of too many forks", chaincode.FuncForks, [][]byte{origin, []byte("0"), []byte("101")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &fixture{t: t, chain: f.chain}
			f.refused(chaincode.Syntax, f.chain.Owner(), test.function, test.args...)
		})
	}
}

func jsonText(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
