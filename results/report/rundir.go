package report

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"tlsurge/results"
)

// HTMLFile is the page's name in a run directory; ScenarioFile that of the scenario as resolved.
const (
	HTMLFile     = "report.html"
	ScenarioFile = "scenario.toml"
	EvidenceDir  = "evidence" // of a run that captured, with TimelineFile in it
	TimelineFile = "timeline.svg"
)

// Load reads what the page is made of from a run directory, or a run.json alone. Every error is a
// results.InputError. What is missing beside run.json is left out of the page.
func Load(path string) (HTMLInput, error) {
	run, err := results.LoadRun(path)
	if err != nil {
		return HTMLInput{}, err
	}
	in := HTMLInput{Run: run}
	dir := path
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		dir = filepath.Dir(path)
	}
	log := filepath.Join(dir, results.LatencyFile)
	switch f, err := os.Open(log); {
	case err == nil:
		defer f.Close()
		if in.Latencies, err = ReadLatencies(f); err != nil {
			return HTMLInput{}, &results.InputError{Path: log, Err: &results.ForeignError{Path: log, Seen: err.Error()}}
		}
	case !errors.Is(err, fs.ErrNotExist):
		return HTMLInput{}, &results.InputError{Path: log, Err: err}
	}
	if p, err := os.ReadFile(filepath.Join(dir, ScenarioFile)); err == nil {
		in.Scenario = string(p)
	}
	return in, in.addEvidence(filepath.Join(dir, EvidenceDir))
}

// addEvidence looks for what a capture has left.
func (in *HTMLInput) addEvidence(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &results.InputError{Path: dir, Err: err}
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			in.Evidence = append(in.Evidence, e.Name())
		}
	}
	in.Timeline, err = os.ReadFile(filepath.Join(dir, TimelineFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &results.InputError{Path: dir, Err: err}
	}
	return nil
}

// WriteHTML reads a run directory and writes its report.html.
func WriteHTML(dir string) error {
	in, err := Load(dir)
	if err != nil {
		return err
	}
	p, err := HTML(in)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, HTMLFile), p, 0o600)
}
