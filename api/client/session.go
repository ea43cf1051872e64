package client

import (
	"context"
	"crypto"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"cunzheng/api/token"
	"cunzheng/api/wire"
)

// Credentials prove who the client is.
type Credentials interface {
	// grant returns the form that is traded for a token at the platform called issuer, or nil if there is nothing to
	// trade and fixed is the token.
	grant(issuer string) (form url.Values, fixed string, err error)
}

// Password are the credentials of a person.
func Password(account, password string) Credentials { return &passwordGrant{account, password} }

type passwordGrant struct{ account, password string }

// String keeps the password out of logs.
func (p *passwordGrant) String() string { return "password of " + p.account }

func (p *passwordGrant) grant(string) (url.Values, string, error) {
	return url.Values{"grant_type": {wire.GrantPassword}, "username": {p.account}, "password": {p.password}}, "", nil
}

// Machine are the credentials of a system: its account, and its SM2 key with the id under which it is registered. The
// key signs a fresh assertion for each token and never leaves the caller.
func Machine(account, keyID string, key crypto.Signer) Credentials {
	return &machineGrant{account, keyID, key}
}

type machineGrant struct {
	account, keyID string
	key            crypto.Signer
}

func (m *machineGrant) grant(issuer string) (url.Values, string, error) {
	assertion, err := token.NewAssertion(m.account, issuer, m.keyID, m.key, time.Now())
	return url.Values{"grant_type": {wire.GrantAssertion}, "assertion": {assertion}}, "", err
}

// Bearer is an access token obtained before. It is used as it is and not renewed.
func Bearer(accessToken string) Credentials { return bearer(accessToken) }

type bearer string

// String keeps the token out of logs.
func (b bearer) String() string { return "access token" }

func (b bearer) grant(string) (url.Values, string, error) { return nil, string(b), nil }

// session holds the access token and renews it shortly before it ends.
type session struct {
	client      *Client
	credentials Credentials
	issuer      string

	mu      sync.Mutex
	current wire.Token // guarded by mu
	renewAt time.Time  // guarded by mu
}

func (s *session) token(ctx context.Context) (string, error) {
	t, err := s.get(ctx)
	return t.AccessToken, err
}

func (s *session) get(ctx context.Context) (wire.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.AccessToken != "" && time.Now().Before(s.renewAt) {
		return s.current, nil
	}
	form, fixed, err := s.credentials.grant(s.issuer)
	if err != nil {
		return wire.Token{}, err
	}
	if form == nil {
		return wire.Token{AccessToken: fixed, Type: "Bearer"}, nil
	}
	t, err := s.client.trade(ctx, s, form)
	if err != nil {
		return wire.Token{}, err
	}
	s.current = t
	lifetime := time.Duration(t.ExpiresIn) * time.Second
	s.renewAt = time.Now().Add(lifetime - min(lifetime/5, 30*time.Second))
	return t, nil
}

// forget drops the token, so that the next request fetches a new one.
func (s *session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = wire.Token{}
}

// trade fetches a token. Each attempt needs a new assertion, as one counts once.
func (c *Client) trade(ctx context.Context, s *session, form url.Values) (wire.Token, error) {
	for attempt := 1; ; attempt++ {
		body := []byte(form.Encode())
		response, err := c.once(ctx, call{
			method: http.MethodPost, path: "/v1/token", open: true, body: bytesBody(body), length: int64(len(body)),
			header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		})
		if err == nil {
			defer response.Body.Close()
			var t wire.Token
			err = decode(response.Body, &t)
			return t, err
		}
		problem, refused := errors.AsType[*Problem](err)
		if refused && !problem.temporary() || attempt >= c.attempts || ctx.Err() != nil {
			return wire.Token{}, err
		}
		if err := c.wait(ctx, attempt, problem); err != nil {
			return wire.Token{}, err
		}
		if form, _, err = s.credentials.grant(s.issuer); err != nil {
			return wire.Token{}, err
		}
	}
}

// Login fetches a token now, which tells whether the credentials are right, and returns it.
func (c *Client) Login(ctx context.Context) (wire.Token, error) {
	if c.session == nil {
		return wire.Token{}, errors.New("there are no credentials to sign in with")
	}
	return c.session.get(ctx)
}
