package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tlsurge/results/report"
)

// formats are what `report` can write, in the order of its help.
var formats = []string{"text", "json", "html", "markdown", "junit", "github", "csv", "openmetrics"}

func (a *app) reportCmd() *cobra.Command {
	var format, table, out string
	var all, asJSON bool
	var tagList []string
	cmd := &cobra.Command{
		Use:   "report RUNDIR",
		Short: "Show a stored run: text, JSON, HTML, markdown, JUnit, GitHub annotations, CSV, OpenMetrics",
		Example: `  tlsurge report runs/20150131T180518Z-january-2015
  tlsurge report RUNDIR --format junit --out junit.xml
  tlsurge report RUNDIR --format csv --table users`,
		Args: exactly(1, "a run directory or a run.json"),
		RunE: func(_ *cobra.Command, args []string) error {
			if asJSON {
				format = "json"
			}
			in, err := report.Load(args[0])
			if err != nil {
				return err
			}
			tags, err := parseTags(tagList)
			if err != nil {
				return err
			}
			run := in.Run
			run.Tags = merged(run.Tags, tags)
			return a.writeTo(out, func(w io.Writer) error {
				switch format {
				case "text":
					o := report.Options{All: all, Dir: args[0]}
					if out == "" {
						o.Color, o.Width = movesCursor(a.out) && os.Getenv("NO_COLOR") == "", terminalWidth(a.out)
					}
					return report.WriteText(w, run, o)
				case "json":
					return writeJSON(w, run)
				case "markdown":
					_, err := w.Write(report.Markdown(run))
					return err
				case "junit":
					return report.JUnit(w, run)
				case "github":
					_, err := w.Write(report.Annotations(run))
					return err
				case "html":
					page, err := report.HTML(in)
					if err != nil {
						return err
					}
					_, err = w.Write(page)
					return err
				case "openmetrics":
					return report.OpenMetrics(w, run, in.Latencies)
				case "csv":
					return report.CSV(w, run, table)
				}
				return usagef("--format %s: allowed: %s", format, strings.Join(formats, ", "))
			})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&format, "format", "text", strings.Join(formats, ", "))
	fl.StringVar(&table, "table", "users", "csv: "+strings.Join(report.CSVTables(), ", "))
	fl.StringVar(&out, "out", "", "write to this `file`, which must not exist (default: standard output)")
	fl.StringArrayVar(&tagList, "tag", nil, "label the report: `key=value`, beside the run's own")
	fl.BoolVar(&all, "all", false, "text: every cause chain, counter and log line")
	fl.BoolVar(&asJSON, "json", false, "the same as --format json")
	return cmd
}

// writeTo calls f with standard output or with a new file; a file that f could not finish is removed.
func (a *app) writeTo(path string, f func(io.Writer) error) error {
	if path == "" {
		return f(a.out)
	}
	return a.writeNew("--out", path, f)
}

// writeNew calls f with a new file.
func (a *app) writeNew(flag, path string, f func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		var failed *fs.PathError
		if errors.Is(err, fs.ErrExist) {
			return usagef("%s %s: it exists, and is not overwritten", flag, path)
		} else if errors.As(err, &failed) {
			err = failed.Err
		}
		return usagef("%s %s: %v", flag, path, err)
	}
	if err := f(file); err != nil {
		file.Close()
		os.Remove(path)
		return err
	}
	return file.Close()
}
