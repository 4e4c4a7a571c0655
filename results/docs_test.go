package results_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"tlsurge/results"
)

// TestTheDocumentedThresholdsParse: what docs/THRESHOLDS.md shows is the language.
func TestTheDocumentedThresholdsParse(t *testing.T) {
	p, err := os.ReadFile("../docs/THRESHOLDS.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^    "([^"]+)" = "([^"]+)"$`).FindAllStringSubmatch(string(p), -1)
	if len(lines) < 5 {
		t.Fatalf("%d examples found", len(lines))
	}
	for _, l := range lines {
		if _, err := results.ParseThreshold(l[1], l[2]); err != nil {
			t.Error(err)
		}
	}
}

// TestRunJSONIsDocumented: every table of run.json, and every limit of the verdict, stands in docs/RUN_JSON.md.
func TestRunJSONIsDocumented(t *testing.T) {
	p, err := os.ReadFile("../docs/RUN_JSON.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(p)), " ")
	for _, word := range []string{"verdict", "attempts", "users", "outcomes", "chains", "latency", "faults", "edges", "resumption", "kernel", "thresholds", "timeline"} {
		if !strings.Contains(text, "**`"+word+"`**") {
			t.Errorf("the table %q is not explained", word)
		}
	}
	l := results.DefaultLimits()
	if l.LagSuspect.Milliseconds() != 100 || l.LagInvalid.Seconds() != 2 || l.AgentCPU != 0.9 || l.GCPause.Milliseconds() != 50 || l.Retransmits != 0.001 || l.ResumptionMisses != 0.01 {
		t.Errorf("limits are %+v: say so in docs/RUN_JSON.md, then here", l)
	}
	for _, figure := range []string{"p99 over 100 ms", "p99 over 2 s", "over 90 % of a core", "over 50 ms", "more than 0.1 % of attempts", "more than 1 % of sessions"} {
		if !strings.Contains(text, figure) {
			t.Errorf("%q is not in docs/RUN_JSON.md", figure)
		}
	}
}
