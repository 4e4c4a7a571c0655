package repro

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"tlsurge/harness/symptom"
	"tlsurge/profiles"
	"tlsurge/profiles/wire"
	"tlsurge/results"
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

// table is the signatures, for people.
func table(list []symptom.Signature) []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "where\tcount\tfirst\tlast\tclients\twhat")
	const most = 12
	for i, s := range list {
		if i == most {
			fmt.Fprintf(w, "\t\t\t\t\tand %d more\n", len(list)-most)
			break
		}
		day := func(t time.Time) string {
			if t.IsZero() {
				return "-"
			}
			return t.Format("2006-01-02 15:04:05")
		}
		clients := "-"
		if s.Clients > 0 {
			clients = fmt.Sprint(s.Clients)
		}
		where := strings.ReplaceAll(string(s.Origin), "_", " ")
		if s.Software != "" {
			where += ", " + s.Software
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", where, max(s.Count, 1), day(s.First), day(s.Last), clients, signatureWords(s))
	}
	w.Flush() // into a buffer: it cannot fail
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}

// signatureWords is a signature in a few words.
func signatureWords(s symptom.Signature) string {
	var parts []string
	if s.UserSees != "" {
		parts = append(parts, s.UserSees)
	}
	if s.Level != "" {
		parts = append(parts, "["+s.Level+"]")
	}
	parts = append(parts, s.Code, s.Reason)
	if s.Alert >= 0 && s.UserSees == "" {
		parts = append(parts, fmt.Sprintf("alert %d", s.Alert))
	}
	words := strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
	if words == "" {
		words = strings.Join(strings.Fields(s.Text), " ")
	}
	if words == "" {
		words = string(s.Class)
	}
	if r := []rune(words); len(r) > 90 {
		words = string(r[:90]) + "…"
	}
	return words
}

// chainLines walks each chain link by link.
func (r *Result) chainLines() (lines []string) {
	if r.Recipe != nil && len(r.Recipe.Faults) == 0 {
		lines = append(lines, "No fault is needed: browser and server, as they are set up, cannot agree on a handshake.")
	}
	for _, c := range r.Chains {
		title := c.Profile
		if p, err := profiles.Lookup(c.Profile); err == nil {
			title = p.Title
		}
		if r.Recipe != nil && len(r.Recipe.Acts) > 1 {
			title += " at " + c.Phase
		}
		if c.Count > 0 {
			title += fmt.Sprintf(", %d times", c.Count)
		}
		lines = append(lines, title+":")
		n := 0
		for i := 0; i < len(c.Steps); {
			same := 1
			for i > 0 && i+same < len(c.Steps) && c.Steps[i+same] == c.Steps[i] {
				same++
			}
			times := ""
			if same > 1 {
				times = fmt.Sprintf(" So %d times.", same)
			}
			n++
			lines = append(lines, fmt.Sprintf("%d. %s%s", n, link(c.Steps[i], i == 0, c), times))
			i += same
		}
		switch {
		case c.UserSees != "":
			lines = append(lines, fmt.Sprintf("%d. The user sees %s.", n+1, c.UserSees))
		default:
			lines = append(lines, fmt.Sprintf("%d. The user is served: %s.", n+1, strings.ReplaceAll(string(c.Verdict), "_", " ")))
		}
	}
	return lines
}

// link is one attempt in words.
func link(s results.ChainStep, first bool, c results.Chain) string {
	what := map[string]string{"first": "The first hello", "resumed": "A hello with a session", "retry": "The same hello once more", "fallback": "A lowered hello"}[s.Kind]
	what = cmp.Or(what, s.Kind)
	what += " offers " + s.Offered
	if s.SCSV {
		what += ", marked with TLS_FALLBACK_SCSV"
	}
	end := map[results.Class]string{
		results.ClassOK: "it is served", results.ClassReset: "the connection is reset", results.ClassEOF: "the connection is closed",
		results.ClassHandshakeTimeout: "nothing comes back until the browser gives up", results.ClassCertificate: "the browser refuses the certificate",
		results.ClassLocalAlert: "the browser refuses what it gets", results.ClassRequestReset: "the connection is reset under the request",
		results.ClassRequestEOF: "the connection is closed before an answer", results.ClassRequestTimeout: "no answer comes until the browser gives up",
		results.ClassConnectRefused: "nobody listens", results.ClassConnectTimeout: "nobody answers", results.ClassConnectReset: "the connection is reset at once",
	}[s.Class]
	if s.Class == results.ClassPeerAlert {
		end = "the server refuses it"
	}
	end = cmp.Or(end, string(s.Class))
	if s.Alert >= 0 {
		end += fmt.Sprintf(" with alert %d, %v", s.Alert, wire.AlertDescription(s.Alert))
		if s.Sender == "client" {
			end += " (sent by the browser)"
		}
	}
	if s.Version != "" {
		end += " (" + s.Version + ")"
	}
	if first && c.Fault != "" {
		end += fmt.Sprintf(" by the fault %s", c.Fault)
	}
	if s.LogReason != "" {
		end += fmt.Sprintf("; the server logs %s", strings.Join(strings.Fields("["+s.LogLevel+"] "+s.ServerLogs+" "+s.LogReason), " "))
	}
	return what + ": " + end + "."
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

func (r *Result) fixLines() (lines []string) {
	f := r.Fix
	if f == nil {
		return nil
	}
	verdict := "The report is NOT gone"
	switch {
	case f.Gone:
		verdict = "The report is gone"
	case f.Difference.High < 0:
		verdict = "The report is rarer, and not gone"
	}
	lines = append(lines, fmt.Sprintf("%s with %s, in %d rounds without and with it, of the same seeds, in turn.", verdict, strings.Join(f.Changes, " and "), f.Rounds),
		"- without: "+f.Before.String(), "- with: "+f.After.String(), "- change: "+f.Difference.String())
	for _, u := range f.Users {
		lines = append(lines, fmt.Sprintf("- %s: %s; with the fix: %s", u.Profile, loads(u.Before), loads(u.After)))
	}
	for _, l := range f.Logs {
		lines = append(lines, "- "+l)
	}
	if len(f.Breaks) > 0 {
		lines = append(lines, "- in memory, an undisturbed first visit no longer goes as before for: "+strings.Join(f.Breaks, ", "))
	}
	if len(f.Helps) > 0 {
		lines = append(lines, "- in memory, it now does for: "+strings.Join(f.Helps, ", "))
	}
	return lines
}

// loads is a row of users in words.
func loads(u results.UserRow) string {
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{u.Fine, "fine"}, {u.SavedByRetry, "saved by a retry"}, {u.Downgraded, "at a lower version"}, {u.SawError, "saw an error"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(u.Errors)) {
		parts = append(parts, fmt.Sprintf("%d × %s", u.Errors[k], k))
	}
	return cmp.Or(strings.Join(parts, ", "), "no page loads")
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
