package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Options say which server, and as whom.
type Options struct {
	Server      string      // base URL, such as "https://cz.example"
	Credentials Credentials // nil: only what is public

	// Issuer is the name the platform gives itself, to which assertions are addressed. Default: Server. It is never
	// taken from the server, which could otherwise collect assertions meant for another.
	Issuer string

	AllowPlain bool          // send credentials over plain HTTP to other hosts than this one
	TLS        *tls.Config   // nil: the system's roots
	Language   string        // of Problem.Detail, "zh" or "en"; default "zh"
	Attempts   int           // how often a request is made at most; default 5
	Patience   time.Duration // longest wait between two attempts; default 30 s
	UserAgent  string        // default "cunzheng-client"
}

// Client is one user of one server. It is safe for concurrent use.
type Client struct {
	base      *url.URL
	http      *http.Client
	language  string
	userAgent string
	attempts  int
	patience  time.Duration
	session   *session // nil without credentials
}

// New checks o. It makes no request.
func New(o Options) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(o.Server, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.RawQuery != "" || base.User != nil {
		return nil, fmt.Errorf("server %q is not a base URL such as https://cz.example", o.Server)
	}
	if base.Scheme == "http" && o.Credentials != nil && !o.AllowPlain && !loopback(base.Hostname()) {
		return nil, fmt.Errorf("server %s: credentials are not sent over plain HTTP to another host; use https or allow it explicitly", base)
	}
	c := &Client{
		base: base, language: cmp.Or(o.Language, "zh"), userAgent: cmp.Or(o.UserAgent, "cunzheng-client"),
		attempts: cmp.Or(o.Attempts, 5), patience: cmp.Or(o.Patience, 30*time.Second),
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:                 http.ProxyFromEnvironment,
				DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
				TLSClientConfig:       o.TLS,
				TLSHandshakeTimeout:   10 * time.Second,
				ExpectContinueTimeout: 2 * time.Second,
				MaxIdleConnsPerHost:   64,
				IdleConnTimeout:       90 * time.Second,
				ForceAttemptHTTP2:     true,
				DisableCompression:    true, // what is preserved is what is sent
			},
			// A redirect would carry tokens and contents to another place.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if o.Credentials != nil {
		c.session = &session{client: c, credentials: o.Credentials, issuer: cmp.Or(strings.TrimRight(o.Issuer, "/"), base.String())}
	}
	return c, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call is one request that may be made several times.
type call struct {
	method string
	path   string // escaped, without the base
	query  url.Values
	header http.Header
	body   func() (io.Reader, error) // nil: none; called once for each attempt
	length int64                     // of body; -1: unknown
	spent  func() bool               // whether a body that can be read only once has been touched; nil: it can be read again
	safe   bool                      // repeating changes nothing: a read, or a write with an idempotency key
	open   bool                      // needs no token
}

func (c *call) isSpent() bool { return c.spent != nil && c.spent() }

// bytesBody is a body that can be sent again.
func bytesBody(b []byte) func() (io.Reader, error) {
	return func() (io.Reader, error) { return bytes.NewReader(b), nil }
}

// do makes the call until it succeeds, is refused for good, or attempts run out. The caller closes the body of the
// response, which has a 2xx status.
func (c *Client) do(ctx context.Context, call call) (*http.Response, error) {
	renewed := false
	for attempt := 1; ; attempt++ {
		response, err := c.once(ctx, call)
		if err == nil {
			return response, nil
		}
		problem, refused := errors.AsType[*Problem](err)
		if refused && problem.tokenIsStale() && !renewed && c.session != nil && !call.isSpent() {
			c.session.forget()
			renewed = true
			continue
		}
		again := refused && problem.temporary() || !refused && call.safe
		if !again || call.isSpent() || attempt >= c.attempts || ctx.Err() != nil {
			return nil, err
		}
		if err := c.wait(ctx, attempt, problem); err != nil {
			return nil, err
		}
	}
}

// once makes one attempt.
func (c *Client) once(ctx context.Context, call call) (*http.Response, error) {
	request, err := c.request(ctx, call)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", call.method, c.base.Host, strip(err))
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, readProblem(response)
}

func (c *Client) request(ctx context.Context, call call) (*http.Request, error) {
	target := c.base.String() + call.path
	if len(call.query) > 0 {
		target += "?" + call.query.Encode()
	}
	var body io.Reader
	if call.body != nil {
		var err error
		if body, err = call.body(); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, call.method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.ContentLength = call.length
		if call.length == 0 {
			request.Body = http.NoBody
		}
	}
	for name, values := range call.header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", c.userAgent)
	request.Header.Set("Accept-Language", c.language)
	if c.session != nil && !call.open {
		token, err := c.session.token(ctx)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request, nil
}

// strip takes the URL off an error of package http: it may hold a file name.
func strip(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// fetch makes a call and decodes its answer.
func fetch[T any](ctx context.Context, c *Client, call call) (T, error) {
	var v T
	response, err := c.do(ctx, call)
	if err != nil {
		return v, err
	}
	defer response.Body.Close()
	err = decode(response.Body, &v)
	return v, err
}

// maxAnswer bounds an answer that is held in memory.
const maxAnswer = 64 << 20

func decode(r io.Reader, v any) error {
	body, err := readAll(r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("answer of the server: %w", err)
	}
	return nil
}

func readAll(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("answer of the server: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("answer of the server is larger than %d bytes", maxAnswer)
	}
	return body, nil
}
