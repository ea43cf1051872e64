package token

import (
	"crypto/sha256"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"cunzheng/crypto/sm2"
)

// PublicKey is one key of the platform's token key set.
type PublicKey struct {
	ID      string
	Key     *sm2.PublicKey
	Retired time.Time // zero while the key signs
}

// Verifier checks access tokens. Tokens once verified are remembered, by their SHA-256, in a bounded cache until they
// expire, so that a busy client costs one SM2 verification per token and not one per request. Whether the account or
// the machine key has since been revoked is not the verifier's to know: the caller asks the registry on each request.
// It is safe for concurrent use.
type Verifier struct {
	keys     func(kid string) (PublicKey, bool)
	parser   *jwt.Parser
	lifetime time.Duration
	clock    func() time.Time
	seen     *lru[[sha256.Size]byte, *Claims]
}

// NewVerifier returns a verifier for tokens of issuer and audience that were issued for at most lifetime. keys finds a
// token key of the platform by its id; cached bounds the remembered tokens.
func NewVerifier(issuer, audience string, lifetime time.Duration, keys func(kid string) (PublicKey, bool), clock func() time.Time, cached int) (*Verifier, error) {
	if issuer == "" || audience == "" || keys == nil || clock == nil || lifetime <= 0 || cached <= 0 {
		return nil, errors.New("token: issuer, audience, lifetime, keys, clock and cache size are needed")
	}
	Register()
	return &Verifier{
		keys: keys, lifetime: lifetime, clock: clock, seen: newLRU[[sha256.Size]byte, *Claims](cached),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{Algorithm}), jwt.WithStrictDecoding(),
			jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithTimeFunc(clock),
			jwt.WithExpirationRequired(), jwt.WithNotBeforeRequired(), jwt.WithIssuedAt()),
	}, nil
}

// Verify returns the claims of raw, or an *Error. The claims are shared: callers must not change them.
func (v *Verifier) Verify(raw string) (*Claims, error) {
	key := sha256.Sum256([]byte(raw))
	if claims, ok := v.seen.get(key); ok {
		if v.clock().Unix() < claims.Expires {
			return claims, nil
		}
		v.seen.remove(key)
		return nil, refuse(CodeExpired, "expired")
	}
	var claims Claims
	var signedBy PublicKey
	_, err := parse(v.parser, raw, &claims, func(kid string) (*sm2.PublicKey, error) {
		var ok bool
		if signedBy, ok = v.keys(kid); !ok {
			return nil, refuse(CodeUnknownKey, "key %.20q is not one of this platform's", kid)
		}
		return signedBy.Key, nil
	})
	if err != nil {
		return nil, err
	}
	if err := v.plausible(&claims, signedBy); err != nil {
		return nil, err
	}
	v.seen.put(key, &claims)
	return &claims, nil
}

// plausible refuses what the platform would never have issued. It also bounds what a stolen retired key can do: its
// tokens end with the lifetime after its retirement.
func (v *Verifier) plausible(c *Claims, signedBy PublicKey) error {
	if c.Subject == "" || c.Organisation == "" || c.ID == "" || c.IssuedAt <= 0 {
		return refuse(CodeClaims, "sub, org, jti or iat is missing")
	}
	if c.Expires-c.IssuedAt > int64(v.lifetime/time.Second) {
		return refuse(CodeClaims, "holds for longer than tokens of this platform")
	}
	if !signedBy.Retired.IsZero() && c.IssuedAt > signedBy.Retired.Unix() {
		return refuse(CodeUnknownKey, "key %s had been retired when the token was issued", signedBy.ID)
	}
	return nil
}
