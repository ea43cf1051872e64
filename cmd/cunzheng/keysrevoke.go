package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/notary"
)

func keysRevokeCommand() *cobra.Command {
	var dir, reason, at string
	cmd := &cobra.Command{
		Use:   "revoke KEY --reason REASON",
		Short: "Revoke one of the platform's keys, as after a theft 吊销平台密钥",
		Long: `Revoke one of the platform's own keys, by its id as in "cunzheng keys list". Stop the server first. A key that is in use is
replaced before. The revocation becomes an entry of the log, and the trust file names it: export that again and hand it to
every verifier, since whoever holds the old one goes on trusting the key.

--at says from when on the key is not to be trusted: when it was stolen, if that is known; otherwise from now on.

With --reason compromise, bundles that the key signed become INDETERMINATE, and FAILED from that time on, because a thief
can date back. Fetch them again: the server signs anew. Evidence that was anchored before that time stays PASSED under a
log key that is revoked later. With superseded and cessation what was signed before stays as it is.`,
		Example:           "  cunzheng keys revoke 0c4f2b7e9a6d1835 --data /var/lib/cunzheng --reason compromise --at 2026-11-23T19:00:00+08:00",
		Args:              exactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := evidence.KeyRevocation{Reason: evidence.RevocationReason(reason)}
			if !slices.Contains(reasons, reason) {
				return usageError{fmt.Errorf("--reason %q: want %s", reason, strings.Join(reasons, ", "))}
			}
			if at != "" {
				var from time.Time
				if err := parseTime("at", at, &from); err != nil {
					return usageError{err}
				}
				r.At = evidence.InstantOf(from)
			}
			logger, err := newLogger(cmd.ErrOrStderr(), "text", "warn")
			if err != nil {
				return err
			}
			revoked, next, err := revoke(cmd.Context(), dir, args[0], r, logger)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if next.ID != "" {
				fmt.Fprintf(out, "new %s key %s\n", next.Role, next.ID)
			}
			_, err = fmt.Fprintf(out, "%s key %s is revoked; export the trust file again and hand it to the verifiers\n", revoked.Role, revoked.ID)
			return err
		},
	}
	addDataFlag(cmd, &dir)
	cmd.Flags().StringVar(&reason, "reason", "", strings.Join(reasons, ", "))
	cmd.Flags().StringVar(&at, "at", "", "from when on it is not to be trusted; default now")
	suggest(cmd, "reason", reasons)
	return cmd
}

// revoke revokes a key of the platform. One that is in use is rotated first; next is the key that took its place.
func revoke(ctx context.Context, dir, id string, r evidence.KeyRevocation, logger *slog.Logger) (key, next keystore.PublicKey, err error) {
	if key, err = findPlatformKey(dir, id); err != nil {
		return key, next, err
	}
	// What the notary would refuse must not cost a rotation.
	if r.At != 0 && (r.At < evidence.InstantOf(key.Created) || r.At > evidence.InstantOf(time.Now())) {
		return key, next, usageError{fmt.Errorf("--at: want a time between %s, when the key was made, and now", key.Created.Format(time.RFC3339))}
	}
	if key.Retired.IsZero() {
		if next, err = rotate(ctx, dir, key.Role, logger); err != nil {
			return key, next, err
		}
	}
	r.Fingerprint = key.Key.Fingerprint()
	n, err := openNode(ctx, dir, logger)
	if err != nil {
		return key, next, err
	}
	err = n.revoke(ctx, r)
	if err = errors.Join(err, n.Close()); err != nil && next.ID != "" {
		err = withHint(err, "the key was replaced but not revoked; run the command again")
	}
	return key, next, err
}

// revoke logs the revocation and anchors it.
func (n *node) revoke(ctx context.Context, r evidence.KeyRevocation) error {
	if err := n.notary.RevokePlatformKey(ctx, r); err != nil {
		var refusal *notary.Error
		if errors.As(err, &refusal) {
			return fmt.Errorf("%s %s", refusal.ZH, refusal.EN)
		}
		return err
	}
	if err := n.worker.Flush(ctx); err != nil {
		n.logger.Warn("the revocation is logged, and anchored when the ledger answers", "error", err)
	}
	return nil
}

// findPlatformKey returns a key of the node by its id or fingerprint.
func findPlatformKey(dir, id string) (keystore.PublicKey, error) {
	config, err := loadConfig(dir)
	if err != nil {
		return keystore.PublicKey{}, err
	}
	keys, err := openKeystore(dir, config)
	if err != nil {
		return keystore.PublicKey{}, err
	}
	id = strings.ToLower(id)
	for _, role := range roles {
		for _, k := range keys.Keys(role) {
			if k.ID == id || evidence.Digest(k.Key.Fingerprint()).String() == id {
				return k, nil
			}
		}
	}
	return keystore.PublicKey{}, withHint(fmt.Errorf("the platform has no key %s", id), "see: cunzheng keys list --data "+dir)
}
