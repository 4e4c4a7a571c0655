package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tlsurge/harness/scenario"
	"tlsurge/profiles"
)

func (a *app) profilesCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profiles",
		Short: "The browsers: list them, show one, print its hello, import a new one",
		Example: `  tlsurge profiles list
  tlsurge profiles show firefox-35-osx
  tlsurge profiles hello firefox-35-osx --attempt fallback --hex
  tlsurge profiles import capture.pcap --name my-browser --out my-browser.toml`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.profilesListCmd(), a.profilesShowCmd(), a.profilesHelloCmd(), a.profilesImportCmd())
	return cmd
}

// profileNames completes a profile's name.
func profileNames(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return profiles.Names(), cobra.ShellCompDirectiveDefault
}

// findProfile is scenario.FindProfile with an error of the command line.
func findProfile(name string) (*profiles.Profile, error) {
	p, err := scenario.FindProfile(name)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return p, nil
}

func (a *app) profilesListCmd() *cobra.Command {
	var asJSON, mixes bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the built-in profiles, or the named populations",
		Example: "  tlsurge profiles list\n  tlsurge profiles list --mixes",
		Args:    exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			if mixes {
				return a.listMixes(asJSON)
			}
			rows, err := profiles.List()
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(a.out, rows)
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tCLIENT\tRELEASED\tUP TO\tFALLS BACK TO\tJA4")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.Title, r.Released, r.Max, r.Fallback, r.JA4)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&mixes, "mixes", false, "list the named populations (mix = \"…\" in a scenario)")
	return cmd
}

func (a *app) listMixes(asJSON bool) error {
	var all []*profiles.Mix
	for _, n := range profiles.MixNames() {
		m, err := profiles.LookupMix(n)
		if err != nil {
			return err
		}
		all = append(all, m)
	}
	if asJSON {
		return writeJSON(a.out, all)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for i, m := range all {
		fmt.Fprintf(w, "%s\n", profiles.MixNames()[i])
		for _, e := range m.Entries {
			fmt.Fprintf(w, "  %s\t%g\n", e.Profile, e.Share)
		}
	}
	return w.Flush()
}

func (a *app) profilesShowCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show NAME|FILE.toml", Short: "Show a profile: source, hello, behaviour, the words of its errors",
		Example: "  tlsurge profiles show firefox-35-osx", ValidArgsFunction: profileNames,
		Args: exactly(1, "a profile's name or a TOML file"),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := findProfile(args[0])
			if err != nil {
				return err
			}
			if !asJSON {
				return p.Show(a.out)
			}
			s, err := p.Summary()
			if err != nil {
				return err
			}
			return writeJSON(a.out, s)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a summary as JSON")
	return cmd
}
