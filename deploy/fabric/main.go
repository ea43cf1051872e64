//go:build unix

// Command fabric runs a consortium on Hyperledger Fabric on this machine, for development, tests and drills:
//
//	go run ./deploy/fabric up        make it, or start it again
//	go run ./deploy/fabric status    say what runs
//	go run ./deploy/fabric down      stop it
//	go run ./deploy/fabric clean     stop it and remove its keys and ledgers
//	go run ./deploy/fabric member    let another organisation join while it runs
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"cunzheng/deploy/fabric/network"
)

// Exit codes, as those of cunzheng; exitDown is a network that status found incomplete.
const (
	exitOK    = 0
	exitError = 1
	exitDown  = 2
	exitUsage = 3
)

// defaultPort is the first port of the default consortium.
const defaultPort = 7050

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// hinted is an error that tells the user what to do next.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// usageError is a command line that cannot be run as typed.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// errIncomplete ends status when not everything is ready; what is missing has been printed.
var errIncomplete = errors.New("not ready")

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var dir string
	root := &cobra.Command{
		Use:   "fabric",
		Short: "Run a consortium on Hyperledger Fabric on this machine · 在本机运行联盟链",
		Long: `Run a consortium on Hyperledger Fabric on this machine: for each organisation an orderer (SmartBFT), a peer and the
contract beside it. Fabric is built from source the first time; nothing else is needed.
在本机运行联盟链：每个成员一个排序节点、一个对等节点和一个智能合约服务。首次运行时从源码构建 Fabric。`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.PersistentFlags().StringVar(&dir, "dir", "data-fabric", "the network's folder")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return hinted{usageError{err}, "see: " + cmd.CommandPath() + " --help"}
	})
	root.AddCommand(upCommand(&dir), downCommand(&dir), statusCommand(&dir), cleanCommand(&dir), memberCommand(&dir))
	err := root.ExecuteContext(ctx)
	var h hinted
	if err != nil && !errors.As(err, &h) && strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
		err = hinted{usageError{err}, "see: fabric --help"}
	}
	return report(stderr, err)
}

// report prints an error with its hint and returns the exit code.
func report(w io.Writer, err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errIncomplete):
		return exitDown
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(w, "fabric: interrupted · 已中断:", err)
		return exitError
	}
	fmt.Fprintln(w, "fabric:", strings.TrimSpace(err.Error()))
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintln(w, "  →", h.hint)
	}
	var u usageError
	if errors.As(err, &u) {
		return exitUsage
	}
	return exitError
}

func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return hinted{usageError{err}, "usage: " + cmd.UseLine()}
	}
	return nil
}

func upCommand(dir *string) *cobra.Command {
	var config, binaries, chaincode string
	var port int
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make the network, or start what is missing of it 建立或启动网络",
		Long: `Make the network, or start what is missing of it, and return when clients can use it. It is safe to run again, also
after an interruption. When it fails, what it started is stopped. The processes go on when this command ends.

The consortium is that of --config; without it, the one that the folder has; without that, the default of four
organisations, on the 40 ports from --port on (see deploy/fabric/consortium.toml).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			portGiven := cmd.Flags().Changed("port")
			if config != "" && portGiven {
				return hinted{usageError{errors.New("--config and --port exclude each other")}, "the consortium file names all ports"}
			}
			c, err := consortium(*dir, config, port, portGiven)
			if err != nil {
				return err
			}
			n, err := network.Up(cmd.Context(), *dir, c, network.Options{
				Binaries: binaries, Chaincode: chaincode, Progress: cmd.ErrOrStderr(),
			})
			if err != nil {
				return hint(err)
			}
			return n.PrintProfiles(cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "consortium file, such as deploy/fabric/consortium.toml")
	cmd.Flags().IntVar(&port, "port", defaultPort, "first port of the default consortium")
	cmd.Flags().StringVar(&binaries, "binaries", "", "folder of Fabric's binaries, built there if missing; default bin/fabric/"+network.Version)
	cmd.Flags().StringVar(&chaincode, "chaincode", "", "path of cunzheng-chaincode; default: it is built")
	return cmd
}

// consortium is the one of the file, of the folder, or the default.
func consortium(dir, config string, port int, portGiven bool) (network.Consortium, error) {
	if config != "" {
		text, err := os.ReadFile(config)
		if err != nil {
			return network.Consortium{}, err
		}
		c, err := network.Parse(text)
		if err != nil {
			return network.Consortium{}, fmt.Errorf("%s: %w", config, err)
		}
		return c, nil
	}
	if !portGiven {
		n, err := network.Open(dir)
		if err == nil {
			return n.Consortium, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return network.Consortium{}, err
		}
	}
	return network.Default(port), nil
}

// hint adds what to do about errors that a user can act on.
func hint(err error) error {
	var port *network.PortError
	switch {
	case errors.As(err, &port):
		return hinted{err, "choose other ports with --port or in the consortium file, or stop that program"}
	case errors.Is(err, network.ErrOtherUpdate):
		return hinted{err, "ask who proposed it; after another change of the channel it has to be proposed and signed anew"}
	case errors.Is(err, network.ErrOtherNetwork):
		return hinted{err, "choose another --dir, or remove that network: fabric clean --dir DIR"}
	}
	return err
}

func open(dir string) (*network.Network, error) {
	n, err := network.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hinted{fmt.Errorf("no network in %s", dir), "make one: fabric up --dir " + dir}
	}
	return n, err
}

func downCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the network; what it stored stays 停止网络，数据保留",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := open(*dir)
			if err != nil {
				return err
			}
			return n.Down(cmd.Context())
		},
	}
}

func cleanCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Stop the network and remove its keys, ledgers and logs 停止网络并删除其密钥、账本和日志",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := open(*dir)
			if err != nil {
				return err
			}
			return n.Clean(cmd.Context())
		},
	}
}

func statusCommand(dir *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how each process does; exit code 2 if not all are ready 查看各进程状态",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := open(*dir)
			if err != nil {
				return err
			}
			statuses, err := n.Status(cmd.Context())
			if err != nil {
				return err
			}
			return printStatus(cmd.OutOrStdout(), statuses, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printStatus(w io.Writer, statuses []network.Status, asJSON bool) error {
	incomplete := false
	for _, s := range statuses {
		incomplete = incomplete || !s.Ready
	}
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(statuses); err != nil {
			return err
		}
	} else if err := printTable(w, statuses); err != nil {
		return err
	}
	if incomplete {
		return errIncomplete
	}
	return nil
}

func printTable(w io.Writer, statuses []network.Status) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PROCESS 进程\tPID\tSTATE 状态")
	for _, s := range statuses {
		pid, state := "-", "ready 就绪"
		if s.Running {
			pid = fmt.Sprint(s.PID)
		}
		if !s.Ready {
			state = s.Problem
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, pid, state)
	}
	return table.Flush()
}
