package wire

import "cunzheng/evidence"

// Account is a registered account of a person or a system.
type Account struct {
	ID           string               `json:"id"` // an opaque code, not a person's name
	Organisation string               `json:"organisation"`
	Kind         evidence.AccountKind `json:"kind"`
	Roles        []string             `json:"roles"`
	Status       evidence.Standing    `json:"status,omitzero"`      // default active
	DisplayName  string               `json:"displayName,omitzero"` // of a person; enters the log only as a commitment, and is not given back
}

// Password sets the password of an account.
type Password struct {
	Password string `json:"password"`
}

// Key is the registered SM2 key of a signer.
type Key struct {
	ID           evidence.Digest  `json:"id,omitzero"` // given by the platform: the fingerprint, and the "kid" of assertions
	Organisation string           `json:"organisation"`
	Account      string           `json:"account,omitzero"`
	Use          evidence.KeyUse  `json:"use"`
	Roles        []string         `json:"roles,omitempty"`    // fewer than the account's; absent: all of them
	PEM          string           `json:"pem"`                // SubjectPublicKeyInfo
	NotBefore    evidence.Instant `json:"notBefore,omitzero"` // default: now
	NotAfter     evidence.Instant `json:"notAfter"`
	Revocation   *Revocation      `json:"revocation,omitzero"`
}

// Revocation revokes a key.
type Revocation struct {
	At     evidence.Instant          `json:"at,omitzero"` // from when on it is not to be trusted; default: now
	Reason evidence.RevocationReason `json:"reason"`
}

// List is a list of registry entries.
type List[T any] struct {
	Items []T `json:"items"`
}
