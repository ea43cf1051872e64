package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/ledger"
	"cunzheng/ledger/anchor/embedded"
	"cunzheng/ledger/blockproof"
	"cunzheng/notary"
)

const (
	keyFileName  = "master.key"
	localAccount = "local" // the machine account of whoever ran init
	keyYears     = 2       // how long the local account's key is valid
)

// administrators are the three who are kept apart (三员分立), by account name.
var administrators = []struct {
	account string
	role    notary.Role
}{
	{"system-admin", notary.RoleSystemAdmin},
	{"security-admin", notary.RoleSecurityAdmin},
	{"audit-admin", notary.RoleAuditAdmin},
}

func initCommand() *cobra.Command {
	config := defaultConfig()
	var dir string
	var ledger func(*Config) error
	cmd := &cobra.Command{
		Use:   "init --data DIR",
		Short: "Make a node: keys, log, ledger, administrators 初始化节点",
		Long: `Make a node in a new folder: keystore, empty log, embedded ledger, the operating organisation, three administrators with
random passwords (printed once) and a depositor account for the user who runs this command on this machine.

With ` + passphraseEnv + ` set, that passphrase locks the keystore; otherwise a key file does, which belongs on other media
than the data. The number's parts and the origin can never change: set them for anything but a trial.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if config.Origin == "" {
				config.Origin = officeOrigin(config.Number)
			}
			if err := ledger(&config); err != nil {
				return usageError{err}
			}
			return initialise(cmd.Context(), dir, config, cmd.OutOrStdout())
		},
	}
	addDataFlag(cmd, &dir)
	flags := cmd.Flags()
	flags.StringVar(&config.Number.Area, "area", "XM", "area in evidence numbers, letters 地区")
	flags.StringVar(&config.Number.Region, "region", "350200", "six-digit region code 行政区划代码")
	flags.StringVar(&config.Number.Office, "office", "NOT01", "office in evidence numbers 机构代码")
	flags.StringVar(&config.Origin, "origin", "", "name of the log; default cunzheng.local/AREA-REGION-OFFICE")
	flags.StringVar(&config.Organisation.ID, "organisation", "notary-office", "identifier of the operating organisation")
	flags.StringVar(&config.Organisation.Name, "organisation-name", "示范公证处 (demonstration)", "its name 机构名称")
	flags.StringVar(&config.Listen, "listen", config.Listen, "address to listen on")
	ledger = addLedgerFlags(flags)
	flags.StringVar(&config.Vault.URL, "vault", "", "store of originals, as in s3://bucket?endpoint=…; default a folder of the node")
	return cmd
}

// initialise builds the node in a folder beside dir and puts it in place in one step, so that there is a whole node or
// none.
func initialise(ctx context.Context, dir string, config Config, out io.Writer) (err error) {
	if err := selfTest(); err != nil {
		return err
	}
	if err := errors.Join(config.validate(), config.numberFormat().Validate()); err != nil {
		return usageError{err}
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return withHint(fmt.Errorf("%s is not empty", dir), "choose another folder, or run: cunzheng serve --data "+dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	building, err := os.MkdirTemp(parent, ".cunzheng-init-*") // 0700
	if err != nil {
		return err
	}
	defer os.RemoveAll(building)
	keys, err := initKeys(building, &config)
	if err != nil {
		return err
	}
	if err := initStores(building, config, keys); err != nil {
		return err
	}
	if err := config.write(building); err != nil {
		return err
	}
	people, credentials, err := initRegistry(ctx, building)
	if err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty folder
		return err
	}
	if err := os.Rename(building, dir); err != nil {
		return err
	}
	return reportInit(out, dir, config, people, credentials)
}

func initKeys(dir string, config *Config) (*keystore.Store, error) {
	if os.Getenv(passphraseEnv) == "" {
		config.Unlock.KeyFile = keyFileName
		if err := keystore.NewKeyFile(filepath.Join(dir, keyFileName)); err != nil {
			return nil, err
		}
	} else if len(os.Getenv(passphraseEnv)) < 12 {
		return nil, usageError{fmt.Errorf("%s has fewer than 12 characters", passphraseEnv)}
	}
	unlock, err := config.unlock(dir)
	if err != nil {
		return nil, err
	}
	return keystore.Create(filepath.Join(dir, keystoreDir), unlock, roles...)
}

func initStores(dir string, config Config, keys *keystore.Store) error {
	logOptions, err := logOptions(config, keys)
	if err != nil {
		return err
	}
	if err := ledger.Create(filepath.Join(dir, logDir), logOptions); err != nil || config.Ledger.Kind != blockproof.KindEmbedded {
		return err
	}
	chainOptions, err := chainOptions(config, keys)
	if err != nil {
		return err
	}
	return embedded.Create(filepath.Join(dir, chainDir), chainOptions)
}

// initRegistry opens the new node and makes its first entries: the organisation, its administrators and the account of
// the local user.
func initRegistry(ctx context.Context, dir string) (passwords map[string]string, _ machineCredentials, err error) {
	n, err := openNode(ctx, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, machineCredentials{}, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	office := n.config.Organisation
	first := notary.Actor{Organisation: office.ID, Account: "platform", Roles: []notary.Role{notary.RoleSystemAdmin, notary.RoleSecurityAdmin}}
	if err := n.notary.RegisterOrganisation(ctx, first, evidence.Organisation{ID: office.ID, Name: office.Name, Region: n.config.Number.Region}); err != nil {
		return nil, machineCredentials{}, err
	}
	passwords = make(map[string]string)
	for _, a := range administrators {
		account := notary.Account{ID: a.account, Organisation: office.ID, Kind: evidence.AccountPerson, Roles: []notary.Role{a.role}}
		if err := n.notary.RegisterOfficer(ctx, first, account); err != nil {
			return nil, machineCredentials{}, err
		}
		passwords[a.account] = rand.Text()
		if err := n.notary.SetPassword(ctx, first, a.account, passwords[a.account]); err != nil {
			return nil, machineCredentials{}, err
		}
	}
	credentials, err := n.initLocalAccount(ctx, first)
	return passwords, credentials, err
}

func (n *node) initLocalAccount(ctx context.Context, first notary.Actor) (machineCredentials, error) {
	account := notary.Account{ID: localAccount, Organisation: first.Organisation, Kind: evidence.AccountSystem, Roles: []notary.Role{notary.RoleDepositor}}
	if err := n.notary.RegisterOfficer(ctx, first, account); err != nil {
		return machineCredentials{}, err
	}
	credentials, public, err := newMachineCredentials(n.config.Origin, localAccount)
	if err != nil {
		return machineCredentials{}, err
	}
	_, err = n.notary.RegisterKey(ctx, first, evidence.Key{
		Organisation: first.Organisation, Account: localAccount, SPKI: public.SPKI(), Use: evidence.UseAuthentication,
		NotAfter: evidence.InstantOf(time.Now().AddDate(keyYears, 0, 0)),
	})
	return credentials, err
}

func reportInit(out io.Writer, dir string, config Config, passwords map[string]string, credentials machineCredentials) error {
	p, err := openProfile()
	if err != nil {
		return err
	}
	path := p.credentialsPath(config.Origin)
	aside, err := keepEarlier(path)
	if err != nil {
		return err
	}
	if aside != "" {
		fmt.Fprintf(out, "credentials of an earlier node of the same name are kept in %s\n", aside)
	}
	if err := credentials.write(path); err != nil {
		return fmt.Errorf("the node is ready, but your credentials could not be kept: %w", err)
	}
	fmt.Fprintf(out, "node ready in %s, log %s\n\n", dir, config.Origin)
	fmt.Fprintf(out, "Administrators, with passwords shown only now 管理员初始口令（仅显示一次）:\n")
	for _, a := range administrators {
		fmt.Fprintf(out, "  %-15s %s\n", a.account, passwords[a.account])
	}
	fmt.Fprintf(out, "\nYour own depositor credentials: %s\n", path)
	if config.Unlock.KeyFile != "" {
		fmt.Fprintf(out, "Master key: %s; move it to other media and set unlock.key_file in %s\n", filepath.Join(dir, config.Unlock.KeyFile), configFile)
	}
	fmt.Fprintf(out, "\nnext: cunzheng serve --data %s\n", dir)
	return nil
}

// keepEarlier moves credentials out of the way: a private key is never overwritten.
func keepEarlier(path string) (aside string, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	aside = fmt.Sprintf("%s.%s", path, info.ModTime().UTC().Format("20060102T150405.000"))
	return aside, os.Rename(path, aside)
}
