package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Commit says that the log has the object: it is evidence from now on. When it fails the object is still kept;
// [Vault.Recover] clears up.
func (v *Vault) Commit(id string) error {
	if err := v.intents.end(id); err != nil {
		v.intents.leave(id)
		return err
	}
	return nil
}

// Abort removes an object that [Vault.Put] returned and that did not get into the log, also after ctx ended. What
// cannot be removed now is left to [Vault.Recover].
func (v *Vault) Abort(ctx context.Context, id string) error {
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	if err := v.discard(ctx, id); err != nil {
		v.intents.leave(id)
		return err
	}
	return nil
}

// Pending lists the ids that Recover has to decide about. No new object may take one of them.
func (v *Vault) Pending() []string { return v.intents.pending() }

// Recover decides about the objects that a crash, or a failed [Vault.Abort], left between Put and Commit: known says
// whether the log has the id; if not, the object goes with all its traces. Objects that this process put and neither
// committed nor aborted are not touched: they are under way, or only the next start can tell whether the log has them.
// It does what it can and reports the rest; calling it again tries again.
func (v *Vault) Recover(ctx context.Context, known func(id string) (bool, error)) error {
	var failed error
	for _, id := range v.intents.pending() {
		if err := ctx.Err(); err != nil {
			return errors.Join(failed, err)
		}
		kept, err := known(id)
		if err == nil {
			if kept {
				err = v.intents.end(id)
			} else {
				err = v.discard(ctx, id)
			}
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("vault: recovering %s: %w", id, err))
			continue
		}
		v.intents.settled(id)
		v.logger.LogAttrs(ctx, slog.LevelInfo, "interrupted upload settled", slog.String("id", id), slog.Bool("kept", kept))
	}
	return failed
}

// discard removes all traces of an object, its intent last.
func (v *Vault) discard(ctx context.Context, id string) error {
	key := keyOf(id)
	if err := v.delete(ctx, id); err != nil {
		return err
	}
	var err error
	switch {
	case v.folder != nil:
		err = v.folder.sweep(key)
	case v.s3 != nil:
		err = v.s3.sweep(ctx, key)
	}
	if err != nil {
		return err
	}
	return v.intents.end(id)
}
