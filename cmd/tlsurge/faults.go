package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

func (a *app) faultsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "faults",
		Short: "The faults: what can be done, where, and by which engine",
		Example: `  tlsurge faults list
  tlsurge faults list --json`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.faultsListCmd())
	return cmd
}

func (a *app) faultsListCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List every action, where it can strike and which engine does it",
		Example: "  tlsurge faults list", Args: exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return writeJSON(a.out, faults.Cells())
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ACTION\tENGINE\tWHAT IT DOES\tAT")
			for _, c := range faults.Cells() {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Action, c.Engine, c.Meaning, stageList(c.Stages))
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func stageList(at []stage.Stage) string {
	if len(at) == 0 {
		return "the edge or the link as a whole"
	}
	text := ""
	for i, s := range at {
		if i > 0 {
			text += " "
		}
		text += s.String()
	}
	return text
}
