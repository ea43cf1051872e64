package token

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"

	"cunzheng/crypto/sm2"
)

// Algorithm is the "alg" of every token this package makes or accepts.
const Algorithm = "SM2-SM3"

// method is the signing method SM2-SM3 for package jwt. Keys are a crypto.Signer that signs messages itself (as
// sm2.PrivateKey does) and a *sm2.PublicKey.
type method struct{}

// Register makes SM2-SM3 known to package jwt. The constructors of this package call it; calling it again changes
// nothing.
func Register() {
	jwt.RegisterSigningMethod(Algorithm, func() jwt.SigningMethod { return method{} })
}

func (method) Alg() string { return Algorithm }

func (method) Sign(text string, key any) ([]byte, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: %T cannot sign", jwt.ErrInvalidKeyType, key)
	}
	return sm2.Sign(signer, []byte(text))
}

func (method) Verify(text string, signature []byte, key any) error {
	public, ok := key.(*sm2.PublicKey)
	if !ok || public == nil {
		return fmt.Errorf("%w: %T cannot verify", jwt.ErrInvalidKeyType, key)
	}
	if err := public.Verify([]byte(text), signature); err != nil {
		if errors.Is(err, sm2.ErrSignature) {
			return fmt.Errorf("%w: %w", jwt.ErrTokenSignatureInvalid, err)
		}
		return err
	}
	return nil
}
