package consortium_test

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

	"cunzheng/evidence"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/anchor/directory"
	"cunzheng/notary"
	"cunzheng/notary/consortium"
	"cunzheng/notary/consortium/consortiumtest"
)

// pair is a node that asks and one that is asked, whose place in the directory the test can give to another server.
type pair struct {
	here, there *consortiumtest.Node
	of          consortiumtest.Evidence // of there
	member      consortiumtest.Member
	trust       consortiumtest.TrustLedgers
}

func newPair(t *testing.T, change ...func(*consortium.Options)) *pair {
	t.Helper()
	member, trust := sharedChain(t)
	p := &pair{member: member, trust: trust}
	p.here = consortiumtest.Start(t, member, trust, "NOT01", "log.example/here", change...)
	p.there = consortiumtest.Start(t, member, trust, "BUR01", "log.example/there")
	p.of = p.there.Deposit(t, "a document")
	for _, n := range []*consortiumtest.Node{p.here, p.there} {
		n.Anchor(t)
		n.Publish(t)
	}
	return p
}

// replace publishes another server as the node.
func (p *pair) replace(t *testing.T, url string) {
	t.Helper()
	n := p.there.Record
	n.URL = url
	if err := p.there.Directory.PublishNode(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	p.here.Clock.Add(2 * time.Minute)
}

// impostor publishes a handler as the node.
func (p *pair) impostor(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	p.replace(t, server.URL)
	return server
}

// bundle is a public proof by a node, fetched from itself.
func bundle(t *testing.T, n *consortiumtest.Node, of consortiumtest.Evidence) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := n.Service.PublicBundle(t.Context(), of.Number, of.SM3, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func serve(bundle []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", evidence.MediaTypeBundle)
		w.Write(bundle)
	}
}

func wantCode(t *testing.T, err error, code string) *notary.Error {
	t.Helper()
	e, ok := errors.AsType[*notary.Error](err)
	if !ok || e.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	if e.ZH == "" || e.EN == "" {
		t.Errorf("%s says nothing: %+v", code, e)
	}
	return e
}

// TestFalseProofs holds that nothing false is handed on, and that each kind raises one alarm however often it is asked for.
func TestFalseProofs(t *testing.T) {
	p := newPair(t)
	good := bundle(t, p.there, p.of)
	damaged := bytes.Clone(good)
	damaged[bytes.Index(damaged, []byte(`"depositor"`))]++
	another := p.there.Deposit(t, "another document")
	stranger := consortiumtest.Start(t, p.member, p.trust, "BUR01", "log.example/stranger") // same office, so a number may be the same
	strangers := stranger.Deposit(t, "a document")
	for name, served := range map[string][]byte{
		"damaged": damaged, "cut off": good[:len(good)-1], "with something behind it": append(bytes.Clone(good), 0), "empty": {},
		"of another number": bundle(t, p.there, another), "of another log": bundle(t, stranger, strangers),
	} {
		t.Run(name, func(t *testing.T) {
			p.impostor(t, serve(served))
			before := len(p.here.Alarms())
			for range 3 {
				_, err := p.here.Consortium.Find(t.Context(), p.of.Number, p.of.SM3)
				wantCode(t, err, consortium.CodeProofFalse)
			}
			alarms := p.here.Alarms()[before:]
			if len(alarms) != 1 {
				t.Fatalf("alarms: %v", alarms)
			}
			f, ok := errors.AsType[*consortium.FalseProof](alarms[0])
			if !ok || f.Node.Origin != p.there.Record.Origin || f.Number != p.of.Number || f.SM3 != p.of.SM3 || f.Report == nil || f.Error() == "" {
				t.Errorf("alarm: %v", alarms[0])
			}
		})
	}
}

// TestProofOfOtherContent holds that a node that shows a record to somebody who does not name its content is not believed,
// even though the proof itself is good.
func TestProofOfOtherContent(t *testing.T) {
	p := newPair(t)
	guess := p.of.SM3
	guess[0] ^= 1
	_, err := p.here.Consortium.Find(t.Context(), p.of.Number, guess)
	wantCode(t, err, notary.CodeNotFound)
	p.impostor(t, serve(bundle(t, p.there, p.of)))
	_, err = p.here.Consortium.Find(t.Context(), p.of.Number, guess)
	wantCode(t, err, consortium.CodeProofFalse)
	alarms := p.here.Alarms()
	if len(alarms) != 1 || !strings.Contains(alarms[0].Error(), guess.String()) || !strings.Contains(alarms[0].Error(), "of content with the SM3 "+p.of.SM3.String()) {
		t.Errorf("alarms: %v", alarms)
	}
}

// TestUnknownKeys holds that a proof whose keys the directory does not hold is not handed on, and raises no alarm: it
// may be a key that was just taken into use.
func TestUnknownKeys(t *testing.T) {
	p := newPair(t)
	twin := consortiumtest.Start(t, p.member, p.trust, "BUR01", "log.example/there") // another key under the same name
	p.impostor(t, serve(bundle(t, twin, twin.Deposit(t, "a document"))))
	_, err := p.here.Consortium.Find(t.Context(), p.of.Number, p.of.SM3)
	wantCode(t, err, consortium.CodeProofUndecided)
	if alarms := p.here.Alarms(); len(alarms) > 0 {
		t.Errorf("alarms: %v", alarms)
	}
}

func TestAnswersThatAreNoProof(t *testing.T) {
	p := newPair(t, func(o *consortium.Options) { o.Timeout = time.Minute })
	impatient, err := consortium.New(consortium.Options{
		Directory: p.here.Directory, Node: p.here.Record, Ledgers: p.trust, Clock: p.here.Clock.Now, Timeout: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(impatient.Close)
	var elsewhere atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		serve(nil)(w, r)
	}))
	defer target.Close()
	problem := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", evidence.MediaTypeBundle)
		for chunk := make([]byte, 64<<10); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	for _, c := range []struct {
		name, code string
		answer     http.HandlerFunc
	}{
		{"redirect", consortium.CodeNodeAnswer, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, target.URL+r.URL.Path, http.StatusFound)
		}},
		{"other type", consortium.CodeNodeAnswer, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }},
		{"announced too large", consortium.CodeNodeAnswer, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", evidence.MediaTypeBundle)
			w.Header().Set("Content-Length", "1000000000")
			w.WriteHeader(http.StatusOK)
		}},
		{"endless", consortium.CodeNodeAnswer, endless},
		{"no public proofs", consortium.CodeNodeAnswer, problem(404, `{"code":"NO_SUCH_PATH"}`)},
		{"404 of something else", consortium.CodeNodeAnswer, http.NotFound},
		{"endless 404", consortium.CodeNodeAnswer, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			endless(w, r)
		}},
		{"internal error", consortium.CodeNodeAnswer, problem(500, `{"code":"INTERNAL"}`)},
		{"no such evidence", notary.CodeNotFound, problem(404, `{"code":"NOT_FOUND"}`)},
		{"busy", consortium.CodeNodeUnavailable, problem(429, `{}`)},
		{"stopping", consortium.CodeNodeUnavailable, problem(503, `{}`)},
		{"gateway", consortium.CodeNodeUnavailable, problem(502, `{}`)},
		{"cut off", consortium.CodeNodeUnavailable, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"cut off in the middle", consortium.CodeNodeUnavailable, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", evidence.MediaTypeBundle)
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "a part")
		}},
		{"silent", consortium.CodeNodeUnavailable, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"silent in the middle", consortium.CodeNodeUnavailable, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", evidence.MediaTypeBundle)
			io.WriteString(w, "a part")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.impostor(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.String() != "/v1/proofs/"+p.of.Number+"?local=true&sm3="+p.of.SM3.String() || r.Header.Get("Authorization") != "" {
					t.Errorf("was asked %s %s", r.Method, r.URL)
				}
				c.answer(w, r)
			})
			asks := p.here.Consortium
			if strings.HasPrefix(c.name, "silent") {
				asks = impatient
			}
			_, err := asks.Find(t.Context(), p.of.Number, p.of.SM3)
			e := wantCode(t, err, c.code)
			if (e.Retry > 0) != (c.code == consortium.CodeNodeUnavailable) {
				t.Errorf("retry after %v", e.Retry)
			}
		})
	}
	if elsewhere.Load() > 0 {
		t.Error("a redirect was followed")
	}
	if alarms := p.here.Alarms(); len(alarms) > 0 {
		t.Errorf("alarms: %v", alarms)
	}
}

// TestSeveralNodesOfOneOffice holds that all nodes of an office are asked, and that one that is slow leaves time for
// the others.
func TestSeveralNodesOfOneOffice(t *testing.T) {
	t.Parallel() // it waits
	p := newPair(t, func(o *consortium.Options) { o.Timeout = 10 * time.Second })
	second := consortiumtest.Start(t, p.member, p.trust, "BUR01", "log.example/very-last")
	second.Deposit(t, "one more, so that the next number is its own")
	of := second.Deposit(t, "a document")
	second.Anchor(t)
	second.Publish(t)
	p.here.Clock.Add(2 * time.Minute)
	found, err := p.here.Consortium.Find(t.Context(), of.Number, of.SM3)
	if err != nil || found.Node.Origin != second.Record.Origin {
		t.Fatalf("the first has no such number: %+v, %v", found, err)
	}
	p.impostor(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if found, err = p.here.Consortium.Find(t.Context(), of.Number, of.SM3); err != nil || found.Node.Origin != second.Record.Origin {
		t.Fatalf("the first is silent: %+v, %v", found, err)
	}
	p.impostor(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	_, err = p.here.Consortium.Find(t.Context(), p.there.Number.Format(time.Now(), 4711), p.of.SM3)
	wantCode(t, err, consortium.CodeNodeUnavailable) // the one that does not answer may have it
}

// TestAddresses holds where a node that is not on loopback itself sends requests to.
func TestAddresses(t *testing.T) {
	p := newPair(t, func(o *consortium.Options) { o.Node.URL = "https://here.example" })
	var asked atomic.Int32
	server := p.impostor(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for _, url := range []string{
		server.URL, strings.Replace(server.URL, "127.0.0.1", "localhost", 1), "http://192.0.2.1", "http://[::1]:9",
	} {
		p.replace(t, url)
		_, err := p.here.Consortium.Find(t.Context(), p.of.Number, p.of.SM3)
		wantCode(t, err, consortium.CodeNodeUnavailable)
	}
	if asked.Load() > 0 {
		t.Error("a node on the network asks its own loopback over plain HTTP")
	}
}

// TestTLS holds that another node is asked over TLS, and that its certificate counts.
func TestTLS(t *testing.T) {
	p := newPair(t)
	good := bundle(t, p.there, p.of)
	server := httptest.NewTLSServer(serve(good))
	defer server.Close()
	p.replace(t, server.URL+"/base")
	_, err := p.here.Consortium.Find(t.Context(), p.of.Number, p.of.SM3)
	wantCode(t, err, consortium.CodeNodeUnavailable)

	knows, err := consortium.New(consortium.Options{
		Directory: p.here.Directory, Node: p.here.Record, Ledgers: p.trust, TLS: server.Client().Transport.(*http.Transport).TLSClientConfig,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer knows.Close()
	found, err := knows.Find(t.Context(), p.of.Number, p.of.SM3)
	if err != nil || !bytes.Equal(found.Bundle, good) || found.Report.Verdict != evidence.Passed {
		t.Errorf("%+v, %v", found, err)
	}
}

// brokenDirectory fails on demand.
type brokenDirectory struct {
	*directory.Directory
	nodes, keys error
	readings    atomic.Int32
}

func (b *brokenDirectory) Nodes(ctx context.Context, office string) ([]directory.Node, error) {
	b.readings.Add(1)
	if b.nodes != nil {
		return nil, b.nodes
	}
	return b.Directory.Nodes(ctx, office)
}

func (b *brokenDirectory) Keys(ctx context.Context, log string) ([]directory.Key, error) {
	if b.keys != nil {
		return nil, b.keys
	}
	return b.Directory.Keys(ctx, log)
}

func TestDirectoryOutOfReach(t *testing.T) {
	down := fmt.Errorf("%w: no peer", anchor.ErrUnavailable)
	var d *brokenDirectory
	p := newPair(t, func(o *consortium.Options) {
		d = &brokenDirectory{Directory: o.Directory.(*directory.Directory)}
		o.Directory = d
	})
	d.nodes = down
	_, err := p.here.Consortium.Find(t.Context(), p.of.Number, p.of.SM3)
	if e := wantCode(t, err, consortium.CodeDirectoryUnavailable); e.Retry <= 0 {
		t.Error("it does not say when to try again")
	}
	d.nodes, d.keys = nil, down
	_, err = p.here.Consortium.Find(t.Context(), p.of.Number, p.of.SM3)
	wantCode(t, err, consortium.CodeDirectoryUnavailable)
	if _, err := p.here.Consortium.Trust(t.Context()); !errors.Is(err, anchor.ErrUnavailable) {
		t.Errorf("trust: %v", err)
	}
	d.keys = nil
	if _, err := p.here.Consortium.Find(t.Context(), p.of.Number, p.of.SM3); err != nil {
		t.Errorf("it does not recover: %v", err)
	}
	d.nodes, d.keys = down, down
	if _, err := p.here.Consortium.Find(t.Context(), p.of.Number, p.of.SM3); err != nil {
		t.Errorf("what was just read does not serve: %v", err)
	}
}

// TestUnknownOfficesAreCheap holds that strangers who ask for offices that do not exist do not make a reading each.
func TestUnknownOfficesAreCheap(t *testing.T) {
	var d *brokenDirectory
	p := newPair(t, func(o *consortium.Options) {
		d = &brokenDirectory{Directory: o.Directory.(*directory.Directory)}
		o.Directory = d
	})
	for i := range 20 {
		format := evidence.NumberFormat{Area: "ZZ", Region: "999999", Office: fmt.Sprintf("NON%02d", i)}
		_, err := p.here.Consortium.Find(t.Context(), format.Format(time.Now(), 1), p.of.SM3)
		wantCode(t, err, consortium.CodeOfficeUnknown)
	}
	if n := d.readings.Load(); n > 5 { // one, and another each few seconds on a slow machine
		t.Errorf("20 unknown offices made %d readings", n)
	}
}

// TestNewNodeIsFoundSoon holds that an office that was unknown a while ago is looked for again.
func TestNewNodeIsFoundSoon(t *testing.T) {
	p := newPair(t)
	late := consortiumtest.Start(t, p.member, p.trust, "HEA01", "log.example/late")
	of := late.Deposit(t, "a document")
	_, err := p.here.Consortium.Find(t.Context(), of.Number, of.SM3)
	wantCode(t, err, consortium.CodeOfficeUnknown)
	late.Anchor(t)
	late.Publish(t)
	p.here.Clock.Add(10 * time.Second)
	if _, err := p.here.Consortium.Find(t.Context(), of.Number, of.SM3); err != nil {
		t.Error(err)
	}
}

func TestFindIsGivenUp(t *testing.T) {
	p := newPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	p.impostor(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := p.here.Consortium.Find(ctx, p.of.Number, p.of.SM3); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	p.here.Clock.Add(2 * time.Minute)
	if _, err := p.here.Consortium.Find(ctx, p.of.Number, p.of.SM3); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
