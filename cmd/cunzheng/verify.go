package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"cunzheng/cmd/internal/verifier"
)

// verifyCommand is cunzheng-verify under another name: the same flags, answers and exit codes.
func verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "verify [--trust FILE] [--content FILE] [--at TIME] [--json] [--lang zh|en] BUNDLE",
		Short:              "Verify a bundle offline; exit code 0 passed, 1 failed, 2 indeterminate 离线核验",
		DisableFlagParsing: true, // the verifier reads its own flags
		ValidArgsFunction:  suggestVerify,
		RunE: func(cmd *cobra.Command, args []string) error {
			v := verifier.Command{Name: "cunzheng verify", Version: version, Getenv: os.Getenv, Now: time.Now}
			if code := v.Run(args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()); code != verifier.ExitPassed {
				return exitStatus(code)
			}
			return nil
		},
	}
}
