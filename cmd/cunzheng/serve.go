package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"

	"github.com/spf13/cobra"
)

func serveCommand() *cobra.Command {
	var dir, listen, logFormat, logLevel string
	var ledger, certificate func(*Config) error
	cmd := &cobra.Command{
		Use:   "serve --data DIR",
		Short: "Run the node 启动服务",
		Long: `Run the node until it is interrupted. Requests under way are finished, and what was acknowledged is durable before
the acknowledgement is sent, so stopping it in any way loses nothing.

Settings are in DIR/` + configFile + `; --listen, --ledger and --tls-… win over them. Without a certificate it speaks plain
HTTP, for loopback or behind a proxy that ends TLS.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(cmd.ErrOrStderr(), logFormat, logLevel)
			if err != nil {
				return usageError{err}
			}
			return serve(cmd.Context(), dir, listen, logger, cmd.OutOrStdout(), ledger, certificate)
		},
	}
	addDataFlag(cmd, &dir)
	cmd.Flags().StringVar(&listen, "listen", "", "address to listen on; default from the configuration")
	ledger, certificate = addLedgerFlags(cmd.Flags()), addTLSFlags(cmd.Flags())
	cmd.Flags().StringVar(&logFormat, "log-format", "text", "text or json")
	cmd.Flags().StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	suggest(cmd, "log-format", logFormats)
	suggest(cmd, "log-level", logLevels)
	return cmd
}

func addDataFlag(cmd *cobra.Command, dir *string) {
	dataDir := os.Getenv("CUNZHENG_DATA")
	if dataDir == "" {
		dataDir = "data"
	}
	cmd.Flags().StringVar(dir, "data", dataDir, "the node's folder (CUNZHENG_DATA)")
}

func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("--log-format %q: want text or json", format)
}

// serve opens the node in dir, serves it until ctx ends, and closes it.
func serve(ctx context.Context, dir, listen string, logger *slog.Logger, out io.Writer, settings ...func(*Config) error) (err error) {
	if err := noCoreDumps(); err != nil {
		logger.Warn("core dumps could not be switched off; one would hold keys", "error", err)
	}
	n, err := openNode(ctx, dir, logger, settings...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if n.tls, err = serverTLS(dir, n.config.TLS, logger); err != nil {
		return err
	}
	if listen == "" {
		listen = n.config.Listen
	}
	l, err := net.Listen("tcp", listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return withHint(err, "another program listens there; choose another address with --listen")
	}
	if err != nil {
		return err
	}
	publicURL := n.config.PublicURL
	if publicURL == "" {
		if publicURL = "http://" + l.Addr().String(); n.tls != nil {
			publicURL = "https://" + l.Addr().String()
		}
	}
	fmt.Fprintf(out, "cunzheng %s: %s serves %s with %d entries\n", version, n.config.Organisation.Name, publicURL, n.log.Latest().Size)
	fmt.Fprintln(out, ledgerLine(n.ledger.Describe()))
	fmt.Fprintf(out, "try, in another terminal: cunzheng deposit FILE --server %s\n", publicURL)
	return n.Run(ctx, l, publicURL)
}
