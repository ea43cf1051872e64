package token

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"cunzheng/crypto/sm2"
)

const platform = "https://cz.example"

var epoch = time.Date(2026, 11, 23, 11, 22, 33, 456e6, time.UTC)

type testSigner struct {
	*sm2.PrivateKey
	id string
}

func (s testSigner) KeyID() string { return s.id }

func (s testSigner) public() *sm2.PublicKey { return s.Public().(*sm2.PublicKey) }

func newSigner(t testing.TB, id string) testSigner {
	t.Helper()
	key, err := sm2.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return testSigner{key, id}
}

// world is an issuer and its verifier on a clock that tests move.
type world struct {
	now      time.Time
	signer   testSigner
	retired  time.Time
	issuer   *Issuer
	verifier *Verifier
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{now: epoch, signer: newSigner(t, "k1")}
	clock := func() time.Time { return w.now }
	var err error
	if w.issuer, err = NewIssuer(platform, platform, 0, func() (Signer, error) { return w.signer, nil }, clock); err != nil {
		t.Fatal(err)
	}
	keys := func(kid string) (PublicKey, bool) {
		return PublicKey{ID: w.signer.id, Key: w.signer.public(), Retired: w.retired}, kid == w.signer.id
	}
	if w.verifier, err = NewVerifier(platform, platform, DefaultLifetime, keys, clock, 4); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) issue(t testing.TB) string {
	t.Helper()
	raw, _, err := w.issuer.Issue("org", "zhang", []string{"notary"}, "")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func wantCode(t *testing.T, err error, want Code) {
	t.Helper()
	refused, ok := errors.AsType[*Error](err)
	if !ok || refused.Code != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}

func TestIssueAndVerify(t *testing.T) {
	w := newWorld(t)
	raw, issued, err := w.issuer.Issue("org", "zhang", []string{"notary", "approver"}, "m1")
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"signature", "cache"} {
		got, err := w.verifier.Verify(raw)
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		if got.Subject != "zhang" || got.Organisation != "org" || got.Key != "m1" || len(got.Roles) != 2 || got.ID != issued.ID {
			t.Fatalf("%s: got %+v", from, got)
		}
		if got.Expires-got.IssuedAt != 15*60 {
			t.Fatalf("%s: holds %d s, want 15 min", from, got.Expires-got.IssuedAt)
		}
	}
	w.now = w.now.Add(15*time.Minute - 2*time.Second)
	if _, err := w.verifier.Verify(raw); err != nil {
		t.Fatalf("shortly before the end: %v", err)
	}
	w.now = w.now.Add(2 * time.Second)
	_, err = w.verifier.Verify(raw) // from the cache
	wantCode(t, err, CodeExpired)
	_, err = w.verifier.Verify(raw) // by its signature
	wantCode(t, err, CodeExpired)
}

func TestCacheIsBounded(t *testing.T) {
	w := newWorld(t)
	for range 9 {
		if _, err := w.verifier.Verify(w.issue(t)); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.verifier.seen.len(); n != 4 {
		t.Fatalf("%d tokens are remembered, want 4", n)
	}
}

// segment encodes one part of a hand-made token.
func segment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// forge signs header and claims, given as JSON, with key.
func forge(t *testing.T, key testSigner, header, claims string) string {
	t.Helper()
	text := segment(header) + "." + segment(claims)
	signature, err := sm2.Sign(key, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func claimsAt(now time.Time, change func(map[string]string)) string {
	c := map[string]string{
		"iss": `"` + platform + `"`, "aud": `"` + platform + `"`, "sub": `"zhang"`, "org": `"org"`, "roles": `["notary"]`, "jti": `"1"`,
		"iat": fmt.Sprint(now.Unix()), "nbf": fmt.Sprint(now.Unix()), "exp": fmt.Sprint(now.Unix() + 600),
	}
	change(c)
	var members []string
	for _, name := range []string{"iss", "aud", "sub", "org", "roles", "jti", "iat", "nbf", "exp", "extra"} {
		if value, ok := c[name]; ok {
			members = append(members, `"`+name+`":`+value)
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestRefusals(t *testing.T) {
	const head = `{"alg":"SM2-SM3","kid":"k1","typ":"JWT"}`
	w := newWorld(t)
	stranger := newSigner(t, "k1")
	good := claimsAt(w.now, func(map[string]string) {})
	set := func(name, value string) string {
		return claimsAt(w.now, func(c map[string]string) { c[name] = value })
	}
	drop := func(name string) string {
		return claimsAt(w.now, func(c map[string]string) { delete(c, name) })
	}
	hs256, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "zhang"}).SignedString(w.signer.public().SPKI())
	if err != nil {
		t.Fatal(err)
	}
	whole := forge(t, w.signer, head, good)
	parts := strings.Split(whole, ".")
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	for _, test := range []struct {
		name string
		raw  string
		want Code
	}{
		{"empty", "", CodeMalformed},
		{"two segments", parts[0] + "." + parts[1], CodeMalformed},
		{"four segments", whole + ".", CodeMalformed},
		{"padding", parts[0] + "." + parts[1] + "=." + parts[2], CodeMalformed},
		{"too long", whole + strings.Repeat("A", MaxLength), CodeMalformed},
		{"header is not JSON", segment("x") + ".e30.e30", CodeMalformed},
		{"header with jwk", forge(t, w.signer, `{"alg":"SM2-SM3","kid":"k1","jwk":{}}`, good), CodeMalformed},
		{"header with crit", forge(t, w.signer, `{"alg":"SM2-SM3","kid":"k1","crit":["x"]}`, good), CodeMalformed},
		{"header member twice", forge(t, w.signer, `{"alg":"none","alg":"SM2-SM3","kid":"k1"}`, good), CodeMalformed},
		{"header in capitals", forge(t, w.signer, `{"ALG":"SM2-SM3","kid":"k1"}`, good), CodeMalformed},
		{"typ is something else", forge(t, w.signer, `{"alg":"SM2-SM3","kid":"k1","typ":"JWE"}`, good), CodeMalformed},
		{"alg none", segment(`{"alg":"none","typ":"JWT"}`) + "." + segment(good) + ".", CodeAlgorithm},
		{"alg None", segment(`{"alg":"None"}`) + "." + segment(good) + ".", CodeAlgorithm},
		{"alg HS256 with the public key as secret", hs256, CodeAlgorithm},
		{"alg ES256", forge(t, w.signer, `{"alg":"ES256","kid":"k1"}`, good), CodeAlgorithm},
		{"alg missing", forge(t, w.signer, `{"kid":"k1"}`, good), CodeAlgorithm},
		{"unknown key id", forge(t, w.signer, `{"alg":"SM2-SM3","kid":"k2"}`, good), CodeUnknownKey},
		{"no key id", forge(t, w.signer, `{"alg":"SM2-SM3"}`, good), CodeUnknownKey},
		{"foreign key", forge(t, stranger, head, good), CodeSignature},
		{"claims altered", parts[0] + "." + segment(set("sub", `"wang"`)) + "." + parts[2], CodeSignature},
		{"signature missing", parts[0] + "." + parts[1] + ".", CodeSignature},
		{"bytes after the signature", parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(append(signature, 0)), CodeSignature},
		{"claim twice", forge(t, w.signer, head, strings.Replace(good, `"sub"`, `"sub":"wang","sub"`, 1)), CodeMalformed},
		{"claim in capitals", forge(t, w.signer, head, strings.Replace(good, `"sub"`, `"SUB"`, 1)), CodeMalformed},
		{"unknown claim", forge(t, w.signer, head, set("extra", "1")), CodeMalformed},
		{"time as text", forge(t, w.signer, head, set("exp", `"9999999999"`)), CodeMalformed},
		{"audience as array", forge(t, w.signer, head, set("aud", `["`+platform+`"]`)), CodeMalformed},
		{"wrong issuer", forge(t, w.signer, head, set("iss", `"https://other.example"`)), CodeIssuer},
		{"no issuer", forge(t, w.signer, head, drop("iss")), CodeClaims},
		{"wrong audience", forge(t, w.signer, head, set("aud", `"https://other.example"`)), CodeAudience},
		{"no audience", forge(t, w.signer, head, drop("aud")), CodeClaims},
		{"expired", forge(t, w.signer, head, claimsAt(w.now.Add(-time.Hour), func(map[string]string) {})), CodeExpired},
		{"no expiry", forge(t, w.signer, head, drop("exp")), CodeClaims},
		{"nbf in the future", forge(t, w.signer, head, set("nbf", fmt.Sprint(w.now.Unix()+60))), CodeNotYetValid},
		{"iat in the future", forge(t, w.signer, head, set("iat", fmt.Sprint(w.now.Unix()+60))), CodeNotYetValid},
		{"no nbf", forge(t, w.signer, head, drop("nbf")), CodeClaims},
		{"no iat", forge(t, w.signer, head, drop("iat")), CodeClaims},
		{"no subject", forge(t, w.signer, head, drop("sub")), CodeClaims},
		{"no organisation", forge(t, w.signer, head, drop("org")), CodeClaims},
		{"no id", forge(t, w.signer, head, drop("jti")), CodeClaims},
		{"holds for a year", forge(t, w.signer, head, set("exp", fmt.Sprint(w.now.Unix()+365*86400))), CodeClaims},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := w.verifier.Verify(test.raw)
			wantCode(t, err, test.want)
		})
	}
	if _, err := w.verifier.Verify(whole); err != nil {
		t.Fatalf("the token all others were made from: %v", err)
	}
}

func TestRetiredKey(t *testing.T) {
	w := newWorld(t)
	before := w.issue(t)
	w.retired = w.now.Add(time.Minute)
	if _, err := w.verifier.Verify(before); err != nil {
		t.Fatalf("issued before the key retired: %v", err)
	}
	w.now = w.now.Add(2 * time.Minute)
	after := w.issue(t)
	_, err := w.verifier.Verify(after)
	wantCode(t, err, CodeUnknownKey)
}

func TestRegisterAgain(t *testing.T) {
	Register()
	Register()
	if got := jwt.GetSigningMethod(Algorithm); got == nil || got.Alg() != Algorithm {
		t.Fatalf("got %v", got)
	}
}

func TestMethodRefusesForeignKeys(t *testing.T) {
	if _, err := (method{}).Sign("x", "secret"); !errors.Is(err, jwt.ErrInvalidKeyType) {
		t.Fatalf("sign: %v", err)
	}
	for _, key := range []any{nil, "secret", []byte("secret"), (*sm2.PublicKey)(nil)} {
		if err := (method{}).Verify("x", nil, key); !errors.Is(err, jwt.ErrInvalidKeyType) {
			t.Fatalf("verify with %T: %v", key, err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	w := newWorld(t)
	raws := make([]string, 8)
	for i := range raws {
		raws[i] = w.issue(t)
	}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 20 {
				if _, err := w.verifier.Verify(raws[(i+j)%len(raws)]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

func TestKeySet(t *testing.T) {
	key := newSigner(t, "k1")
	set := NewKeySet([]PublicKey{{ID: "k1", Key: key.public()}})
	x, err := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
	if err != nil || len(x) != 32 || set.Keys[0].Curve != "SM2" || set.Keys[0].ID != "k1" {
		t.Fatalf("got %+v, %v", set, err)
	}
}

func FuzzVerify(f *testing.F) {
	w := newWorld(f)
	f.Add(w.issue(f))
	f.Add("e30.e30.e30")
	f.Add(segment(`{"alg":"none"}`) + ".e30.")
	valid := map[string]bool{}
	f.Fuzz(func(t *testing.T, raw string) {
		claims, err := w.verifier.Verify(raw)
		if err == nil && (claims.Subject != "zhang" || len(strings.Split(raw, ".")) != 3) {
			t.Fatalf("accepted %q", raw)
		}
		if err == nil {
			valid[raw] = true
		}
		if len(valid) > 1 {
			t.Fatal("two forms of one token were accepted")
		}
	})
}

func BenchmarkVerifyCached(b *testing.B) {
	w := newWorld(b)
	raw := w.issue(b)
	for b.Loop() {
		if _, err := w.verifier.Verify(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifySignature(b *testing.B) {
	w := newWorld(b)
	raw := w.issue(b)
	for b.Loop() {
		w.verifier.seen = newLRU[[32]byte, *Claims](1)
		if _, err := w.verifier.Verify(raw); err != nil {
			b.Fatal(err)
		}
	}
}
