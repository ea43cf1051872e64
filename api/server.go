package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"cunzheng/api/signin"
	"cunzheng/api/token"
	"cunzheng/evidence"
)

// Options are what a server is made of. Fields without a stated default are needed.
type Options struct {
	Evidence Evidence // deposits and look-ups
	Registry Registry // organisations, accounts, keys
	Log      Log      // the public log: checkpoint and tiles
	Tokens   Tokens   // the platform's own keys for access tokens

	Proofs     Proofs     // public proofs of this node's own evidence; default: none are given
	Consortium Consortium // public proofs of other nodes; default: none are looked for

	// ConsortiumTrust makes the trust file of all nodes of the consortium; default: there is none.
	ConsortiumTrust func(context.Context) (*evidence.Trust, error)

	// Issuer is the public base URL, such as "https://cz.example". It is iss and aud of access tokens.
	Issuer string
	// Audiences are further names of the platform that machines may address assertions to, such as the log's origin.
	Audiences []string
	// Lifetime of access tokens. Default 15 minutes.
	Lifetime time.Duration

	Limits Limits // zero: the defaults
	// Proxies are the networks of the proxies in front, whose X-Forwarded-For is believed. Default: loopback.
	Proxies []netip.Prefix
	TLS     *tls.Config // nil: plain HTTP, for loopback or behind a proxy that ends TLS

	// Ready reports what the service depends on, for /readyz. Default: nothing, always ready.
	Ready func(context.Context) []Check

	Version    string                // shown by /healthz; default "dev"
	Clock      func() time.Time      // default time.Now
	Logger     *slog.Logger          // default: none
	Registerer prometheus.Registerer // default: a registry of its own
	Gatherer   prometheus.Gatherer   // read by /metrics; default: none, and /metrics answers 404
}

// Server serves the HTTP interface. It is safe for concurrent use.
type Server struct {
	evidence Evidence
	registry Registry
	log      Log
	keys     Tokens

	issuer     *token.Issuer
	tokens     *token.Verifier
	assertions *token.AssertionVerifier
	signIns    *signin.Guard
	proxies    []netip.Prefix
	base       string

	version  string
	limits   Limits
	ready    func(context.Context) []Check
	clock    func() time.Time
	logger   *slog.Logger
	metrics  *metrics
	gatherer prometheus.Gatherer
	batches  *places // of batches under way
	uploads  *places // of files under way

	proofs     Proofs     // may be nil
	consortium Consortium // may be nil

	consortiumTrust func(context.Context) (*evidence.Trust, error) // may be nil
	ownProofs       *places                                        // of own public proofs under way
	relays          *places                                        // of others' public proofs under way

	stopping atomic.Bool
	underWay underWay
	cut      context.CancelFunc // ends the context of every request

	echo *echo.Echo
	http *http.Server
}

const (
	rememberedTokens     = 65_536
	rememberedAssertions = 262_144
	// assertionShare is what one account may have of them: for minutes to come, more than ten a second.
	assertionShare = 4096
)

// New checks o and builds the server. It opens nothing and starts nothing.
func New(o Options) (*Server, error) {
	if o.Evidence == nil || o.Registry == nil || o.Log == nil || o.Tokens == nil || o.Issuer == "" {
		return nil, errors.New("api: Evidence, Registry, Log, Tokens and Issuer are needed")
	}
	limits, err := o.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		evidence: o.Evidence, registry: o.Registry, log: o.Log, keys: o.Tokens, base: o.Issuer,
		version: cmp.Or(o.Version, "dev"), limits: limits, ready: o.Ready, clock: o.Clock, logger: o.Logger, gatherer: o.Gatherer, proxies: o.Proxies,
		batches: newPlaces(limits.Batches), uploads: newPlaces(limits.Uploads),
		proofs: o.Proofs, consortium: o.Consortium, consortiumTrust: o.ConsortiumTrust, ownProofs: newPlaces(limits.Proofs), relays: newPlaces(limits.Proofs),
	}
	if s.ready == nil {
		s.ready = func(context.Context) []Check { return nil }
	}
	if s.proxies == nil {
		s.proxies = loopback
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if s.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, fmt.Errorf("api: metrics: %w", err)
	}
	if err := s.openTokens(o); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if err := s.route(); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	base, cut := context.WithCancel(context.Background())
	s.cut = cut
	s.http = &http.Server{
		Handler: s.underWay.count(s.echo), TLSConfig: o.TLS, BaseContext: func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: min(10*time.Second, limits.Request), ReadTimeout: limits.Request, WriteTimeout: limits.Request,
		IdleTimeout: limits.Idle, MaxHeaderBytes: limits.Headers,
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug), // noise of broken clients
	}
	return s, nil
}

func (s *Server) openTokens(o Options) error {
	var err error
	if s.issuer, err = token.NewIssuer(o.Issuer, o.Issuer, o.Lifetime, o.Tokens.TokenSigner, s.clock); err != nil {
		return err
	}
	if s.tokens, err = token.NewVerifier(o.Issuer, o.Issuer, s.issuer.Lifetime(), s.tokenKey, s.clock, rememberedTokens); err != nil {
		return err
	}
	if s.signIns, err = signin.New(s.clock); err != nil {
		return err
	}
	audiences := append([]string{o.Issuer, o.Issuer + tokenPath}, o.Audiences...)
	s.assertions, err = token.NewAssertionVerifier(audiences, s.machineKey, s.clock, rememberedAssertions, assertionShare)
	return err
}

// route builds the router from the table.
func (s *Server) route() error {
	s.echo = echo.New()
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.answerError
	s.echo.Use(s.observe)
	for _, r := range routes {
		if !r.access.public && len(r.access.roles) == 0 {
			return fmt.Errorf("route %s %s says nothing about who may call it", r.method, r.path)
		}
		s.echo.Add(r.method, r.path, s.guard(r))
	}
	return nil
}

// Handler returns the interface as a handler, for tests and for mounting beside a portal.
func (s *Server) Handler() http.Handler { return s.echo }

// Run serves l until ctx ends or Shutdown is called; then it lets requests under way finish, for at most Limits.Drain,
// and cuts off what is left. It returns when no request is being handled any more, so that what they use can be closed;
// only one that does not heed being cut off for 10 seconds is left behind, with an error. What was acknowledged is durable
// before the acknowledgement is sent, so nothing acknowledged is lost in any way. Run closes l. It returns nil after an
// orderly stop.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.serve(l) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.Drain)
	defer cancel()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil // another has called Shutdown
	}
	return errors.Join(err, s.Shutdown(drain))
}

// serve returns as soon as the server begins to stop.
func (s *Server) serve(l net.Listener) error {
	if s.http.TLSConfig != nil {
		return s.http.ServeTLS(l, "", "")
	}
	return s.http.Serve(l)
}

// afterCut is how long a request that was cut off may take to end.
const afterCut = 10 * time.Second

// Shutdown stops accepting, waits for requests under way until ctx ends, then cuts off what is left, which it reports as
// an error, and waits for that to end too. It may be called beside Run and more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopping.Store(true)
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("requests were cut off: %w", errors.Join(err, s.http.Close()))
		s.cut()
	}
	return errors.Join(err, s.underWay.wait(afterCut))
}
