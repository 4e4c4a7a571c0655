package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"tlsurge/results"
)

// Options choose how the text looks, never what it says.
type Options struct {
	Width int  // columns, from 80 (also for 0) to 100: longer lines are hard to follow
	Color bool // ANSI colours and bold
	// All shows every cause chain, kernel counter and log line; otherwise the most frequent.
	All bool
	// Dir is where the run's files are, named at the end; empty names none.
	Dir string
}

// Text is the result that a person understands, for a terminal: each act with what users saw, how it
// came to that, and what the edges logged; then the figures; and at the end, where the eye is, the
// whole run in one table, the thresholds and the verdict.
func Text(run *results.Run, o Options) []byte {
	t := &text{Options: o, run: run}
	t.Width = min(100, max(80, t.Width))
	t.header()
	for _, a := range acts(run) {
		t.act(a)
	}
	t.figures()
	t.machines()
	t.overview()
	t.thresholds()
	t.verdict()
	return []byte(t.b.String())
}

// WriteText writes Text.
func WriteText(w io.Writer, run *results.Run, o Options) error {
	_, err := w.Write(Text(run, o))
	return err
}

type text struct {
	Options
	run *results.Run
	b   strings.Builder
}

// ink is an ANSI attribute.
type ink string

const (
	bold   ink = "1"
	dim    ink = "2"
	red    ink = "31"
	green  ink = "32"
	yellow ink = "33"
	cyan   ink = "36"
)

func (t *text) in(i ink, s string) string {
	if !t.Color || s == "" {
		return s
	}
	return "\x1b[" + string(i) + "m" + s + "\x1b[0m"
}

// line writes one line; wrapped writes a text under an indent, and hanging lines deeper.
func (t *text) line(format string, args ...any) {
	t.b.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

func (t *text) wrapped(i ink, first, rest, s string) {
	for n, l := range wrap(s, max(10, t.Width-max(width(first), width(rest)))) {
		indent := rest
		if n == 0 {
			indent = first
		}
		if i != "" {
			l = t.in(i, l)
		}
		t.line("%s%s", indent, l)
	}
}

// heading is a title with a rule to the edge of the page, and a note at its right end.
func (t *text) heading(title, note string) {
	t.b.WriteByte('\n')
	rule := t.Width - width(title) - width(note) - 2
	if note == "" {
		rule++
	}
	line := t.in(bold, title) + " " + t.in(dim, strings.Repeat("─", max(2, rule)))
	if note != "" {
		line += " " + note
	}
	t.line("%s", line)
}

func (t *text) header() {
	r := t.run
	t.line("%s", t.in(bold, r.Scenario)+fmt.Sprintf("  seed %d, %s, tlsurge %s", r.Seed, seconds(r.DurationNs), r.ToolVersion))
	if len(r.Tags) > 0 {
		var tags []string
		for k, v := range r.Tags {
			tags = append(tags, k+"="+v)
		}
		slices.Sort(tags)
		t.wrapped(dim, "", "", strings.Join(tags, " "))
	}
	if r.Unfinished() {
		t.wrapped(red, "", "", "This run was not finished: the numbers go up to the last second that was written.")
	}
}

// act tells one phase: who saw what, how it came to that, what the edges wrote.
func (t *text) act(a act) {
	title := strings.ToUpper(a.Name)
	if a.of > 1 {
		title = fmt.Sprintf("ACT %d of %d  %s", a.number, a.of, a.Name)
	}
	t.heading(title, a.Stack)
	if a.About != "" {
		t.wrapped(dim, "", "", a.About)
	}
	t.users(a)
	t.ways(a)
	t.logs(a)
	t.faults(a)
}

// users is the table of browsers, each error under its browser in the browser's own words.
func (t *text) users(a act) {
	if len(a.users) == 0 {
		t.line("No page was loaded.")
		return
	}
	name := 14
	for _, u := range a.users {
		name = max(name, width(u.Profile))
	}
	name = min(name, t.Width-52)
	t.b.WriteByte('\n')
	t.line("%s", t.in(bold, padRight("What users saw", name))+t.in(dim, padLeft("loads", 8)+padLeft("fine", 8)+padLeft("saved", 8)+padLeft("downgraded", 12)+padLeft("error", 8)))
	for _, u := range a.users {
		row := padRight(cut(u.Profile, name), name) + padLeft(count(u.PageLoads), 8) + padLeft(count(u.Fine), 8) + padLeft(count(u.SavedByRetry), 8)
		row += t.nonzero(yellow, u.Downgraded, 12) + t.nonzero(red, u.SawError, 8)
		t.line("%s", row)
		for _, w := range sorted(u.Errors) {
			t.wrapped(red, "    ", "      ", fmt.Sprintf("%s × %s", count(w.count), w.text))
		}
	}
	if s := sum(a.users); len(a.users) > 1 {
		t.line("%s", padRight("all", name)+padLeft(count(s.PageLoads), 8)+padLeft(count(s.Fine), 8)+padLeft(count(s.SavedByRetry), 8)+
			padLeft(count(s.Downgraded), 12)+padLeft(count(s.SawError), 8)+"  "+share(s.SawError, s.PageLoads))
	}
}

func (t *text) nonzero(i ink, n int64, columns int) string {
	s := padLeft(count(n), columns)
	if n != 0 {
		return t.in(i, s)
	}
	return s
}

// shownWays is how many ways to one ending a reader gets unasked.
const shownWays = 3

// ways tells the cause chains: what the user got, who, through which faults, and every step between.
func (t *text) ways(a act) {
	list := endings(a.chains)
	if len(list) == 0 {
		return
	}
	t.b.WriteByte('\n')
	t.line("%s", t.in(bold, "How it came to that"))
	for _, e := range list {
		i := green
		switch e.verdict {
		case results.SawError:
			i = red
		case results.Downgraded:
			i = yellow
		}
		t.wrapped(i, "  ", "    ", fmt.Sprintf("%s × %s", count(e.count), verdictWords(e.verdict, e.userSees)))
		rest := int64(0)
		for n, w := range e.ways {
			if n >= shownWays && !t.All {
				rest += w.count
				continue
			}
			t.way(w)
		}
		if rest > 0 {
			t.line("    %s", t.in(dim, fmt.Sprintf("and %s on %s (tlsurge report --all)", plural(rest, "time", "times"), plural(int64(len(e.ways)-shownWays), "rarer way", "rarer ways"))))
		}
	}
}

// offerColumn is where the end of a step begins.
const offerColumn = 25

func (t *text) way(w way) {
	t.wrapped(dim, "    ", "      ", listed(sorted(w.profiles), " ")+"; fault: "+listed(sorted(w.causes), " "))
	for _, s := range w.tell() {
		if s.code != "" {
			s.end += "; logs " + s.code
		}
		t.wrapped("", "      "+padRight(s.offer, offerColumn)+" ", strings.Repeat(" ", 6+offerColumn+1), s.end)
	}
}

// shownLines is how many kinds of log line per act a reader gets unasked.
const shownLines = 6

// logs counts the kinds of lines in all error logs of an act, by edge.
func (t *text) logs(a act) {
	if len(a.edges) == 0 {
		return
	}
	type kind struct{ level, code, reason string }
	total := map[kind]int64{}
	where := map[kind][]string{}
	for _, e := range a.edges {
		for _, l := range e.LogLines {
			k := kind{l.Level, l.Code, l.Reason}
			total[k] += l.Count
			where[k] = append(where[k], fmt.Sprintf("%s %s", e.Name, count(l.Count)))
		}
	}
	t.b.WriteByte('\n')
	if len(total) == 0 {
		t.line("%s  nothing but ordinary traffic", t.in(bold, "What the edges logged"))
		return
	}
	t.line("%s", t.in(bold, "What the edges logged"))
	var kinds []kind
	for k := range total {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b kind) int {
		return cmp.Or(cmp.Compare(grave(b.level, b.code), grave(a.level, a.code)), cmp.Compare(total[b], total[a]), strings.Compare(a.code+a.level+a.reason, b.code+b.level+b.reason))
	})
	for n, k := range kinds {
		if n >= shownLines && !t.All {
			t.line("  %s", t.in(dim, "and "+plural(int64(len(kinds)-shownLines), "more kind of line", "more kinds of line")))
			break
		}
		i := ink("")
		if k.level == "crit" || k.level == "alert" || k.level == "emerg" {
			i = red
		}
		t.wrapped(i, "  ", "      ", fmt.Sprintf("%s × [%s] %s", count(total[k]), k.level, strings.TrimSpace(k.code+" "+k.reason)))
		t.wrapped(dim, "      ", "      ", strings.Join(where[k], ", "))
	}
}

// grave orders lines for a reader: what nginx logs above info first, then what has a code, then the
// ordinary ends of connections.
func grave(level, code string) int {
	n := slices.Index([]string{"debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"}, level) * 2
	if code != "" {
		n++
	}
	return n
}

// faults lists the rules of an act: what they were, whom they could have hit, whom they hit.
func (t *text) faults(a act) {
	t.b.WriteByte('\n')
	if len(a.faults) == 0 {
		t.line("%s  none armed", t.in(bold, "Faults"))
		return
	}
	t.line("%s%s", t.in(bold, padRight("Faults", 28)), t.in(dim, padRight("what they do", 31)+" struck"))
	for _, f := range a.faults {
		what := f.Engine + " " + blow(f.Action, f.At)
		struck := count(f.Fired)
		if f.Eligible > 0 {
			struck += " of " + count(f.Eligible)
		}
		if f.PacketsDropped > 0 {
			struck += ", " + count(f.PacketsDropped) + " pkts"
		}
		i := ink("")
		if f.Fired == 0 {
			i = dim
		}
		first := "  " + padRight(cut(f.Name, 25), 25) + " " + padRight(cut(what, 31), 31) + " "
		t.wrapped(i, first, strings.Repeat(" ", 60), struck)
	}
}
