// Package fabric is the ledger that several organisations share: a channel of a Hyperledger Fabric network that runs the
// contract of package chaincode.
//
//	ledger, err := fabric.Open(ctx, fabric.Options{Profile: "connection.yaml", Config: pinned})
//
// # What is trusted
//
// Nobody alone. A transaction goes to the peers of all organisations at once, and is sent on when a majority of the
// channel's organisations came to the same result; a refusal counts when a majority refuses. All orderers get it, so
// that none can hold it back. After the commit the block is fetched and verified as a court will do it, by package
// blockproof against the pinned configuration of the channel; without that there is no proof.
//
// Queries and events have no such proof. They come from the peers of the identity's own organisation while one of them
// answers, and queries from another's only after that.
//
// # Once, and found again
//
// The contract takes the same call twice as a success, so that every call may be repeated: the driver does so within
// bounds after conflicts with other transactions and for first connections, and callers do so after [anchor.ErrUnavailable].
// It keeps nothing on disk. Where a head was anchored, as after a restart between the commit and the storing of its
// proof, the peers know: simulating the contract's function At reports the block and the transaction that last wrote
// the row of the head, which is written once and never again. So there is no index that could be lost or wrong, the
// search is one query however long the chain is, and what it finds is verified as any other proof.
//
// # The SDK
//
// The driver reads users' connection profiles, identities and TLS settings, and talks to peers and orderers, with
// fabric-sdk-go, which registers the older generation of Fabric's protobuf messages and keeps its logger and a default
// crypto suite per process. The logger is silenced. Nothing else of the module but cmd may link the SDK.
package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"cunzheng/chaincode"
	"cunzheng/crypto/sm2"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/blockproof"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
)

// Options say which ledger to use, and as whom. Profile is required.
type Options struct {
	// Profile is the path of a connection profile as users of fabric-sdk-go know it (YAML or JSON). Of the channel it
	// should list peers of at least a majority of the organisations, and several orderers.
	Profile string

	Channel      string // "cunzheng" if empty
	Chaincode    string // "cunzheng" if empty
	Organisation string // by its name in the profile; the profile's client.organization if empty
	User         string // "User1" if empty

	// Config is the config block of the channel that proofs are verified from, as the organisations agreed on it. If
	// nil, the channel's first block as a peer gives it is taken on trust, and the log says so.
	Config []byte

	// Timeout bounds each call but Events; one minute if zero.
	Timeout time.Duration

	Logger *slog.Logger // discards if nil
}

const defaultUser = "User1"

// Ledger is a channel of a Fabric network. It is safe for concurrent use.
type Ledger struct {
	o       Options
	client  *client
	commits *commits

	closing    context.Context // done once Close is called
	stop       context.CancelFunc
	background sync.WaitGroup // goroutines; only a call in progress starts one

	configs configs

	mu     sync.Mutex
	closed bool           // under mu
	calls  sync.WaitGroup // in progress; added to under mu
}

var _ anchor.Ledger = (*Ledger)(nil)

// Open reads the profile and the identity. The network need not be up: what cannot be reached is
// [anchor.ErrUnavailable] later.
func Open(_ context.Context, o Options) (*Ledger, error) {
	if o.Channel == "" {
		o.Channel = "cunzheng"
	}
	if o.Chaincode == "" {
		o.Chaincode = "cunzheng"
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Ledger{o: o}
	if o.Config != nil {
		pinned, err := parseConfig(o.Config, o.Channel)
		if err != nil {
			return nil, fmt.Errorf("fabric: pinned configuration: %w", err)
		}
		l.configs.pinned = pinned
	}
	var err error
	if l.client, err = open(o); err != nil {
		return nil, err
	}
	l.commits = newCommits(l.client, l.configs.changed)
	l.closing, l.stop = context.WithCancel(context.Background())
	return l, nil
}

// Close ends the calls in progress. A closed ledger is unavailable.
func (l *Ledger) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	if !first {
		return nil
	}
	l.stop()
	l.calls.Wait()
	l.background.Wait()
	return l.client.close()
}

// begin starts a call: its context ends with the ledger, and after the time limit if there is one.
func (l *Ledger) begin(ctx context.Context, timeout time.Duration) (_ context.Context, end func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil, unavailable(PhaseTransport, "", errClosed)
	}
	if err := context.Cause(ctx); err != nil {
		return nil, nil, unavailable(PhaseTransport, "", err)
	}
	l.calls.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.closing, func() { cancel(errClosed) })
	timed, cancelTimer := ctx, context.CancelFunc(func() {})
	if timeout > 0 {
		timed, cancelTimer = context.WithTimeout(ctx, timeout)
	}
	return timed, func() {
		cancelTimer()
		stop()
		cancel(nil)
		l.calls.Done()
	}, nil
}

// Describe implements [anchor.Ledger]. The operators are the channel's organisations, or those of the profile while no
// peer has been reached.
func (l *Ledger) Describe() anchor.Description {
	operators := l.client.organisations()
	if current := l.configs.known(); current != nil {
		operators = current.Organisations()
	}
	return anchor.Description{Kind: blockproof.KindFabric, Name: l.o.Channel, Operators: operators}
}

// Organisation returns the MSP ID under which the contract knows the caller.
func (l *Ledger) Organisation() string { return l.client.msp }

// Submit runs a function of the contract as a transaction and returns its identifier once it is committed; an empty one
// if the contract accepts the call but it would change nothing.
func (l *Ledger) Submit(ctx context.Context, function string, args ...[]byte) (transaction string, err error) {
	ctx, end, err := l.begin(ctx, l.o.Timeout)
	if err != nil {
		return "", err
	}
	defer end()
	done, err := l.submit(ctx, function, args...)
	if err != nil || !done.changed {
		return "", err
	}
	return done.transaction, nil
}

// Evaluate runs a function of the contract on one peer and returns its result. It changes nothing.
func (l *Ledger) Evaluate(ctx context.Context, function string, args ...[]byte) ([]byte, error) {
	ctx, end, err := l.begin(ctx, l.o.Timeout)
	if err != nil {
		return nil, err
	}
	defer end()
	a, err := l.evaluate(ctx, function, args...)
	if err != nil {
		return nil, err
	}
	return a.response.ProposalResponse.GetResponse().GetPayload(), nil
}

// evaluate asks the peers in turn, and again while none can be reached.
func (l *Ledger) evaluate(ctx context.Context, function string, args ...[]byte) (answer, error) {
	return retry(ctx, func() (answer, error) {
		return l.client.evaluate(ctx, l.client.evaluators(), l.o.Chaincode, function, args...)
	})
}

// retry repeats what finds nobody to answer. A block under a configuration that nothing pinned leads to does not get
// better.
func retry[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for n := 1; ; n++ {
		result, err := call()
		if !errors.Is(err, anchor.ErrUnavailable) || errors.Is(err, blockproof.ErrUnknownKey) || n == attempts || ctx.Err() != nil {
			return result, err
		}
		pause(ctx, n)
	}
}

// RegisterLog implements [anchor.Ledger].
func (l *Ledger) RegisterLog(ctx context.Context, origin string, key *sm2.PublicKey) error {
	_, err := l.Submit(ctx, chaincode.FuncRegisterLog, []byte(origin), key.SPKI())
	return err
}

// RotateLogKey implements [anchor.Ledger].
func (l *Ledger) RotateLogKey(ctx context.Context, origin string, key *sm2.PublicKey, signature []byte) error {
	_, err := l.Submit(ctx, chaincode.FuncRotateLogKey, []byte(origin), key.SPKI(), signature)
	return err
}

// Latest implements [anchor.Ledger].
func (l *Ledger) Latest(ctx context.Context, origin string) (checkpoint.Signed, error) {
	note, err := l.Evaluate(ctx, chaincode.FuncLatest, []byte(origin))
	if err != nil {
		return checkpoint.Signed{}, err
	}
	head, err := checkpoint.Parse(note)
	if err == nil && head.Origin != origin {
		err = fmt.Errorf("it belongs to %.80q", head.Origin)
	}
	if err != nil {
		return checkpoint.Signed{}, unavailable(PhaseTransport, "", fmt.Errorf("a peer's last head of %s: %w", origin, err))
	}
	return checkpoint.Signed{Checkpoint: head, Note: note}, nil
}

// Anchor implements [anchor.Ledger].
func (l *Ledger) Anchor(ctx context.Context, head checkpoint.Signed, consistency []tlog.Hash) ([]byte, error) {
	ctx, end, err := l.begin(ctx, l.o.Timeout)
	if err != nil {
		return nil, err
	}
	defer end()
	done, err := l.submit(ctx, chaincode.FuncAnchor, []byte(head.Origin), head.Note, chaincode.EncodeProof(consistency))
	if err != nil {
		return nil, err
	}
	if done.changed {
		at := place{block: done.block, transaction: done.transaction}
		return l.prove(ctx, at, head.Checkpoint)
	}
	// A majority has it; the peer that is asked where may be behind.
	return retry(ctx, func() ([]byte, error) {
		proof, err := l.proof(ctx, head.Origin, head.Size)
		if errors.Is(err, anchor.ErrNoAnchor) {
			return nil, unavailable(PhaseTransport, done.transaction, errors.New("the peer that was asked does not know the anchored head yet"))
		}
		return proof, err
	})
}

// Proof implements [anchor.Ledger].
func (l *Ledger) Proof(ctx context.Context, origin string, size uint64) ([]byte, error) {
	ctx, end, err := l.begin(ctx, l.o.Timeout)
	if err != nil {
		return nil, err
	}
	defer end()
	return l.proof(ctx, origin, size)
}

// ReportFork files two signed heads of one log that contradict each other. It implements [anchor.ForkReporter].
func (l *Ledger) ReportFork(ctx context.Context, origin string, noteA, noteB []byte) error {
	_, err := l.Submit(ctx, chaincode.FuncReportFork, []byte(origin), noteA, noteB)
	return err
}
