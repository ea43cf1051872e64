package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/go-json-experiment/json"

	"cunzheng/api/wire"
)

// File is a file to deposit.
type File struct {
	wire.FileMetadata

	// Content is read once from where it stands to its end. If it is an io.Seeker, a deposit that was broken off is
	// repeated from there; else it can be repeated only while nothing has been read.
	Content io.Reader
	// Length of Content in bytes; negative: unknown.
	Length int64
	// IdempotencyKey makes repetition safe. Default: a random one, which covers repetition within DepositFile only.
	IdempotencyKey string
}

// DepositFile uploads a file. It streams, whatever the size.
func (c *Client) DepositFile(ctx context.Context, f File) (*wire.Deposit, error) {
	name := f.Name
	f.Name = ""
	metadata, err := json.Marshal(&f.FileMetadata, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	upload := newUpload(f.Content)
	call := call{
		method: http.MethodPut, path: "/v1/evidence/files/" + url.PathEscape(name), safe: true,
		header: http.Header{
			"Content-Type":      {"application/octet-stream"},
			"Expect":            {"100-continue"}, // a refusal comes before the bytes are sent
			"Idempotency-Key":   {f.IdempotencyKey},
			"Cunzheng-Metadata": {base64.RawURLEncoding.EncodeToString(metadata)},
		},
		body: upload.open, length: f.Length, spent: upload.isSpent,
	}
	if f.IdempotencyKey == "" {
		call.header["Idempotency-Key"] = []string{rand.Text()}
	}
	return c.deposit(ctx, call)
}

// DepositDigest deposits a digest; the data stays here. Without an idempotency key of the caller's a random one is used.
func (c *Client) DepositDigest(ctx context.Context, d wire.DigestDeposit) (*wire.Deposit, error) {
	if d.IdempotencyKey == "" {
		d.IdempotencyKey = rand.Text()
	}
	body, err := json.Marshal(&d)
	if err != nil {
		return nil, err
	}
	return c.deposit(ctx, call{
		method: http.MethodPost, path: "/v1/evidence/digests", safe: true,
		header: http.Header{"Content-Type": {"application/json"}},
		body:   bytesBody(body), length: int64(len(body)),
	})
}

func (c *Client) deposit(ctx context.Context, call call) (*wire.Deposit, error) {
	d, err := fetch[*wire.Deposit](ctx, c, call)
	if err != nil {
		return nil, err
	}
	if d == nil || d.Number == "" {
		return nil, errors.New("answer of the server: no deposit in it")
	}
	return d, nil
}

// DepositBatch deposits up to 10,000 digests in one request and returns the answer to each, in their order. Lines
// without an idempotency key get a random one. Lines that the server had no room for (429 or 503) are sent again, as
// whole requests are; lines it refused are in the answers.
func (c *Client) DepositBatch(ctx context.Context, deposits []wire.DigestDeposit) ([]wire.BatchAnswer, error) {
	lines := make([][]byte, len(deposits))
	for i, d := range deposits {
		if d.IdempotencyKey == "" {
			d.IdempotencyKey = rand.Text()
		}
		line, err := json.Marshal(&d)
		if err != nil {
			return nil, err
		}
		lines[i] = line
	}
	answers := make([]wire.BatchAnswer, len(deposits))
	open := make([]int, len(deposits)) // lines without a final answer, by index
	for i := range open {
		open[i] = i
	}
	for attempt := 1; len(open) > 0; attempt++ {
		if attempt > 1 {
			if err := c.wait(ctx, attempt-1, nil); err != nil {
				return nil, err
			}
		}
		got, err := c.batch(ctx, lines, open)
		if err != nil {
			return nil, err
		}
		var again []int
		for i, line := range open {
			got[i].Line = line + 1
			answers[line] = got[i]
			if attempt < c.attempts && (got[i].Status == http.StatusTooManyRequests || got[i].Status == http.StatusServiceUnavailable) {
				again = append(again, line)
			}
		}
		open = again
	}
	return answers, nil
}

// batch sends the chosen lines and returns their answers. An answer that broke off is asked for again: the keys make
// the server give the first deposits.
func (c *Client) batch(ctx context.Context, lines [][]byte, chosen []int) ([]wire.BatchAnswer, error) {
	var body bytes.Buffer
	for _, i := range chosen {
		body.Write(lines[i])
		body.WriteByte('\n')
	}
	call := call{
		method: http.MethodPost, path: "/v1/evidence/batch", safe: true,
		header: http.Header{"Content-Type": {"application/x-ndjson"}},
		body:   bytesBody(body.Bytes()), length: int64(body.Len()),
	}
	for attempt := 1; ; attempt++ {
		answers, err := c.batchAnswers(ctx, call, len(chosen))
		if err == nil {
			return answers, nil
		}
		if _, broken := errors.AsType[*brokenAnswer](err); !broken || attempt >= c.attempts {
			return nil, err
		}
		if err := c.wait(ctx, attempt, nil); err != nil {
			return nil, err
		}
	}
}

// brokenAnswer is a batch answer that ended early.
type brokenAnswer struct{ err error }

func (b *brokenAnswer) Error() string { return "answer to the batch broke off: " + b.err.Error() }
func (b *brokenAnswer) Unwrap() error { return b.err }

func (c *Client) batchAnswers(ctx context.Context, call call, want int) ([]wire.BatchAnswer, error) {
	response, err := c.do(ctx, call)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := readAll(response.Body)
	if err != nil {
		return nil, &brokenAnswer{err}
	}
	answers := make([]wire.BatchAnswer, 0, want)
	for line := range bytes.Lines(body) {
		var answer wire.BatchAnswer
		if err := json.Unmarshal(line, &answer); err != nil {
			return nil, fmt.Errorf("answer of the server, line %d: %w", len(answers)+1, err)
		}
		answers = append(answers, answer)
	}
	for i := len(answers); i > 0 && i < want && answers[i-1].Problem != nil && answers[i-1].Problem.Code == "BATCH_TOO_LONG"; i++ {
		answers = append(answers, answers[i-1]) // one answer stands for the rest
	}
	if len(answers) != want {
		return nil, &brokenAnswer{fmt.Errorf("%d answers to %d lines", len(answers), want)}
	}
	return answers, nil
}

// upload is the content of a file, for several attempts where it can seek.
type upload struct {
	content io.Reader
	seeker  io.Seeker // nil: it cannot
	start   int64
	touched atomic.Bool
}

func newUpload(content io.Reader) *upload {
	u := &upload{content: content}
	if seeker, ok := content.(io.Seeker); ok {
		if start, err := seeker.Seek(0, io.SeekCurrent); err == nil { // else it is a pipe
			u.seeker, u.start = seeker, start
		}
	}
	return u
}

func (u *upload) isSpent() bool { return u.seeker == nil && u.touched.Load() }

func (u *upload) open() (io.Reader, error) {
	if u.seeker != nil && u.touched.Load() {
		if _, err := u.seeker.Seek(u.start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read the content again: %w", err)
		}
	}
	return &uploadReader{u}, nil
}

// uploadReader hides Close and everything else of the content from package http.
type uploadReader struct{ u *upload }

func (r *uploadReader) Read(b []byte) (int, error) {
	r.u.touched.Store(true)
	return r.u.content.Read(b)
}
