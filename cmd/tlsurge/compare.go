package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tlsurge/results/compare"
)

func (a *app) compareCmd() *cobra.Command {
	var o compare.Options
	var asJSON, asMarkdown bool
	var tagList []string
	var history string
	cmd := &cobra.Command{
		Use:   "compare BASE NEW | --history FILE",
		Short: "Judge stored runs against each other: is NEW worse than BASE?",
		Long: `compare reads two runs, or two directories of runs (every run is a round), and judges each metric: rank
test with a correction for many metrics, the change with its interval, and the smallest change that matters.
What else differs between the sides (scenario, seed, machine) is said first. Where the rounds cannot support
a judgement it says so, and how many would do.

--history reads a file that ` + "`tlsurge run --history FILE`" + ` adds a line to with every run, and marks where the level of a
metric has changed, scenario by scenario and machine by machine.

Exit code: 0 no regression, 1 a regression, 2 what was given cannot be compared, 4 too little could be judged.`,
		Example: "  tlsurge compare runs/base runs/candidate\n  tlsurge compare BASE NEW --json\n  tlsurge compare --history runs.jsonl",
		Args: func(cmd *cobra.Command, args []string) error {
			if history != "" {
				return exactly(0, "either two sides or --history FILE")(cmd, args)
			}
			return exactly(2, "two run directories, or two directories of runs")(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if history != "" {
				return a.trends(history, o, asJSON)
			}
			tags, err := parseTags(tagList)
			if err != nil {
				return err
			}
			base, err := compare.LoadSide(args[0])
			if err != nil {
				return err
			}
			candidate, err := compare.LoadSide(args[1])
			if err != nil {
				return err
			}
			report := compare.Runs(base, candidate, o)
			report.Tags = tags
			return a.judge(a.out, report, asJSON, asMarkdown)
		},
	}
	fl := cmd.Flags()
	fl.Float64Var(&o.MinEffect, "min-effect", 0, "smallest relative change that matters (default 0.05)")
	fl.Float64Var(&o.Alpha, "alpha", 0, "chance of a false alarm over all metrics (default 0.05)")
	fl.StringVar(&history, "history", "", "show the trends of this `file` of runs instead")
	fl.StringArrayVar(&tagList, "tag", nil, "label the judgement: `key=value`")
	fl.BoolVar(&asJSON, "json", false, "print the judgement as JSON")
	fl.BoolVar(&asMarkdown, "markdown", false, "print it for a pull request")
	return cmd
}

// trends prints a history with its marks.
func (a *app) trends(file string, o compare.Options, asJSON bool) error {
	entries, skipped, err := compare.ReadHistory(file)
	if err != nil {
		return err
	}
	if skipped > 0 {
		fmt.Fprintf(a.err, "tlsurge: warning: %d lines of %s were cut off and are left out\n", skipped, file)
	}
	list := compare.Trends(entries, o)
	if asJSON {
		return writeJSON(a.out, list)
	}
	_, err = a.out.Write(compare.TrendText(list))
	return err
}

// judge prints a judgement and turns it into an exit code.
func (a *app) judge(w io.Writer, r *compare.Report, asJSON, asMarkdown bool) error {
	var err error
	switch {
	case asJSON:
		err = writeJSON(w, r)
	case asMarkdown:
		_, err = w.Write(compare.Markdown(r))
	default:
		_, err = w.Write(compare.Text(r))
	}
	switch {
	case err != nil:
		return err
	case r.Decision == compare.Regressed:
		return &exitError{code: exitFailed}
	case r.Decision == compare.Unsure:
		return &exitError{code: exitInvalid}
	}
	return nil
}
