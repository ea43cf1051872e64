package notary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cunzheng/crypto/sm2"
	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/ledger"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
	"cunzheng/notary/vault"
)

// Log is what the service needs of the log; *ledger.Log is one.
type Log interface {
	Append(ctx context.Context, e ledger.Entry) (ledger.Appended, error)
	AppendAll(ctx context.Context, entries []ledger.Entry) ([]ledger.Appended, error)
	Entry(index uint64) ([]byte, error)
	Private(index uint64) ([]byte, error)
	LookupUnique(unique []byte) (index uint64, found bool, err error)
	Find(q ledger.Query) (hits []ledger.Hit, more bool, err error)
	Latest() checkpoint.Signed
	CheckpointFor(index uint64) (checkpoint.Signed, error)
	CheckpointAt(size uint64) (checkpoint.Signed, error)
	InclusionProof(index, size uint64) ([]tlog.Hash, error)
	Anchor(minSize uint64) (size uint64, proof []byte, err error)
}

// Deps are what a service is made of. The caller closes them, after the service.
type Deps struct {
	Log   Log
	Vault *vault.Vault
	Keys  *keystore.Store
	Dir   string // local folder for passwords and numbers; created if missing
	Config

	Clock      func() time.Time      // default: time.Now
	Elapsed    func() time.Duration  // since some moment, whatever happens to Clock; default: differences of Clock
	Logger     *slog.Logger          // default: discards
	Registerer prometheus.Registerer // default: counts, exports nothing
	Alarm      func(error)           // called for what must never happen; must not block; default: only logs
}

// Config are the settings of a service.
type Config struct {
	Origin       string                // name of the log
	Number       evidence.NumberFormat // of the office
	Office       string                // name of the office, for people, in trust files
	Organisation string                // identifier of the office, for the platform's own statements; default "platform"

	MaxFileSize int64        // of a deposited file, in bytes; default 10 GiB
	MaxUploads  int          // files taken at the same time; each needs up to 4 MiB, with S3 up to 40; default 32
	Password    PasswordCost // zero: the default

	// Ledgers describe, for trust files, the ledgers on which the log has been anchored. The keys of an embedded one come
	// from the keystore (role ledger).
	Ledgers []Ledger

	// AnchoredOn is the kind of ledger on which the log is anchored now, and AnchoredSince the greatest size that had been
	// anchored when that began. Bundles prefer its proofs to those of an earlier ledger.
	AnchoredOn    string
	AnchoredSince uint64
}

// Ledger describes a ledger for trust files.
type Ledger struct {
	Kind      string // evidence.LedgerEmbedded or evidence.LedgerFabric
	Name      string // of the chain or channel
	Operators []string
	Chaincode string   // Fabric: name of the contract
	Configs   [][]byte // Fabric: config blocks of the channel that are to be trusted
}

const (
	defaultMaxFileSize = 10 << 30
	defaultMaxUploads  = 32
	// auditShare: the second implementation re-checks one in so many receipts.
	auditShare = 64
	// upkeepEvery is how often the clock is looked at, and what a failed clean-up left is tried again; recoverPatience is
	// how long a start waits for the latter.
	upkeepEvery     = time.Minute
	recoverPatience = 15 * time.Second
)

// Service is the notary. It is safe for concurrent use.
type Service struct {
	log    Log
	vault  *vault.Vault
	keys   *keystore.Store
	dir    string
	config Config
	logger *slog.Logger
	alarm  func(error)

	clock    *clock
	numbers  *numbers
	accounts *accounts
	registry *registry
	receipts *receipts
	uploads  chan struct{} // one token for each file that is being taken
	metrics  *metrics

	stop    context.CancelFunc
	running sync.WaitGroup
}

// New starts a service: it replays the registry, settles what a crash left between vault and log, and writes the
// platform's own public keys into the log if they are not there yet.
func New(ctx context.Context, d Deps) (*Service, error) {
	s, err := build(d)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func build(d Deps) (*Service, error) {
	if err := d.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("notary: %w", err)
	}
	s := &Service{
		log: d.Log, vault: d.Vault, keys: d.Keys, dir: d.Dir, config: d.Config, logger: d.Logger,
		registry: newRegistry(),
		uploads:  make(chan struct{}, d.MaxUploads),
	}
	s.alarm = func(err error) {
		s.logger.Error("this must not happen", "error", err)
		d.Alarm(err)
	}
	var err error
	s.clock = newClock(d.Clock, d.Elapsed, d.Logger, s.alarm)
	if s.metrics, err = newMetrics(d.Registerer, s.clock.skew); err != nil {
		return nil, err
	}
	s.receipts = &receipts{keys: d.Keys, metrics: s.metrics, auditor: sm2.NewAuditor(auditShare, func(err error) {
		s.metrics.disagreements.Inc()
		s.alarm(err)
	})}
	if s.accounts, err = openAccounts(filepath.Join(d.Dir, accountsFile), d.Keys, d.Password); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// complete checks what is needed and fills in the defaults.
func (d *Deps) complete() error {
	if err := d.Number.Validate(); err != nil {
		return fmt.Errorf("notary: number format: %w", err)
	}
	if d.Origin == "" || d.Dir == "" || d.Log == nil || d.Vault == nil || d.Keys == nil {
		return errors.New("notary: origin, folder, log, vault and keys are needed")
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Alarm == nil {
		d.Alarm = func(error) {}
	}
	if d.Organisation == "" {
		d.Organisation = "platform"
	}
	if d.MaxFileSize <= 0 {
		d.MaxFileSize = defaultMaxFileSize
	}
	if d.MaxUploads <= 0 {
		d.MaxUploads = defaultMaxUploads
	}
	return nil
}

func (s *Service) start(ctx context.Context) error {
	if err := s.replayRegistry(); err != nil {
		return fmt.Errorf("notary: replaying the registry: %w", err)
	}
	if err := s.resumeClock(); err != nil {
		return fmt.Errorf("notary: reading the last entry: %w", err)
	}
	return s.startWork(ctx)
}

// startWork is what needs the state that start has read.
func (s *Service) startWork(ctx context.Context) error {
	var err error
	if s.numbers, err = s.openNumbers(); err != nil {
		return fmt.Errorf("notary: numbers: %w", err)
	}
	s.clock.atLeast(s.numbers.begins())
	s.clock.observe() // a leap is seen against this
	if err := s.recordOwnKeys(ctx); err != nil {
		return fmt.Errorf("notary: recording the platform's keys: %w", err)
	}
	if err := s.recoverAtStart(ctx); err != nil {
		// A store that is down delays, and loses nothing: the list is kept.
		s.logger.Warn("interrupted uploads are not settled yet", "error", err)
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.running.Go(func() { s.upkeep(ctx) })
	return nil
}

// Close finishes what is under way beside the requests. The caller has waited for those.
func (s *Service) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
	s.receipts.auditor.Close()
	s.metrics.unregister()
	if s.numbers != nil {
		return s.numbers.close()
	}
	return nil
}

func (s *Service) recoverAtStart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverPatience)
	defer cancel()
	return s.recoverUploads(ctx)
}

// recoverUploads settles the objects that a crash, or a clean-up that failed, left between vault and log. None of them is
// one whose fate the log left open in this process: what find does not see now may come to light at the next start.
func (s *Service) recoverUploads(ctx context.Context) error {
	return s.vault.Recover(ctx, func(number string) (bool, error) {
		_, err := s.find(number)
		if errors.Is(err, errNotFound) {
			return false, nil
		}
		return err == nil, err
	})
}

func (s *Service) upkeep(ctx context.Context) {
	ticker := time.NewTicker(upkeepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s.clock.observe()
		if len(s.vault.Pending()) == 0 {
			continue
		}
		if err := s.recoverUploads(ctx); err != nil && ctx.Err() == nil {
			s.logger.Warn("interrupted uploads are not settled yet", "error", err)
		}
	}
}

// IndexEntry derives the index rows and the idempotency digest of an entry: what ledger.Options.Index wants.
func IndexEntry(entry []byte) ([]ledger.Term, []byte, error) {
	statement, err := evidence.ParseStatement(entry)
	if err != nil {
		return nil, nil, err
	}
	return terms(statement), unique(statement), nil
}

func terms(statement *evidence.Statement) []ledger.Term {
	found := statement.Terms()
	rows := make([]ledger.Term, len(found))
	for i, t := range found {
		rows[i] = ledger.Term(t)
	}
	return rows
}

func unique(statement *evidence.Statement) []byte {
	if statement.Idempotency.IsZero() {
		return nil
	}
	return statement.Idempotency[:]
}
