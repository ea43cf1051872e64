//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"cunzheng/deploy/fabric/network"
)

func memberCommand(dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "member",
		Short: "Let an organisation join the consortium while it runs 新成员加入运行中的联盟",
		Long: `Let an organisation join the consortium while it runs. Each organisation does its steps on its own machine with its own
keys; they exchange files that hold no secrets. docs/consortium.md goes through it.

  create   the newcomer makes its keys, and org.json for the others
  propose  a member computes the update of the channel's configuration
  sign     a majority of the members sign it, one after the other
  submit   a member sends it to the orderers
  start    the newcomer starts its peer and contract
  admit    each member adds the newcomer to its profile, so that its clients ask it, too`,
		Args: noArgs,
	}
	cmd.AddCommand(memberCreate(dir), memberPropose(dir), memberSign(dir), memberSubmit(dir), memberStart(dir), memberAdmit(dir))
	return cmd
}

func memberCreate(dir *string) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "create --dir NEW --config member.toml",
		Short: "The newcomer makes its keys, and org.json for the others 新成员生成密钥和公开定义",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := os.ReadFile(config)
			if err != nil {
				return err
			}
			o, err := network.ParseMember(text)
			if err != nil {
				return fmt.Errorf("%s: %w", config, err)
			}
			path, d, err := network.CreateMember(*dir, o)
			if err != nil {
				return hint(err)
			}
			w := cmd.OutOrStdout()
			fmt.Fprintln(w, path)
			printDefinition(w, d)
			return nil
		},
	}
	required(cmd, &config, "config", "the newcomer: id, msp, title, peer; as deploy/fabric/member.toml")
	return cmd
}

// required adds a flag that names a file and must be given.
func required(cmd *cobra.Command, value *string, name, usage string) {
	cmd.Flags().StringVar(value, name, "", usage)
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if *value == "" {
			return hinted{usageError{errors.New("--" + name + " is missing")}, "usage: " + cmd.UseLine()}
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}

// existing are the flags of what a member does for a newcomer.
type existing struct {
	organisation, definition, update string
}

func (e *existing) flags(cmd *cobra.Command) {
	required(cmd, &e.organisation, "organisation", "who does it, by the id in the consortium file")
	required(cmd, &e.definition, "definition", "org.json of the newcomer, as received from itself")
	required(cmd, &e.update, "update", "file of the update")
}

func (e *existing) open(dir string) (*network.Network, network.Definition, error) {
	n, err := open(dir)
	if err != nil {
		return nil, network.Definition{}, err
	}
	d, err := readDefinition(e.definition)
	return n, d, err
}

func readDefinition(path string) (network.Definition, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return network.Definition{}, err
	}
	d, err := network.ParseDefinition(text)
	if err != nil {
		return network.Definition{}, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

func memberPropose(dir *string) *cobra.Command {
	var e existing
	cmd := &cobra.Command{
		Use:   "propose --organisation ID --definition org.json --update NEWFILE",
		Short: "A member computes the update that adds the newcomer 计算配置更新",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, d, err := e.open(*dir)
			if err != nil {
				return err
			}
			update, change, err := n.Propose(cmd.Context(), e.organisation, d)
			if err != nil {
				return err
			}
			if err := os.WriteFile(e.update, update, 0o600); err != nil {
				return err
			}
			printChange(cmd.OutOrStdout(), change)
			return nil
		},
	}
	e.flags(cmd)
	return cmd
}

func memberSign(dir *string) *cobra.Command {
	var e existing
	cmd := &cobra.Command{
		Use:   "sign --organisation ID --definition org.json --update FILE",
		Short: "A member checks and signs the update 核对并签署配置更新",
		Long: `A member checks and signs the update. It signs only if the update is, byte for byte in effect, the one that its own peer's
configuration and its own copy of org.json lead to.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, d, err := e.open(*dir)
			if err != nil {
				return err
			}
			change, err := n.SignUpdate(cmd.Context(), e.organisation, d, e.update)
			if err != nil {
				return hint(err)
			}
			printChange(cmd.OutOrStdout(), change)
			return nil
		},
	}
	e.flags(cmd)
	return cmd
}

func memberSubmit(dir *string) *cobra.Command {
	var e existing
	cmd := &cobra.Command{
		Use:   "submit --organisation ID --definition org.json --update FILE",
		Short: "A member sends the signed update to the orderers 提交配置更新",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, d, err := e.open(*dir)
			if err != nil {
				return err
			}
			change, err := n.SubmitUpdate(cmd.Context(), e.organisation, d, e.update)
			if err != nil {
				return hint(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is an organisation of channel %s · 已加入通道\n", d.MSP, change.Channel)
			return nil
		},
	}
	e.flags(cmd)
	return cmd
}

func memberStart(dir *string) *cobra.Command {
	var config, genesis, binaries, chaincode string
	cmd := &cobra.Command{
		Use:   "start --dir NEW --consortium consortium.toml --genesis genesis.block",
		Short: "The newcomer starts its peer and contract on the channel 新成员启动节点",
		Long: `The newcomer starts its peer and contract on the channel, once the others have submitted the update, and returns when the
peer answers. Obtain the genesis block on a way that you trust: everything else is checked from it. Later, up, down and
status with this --dir do what they do for a whole network.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := consortium(*dir, config, 0, true)
			if err != nil {
				return err
			}
			block, err := os.ReadFile(genesis)
			if err != nil {
				return err
			}
			n, err := network.Join(cmd.Context(), *dir, c, block, network.Options{
				Binaries: binaries, Chaincode: chaincode, Progress: cmd.ErrOrStderr(),
			})
			if err != nil {
				return hint(err)
			}
			return n.PrintProfiles(cmd.OutOrStdout())
		},
	}
	required(cmd, &config, "consortium", "consortium file of a member")
	required(cmd, &genesis, "genesis", "genesis block of the channel")
	cmd.Flags().StringVar(&binaries, "binaries", "", "as of up")
	cmd.Flags().StringVar(&chaincode, "chaincode", "", "as of up")
	return cmd
}

func memberAdmit(dir *string) *cobra.Command {
	var definition string
	cmd := &cobra.Command{
		Use:   "admit --definition org.json",
		Short: "A member adds the newcomer to its connection profile 更新连接配置",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := open(*dir)
			if err != nil {
				return err
			}
			d, err := readDefinition(definition)
			if err != nil {
				return err
			}
			if err := n.Admit(d); err != nil {
				return err
			}
			return n.PrintProfiles(cmd.OutOrStdout())
		},
	}
	required(cmd, &definition, "definition", "org.json of the newcomer, as received from itself")
	return cmd
}

func printDefinition(w io.Writer, d network.Definition) {
	ca, tlsca := d.Fingerprints()
	fmt.Fprintf(w, "  %s %s (%s), peer %s:%d\n", d.ID, d.Title, d.MSP, d.Peer.Host, d.Peer.Port)
	fmt.Fprintf(w, "  CA SHA-256      %s\n  TLS CA SHA-256  %s\n", ca, tlsca)
}

// printChange says what an update does, so that whoever signs it knows.
func printChange(w io.Writer, c network.Change) {
	before, after := len(c.Before), len(c.Before)+1
	fmt.Fprintf(w, "Channel %s: add to the application group, and nothing else · 仅增加以下成员：\n", c.Channel)
	printDefinition(w, c.Definition)
	fmt.Fprintf(w, "  endorsement 背书: %d of %d organisations before, %d of %d after\n",
		network.Majority(before), before, network.Majority(after), after)
	fmt.Fprintf(w, "  members before 现有成员: %s\n", strings.Join(c.Before, ", "))
	signed := "nobody yet"
	if len(c.Signed) > 0 {
		signed = strings.Join(c.Signed, ", ")
	}
	fmt.Fprintf(w, "  signed 已签署: %s; needed 需要 %d\n", signed, network.Majority(before))
}
