package compare

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"tlsurge/results"
)

// HistorySchema is the version of a line of runs.jsonl.
const HistorySchema = "tlsurge.history/1"

// Entry is a line of runs.jsonl: one run, as far as a trend needs it.
type Entry struct {
	Schema   string             `json:"schema"`
	Started  time.Time          `json:"started"`
	Scenario string             `json:"scenario"`
	Seed     uint64             `json:"seed"`
	Tool     string             `json:"tool_version"`
	Machine  results.Machine    `json:"machine"`
	Tags     map[string]string  `json:"tags,omitempty"`
	Verdict  results.State      `json:"verdict"`
	Metrics  map[string]float64 `json:"metrics"`
}

// NewEntry takes from a run what its line holds: every metric, and every share.
func NewEntry(run *results.Run) Entry {
	e := Entry{HistorySchema, run.Started, run.Scenario, run.Seed, run.ToolVersion, run.Machine, run.Tags, run.Verdict.State, map[string]float64{}}
	for _, v := range Values(run) {
		e.Metrics[v.Name] = v.V
	}
	for _, s := range shareValues(run) {
		if s.Trials > 0 {
			e.Metrics[s.name] = s.share()
		}
	}
	return e
}

// AppendHistory adds a run to the end of runs.jsonl, in one write. A last line that was cut off is
// ended first, so that it spoils no other.
func AppendHistory(path string, run *results.Run) error {
	line, err := json.Marshal(NewEntry(run))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	if end, err := f.Seek(-1, io.SeekEnd); err == nil {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, end); err == nil && last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

const historyWords = "a history is a file that `tlsurge run --history FILE` has added lines to"

// ReadHistory reads runs.jsonl. Lines that were cut off are skipped and counted; a line of something
// else is a results.InputError.
func ReadHistory(path string) (entries []Entry, skipped int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, &results.InputError{Path: path, Err: &results.UnreadableError{Path: path, Want: historyWords, Err: err}}
	}
	defer f.Close()
	entries, skipped, err = parseHistory(f)
	var failed *fs.PathError
	switch {
	case errors.As(err, &failed):
		return nil, 0, &results.InputError{Path: path, Err: &results.UnreadableError{Path: path, Want: historyWords, Err: err}}
	case err != nil:
		return nil, 0, &results.InputError{Path: path, Err: fmt.Errorf("%s: %w; %s", path, err, historyWords)}
	case len(entries) == 0:
		return nil, 0, &results.InputError{Path: path, Err: &results.CutOffError{Path: path, Seen: "there is no whole line in it"}}
	}
	return entries, skipped, nil
}

func parseHistory(r io.Reader) (entries []Entry, skipped int, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var e Entry
		var syntax *json.SyntaxError
		if err := json.Unmarshal(line, &e); errors.As(err, &syntax) && line[0] == '{' {
			skipped++
			continue
		} else if err != nil {
			return nil, 0, fmt.Errorf("line %d is not a run's: %s", n, results.Misfit(err))
		}
		if e.Schema != HistorySchema {
			return nil, 0, fmt.Errorf("line %d has the schema %.80q; this tlsurge reads %q", n, e.Schema, HistorySchema)
		}
		if e.Scenario == "" || e.Started.IsZero() {
			return nil, 0, fmt.Errorf("line %d is not a run's: it has no scenario, or no time", n)
		}
		entries = append(entries, e)
	}
	if err := lines.Err(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return nil, 0, err
	}
	return entries, skipped, nil
}

// Change is a mark in a metric's history: from Index on, its level is another.
type Change struct {
	Metric string    `json:"metric"`
	Index  int       `json:"index"` // of the first run at the new level, among those that have the metric
	At     time.Time `json:"at"`
	Before float64   `json:"before"` // medians
	After  float64   `json:"after"`
	P      float64   `json:"p"`
}

// Changes marks the change points of every metric in a history of one scenario on one machine.
// INVALID runs are left out.
func Changes(entries []Entry, o Options) []Change {
	o = o.withDefaults()
	type point struct {
		at time.Time
		v  float64
	}
	byMetric := map[string][]point{}
	for _, e := range entries {
		if e.Verdict == results.Invalid {
			continue
		}
		for name, v := range e.Metrics {
			byMetric[name] = append(byMetric[name], point{e.Started, v})
		}
	}
	o.Alpha /= float64(max(1, len(byMetric))) // every metric is one more chance of a false mark
	list := []Change{}
	for _, name := range slices.Sorted(maps.Keys(byMetric)) {
		points := byMetric[name]
		values := make([]float64, len(points))
		for i, p := range points {
			values[i] = p.v
		}
		for _, c := range ChangePoints(values, o) {
			c.Metric, c.At = name, points[c.Index].at
			list = append(list, c)
		}
	}
	return list
}

const (
	leastSegment = 4    // runs on each side of a change: fewer say nothing of a level
	permutations = 1999 // so many that p can fall below 0.05 shared by a hundred metrics
)

// ChangePoints finds where the level of a series changes: the split that separates the ranks before
// and after it best (the greatest standardised rank sum over all splits and windows), if no more than
// alpha of random orders of the series have a split as good; then the same on both parts. Of the marks
// found, those stay between which the medians differ by the minimum effect. Its random orders have a fixed seed: equal series give equal marks.
func ChangePoints(values []float64, o Options) []Change {
	o = o.withDefaults()
	marks := split(values, 0, o)
	for {
		smallest, least := -1, math.Inf(1)
		for i := range marks {
			from, to := 0, len(values)
			if i > 0 {
				from = marks[i-1].Index
			}
			if i+1 < len(marks) {
				to = marks[i+1].Index
			}
			m := &marks[i]
			m.Before, m.After = median(values[from:m.Index]), median(values[m.Index:to])
			step := math.Abs(m.After - m.Before)
			if m.Before != 0 {
				step /= math.Abs(m.Before)
			} else if step > 0 {
				step = math.Inf(1)
			}
			if step < o.MinEffect && step < least {
				smallest, least = i, step
			}
		}
		if smallest < 0 {
			return marks
		}
		marks = slices.Delete(marks, smallest, smallest+1)
	}
}

// split finds the marks of a part of the series, which begins at offset.
func split(values []float64, offset int, o Options) []Change {
	if len(values) < 2*leastSegment {
		return nil
	}
	ranks := midranks(values)
	at, best := bestSplit(ranks)
	if best == 0 {
		return nil
	}
	rng := rand.New(rand.NewPCG(uint64(len(values)), 20150113))
	as := 1
	shuffled := slices.Clone(ranks)
	for range permutations {
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if _, s := bestSplit(shuffled); s >= best {
			as++
		}
	}
	p := float64(as) / (permutations + 1)
	if p > o.Alpha {
		return nil
	}
	list := split(values[:at], offset, o)
	list = append(list, Change{Index: offset + at, P: p})
	return append(list, split(values[at:], offset+at, o)...)
}

// bestSplit gives the split with the greatest standardised rank sum, in the whole series or in any
// window of half its length, a quarter, and so on: a level that goes up and comes down again leaves the
// halves of the whole alike, but not those of a window.
func bestSplit(ranks []float64) (at int, best float64) {
	at = leastSegment
	for length := len(ranks); length >= 2*leastSegment; length = length * 2 / 3 {
		for from := 0; ; from += max(1, length/4) {
			from = min(from, len(ranks)-length)
			if i, z := bestIn(ranks[from : from+length]); z > best {
				at, best = from+i, z
			}
			if from == len(ranks)-length {
				break
			}
		}
	}
	return at, best
}

// bestIn gives the best split of one window: the sum of the ranks before it, less what it would be by
// chance, over its standard deviation by chance.
func bestIn(ranks []float64) (at int, best float64) {
	n, mean, variance := float64(len(ranks)), 0.0, 0.0
	for _, r := range ranks {
		mean += r / n
	}
	for _, r := range ranks {
		variance += (r - mean) * (r - mean) / (n - 1)
	}
	if variance == 0 {
		return 0, 0
	}
	sum := 0.0
	for i, r := range ranks {
		if k := float64(i); i >= leastSegment && len(ranks)-i >= leastSegment {
			if z := math.Abs(sum-k*mean) / math.Sqrt(variance*k*(n-k)/n); z > best {
				at, best = i, z
			}
		}
		sum += r
	}
	return at, best
}

// midranks ranks values from 1; equal ones share the mean of their ranks.
func midranks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case values[a] < values[b]:
			return -1
		case values[a] > values[b]:
			return 1
		}
		return 0
	})
	ranks := make([]float64, len(values))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && values[order[j]] == values[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			ranks[order[k]] = float64(i+j+1) / 2
		}
		i = j
	}
	return ranks
}
