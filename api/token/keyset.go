package token

import "encoding/base64"

// KeySet is a JSON Web Key Set (RFC 7517). SM2 has no registered curve name; "SM2" is the one in use.
type KeySet struct {
	Keys []JWK `json:"keys"`
}

// JWK is one public SM2 key.
type JWK struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	Y         string `json:"y"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	ID        string `json:"kid"`
}

// NewKeySet renders keys.
func NewKeySet(keys []PublicKey) KeySet {
	set := KeySet{Keys: make([]JWK, len(keys))}
	for i, k := range keys {
		point := k.Key.Point() // 04 || X || Y
		set.Keys[i] = JWK{
			Type: "EC", Curve: "SM2", Use: "sig", Algorithm: Algorithm, ID: k.ID,
			X: base64.RawURLEncoding.EncodeToString(point[1:33]),
			Y: base64.RawURLEncoding.EncodeToString(point[33:65]),
		}
	}
	return set
}
