package wire

import "cunzheng/evidence"

// Organisation is a registered organisation.
type Organisation struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	CreditCode string            `json:"creditCode,omitzero"` // 统一社会信用代码
	Level      string            `json:"level,omitzero"`
	Region     string            `json:"region,omitzero"`
	Status     evidence.Standing `json:"status,omitzero"` // default active
}

// Account is a registered account of a person or a system.
type Account struct {
	ID           string               `json:"id"`
	Organisation string               `json:"organisation"`
	Kind         evidence.AccountKind `json:"kind"`
	Roles        []string             `json:"roles"`
	Status       evidence.Standing    `json:"status,omitzero"`      // default active
	DisplayName  string               `json:"displayName,omitzero"` // of a person; enters the log only as a commitment
}

// Password sets the password of an account.
type Password struct {
	Password string `json:"password"`
}

// Key is the registered SM2 key of a signer.
type Key struct {
	ID           string           `json:"id,omitzero"` // given by the platform: the "kid" of assertions
	Organisation string           `json:"organisation"`
	Account      string           `json:"account,omitzero"`
	Use          evidence.KeyUse  `json:"use"`
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
