package token

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"cunzheng/crypto/sm2"
)

// MaxLength is the longest token that is looked at, in bytes.
const MaxLength = 4096

// parse checks form, algorithm, signature and registered claims of raw and fills claims. lookup finds the public key
// by its id. The header is read strictly here, before package jwt reads it leniently.
func parse(parser *jwt.Parser, raw string, claims jwt.Claims, lookup func(kid string) (*sm2.PublicKey, error)) (header, error) {
	if len(raw) > MaxLength {
		return header{}, refuse(CodeMalformed, "%d bytes, more than %d", len(raw), MaxLength)
	}
	first, _, _ := strings.Cut(raw, ".")
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil {
		return header{}, refuse(CodeMalformed, "header: %w", err)
	}
	h, err := parseHeader(decoded)
	if err != nil {
		return header{}, refuse(CodeMalformed, "header: %w", err)
	}
	if h.Algorithm != Algorithm {
		return header{}, refuse(CodeAlgorithm, "alg %.20q", h.Algorithm)
	}
	_, err = parser.ParseWithClaims(raw, claims, func(*jwt.Token) (any, error) {
		key, err := lookup(h.Key)
		if err != nil {
			return nil, err
		}
		if key == nil {
			return nil, errors.New("no such key")
		}
		return key, nil
	})
	if err != nil {
		return header{}, classify(err)
	}
	return h, nil
}
