package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tlsurge/faults"
	"tlsurge/faults/explain"
	"tlsurge/faults/sockfilter"
	"tlsurge/harness/scenario"
)

func (a *app) faultsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "faults",
		Short: "The faults: what can be done, where, by which engine; what a rule will do",
		Example: `  tlsurge faults list
  tlsurge faults explain reset-first-handshake
  tlsurge faults explain hello-lost-until-deadline --scenario january-2015`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.faultsListCmd(), a.faultsExplainCmd())
	return cmd
}

func (a *app) faultsListCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List every action, where it can strike and which engine does it",
		Example: "  tlsurge faults list\n  tlsurge faults list --json", Args: exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return writeJSON(a.out, explain.List())
			}
			_, err := fmt.Fprint(a.out, explain.Text(explain.List()))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) faultsExplainCmd() *cobra.Command {
	var from string
	var set []string
	cmd := &cobra.Command{
		Use:   "explain RULE",
		Short: "Say what a scenario's rule will do: engine, who is hit, the packet filter; nothing is started",
		Example: `  tlsurge faults explain reset-first-handshake
  tlsurge faults explain cut --scenario my.toml --set faults.cut.at=server_hello`,
		Args: exactly(1, "the name of a rule of the scenario"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return ruleNames(from)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := loadScenario(from, scenario.Overrides{Set: set})
			if err != nil {
				return err
			}
			rule, err := ruleNamed(s, args[0])
			if err != nil {
				return err
			}
			var missing []faults.Capability
			if sockfilter.Probe() != nil && s.Run.Netns == "caller" {
				missing = append(missing, faults.NetAdmin)
			}
			text, err := explain.Rule(rule, missing...)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(a.out, text)
			return err
		},
	}
	cmd.Flags().StringVar(&from, "scenario", "january-2015", "the scenario that holds the rule: a built-in name or a file")
	cmd.Flags().StringArrayVar(&set, "set", nil, "override a key of the scenario: `key.path=value`")
	return cmd
}

func ruleNamed(s *scenario.Scenario, name string) (faults.Rule, error) {
	var names []string
	for _, f := range s.Faults {
		if f.Name == name {
			return f.Rule, nil
		}
		names = append(names, f.Name)
	}
	return faults.Rule{}, usagef("%s has no fault %q%s", s.Name, name, scenario.Suggest(name, names))
}

// ruleNames completes the name of a rule of a scenario.
func ruleNames(from string) ([]string, cobra.ShellCompDirective) {
	s, err := loadScenario(from, scenario.Overrides{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, f := range s.Faults {
		names = append(names, f.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
