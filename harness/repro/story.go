package repro

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// write leaves repro.json and report.md beside the scenario.
func (t *task) write() error {
	p, err := json.MarshalIndent(t.result, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(t.path("repro.json"), string(p)+"\n"); err != nil {
		return err
	}
	f, err := os.OpenFile(t.path("report.md"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.result.WriteMarkdown(f)
}

// section is a part of the story: a heading and its lines.
type section struct {
	title string
	lines []string
}

// WriteText tells the result on a terminal.
func (r *Result) WriteText(w io.Writer) error {
	for i, s := range r.story() {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s\n", strings.ToUpper(s.title))
		for _, l := range s.lines {
			if _, err := fmt.Fprintf(w, "  %s\n", l); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteMarkdown is the same on one page.
func (r *Result) WriteMarkdown(w io.Writer) error {
	title := "Not reproduced"
	if r.Reproduced {
		title = "Reproduced: " + r.heading()
	}
	fmt.Fprintf(w, "# %s\n", title)
	for _, s := range r.story() {
		fmt.Fprintf(w, "\n## %s\n\n", s.title)
		if s.title == titleReport || s.title == titleWhatIf || s.title == titleAgain {
			fmt.Fprintf(w, "```\n%s\n```\n", strings.Join(s.lines, "\n"))
			continue
		}
		for _, l := range s.lines {
			if _, err := fmt.Fprintf(w, "%s\n", markdownLine(l)); err != nil {
				return err
			}
		}
	}
	return nil
}

// markdownLine keeps numbered and indented lines, and makes paragraphs of the rest.
func markdownLine(l string) string {
	if strings.HasPrefix(l, "- ") || len(l) > 1 && l[0] >= '1' && l[0] <= '9' && l[1] == '.' || strings.HasPrefix(l, "   ") {
		return l
	}
	return l + "\n"
}

func (r *Result) heading() string {
	if r.UserSees != "" {
		return r.UserSees
	}
	if len(r.Signatures) > 0 {
		return cmp.Or(r.Signatures[0].Reason, r.Signatures[0].Text)
	}
	return r.Cause
}

// Headings of the sections.
const (
	titleReport = "What was reported"
	titleCause  = "What it is"
	titleOther  = "What else it may be"
	titleChain  = "How it comes about"
	titleRecipe = "The recipe"
	titleRate   = "How often"
	titleFix    = "With the fix"
	titleWhatIf = "What would change it"
	titleNotes  = "Notes"
	titleAgain  = "Run it again"
)

func (r *Result) story() (list []section) {
	add := func(title string, lines []string) {
		if len(lines) > 0 {
			list = append(list, section{title, lines})
		}
	}
	add(titleReport, table(r.Signatures))
	if !r.Reproduced {
		add("Not reproduced", r.failure())
		add(titleNotes, r.Notes)
		return list
	}
	add(titleCause, r.causeLines())
	add(titleChain, r.chainLines())
	add(titleRecipe, r.recipeLines())
	add(titleRate, r.rateLines())
	add(titleFix, r.fixLines())
	add(titleWhatIf, r.effectLines())
	add(titleOther, r.otherLines())
	add(titleNotes, r.Notes)
	add(titleAgain, r.againLines())
	return list
}

// causeLines says what it is, and how sure that is.
func (r *Result) causeLines() []string {
	words := []string{r.Cause + ": " + r.Why + "."}
	if r.Case != "" {
		words = []string{r.Cause + ".", r.Why + "."}
	}
	if n := len(r.Alternatives); n > 1 {
		return append([]string{fmt.Sprintf("%d causes fit what was reported. The likeliest, which the fleet has shown:", n)}, words...)
	}
	return words
}

// failure says what was done in vain.
func (r *Result) failure() []string {
	effort := fmt.Sprintf("%d candidates, %d page loads in memory, %v", r.Tried, r.Trials, r.Elapsed.Round(100*time.Millisecond))
	if u := r.Unconfirmed; u != nil {
		return []string{"Found in memory, and not confirmed within the budget: " + u.String(), "Run it alone: tlsurge run " + relative(u.Scenario), "(" + effort + ".)"}
	}
	lines := []string{effort + ": no recipe shows the report on the fleet."}
	if len(r.First) == 0 {
		return append(lines, "No rule of ranking explains it; servers and faults were tried in order.")
	}
	lines = append(lines, "What was tried first:")
	for i, c := range r.First {
		lines = append(lines, fmt.Sprintf("%d. %s", i+1, c))
	}
	return lines
}

// recipeLines is the recipe with what shrinking found.
func (r *Result) recipeLines() (lines []string) {
	if r.Recipe != nil {
		lines = append(lines, fmt.Sprintf("%s.", r.Recipe.words()),
			fmt.Sprintf("Found as candidate %d after %d page loads in memory, confirmed on the fleet.", r.Tried, r.Trials))
	} else {
		lines = append(lines, fmt.Sprintf("The case %s of the library, played on the fleet.", r.Case))
	}
	var gone, needed []string
	for _, s := range r.Shrunk {
		if s.Dropped {
			gone = append(gone, s.What)
		} else {
			needed = append(needed, s.What)
		}
	}
	if len(gone) > 0 {
		lines = append(lines, "Left out, because the report appears without: "+strings.Join(gone, "; ")+".")
	}
	if len(needed) > 0 {
		lines = append(lines, "Needed, because the report does not appear without: "+strings.Join(needed, "; ")+".")
	}
	return lines
}

func (r *Result) rateLines() (lines []string) {
	if r.Rate != nil {
		lines = append(lines, "In the confirming run "+r.Rate.String()+" of the browsers concerned, each hit by the fault, showed it.")
		if r.Recipe != nil && len(r.Recipe.Faults) == 0 || r.Recipe == nil {
			lines[0] = "In the confirming run " + r.Rate.String() + " showed it."
		}
	}
	for _, s := range r.Seen {
		lines = append(lines, fmt.Sprintf("- seen %d times: %s (%s)", s.Count, signatureWords(s.Signature), strings.Join(s.Where, "; ")))
	}
	for _, s := range r.NotSeen {
		lines = append(lines, "- not seen: "+strings.Join(strings.Fields(s), " "))
	}
	return lines
}

func (r *Result) againLines() []string {
	lines := []string{"tlsurge run " + relative(r.Scenario), "tlsurge report " + relative(r.Run)}
	if r.Evidence != "" {
		lines = append(lines, "tshark -r "+relative(r.Evidence)+"/client.pcapng   # decrypted by the keys in it; the timeline is "+relative(r.Evidence)+"/timeline.svg")
	}
	return lines
}

// relative shortens a path below the working directory.
func relative(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(wd, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	return rel
}
