package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cunzheng/api/wire"
)

// The tests here are about repeating, which takes a server that fails on demand. The client is tested against the real
// server in package api.

// script is a server that gives its answers one after the other, the last one for ever.
func script(t *testing.T, answers ...http.HandlerFunc) (*Client, *atomic.Int32) {
	t.Helper()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := int(calls.Add(1)) - 1
		answers[min(i, len(answers)-1)](w, r)
	}))
	t.Cleanup(server.Close)
	c, err := New(Options{Server: server.URL, Patience: 2 * time.Second, Attempts: 4})
	if err != nil {
		t.Fatal(err)
	}
	return c, &calls
}

func problem(status int, code string, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.Header().Set("Content-Type", wire.ProblemType)
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"type":"x","title":"t","status":%d,"code":%q,"detail":"d","detail_zh":"z","detail_en":"e","instance":"urn:cunzheng:request:abc"}`, status, code)
	}
}

func cut(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }

// take reads the body and answers with a deposit whose number is the body.
func take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"number":%q,"receipt":{},"statement":{}}`, body)
}

func deposit(c *Client, content io.Reader) (*wire.Deposit, error) {
	return c.DepositFile(context.Background(), File{FileMetadata: wire.FileMetadata{Metadata: wire.Metadata{Name: "a"}}, Content: content, Length: -1})
}

func TestRepeats(t *testing.T) {
	keys := map[string]bool{}
	recorded := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			keys[r.Header.Get("Idempotency-Key")] = true
			next(w, r)
		}
	}
	c, calls := script(t, recorded(problem(429, "BUSY", "")), recorded(cut), recorded(problem(503, "STOPPING", "1")), recorded(take))
	begun := time.Now()
	d, err := deposit(c, strings.NewReader("content"))
	if err != nil || d.Number != "content" || calls.Load() != 4 {
		t.Fatalf("%+v, %v after %d calls", d, err, calls.Load())
	}
	if took := time.Since(begun); took < time.Second {
		t.Errorf("Retry-After was not honoured: %v", took)
	}
	if len(keys) != 1 || keys[""] {
		t.Errorf("idempotency keys: %v", keys)
	}
}

func TestGivesUp(t *testing.T) {
	c, calls := script(t, problem(429, "BUSY", ""))
	_, err := deposit(c, strings.NewReader("x"))
	p, ok := errors.AsType[*Problem](err)
	if !ok || p.Code != "BUSY" || calls.Load() != 4 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
	c, calls = script(t, problem(503, "STOPPING", "3600"))
	_, err = deposit(c, strings.NewReader("x"))
	if p, ok := errors.AsType[*Problem](err); !ok || p.RetryAfter != time.Hour || calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
	c, calls = script(t, problem(422, "NAME_INVALID", ""))
	if _, err = deposit(c, strings.NewReader("x")); err == nil || err.Error() != "d (NAME_INVALID) [abc]" || calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
	c, calls = script(t, problem(429, "ACCOUNT_LOCKED", "1"))
	if _, err = deposit(c, strings.NewReader("x")); err == nil || calls.Load() != 1 {
		t.Errorf("a locked account: %v after %d calls", err, calls.Load())
	}
}

// TestContentThatReadsOnce holds that a pipe is never sent from the middle: it is repeated only while untouched.
func TestContentThatReadsOnce(t *testing.T) {
	readThenFail := func(w http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, 3))
		panic(http.ErrAbortHandler)
	}
	c, calls := script(t, readThenFail, take)
	if d, err := deposit(c, io.MultiReader(strings.NewReader("content"))); err == nil || calls.Load() != 1 {
		t.Errorf("touched: %+v, %v after %d calls", d, err, calls.Load())
	}
	c, calls = script(t, problem(429, "BUSY", ""), take)
	if d, err := deposit(c, io.MultiReader(strings.NewReader("content"))); err != nil || d.Number != "content" || calls.Load() != 2 {
		t.Errorf("untouched: %+v, %v after %d calls", d, err, calls.Load())
	}
	c, _ = script(t, readThenFail, take)
	r := strings.NewReader("content")
	r.Seek(3, io.SeekStart)
	if d, err := deposit(c, r); err != nil || d.Number != "tent" {
		t.Errorf("seekable, from its place: %+v, %v", d, err)
	}
}

func TestChangesAreNotRepeatedBlindly(t *testing.T) {
	c, calls := script(t, cut)
	if err := c.SetPassword(context.Background(), "a", "b"); err == nil || calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

func TestBatchRepeatsBusyLines(t *testing.T) {
	var bodies []string
	answer := func(lines ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies = append(bodies, string(body))
			io.WriteString(w, strings.Join(lines, "\n")+"\n")
		}
	}
	const busy, good = `{"line":1,"status":429,"problem":{"code":"BUSY"}}`, `{"line":2,"status":201,"deposit":{"number":"n","receipt":{},"statement":{}}}`
	c, _ := script(t, answer(good), answer(busy, good, busy), answer(good, busy), answer(good)) // the first one broke off
	answers, err := c.DepositBatch(context.Background(), make([]wire.DigestDeposit, 3))
	if err != nil || len(answers) != 3 {
		t.Fatalf("%+v, %v", answers, err)
	}
	for i, a := range answers {
		if a.Line != i+1 || a.Status != 201 {
			t.Errorf("answer %d: %+v", i+1, a)
		}
	}
	if len(bodies) != 4 || bodies[0] != bodies[1] || strings.Count(bodies[2], "\n") != 2 || strings.Count(bodies[3], "\n") != 1 {
		t.Errorf("sent %q", bodies)
	}
}

func TestForeignAnswers(t *testing.T) {
	c, _ := script(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) })
	if _, err := c.Health(context.Background()); err == nil || !strings.Contains(err.Error(), "HTTP_502") {
		t.Errorf("%v", err)
	}
	c, _ = script(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
	})
	if _, err := c.Health(context.Background()); err == nil || !strings.Contains(err.Error(), "HTTP_302") {
		t.Errorf("a redirect was followed: %v", err)
	}
	c, _ = script(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	if _, err := c.Health(context.Background()); err == nil {
		t.Error("took text for JSON")
	}
	c, _ = script(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "half")
	})
	var got bytes.Buffer
	if err := c.Bundle(context.Background(), "n", false, &got); err == nil {
		t.Errorf("took a part for the whole: %q", got.String())
	}
}

func TestOptions(t *testing.T) {
	for server, good := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://localhost": true, "http://[::1]:80": true, "https://cz.example/": true, "https://cz.example/base": true,
		"http://cz.example": false, "cz.example": false, "ftp://cz.example": false, "": false, "https://u:p@cz.example": false, "https://cz.example?x": false,
	} {
		if _, err := New(Options{Server: server, Credentials: Password("a", "b")}); (err == nil) != good {
			t.Errorf("%q: %v", server, err)
		}
	}
	if _, err := New(Options{Server: "http://cz.example"}); err != nil {
		t.Errorf("without credentials: %v", err)
	}
	if _, err := New(Options{Server: "http://cz.example", Credentials: Password("a", "b"), AllowPlain: true}); err != nil {
		t.Errorf("allowed: %v", err)
	}
	for _, secret := range []any{Password("a", "secret"), Bearer("secret")} {
		if text := fmt.Sprintf("%v %+v %s", secret, secret, secret); strings.Contains(text, "secret") {
			t.Errorf("told: %s", text)
		}
	}
}
