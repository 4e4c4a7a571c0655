package compare

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"tlsurge/results"
)

// Text words a report for a terminal of 80 columns: what differs beside the numbers, a row per metric,
// and the decision last.
func Text(r *Report) []byte {
	var b strings.Builder
	if len(r.Differences) > 0 {
		b.WriteString("The sides differ in more than their numbers:\n")
		for _, d := range r.Differences {
			fmt.Fprintf(&b, "  - %s\n", d)
		}
		b.WriteByte('\n')
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	if len(r.Tags) > 0 {
		fmt.Fprintf(&b, "tags: %s\n", tagWords(r.Tags))
	}
	fmt.Fprintf(&b, "%s %s %s %s  decision\n", right("metric", 38), left("base", 9), left("new", 9), left("change", 8))
	shown, alike := folded(r.Rows)
	for _, row := range shown {
		fmt.Fprintf(&b, "%s %s %s %s  %s\n", right(row.Name, 38), left(center(row.Base, row.Unit), 9), left(center(row.New, row.Unit), 9),
			left(change(row), 8), row.Decision)
		switch {
		case row.Decision == Same:
		case row.Why == unsupported+"; "+roundsWords(row.NeedRounds): // as the decision says; how many would do is what is new
			fmt.Fprintf(&b, "    %s (%s)\n", roundsWords(row.NeedRounds), intervalWords(row))
		default:
			fmt.Fprintf(&b, "    %s\n    %s\n", row.Why, figures(row))
		}
	}
	for _, line := range alike {
		fmt.Fprintf(&b, "%s\n", line)
	}
	fmt.Fprintf(&b, "\n%s\n", Sentence(r))
	return []byte(b.String())
}

// manyAlike is from how many rows of one name on those that say nothing are folded into a line.
const manyAlike = 8

// folded takes from the rows of one name (users.saw_error[...]) those that were settled, where there are
// many, and counts them instead.
func folded(rows []Row) (shown []Row, alike []string) {
	name := func(row Row) string { before, _, _ := strings.Cut(row.Name, "["); return before }
	count := map[string]int{}
	for _, row := range rows {
		if row.settled && row.Decision != Regressed {
			count[name(row)]++
		}
	}
	for _, row := range rows {
		n := count[name(row)]
		if !row.settled || row.Decision == Regressed || n < manyAlike {
			shown = append(shown, row)
		} else if line := fmt.Sprintf("%s: %d more, the same on both sides", name(row), n); !slices.Contains(alike, line) {
			alike = append(alike, line)
		}
	}
	return shown, alike
}

func tagWords(tags map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, k+"="+tags[k])
	}
	return strings.Join(list, " ")
}

// Sentence is the decision in words, and on how much it rests.
func Sentence(r *Report) string {
	n := map[Decision]int{}
	need := 0
	for _, row := range r.Rows {
		n[row.Decision]++
		need = max(need, row.NeedRounds)
	}
	judged := fmt.Sprintf("%d of %d metrics judged", len(r.Rows)-n[Unsure], len(r.Rows))
	if n[Unsure] > 0 {
		judged += ", for the others " + roundsWords(need)
	}
	switch r.Decision {
	case Regressed:
		return fmt.Sprintf("REGRESSED: %d worse by more than what matters; %s.", n[Regressed], judged)
	case Unsure:
		return fmt.Sprintf("UNSURE: none is worse, but too few could be judged: %s.", judged)
	case Improved:
		return fmt.Sprintf("PASSED: %d better, none worse by more than what matters; %s.", n[Improved], judged)
	}
	return fmt.Sprintf("PASSED: none worse by more than what matters; %s.", judged)
}

// figures are what a decision rests on.
func figures(row Row) string {
	return fmt.Sprintf("(%s; p=%.3g after correction; n=%d+%d)", intervalWords(row), row.AdjustedP, row.Base.Rounds, row.New.Rounds)
}

func intervalWords(row Row) string {
	if !row.Effect.Bounded {
		return "too few for an interval"
	}
	return fmt.Sprintf("%s to %s", effectWords(row, row.Effect.Lo), effectWords(row, row.Effect.Hi))
}

// center is what a side shows of a metric.
func center(s Summary, unit string) string {
	if s.Rounds == 0 {
		return "absent"
	}
	return results.FormatValue(s.Center, unit)
}

func change(row Row) string {
	if row.Base.Rounds == 0 || row.New.Rounds == 0 {
		return "-"
	}
	return effectWords(row, row.Effect.Estimate)
}

// effectWords words a relative change in percent, a difference of shares in percentage points.
func effectWords(row Row, v float64) string {
	if math.Abs(v) < 5e-5 {
		v = 0
	}
	unit := "%"
	if row.Unit == "share" {
		unit = "pp"
	}
	return fmt.Sprintf("%+.1f%s", 100*v, unit)
}

// Markdown words a report for a pull request.
func Markdown(r *Report) []byte {
	var b strings.Builder
	mark := map[Decision]string{Regressed: "❌", Improved: "🎉", Same: "✅", Unsure: "❔"}
	fmt.Fprintf(&b, "### %s tlsurge bench\n\n%s\n\n", mark[r.Decision], Sentence(r))
	if len(r.Tags) > 0 {
		fmt.Fprintf(&b, "- tags: %s\n", escape(tagWords(r.Tags)))
	}
	for _, d := range r.Differences {
		fmt.Fprintf(&b, "- ⚠️ the sides differ in %s\n", escape(d))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", escape(n))
	}
	b.WriteString("\n| | metric | base | new | change | why |\n|---|---|--:|--:|--:|---|\n")
	shown, alike := folded(r.Rows)
	for _, row := range shown {
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s |\n", mark[row.Decision], strings.NewReplacer("|", "\\|", "`", "'").Replace(row.Name), center(row.Base, row.Unit),
			center(row.New, row.Unit), change(row), escape(row.Why+" "+figures(row)))
	}
	for _, line := range alike {
		fmt.Fprintf(&b, "\n%s\n", escape(line))
	}
	return []byte(b.String())
}

func escape(s string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;", ">", "&gt;", "*", "\\*", "_", "\\_", "`", "\\`", "\n", " ").Replace(s)
}

func right(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}
func left(s string, n int) string {
	return strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s))) + s
}
