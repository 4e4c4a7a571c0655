package report

import (
	"fmt"
	"slices"
	"strings"

	"tlsurge/results"
)

// Annotations are GitHub workflow commands for the log of a job: an error for each threshold that does
// not hold and for an INVALID run, a warning for each reason to doubt a SUSPECT one, a notice for the
// rest. The step summary is Markdown, for $GITHUB_STEP_SUMMARY.
func Annotations(run *results.Run) []byte {
	var b strings.Builder
	say := func(kind, title, text string) {
		fmt.Fprintf(&b, "::%s title=%s::%s\n", kind, ghProperty(title), ghData(text))
	}
	title := "tlsurge " + run.Scenario
	failed := slices.DeleteFunc(slices.Clone(run.Thresholds), func(th results.ThresholdResult) bool { return th.Pass })
	for i, th := range failed {
		if more := len(failed) - i; i == shownAnnotations-1 && more > 1 {
			say("error", title+": thresholds", fmt.Sprintf("%d more do not hold; the summary has them all", more))
			break
		}
		say("error", title+": threshold", th.Expression+": "+observedWords(th))
	}
	kind := map[results.State]string{results.Invalid: "error", results.Suspect: "warning"}[run.Verdict.State]
	for _, r := range run.Verdict.Reasons {
		say(kind, fmt.Sprintf("%s: the run is %s", title, run.Verdict.State), r)
	}
	s := sum(run.Users)
	say("notice", title, fmt.Sprintf("%s of %s page loads ended in an error users saw (%s); run %s, seed %d%s",
		count(s.SawError), count(s.PageLoads), share(s.SawError, s.PageLoads), run.Verdict.State, run.Seed, tagged(run.Tags)))
	return []byte(b.String())
}

// shownAnnotations is how many errors of a step GitHub shows; one is left for an INVALID run.
const shownAnnotations = 9

// tagged is the run's labels behind a sentence.
func tagged(tags map[string]string) string {
	if len(tags) == 0 {
		return ""
	}
	return ", " + pairs(tags)
}

// ghData and ghProperty escape what would end a workflow command or one of its properties.
func ghData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func ghProperty(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(ghData(s))
}
