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

// Signer is the key that signs access tokens; keystore signers satisfy it.
type Signer interface {
	crypto.Signer
	KeyID() string
}

// DefaultLifetime is how long an access token holds when nothing else is configured.
const DefaultLifetime = 15 * time.Minute

// Issuer makes access tokens. It is safe for concurrent use.
type Issuer struct {
	issuer   string
	audience string
	lifetime time.Duration
	signer   func() (Signer, error)
	clock    func() time.Time
}

// NewIssuer returns an issuer whose tokens carry issuer as iss and audience as aud and hold for lifetime (0:
// DefaultLifetime). signer gives the key of the moment, so that a rotation needs no restart.
func NewIssuer(issuer, audience string, lifetime time.Duration, signer func() (Signer, error), clock func() time.Time) (*Issuer, error) {
	if issuer == "" || audience == "" || signer == nil || clock == nil {
		return nil, errors.New("token: issuer, audience, signer and clock are needed")
	}
	if lifetime == 0 {
		lifetime = DefaultLifetime
	}
	if lifetime < time.Second || lifetime > 24*time.Hour {
		return nil, fmt.Errorf("token: lifetime %v is not between 1 s and 24 h", lifetime)
	}
	Register()
	return &Issuer{issuer: issuer, audience: audience, lifetime: lifetime, signer: signer, clock: clock}, nil
}

// Lifetime says how long each token holds.
func (i *Issuer) Lifetime() time.Duration { return i.lifetime }

// Issue signs a token for account in organisation with roles. key names what proved the identity. The signature is released only after both implementations of SM2 accept it.
func (i *Issuer) Issue(organisation, account string, roles []string, key string) (string, *Claims, error) {
	signer, err := i.signer()
	if err != nil {
		return "", nil, fmt.Errorf("token key: %w", err)
	}
	now := i.clock().Unix()
	claims := &Claims{
		Issuer: i.issuer, Audience: i.audience, Subject: account, Organisation: organisation,
		Roles: slices.Clone(roles), Key: key, ID: rand.Text(),
		IssuedAt: now, NotBefore: now, Expires: now + int64(i.lifetime/time.Second),
	}
	unsigned := jwt.NewWithClaims(method{}, claims)
	unsigned.Header["kid"] = signer.KeyID()
	raw, err := unsigned.SignedString(sm2.Verified(signer))
	if err != nil {
		return "", nil, fmt.Errorf("sign token: %w", err)
	}
	if len(raw) > MaxLength {
		return "", nil, fmt.Errorf("token of %d bytes is longer than %d", len(raw), MaxLength)
	}
	return raw, claims, nil
}
