package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"cunzheng/api"
	"cunzheng/api/token"
	"cunzheng/crypto/sm2"
	"cunzheng/crypto/sm3"
	"cunzheng/crypto/sm4"
	"cunzheng/keystore"
	"cunzheng/ledger"
	"cunzheng/ledger/anchor"
	"cunzheng/ledger/blockproof"
	"cunzheng/ledger/checkpoint"
	"cunzheng/ledger/tlog"
	"cunzheng/notary"
	"cunzheng/notary/vault"
)

// What lies in a node's folder, beside its configuration.
const (
	keystoreDir  = "keystore"
	logDir       = "log"
	chainDir     = "chain" // the embedded ledger
	originalsDir = "originals"
	notaryDir    = "notary"
	intentsDir   = "intents"
)

// node is one running instance: every part opened and joined, in the order of the path a deposit takes.
type node struct {
	dir    string
	config Config
	logger *slog.Logger

	metrics   *prometheus.Registry
	keys      *keystore.Store
	log       *ledger.Log
	ledger    anchor.Ledger
	channel   *blockproof.FabricConfig // of the Fabric channel, as pinned; nil on the embedded ledger
	era       era
	follower  *anchor.Follower // nil on the embedded ledger
	vault     *vault.Vault
	originals *storeHealth
	notary    *notary.Service
	worker    *anchor.Worker
	tls       *tls.Config // nil: plain HTTP
}

// openNode opens the node in dir and checks that its log continues what the ledger has anchored. The settings of the
// command line change its configuration.
func openNode(ctx context.Context, dir string, logger *slog.Logger, settings ...func(*Config) error) (_ *node, err error) {
	if err := selfTest(); err != nil {
		return nil, err
	}
	config, err := loadConfig(dir)
	if err != nil {
		return nil, err
	}
	for _, change := range settings {
		if err := change(&config); err != nil {
			return nil, usageError{err}
		}
	}
	keys, err := openKeystore(dir, config)
	if err != nil {
		return nil, err
	}
	n := &node{dir: dir, config: config, logger: logger, keys: keys, metrics: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	n.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := n.openLog(); err != nil {
		return nil, err
	}
	if err := n.checkIdentity(); err != nil {
		return nil, err
	}
	if err := n.openLedger(ctx); err != nil {
		return nil, err
	}
	if err := n.openNotary(ctx); err != nil {
		return nil, err
	}
	if err := n.follow(); err != nil {
		return nil, err
	}
	n.worker, err = anchor.NewWorker(anchor.Options{
		Log: eraLog{n.log, n.era.Kind}, Ledger: n.ledger, Keys: logKeys(keys),
		Interval: time.Duration(config.Anchor.Interval), Threshold: config.Anchor.Threshold,
		Alarm: n.contradicted, Logger: logger, Registerer: n.metrics,
	})
	return n, err
}

// selfTest runs the official vectors of SM2, SM3 and SM4; a machine that fails them must not sign anything.
func selfTest() error {
	if err := errors.Join(sm3.SelfTest(), sm2.SelfTest(), sm4.SelfTest()); err != nil {
		return withHint(fmt.Errorf("cryptographic self-test failed: %w", err), "do not use this machine or this build; report it with the CPU model")
	}
	return nil
}

func openKeystore(dir string, config Config) (*keystore.Store, error) {
	unlock, err := config.unlock(dir)
	if err != nil {
		return nil, err
	}
	keys, err := keystore.Open(filepath.Join(dir, keystoreDir), unlock)
	if errors.Is(err, keystore.ErrWrongPassphrase) {
		return nil, withHint(err, "set "+passphraseEnv+", or look at [unlock] in "+filepath.Join(dir, configFile))
	}
	return keys, err
}

// logOptions are what the log needs to be opened or checked.
func logOptions(config Config, keys *keystore.Store) (ledger.Options, error) {
	signer, err := keys.Signer(keystore.RoleLog)
	if err != nil {
		return ledger.Options{}, err
	}
	o := ledger.Options{Origin: config.Origin, Signer: signer, Index: notary.IndexEntry}
	for _, k := range keys.Keys(keystore.RoleLog) {
		verifier, err := checkpoint.NewVerifier(config.Origin, k.Key)
		if err != nil {
			return ledger.Options{}, err
		}
		o.Verifiers = append(o.Verifiers, note.Verifier(verifier))
	}
	return o, nil
}

func (n *node) openLog() error {
	o, err := logOptions(n.config, n.keys)
	if err != nil {
		return err
	}
	o.Logger, o.Registerer, o.Alarm = n.logger, n.metrics, n.alarm
	n.log, err = ledger.Open(filepath.Join(n.dir, logDir), o)
	if errors.Is(err, ledger.ErrCorrupt) {
		return withHint(err, "run: cunzheng fsck --data "+n.dir)
	}
	return explainOrigin(n.dir, err)
}

// logKeys is the history of the log's key, as the ledger learns it.
func logKeys(keys *keystore.Store) []anchor.LogKey {
	var history []anchor.LogKey
	for _, k := range keys.Keys(keystore.RoleLog) {
		history = append(history, anchor.LogKey{Key: k.Key, Handover: k.Handover})
	}
	return history
}

func (n *node) openNotary(ctx context.Context) error {
	var err error
	n.vault, err = vault.Open(ctx, n.config.vaultURL(n.dir), filepath.Join(n.dir, intentsDir), n.keys, vault.Options{})
	if err != nil {
		return err
	}
	n.originals = &storeHealth{vault: n.vault, logger: n.logger}
	n.notary, err = notary.New(ctx, notary.Deps{
		Log: n.log, Vault: n.vault, Keys: n.keys, Dir: filepath.Join(n.dir, notaryDir),
		Config: notary.Config{
			Origin: n.config.Origin, Number: n.config.numberFormat(), Office: n.config.Organisation.Name,
			Organisation: n.config.Organisation.ID, MaxFileSize: n.config.Upload.MaxFileBytes,
			Ledgers: n.trustLedgers(), AnchoredOn: n.era.Kind, AnchoredSince: n.era.Since,
		},
		Logger: n.logger, Registerer: n.metrics, Alarm: n.alarm,
	})
	return err
}

// alarm is what must never happen. It is the error log's highest line; a page or a pager watches for "alarm".
func (n *node) alarm(err error) { n.logger.Error("alarm", "error", err) }

// Run serves until ctx ends, then finishes what is under way and anchors what is left.
func (n *node) Run(ctx context.Context, l net.Listener, publicURL string) error {
	member, err := n.join(publicURL)
	if err != nil {
		return err
	}
	o := api.Options{
		Evidence: n.notary, Registry: n.notary, Log: publicLog{n.log}, Tokens: tokenKeys{n.keys, n.notary}, Proofs: n.notary,
		Issuer: publicURL, Audiences: []string{n.config.Origin}, Lifetime: time.Duration(n.config.Tokens.Lifetime),
		Limits: api.Limits{FileBody: n.config.Upload.MaxFileBytes},
		Ready:  n.ready, Version: version,
		Logger: n.logger, Registerer: n.metrics, Gatherer: n.metrics, TLS: n.tls,
	}
	if member != nil {
		o.Consortium, o.ConsortiumTrust = member, member.Trust
	}
	server, err := api.New(o)
	if err != nil {
		return err
	}
	group, running := errgroup.WithContext(ctx)
	workers, stopWorkers := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer stopWorkers() // the worker outlives the last request, so that its entry can still be anchored
		return server.Run(running, l)
	})
	group.Go(func() error { return n.anchorUntil(workers) })
	if n.follower != nil {
		group.Go(func() error { n.follower.Run(workers); return nil })
	}
	if member != nil {
		group.Go(func() error { member.run(workers); return nil })
	}
	return group.Wait()
}

// anchorUntil runs the worker until ctx ends and then anchors what came last. A ledger that contradicts the log has
// raised its alarm; intake goes on, since nothing that is acknowledged depends on the ledger, and readiness says why
// nothing is anchored.
func (n *node) anchorUntil(ctx context.Context) error {
	if err := n.worker.Run(ctx); err != nil {
		n.logger.Error("anchoring has stopped", "error", err)
		return nil
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := n.worker.Flush(last); err != nil {
		n.logger.Warn("the last entries are not anchored yet; the next start does it", "error", err)
	}
	return nil
}

// ready says what the node depends on. Only the log decides whether it is ready, which a nearly full disk stops as well: a
// store or a ledger that is down delays originals or anchors and must not take a node that accepts evidence out of
// service. Anybody may ask, so the answer gives no details; they are in the log.
func (n *node) ready(ctx context.Context) []api.Check {
	checks := []api.Check{logCheck(n.log.Ready())}
	checks = append(checks, check("originals", n.originals.ok(ctx), false,
		"原件存储可用", "the store of originals answers", "原件存储不可用：暂只能存摘要", "the store of originals does not answer: only digests can be deposited"))
	status := n.worker.Status()
	anchoring := status.LastError == nil && status.Halted == nil
	return append(checks, check("ledger", anchoring, false, "链可用", "the ledger answers", "上链延迟", "anchoring is delayed"))
}

// logCheck says whether the log takes entries, by what [ledger.Log.Ready] says.
func logCheck(err error) api.Check {
	zh, en := "日志已停止写入", "the log has halted"
	if errors.Is(err, ledger.ErrFull) {
		zh, en = "磁盘空间不足，暂停存证；腾出空间后自动恢复", "the disk is nearly full: nothing is taken until there is room, and then at once"
	}
	return check("log", err == nil, true, "日志可写入", "the log takes entries", zh, en)
}

func check(name string, ok, required bool, zhOK, enOK, zhBad, enBad string) api.Check {
	c := api.Check{Name: name, OK: ok, Required: required, ZH: zhOK, EN: enOK}
	if !ok {
		c.ZH, c.EN = zhBad, enBad
	}
	return c
}

// storeHealth asks the store of originals how it is, but not more often than every few seconds however often it is
// asked itself.
type storeHealth struct {
	vault  *vault.Vault
	logger *slog.Logger

	mu      sync.Mutex
	checked time.Time // guarded by mu
	last    bool      // guarded by mu
}

func (h *storeHealth) ok(ctx context.Context) bool {
	const fresh, patience = 5 * time.Second, 2 * time.Second
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.checked) < fresh {
		return h.last
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := h.vault.Check(ctx)
	if err != nil {
		h.logger.Warn("the store of originals does not answer", "error", err)
	}
	h.checked, h.last = time.Now(), err == nil
	return h.last
}

// Close closes every part that is open, the last opened first.
func (n *node) Close() error {
	var errs []error
	if n.notary != nil {
		errs = append(errs, n.notary.Close())
	}
	if n.vault != nil {
		errs = append(errs, n.vault.Close())
	}
	if n.ledger != nil {
		errs = append(errs, n.ledger.Close())
	}
	if n.log != nil {
		errs = append(errs, n.log.Close())
	}
	return errors.Join(errs...)
}

// publicLog is the log as the whole world may read it.
type publicLog struct{ log *ledger.Log }

func (p publicLog) Checkpoint() ([]byte, error) { return p.log.Latest().Note, nil }

func (p publicLog) Tile(path string) ([]byte, error) {
	tile, err := tlog.ParseTilePath(path)
	if err != nil {
		return nil, errors.Join(api.ErrNotFound, err)
	}
	return p.found(p.log.Tile(tile))
}

func (p publicLog) EntryBundle(path string) ([]byte, error) {
	bundle, err := tlog.ParseEntryBundlePath(path)
	if err != nil {
		return nil, errors.Join(api.ErrNotFound, err)
	}
	return p.found(p.log.EntryBundle(bundle))
}

func (p publicLog) found(data []byte, err error) ([]byte, error) {
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, errors.Join(api.ErrNotFound, err)
	}
	return data, err
}

// tokenKeys hands the platform's token keys to the server. A token's signature leaves only after both SM2
// implementations have accepted it.
type tokenKeys struct {
	keys   *keystore.Store
	notary *notary.Service
}

func (t tokenKeys) TokenSigner() (token.Signer, error) {
	signer, err := t.keys.Signer(keystore.RoleToken)
	if err != nil {
		return nil, err
	}
	return verifiedSigner{sm2.Verified(signer), signer.KeyID()}, nil
}

// verifiedSigner is a key with the id under which it is published.
type verifiedSigner struct {
	crypto.Signer
	id string
}

func (v verifiedSigner) KeyID() string { return v.id }

// TokenKeys returns the keys whose tokens are taken.
func (t tokenKeys) TokenKeys() []token.PublicKey { return t.at(time.Now()) }

// at leaves out the keys that were revoked, and those that were replaced so long ago that none of their tokens can be
// good any more.
func (t tokenKeys) at(now time.Time) []token.PublicKey {
	var keys []token.PublicKey
	for _, k := range t.keys.Keys(keystore.RoleToken) {
		expired := !k.Retired.IsZero() && now.Sub(k.Retired) > maxTokenLifetime
		if !expired && t.notary.PlatformRevocation(k.Key.Fingerprint()) == nil {
			keys = append(keys, token.PublicKey{ID: k.ID, Key: k.Key})
		}
	}
	return keys
}
