package wire

import "cunzheng/evidence"

// PlatformKeys are the public keys of the platform.
type PlatformKeys struct {
	Keys []PlatformKey `json:"keys"`
}

// PlatformKey is one public key of the platform.
type PlatformKey struct {
	ID      evidence.Digest           `json:"id"`   // SM3 of the DER SubjectPublicKeyInfo
	Of      string                    `json:"of"`   // origin of the log or name of the ledger
	Role    evidence.Role             `json:"role"` // what it signs
	PEM     string                    `json:"pem"`  // SubjectPublicKeyInfo
	From    evidence.Instant          `json:"from"` // in use from here
	Until   evidence.Instant          `json:"until,omitzero"`
	Revoked *evidence.TrustRevocation `json:"revoked,omitzero"`
}
