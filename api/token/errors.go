package token

import (
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// Code says in a stable word why a token or an assertion was refused.
type Code string

// The reasons of refusal.
const (
	CodeMalformed   Code = "TOKEN_MALFORMED"     // not three strict base64url segments of strict JSON, or too long
	CodeAlgorithm   Code = "TOKEN_ALGORITHM"     // alg is not SM2-SM3 ("none" and HS256 included)
	CodeUnknownKey  Code = "TOKEN_KEY_UNKNOWN"   // no such key id, or a key no longer in use
	CodeSignature   Code = "TOKEN_SIGNATURE"     // the signature does not fit: altered, or made with another key
	CodeExpired     Code = "TOKEN_EXPIRED"       // exp has passed
	CodeNotYetValid Code = "TOKEN_NOT_YET_VALID" // nbf or iat lies in the future
	CodeIssuer      Code = "TOKEN_ISSUER"        // iss is another platform's
	CodeAudience    Code = "TOKEN_AUDIENCE"      // aud is another platform
	CodeClaims      Code = "TOKEN_CLAIMS"        // a claim is missing or contradicts another
	CodeReplayed    Code = "TOKEN_REPLAYED"      // an assertion with this jti was already used
	CodeBusy        Code = "TOKEN_BUSY"          // the memory for used assertions is full; try later
)

// Error is a refusal. It never contains the token.
type Error struct {
	Code Code
	Err  error // may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return "token refused: " + string(e.Code)
	}
	return fmt.Sprintf("token refused: %s: %v", e.Code, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// classify turns what package jwt reports into one of our codes. The order matters: jwt joins all claim errors.
func classify(err error) error {
	if ours, ok := errors.AsType[*Error](err); ok {
		return ours
	}
	for _, c := range []struct {
		target error
		code   Code
	}{
		{jwt.ErrTokenMalformed, CodeMalformed},
		{jwt.ErrTokenSignatureInvalid, CodeSignature},
		{jwt.ErrTokenUnverifiable, CodeUnknownKey},
		{jwt.ErrTokenInvalidIssuer, CodeIssuer},
		{jwt.ErrTokenInvalidAudience, CodeAudience},
		{jwt.ErrTokenNotValidYet, CodeNotYetValid},
		{jwt.ErrTokenUsedBeforeIssued, CodeNotYetValid},
		{jwt.ErrTokenExpired, CodeExpired},
	} {
		if errors.Is(err, c.target) {
			return &Error{Code: c.code, Err: err}
		}
	}
	return &Error{Code: CodeClaims, Err: err}
}
