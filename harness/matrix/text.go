package matrix

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"tlsurge/results"
)

// verdicts in order of gravity.
var verdicts = []results.PageVerdict{results.Fine, results.SavedByRetry, results.Downgraded, results.SawError}

// section is what one server does to all browsers.
type section[R any] struct {
	stack  string
	groups []group[R]
}

// group is browsers to whom the same happens.
type group[R any] struct {
	profiles []string
	rows     []R // the first one's, which stand for all
}

// sections gathers rows by server, and browsers with equal rows, in their order.
func sections[R any](rows []R, row func(R) Row, same func(R) string) (list []section[R]) {
	for len(rows) > 0 {
		stack := row(rows[0]).Stack
		n := slices.IndexFunc(rows, func(r R) bool { return row(r).Stack != stack })
		if n < 0 {
			n = len(rows)
		}
		s, index := section[R]{stack: stack}, map[string]int{}
		for mine := rows[:n]; len(mine) > 0; {
			profile := row(mine[0]).Profile
			k := slices.IndexFunc(mine, func(r R) bool { return row(r).Profile != profile })
			if k < 0 {
				k = len(mine)
			}
			var key strings.Builder
			for _, r := range mine[:k] {
				key.WriteString(same(r) + "\n")
			}
			at, ok := index[key.String()]
			if !ok {
				at = len(s.groups)
				index[key.String()] = at
				s.groups = append(s.groups, group[R]{rows: mine[:k]})
			}
			s.groups[at].profiles = append(s.groups[at].profiles, profile)
			mine = mine[k:]
		}
		list, rows = append(list, s), rows[n:]
	}
	return list
}

func itself(r Row) Row { return r }

// alike is a row without its browser.
func alike(r Row) string { return fmt.Sprintf("%s|%s|%d|%s", r.Fault, r.Words(), r.Attempts, r.Logs) }

func (c Change) alike() string {
	t := alike(c.Row) + string(c.Change)
	if c.Before != nil {
		t += alike(*c.Before)
	}
	return t
}

// Tally counts the cells of each verdict.
func Tally(rows []Row) string { return tally(rows) }

// tally counts the cells of each verdict: "40 fine, 3 saved by retry".
func tally(rows []Row) string {
	n := map[results.PageVerdict]int{}
	for _, r := range rows {
		n[r.Verdict]++
	}
	var parts []string
	for _, v := range verdicts {
		if n[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[v], strings.ReplaceAll(string(v), "_", " ")))
		}
	}
	return strings.Join(parts, ", ")
}

func of(stack string, rows []Row) (mine []Row) {
	for _, r := range rows {
		if r.Stack == stack {
			mine = append(mine, r)
		}
	}
	return mine
}

// Text writes a section for each server; browsers to whom the same happens stand together.
func Text(out io.Writer, rows []Row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range sections(rows, itself, alike) {
		fmt.Fprintf(w, "%s: %s\n", s.stack, tally(of(s.stack, rows)))
		for _, g := range s.groups {
			fmt.Fprintf(w, "  %s\n", strings.Join(g.profiles, ", "))
			for _, r := range g.rows {
				fmt.Fprintf(w, "    %s\t%s%s\n", r.Fault, r.Words(), logs(r))
			}
		}
	}
	return w.Flush()
}

func logs(r Row) string {
	if r.Logs == "" {
		return ""
	}
	return "\tlogs " + r.Logs
}

// TextDiff writes what has changed, browser by browser, before -> after.
func TextDiff(out io.Writer, changes []Change, gone int) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(changes) == 0 {
		fmt.Fprintln(w, "nothing differs")
	}
	for _, s := range sections(changes, func(c Change) Row { return c.Row }, Change.alike) {
		fmt.Fprintf(w, "%s: %s\n", s.stack, summary(changes, s.stack))
		for _, g := range s.groups {
			fmt.Fprintf(w, "  %s\n", strings.Join(g.profiles, ", "))
			for _, c := range g.rows {
				fmt.Fprintf(w, "    %s\t%s\t%s%s\n", c.Fault, c.Change, c.step(), logs(c.Row))
			}
		}
	}
	if gone > 0 {
		fmt.Fprintf(w, "%d cells of the stored table were not played this time\n", gone)
	}
	return w.Flush()
}

// step is "fine -> saw error: …".
func (c Change) step() string {
	if c.Before == nil {
		return c.Words()
	}
	before, after := c.Before.Words(), c.Words()
	if before == after {
		switch {
		case c.Before.Attempts != c.Attempts:
			return fmt.Sprintf("%s, after %d attempts -> %d", after, c.Before.Attempts, c.Attempts)
		default:
			return fmt.Sprintf("%s, the server logs %q -> %q", after, c.Before.Logs, c.Logs)
		}
	}
	return before + " -> " + after
}

// summary counts browsers: one that is both worse and better off with different faults counts in both.
func summary(changes []Change, stack string) string {
	var parts []string
	for _, k := range []struct {
		kind  ChangeKind
		words string
	}{{Worse, "worse off"}, {Better, "better off"}, {Other, "changed otherwise"}, {New, "new"}} {
		who := map[string]bool{}
		for _, c := range changes {
			if (stack == "" || c.Stack == stack) && c.Change == k.kind {
				who[c.Profile] = true
			}
		}
		if len(who) > 0 {
			parts = append(parts, fmt.Sprintf("%d %s %s", len(who), plural(len(who), "browser"), k.words))
		}
	}
	return strings.Join(parts, ", ")
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// CSV writes a line for each cell.
func CSV(out io.Writer, rows []Row) error {
	w := csv.NewWriter(out)
	_ = w.Write([]string{"stack", "profile", "fault", "verdict", "user_sees", "attempts", "server_logs"}) // Flush reports
	for _, r := range rows {
		_ = w.Write([]string{r.Stack, r.Profile, r.Fault, string(r.Verdict), r.UserSees, fmt.Sprint(r.Attempts), r.Logs})
	}
	w.Flush()
	return w.Error()
}

// CSVDiff writes a line for each change.
func CSVDiff(out io.Writer, changes []Change) error {
	w := csv.NewWriter(out)
	_ = w.Write([]string{"stack", "profile", "fault", "change", "verdict_before", "user_sees_before", "verdict", "user_sees", "attempts", "server_logs"})
	for _, c := range changes {
		before := Row{}
		if c.Before != nil {
			before = *c.Before
		}
		_ = w.Write([]string{c.Stack, c.Profile, c.Fault, string(c.Change), string(before.Verdict), before.UserSees, string(c.Verdict), c.UserSees,
			fmt.Sprint(c.Attempts), c.Logs})
	}
	w.Flush()
	return w.Error()
}
