package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cunzheng/evidence"
	"cunzheng/keystore"
	"cunzheng/notary"
)

// Values that flags take, as the shell offers them and as help and errors name them.
var (
	generations = names(evidence.GenerationSystem, evidence.GenerationManual, evidence.GenerationExport, evidence.GenerationScan,
		evidence.GenerationPhoto, evidence.GenerationAudio, evidence.GenerationVideo, evidence.GenerationScreen, evidence.GenerationWeb,
		evidence.GenerationConversion, evidence.GenerationOther)
	custodies    = names(evidence.CustodySystem, evidence.CustodyDepositor, evidence.CustodyThirdParty, evidence.CustodyNotary, evidence.CustodyArchive)
	environments = names(evidence.EnvironmentChecked, evidence.EnvironmentNormal, evidence.EnvironmentNotChecked)
	standings    = names(evidence.StandingActive, evidence.StandingClosed)
	levels       = []string{"city", "district", "town", "community"} // of organisations
	keyUses      = names(evidence.UseAuthentication, evidence.UseSignature)
	reasons      = names(evidence.ReasonCompromise, evidence.ReasonSuperseded, evidence.ReasonCessation)
	accountRoles = names(notary.Roles()...)
	logFormats   = []string{"text", "json"}
	logLevels    = []string{"debug", "info", "warn", "error"}
	languages    = names(evidence.Chinese, evidence.English)
)

func names[T ~string](values ...T) []string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return texts
}

// suggest has the shell offer the values of a flag, which must exist.
func suggest(cmd *cobra.Command, flag string, values []string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is not defined: a mistake in this program that every run of it shows
	}
}

// suggestRoles has the shell offer the roles of the platform's keys as the first argument.
func suggestRoles(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names[keystore.Role](roles...), cobra.ShellCompDirectiveNoFileComp
}

// suggestVerify completes the flags of the verifier, which parses them itself.
func suggestVerify(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	switch last := len(args) - 1; {
	case last >= 0 && args[last] == "--lang":
		return languages, cobra.ShellCompDirectiveNoFileComp
	case last >= 0 && args[last] == "--at":
		return nil, cobra.ShellCompDirectiveNoFileComp
	case strings.HasPrefix(toComplete, "-") && !slices.Contains(args, "--"):
		return []string{"--trust", "--content", "--at", "--json", "--lang", "--version", "--help"}, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault // files
}
