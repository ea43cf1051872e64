package token

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

// Claims are the contents of an access token. Times are whole seconds since 1970 UTC.
type Claims struct {
	Issuer       string   `json:"iss"`
	Audience     string   `json:"aud"`
	Subject      string   `json:"sub"` // the account
	Organisation string   `json:"org"`
	Roles        []string `json:"roles"`
	Key          string   `json:"key,omitempty"` // what proved the account: the id of a machine key, or the credential of a password
	ID           string   `json:"jti"`
	IssuedAt     int64    `json:"iat"`
	NotBefore    int64    `json:"nbf"`
	Expires      int64    `json:"exp"`
}

// UnmarshalJSON decodes strictly: unknown, differently spelt and repeated members are errors.
func (c *Claims) UnmarshalJSON(data []byte) error {
	type plain Claims
	return json.Unmarshal(data, (*plain)(c), json.RejectUnknownMembers(true))
}

// The methods below satisfy jwt.Claims.

func (c *Claims) GetExpirationTime() (*jwt.NumericDate, error) { return numericDate(c.Expires), nil }
func (c *Claims) GetIssuedAt() (*jwt.NumericDate, error)       { return numericDate(c.IssuedAt), nil }
func (c *Claims) GetNotBefore() (*jwt.NumericDate, error)      { return numericDate(c.NotBefore), nil }
func (c *Claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *Claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *Claims) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings{c.Audience}, nil }

// assertion are the claims of RFC 7523 §3 that count here. Others are ignored, as RFC 7519 §4 asks.
type assertion struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	ID        string   `json:"jti"`
	IssuedAt  int64    `json:"iat"`
	NotBefore int64    `json:"nbf,omitzero"`
	Expires   int64    `json:"exp"`
}

func (a *assertion) UnmarshalJSON(data []byte) error {
	type plain assertion
	return json.Unmarshal(data, (*plain)(a))
}

func (a *assertion) GetExpirationTime() (*jwt.NumericDate, error) { return numericDate(a.Expires), nil }
func (a *assertion) GetIssuedAt() (*jwt.NumericDate, error)       { return numericDate(a.IssuedAt), nil }
func (a *assertion) GetNotBefore() (*jwt.NumericDate, error)      { return numericDate(a.NotBefore), nil }
func (a *assertion) GetIssuer() (string, error)                   { return a.Issuer, nil }
func (a *assertion) GetSubject() (string, error)                  { return a.Subject, nil }
func (a *assertion) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings(a.Audience), nil }

// audience is one string or an array of strings (RFC 7519 §4.1.3).
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*a = make(audience, 1)
		return json.Unmarshal(data, &(*a)[0])
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// numericDate maps the zero value, an absent claim, to nil, as package jwt expects.
func numericDate(seconds int64) *jwt.NumericDate {
	if seconds == 0 {
		return nil
	}
	return jwt.NewNumericDate(time.Unix(seconds, 0))
}

// header is the JOSE header. Anything else in it (crit, jwk, jku, x5c …) would ask for behaviour we do not have.
type header struct {
	Algorithm string `json:"alg"`
	Key       string `json:"kid"`
	Type      string `json:"typ,omitzero"`
}

func parseHeader(segment []byte) (header, error) {
	var h header
	if err := json.Unmarshal(segment, &h, json.RejectUnknownMembers(true)); err != nil {
		return header{}, err
	}
	if h.Type != "" && h.Type != "JWT" {
		return header{}, fmt.Errorf("typ %q is not JWT", h.Type)
	}
	return h, nil
}
