package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tlsurge/faults"
)

// LoadRun reads a run: a run directory or a run.json. Every error is an InputError.
func LoadRun(path string) (*Run, error) {
	run, err := loadRun(path)
	if err != nil {
		return nil, &InputError{path, err}
	}
	return run, nil
}

func loadRun(path string) (*Run, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		file := filepath.Join(path, RunFile)
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			if isRunDir(path) {
				return nil, &CutOffError{path, "it has no " + RunFile}
			}
			return nil, &ForeignError{path, "the directory has no " + RunFile}
		}
		path = file
	}
	p, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseRun(path, p)
}

// isRunDir: a directory that the collector began.
func isRunDir(dir string) bool {
	for _, name := range []string{OutcomesFile, FiringsFile, LatencyFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// ParseRun reads the bytes of a run.json; path names them in errors. Every error is an InputError.
func ParseRun(path string, p []byte) (*Run, error) {
	run, err := parseRun(path, p)
	if err != nil {
		return nil, &InputError{path, err}
	}
	return run, nil
}

func parseRun(path string, p []byte) (*Run, error) {
	var head struct {
		Schema *string `json:"schema"`
	}
	if err := json.Unmarshal(p, &head); err != nil {
		return nil, notJSON(path, p, err)
	}
	if head.Schema == nil {
		return nil, &ForeignError{path, "it has no \"schema\""}
	}
	family, version, _ := strings.Cut(*head.Schema, "/")
	ours, oursVersion, _ := strings.Cut(Schema, "/")
	if family != ours {
		return nil, &ForeignError{path, fmt.Sprintf("its schema is %q", *head.Schema)}
	}
	if version != oursVersion {
		n, err := strconv.Atoi(version)
		if current, _ := strconv.Atoi(oursVersion); err == nil && n > current {
			return nil, &NewerSchemaError{path, *head.Schema}
		}
		return nil, &ForeignError{path, fmt.Sprintf("its schema is %q", *head.Schema)}
	}
	run := &Run{}
	if err := json.Unmarshal(p, run); err != nil {
		return nil, &ForeignError{path, err.Error()}
	}
	switch run.Verdict.State {
	case Valid, Suspect, Invalid:
	default:
		return nil, &ForeignError{path, fmt.Sprintf("its verdict is %q", run.Verdict.State)}
	}
	return run, nil
}

// notJSON tells a file that was cut off from one that never was JSON.
func notJSON(path string, p []byte, err error) error {
	var syntax *json.SyntaxError
	trimmed := bytes.TrimSpace(p)
	switch {
	case len(trimmed) == 0:
		return &CutOffError{path, "it is empty"}
	case errors.As(err, &syntax) && trimmed[0] == '{' && syntax.Offset >= int64(len(trimmed)):
		return &CutOffError{path, fmt.Sprintf("the JSON ends in the middle, after %d bytes", len(p))}
	case trimmed[0] == '{' && errors.As(err, &syntax):
		return &ForeignError{path, fmt.Sprintf("byte %d: %v", syntax.Offset, err)}
	case errors.As(err, &syntax):
		return &ForeignError{path, "it is not JSON"}
	}
	return &ForeignError{path, err.Error()}
}

// Unfinished reports a run that was killed before its end: its numbers go up to the last second that
// was written.
func (run *Run) Unfinished() bool {
	return run.Verdict.State == Invalid && len(run.Verdict.Reasons) == 1 && run.Verdict.Reasons[0] == notFinished
}

// ReadAttempts reads outcomes.jsonl. A last line that was cut off is left out, and cut is true.
func ReadAttempts(path string) (list []Attempt, cut bool, err error) { return readLines[Attempt](path) }

// ReadFirings reads firings.jsonl in the same way.
func ReadFirings(path string) (list []faults.Firing, cut bool, err error) {
	return readLines[faults.Firing](path)
}

func readLines[T any](path string) (list []T, cut bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, &InputError{path, err}
	}
	defer f.Close()
	if list, cut, err = decodeLines[T](path, f); err != nil {
		return nil, false, &InputError{path, err}
	}
	return list, cut, nil
}

func decodeLines[T any](path string, r io.Reader) (list []T, cut bool, err error) {
	b := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := b.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return list, false, err
		}
		whole := err == nil
		if len(bytes.TrimSpace(line)) > 0 {
			var v T
			if uerr := json.Unmarshal(line, &v); uerr == nil {
				list = append(list, v)
			} else if whole {
				return list, false, &ForeignError{path, fmt.Sprintf("line %d: %v", n, uerr)}
			} else {
				return list, true, nil
			}
		}
		if !whole {
			return list, false, nil
		}
	}
}
