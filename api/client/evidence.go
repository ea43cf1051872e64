package client

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"cunzheng/api/wire"
	"cunzheng/evidence"
)

// Get returns statement and receipt of one record.
func (c *Client) Get(ctx context.Context, number string) (wire.Evidence, error) {
	return fetch[wire.Evidence](ctx, c, read(evidencePath(number), nil))
}

func evidencePath(number string) string { return "/v1/evidence/" + url.PathEscape(number) }

func read(path string, query url.Values) call {
	return call{method: http.MethodGet, path: path, query: query, safe: true}
}

// readOpen reads what is public, without a token.
func readOpen(path string) call {
	return call{method: http.MethodGet, path: path, safe: true, open: true}
}

// Query selects records: those that fit all fields that are set.
type Query struct {
	Number            string
	SM3, SHA256       evidence.Digest
	Depositor         string // identifier of the organisation
	From, To          time.Time
	Case, Correlation string
	NewestFirst       bool // otherwise in the order of the log
	Limit             int  // of one page; 0: the server's default
}

func (q Query) values(cursor string) url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	if !q.SM3.IsZero() {
		set("sm3", q.SM3.String())
	}
	if !q.SHA256.IsZero() {
		set("sha256", q.SHA256.String())
	}
	if !q.From.IsZero() {
		set("from", q.From.UTC().Format(time.RFC3339Nano))
	}
	if !q.To.IsZero() {
		set("to", q.To.UTC().Format(time.RFC3339Nano))
	}
	if q.NewestFirst {
		set("order", wire.NewestFirst)
	}
	if q.Limit > 0 {
		set("limit", strconv.Itoa(q.Limit))
	}
	set("number", q.Number)
	set("depositor", q.Depositor)
	set("case", q.Case)
	set("correlation", q.Correlation)
	set("cursor", cursor)
	return v
}

// Search returns one page of records; cursor is empty for the first, then Next of the page before.
func (c *Client) Search(ctx context.Context, q Query, cursor string) (wire.Page, error) {
	return fetch[wire.Page](ctx, c, read("/v1/evidence", q.values(cursor)))
}

// All returns all records that fit, fetching page after page. An error ends it.
func (c *Client) All(ctx context.Context, q Query) iter.Seq2[wire.Summary, error] {
	return func(yield func(wire.Summary, error) bool) {
		cursor := ""
		for {
			page, err := c.Search(ctx, q, cursor)
			if err != nil {
				yield(wire.Summary{}, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			cursor = page.Next
		}
	}
}

// Bundle writes the bundle of a record to w. After an error what was written is not a bundle.
func (c *Client) Bundle(ctx context.Context, number string, withContent bool, w io.Writer) error {
	query := url.Values{}
	if withContent {
		query.Set("content", "true")
	}
	return c.download(ctx, read(evidencePath(number)+"/bundle", query), w)
}

// Content writes the original of a record to w. After an error what was written is only a part.
func (c *Client) Content(ctx context.Context, number string, w io.Writer) error {
	return c.download(ctx, read(evidencePath(number)+"/content", nil), w)
}

func (c *Client) download(ctx context.Context, call call, w io.Writer) error {
	response, err := c.do(ctx, call)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(w, response.Body); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	return nil
}

// Proof writes the public proof of a record, of this node or of another of the consortium, to w. It needs no credentials,
// but the SM3 of the content: a record of other content is answered as if there were none.
// Node is the origin of the log of the node that gave it; empty if it is the server's own. After an error what was written
// is not a bundle.
func (c *Client) Proof(ctx context.Context, number string, sm3 evidence.Digest, w io.Writer) (node string, err error) {
	question := readOpen("/v1/proofs/" + url.PathEscape(number))
	question.query = url.Values{"sm3": {sm3.String()}}
	response, err := c.do(ctx, question)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if _, err := io.Copy(w, response.Body); err != nil {
		return "", fmt.Errorf("download: %w", err)
	}
	return response.Header.Get("Cunzheng-Node"), nil
}

// Trust returns the platform's trust file and its bytes. It is worth what the connection is worth.
func (c *Client) Trust(ctx context.Context) (*evidence.Trust, []byte, error) {
	return c.trust(ctx, "/v1/trust")
}

// ConsortiumTrust returns the trust file of all nodes on the ledger that the server's node shares, and its bytes.
func (c *Client) ConsortiumTrust(ctx context.Context) (*evidence.Trust, []byte, error) {
	return c.trust(ctx, "/v1/trust/consortium")
}

func (c *Client) trust(ctx context.Context, path string) (*evidence.Trust, []byte, error) {
	raw, err := c.public(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	trust, err := evidence.ParseTrust(raw)
	return trust, raw, err
}

// Checkpoint returns the latest signed checkpoint of the log, as text.
func (c *Client) Checkpoint(ctx context.Context) ([]byte, error) {
	return c.public(ctx, "/log/checkpoint")
}

// Tile returns a tile of the log by its path, such as "tile/0/x001/067".
func (c *Client) Tile(ctx context.Context, path string) ([]byte, error) {
	return c.public(ctx, "/log/"+path)
}

// Keys returns the platform's public keys.
func (c *Client) Keys(ctx context.Context) (wire.PlatformKeys, error) {
	return fetch[wire.PlatformKeys](ctx, c, readOpen("/v1/keys"))
}

// Health reports whether the server answers, and its version.
func (c *Client) Health(ctx context.Context) (wire.Health, error) {
	return fetch[wire.Health](ctx, c, readOpen("/healthz"))
}

func (c *Client) public(ctx context.Context, path string) ([]byte, error) {
	response, err := c.do(ctx, readOpen(path))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return readAll(response.Body)
}
