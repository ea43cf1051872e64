package token

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"cunzheng/crypto/sm2"
)

const (
	// MaxAssertionLifetime is the longest an assertion may hold.
	MaxAssertionLifetime = 5 * time.Minute
	// skew is how far a machine's clock may be ahead of the platform's.
	skew = 30 * time.Second
)

// Assertion is a verified statement of a machine about itself.
type Assertion struct {
	Subject string // the account
	Key     string // the id of the key that signed it
}

// AssertionVerifier checks RFC 7523 assertions, each of which counts once. It is safe for concurrent use.
type AssertionVerifier struct {
	audiences []string
	keys      func(account, kid string) (*sm2.PublicKey, error)
	parser    *jwt.Parser
	clock     func() time.Time
	started   int64 // seconds; used assertions are forgotten at a restart, so older ones are refused
	used      *replay
}

// NewAssertionVerifier returns a verifier for assertions to one of audiences (the issuer and the token endpoint).
// keys finds the machine key that account has registered under an id, and refuses unknown, expired and revoked keys and
// those of other accounts with an error.
//
// At most limit used assertions are remembered, and share of one account; beyond that assertions are refused with
// CodeBusy until some expire. An account whose key was stolen or whose program runs wild thus shuts out itself only.
func NewAssertionVerifier(audiences []string, keys func(account, kid string) (*sm2.PublicKey, error), clock func() time.Time, limit, share int) (*AssertionVerifier, error) {
	if len(audiences) == 0 || keys == nil || clock == nil || share <= 0 || share > limit {
		return nil, errors.New("token: audiences, keys, clock, limit and share are needed")
	}
	Register()
	return &AssertionVerifier{
		audiences: slices.Clone(audiences), keys: keys, clock: clock, started: clock().Unix(), used: newReplay(limit, share),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{Algorithm}), jwt.WithStrictDecoding(),
			jwt.WithAudience(audiences...), jwt.WithTimeFunc(clock), jwt.WithLeeway(skew),
			jwt.WithExpirationRequired(), jwt.WithIssuedAt()),
	}, nil
}

// Verify checks raw and marks it as used, or returns an *Error.
func (v *AssertionVerifier) Verify(raw string) (*Assertion, error) {
	var claims assertion
	h, err := parse(v.parser, raw, &claims, func(kid string) (*sm2.PublicKey, error) {
		// The claims are decoded by now, though nobody has vouched for them yet: the key decides whose they are.
		key, err := v.keys(claims.Subject, kid)
		if err != nil {
			return nil, &Error{Code: CodeUnknownKey, Err: err}
		}
		return key, nil
	})
	if err != nil {
		return nil, err
	}
	switch now := v.clock().Unix(); {
	case claims.Subject == "" || claims.ID == "" || len(claims.ID) > 256 || claims.IssuedAt <= 0:
		return nil, refuse(CodeClaims, "sub, jti or iat is missing")
	case claims.Issuer != claims.Subject:
		return nil, refuse(CodeClaims, "iss and sub differ")
	case claims.Expires <= now: // no leeway at the end: it would outlive its mark in the replay memory
		return nil, refuse(CodeExpired, "expired")
	case claims.Expires-now > int64((MaxAssertionLifetime+skew)/time.Second),
		claims.Expires-claims.IssuedAt > int64(MaxAssertionLifetime/time.Second):
		return nil, refuse(CodeClaims, "holds for longer than %v", MaxAssertionLifetime)
	case claims.IssuedAt < v.started:
		return nil, refuse(CodeExpired, "made before this server started; make a new one")
	default:
		if err := v.used.mark(claims.Issuer, claims.ID, claims.Expires, now); err != nil {
			return nil, err
		}
	}
	return &Assertion{Subject: claims.Subject, Key: h.Key}, nil
}

// NewAssertion makes an assertion of account to audience with its own key, as a machine does to obtain a token. kid is
// the id under which the platform registered the key.
func NewAssertion(account, audience, kid string, key crypto.Signer, now time.Time) (string, error) {
	unsigned := jwt.NewWithClaims(method{}, jwt.MapClaims{
		"iss": account, "sub": account, "aud": audience, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	})
	unsigned.Header["kid"] = kid
	raw, err := unsigned.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign assertion: %w", err)
	}
	return raw, nil
}
