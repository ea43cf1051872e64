package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/pflag"
)

// TLSConfig names the server's certificate.
type TLSConfig struct {
	Cert string `toml:"cert" comment:"Certificate and its chain, PEM; a relative path starts at this folder. Empty: plain HTTP, for loopback or behind a proxy that ends TLS."`
	Key  string `toml:"key" comment:"Its private key, PEM, not readable by others."`
}

func (c TLSConfig) validate() error {
	if (c.Cert == "") != (c.Key == "") {
		return errors.New("tls: cert and key belong together: set both or none")
	}
	return nil
}

// serverTLS returns the settings of a TLS server, or nil for plain HTTP.
func serverTLS(dir string, c TLSConfig, logger *slog.Logger) (*tls.Config, error) {
	if c.Cert == "" {
		return nil, nil
	}
	pair := &certificate{cert: within(dir, c.Cert), key: within(dir, c.Key), every: certificateAge, logger: logger}
	if _, err := pair.get(nil); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get}, nil
}

// certificateAge is how long a certificate is used without a look at its files.
const certificateAge = 10 * time.Second

// certificate is the server's certificate. It follows its files, so that a renewal needs no restart.
type certificate struct {
	cert, key string
	every     time.Duration
	logger    *slog.Logger

	mu      sync.Mutex
	loaded  *tls.Certificate // guarded by mu, as what follows
	looked  time.Time
	changed [2]time.Time // when the files last changed
}

// get is what tls.Config.GetCertificate wants. Files that changed and are no good leave the certificate as it is.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded != nil && time.Since(c.looked) < c.every {
		return c.loaded, nil
	}
	c.looked = time.Now()
	changed, err := c.times()
	if err == nil && c.loaded != nil && changed == c.changed {
		return c.loaded, nil
	}
	var pair tls.Certificate
	if err == nil {
		c.changed = changed
		pair, err = tls.LoadX509KeyPair(c.cert, c.key)
	}
	switch {
	case err == nil:
		c.loaded = &pair
	case c.loaded == nil:
		return nil, withHint(fmt.Errorf("the server's certificate: %w", err), "look at --tls-cert and --tls-key, or [tls] in "+configFile)
	default:
		c.logger.Warn("the new certificate cannot be used; the server keeps the one it has", "error", err)
	}
	return c.loaded, nil
}

// times says when the files last changed, and refuses a key that others can read.
func (c *certificate) times() (changed [2]time.Time, err error) {
	for i, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return changed, err
		}
		if path == c.key && info.Mode().Perm()&0o007 != 0 {
			return changed, fmt.Errorf("%s has mode %04o: everybody can read the key; run: chmod o= %s", path, info.Mode().Perm(), path)
		}
		changed[i] = info.ModTime()
	}
	return changed, nil
}

// addTLSFlags lets the command line choose the certificate over what config says when it is applied.
func addTLSFlags(flags *pflag.FlagSet) (apply func(*Config) error) {
	var cert, key string
	flags.StringVar(&cert, "tls-cert", "", "the server's certificate and its chain, PEM; default from the configuration, at first plain HTTP 服务器证书")
	flags.StringVar(&key, "tls-key", "", "its private key, PEM 证书私钥")
	return func(c *Config) (err error) {
		if cert == "" && key == "" {
			return nil
		}
		if cert == "" || key == "" {
			return errors.New("--tls-cert and --tls-key belong together")
		}
		// On the command line a path starts where the command was given.
		if c.TLS.Cert, err = filepath.Abs(cert); err != nil {
			return err
		}
		c.TLS.Key, err = filepath.Abs(key)
		return err
	}
}
