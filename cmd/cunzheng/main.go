// Command cunzheng is the evidence platform: the server and the command line that uses it.
//
//	cunzheng init --data DIR              make a node
//	cunzheng serve --data DIR             run it
//	cunzheng deposit FILE…                deposit evidence
//	cunzheng bundle NUMBER -o FILE        fetch the file a court verifies
//	cunzheng verify --trust TRUST FILE    verify it, offline
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set at link time.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns its exit code. Tests call it with their own streams.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "cunzheng",
		Short:         "Evidence that a court verifies offline, trusting nobody · 存证：法院离线核验，无需信任任何人",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return withHint(usageError{err}, "see: "+cmd.CommandPath()+" --help")
	})
	root.AddGroup(
		&cobra.Group{ID: "node", Title: "Run a node 运行节点:"},
		&cobra.Group{ID: "evidence", Title: "Deposit and find evidence 存证与查询:"},
		&cobra.Group{ID: "verify", Title: "Verify 核验:"},
		&cobra.Group{ID: "admin", Title: "Administer 管理:"},
	)
	root.AddCommand(
		inGroup("node", initCommand(), serveCommand(), fsckCommand(), keysCommand())...,
	)
	root.AddCommand(
		inGroup("evidence", loginCommand(), tokenCommand(), depositCommand(), showCommand(), searchCommand(), bundleCommand(), proofCommand())...,
	)
	root.AddCommand(
		inGroup("verify", verifyCommand(), trustCommand())...,
	)
	root.AddCommand(
		inGroup("admin", organisationCommand(), accountCommand(), keyCommand())...,
	)
	root.AddCommand(versionCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		if strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
			err = withHint(usageError{err}, "see: cunzheng --help")
		}
		return printError(stderr, err)
	}
	return exitOK
}

func inGroup(id string, commands ...*cobra.Command) []*cobra.Command {
	for _, c := range commands {
		c.GroupID = id
	}
	return commands
}

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print version, Go release and platform",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "cunzheng %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// noArgs, exactArgs and minArgs are cobra's own checks with our usage error and exit code.
func noArgs(cmd *cobra.Command, args []string) error { return asUsage(cmd, cobra.NoArgs(cmd, args)) }

func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return asUsage(cmd, cobra.ExactArgs(n)(cmd, args)) }
}

func minArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		return asUsage(cmd, cobra.MinimumNArgs(n)(cmd, args))
	}
}

func asUsage(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	return withHint(usageError{err}, "usage: "+cmd.UseLine())
}
