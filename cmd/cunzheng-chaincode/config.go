package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
)

const usage = `用法 / Usage:
  cunzheng-chaincode --id PACKAGE-ID --address HOST:PORT [选项 / flags]

以服务方式运行账本合约，由本机构的 Fabric 节点连接。
Runs the ledger's contract as a service to which this organisation's Fabric peer connects.

  --id ID           链码包标识，来自 peer lifecycle chaincode calculatepackageid
                    package ID, from peer lifecycle chaincode calculatepackageid        (CHAINCODE_ID)
  --address ADDR    监听地址 / address to listen on                          (CHAINCODE_SERVER_ADDRESS)
  --tls-key FILE    TLS 私钥（PEM） / private key                                   (CHAINCODE_TLS_KEY)
  --tls-cert FILE   TLS 证书（PEM） / certificate                                  (CHAINCODE_TLS_CERT)
  --client-ca FILE  要求节点出示由其签发的证书（PEM）
                    demand a certificate issued by these from the peer        (CHAINCODE_CLIENT_CA_CERT)
  --insecure        允许在非本机地址上不用 TLS
                    allow an address other than loopback without TLS    (CHAINCODE_TLS_DISABLED=true)
  --log-format F    text 或 json / text or json; default: text
  --log-level L     debug, info, warn, error; default: info
  --version         版本 / version

命令行优先于环境变量。收到 SIGTERM 即停止；合约的状态在节点中，停止不会丢失任何内容。
Flags win over the environment. SIGTERM ends it; the state is the peer's, so stopping loses nothing.

退出码 / Exit codes:  0 正常停止 / stopped    1 出错 / failed    3 用法错误 / usage error
`

// config is the parsed command line.
type config struct {
	id      string // of the installed package, as the peer knows it
	address string

	tlsKey   string // path; empty without TLS
	tlsCert  string // path
	clientCA string // path; empty if any peer may connect
	insecure bool

	logFormat string
	logLevel  slog.Level
	version   bool
}

// parseConfig reads the command line over the environment that Fabric's own chaincode servers use.
func parseConfig(args []string, getenv func(string) string) (config, error) {
	var c config
	flags := flag.NewFlagSet("cunzheng-chaincode", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.id, "id", getenv("CHAINCODE_ID"), "")
	flags.StringVar(&c.address, "address", getenv("CHAINCODE_SERVER_ADDRESS"), "")
	flags.StringVar(&c.tlsKey, "tls-key", getenv("CHAINCODE_TLS_KEY"), "")
	flags.StringVar(&c.tlsCert, "tls-cert", getenv("CHAINCODE_TLS_CERT"), "")
	flags.StringVar(&c.clientCA, "client-ca", getenv("CHAINCODE_CLIENT_CA_CERT"), "")
	flags.BoolVar(&c.insecure, "insecure", false, "")
	flags.StringVar(&c.logFormat, "log-format", "text", "")
	flags.TextVar(&c.logLevel, "log-level", slog.LevelInfo, "")
	flags.BoolVar(&c.version, "version", false, "")
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	if c.version {
		return c, nil
	}
	if flags.NArg() > 0 {
		return config{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if text := getenv("CHAINCODE_TLS_DISABLED"); text != "" {
		disabled, err := strconv.ParseBool(text)
		if err != nil {
			return config{}, fmt.Errorf("CHAINCODE_TLS_DISABLED=%q: want true or false", text)
		}
		c.insecure = c.insecure || disabled
		if !disabled && c.tlsKey == "" {
			return config{}, errors.New("CHAINCODE_TLS_DISABLED=false needs CHAINCODE_TLS_KEY and CHAINCODE_TLS_CERT")
		}
	}
	return c, c.validate()
}

func (c config) validate() error {
	if c.id == "" {
		return errors.New("the package ID is missing: set --id or CHAINCODE_ID")
	}
	if c.address == "" {
		return errors.New("the address is missing: set --address or CHAINCODE_SERVER_ADDRESS")
	}
	host, _, err := net.SplitHostPort(c.address)
	if err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if (c.tlsKey == "") != (c.tlsCert == "") {
		return errors.New("TLS needs both --tls-key and --tls-cert")
	}
	if c.clientCA != "" && c.tlsKey == "" {
		return errors.New("--client-ca needs TLS: set --tls-key and --tls-cert")
	}
	if c.tlsKey == "" && !c.insecure && !loopback(host) {
		return fmt.Errorf("%s is not a loopback address: set --tls-key and --tls-cert, or --insecure if the network is protected otherwise", c.address)
	}
	if c.logFormat != "text" && c.logFormat != "json" {
		return fmt.Errorf("--log-format %q: want text or json", c.logFormat)
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// logger writes to w, which the operator reads.
func (c config) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.logLevel}
	if c.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// tls loads the certificates; nil without TLS.
func (c config) tls() (*tls.Config, error) {
	if c.tlsKey == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(c.tlsCert, c.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
	if c.clientCA == "" {
		return t, nil
	}
	roots, err := os.ReadFile(c.clientCA)
	if err != nil {
		return nil, fmt.Errorf("client CA: %w", err)
	}
	t.ClientCAs = x509.NewCertPool()
	if !t.ClientCAs.AppendCertsFromPEM(roots) {
		return nil, fmt.Errorf("client CA: %s holds no certificate", c.clientCA)
	}
	t.ClientAuth = tls.RequireAndVerifyClientCert
	return t, nil
}
