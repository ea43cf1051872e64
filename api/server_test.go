package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"cunzheng/api/wire"
	"cunzheng/notary"
)

// dial opens a raw connection for requests that no client would send.
func (e *env) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// head is the start of a raw upload request, without its last empty line.
func (e *env) head(t testing.TB, name, more string) string {
	t.Helper()
	return fmt.Sprintf("PUT /v1/evidence/files/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s", name, e.token(t, notary.RoleDepositor), more)
}

func readRaw(t testing.TB, c net.Conn) *answer {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, response)
}

// TestCutOffUpload holds that an upload whose connection breaks leaves no trace, wherever it breaks.
func TestCutOffUpload(t *testing.T) {
	e := start(t, nil)
	metadata := formPart("metadata", "", `{"name":"a.txt"}`)
	whole, mediaType := form(metadata, formPart("file", "a.txt", strings.Repeat("x", 300_000)))
	for _, test := range []struct{ name, text string }{
		{"in the headers", e.head(t, "a.bin", "Content-Length: 10")},
		{"before the first byte", e.head(t, "a.bin", "Content-Length: 10\r\n\r\n")},
		{"short of Content-Length", e.head(t, "a.bin", "Content-Length: 400000\r\n\r\n") + strings.Repeat("x", 399_999)},
		{"without the last chunk", e.head(t, "a.bin", "Transfer-Encoding: chunked\r\n\r\n") + "5\r\nhello\r\n"},
		{"inside a chunk", e.head(t, "a.bin", "Transfer-Encoding: chunked\r\n\r\n") + "5\r\nhe"},
		{"broken chunk", e.head(t, "a.bin", "Transfer-Encoding: chunked\r\n\r\n") + "5\r\nhello\r\nzz\r\n"},
		{"inside a form", fmt.Sprintf("POST /v1/evidence/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
			e.token(t, notary.RoleDepositor), mediaType, len(whole), whole[:200_000])},
	} {
		c := e.dial(t)
		if _, err := io.WriteString(c, test.text); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		c.(*net.TCPConn).CloseWrite()
		if got, err := io.ReadAll(c); err == nil && bytes.Contains(got, []byte(" 201 ")) {
			t.Errorf("%s: acknowledged", test.name)
		}
		c.Close()
	}
	eventually(t, "all uploads end", func() bool { return e.originals(t) == 0 })
	if n := e.stored(); n != 0 {
		t.Errorf("%d entries were made", n)
	}
	e.wantClean(t)
	if text := e.metricsText(t); !strings.Contains(text, "cunzheng_http_panics_total 0") {
		t.Error("a handler panicked")
	}
}

// TestHalfClosedUpload holds that a caller who closes its half of the connection, which cannot be told from leaving, is
// answered that the request was given up, and leaves no trace.
func TestHalfClosedUpload(t *testing.T) {
	reached, leave := make(chan struct{}), make(chan struct{})
	e := start(t, func(o *Options) { o.Evidence = &slowEvidence{o.Evidence, reached, leave} })
	c := e.dial(t)
	fmt.Fprint(c, e.head(t, "a.bin", "Content-Length: 5\r\n\r\nhello"))
	<-reached
	c.(*net.TCPConn).CloseWrite()
	close(leave)
	a := readRaw(t, c)
	a.wantProblem(t, http.StatusServiceUnavailable, codeAborted)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if n := e.stored(); n != 0 || e.originals(t) != 0 {
		t.Errorf("%d entries, %d originals", n, e.originals(t))
	}
	e.wantClean(t)
}

// slowEvidence holds back the end of a file until its caller has left.
type slowEvidence struct {
	Evidence
	reached, leave chan struct{}
}

func (s *slowEvidence) DepositFile(ctx context.Context, by notary.Actor, d notary.FileDeposit, content io.Reader) (*notary.Deposit, error) {
	return s.Evidence.DepositFile(ctx, by, d, readerFunc(func(b []byte) (int, error) {
		n, err := content.Read(b)
		if err == io.EOF {
			close(s.reached)
			<-s.leave
			<-ctx.Done()
		}
		return n, err
	}))
}

type readerFunc func(b []byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestSmuggling holds that nothing after a chunked body is taken for a request: a length beside the chunks may have made
// a proxy see another end.
func TestSmuggling(t *testing.T) {
	e := start(t, nil)
	c := e.dial(t)
	fmt.Fprint(c, e.head(t, "a.bin", "Content-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")+"GET /v1/trust HTTP/1.1\r\nHost: x\r\n\r\n")
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(all, []byte("HTTP/1.1 ")); n != 1 || !bytes.HasPrefix(all, []byte("HTTP/1.1 201 ")) {
		t.Errorf("%d answers: %.300q", n, all)
	}
}

// TestStalledUpload holds that a sender that goes silent, or dribbles, is cut off, while one that is merely slow is not.
func TestStalledUpload(t *testing.T) {
	e := start(t, func(o *Options) { o.Limits.Stall, o.Limits.MinRate = 300*time.Millisecond, 100 })
	t.Run("silent", func(t *testing.T) {
		c := e.dial(t)
		fmt.Fprint(c, e.head(t, "a.bin", "Content-Length: 10\r\n\r\nhel"))
		readRaw(t, c).wantProblem(t, http.StatusRequestTimeout, codeBodyTimeout)
	})
	t.Run("dribbling", func(t *testing.T) {
		c := e.dial(t)
		begun := time.Now()
		fmt.Fprint(c, e.head(t, "a.bin", "Content-Length: 1000\r\n\r\n"))
		go func() {
			for range 100 {
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		}()
		readRaw(t, c).wantProblem(t, http.StatusRequestTimeout, codeBodyTimeout)
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("cut off after %v only", took)
		}
	})
	t.Run("slow", func(t *testing.T) {
		c := e.dial(t)
		fmt.Fprint(c, e.head(t, "a.bin", "Content-Length: 1000\r\n\r\n"))
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			fmt.Fprint(c, strings.Repeat("x", 100))
		}
		if a := readRaw(t, c); a.StatusCode != http.StatusCreated {
			t.Errorf("got %d %s", a.StatusCode, a.body)
		}
	})
	if n := e.stored(); n != 1 {
		t.Errorf("%d entries were made, want 1", n)
	}
}

// TestSlowSenderLosesItsPlace holds that a pace which is good enough while there is room is not while there is none.
func TestSlowSenderLosesItsPlace(t *testing.T) {
	for uploads, want := range map[int]int{64: http.StatusCreated, 2: http.StatusRequestTimeout} {
		e := start(t, func(o *Options) {
			o.Limits.Stall, o.Limits.MinRate, o.Limits.BusyRate, o.Limits.Uploads = 500*time.Millisecond, 10, 1000, uploads
		})
		c := e.dial(t)
		fmt.Fprint(c, e.head(t, "a.bin", "Content-Length: 150\r\n\r\n"))
		go func() {
			for range 15 {
				if _, err := fmt.Fprint(c, "0123456789"); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		}()
		if a := readRaw(t, c); a.StatusCode != want {
			t.Errorf("one of %d places taken: got %d %s, want %d", uploads, a.StatusCode, a.body, want)
		}
	}
}

// TestOrganisationsShare holds that uploads of one organisation leave room for others, and that strangers take none.
func TestOrganisationsShare(t *testing.T) {
	e := start(t, func(o *Options) { o.Limits.Uploads, o.Limits.Wait = 4, 200*time.Millisecond })
	for range 10 {
		c := e.dial(t)
		fmt.Fprint(c, "PUT /v1/evidence/files/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Length: 10\r\n\r\nhel")
	}
	var open []net.Conn
	for i := range 2 {
		c := e.dial(t)
		fmt.Fprint(c, e.head(t, "a.bin", "Content-Length: 10\r\n\r\nhel"))
		open = append(open, c)
		eventually(t, "the upload begins", func() bool {
			begun, err := filepath.Glob(filepath.Join(e.dir, "intents", "*.intent"))
			return err == nil && len(begun) == i+1
		})
	}
	a := e.do(t, notary.RoleDepositor, put, "/v1/evidence/files/b", "x")
	a.wantProblem(t, http.StatusTooManyRequests, codeTooMany)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if _, err := e.as(t, "stranger").DepositFile(t.Context(), file("c.txt", "abc")); err != nil {
		t.Errorf("another organisation: %v", err)
	}
	fmt.Fprint(open[0], "lo you!")
	readRaw(t, open[0]).want(t, http.StatusCreated)
	e.do(t, notary.RoleDepositor, put, "/v1/evidence/files/b", "x").want(t, http.StatusCreated)
}

// TestSlowRequest holds that a request that is not a transfer must come within the limit, and that idle connections
// and unfinished headers do not stay for ever.
func TestSlowRequest(t *testing.T) {
	e := start(t, func(o *Options) { o.Limits.Request, o.Limits.Idle = 300*time.Millisecond, 300*time.Millisecond })
	for name, text := range map[string]string{
		"idle":             "",
		"headers":          "GET /healthz HTTP/1.1\r\nHost",
		"body":             fmt.Sprintf("POST /v1/evidence/digests HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", e.token(t, notary.RoleDepositor)),
		"body of stranger": "POST /v1/evidence/digests HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := e.dial(t)
			fmt.Fprint(c, text)
			begun := time.Now()
			if _, err := io.ReadAll(c); err != nil || time.Since(begun) > 5*time.Second {
				t.Errorf("still open after %v: %v", time.Since(begun), err)
			}
		})
	}
}

func TestExpectContinue(t *testing.T) {
	e := start(t, nil)
	for name, head := range map[string]string{
		"401": "PUT /v1/evidence/files/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n",
		"413": e.head(t, "a", "Content-Length: 999999999999999\r\n"),
		"422": e.head(t, "..%2Fa", "Content-Length: 1000000\r\n"),
	} {
		c := e.dial(t)
		begun := time.Now()
		fmt.Fprint(c, head+"Expect: 100-continue\r\n\r\n")
		if a := readRaw(t, c); fmt.Sprint(a.StatusCode) != name || time.Since(begun) > time.Second {
			t.Errorf("want %s before any content, got %d after %v", name, a.StatusCode, time.Since(begun))
		}
	}
}

func TestOddRequests(t *testing.T) {
	e := start(t, nil)
	for name, test := range map[string]struct {
		text   string
		status int
	}{
		"huge header":             {"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 200<<10) + "\r\n\r\n", 431},
		"many headers":            {"GET /healthz HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-Filler: aaaaaaaaaaaaaaaaaaaa\r\n", 8000) + "\r\n", 431},
		"two lengths":             {"PUT /v1/evidence/files/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
		"length and chunks":       {"PUT /v1/evidence/files/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: identity\r\n\r\na", 501},
		"negative length":         {"PUT /v1/evidence/files/a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
		"no host":                 {"GET /healthz HTTP/1.1\r\n\r\n", 400},
		"control byte in a value": {"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400},
		"not HTTP":                {"hello\r\n\r\n", 400},
		"path of control bytes":   {"GET /v1/evidence/%00%0a%7f HTTP/1.1\r\nHost: x\r\n\r\n", 401},
		"two tokens":              {"GET /v1/evidence HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400},
	} {
		c := e.dial(t)
		fmt.Fprint(c, test.text)
		if a := readRaw(t, c); a.StatusCode != test.status {
			t.Errorf("%s: got %d %.200s, want %d", name, a.StatusCode, a.body, test.status)
		}
	}
	if text := e.metricsText(t); !strings.Contains(text, "cunzheng_http_panics_total 0") {
		t.Error("a handler panicked")
	}
}

// TestPanics holds that a panic is answered, counted and not told, and that the server goes on.
func TestPanics(t *testing.T) {
	e := start(t, nil)
	fail := func(after string) echo.HandlerFunc {
		return e.server.guard(route{method: get, path: "/panic", access: public, handle: func(_ *Server, c echo.Context) error {
			if after != "" {
				io.WriteString(c.Response(), after)
				c.Response().Flush()
			}
			panic("secret cause")
		}})
	}
	e.server.echo.GET("/panic", fail(""))
	e.server.echo.GET("/late", fail("half an ans"))
	response, err := http.Get(e.url + "/panic")
	if err != nil {
		t.Fatal(err)
	}
	a := readAnswer(t, response)
	a.wantProblem(t, http.StatusInternalServerError, codeInternal)
	if bytes.Contains(a.body, []byte("secret")) {
		t.Errorf("told: %s", a.body)
	}
	response, err = http.Get(e.url + "/late")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("a broken answer looks whole")
	}
	response.Body.Close()
	if text := e.metricsText(t); !strings.Contains(text, "cunzheng_http_panics_total 2") {
		t.Error("not counted")
	}
}

// TestShutdown holds that a stop lets requests under way finish, takes no new ones, and that what was acknowledged is
// there after a restart.
func TestShutdown(t *testing.T) {
	node := newStack(t)
	e := serve(t, node, nil)
	c := e.as(t, "depositor")
	if _, err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	reader, writer := io.Pipe()
	type outcome struct {
		deposit *wire.Deposit
		err     error
	}
	result := make(chan outcome, 1)
	go func() {
		f := file("slow.txt", "")
		f.Content, f.Length = reader, -1
		d, err := c.DepositFile(context.Background(), f)
		result <- outcome{d, err}
	}()
	fmt.Fprint(writer, "first half, ")
	e.stop()
	eventually(t, "the listener closes", func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	fmt.Fprint(writer, "second half")
	writer.Close()
	got := <-result
	if got.err != nil {
		t.Fatalf("the upload under way: %v", got.err)
	}
	if err := <-e.done; err != nil {
		t.Fatalf("run: %v", err)
	}
	e.done <- nil
	node.close(t)
	node.open(t)
	again := serve(t, node, nil)
	var original bytes.Buffer
	if err := again.as(t, "depositor").Content(t.Context(), got.deposit.Number, &original); err != nil || original.String() != "first half, second half" {
		t.Errorf("after the restart: %q, %v", original.String(), err)
	}
	node.wantClean(t)
}

// TestHardStop holds that a request that does not end in time is cut off and leaves no trace.
func TestHardStop(t *testing.T) {
	node := newStack(t)
	e := serve(t, node, func(o *Options) { o.Limits.Drain = 200 * time.Millisecond })
	c := e.dial(t)
	fmt.Fprint(c, e.head(t, "a.bin", "Content-Length: 10\r\n\r\nhel"))
	eventually(t, "the upload begins", func() bool {
		begun, err := filepath.Glob(filepath.Join(e.dir, "intents", "*.intent"))
		return err == nil && len(begun) > 0
	})
	e.stop()
	if err := <-e.done; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("run: %v", err)
	}
	e.done <- nil
	e.wantClean(t) // at once: Run has waited for the handler
	if n := e.stored(); n != 0 || e.originals(t) != 0 {
		t.Errorf("%d entries, %d originals", n, e.originals(t))
	}
	if got, _ := io.ReadAll(c); bytes.Contains(got, []byte(" 201 ")) {
		t.Error("acknowledged")
	}
}

// lateEvidence takes its time to answer, and to notice that nobody waits for it any more.
type lateEvidence struct {
	Evidence
	reached, leave chan struct{}
	ended          atomic.Bool
}

func (l *lateEvidence) Get(ctx context.Context, _ notary.Actor, _ string) (*notary.Record, error) {
	close(l.reached)
	select {
	case <-l.leave:
	case <-ctx.Done():
		time.Sleep(200 * time.Millisecond) // a disk that is slow to answer
	}
	l.ended.Store(true)
	return nil, ctx.Err()
}

// TestRunOutlivesHandlers holds that Run returns after the last handler, however the stop came about: what handlers use
// is closed then.
func TestRunOutlivesHandlers(t *testing.T) {
	ask := func(t *testing.T, e *env, late *lateEvidence) {
		token := e.token(t, notary.RoleDepositor)
		c := e.dial(t)
		fmt.Fprintf(c, "GET /v1/evidence/X HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", token)
		<-late.reached
	}
	begin := func(t *testing.T) (*env, *lateEvidence) {
		late := &lateEvidence{reached: make(chan struct{}), leave: make(chan struct{})}
		return start(t, func(o *Options) { late.Evidence, o.Evidence, o.Limits.Drain = o.Evidence, late, 300*time.Millisecond }), late
	}
	t.Run("Shutdown", func(t *testing.T) {
		e, late := begin(t)
		ask(t, e, late)
		stopped := make(chan error, 1)
		go func() { stopped <- e.server.Shutdown(context.Background()) }()
		eventually(t, "the server stops", e.server.stopping.Load)
		time.AfterFunc(100*time.Millisecond, func() { close(late.leave) })
		if err := <-e.done; err != nil || !late.ended.Load() {
			t.Errorf("Run: %v; the handler has ended: %v", err, late.ended.Load())
		}
		e.done <- nil
		if err := <-stopped; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	t.Run("cut off", func(t *testing.T) {
		e, late := begin(t)
		ask(t, e, late)
		e.stop()
		if err := <-e.done; !errors.Is(err, context.DeadlineExceeded) || !late.ended.Load() {
			t.Errorf("Run: %v; the handler has ended: %v", err, late.ended.Load())
		}
		e.done <- nil
	})
}

func TestReadiness(t *testing.T) {
	well := true
	e := start(t, func(o *Options) {
		o.Ready = func(context.Context) []Check {
			return []Check{{Name: "ledger", OK: well, Required: true, ZH: "日志可写入。", EN: "The log takes entries."}}
		}
	})
	e.do(t, "", get, "/readyz", "").want(t, http.StatusOK)
	well = false
	a := e.do(t, "", get, "/readyz", "").want(t, http.StatusServiceUnavailable)
	if !bytes.Contains(a.body, []byte("The log takes entries.")) {
		t.Errorf("no reason: %s", a.body)
	}
	well = true
	e.server.stopping.Store(true)
	e.do(t, "", get, "/readyz", "").want(t, http.StatusServiceUnavailable)
}

func TestNew(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("built from nothing")
	}
	if _, err := (Limits{FileBody: -1}).withDefaults(); err == nil {
		t.Error("a negative limit was taken")
	}
	if _, err := (Limits{MinRate: 2, BusyRate: 1}).withDefaults(); err == nil {
		t.Error("a lower rate for busy times was taken")
	}
}
