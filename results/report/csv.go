package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"tlsurge/results"
)

// CSVTables are the tables that CSV writes, by name.
func CSVTables() []string {
	return []string{"users", "outcomes", "faults", "edges", "latency", "timeline"}
}

// CSV writes one table of the run, with a header line of run.json's own field names. Rows of every
// table begin with scenario, seed and tags, so that the tables of many runs can be put in one file.
func CSV(w io.Writer, run *results.Run, table string) error {
	switch table {
	case "users":
		return rows(w, run, run.Users)
	case "outcomes":
		return rows(w, run, run.Outcomes)
	case "faults":
		return rows(w, run, run.Faults)
	case "edges":
		return rows(w, run, run.Edges)
	case "timeline":
		return rows(w, run, run.Timeline)
	case "latency":
		return rows(w, run, latencyRows(run))
	}
	return fmt.Errorf("no table %q in a run; there are %s", table, strings.Join(CSVTables(), ", "))
}

// latencyRow is a line of the latency table: one metric, one time, over the run or in one phase.
type latencyRow struct {
	Phase  string `json:"phase"` // empty: the whole run
	Metric string `json:"metric"`
	Time   string `json:"time"`
	results.Percentiles
}

func latencyRows(run *results.Run) []latencyRow {
	var list []latencyRow
	add := func(phase string, table map[string]map[string]results.Percentiles) {
		for _, m := range latencyNames {
			for _, mode := range []string{"response_time", "service_time"} {
				list = append(list, latencyRow{phase, m.metric, mode, table[m.metric][mode]})
			}
		}
	}
	add("", run.Latency)
	for _, p := range run.Phases {
		add(p.Name, p.Latency)
	}
	return list
}

// rows writes a list of structs; a field that is itself a table becomes "key=value" pairs.
func rows[T any](w io.Writer, run *results.Run, list []T) error {
	out := csv.NewWriter(w)
	fields := slices.DeleteFunc(reflect.VisibleFields(reflect.TypeFor[T]()), func(f reflect.StructField) bool { return f.Tag.Get("json") == "" })
	header := []string{"scenario", "seed", "tags"}
	for _, f := range fields {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		header = append(header, name)
	}
	if err := out.Write(header); err != nil {
		return err
	}
	for i := range list {
		line := []string{run.Scenario, fmt.Sprint(run.Seed), pairs(run.Tags)}
		for _, f := range fields {
			line = append(line, cell(reflect.ValueOf(list[i]).FieldByIndex(f.Index)))
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func cell(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case map[string]int64:
		return pairs(x)
	case []results.LogLine:
		var parts []string
		for _, l := range x {
			parts = append(parts, fmt.Sprintf("[%s] %s=%d", l.Level, strings.TrimSpace(l.Code+" "+l.Reason), l.Count))
		}
		return strings.Join(parts, "; ")
	}
	return fmt.Sprint(v.Interface())
}

// pairs writes a map as key=value, in order of the keys.
func pairs[V any](m map[string]V) string {
	var list []string
	for k, v := range m {
		list = append(list, fmt.Sprintf("%s=%v", k, v))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}
