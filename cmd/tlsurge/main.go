// Command tlsurge opens tens of thousands of TLS connections as real browsers do, damages the network
// on purpose, and says what users saw, what servers logged, and which fault caused it.
//
// This package is the door: subcommands, flags, exit codes. What they do lives in harness, profiles,
// faults and results.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"tlsurge/harness/fleet"
)

func main() { os.Exit(program()) }

// program is a process of this binary: a child of a run under its hidden verb, or what the user typed.
func program() (code int) {
	if verb, ok := fleet.ChildVerb(os.Args); ok {
		return fleet.ChildMain(verb, os.Args[2:])
	}
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "tlsurge: internal fault: %v\n%s", p, debug.Stack())
			code = exitInternal
		}
	}()
	return run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// app is what every subcommand may use of the world outside.
type app struct {
	in       io.Reader
	out, err io.Writer
}

// run is the whole program for one command line; tests call it too.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin, stdout, stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(context.Background())
	if err != nil {
		if text := err.Error(); text != "" {
			fmt.Fprintln(stderr, "tlsurge: "+text)
		}
	}
	return exitCode(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tlsurge",
		Short: "TLS load and fault injection that speaks as real browsers do",
		Long: `tlsurge opens tens of thousands of keepalive TLS connections as a mix of real browsers, damages the
network on purpose, lets every browser run its own retry and fallback dance, and says what users saw,
what servers logged, and which fault caused it.`,
		Example: `  tlsurge run                          the January 2015 story, on a bundled fleet
  tlsurge run my.toml --set load.connections=5000
  tlsurge profiles list
  tlsurge doctor`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v\nSee '%s --help'.", err, cmd.CommandPath())
	})
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(a.completionCmd(), a.runCmd(), a.profilesCmd(), a.matrixCmd(), a.faultsCmd(), a.edgeCmd(), a.agentCmd(), a.capacityCmd(), a.reproCmd(), a.reportCmd(), a.compareCmd(), a.benchCmd(), a.doctorCmd())
	return root
}

// noSuchCommand refuses a word that is no subcommand, and names the nearest one.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	here := cmd.CommandPath()
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf("; did you mean %q?", near[0])
	}
	return usagef("%s\nSee '%s --help'.", text, here)
}
