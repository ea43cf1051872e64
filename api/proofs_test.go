package api

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cunzheng/api/client"
	"cunzheng/crypto/sm3"
	"cunzheng/evidence"
	"cunzheng/ledger/anchor/directory"
	"cunzheng/notary"
	"cunzheng/notary/consortium"
)

// finder is a consortium of one answer. The real one is tested against real nodes in package consortiumtest.
type finder func(ctx context.Context, number string, sm3 evidence.Digest) (*consortium.Proof, error)

func (f finder) Find(ctx context.Context, number string, sm3 evidence.Digest) (*consortium.Proof, error) {
	return f(ctx, number, sm3)
}

// foreign is a number of another office.
var foreign = evidence.NumberFormat{Area: "XM", Region: "350200", Office: "BUR01"}.Format(time.Now(), 1)

// proofPath is where anybody asks for a proof, naming the content.
func proofPath(number, content string) string {
	return "/v1/proofs/" + number + "?sm3=" + contentSM3(content).String()
}

func contentSM3(content string) evidence.Digest { return sm3.Sum([]byte(content)) }

// TestPublicProof holds that a stranger gets a proof that passes and holds nothing but what is in the log.
func TestPublicProof(t *testing.T) {
	e := start(t, nil)
	d, err := e.as(t, "depositor").DepositFile(t.Context(), file("secret-name.pdf", "content-4711"))
	if err != nil {
		t.Fatal(err)
	}
	stranger := e.client(t, client.Options{})
	var bundle bytes.Buffer
	node, err := stranger.Proof(t.Context(), d.Number, contentSM3("content-4711"), &bundle)
	if err != nil || node != "" {
		t.Fatalf("from %q: %v", node, err)
	}
	trust, _, err := stranger.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	report, err := evidence.Verify(evidence.Input{
		Bundle: bytes.NewReader(bundle.Bytes()), Size: int64(bundle.Len()), Trust: trust, At: time.Now().Add(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Verdict != evidence.Passed || report.Number != d.Number || len(report.Subject.Disclosed) > 0 || report.Subject.WithOriginal {
		t.Errorf("%s", report.Text("en"))
	}
	for _, secret := range []string{"secret-name", "content-4711"} {
		if bytes.Contains(bundle.Bytes(), []byte(secret)) {
			t.Errorf("the proof holds %q", secret)
		}
	}
	a := e.do(t, "", get, proofPath(d.Number, "content-4711"), "").want(t, http.StatusOK)
	if got := a.Header.Get("Content-Type"); got != evidence.MediaTypeBundle {
		t.Errorf("type %q", got)
	}
}

func TestPublicProofRefusals(t *testing.T) {
	e := start(t, nil)
	e.do(t, "", get, proofPath("nothing", "b"), "").wantProblem(t, http.StatusNotFound, notary.CodeNumberInvalid)
	e.do(t, "", get, proofPath(foreign, "b"), "").wantProblem(t, http.StatusNotFound, notary.CodeNotFound)
	e.do(t, "", get, proofPath(foreign, "b")+"&local=perhaps", "").wantProblem(t, http.StatusBadRequest, codeQuery)

	off := start(t, func(o *Options) { o.Proofs = nil })
	off.do(t, "", get, proofPath(foreign, "b"), "").wantProblem(t, http.StatusNotFound, codeNoSuchPath)
}

// TestProofNeedsDigest holds that a number alone shows nothing, and that whoever guesses learns nothing from the answer.
func TestProofNeedsDigest(t *testing.T) {
	e := start(t, nil)
	d, err := e.as(t, "depositor").DepositFile(t.Context(), file("a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	good := contentSM3("b").String()
	for _, query := range []string{
		"", "?local=true", "?sm3=", "?sm3=" + good[1:], "?sm3=" + good + "0", "?sm3=" + strings.ToUpper(good), "?sm3=" + strings.Repeat("0", 64),
		"?sm3=" + good + "&sm3=" + good, "?sm3=" + good[1:] + "g",
	} {
		for _, number := range []string{d.Number, foreign} {
			p := e.do(t, "", get, "/v1/proofs/"+number+query, "").wantProblem(t, http.StatusBadRequest, codeQuery)
			if p.Field != "sm3" {
				t.Errorf("%q: the field is %q", query, p.Field)
			}
		}
	}
	wrong := e.do(t, "", get, proofPath(d.Number, "c"), "").wantProblem(t, http.StatusNotFound, notary.CodeNotFound)
	unknown := e.do(t, "", get, proofPath(foreign, "b"), "").wantProblem(t, http.StatusNotFound, notary.CodeNotFound)
	wrong.Instance, unknown.Instance = "", ""
	wrong.Detail, wrong.DetailZH, wrong.DetailEN = strings.ReplaceAll(wrong.Detail, d.Number, foreign),
		strings.ReplaceAll(wrong.DetailZH, d.Number, foreign), strings.ReplaceAll(wrong.DetailEN, d.Number, foreign)
	if diff := cmp.Diff(unknown, wrong); diff != "" {
		t.Errorf("a wrong digest is answered otherwise than an unknown number:\n%s", diff)
	}
	for _, number := range []string{d.Number, foreign} {
		_, err := e.client(t, client.Options{}).Proof(t.Context(), number, contentSM3("c"), new(bytes.Buffer))
		if p, ok := errors.AsType[*client.Problem](err); !ok || p.Code != notary.CodeNotFound {
			t.Errorf("%s: %v", number, err)
		}
	}
}

// TestRelayedProof holds that another office's proof is passed on as it is, with the node it came from, and that
// local=true asks nobody.
func TestRelayedProof(t *testing.T) {
	asked := 0
	e := start(t, func(o *Options) {
		o.Consortium = finder(func(_ context.Context, number string, sm3 evidence.Digest) (*consortium.Proof, error) {
			asked++
			if number != foreign || sm3 != contentSM3("b") {
				t.Errorf("asked for %s with %s", number, sm3)
			}
			return &consortium.Proof{Node: directory.Node{Origin: "log.bureau.example/xm"}, Bundle: []byte("a bundle")}, nil
		})
	})
	var bundle bytes.Buffer
	node, err := e.client(t, client.Options{}).Proof(t.Context(), foreign, contentSM3("b"), &bundle)
	if err != nil || node != "log.bureau.example/xm" || bundle.String() != "a bundle" {
		t.Errorf("%q from %q: %v", bundle.String(), node, err)
	}
	e.do(t, "", get, proofPath(foreign, "b")+"&local=true", "").wantProblem(t, http.StatusNotFound, notary.CodeNotFound)
	own, err := e.as(t, "depositor").DepositFile(t.Context(), file("a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	if a := e.do(t, "", get, proofPath(own.Number, "b"), "").want(t, http.StatusOK); a.Header.Get(nodeHeader) != "" {
		t.Errorf("its own proof comes from %q", a.Header.Get(nodeHeader))
	}
	if asked != 1 {
		t.Errorf("the consortium was asked %d times", asked)
	}
}

// TestRelayOnly holds that a node may find others' proofs without offering its own.
func TestRelayOnly(t *testing.T) {
	e := start(t, func(o *Options) {
		o.Proofs = nil
		o.Consortium = finder(func(context.Context, string, evidence.Digest) (*consortium.Proof, error) {
			return &consortium.Proof{Bundle: []byte("a bundle")}, nil
		})
	})
	e.do(t, "", get, proofPath(foreign, "b"), "").want(t, http.StatusOK)
	e.do(t, "", get, proofPath(foreign, "b")+"&local=true", "").wantProblem(t, http.StatusNotFound, notary.CodeNotFound)
}

func TestRelayedProofProblems(t *testing.T) {
	var failure error
	e := start(t, func(o *Options) {
		o.Consortium = finder(func(context.Context, string, evidence.Digest) (*consortium.Proof, error) { return nil, failure })
	})
	for code, status := range map[string]int{
		consortium.CodeOfficeUnknown: 404, notary.CodeNotFound: 404, consortium.CodeNodeAnswer: 502, consortium.CodeProofFalse: 502,
		consortium.CodeProofUndecided: 502, consortium.CodeNodeUnavailable: 503, consortium.CodeDirectoryUnavailable: 503,
	} {
		failure = &notary.Error{Code: code, ZH: "某机构。", EN: "An office.", Err: errors.New("10.1.2.3 refused")}
		a := e.do(t, "", get, proofPath(foreign, "b"), "")
		p := a.wantProblem(t, status, code)
		if p.DetailEN != "An office." || bytes.Contains(a.body, []byte("10.1.2.3")) {
			t.Errorf("%s says %s", code, a.body)
		}
		if (a.Header.Get("Retry-After") != "") != (status == http.StatusServiceUnavailable) {
			t.Errorf("%s: Retry-After is %q", code, a.Header.Get("Retry-After"))
		}
	}
	failure = context.DeadlineExceeded
	e.do(t, "", get, proofPath(foreign, "b"), "").wantProblem(t, http.StatusServiceUnavailable, codeAborted)
}

// TestProofPlaces holds that proofs that take long keep neither this node's own ones nor other callers waiting.
func TestProofPlaces(t *testing.T) {
	asked, goOn := make(chan struct{}, 8), make(chan struct{})
	e := start(t, func(o *Options) {
		o.Limits.Proofs = 2
		o.Consortium = finder(func(ctx context.Context, _ string, _ evidence.Digest) (*consortium.Proof, error) {
			asked <- struct{}{}
			select {
			case <-goOn:
			case <-ctx.Done():
			}
			return &consortium.Proof{Bundle: []byte("a bundle")}, nil
		})
	})
	d, err := e.as(t, "depositor").DepositFile(t.Context(), file("a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan *answer)
	go func() { first <- e.do(t, "", get, proofPath(foreign, "b"), "") }()
	<-asked
	p := e.do(t, "", get, proofPath(foreign, "b"), "")
	p.wantProblem(t, http.StatusTooManyRequests, codeTooMany)
	if p.Header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	e.do(t, "", get, proofPath(d.Number, "b"), "").want(t, http.StatusOK)
	other := e.request(t, get, proofPath(foreign, "b"), nil, "X-Forwarded-For", "192.0.2.7")
	second := make(chan *answer)
	go func() { second <- e.send(t, other) }()
	<-asked
	close(goOn)
	(<-first).want(t, http.StatusOK)
	(<-second).want(t, http.StatusOK)
}
