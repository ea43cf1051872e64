package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"

	"cunzheng/api/wire"
	"cunzheng/notary"
)

const issuer = "https://cz.example"

var allRoles = []notary.Role{
	notary.RoleDepositor, notary.RoleDepartment, notary.RoleNotary, notary.RoleApprover, notary.RoleArchivist,
	notary.RoleCourt, notary.RoleAuditor, notary.RoleSystemAdmin, notary.RoleSecurityAdmin, notary.RoleAuditAdmin,
}

const password = "correct horse battery"

// env is a server on a real port, with everything real below it.
type env struct {
	*stack
	server  *Server
	url     string
	logs    *bytes.Buffer
	metrics *prometheus.Registry
	tokens  map[string]string
	stop    context.CancelFunc
	done    chan error
}

// start builds a node with one account for each role, named as the role, and serves it.
func start(t testing.TB, change func(*Options)) *env {
	t.Helper()
	return serve(t, newStack(t), change)
}

func serve(t testing.TB, node *stack, change func(*Options)) *env {
	t.Helper()
	e := &env{stack: node, logs: new(bytes.Buffer), metrics: prometheus.NewRegistry(), tokens: map[string]string{}, done: make(chan error, 1)}
	o := Options{
		Evidence: node.service, Registry: node.service, Log: publicLog{node.log}, Proofs: node.service, Tokens: tokenKeys{node.keys}, Issuer: issuer,
		Registerer: e.metrics, Gatherer: e.metrics, Logger: slog.New(slog.NewJSONHandler(e.logs, nil)),
	}
	if change != nil {
		change(&o)
	}
	var err error
	if e.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.url = "http://" + listener.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	go func() { e.done <- e.server.Run(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-e.done; err != nil {
			t.Errorf("run: %v", err)
		}
		e.done <- nil
	})
	return e
}

// answer is a response, read and checked against openapi.yaml.
type answer struct {
	*http.Response
	body []byte
}

func (a *answer) problem(t testing.TB) wire.Problem {
	t.Helper()
	var p wire.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%d: not a problem: %v: %.200q", a.StatusCode, err, a.body)
	}
	if p.Status != a.StatusCode || a.Header.Get("Content-Type") != wire.ProblemType {
		t.Fatalf("status %d and %d, type %q", a.StatusCode, p.Status, a.Header.Get("Content-Type"))
	}
	return p
}

// wantProblem checks status and code.
func (a *answer) wantProblem(t testing.TB, status int, code string) wire.Problem {
	t.Helper()
	p := a.problem(t)
	if a.StatusCode != status || p.Code != code {
		t.Fatalf("got %d %s (%s), want %d %s", a.StatusCode, p.Code, p.DetailEN, status, code)
	}
	return p
}

func (a *answer) want(t testing.TB, status int) *answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("got %d %.300s, want %d", a.StatusCode, a.body, status)
	}
	return a
}

// send makes a request as it is, and reads and checks the answer.
func (e *env) send(t testing.TB, r *http.Request) *answer {
	t.Helper()
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	a := readAnswer(t, response)
	checkResponse(t, r, a.Response)
	return a
}

func readAnswer(t testing.TB, response *http.Response) *answer {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return &answer{response, body}
}

func (e *env) request(t testing.TB, method, path string, body io.Reader, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, e.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// do makes a request as an account with role; empty: as nobody.
func (e *env) do(t testing.TB, role notary.Role, method, path, body string, headers ...string) *answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := e.request(t, method, path, reader, headers...)
	if role != "" {
		r.Header.Set("Authorization", "Bearer "+e.token(t, role))
	}
	return e.send(t, r)
}

func (e *env) token(t testing.TB, role notary.Role) string {
	t.Helper()
	if known := e.tokens[string(role)]; known != "" {
		return known
	}
	form := url.Values{"grant_type": {"password"}, "username": {string(role)}, "password": {password}}
	a := e.send(t, e.request(t, "POST", "/v1/token", strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")).want(t, 200)
	var got wire.Token
	if err := json.Unmarshal(a.body, &got); err != nil {
		t.Fatal(err)
	}
	e.tokens[string(role)] = got.AccessToken
	return got.AccessToken
}

// eventually waits until ok, for what happens on another goroutine.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("did not happen: %s", what)
}

// batchAnswers reads the answer to a batch and holds each line against openapi.yaml.
func batchAnswers(t testing.TB, body []byte) []wire.BatchAnswer {
	t.Helper()
	var answers []wire.BatchAnswer
	for line := range bytes.Lines(body) {
		var a wire.BatchAnswer
		if err := json.Unmarshal(line, &a, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%v: %.200q", err, line)
		}
		checkSchema(t, "BatchAnswer", line)
		answers = append(answers, a)
	}
	return answers
}
