package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cunzheng/api/client"
	"cunzheng/api/wire"
	"cunzheng/crypto/sm2"
	"cunzheng/evidence"
)

// administer runs one call of an administrator and prints its answer.
func administer[T any](cmd *cobra.Command, c *connection, asJSON bool, call func(*client.Client) (T, error), print func(T)) error {
	server, err := c.connect(cmd.Context())
	if err != nil {
		return err
	}
	defer server.Close()
	answer, err := call(server)
	if err != nil {
		return c.explain(err)
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), answer)
	}
	print(answer)
	return nil
}

func organisationCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "organisation", Aliases: []string{"org"}, Short: "Register and list organisations (system administrator) 机构"}
	var c connection
	var o evidence.Organisation
	var status string
	var asJSON bool
	add := &cobra.Command{
		Use:   "add ID --name NAME",
		Short: "Register an organisation, or change it",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ID, o.Status = args[0], evidence.Standing(status)
			return administer(cmd, &c, asJSON,
				func(s *client.Client) (evidence.Organisation, error) { return s.RegisterOrganisation(cmd.Context(), o) },
				func(o evidence.Organisation) { fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s\n", o.ID, o.Name, o.Status) })
		},
	}
	c.addTo(add)
	add.Flags().StringVar(&o.Name, "name", "", "name 名称")
	add.Flags().StringVar(&o.CreditCode, "credit-code", "", "unified social credit code 统一社会信用代码")
	add.Flags().StringVar(&o.Level, "level", "", "city, district, town or community")
	add.Flags().StringVar(&o.Region, "region", "", "six-digit region code")
	add.Flags().StringVar(&status, "status", "active", "active or closed")
	add.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	suggest(add, "level", levels)
	suggest(add, "status", standings)
	cmd.AddCommand(add, listCommand("List the organisations",
		func(cmd *cobra.Command, s *client.Client) ([]evidence.Organisation, error) {
			return s.Organisations(cmd.Context())
		},
		func(o evidence.Organisation) []string { return []string{o.ID, o.Name, o.CreditCode, string(o.Status)} }))
	return cmd
}

func accountCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "account", Short: "Register accounts (system administrator), set passwords (security administrator) 账号"}
	cmd.AddCommand(accountAddCommand(), accountPasswordCommand(), listCommand("List the accounts",
		func(cmd *cobra.Command, s *client.Client) ([]wire.Account, error) { return s.Accounts(cmd.Context()) },
		func(a wire.Account) []string {
			return []string{a.ID, a.Organisation, string(a.Kind), strings.Join(a.Roles, ","), string(a.Status)}
		}))
	return cmd
}

func accountAddCommand() *cobra.Command {
	var c connection
	var a wire.Account
	var status string
	var system, asJSON bool
	cmd := &cobra.Command{
		Use:   "add ID --organisation ID --role ROLE…",
		Short: "Register an account, or change it",
		Long: `Register the account of a person or, with --system, of a machine.

Roles: ` + strings.Join(accountRoles, ", ") + `.
The three administrators are separate persons: an administrator holds no other role.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ID, a.Status, a.Kind = args[0], evidence.Standing(status), evidence.AccountPerson
			if system {
				a.Kind = evidence.AccountSystem
			}
			return administer(cmd, &c, asJSON,
				func(s *client.Client) (wire.Account, error) { return s.RegisterAccount(cmd.Context(), a) },
				func(a wire.Account) {
					fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s  %s\n", a.ID, a.Organisation, strings.Join(a.Roles, ","), a.Status)
				})
		},
	}
	c.addTo(cmd)
	cmd.Flags().StringVar(&a.Organisation, "organisation", "", "organisation it belongs to")
	cmd.Flags().StringSliceVar(&a.Roles, "role", nil, "role, repeated or separated by commas")
	cmd.Flags().StringVar(&a.DisplayName, "display-name", "", "name of the person; only a salted commitment of it is logged")
	cmd.Flags().BoolVar(&system, "system", false, "a machine, which signs in with a key")
	cmd.Flags().StringVar(&status, "status", "active", "active or closed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	suggest(cmd, "role", accountRoles)
	suggest(cmd, "status", standings)
	return cmd
}

func accountPasswordCommand() *cobra.Command {
	var c connection
	var passwordFile string
	cmd := &cobra.Command{
		Use:   "password ID",
		Short: "Set the password of an account",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := askPassword(cmd, &args[0], passwordFile)
			if err != nil {
				return err
			}
			return administer(cmd, &c, false,
				func(s *client.Client) (string, error) {
					return args[0], s.SetPassword(cmd.Context(), args[0], password)
				},
				func(account string) { fmt.Fprintf(cmd.OutOrStdout(), "the password of %s is set\n", account) })
		},
	}
	c.addTo(cmd)
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "read the password from the first line of this file instead of asking")
	return cmd
}

func keyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Make, register and revoke users' SM2 keys (security administrator) 用户密钥"}
	cmd.AddCommand(keyNewCommand(), keyAddCommand(), keyRevokeCommand(), listCommand("List the registered keys",
		func(cmd *cobra.Command, s *client.Client) ([]wire.Key, error) { return s.RegisteredKeys(cmd.Context()) },
		func(k wire.Key) []string {
			state := "valid until " + k.NotAfter.String()
			if k.Revocation != nil {
				state = "revoked " + k.Revocation.At.String()
			}
			return []string{k.ID.String(), k.Organisation, k.Account, string(k.Use), state}
		}))
	return cmd
}

func keyNewCommand() *cobra.Command {
	var c connection
	var output, public string
	cmd := &cobra.Command{
		Use:   "new ACCOUNT -o CREDENTIALS",
		Short: "Make a key pair here; the private key never leaves this machine",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.public()
			if err != nil {
				return err
			}
			defer server.Close()
			trust, _, err := server.Trust(cmd.Context())
			if err != nil {
				return c.explain(err)
			}
			if len(trust.Logs) == 0 {
				return fmt.Errorf("%s names no log", c.server)
			}
			credentials, key, err := newMachineCredentials(trust.Logs[0].Origin, args[0])
			if err != nil {
				return err
			}
			if _, err := os.Stat(output); err == nil {
				return withHint(fmt.Errorf("%s exists", output), "name another file; a key is never overwritten")
			}
			if err := credentials.write(output); err != nil {
				return err
			}
			if err := os.WriteFile(public, key.PEM(), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key %s\nprivate: %s (keep it here)\npublic:  %s (for: cunzheng key add --account %s --file %s)\n", credentials.KeyID, output, public, args[0], public)
			return nil
		},
	}
	c.addTo(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "credentials.json", "file for the private key")
	cmd.Flags().StringVar(&public, "public", "public-key.pem", "file for the public key")
	return cmd
}

// newMachineCredentials makes a key pair for a machine account of the platform.
func newMachineCredentials(platform, account string) (machineCredentials, *sm2.PublicKey, error) {
	private, err := sm2.GenerateKey()
	if err != nil {
		return machineCredentials{}, nil, err
	}
	pem, err := private.PEM()
	if err != nil {
		return machineCredentials{}, nil, err
	}
	public, ok := private.Public().(*sm2.PublicKey)
	if !ok {
		return machineCredentials{}, nil, fmt.Errorf("the new key has a public half of type %T", private.Public())
	}
	fingerprint := public.Fingerprint()
	return machineCredentials{Platform: platform, Account: account, KeyID: evidence.Digest(fingerprint).String(), Key: string(pem)}, public, nil
}

func keyAddCommand() *cobra.Command {
	var c connection
	var k wire.Key
	var file, use, until string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "add --organisation ID --account ID --file PUBLIC.PEM",
		Short: "Register a user's public key",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pem, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			k.PEM, k.Use = string(pem), evidence.KeyUse(use)
			notAfter := time.Now().AddDate(2, 0, 0)
			if err := parseTime("until", until, &notAfter); err != nil {
				return usageError{err}
			}
			k.NotAfter = evidence.InstantOf(notAfter)
			return administer(cmd, &c, asJSON,
				func(s *client.Client) (wire.Key, error) { return s.RegisterKey(cmd.Context(), k) },
				func(k wire.Key) {
					fmt.Fprintf(cmd.OutOrStdout(), "key %s of %s, valid until %s\n", k.ID, k.Account, k.NotAfter)
				})
		},
	}
	c.addTo(cmd)
	cmd.Flags().StringVar(&k.Organisation, "organisation", "", "organisation of the key")
	cmd.Flags().StringVar(&k.Account, "account", "", "account of the key")
	cmd.Flags().StringVar(&file, "file", "public-key.pem", "public key, PEM")
	cmd.Flags().StringVar(&use, "use", string(evidence.UseAuthentication), "authentication or signature")
	cmd.Flags().StringVar(&until, "until", "", "valid until; default two years from now")
	suggest(cmd, "use", keyUses)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func keyRevokeCommand() *cobra.Command {
	var c connection
	var reason, at string
	cmd := &cobra.Command{
		Use:   "revoke KEY --reason REASON",
		Short: "Revoke a user's key",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			revocation := wire.Revocation{Reason: evidence.RevocationReason(reason)} // without a time: now, by the server's clock
			if at != "" {
				var from time.Time
				if err := parseTime("at", at, &from); err != nil {
					return usageError{err}
				}
				revocation.At = evidence.InstantOf(from)
			}
			return administer(cmd, &c, false,
				func(s *client.Client) (string, error) {
					return args[0], s.RevokeKey(cmd.Context(), args[0], revocation)
				},
				func(id string) { fmt.Fprintf(cmd.OutOrStdout(), "key %s is revoked\n", id) })
		},
	}
	c.addTo(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "compromise, superseded or cessation")
	cmd.Flags().StringVar(&at, "at", "", "from when it is not to be trusted; default now")
	suggest(cmd, "reason", reasons)
	return cmd
}

// listCommand lists one kind of registry entry, a line each.
func listCommand[T any](short string, list func(*cobra.Command, *client.Client) ([]T, error), columns func(T) []string) *cobra.Command {
	var c connection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: short,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return administer(cmd, &c, asJSON,
				func(s *client.Client) ([]T, error) { return list(cmd, s) },
				func(items []T) {
					for _, item := range items {
						fmt.Fprintln(cmd.OutOrStdout(), strings.Join(columns(item), "  "))
					}
				})
		},
	}
	c.addTo(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
