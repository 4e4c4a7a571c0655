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
	"reflect"
	"strconv"
	"strings"
	"time"

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
		return nil, &UnreadableError{path, runWords, err}
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
		return nil, &UnreadableError{path, runWords, err}
	}
	return parseRun(path, p)
}

// runWords say what LoadRun reads.
const runWords = "a run is the directory that `tlsurge run` has made, or its run.json"

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

// core is what every run has said since the first.
var core = []string{"scenario", "seed", "started", "verdict", "connections", "attempts", "requests", "users", "latency"}

func parseRun(path string, p []byte) (*Run, error) {
	p = bytes.TrimPrefix(p, []byte("\ufeff")) // an editor's byte order mark
	var head map[string]json.RawMessage
	if err := json.Unmarshal(p, &head); err != nil {
		return nil, notJSON(path, p, err)
	}
	if err := ourSchema(path, head["schema"]); err != nil {
		return nil, err
	}
	for _, name := range core {
		if head[name] == nil {
			return nil, &ForeignError{path, fmt.Sprintf("it has no %q", name)}
		}
	}
	run := &Run{}
	if err := json.Unmarshal(p, run); err != nil {
		return nil, &ForeignError{path, Misfit(err)}
	}
	switch run.Verdict.State {
	case Valid, Suspect, Invalid:
	default:
		return nil, &ForeignError{path, fmt.Sprintf("its verdict is %q", run.Verdict.State)}
	}
	return run, nil
}

// ourSchema refuses what is no run, and runs of a later tlsurge.
func ourSchema(path string, raw json.RawMessage) error {
	if raw == nil {
		return &ForeignError{path, "it has no \"schema\""}
	}
	var schema string
	if json.Unmarshal(raw, &schema) != nil {
		return &ForeignError{path, fmt.Sprintf("its schema is %.40s", raw)}
	}
	family, version, _ := strings.Cut(schema, "/")
	ours, oursVersion, _ := strings.Cut(Schema, "/")
	if schema == Schema {
		return nil
	}
	n, err := strconv.Atoi(version)
	if current, _ := strconv.Atoi(oursVersion); family == ours && err == nil && n > current {
		return &NewerSchemaError{path, schema}
	}
	return &ForeignError{path, fmt.Sprintf("its schema is %.80q", schema)}
}

// Misfit words a JSON value that is not what tlsurge writes in its place.
func Misfit(err error) string {
	var value *json.UnmarshalTypeError
	if errors.As(err, &value) {
		what, _, _ := strings.Cut(value.Value, " ") // "number 1.5"
		if value.Field == "" {
			return fmt.Sprintf("it is %s in the place of %s", article(what), kindWords(value.Type))
		}
		return fmt.Sprintf("%q has %s in the place of %s", value.Field, article(what), kindWords(value.Type))
	}
	var at *time.ParseError
	if errors.As(err, &at) {
		return fmt.Sprintf("%s is no time such as 2015-01-31T18:05:18Z", at.Value)
	}
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return "it is not JSON"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

func kindWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number of 64 bits"
}

func article(jsonKind string) string {
	switch jsonKind {
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "string":
		return "a text"
	case "bool":
		return "true or false"
	case "number":
		return "a number that does not fit"
	}
	return jsonKind
}

// notJSON tells a file that was cut off from one that never was JSON.
func notJSON(path string, p []byte, err error) error {
	var syntax *json.SyntaxError
	trimmed := bytes.TrimSpace(p)
	switch {
	case len(trimmed) == 0:
		return &CutOffError{path, "it is empty"}
	case bytes.HasPrefix(p, []byte{0x1f, 0x8b}):
		return &ForeignError{path, "it is compressed (gzip): decompress it first"}
	case errors.As(err, &syntax) && trimmed[0] == '{' && syntax.Offset >= int64(len(trimmed)):
		return &CutOffError{path, fmt.Sprintf("the JSON ends in the middle, after %d bytes", len(p))}
	case trimmed[0] == '{' && errors.As(err, &syntax):
		return &ForeignError{path, fmt.Sprintf("byte %d: %v", syntax.Offset, err)}
	case errors.As(err, &syntax):
		return &ForeignError{path, "it is not JSON"}
	}
	return &ForeignError{path, "it is JSON, but not an object"}
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
