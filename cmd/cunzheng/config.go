package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"

	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/ledger/blockproof"
)

const configFile = "cunzheng.toml"

const maxTokenLifetime = 24 * time.Hour

// Config is the node's configuration file, DATA/cunzheng.toml. Every field but Origin and Number has a default that
// works; an unknown key is an error, so that a misspelt one never passes in silence.
type Config struct {
	Origin       string             `toml:"origin" comment:"Name of this node's log. It is part of every signature and can never change.\n此节点日志的名称，写入每个签名，不可更改。"`
	Number       NumberConfig       `toml:"number" comment:"Evidence numbers: AREA-REGION-OFFICE-date-serial-check.\n存证编号的地区、行政区划、机构部分。"`
	Organisation OrganisationConfig `toml:"organisation" comment:"The organisation that runs this node.\n运行此节点的机构。"`
	Listen       string             `toml:"listen" comment:"Address the server listens on.\n服务监听地址。"`
	PublicURL    string             `toml:"public_url" comment:"Address under which users reach the server, as in https://cz.example.cn; empty: the listen address.\n对外地址。"`
	TLS          TLSConfig          `toml:"tls" comment:"The server's certificate; files that are replaced are taken within seconds.\n服务器证书；更换文件后自动生效。"`
	Unlock       UnlockConfig       `toml:"unlock" comment:"What unlocks the keystore. Exactly one of the two; relative paths start at this folder.\n解锁密钥库的方式，二选一。"`
	Vault        VaultConfig        `toml:"vault" comment:"Where encrypted originals are kept.\n加密原件的存放位置。"`
	Upload       UploadConfig       `toml:"upload" comment:"Limits of one upload.\n单次上传限制。"`
	Anchor       AnchorConfig       `toml:"anchor" comment:"When the log's head is anchored on the ledger.\n日志头上链的时机。"`
	Ledger       LedgerConfig       `toml:"ledger" comment:"The ledger on which the log is anchored.\n上链目标。"`
	Tokens       TokenConfig        `toml:"tokens" comment:"Access tokens.\n访问令牌。"`
}

// NumberConfig is the fixed part of the node's evidence numbers.
type NumberConfig struct {
	Area   string `toml:"area" comment:"Letters of the province or city, as in XM."`
	Region string `toml:"region" comment:"Six-digit administrative region code (GB/T 2260)."`
	Office string `toml:"office" comment:"The office, as in NOT01."`
}

// OrganisationConfig names the operator.
type OrganisationConfig struct {
	ID   string `toml:"id" comment:"Identifier, as in statements: letters, digits, hyphen."`
	Name string `toml:"name" comment:"Name for people, in trust files and certificates."`
}

// UnlockConfig says what opens the keystore.
type UnlockConfig struct {
	KeyFile        string `toml:"key_file" comment:"A key file. Keep it on other media than the data, or use a passphrase."`
	PassphraseFile string `toml:"passphrase_file" comment:"A file whose first line is the passphrase; the variable CUNZHENG_PASSPHRASE wins over it."`
}

// VaultConfig says where originals go.
type VaultConfig struct {
	URL string `toml:"url" comment:"Empty: the folder originals/ here. Or any S3-compatible store, as in s3://bucket?endpoint=http://127.0.0.1:9000&use_path_style=true"`
}

// UploadConfig bounds what one request may bring.
type UploadConfig struct {
	MaxFileBytes int64 `toml:"max_file_bytes" comment:"Largest file taken, in bytes."`
}

// AnchorConfig sets the anchoring worker.
type AnchorConfig struct {
	Interval  Duration `toml:"interval" comment:"Anchor at least this often while there are new entries."`
	Threshold uint64   `toml:"threshold" comment:"Anchor at once when this many entries wait."`
}

// LedgerConfig names the ledger.
type LedgerConfig struct {
	Kind         string `toml:"kind" comment:"embedded: this organisation's own chain. fabric: a channel that several organisations share."`
	Profile      string `toml:"profile" comment:"Fabric: this organisation's connection profile; a relative path starts at this folder."`
	Channel      string `toml:"channel" comment:"Fabric: name of the channel."`
	Chaincode    string `toml:"chaincode" comment:"Fabric: name of the contract on the channel."`
	Organisation string `toml:"organisation" comment:"Fabric: this organisation by its name in the profile; empty: the profile's client."`
	User         string `toml:"user" comment:"Fabric: the identity by its name in the profile; empty: User1."`
	Genesis      string `toml:"genesis" comment:"Fabric: file with a config block of the channel, received from the consortium; empty: the first start trusts its peer and keeps the block."`
}

// TokenConfig sets access tokens.
type TokenConfig struct {
	Lifetime Duration `toml:"lifetime" comment:"How long an access token is valid."`
}

// Duration is a time.Duration written as "15m" in the file.
type Duration time.Duration

// MarshalText writes the duration as time.ParseDuration reads it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads a duration such as 10s or 15m.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(parsed)
	return nil
}

func defaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:8080",
		Upload: UploadConfig{MaxFileBytes: 64 << 30},
		Anchor: AnchorConfig{Interval: Duration(10 * time.Second), Threshold: 10_000},
		Ledger: LedgerConfig{Kind: blockproof.KindEmbedded, Channel: "cunzheng", Chaincode: "cunzheng"},
		Tokens: TokenConfig{Lifetime: Duration(15 * time.Minute)},
	}
}

func loadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, configFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, withHint(fmt.Errorf("no node in %s: %s is missing", dir, configFile), "run: cunzheng init --data "+dir)
	}
	if err != nil {
		return Config{}, err
	}
	config := defaultConfig()
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&config); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return Config{}, fmt.Errorf("%s: unknown keys:\n%s", path, strict.String())
		}
		var place *toml.DecodeError
		if errors.As(err, &place) {
			line, _ := place.Position()
			return Config{}, fmt.Errorf("%s, line %d: %w", path, line, err)
		}
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	if err := config.validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return config, nil
}

func (c Config) write(dir string) error {
	text, err := toml.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, configFile), text, 0o600)
}

var originPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*(/[a-z0-9][a-z0-9.-]*)+$`)

func (c Config) validate() error {
	switch {
	case !originPattern.MatchString(c.Origin) || len(c.Origin) > 200:
		return fmt.Errorf("origin %q: want a name such as notary.example.cn/xm-not01 (lower-case letters, digits, dot, hyphen, with a slash)", c.Origin)
	case !validPublicURL(c.PublicURL):
		return fmt.Errorf("public_url %q: want an address such as https://cz.example.cn, without a path", c.PublicURL)
	case c.Unlock.KeyFile != "" && c.Unlock.PassphraseFile != "":
		return errors.New("unlock: set key_file or passphrase_file, not both")
	case c.Upload.MaxFileBytes <= 0:
		return errors.New("upload.max_file_bytes must be positive")
	case c.Anchor.Interval <= 0 || c.Anchor.Threshold == 0:
		return errors.New("anchor.interval and anchor.threshold must be positive")
	case c.Ledger.Kind != blockproof.KindEmbedded && c.Ledger.Kind != blockproof.KindFabric:
		return fmt.Errorf("ledger.kind %q: want embedded or fabric", c.Ledger.Kind)
	case c.Ledger.Channel == "" || c.Ledger.Chaincode == "":
		return errors.New("ledger.channel and ledger.chaincode must not be empty")
	case c.Tokens.Lifetime <= 0 || time.Duration(c.Tokens.Lifetime) > maxTokenLifetime:
		return errors.New("tokens.lifetime must lie between 1s and 24h")
	}
	return c.TLS.validate()
}

// officeOrigin is the origin a node gets when its operator names none.
func officeOrigin(n NumberConfig) string {
	return strings.ToLower("cunzheng.local/" + n.Area + "-" + n.Region + "-" + n.Office)
}

func validPublicURL(text string) bool {
	u, err := url.Parse(text)
	return text == "" || err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.Path == "" && u.RawQuery == ""
}

func (c Config) numberFormat() evidence.NumberFormat {
	return evidence.NumberFormat{Area: c.Number.Area, Region: c.Number.Region, Office: c.Number.Office}
}

// chainName is the name of the node's embedded ledger. It says whose it is.
func (c Config) chainName() string { return c.Origin + "/embedded" }

func (c Config) vaultURL(dir string) string {
	if c.Vault.URL != "" {
		return c.Vault.URL
	}
	absolute, err := filepath.Abs(filepath.Join(dir, originalsDir))
	if err != nil {
		absolute = filepath.Join(dir, originalsDir) // only if the working folder is gone
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(absolute)}).String()
}

const passphraseEnv = "CUNZHENG_PASSPHRASE"

// unlock is what opens the keystore: the passphrase of the environment, else what the file says.
func (c Config) unlock(dir string) (keystore.Unlock, error) {
	if passphrase := os.Getenv(passphraseEnv); passphrase != "" {
		return keystore.Passphrase([]byte(passphrase)), nil
	}
	if c.Unlock.PassphraseFile != "" {
		passphrase, err := firstLine(within(dir, c.Unlock.PassphraseFile))
		if err != nil {
			return nil, err
		}
		return keystore.Passphrase([]byte(passphrase)), nil
	}
	if c.Unlock.KeyFile != "" {
		return keystore.KeyFile(within(dir, c.Unlock.KeyFile)), nil
	}
	return nil, withHint(errors.New("nothing to unlock the keystore with"), "set "+passphraseEnv+", or key_file or passphrase_file in "+configFile)
}

// within resolves a path of the configuration, which starts at the node's folder unless it is absolute.
func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// addLedgerFlags lets the command line choose the ledger over what config says when it is applied.
func addLedgerFlags(flags *pflag.FlagSet) (apply func(*Config) error) {
	var kind, profile, genesis string
	flags.StringVar(&kind, "ledger", "", "embedded or fabric; default from the configuration, at first embedded 上链目标")
	flags.StringVar(&profile, "fabric-profile", "", "connection profile of this organisation on the Fabric network 连接配置")
	flags.StringVar(&genesis, "fabric-genesis", "", "config block of the channel to trust, as the consortium published it 通道配置块")
	return func(c *Config) (err error) {
		if kind != "" {
			c.Ledger.Kind = kind
		}
		// On the command line a path starts where the command was given; in the file, at the node's folder.
		if profile != "" {
			if c.Ledger.Profile, err = filepath.Abs(profile); err != nil {
				return err
			}
		}
		if genesis != "" {
			if c.Ledger.Genesis, err = filepath.Abs(genesis); err != nil {
				return err
			}
		}
		return c.validate()
	}
}
