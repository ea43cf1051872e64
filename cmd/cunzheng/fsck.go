package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cunzheng/keystore"
	"cunzheng/ledger"
	"cunzheng/ledger/anchor/embedded"
	"cunzheng/notary"
	"cunzheng/notary/vault"
)

func fsckCommand() *cobra.Command {
	var dir string
	var originals, reindex, asJSON bool
	cmd := &cobra.Command{
		Use:   "fsck --data DIR",
		Short: "Recompute the whole log, its indexes and the ledger, and report each difference 全量校验",
		Long: `Recompute the Merkle tree from the entries, compare every tile, checkpoint, signature and index row, and walk the
embedded ledger. With --originals every original is decrypted and hashed as well; what an upload left that was under way when the server
was killed is named, and is no difference. Stop the server first.

Exit code 0: everything agrees. 1: there are differences, one a line.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := &fsck{dir: dir, progress: newProgress(cmd.ErrOrStderr(), "fsck", -1)}
			f.report = func(kind, key, detail string) {
				f.found++
				if asJSON {
					printLine(cmd.OutOrStdout(), map[string]string{"kind": kind, "key": key, "detail": detail})
				} else {
					fmt.Fprintf(cmd.OutOrStdout(), "%s %s: %s\n", kind, key, detail)
				}
			}
			f.remark = func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), text) }
			size, err := f.run(cmd.Context(), originals, reindex)
			f.progress.Clear()
			if err != nil {
				return err
			}
			if f.found > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d differences. Keep this folder as it is, and restore from a backup or another node.\n", f.found)
				return exitStatus(exitError)
			}
			if !asJSON {
				fmt.Fprintf(cmd.OutOrStdout(), "clean: %d entries, tree, checkpoints, indexes and ledger agree\n", size)
			}
			return nil
		},
	}
	addDataFlag(cmd, &dir)
	cmd.Flags().BoolVar(&originals, "originals", false, "also decrypt and hash every original")
	cmd.Flags().BoolVar(&reindex, "reindex", false, "first derive all index rows anew from the entries")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a difference")
	return cmd
}

// fsck checks everything a node keeps. It opens the parts one by one, since the node as a whole may refuse to start.
type fsck struct {
	dir      string
	report   func(kind, key, detail string)
	remark   func(text string) // about what is no difference
	found    int
	progress interface {
		Clear() error
		Set64(int64) error
		ChangeMax64(int64)
	}
}

func (f *fsck) run(ctx context.Context, originals, reindex bool) (size uint64, err error) {
	config, err := loadConfig(f.dir)
	if err != nil {
		return 0, err
	}
	keys, err := openKeystore(f.dir, config)
	if err != nil {
		return 0, err
	}
	o, err := logOptions(config, keys)
	if err != nil {
		return 0, err
	}
	o.Progress = func(_ string, done, total uint64) {
		f.progress.ChangeMax64(int64(total))
		f.progress.Set64(int64(done))
	}
	path := filepath.Join(f.dir, logDir)
	if reindex {
		if err := withLog(path, o, func(log *ledger.Log) error { return log.Reindex(ctx) }); err != nil {
			return 0, err
		}
	}
	if err := ledger.Fsck(ctx, path, o, func(d ledger.Difference) { f.report(d.Kind, d.Key, d.Detail) }); err != nil {
		return 0, explainOrigin(f.dir, err)
	}
	if err := f.chain(ctx, config, keys); err != nil {
		return 0, err
	}
	if f.found > 0 {
		return 0, nil // a log that contradicts itself cannot say which originals there should be
	}
	err = withLog(path, o, func(log *ledger.Log) error {
		size = log.Latest().Size
		if !originals {
			return nil
		}
		store, err := vault.Open(ctx, config.vaultURL(f.dir), filepath.Join(f.dir, intentsDir), keys, vault.Options{})
		if err != nil {
			return err
		}
		return errors.Join(f.originals(ctx, log, store), store.Close())
	})
	return size, err
}

// originals compares the store of originals with the log. What uploads left that were under way when the server ended
// is no difference: the next start decides about it.
func (f *fsck) originals(ctx context.Context, log *ledger.Log, store *vault.Vault) error {
	interrupted := store.Pending()
	for _, id := range interrupted {
		f.remark(id + ": an upload that was under way when the server ended. This is no damage: the next start removes it, " +
			"or keeps it if the log has its entry 上传中断，非损坏；下次启动时自动清理")
	}
	return notary.CheckOriginals(ctx, log, store, func(number string, problem error) {
		if !partOf(number, interrupted) {
			f.report("original", number, problem.Error())
		}
	})
}

// partOf reports whether a name in the store is a temporary file of one of the uploads.
func partOf(name string, uploads []string) bool {
	return strings.HasSuffix(name, ".tmp") && slices.ContainsFunc(uploads, func(id string) bool { return strings.HasPrefix(name, id+".") })
}

func (f *fsck) chain(ctx context.Context, config Config, keys *keystore.Store) error {
	o, err := chainOptions(config, keys)
	if err != nil {
		return err
	}
	chain, err := embedded.Open(filepath.Join(f.dir, chainDir), o)
	if err == nil {
		err = chain.Verify(ctx)
		err = errors.Join(err, chain.Close())
	}
	if errors.Is(err, embedded.ErrDamaged) {
		f.report("ledger", config.chainName(), err.Error())
		return nil
	}
	return err
}

func withLog(path string, o ledger.Options, use func(*ledger.Log) error) error {
	log, err := ledger.Open(path, o)
	if err != nil {
		return err
	}
	return errors.Join(use(log), log.Close())
}
