package api

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"cunzheng/api/signin"
	"cunzheng/api/token"
	"cunzheng/api/wire"
	"cunzheng/crypto/sm2"
	"cunzheng/notary"
)

// tokenPath is where tokens are issued.
const tokenPath = "/v1/token"

// tokenKey finds one of the platform's token keys.
func (s *Server) tokenKey(kid string) (token.PublicKey, bool) {
	for _, k := range s.keys.TokenKeys() {
		if k.ID == kid {
			return k, true
		}
	}
	return token.PublicKey{}, false
}

// machineKey finds a machine's key, if it is account's and both may act now.
func (s *Server) machineKey(account, kid string) (*sm2.PublicKey, error) {
	if account == "" {
		return nil, errors.New("the assertion names no account")
	}
	if _, err := s.registry.Actor("", account, kid); err != nil {
		return nil, err
	}
	return s.registry.AuthenticationKey(kid)
}

// issueToken trades a password or an assertion for an access token.
func (s *Server) issueToken(c echo.Context) error {
	form, err := readForm(c, "grant_type", "username", "password", "assertion", "scope")
	if err != nil {
		return err
	}
	var actor notary.Actor
	switch form.Get("grant_type") {
	case wire.GrantPassword:
		actor, err = s.byPassword(c, form)
	case wire.GrantAssertion:
		actor, err = s.byAssertion(form)
	default:
		err = &failure{code: codeGrantType, field: "grant_type"}
	}
	if err != nil {
		return err
	}
	roles := roleNames(actor.Roles)
	raw, claims, err := s.issuer.Issue(actor.Organisation, actor.Account, roles, actor.Credential)
	if err != nil {
		return err
	}
	requestOf(c).actor = actor
	c.Response().Header().Set("Pragma", "no-cache") // RFC 6749 §5.1
	return ok(c, wire.Token{
		AccessToken: raw, Type: "Bearer", ExpiresIn: claims.Expires - claims.IssuedAt,
		Organisation: actor.Organisation, Account: actor.Account, Roles: roles,
	})
}

func (s *Server) byPassword(c echo.Context, form url.Values) (notary.Actor, error) {
	if form.Get("username") == "" || form.Get("password") == "" {
		return notary.Actor{}, &failure{code: codeForm, field: "username",
			zh: "缺少 username 或 password。", en: "username or password is missing."}
	}
	account := form.Get("username")
	attempt, err := s.signIns.Enter(account, s.callerAddress(c.Request()))
	if refusal, ok := errors.AsType[*signin.Refusal](err); ok {
		return notary.Actor{}, tooManySignIns(refusal)
	}
	if err != nil {
		return notary.Actor{}, err
	}
	defer attempt.Leave()
	actor, err := s.registry.Authenticate(c.Request().Context(), account, form.Get("password"))
	if err == nil {
		attempt.Succeeded()
	} else if n, ok := errors.AsType[*notary.Error](err); ok && n.Code == notary.CodeLoginFailed {
		attempt.Failed()
	}
	return actor, err
}

func tooManySignIns(r *signin.Refusal) error {
	if !r.Locked {
		return &failure{code: string(token.CodeBusy), retry: r.Retry}
	}
	seconds := int((r.Retry + time.Second - 1) / time.Second)
	return &failure{code: codeAccountLocked, retry: r.Retry,
		zh: fmt.Sprintf("此账号从此地址登录失败次数过多，请在 %d 秒后再试。", seconds),
		en: fmt.Sprintf("Too many failed attempts of this account from this address; try again in %d seconds.", seconds)}
}

func (s *Server) byAssertion(form url.Values) (notary.Actor, error) {
	if form.Get("assertion") == "" {
		return notary.Actor{}, &failure{code: codeForm, field: "assertion", zh: "缺少 assertion。", en: "assertion is missing."}
	}
	assertion, err := s.assertions.Verify(form.Get("assertion"))
	if err != nil {
		return notary.Actor{}, err
	}
	actor, err := s.registry.Actor("", assertion.Subject, assertion.Key)
	if err != nil {
		return notary.Actor{}, &failure{code: string(token.CodeUnknownKey), err: err}
	}
	return actor, nil
}

// keySet publishes the keys that verify access tokens.
func (s *Server) keySet(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "public, max-age=300")
	return ok(c, token.NewKeySet(s.keys.TokenKeys()))
}

// serverMetadata describes the token endpoint (RFC 8414).
func (s *Server) serverMetadata(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "public, max-age=300")
	return ok(c, wire.ServerMetadata{
		Issuer: s.base, TokenEndpoint: s.base + tokenPath, KeySet: s.base + keySetPath,
		GrantTypes:            []string{wire.GrantPassword, wire.GrantAssertion},
		ResponseTypes:         []string{},
		AuthenticationMethods: []string{"none"},
		Documentation:         s.base + "/openapi.yaml",
	})
}

const (
	keySetPath         = "/.well-known/jwks.json"
	serverMetadataPath = "/.well-known/oauth-authorization-server"
)
