package consortium

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cunzheng/crypto/sm2"
	"cunzheng/evidence"
	"cunzheng/ledger/anchor/directory"
)

// Register is what publishing needs of the consortium's directory; *directory.Directory is one.
type Register interface {
	Node(ctx context.Context, origin string) (directory.Node, error)
	PublishNode(ctx context.Context, n directory.Node) error
	Keys(ctx context.Context, log string) ([]directory.Key, error)
	RegisterKey(ctx context.Context, k directory.Key, signer crypto.Signer) error
	RevokeKey(ctx context.Context, key *sm2.PublicKey, r directory.Revocation) error
}

// PublisherOptions are what a [Publisher] is made of. Fields without a stated default are needed.
type PublisherOptions struct {
	Directory Register
	Node      directory.Node // this node: origin of its log, office code, public URL, name; the organisation is ignored
	Holder    string         // identifier of the office in the records of its keys, such as "xm-notary"

	// Trust returns the trust file of this node alone: its keys, with their times and revocations.
	Trust func() (*evidence.Trust, error)

	// Signer returns the current key of a role, which proves its possession.
	Signer func(evidence.Role) (crypto.Signer, error)

	Interval time.Duration // between looks at the directory while nothing changes; default 10 min
	Timeout  time.Duration // of one attempt; default 2 min
	MinWait  time.Duration // after a failure; doubles with each one more; default 1 s
	MaxWait  time.Duration // default 5 min

	Logger     *slog.Logger          // default: discards
	Registerer prometheus.Registerer // default: no metrics
}

// Publisher keeps a node's own entries in the directory in step with the node: its address and its public keys. A key is
// published while it is in use, since its private half proves its possession and is destroyed at the rotation. A key that
// was retired before it could be published stays unknown to the directory; the next one says until when it counted.
//
// It reads before it writes: a directory that is in step sees no transaction.
type Publisher struct {
	o      PublisherOptions
	wake   chan struct{}
	missed map[evidence.Digest]bool // used by Run and Publish one at a time; retired keys that were said to be unknown
	synced prometheus.Gauge

	turn sync.Mutex // held during an attempt

	mu  sync.Mutex
	err error // under mu; of the last attempt
}

var errNotYet = errors.New("consortium: not published yet")

// NewPublisher checks o. It asks nobody.
func NewPublisher(o PublisherOptions) (*Publisher, error) {
	if o.Directory == nil || o.Trust == nil || o.Signer == nil || o.Holder == "" || o.Node.Origin == "" || o.Node.URL == "" {
		return nil, errors.New("consortium: directory, node, holder, trust and signer are needed")
	}
	o.Node.Organisation = ""
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&o.Interval, 10 * time.Minute}, {&o.Timeout, 2 * time.Minute}, {&o.MinWait, time.Second}, {&o.MaxWait, 5 * time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Publisher{
		o: o, wake: make(chan struct{}, 1), missed: make(map[evidence.Digest]bool), err: errNotYet,
		synced: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "cunzheng", Subsystem: "consortium", Name: "published",
			Help: "1 if the last attempt to publish this node and its keys in the consortium's directory succeeded.",
		}),
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(p.synced); err != nil {
			return nil, fmt.Errorf("consortium: registering metrics: %w", err)
		}
	}
	return p, nil
}

// Wake makes Run look at once, as after a rotation or a revocation.
func (p *Publisher) Wake() {
	select {
	case p.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Err returns why this node is not published as it should be, or nil.
func (p *Publisher) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Run publishes until ctx ends: at once, after failures again with growing pauses, and from then on whenever something
// has changed.
func (p *Publisher) Run(ctx context.Context) {
	wait := p.o.MinWait
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, p.o.Timeout)
		err := p.Publish(attempt)
		cancel()
		pause := p.o.Interval
		if err != nil {
			if ctx.Err() == nil {
				p.o.Logger.Warn("this node is not published in the consortium's directory; it will be tried again", "error", err)
			}
			pause = wait/2 + rand.N(wait/2+1)
			wait = min(2*wait, p.o.MaxWait)
		} else {
			wait = p.o.MinWait
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Publish makes one attempt. Doing it again changes nothing.
func (p *Publisher) Publish(ctx context.Context) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	err := p.publish(ctx)
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	if err != nil {
		p.synced.Set(0)
		return err
	}
	p.synced.Set(1)
	return nil
}

func (p *Publisher) publish(ctx context.Context) error {
	if err := p.publishNode(ctx); err != nil {
		return err
	}
	trust, err := p.o.Trust()
	if err != nil {
		return fmt.Errorf("consortium: own keys: %w", err)
	}
	log := trust.Log(p.o.Node.Origin)
	if log == nil {
		return fmt.Errorf("consortium: own keys: no log %s", p.o.Node.Origin)
	}
	held, err := p.o.Directory.Keys(ctx, p.o.Node.Origin)
	if err != nil {
		return err
	}
	known := make(map[evidence.Digest]*directory.Key, len(held))
	for i, k := range held {
		known[k.Key.Fingerprint()] = &held[i]
	}
	var errs []error // one key that cannot be published does not keep the others back
	for _, k := range log.Keys {
		errs = append(errs, p.publishKey(ctx, k, known[k.ID]))
	}
	return errors.Join(errs...)
}

func (p *Publisher) publishNode(ctx context.Context) error {
	held, err := p.o.Directory.Node(ctx, p.o.Node.Origin)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return err
	}
	held.Organisation = ""
	if err == nil && held == p.o.Node {
		return nil
	}
	if err := p.o.Directory.PublishNode(ctx, p.o.Node); err != nil {
		return err
	}
	p.o.Logger.Info("this node is published in the consortium's directory", "office", p.o.Node.Office, "url", p.o.Node.URL)
	return nil
}

// publishKey brings one key into the directory; held is what it says about the key, or nil.
func (p *Publisher) publishKey(ctx context.Context, k evidence.TrustKey, held *directory.Key) error {
	key, err := sm2.ParsePublicKey(k.SPKI)
	if err != nil {
		return fmt.Errorf("consortium: own key %s: %w", k.ID, err)
	}
	if held == nil && k.Until != 0 {
		if !p.missed[k.ID] {
			p.missed[k.ID] = true
			p.o.Logger.Warn("a key was retired before it was published; the consortium's directory cannot learn of it any more, and what it signed verifies with this node's own trust file only",
				"role", k.Role, "key", k.ID)
		}
		return nil
	}
	if held == nil {
		signer, err := p.o.Signer(k.Role)
		if err != nil {
			return fmt.Errorf("consortium: own key %s: %w", k.ID, err)
		}
		entry := directory.Key{Key: key, Log: p.o.Node.Origin, Role: string(k.Role), Holder: p.o.Holder, From: k.From.Time()}
		if err := p.o.Directory.RegisterKey(ctx, entry, signer); err != nil {
			return err
		}
		p.o.Logger.Info("a key is published in the consortium's directory", "role", k.Role, "key", k.ID)
	} else if held.Role != string(k.Role) || !held.From.Equal(k.From.Time()) {
		return fmt.Errorf("consortium: the directory has the key %s as %s from %s, and here it is %s from %s",
			k.ID, held.Role, evidence.InstantOf(held.From), k.Role, k.From)
	}
	if k.Revoked == nil || held != nil && held.Revoked != nil {
		return nil
	}
	revocation := directory.Revocation{At: k.Revoked.At.Time(), Reason: string(k.Revoked.Reason)}
	if err := p.o.Directory.RevokeKey(ctx, key, revocation); err != nil {
		return err
	}
	p.o.Logger.Info("a revocation is published in the consortium's directory", "role", k.Role, "key", k.ID)
	return nil
}
