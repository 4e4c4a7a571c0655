package results

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"tlsurge/results/hist"
)

// Names of the files of a run directory that this package writes.
const (
	RunFile      = "run.json"
	OutcomesFile = "outcomes.jsonl"
	FiringsFile  = "firings.jsonl"
	LatencyFile  = "latency.hlog"
)

// runFiles are the open files of RUNDIR. The .jsonl files grow while the run lasts, and are written
// anew, joined and sorted, at its end.
type runFiles struct {
	dir               string
	outcomes, firings *lineFile
	hlogFile          *os.File
	hlogBuffer        *bufio.Writer
	hlog              *hist.LogWriter
}

// lineFile is a file of one JSON value per line.
type lineFile struct {
	f *os.File
	w *bufio.Writer
}

func createLines(path string) (*lineFile, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &lineFile{f, bufio.NewWriter(f)}, nil
}

func (l *lineFile) append(v any) error {
	p, err := json.Marshal(v)
	if err != nil {
		return err
	}
	l.w.Write(p)
	return l.w.WriteByte('\n')
}

func (l *lineFile) close() error { return errors.Join(l.w.Flush(), l.f.Close()) }

func openRunFiles(cfg CollectorConfig) (*runFiles, error) {
	if old, err := os.ReadFile(filepath.Join(cfg.Dir, RunFile)); err == nil {
		return nil, fmt.Errorf("%s holds a run already (%d bytes of %s); nothing was overwritten", cfg.Dir, len(old), RunFile)
	}
	r := &runFiles{dir: cfg.Dir}
	var err error
	if r.outcomes, err = createLines(filepath.Join(cfg.Dir, OutcomesFile)); err != nil {
		return nil, err
	}
	if r.firings, err = createLines(filepath.Join(cfg.Dir, FiringsFile)); err != nil {
		return nil, errors.Join(err, r.close())
	}
	if r.hlogFile, err = os.OpenFile(filepath.Join(cfg.Dir, LatencyFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.hlogBuffer = bufio.NewWriter(r.hlogFile)
	tags := ""
	for _, k := range slices.Sorted(maps.Keys(cfg.Tags)) {
		tags += fmt.Sprintf(", %s=%s", k, cfg.Tags[k])
	}
	comment := fmt.Sprintf("tlsurge %s, scenario %s, seed %d%s; values in nanoseconds; tags are PHASE/METRIC", cfg.ToolVersion, cfg.Scenario, cfg.Seed, tags)
	if r.hlog, err = hist.NewLogWriter(r.hlogBuffer, cfg.Started.UnixMilli(), comment); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *runFiles) appendEvidence(e Evidence) error {
	var errs []error
	for i := range e.Attempts {
		errs = append(errs, r.outcomes.append(&e.Attempts[i]))
	}
	for i := range e.Firings {
		errs = append(errs, r.firings.append(&e.Firings[i]))
	}
	return errors.Join(errs...)
}

func (r *runFiles) flush() error {
	return errors.Join(r.outcomes.w.Flush(), r.firings.w.Flush(), r.hlogBuffer.Flush())
}

func (r *runFiles) close() error {
	var errs []error
	for _, l := range []*lineFile{r.outcomes, r.firings} {
		if l != nil {
			errs = append(errs, l.close())
		}
	}
	if r.hlogFile != nil {
		if r.hlogBuffer != nil {
			errs = append(errs, r.hlogBuffer.Flush())
		}
		errs = append(errs, r.hlogFile.Close())
	}
	return errors.Join(errs...)
}

// writeAtomically replaces dir/name with what write gives, so that a reader sees the old or the new
// content and never a part.
func writeAtomically(dir, name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(filepath.Join(dir, "."+name+".new"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	if err := errors.Join(write(w), w.Flush(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

func writeRun(dir string, run *Run) error {
	return writeAtomically(dir, RunFile, func(w io.Writer) error { return run.WriteJSON(w) })
}

// WriteJSON writes run.json: indented, with one order of keys and rows.
func (run *Run) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(run)
}

// writeLines replaces a .jsonl file.
func writeLines[T any](dir, name string, values []T) error {
	return writeAtomically(dir, name, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		for i := range values {
			if err := e.Encode(&values[i]); err != nil {
				return err
			}
		}
		return nil
	})
}
