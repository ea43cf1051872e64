package consortium

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"

	"cunzheng/evidence"
	"cunzheng/ledger/anchor/directory"
	"cunzheng/notary"
)

const (
	// maxBundle bounds a public proof: statement and receipt, and a block of at most 4 MiB in base64.
	maxBundle = 8 << 20
	// maxProblem bounds a refusal.
	maxProblem = 64 << 10

	problemType = "application/problem+json" // RFC 9457
)

// newHTTPClient returns a client for other nodes: no proxy that the environment names, no redirects, no cookies, no
// decompression.
func newHTTPClient(t *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSClientConfig:        t,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    4,
			MaxConnsPerHost:        16,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetch asks a node for its own public proof. The error is a *notary.Error.
func (c *Consortium) fetch(ctx context.Context, n directory.Node, number string, sm3 evidence.Digest) ([]byte, error) {
	target, err := c.address(n, number, sm3)
	if err != nil {
		return nil, nodeUnavailable(n, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, nodeUnavailable(n, err)
	}
	request.Header.Set("Accept", evidence.MediaTypeBundle)
	request.Header.Set("User-Agent", "cunzheng-node")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, nodeUnavailable(n, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, refusal(n, number, response)
	}
	if mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); mediaType != evidence.MediaTypeBundle {
		return nil, nodeAnswer(n, fmt.Errorf("an answer of type %.80q", mediaType))
	}
	bundle, err := readBounded(response, maxBundle)
	if errors.Is(err, errTooLarge) {
		return nil, nodeAnswer(n, err)
	}
	if err != nil {
		return nil, nodeUnavailable(n, err)
	}
	return bundle, nil
}

// address returns the URL of a proof at a node. It asks the node for its own proofs only, so that no question goes round
// in circles.
func (c *Consortium) address(n directory.Node, number string, sm3 evidence.Digest) (string, error) {
	u, err := url.Parse(n.URL)
	if err != nil {
		return "", fmt.Errorf("its address: %w", err)
	}
	if u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("its address %q is not a base URL", n.URL)
	}
	if u.Scheme != "https" && !(c.plain && isLoopback(n.URL)) {
		return "", fmt.Errorf("its address %q is not one of https", n.URL)
	}
	u = u.JoinPath("v1", "proofs", number)
	u.RawQuery = url.Values{"local": {"true"}, "sm3": {sm3.String()}}.Encode()
	return u.String(), nil
}

// isLoopback reports whether a URL is one of plain HTTP to this machine, by a literal address: a name could lead elsewhere.
func isLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.IsLoopback()
}

// refusal says what an answer other than 200 means.
func refusal(n directory.Node, number string, response *http.Response) error {
	status := errors.New(response.Status)
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return nodeUnavailable(n, status)
	case http.StatusNotFound:
		var problem struct {
			Code string `json:"code"`
		}
		mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
		body, err := readBounded(response, maxProblem)
		if err == nil && mediaType == problemType && json.Unmarshal(body, &problem) == nil && problem.Code == notary.CodeNotFound {
			return notFound(number)
		}
	}
	return nodeAnswer(n, status)
}

var errTooLarge = errors.New("the answer is too large")

func readBounded(response *http.Response, limit int64) ([]byte, error) {
	if response.ContentLength > limit {
		return nil, fmt.Errorf("%w: %d bytes", errTooLarge, response.ContentLength)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLarge, limit)
	}
	return body, nil
}
