package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// shells are those that completion writes a script for, with the line that turns it on.
var shells = []struct{ name, how string }{
	{"bash", "source <(tlsurge completion bash)"},
	{"zsh", "source <(tlsurge completion zsh)"},
	{"fish", "tlsurge completion fish | source"},
	{"powershell", "tlsurge completion powershell | Out-String | Invoke-Expression"},
}

func (a *app) completionCmd() *cobra.Command {
	var names, lines []string
	for _, s := range shells {
		names = append(names, s.name)
		lines = append(lines, fmt.Sprintf("  %-12s %s", s.name, s.how))
	}
	allowed := strings.Join(names, ", ")
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "Print the script that completes tlsurge's commands, flags, profiles and scenarios in a shell",
		Long:      "Prints a completion script. To turn it on in the shell that is open:\n\n" + strings.Join(lines, "\n"),
		Example:   "  tlsurge completion bash",
		ValidArgs: names,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("completion wants one shell; allowed: %s", allowed)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
			return usagef("no completion for %q; allowed: %s", args[0], allowed)
		},
	}
}
