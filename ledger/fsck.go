package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"cunzheng/ledger/checkpoint"
)

// A Difference is something that Fsck found.
type Difference struct {
	Kind   string // "missing", "extra", "wrong" or "unreadable", a space, and the row: "entry", "tile", "checkpoint", "term", "unique", "private", "anchor" or "row"
	Key    string // which one
	Detail string
}

func (d Difference) String() string { return d.Kind + " " + d.Key + ": " + d.Detail }

// Fsck recomputes everything that the log stores beside its entries and compares:
// every leaf and tile, the root and the signature of every checkpoint (of the
// latest with both SM2 implementations), and every index row in both directions.
// It calls report for each difference, never two at a time, and returns an error
// only if it could not finish. It needs constant memory, and space for temporary
// files beside a large log.
//
// The log stays in use; entries that come meanwhile are not looked at.
func (l *Log) Fsck(ctx context.Context, report func(Difference)) error {
	release, err := l.use()
	if err != nil {
		return err
	}
	defer release()
	done, err := l.maintain(ctx)
	if err != nil {
		return err
	}
	defer done()
	snapshot := l.store.db.NewSnapshot()
	err = fsck(ctx, snapshot, l.dir, l.options, l.keys, report)
	return errors.Join(err, snapshot.Close())
}

// Fsck is [Log.Fsck] for a log that is not open, and that Open may refuse. It
// needs no signer if o.Verifiers has all keys of the log.
func Fsck(ctx context.Context, dir string, o Options, report func(Difference)) (err error) {
	o = o.withDefaults()
	_, keys, err := o.keys()
	if err != nil {
		return err
	}
	events := storeEvents{log: o.Logger, background: func(error) {}, corruption: func(error) {}}
	s, err := openStore(dir, o, events, toRead)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return fsck(ctx, s.db, dir, o, keys, report)
}

func fsck(ctx context.Context, r reader, dir string, o Options, keys []*checkpoint.Verifier, report func(Difference)) error {
	c := &checker{ctx: ctx, r: r, dir: dir, o: o, keys: keys, reportTo: report}
	for _, step := range []func() error{func() error { return checkMeta(r, o.Origin) }, c.checkTree, c.checkBeside, c.checkUnknown, c.checkIndex} {
		err := step()
		if errors.Is(err, ErrCorrupt) {
			c.report("unreadable", "row", "", "%v", err)
		}
		if err != nil {
			return fmt.Errorf("ledger: fsck could not finish: %w", err)
		}
	}
	return nil
}

// A checker is one run of Fsck.
type checker struct {
	ctx  context.Context
	r    reader
	dir  string
	o    Options
	keys []*checkpoint.Verifier

	mu       sync.Mutex
	reportTo func(Difference) // under mu

	size uint64 // number of entries, set by checkTree
}

func (c *checker) report(problem, row, key, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reportTo(Difference{Kind: problem + " " + row, Key: key, Detail: fmt.Sprintf(format, args...)})
}

func number(n uint64) string { return fmt.Sprint(n) }
