package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tlsurge/results"
)

// element is what the published schemas of JUnit XML say of one: Jenkins's (junit-10.xsd) and the older, stricter one
// of Ant's reports, which wants every attribute, and the children of a suite in this order.
type element struct {
	attributes map[string]*regexp.Regexp // all of them required
	children   []string                  // in order
	once       []string                  // of the children: exactly one of each
	text       bool
}

var (
	anyText  = regexp.MustCompile(`(?s).`)
	number   = regexp.MustCompile(`^[0-9]+$`)
	decimal  = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	dateTime = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$`)
)

var junitSchema = map[string]element{
	"testsuite": {map[string]*regexp.Regexp{"name": anyText, "timestamp": dateTime, "hostname": anyText, "tests": number, "failures": number, "errors": number, "skipped": number, "time": decimal},
		[]string{"properties", "testcase", "system-out", "system-err"}, []string{"properties", "system-out", "system-err"}, false},
	"properties": {nil, []string{"property"}, nil, false},
	"property":   {map[string]*regexp.Regexp{"name": anyText, "value": regexp.MustCompile(`(?s)`)}, nil, nil, false},
	"testcase":   {map[string]*regexp.Regexp{"name": anyText, "classname": anyText, "time": decimal}, []string{"error", "failure"}, nil, false},
	"error":      {map[string]*regexp.Regexp{"message": anyText, "type": anyText}, nil, nil, true},
	"failure":    {map[string]*regexp.Regexp{"message": anyText, "type": anyText}, nil, nil, true},
	"system-out": {nil, nil, nil, true},
	"system-err": {nil, nil, nil, true},
}

// checkJUnit holds a document to the schema, and its counts to what it holds.
func checkJUnit(p []byte) error {
	type open struct {
		name string
		seen []string
	}
	var stack []open
	counts := map[string]int{}
	d := xml.NewDecoder(bytes.NewReader(p))
	declared := map[string]string{}
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		switch x := token.(type) {
		case xml.StartElement:
			e, known := junitSchema[x.Name.Local]
			switch {
			case !known || x.Name.Space != "":
				return fmt.Errorf("there is no element %v", x.Name)
			case len(stack) == 0 && x.Name.Local != "testsuite":
				return fmt.Errorf("the root is %s", x.Name.Local)
			case len(stack) > 0:
				up := &stack[len(stack)-1]
				at := slices.Index(junitSchema[up.name].children, x.Name.Local)
				if at < 0 {
					return fmt.Errorf("%s in %s", x.Name.Local, up.name)
				}
				if n := len(up.seen); n > 0 && slices.Index(junitSchema[up.name].children, up.seen[n-1]) > at {
					return fmt.Errorf("%s after %s in %s", x.Name.Local, up.seen[n-1], up.name)
				}
				up.seen = append(up.seen, x.Name.Local)
			}
			if len(x.Attr) != len(e.attributes) {
				return fmt.Errorf("%s has the attributes %v", x.Name.Local, x.Attr)
			}
			for _, a := range x.Attr {
				form := e.attributes[a.Name.Local]
				if form == nil || !form.MatchString(a.Value) {
					return fmt.Errorf("%s %s=%q", x.Name.Local, a.Name.Local, a.Value)
				}
				if len(stack) == 0 {
					declared[a.Name.Local] = a.Value
				}
			}
			counts[x.Name.Local]++
			stack = append(stack, open{name: x.Name.Local})
		case xml.EndElement:
			top := stack[len(stack)-1]
			for _, name := range junitSchema[top.name].once {
				if n := len(slices.DeleteFunc(slices.Clone(top.seen), func(s string) bool { return s != name })); n != 1 {
					return fmt.Errorf("%s has %d of %s", top.name, n, name)
				}
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) > 0 && !junitSchema[stack[len(stack)-1].name].text && len(bytes.TrimSpace(x)) > 0 {
				return fmt.Errorf("text in %s: %q", stack[len(stack)-1].name, x)
			}
		}
	}
	for attribute, name := range map[string]string{"tests": "testcase", "failures": "failure", "errors": "error"} {
		if declared[attribute] != fmt.Sprint(counts[name]) {
			return fmt.Errorf("%s=%s, and there are %d", attribute, declared[attribute], counts[name])
		}
	}
	return nil
}

func TestJUnitIsValid(t *testing.T) {
	for _, row := range []struct {
		why    string
		change func(*results.Run)
	}{
		{"as it is", func(*results.Run) {}},
		{"INVALID, with reasons that look like XML", func(r *results.Run) {
			r.Verdict = results.Verdict{State: results.Invalid, Reasons: []string{"]]> & <b>", "a\x00b\x1b[1m"}}
		}},
		{"no thresholds, no machine", func(r *results.Run) { r.Thresholds, r.Machine = nil, results.Machine{} }},
		{"names of others", func(r *results.Run) {
			r.Scenario = "\"<&>'\u2028\x07"
			r.Tags = map[string]string{"k": "<v>", "empty": ""}
			r.Users[0].Profile = "\xff\xfe"
		}},
		{"nothing happened", func(r *results.Run) {
			r.Users, r.Outcomes, r.Chains, r.Edges, r.Phases, r.Latency = nil, nil, nil, nil, nil, nil
		}},
	} {
		run := load(t, "january-2015")
		row.change(run)
		var b bytes.Buffer
		if err := JUnit(&b, run); err != nil {
			t.Errorf("%s: %v", row.why, err)
		} else if err := checkJUnit(b.Bytes()); err != nil {
			t.Errorf("%s: %v", row.why, err)
		}
	}
	for why, text := range map[string]string{
		"an attribute missing": `<testsuite name="x"></testsuite>`,
		"another element":      `<suite></suite>`,
	} {
		if checkJUnit([]byte(text)) == nil {
			t.Errorf("%s: taken for valid", why)
		}
	}
}

// TestWhatACommentHolds: a run of many browsers and endings fits a comment, and an annotation is left for the rest.
func TestWhatACommentHolds(t *testing.T) {
	run := load(t, "january-2015")
	one := run.Chains
	for i := range 60 {
		for _, c := range one {
			c.Profile = fmt.Sprintf("browser-%d-with-a-long-name-of-its-own", i)
			c.UserSees = fmt.Sprintf("error %d", i)
			run.Chains = append(run.Chains, c)
		}
		run.Thresholds = append(run.Thresholds, results.ThresholdResult{Expression: fmt.Sprintf("requests.ok > %d", i)})
	}
	p := Markdown(run)
	if len(p) > commentLimit || !strings.Contains(string(p), "report.html has them") {
		t.Errorf("%d bytes", len(p))
	}
	if n := strings.Count(string(Annotations(run)), "::error"); n != shownAnnotations {
		t.Errorf("%d errors", n)
	}
	if got := string(cutLines(strings.Repeat("a line\n", 100), 200)); len(got) > 200 || !strings.Contains(got, "line\n\n(cut here") {
		t.Errorf("%q", got)
	}
}
