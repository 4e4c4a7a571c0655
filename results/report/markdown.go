package report

import (
	"fmt"
	"strings"

	"tlsurge/results"
)

// Markdown is a comment for a pull request: the verdict and the thresholds first, then what users saw,
// then how it came to that, folded away.
func Markdown(run *results.Run) []byte {
	var b strings.Builder
	mark := map[bool]string{true: "✅", false: "❌"}
	failed := 0
	for _, th := range run.Thresholds {
		if !th.Pass {
			failed++
		}
	}
	ok := failed == 0 && run.Verdict.State != results.Invalid
	fmt.Fprintf(&b, "### %s tlsurge: %s\n\n", mark[ok], md(run.Scenario))
	s := sum(run.Users)
	fmt.Fprintf(&b, "**%s** of %s page loads ended in an error users saw (%s), %s were saved by a retry, %s silently downgraded. ",
		count(s.SawError), count(s.PageLoads), share(s.SawError, s.PageLoads), count(s.SavedByRetry), count(s.Downgraded))
	fmt.Fprintf(&b, "Run **%s**: %s. Seed %d, %s%s.\n\n", run.Verdict.State, stateWords(run.Verdict.State), run.Seed, seconds(run.DurationNs), md(tagged(run.Tags)))
	for _, r := range run.Verdict.Reasons {
		fmt.Fprintf(&b, "- ⚠️ %s\n", md(r))
	}
	if len(run.Verdict.Reasons) > 0 {
		b.WriteByte('\n')
	}
	if len(run.Thresholds) > 0 {
		b.WriteString("| | threshold | observed |\n|---|---|---|\n")
		for _, th := range run.Thresholds {
			fmt.Fprintf(&b, "| %s | `%s` | %s |\n", mark[th.Pass], mdCode(th.Expression), md(strings.TrimPrefix(observedWords(th), "observed ")))
		}
		b.WriteByte('\n')
	}
	mdUsers(&b, run)
	var chains, latency strings.Builder
	mdChains(&chains, run)
	mdLatency(&latency, run)
	if b.Len()+chains.Len()+latency.Len() > commentLimit {
		chains.Reset()
		chains.WriteString("The chains of faults and retries are too many for a comment; report.html has them.\n\n")
	}
	b.WriteString(chains.String() + latency.String())
	return cutLines(b.String(), commentLimit)
}

// commentLimit is what a comment on a pull request may hold; GitHub takes 65,536 characters, and a step summary 1 MiB.
const commentLimit = 65_000

// cutLines keeps as many whole lines as fit.
func cutLines(text string, limit int) []byte {
	const cut = "\n(cut here: a comment holds no more; report.html has the rest)\n"
	if len(text) <= limit {
		return []byte(text)
	}
	text = text[:limit-len(cut)]
	return []byte(text[:strings.LastIndexByte(text, '\n')+1] + cut)
}

func mdUsers(b *strings.Builder, run *results.Run) {
	b.WriteString("| act | browser | page loads | fine | saved | downgraded | error | in the browser's own words |\n|---|---|--:|--:|--:|--:|--:|---|\n")
	for _, u := range run.Users {
		if u.Fine == u.PageLoads {
			continue
		}
		var said []string
		for _, w := range sorted(u.Errors) {
			said = append(said, fmt.Sprintf("`%s` × %s", mdCode(w.text), count(w.count)))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", md(u.Phase), md(u.Profile), count(u.PageLoads), count(u.Fine), count(u.SavedByRetry),
			count(u.Downgraded), count(u.SawError), strings.Join(said, ", "))
	}
	for _, a := range acts(run) {
		s := sum(a.users)
		fmt.Fprintf(b, "| **%s** | all | %s | %s | %s | %s | %s | %s |\n", md(a.Name), count(s.PageLoads), count(s.Fine), count(s.SavedByRetry), count(s.Downgraded), count(s.SawError), share(s.SawError, s.PageLoads))
	}
	b.WriteByte('\n')
}

func mdChains(b *strings.Builder, run *results.Run) {
	if len(run.Chains) == 0 {
		return
	}
	b.WriteString("<details><summary>How it came to that</summary>\n\n")
	for _, a := range acts(run) {
		for _, e := range endings(a.chains) {
			if e.verdict != results.SawError && e.verdict != results.Downgraded {
				continue
			}
			fmt.Fprintf(b, "**%s**: %s × %s\n\n", md(a.Name), count(e.count), md(verdictWords(e.verdict, e.userSees)))
			for _, w := range e.ways {
				fmt.Fprintf(b, "- %s; fault: %s\n", md(listed(sorted(w.profiles), " ")), md(listed(sorted(w.causes), " ")))
				for n, s := range w.tell() {
					end := md(s.end)
					for _, l := range s.logs {
						end += "; edge logs `" + mdCode(l.text) + "`"
					}
					fmt.Fprintf(b, "  %d. %s: %s\n", n+1, md(s.offer), end)
				}
			}
			b.WriteByte('\n')
		}
	}
	b.WriteString("</details>\n\n")
}

func mdLatency(b *strings.Builder, run *results.Run) {
	b.WriteString("<details><summary>Latency, from the intended start</summary>\n\n| | count | p50 | p90 | p99 | p99.9 | max |\n|---|--:|--:|--:|--:|--:|--:|\n")
	for _, m := range latencyNames {
		p := run.Latency[m.metric]["response_time"]
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", m.label, count(p.Count), ms(p.P50Ns), ms(p.P90Ns), ms(p.P99Ns), ms(p.P999Ns), ms(p.MaxNs))
	}
	b.WriteString("\n</details>\n")
}

// md makes a text safe as markdown: names of browsers and rules are someone's file.
func md(s string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "<", "&lt;", ">", "&gt;", "*", "\\*", "_", "\\_", "`", "\\`", "[", "\\[", "]", "\\]", "\n", " ").Replace(s)
}

// mdCode makes a text safe between backticks, in a table.
func mdCode(s string) string { return strings.NewReplacer("`", "'", "|", "\\|", "\n", " ").Replace(s) }
