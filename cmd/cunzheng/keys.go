package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"cunzheng/chaincode"
	"cunzheng/crypto/sm2"
	"cunzheng/keystore"
)

var roles = []keystore.Role{keystore.RoleLog, keystore.RoleReceipt, keystore.RoleToken, keystore.RoleSeal, keystore.RoleLedger}

// keysCommand manages the platform's own keys. (The keys of users are the business of `cunzheng key`.)
func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "List, rotate and revoke the platform's own keys 平台密钥",
	}
	cmd.AddCommand(keysListCommand(), keysRotateCommand(), keysRevokeCommand())
	return cmd
}

func keysListCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the platform's keys, current and retired",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := loadConfig(dir)
			if err != nil {
				return err
			}
			keys, err := openKeystore(dir, config)
			if err != nil {
				return err
			}
			type row struct {
				Role    keystore.Role `json:"role"`
				ID      string        `json:"id"`
				Created time.Time     `json:"created"`
				Retired time.Time     `json:"retired,omitzero"`
			}
			for _, role := range roles {
				for _, k := range keys.Keys(role) {
					r := row{k.Role, k.ID, k.Created, k.Retired}
					if asJSON {
						err = printLine(cmd.OutOrStdout(), r)
					} else {
						state := "current"
						if !r.Retired.IsZero() {
							state = "retired " + r.Retired.Format(time.RFC3339)
						}
						_, err = fmt.Fprintf(cmd.OutOrStdout(), "%-8s %s  since %s  %s\n", r.Role, r.ID, r.Created.Format(time.RFC3339), state)
					}
					if err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	addDataFlag(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	return cmd
}

func keysRotateCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "rotate ROLE",
		Short: "Replace a key: log, receipt, token, seal or ledger",
		Long: `Replace one of the platform's keys. The old private key is destroyed, its public key is kept for ever, and the trust
file names both. Stop the server first. Export the trust file again afterwards.`,
		Args:              exactArgs(1),
		ValidArgsFunction: suggestRoles,
		RunE: func(cmd *cobra.Command, args []string) error {
			role := keystore.Role(args[0])
			if !slices.Contains(roles, role) {
				return usageError{fmt.Errorf("no role %q: want one of %v", args[0], roles)}
			}
			logger, err := newLogger(cmd.ErrOrStderr(), "text", "warn")
			if err != nil {
				return err
			}
			key, err := rotate(cmd.Context(), dir, role, logger)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "new %s key %s; export the trust file again and hand it to the verifiers\n", role, key.ID)
			return nil
		},
	}
	addDataFlag(cmd, &dir)
	return cmd
}

// rotate opens the node, which proves that no server holds it, and replaces a key. Opening the node again at once lets
// the log and the ledger record the new key.
func rotate(ctx context.Context, dir string, role keystore.Role, logger *slog.Logger) (keystore.PublicKey, error) {
	n, err := openNode(ctx, dir, logger)
	if err != nil {
		return keystore.PublicKey{}, err
	}
	key, err := n.rotate(ctx, role)
	if closeErr := n.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return keystore.PublicKey{}, err
	}
	again, err := openNode(ctx, dir, logger)
	if err != nil {
		return key, err
	}
	if err := again.worker.Flush(ctx); err != nil {
		logger.Warn("the ledger does not know the new key yet; the server tells it when it starts", "error", err)
	}
	return key, again.Close()
}

func (n *node) rotate(ctx context.Context, role keystore.Role) (keystore.PublicKey, error) {
	if role != keystore.RoleLog {
		return n.keys.Rotate(role, time.Now())
	}
	// The old key must have anchored all it signed: the ledger refuses its heads once it knows the new one. And the
	// handover binds the last anchored head, so nothing may be anchored between the signing and its delivery.
	if err := n.worker.Flush(ctx); err != nil {
		return keystore.PublicKey{}, withHint(fmt.Errorf("the log's head must be anchored before its key is replaced: %w", err), "try again when the ledger answers")
	}
	head, err := n.ledger.Latest(ctx, n.config.Origin)
	if err != nil {
		return keystore.PublicKey{}, err
	}
	return n.keys.RotateWith(keystore.RoleLog, time.Now(), func(old keystore.Signer, next keystore.PublicKey) ([]byte, error) {
		message := chaincode.RotationMessage(n.config.Origin, old.PublicKey().SPKI(), next.Key.SPKI(), head.Size)
		return sm2.Sign(sm2.Verified(old), message)
	})
}
