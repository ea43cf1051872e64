package consortium

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cunzheng/evidence"
	"cunzheng/ledger/anchor/directory"
	"cunzheng/notary"
)

// Directory is what finding needs of the consortium's directory; *directory.Directory is one.
type Directory interface {
	Nodes(ctx context.Context, office string) ([]directory.Node, error)
	Keys(ctx context.Context, log string) ([]directory.Key, error)
}

// Options of a [Consortium]. Directory, Node and Ledgers are needed.
type Options struct {
	Directory Directory
	Node      directory.Node // this node, as it is published; it is never asked

	// Ledgers returns the ledgers to trust, with the keys or config blocks that are pinned. It must be cheap.
	Ledgers func(context.Context) ([]evidence.TrustLedger, error)

	Timeout time.Duration // for fetching one proof; default 15 s
	Fresh   time.Duration // how long what the directory said counts without asking again; default 1 min
	TLS     *tls.Config   // nil: the system's roots

	Clock      func() time.Time      // default: time.Now
	Logger     *slog.Logger          // default: discards
	Registerer prometheus.Registerer // default: no metrics
	Alarm      func(error)           // called with a *[FalseProof], not more than once a minute for a node; must not block; default: only logs
}

const (
	defaultTimeout   = 15 * time.Second
	defaultFresh     = time.Minute
	directoryTimeout = 15 * time.Second
	// refreshAfter is the age from which on an answer of the directory is asked again if something does not fit: a node
	// that has just joined, or a key that has just been taken into use.
	refreshAfter = 5 * time.Second
	keptLogs     = 256
	// maxCandidates bounds the nodes that are asked for one proof: those of one office.
	maxCandidates = 8
	alarmEvery    = time.Minute
)

// Consortium finds the public proofs of other nodes. It is safe for concurrent use.
type Consortium struct {
	o       Options
	http    *http.Client
	plain   bool // loopback addresses may be asked over plain HTTP
	nodes   *cache[[]directory.Node]
	keys    *cache[[]directory.Key] // by log
	results *prometheus.CounterVec

	mu      sync.Mutex
	alarmed map[string]time.Time // under mu; by log, the last alarm
}

// New checks o. It asks nobody.
func New(o Options) (*Consortium, error) {
	if o.Directory == nil || o.Ledgers == nil || o.Node.Origin == "" {
		return nil, errors.New("consortium: directory, node and ledgers are needed")
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Fresh <= 0 {
		o.Fresh = defaultFresh
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Alarm == nil {
		o.Alarm = func(error) {}
	}
	c := &Consortium{
		o: o, http: newHTTPClient(o.TLS), plain: isLoopback(o.Node.URL), alarmed: make(map[string]time.Time),
		nodes: newCache(1, directoryTimeout, o.Clock, func(ctx context.Context, _ string) ([]directory.Node, error) {
			return o.Directory.Nodes(ctx, "")
		}),
		keys: newCache(keptLogs, directoryTimeout, o.Clock, o.Directory.Keys),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "cunzheng", Subsystem: "consortium", Name: "proofs_total",
			Help: "Proofs asked of other nodes, by result (ok, or the code of the error). PROOF_FALSE must stay 0.",
		}, []string{"result"}),
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(c.results); err != nil {
			return nil, fmt.Errorf("consortium: registering metrics: %w", err)
		}
	}
	return c, nil
}

// Close drops idle connections.
func (c *Consortium) Close() { c.http.CloseIdleConnections() }

// Proof is a public proof that another node served and that passed.
type Proof struct {
	Node   directory.Node
	Bundle []byte
	Report *evidence.Report // PASSED
}

// Find returns the public proof with this number of content with this SM3, fetched from the node whose office it names
// and verified. The error is a *[notary.Error], or that of ctx.
func (c *Consortium) Find(ctx context.Context, number string, sm3 evidence.Digest) (*Proof, error) {
	proof, err := c.find(ctx, number, sm3)
	result := "ok"
	if e, ok := errors.AsType[*notary.Error](err); ok {
		result = e.Code
	} else if err != nil {
		result = "canceled"
	}
	c.results.WithLabelValues(result).Inc()
	return proof, err
}

func (c *Consortium) find(ctx context.Context, number string, sm3 evidence.Digest) (*Proof, error) {
	n, err := evidence.ParseNumber(number)
	if err != nil {
		return nil, numberInvalid(err)
	}
	candidates, err := c.candidates(ctx, OfficeCode(n.NumberFormat))
	if err != nil {
		return nil, err
	}
	var failure error // of the first node that did not just say that it has no such proof
	for _, node := range candidates {
		// Each gets its share of the time, so that one that is slow does not spend that of the others.
		proof, err := c.ask(ctx, node, number, sm3, c.o.Timeout/time.Duration(len(candidates)))
		switch {
		case err == nil:
			return proof, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		if e, ok := errors.AsType[*notary.Error](err); failure == nil && !(ok && e.Code == notary.CodeNotFound) {
			failure = err
		}
	}
	if failure == nil {
		failure = notFound(number)
	}
	return nil, failure
}

// candidates returns the nodes of an office but this one.
func (c *Consortium) candidates(ctx context.Context, office string) ([]directory.Node, error) {
	maxAge := c.o.Fresh
	for {
		nodes, read, err := c.nodes.get(ctx, "", maxAge)
		if err != nil {
			return nil, c.directoryError(ctx, err)
		}
		var found []directory.Node
		for _, n := range nodes {
			if n.Office == office && n.Origin != c.o.Node.Origin {
				found = append(found, n)
			}
		}
		switch {
		case len(found) > maxCandidates:
			return nil, nodeUnavailable(found[0], fmt.Errorf("office %s has %d nodes, more than %d", office, len(found), maxCandidates))
		case len(found) > 0 || office == c.o.Node.Office:
			return found, nil
		case c.o.Clock().Sub(read) < refreshAfter:
			return nil, officeUnknown(office)
		}
		maxAge = refreshAfter // it may have joined since
	}
}

func (c *Consortium) directoryError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.o.Logger.Warn("the consortium's directory cannot be read", "error", err)
	return directoryUnavailable(err)
}

// ask fetches a proof from one node and verifies it.
func (c *Consortium) ask(ctx context.Context, n directory.Node, number string, sm3 evidence.Digest, timeout time.Duration) (*Proof, error) {
	fetching, cancel := context.WithTimeout(ctx, timeout)
	bundle, err := c.fetch(fetching, n, number, sm3)
	cancel()
	if err != nil {
		return nil, err
	}
	report, err := c.verify(ctx, n, bundle)
	if err != nil {
		return nil, err
	}
	other := report.Subject != nil && (report.Number != number || report.Subject.Log != n.Origin || contentOf(report) != sm3)
	switch {
	case report.Verdict == evidence.Failed || other:
		f := &FalseProof{Node: n, Number: number, SM3: sm3, Report: report}
		c.alarm(f)
		return nil, proofFalse(f)
	case report.Verdict != evidence.Passed:
		return nil, proofUndecided(n, report)
	}
	return &Proof{Node: n, Bundle: bundle, Report: report}, nil
}

// contentOf is the digest of the content that a proof speaks of; zero if it speaks of none.
func contentOf(r *evidence.Report) evidence.Digest {
	if r.Subject.Statement.Content == nil {
		return evidence.Digest{}
	}
	return r.Subject.Statement.Content.SM3
}

// verify judges a bundle with the keys of one log: another log's signatures count for nothing here. If the bundle does
// not pass, the keys are asked again unless they are quite new: the node may have taken another into use.
func (c *Consortium) verify(ctx context.Context, n directory.Node, bundle []byte) (*evidence.Report, error) {
	maxAge := c.o.Fresh
	for {
		keys, read, err := c.keys.get(ctx, n.Origin, maxAge)
		if err != nil {
			return nil, c.directoryError(ctx, err)
		}
		trust, err := c.emptyTrust(ctx)
		if err != nil {
			return nil, directoryUnavailable(err)
		}
		log := trustLog(n, keys)
		if err := usable(log, trust.Created); err == nil {
			trust.Logs = append(trust.Logs, log)
		} else {
			c.o.Logger.Warn("the keys of a log cannot be used", "log", n.Origin, "error", err)
		}
		report, err := evidence.Verify(evidence.Input{
			Bundle: bytes.NewReader(bundle), Size: int64(len(bundle)), Trust: trust, At: c.o.Clock(),
		})
		if err != nil {
			return nil, directoryUnavailable(fmt.Errorf("trust of %s: %w", n.Origin, err))
		}
		if report.Verdict == evidence.Passed || c.o.Clock().Sub(read) < refreshAfter {
			return report, nil
		}
		maxAge = refreshAfter
	}
}

// alarm says once in a while that a node serves what is false. Anybody can make this node ask, as often as they like.
func (c *Consortium) alarm(f *FalseProof) {
	c.mu.Lock()
	last, before := c.alarmed[f.Node.Origin]
	now := c.o.Clock()
	due := !before || now.Sub(last) >= alarmEvery
	if due {
		c.alarmed[f.Node.Origin] = now // bounded: one for each log of the directory
	}
	c.mu.Unlock()
	if due {
		c.o.Logger.Error("a node of the consortium serves a false proof", "error", f)
		c.o.Alarm(f)
	}
}
