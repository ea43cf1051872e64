package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"cunzheng/api/client"
	"cunzheng/crypto/sm2"
)

const (
	defaultServer  = "http://127.0.0.1:8080"
	serverEnv      = "CUNZHENG_SERVER"
	credentialsEnv = "CUNZHENG_CREDENTIALS"
)

// connection are the flags of every command that talks to a server.
type connection struct {
	server      string
	credentials string
	allowPlain  bool
}

func (c *connection) addTo(cmd *cobra.Command) {
	server := os.Getenv(serverEnv)
	if server == "" {
		server = defaultServer
	}
	cmd.Flags().StringVar(&c.server, "server", server, "server's address ("+serverEnv+")")
	cmd.Flags().StringVar(&c.credentials, "credentials", os.Getenv(credentialsEnv), "credentials file of a machine account ("+credentialsEnv+"); default: your login, else what 'cunzheng init' left for you on this machine")
	cmd.Flags().BoolVar(&c.allowPlain, "allow-plain-http", false, "send credentials over plain HTTP to another host")
}

// public connects without credentials, for what everybody may read.
func (c *connection) public() (*client.Client, error) {
	return client.New(client.Options{Server: c.server, AllowPlain: c.allowPlain, Language: "en"})
}

// connect returns a client with the best credentials there are: the file named on the command line, the login kept for
// this server, or what `cunzheng init` left for a node on this machine.
func (c *connection) connect(ctx context.Context) (*client.Client, error) {
	if c.credentials != "" {
		credentials, err := readCredentials(c.credentials)
		if err != nil {
			return nil, err
		}
		return c.asMachine(credentials)
	}
	p, err := openProfile()
	if err != nil {
		return nil, err
	}
	sessions, err := p.sessions()
	if err != nil {
		return nil, err
	}
	if s, ok := sessions[c.server]; ok && time.Now().Before(s.Expires) {
		return client.New(client.Options{Server: c.server, Credentials: client.Bearer(s.Token), AllowPlain: c.allowPlain, Language: "en"})
	}
	if local, err := isLoopback(c.server); err != nil {
		return nil, usageError{err}
	} else if local {
		credentials, err := c.localCredentials(ctx, p)
		if err != nil {
			return nil, err
		}
		if credentials != nil {
			return c.asMachine(*credentials)
		}
	}
	return nil, withHint(fmt.Errorf("not signed in to %s", c.server), "run: cunzheng login --server "+c.server)
}

func (c *connection) asMachine(m machineCredentials) (*client.Client, error) {
	key, err := sm2.ParsePrivateKeyPEM([]byte(m.Key), nil)
	if err != nil {
		return nil, fmt.Errorf("the key in the credentials: %w", err)
	}
	return client.New(client.Options{
		Server: c.server, Issuer: m.Platform, Credentials: client.Machine(m.Account, m.KeyID, key),
		AllowPlain: c.allowPlain, Language: "en",
	})
}

// localCredentials finds what init left for the node that answers at this loopback address; nil if there is nothing.
func (c *connection) localCredentials(ctx context.Context, p profile) (*machineCredentials, error) {
	public, err := c.public()
	if err != nil {
		return nil, err
	}
	defer public.Close()
	trust, _, err := public.Trust(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	for _, log := range trust.Logs {
		credentials, err := readCredentials(p.credentialsPath(log.Origin))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return &credentials, err
	}
	return nil, nil
}

// explain adds what to do to the errors of a client.
func (c *connection) explain(err error) error {
	var problem *client.Problem
	var network *net.OpError
	var stranger x509.UnknownAuthorityError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &problem) && problem.Status == 401:
		return withHint(err, "run: cunzheng login --server "+c.server)
	case errors.As(err, &stranger):
		return withHint(err, "if you know this server's authority, name its certificate: SSL_CERT_FILE=ca.pem")
	case errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF):
		return withHint(err, "is the server running at "+c.server+"? start it with: cunzheng serve --data DIR")
	}
	return err
}

func isLoopback(server string) (bool, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return false, fmt.Errorf("--server %q is not an address such as %s", server, defaultServer)
	}
	if u.Hostname() == "localhost" {
		return true, nil
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback(), nil
}

// machineCredentials are a system's account with its private key.
type machineCredentials struct {
	Platform string `json:"platform"` // origin of the log: whom assertions are addressed to
	Account  string `json:"account"`
	KeyID    string `json:"keyId"`
	Key      string `json:"key"` // PKCS#8 PEM
}

func readCredentials(path string) (machineCredentials, error) {
	var m machineCredentials
	info, err := os.Stat(path)
	if err != nil {
		return m, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return m, withHint(fmt.Errorf("%s is open to other users", path), "run: chmod 600 "+path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return m, fmt.Errorf("%s is not a credentials file: %w", path, err)
	}
	return m, nil
}

func (m machineCredentials) write(path string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writePrivate(path, append(text, '\n'))
}

// session is what `cunzheng login` keeps: a short-lived token for one server.
type session struct {
	Account string    `json:"account"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// profile is the folder of the user's own credentials. Everything in it is readable by the user alone.
type profile struct{ dir string }

func openProfile() (profile, error) {
	config, err := os.UserConfigDir()
	if err != nil {
		return profile{}, fmt.Errorf("no folder for credentials: %w", err)
	}
	return profile{filepath.Join(config, "cunzheng")}, nil
}

// credentialsPath is where init leaves the local user's credentials for one log.
func (p profile) credentialsPath(origin string) string {
	return filepath.Join(p.dir, "credentials", url.PathEscape(origin)+".json")
}

func (p profile) sessionsPath() string { return filepath.Join(p.dir, "sessions.json") }

func (p profile) sessions() (map[string]session, error) {
	sessions := map[string]session{}
	text, err := os.ReadFile(p.sessionsPath())
	if errors.Is(err, fs.ErrNotExist) {
		return sessions, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &sessions); err != nil {
		return nil, withHint(fmt.Errorf("%s: %w", p.sessionsPath(), err), "remove that file and log in again")
	}
	return sessions, nil
}

func (p profile) saveSession(server string, s session) error {
	sessions, err := p.sessions()
	if err != nil {
		return err
	}
	sessions[server] = s
	text, err := json.Marshal(sessions)
	if err != nil {
		return err
	}
	return writePrivate(p.sessionsPath(), text)
}

// writePrivate replaces a file in one step; only its owner may read it.
func writePrivate(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if _, err := temp.Write(content); err != nil {
		temp.Close()
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

func loginCommand() *cobra.Command {
	var c connection
	var account, passwordFile string
	cmd := &cobra.Command{
		Use:   "login [--account NAME]",
		Short: "Sign in with name and password 登录",
		Long:  "Sign in with name and password. The token is kept for this user until it expires; the password is not kept.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			password, err := askPassword(cmd, &account, passwordFile)
			if err != nil {
				return err
			}
			signedIn, err := client.New(client.Options{Server: c.server, Credentials: client.Password(account, password), AllowPlain: c.allowPlain, Language: "en"})
			if err != nil {
				return err
			}
			defer signedIn.Close()
			token, err := signedIn.Login(cmd.Context())
			if err != nil {
				var problem *client.Problem
				if errors.As(err, &problem) {
					return err
				}
				return c.explain(err)
			}
			p, err := openProfile()
			if err != nil {
				return err
			}
			expires := time.Now().Add(time.Duration(token.ExpiresIn) * time.Second)
			if err := p.saveSession(c.server, session{Account: token.Account, Token: token.AccessToken, Expires: expires}); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "signed in to %s as %s (%s) until %s\n", c.server, token.Account, strings.Join(token.Roles, ", "), expires.Format("15:04"))
			return nil
		},
	}
	c.addTo(cmd)
	cmd.Flags().StringVar(&account, "account", "", "account name; asked for if absent")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "read the password from the first line of this file instead of asking")
	return cmd
}

// askPassword asks on the terminal for what the command line did not say. Without a terminal both come from standard
// input, a line each.
func askPassword(cmd *cobra.Command, account *string, passwordFile string) (string, error) {
	in := bufio.NewReader(cmd.InOrStdin())
	if *account == "" {
		fmt.Fprint(cmd.ErrOrStderr(), "account: ")
		line, err := in.ReadString('\n')
		if err != nil && line == "" {
			return "", usageError{fmt.Errorf("no account name given")}
		}
		*account = strings.TrimSpace(line)
	}
	if passwordFile != "" {
		return firstLine(passwordFile)
	}
	if file, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprint(cmd.ErrOrStderr(), "password: ")
		password, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		return string(password), err
	}
	line, err := in.ReadString('\n')
	if err != nil && line == "" {
		return "", usageError{fmt.Errorf("no password given")}
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func firstLine(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimRight(line, "\r"), nil
}

func tokenCommand() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Print an access token for use with other programs 访问令牌",
		Long:    "Print a short-lived access token for use with other programs. Whoever has it acts as you until it expires.",
		Example: `  curl -H "Authorization: Bearer $(cunzheng token)" -T contract.pdf http://127.0.0.1:8080/v1/evidence/files/`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer server.Close()
			token, err := server.Login(cmd.Context())
			if err != nil {
				return c.explain(err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), token.AccessToken)
			return nil
		},
	}
	c.addTo(cmd)
	return cmd
}
