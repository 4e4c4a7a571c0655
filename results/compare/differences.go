package compare

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"tlsurge/results"
)

// scenarioFile is the scenario as resolved, in a run directory.
const scenarioFile = "scenario.toml"

// scenarioKeys reads the scenario beside a run.json (or in a run directory) into flat keys; nil where there
// is none that can be read.
func scenarioKeys(path string) map[string]string {
	if filepath.Base(path) == results.RunFile {
		path = filepath.Dir(path)
	}
	text, err := os.ReadFile(filepath.Join(path, scenarioFile))
	if err != nil {
		return nil
	}
	var tree map[string]any
	if toml.Unmarshal(text, &tree) != nil {
		return nil
	}
	for _, k := range []string{"name", "seed", "tags", "thresholds"} { // said elsewhere, or without effect on what a run does
		delete(tree, k)
	}
	keys := map[string]string{}
	flatten(keys, "", tree)
	return keys
}

// flatten names leaves as --set does: tables of a list by their name or profile.
func flatten(into map[string]string, prefix string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			flatten(into, strings.TrimPrefix(prefix+"."+k, "."), inner)
		}
	case []map[string]any:
		for i, inner := range v {
			name := fmt.Sprint(i + 1)
			for _, id := range []string{"name", "profile"} {
				if s, ok := inner[id].(string); ok {
					name = s
				}
			}
			flatten(into, prefix+"."+name, inner)
		}
	default:
		into[prefix] = fmt.Sprint(v)
	}
}

// fact is something about a run that may be the cause of what it measured.
type fact struct {
	name string
	of   func(s *Side, i int) string
}

func ofRun(name string, of func(*results.Run) string) fact {
	return fact{name, func(s *Side, i int) string { return of(s.Runs[i]) }}
}

// Differences says what differs between two sides beside what they measured: whatever is listed may be the
// cause of a difference that the rows show. A side that differs within itself is named too.
func Differences(base, candidate *Side) []string {
	list := told([]fact{
		ofRun("scenario", func(r *results.Run) string { return r.Scenario }),
		ofRun("seed", func(r *results.Run) string { return fmt.Sprint(r.Seed) }),
		ofRun("tool version", func(r *results.Run) string { return r.ToolVersion }),
	}, base, candidate)
	list = append(list, scenarioDifferences(base, candidate)...)
	return append(list, told([]fact{
		ofRun("hostname", func(r *results.Run) string { return r.Machine.Hostname }),
		ofRun("CPU", func(r *results.Run) string { return fmt.Sprintf("%d × %s", r.Machine.CPUs, r.Machine.CPUModel) }),
		ofRun("memory", func(r *results.Run) string { return results.FormatBytes(r.Machine.MemoryBytes) }),
		ofRun("open files", func(r *results.Run) string { return fmt.Sprint(r.Machine.MaxFiles) }),
		ofRun("kernel", func(r *results.Run) string { return r.Machine.OS + "/" + r.Machine.Arch + " " + r.Machine.Kernel }),
		ofRun("Go", func(r *results.Run) string { return r.Machine.GoVersion }),
		ofRun("tags", func(r *results.Run) string { return cmp.Or(tagWords(r.Tags), "none") }),
	}, base, candidate)...)
}

// manyKeys is how many keys of a scenario are named one by one.
const manyKeys = 12

// scenarioDifferences compares what the runs were asked to do: key by key where their scenarios are stored,
// by digest, and otherwise by what run.json tells of it.
func scenarioDifferences(base, candidate *Side) []string {
	known := func(s *Side) bool {
		return len(s.scenarios) == len(s.Runs) && !slices.ContainsFunc(s.scenarios, func(k map[string]string) bool { return k == nil })
	}
	file := func(of, digest string) fact {
		return fact{of, func(s *Side, i int) string { return cmp.Or(shortDigest(s.Runs[i].Digests[digest]), "none") }}
	}
	files := []fact{file("the file of fleet.config", "fleet.config"), file("the file of target.ca", "target.ca")}
	if known(base) && known(candidate) {
		all := map[string]bool{}
		for _, keys := range slices.Concat(base.scenarios, candidate.scenarios) {
			for k := range keys {
				all[k] = true
			}
		}
		var facts []fact
		for _, k := range slices.Sorted(maps.Keys(all)) {
			facts = append(facts, fact{k, func(s *Side, i int) string { return cmp.Or(s.scenarios[i][k], "absent") }})
		}
		list := told(facts, base, candidate)
		if more := len(list) - manyKeys; more > 0 {
			list = append(list[:manyKeys], fmt.Sprintf("%d more keys of the scenario", more))
		}
		return append(list, told(files, base, candidate)...)
	}
	list := told(append([]fact{
		ofRun("phases", phaseWords),
		ofRun("faults", faultWords),
		ofRun("connections wanted", func(r *results.Run) string { return fmt.Sprint(r.Connections.Target) }),
	}, files...), base, candidate)
	return append(list, told([]fact{{"digest of the scenario", scenarioDigest}}, base, candidate)...)
}

func scenarioDigest(s *Side, i int) string { return shortDigest(s.Runs[i].Digests["scenario"]) }

// notCompared says where runs tell too little about what they were asked to do.
func notCompared(base, candidate *Side) []string {
	for _, s := range []*Side{base, candidate} {
		for i, run := range s.Runs {
			if run.Digests["scenario"] == "" && (i >= len(s.scenarios) || s.scenarios[i] == nil) {
				return []string{"whether durations, rates and fault parameters are the same is unknown: " + scenarioFile + " is not beside every run.json"}
			}
		}
	}
	return nil
}

func shortDigest(hex string) string { return hex[:min(12, len(hex))] }

func phaseWords(r *results.Run) string {
	var names []string
	for _, p := range r.Phases {
		names = append(names, p.Name+" ("+cmp.Or(p.Stack, "external")+")")
	}
	return strings.Join(names, ", ")
}

func faultWords(r *results.Run) string {
	var names []string
	for _, f := range r.Faults {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return cmp.Or(strings.Join(slices.Compact(names), ", "), "none")
}

// told words the facts in which the sides differ, or which differ within them.
func told(facts []fact, base, candidate *Side) []string {
	list := []string{}
	for _, f := range facts {
		b, c := distinct(base, f), distinct(candidate, f)
		switch {
		case !slices.Equal(b, c):
			list = append(list, fmt.Sprintf("%s: %s against %s", f.name, strings.Join(b, " and "), strings.Join(c, " and ")))
		case len(b) > 1 && f.name != "seed": // seeds that differ from round to round, alike on both sides, are no bias
			list = append(list, fmt.Sprintf("%s differs within both sides: %s", f.name, strings.Join(b, " and ")))
		}
	}
	return list
}

func distinct(s *Side, f fact) []string {
	set := map[string]bool{}
	for i := range s.Runs {
		set[f.of(s, i)] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// shared says which runs stand on both sides: a run compared with itself shows no difference, whatever it
// would be worth.
func shared(base, candidate *Side) []string {
	same := 0
	for _, b := range base.Runs {
		for _, c := range candidate.Runs {
			if b.Started.Equal(c.Started) && b.DurationNs == c.DurationNs && b.Seed == c.Seed && b.Machine.Hostname == c.Machine.Hostname {
				same++
				break
			}
		}
	}
	switch {
	case same == 0:
		return nil
	case same == len(base.Runs) && same == len(candidate.Runs):
		return []string{"BASE and NEW are the same: this compares a run with itself"}
	}
	return []string{fmt.Sprintf("%d of %d runs of BASE are in NEW too: runs compared with themselves", same, len(base.Runs))}
}
