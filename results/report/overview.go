package report

import (
	"slices"
	"strings"

	"tlsurge/results"
)

// overviewColumn is how wide the column of an act is.
const overviewColumn = 12

// overview is the whole run in one table, an act per column: what became of page loads, in which
// words users were told, and what the edges logged.
func (t *text) overview() {
	list := acts(t.run)
	if len(list) == 0 {
		return
	}
	t.heading("IN SHORT", "")
	label := t.Width - overviewColumn*len(list)
	if label < 34 {
		return // too many acts for a table; each has its section above
	}
	for _, names := range columnHeads(list, overviewColumn-1) {
		line := strings.Repeat(" ", label)
		for _, n := range names {
			line += t.in(bold, padLeft(n, overviewColumn))
		}
		t.line("%s", line)
	}
	row := func(name string, i ink, cell func(act) int64) {
		indent := name[:len(name)-len(strings.TrimLeft(name, " "))]
		lines := wrap(name, label-1-len(indent))
		for n, l := range lines[:len(lines)-1] {
			t.line("%s%s", indent+strings.Repeat("  ", min(n, 1)), l)
		}
		last := indent + strings.Repeat("  ", min(len(lines)-1, 1)) + lines[len(lines)-1]
		line := padRight(cut(last, label-1), label)
		for _, a := range list {
			n := cell(a)
			c := padLeft(count(n), overviewColumn)
			if i != "" && n != 0 {
				c = t.in(i, c)
			}
			line += c
		}
		t.line("%s", line)
	}
	row("faults that struck", "", func(a act) int64 { return fired(a.faults) })
	row("page loads", "", func(a act) int64 { return sum(a.users).PageLoads })
	row("  fine", "", func(a act) int64 { return sum(a.users).Fine })
	row("  saved by a retry", "", func(a act) int64 { return sum(a.users).SavedByRetry })
	row("  silently downgraded", yellow, func(a act) int64 { return sum(a.users).Downgraded })
	row("  saw an error, worded", red, func(a act) int64 { return sum(a.users).SawError })
	for _, w := range t.errors() {
		row("  "+w, red, func(a act) (n int64) {
			for _, u := range a.users {
				n += u.Errors[w]
			}
			return n
		})
	}
	if lines := t.codes(); len(lines) > 0 {
		t.line("edges logged")
		for _, l := range lines {
			row("  "+strings.TrimSpace("["+l.Level+"] "+l.Code+" "+l.Reason), "", func(a act) int64 { return logged(a.edges, l) })
		}
	}
}

// columnHeads breaks the names of acts at their hyphens into lines of at most n columns.
func columnHeads(list []act, n int) [][]string {
	var heads [][]string
	for i, a := range list {
		lines := []string{""}
		for _, part := range strings.SplitAfter(a.Name, "-") {
			last := &lines[len(lines)-1]
			if *last != "" && width(*last)+width(part) > n {
				lines = append(lines, "")
				last = &lines[len(lines)-1]
			}
			*last += cut(part, n)
		}
		for k, l := range lines {
			if k == len(heads) {
				heads = append(heads, make([]string, len(list)))
			}
			heads[k][i] = l
		}
	}
	return heads
}

// errors lists the browsers' own words in the run: act by act, the most frequent first.
func (t *text) errors() []string {
	var list []string
	for _, a := range acts(t.run) {
		total := map[string]int64{}
		for _, u := range a.users {
			for w, n := range u.Errors {
				total[w] += n
			}
		}
		for _, w := range sorted(total) {
			if !slices.Contains(list, w.text) {
				list = append(list, w.text)
			}
		}
	}
	return list
}

// codes lists the kinds of log lines that have a packed code, without their counts.
func (t *text) codes() []results.LogLine {
	var list []results.LogLine
	for _, e := range t.run.Edges {
		for _, l := range e.LogLines {
			l.Count = 0
			if l.Code != "" && !slices.Contains(list, l) {
				list = append(list, l)
			}
		}
	}
	slices.SortFunc(list, func(a, b results.LogLine) int { return strings.Compare(a.Code+a.Level, b.Code+b.Level) })
	return list
}

// logged counts the lines of one kind in the error logs of an act.
func logged(edges []results.EdgeRow, kind results.LogLine) (n int64) {
	for _, e := range edges {
		for _, l := range e.LogLines {
			if l.Code == kind.Code && l.Level == kind.Level && l.Reason == kind.Reason {
				n += l.Count
			}
		}
	}
	return n
}

func fired(rows []results.FaultRow) (n int64) {
	for _, f := range rows {
		n += f.Fired
	}
	return n
}
