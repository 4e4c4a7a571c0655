package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"tlsurge/results"
)

type junitSuite struct {
	XMLName    xml.Name        `xml:"testsuite"`
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Hostname   string          `xml:"hostname,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
	Output     string          `xml:"system-out"`
	Errout     string          `xml:"system-err"` // empty: the strictest of the schemas wants it
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Name      string       `xml:"name,attr"`
	Classname string       `xml:"classname,attr"`
	Time      string       `xml:"time,attr"`
	Failure   *junitDetail `xml:"failure,omitempty"`
	Error     *junitDetail `xml:"error,omitempty"`
}

type junitDetail struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes the run as a test suite: a test case for the verdict on the run (an error where it is
// INVALID, because then nothing was tested) and one for each threshold (a failure where it does not
// hold). The text report is the suite's output.
func JUnit(w io.Writer, run *results.Run) error {
	s := junitSuite{
		Name: "tlsurge " + run.Scenario, Time: fmt.Sprintf("%.3f", time.Duration(run.DurationNs).Seconds()), Timestamp: run.Started.UTC().Format("2006-01-02T15:04:05"),
		Hostname:   cmp.Or(run.Machine.Hostname, "localhost"),
		Properties: []junitProperty{{"seed", fmt.Sprint(run.Seed)}, {"tool_version", run.ToolVersion}, {"verdict", string(run.Verdict.State)}},
		Output:     string(Text(run, Options{})),
	}
	for _, k := range slices.Sorted(maps.Keys(run.Tags)) {
		s.Properties = append(s.Properties, junitProperty{"tag." + k, run.Tags[k]})
	}
	verdict := junitCase{Name: "the run can be trusted", Classname: run.Scenario + ".verdict", Time: s.Time}
	if run.Verdict.State == results.Invalid {
		verdict.Error = &junitDetail{"the run is INVALID", "INVALID", strings.Join(run.Verdict.Reasons, "\n")}
		s.Errors++
	}
	s.Cases = append(s.Cases, verdict)
	for _, th := range run.Thresholds {
		c := junitCase{Name: th.Expression, Classname: run.Scenario + ".thresholds", Time: "0.000"}
		if !th.Pass {
			c.Failure = &junitDetail{th.Expression + ": " + observedWords(th), "threshold", observedWords(th)}
			s.Failures++
		}
		s.Cases = append(s.Cases, c)
	}
	s.Tests = len(s.Cases)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
