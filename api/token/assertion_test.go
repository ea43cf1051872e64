package token

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cunzheng/crypto/sm2"
)

type machineWorld struct {
	now      time.Time
	machine  testSigner
	other    testSigner
	verifier *AssertionVerifier
}

// newMachineWorld has the accounts gateway and zhang with the key m1, and wang with the key w1.
func newMachineWorld(t testing.TB, limit, share int) *machineWorld {
	t.Helper()
	m := &machineWorld{now: epoch, machine: newSigner(t, "m1"), other: newSigner(t, "w1")}
	keys := func(account, kid string) (*sm2.PublicKey, error) {
		switch {
		case kid == "m1" && account != "wang":
			return m.machine.public(), nil
		case kid == "w1" && account == "wang":
			return m.other.public(), nil
		}
		return nil, errors.New("not registered for this account")
	}
	var err error
	m.verifier, err = NewAssertionVerifier([]string{platform, platform + "/v1/token"}, keys, func() time.Time { return m.now }, limit, share)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAssertion(t *testing.T) {
	m := newMachineWorld(t, 10, 10)
	for _, audience := range []string{platform, platform + "/v1/token"} {
		raw, err := NewAssertion("gateway", audience, "m1", m.machine, m.now)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.verifier.Verify(raw)
		if err != nil {
			t.Fatal(err)
		}
		if *got != (Assertion{Subject: "gateway", Key: "m1"}) {
			t.Fatalf("got %+v", got)
		}
		_, err = m.verifier.Verify(raw)
		wantCode(t, err, CodeReplayed)
	}
}

func TestAssertionRefusals(t *testing.T) {
	const head = `{"alg":"SM2-SM3","kid":"m1"}`
	m := newMachineWorld(t, 100, 100)
	stranger := newSigner(t, "m1")
	at := func(offset time.Duration, change func(map[string]string)) string {
		return claimsAt(m.now.Add(offset), func(c map[string]string) {
			delete(c, "org")
			delete(c, "roles")
			delete(c, "nbf")
			c["iss"], c["exp"] = `"zhang"`, fmt.Sprint(m.now.Add(offset).Unix()+60)
			change(c)
		})
	}
	set := func(name, value string) string {
		return at(0, func(c map[string]string) { c[name] = value })
	}
	drop := func(name string) string { return at(0, func(c map[string]string) { delete(c, name) }) }
	for _, test := range []struct {
		name string
		raw  string
		want Code
	}{
		{"unknown key", forge(t, m.machine, `{"alg":"SM2-SM3","kid":"m2"}`, set("jti", `"a"`)), CodeUnknownKey},
		{"foreign key", forge(t, stranger, head, set("jti", `"b"`)), CodeSignature},
		{"alg none", segment(`{"alg":"none","kid":"m1"}`) + "." + segment(set("jti", `"c"`)) + ".", CodeAlgorithm},
		{"wrong audience", forge(t, m.machine, head, set("aud", `"https://other.example"`)), CodeAudience},
		{"key of another account", forge(t, m.machine, head, at(0, func(c map[string]string) { c["iss"], c["sub"] = `"wang"`, `"wang"` })), CodeUnknownKey},
		{"issuer is not subject", forge(t, m.machine, head, set("iss", `"wang"`)), CodeClaims},
		{"no subject", forge(t, m.machine, head, drop("sub")), CodeClaims},
		{"no id", forge(t, m.machine, head, drop("jti")), CodeClaims},
		{"id too long", forge(t, m.machine, head, set("jti", `"`+strings.Repeat("x", 257)+`"`)), CodeClaims},
		{"no iat", forge(t, m.machine, head, drop("iat")), CodeClaims},
		{"no exp", forge(t, m.machine, head, drop("exp")), CodeClaims},
		{"holds for an hour", forge(t, m.machine, head, set("exp", fmt.Sprint(m.now.Unix()+3600))), CodeClaims},
		{"holds for six minutes", forge(t, m.machine, head, set("exp", fmt.Sprint(m.now.Unix()+360))), CodeClaims},
		{"made far in the future", forge(t, m.machine, head, at(10*time.Minute, func(map[string]string) {})), CodeNotYetValid},
		{"just expired", forge(t, m.machine, head, at(-61*time.Second, func(map[string]string) {})), CodeExpired},
		{"made before the start", forge(t, m.machine, head, at(-10*time.Second, func(map[string]string) {})), CodeExpired},
		{"nbf in the future", forge(t, m.machine, head, set("nbf", fmt.Sprint(m.now.Unix()+120))), CodeNotYetValid},
		{"claim twice", forge(t, m.machine, head, strings.Replace(set("jti", `"d"`), `"sub"`, `"sub":"wang","sub"`, 1)), CodeMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := m.verifier.Verify(test.raw)
			wantCode(t, err, test.want)
		})
	}
	for name, claims := range map[string]string{
		"audience in an array":           set("aud", `["https://other.example","`+platform+`"]`),
		"clock twenty seconds ahead":     at(20*time.Second, func(c map[string]string) { c["jti"] = `"e"` }),
		"claims unknown to the platform": at(0, func(c map[string]string) { c["jti"], c["extra"] = `"f"`, `{"a":1}` }),
	} {
		if _, err := m.verifier.Verify(forge(t, m.machine, head, claims)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// next verifies a fresh assertion of account.
func (m *machineWorld) next(t testing.TB, account, kid string, key testSigner) error {
	t.Helper()
	raw, err := NewAssertion(account, platform, kid, key, m.now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.verifier.Verify(raw)
	return err
}

func TestReplayMemoryIsBounded(t *testing.T) {
	m := newMachineWorld(t, 3, 2)
	for range 2 {
		if err := m.next(t, "gateway", "m1", m.machine); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, m.next(t, "gateway", "m1", m.machine), CodeBusy)
	if err := m.next(t, "wang", "w1", m.other); err != nil {
		t.Fatalf("one account fills the memory for another: %v", err)
	}
	wantCode(t, m.next(t, "wang", "w1", m.other), CodeBusy) // all of it is full now
	m.now = m.now.Add(61 * time.Second)
	if err := m.next(t, "gateway", "m1", m.machine); err != nil {
		t.Fatalf("after the first expired: %v", err)
	}
	if r := m.verifier.used; len(r.marks) != 1 || len(r.expires) != 1 || len(r.held) != 1 {
		t.Fatalf("%d marks, %d expiries, %d issuers are remembered, want 1 each", len(r.marks), len(r.expires), len(r.held))
	}
}

// TestOthersShare: a machine that signs in another's name leaves no mark against that one.
func TestOthersShare(t *testing.T) {
	m := newMachineWorld(t, 10, 2)
	for range 5 {
		wantCode(t, m.next(t, "wang", "m1", m.machine), CodeUnknownKey)
	}
	if err := m.next(t, "wang", "w1", m.other); err != nil {
		t.Fatal(err)
	}
}
