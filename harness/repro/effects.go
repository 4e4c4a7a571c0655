package repro

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"tlsurge/profiles"
)

// effectLines is the table of knobs: those that do something, and those of the fleet; the others by name.
func (r *Result) effectLines() []string {
	if len(r.Effects) == 0 {
		return nil
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "knob\tleft of the report\tsee any error\tjudged\tthen")
	var idle []string
	for _, e := range r.Effects {
		if e.Where == inMemory && !e.Helps && e.Share() <= 1 && len(e.Breaks) == 0 {
			idle = append(idle, e.Knob)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%d of %d\t%s\t%s\n", e.Knob, e.left(), e.Failing.Hits, e.Failing.Loads, e.Where, e.then())
	}
	w.Flush() // into a buffer: it cannot fail
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	if len(idle) > 0 {
		lines = append(lines, "no help and no harm, in memory: "+strings.Join(idle, ", "))
	}
	return append(lines, "judged in memory: by kinds of browsers that show the report; on the fleet: by page loads")
}

func (e Effect) left() string {
	switch {
	case e.After.Hits == 0:
		return "nothing: gone"
	case e.Helps:
		return fmt.Sprintf("%.0f %% (%d of %d)", 100*e.Share(), e.After.Hits, e.After.Loads)
	case e.Share() > 1 && e.Where == inMemory:
		return fmt.Sprintf("more (%d of %d)", e.After.Hits, e.After.Loads)
	}
	return fmt.Sprintf("all: no help (%d of %d)", e.After.Hits, e.After.Loads)
}

// then is what those come to who no longer show the report, and who else is hurt.
func (e Effect) then() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(e.Instead)) {
		parts = append(parts, fmt.Sprintf("%d × %s", e.Instead[k], k))
	}
	if len(parts) > 3 {
		parts = append(parts[:3], "…")
	}
	if n := len(e.Breaks); n > 0 {
		parts = append(parts, fmt.Sprintf("breaks %d of %d browsers: %s", n, len(profiles.Names()), few(e.Breaks)))
	}
	return strings.Join(parts, ", ")
}

func few(names []string) string {
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
