package report

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"tlsurge/results"
)

func htmlOf(t *testing.T, run *results.Run) []byte {
	t.Helper()
	p, err := HTML(HTMLInput{Run: run, Latencies: latencies(t), Scenario: "name = \"january-2015\"\nseed = 42\n"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestHTMLGolden(t *testing.T) {
	golden(t, "january-2015.html", htmlOf(t, load(t, "january-2015")))
}

// pageFacts is what the checks below need to know of a page.
type pageFacts struct {
	tags     map[string]int
	attrs    []html.Attribute
	ids      map[string]int
	refs     []string // ids that an attribute refers to
	headings []int
	open     []string // tags that were not closed, or closed out of order
	noScope  int      // th without scope
	noName   int      // pictures and scrolling regions without a name
	text     string
}

func factsOf(t *testing.T, p []byte) pageFacts {
	t.Helper()
	f := pageFacts{tags: map[string]int{}, ids: map[string]int{}}
	z := html.NewTokenizer(bytes.NewReader(p))
	var stack []string
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			f.open = append(f.open, stack...)
			return f
		}
		tok := z.Token()
		switch kind {
		case html.TextToken:
			f.text += tok.Data
		case html.EndTagToken:
			if len(stack) == 0 || stack[len(stack)-1] != tok.Data {
				f.open = append(f.open, "/"+tok.Data)
				continue
			}
			stack = stack[:len(stack)-1]
		case html.StartTagToken, html.SelfClosingTagToken:
			f.tags[tok.Data]++
			f.attrs = append(f.attrs, tok.Attr...)
			if kind == html.StartTagToken && tok.Data != "meta" && tok.Data != "img" && tok.Data != "wbr" {
				stack = append(stack, tok.Data)
			}
			if len(tok.Data) == 2 && tok.Data[0] == 'h' && tok.Data[1] >= '1' && tok.Data[1] <= '6' {
				f.headings = append(f.headings, int(tok.Data[1]-'0'))
			}
			a := map[string]string{}
			for _, at := range tok.Attr {
				a[at.Key] = at.Val
			}
			if a["id"] != "" {
				f.ids[a["id"]]++
			}
			f.refs = append(f.refs, strings.Fields(a["aria-labelledby"])...)
			if tok.Data == "th" && a["scope"] == "" {
				f.noScope++
			}
			if (a["role"] == "img" || a["role"] == "region") && a["aria-label"] == "" && a["aria-labelledby"] == "" {
				f.noName++
			}
		}
	}
}

// TestHTMLNeedsNothingElse: no script, and nothing that a browser would fetch.
func TestHTMLNeedsNothingElse(t *testing.T) {
	p := htmlOf(t, load(t, "january-2015"))
	f := factsOf(t, p)
	for _, tag := range []string{"script", "link", "img", "iframe", "object", "embed", "audio", "video", "source", "form", "base", "image", "use"} {
		if f.tags[tag] > 0 {
			t.Errorf("%d <%s>", f.tags[tag], tag)
		}
	}
	for _, a := range f.attrs {
		switch {
		case a.Key == "href" && strings.HasPrefix(a.Val, "#h-"):
			if !bytes.Contains(p, []byte(`id="`+a.Val[1:]+`"`)) {
				t.Errorf("%s leads nowhere", a.Val)
			}
		case a.Key == "src" || a.Key == "href" || a.Key == "srcset" || a.Key == "style" || strings.HasPrefix(a.Key, "on"):
			t.Errorf("attribute %s=%q", a.Key, a.Val)
		}
	}
	for _, word := range []string{"url(", "@import", "http://", "https://", "//fonts"} {
		if bytes.Contains(p, []byte(word)) {
			t.Errorf("the page has %q", word)
		}
	}
}

func TestHTMLIsWellFormedAndNamed(t *testing.T) {
	runs := oddRuns(t)
	runs["january-2015"] = load(t, "january-2015")
	for name, run := range runs {
		t.Run(name, func(t *testing.T) { wellFormedAndNamed(t, factsOf(t, htmlOf(t, run))) })
	}
}

func wellFormedAndNamed(t *testing.T, f pageFacts) {
	t.Helper()
	if len(f.open) > 0 {
		t.Errorf("tags left open or closed out of order: %v", f.open)
	}
	for id, n := range f.ids {
		if n > 1 {
			t.Errorf("id %s is used %d times", id, n)
		}
	}
	for _, ref := range f.refs {
		if f.ids[ref] == 0 {
			t.Errorf("a label refers to %s, which is not there", ref)
		}
	}
	for i, level := range f.headings {
		if i == 0 && level != 1 || i > 0 && (level == 1 || level > f.headings[i-1]+1) {
			t.Errorf("heading %d is h%d after h%d", i, level, f.headings[max(0, i-1)])
		}
	}
	if f.noScope+f.noName > 0 {
		t.Errorf("%d header cells without scope, %d pictures or regions without a name", f.noScope, f.noName)
	}
	if f.tags["figure"] == 0 || f.tags["figure"] != 5 || f.tags["table"] < f.tags["figure"] {
		t.Errorf("%d figures, %d tables", f.tags["figure"], f.tags["table"])
	}
}

func TestHTMLEscapesWhatOthersNamed(t *testing.T) {
	run := load(t, "january-2015")
	evil := `"><script>alert(1)</script><b x='`
	run.Scenario, run.Users[0].Profile, run.Phases[0].Name, run.Phases[0].About = evil, evil, evil, evil
	run.Users[0].Errors = map[string]int64{evil: 3}
	for i := range run.Faults {
		run.Faults[i].Name, run.Faults[i].Phase = evil, evil
	}
	for i := range run.Edges {
		run.Edges[i].LogLines = []results.LogLine{{Level: evil, Code: evil, Reason: evil, Count: 1}}
	}
	for i := range run.Chains {
		run.Chains[i].UserSees, run.Chains[i].Phase = evil, evil
	}
	for i := range run.Timeline {
		run.Timeline[i].Phase = evil
	}
	run.Verdict.Reasons = []string{evil}
	p, err := HTML(HTMLInput{Run: run, Latencies: latencies(t), Scenario: evil})
	if err != nil {
		t.Fatal(err)
	}
	f := factsOf(t, p)
	if f.tags["script"]+f.tags["b"] != 6 || len(f.open) > 0 { // the six figures at the top are <b>
		t.Errorf("%d <script>, %d <b>, open %v", f.tags["script"], f.tags["b"], f.open)
	}
	if !strings.Contains(f.text, evil) {
		t.Error("the names are not shown as they are")
	}
}

// TestHTMLSaysWhy: what a reader of an odd run wants to know stands on its page.
func TestHTMLSaysWhy(t *testing.T) {
	pages := map[string]string{}
	for name, run := range oddRuns(t) {
		pages[name] = factsOf(t, htmlOf(t, run)).text
	}
	for _, row := range []struct{ page, says string }{
		{"calm", "No fault was armed."},
		{"calm", "Nothing but ordinary traffic."},
		{"invalid", "agent-1 was lost: signal: killed"},
		{"invalid", "✗ 4 of 4 thresholds fail."},
		{"invalid", "Attempts that failed with no fault behind them"},
		{"crowded", "rarer ways to the same"},
		{"crowded", "saw an error (<0.01%)"},
		{"crowded", "3.0 s to 4.0 s"},
	} {
		if !strings.Contains(pages[row.page], row.says) {
			t.Errorf("the page of the %s run does not say %q", row.page, row.says)
		}
	}
	if strings.Contains(pages["calm"], "threshold") {
		t.Error("the calm run's page speaks of thresholds, and there are none")
	}
}

// TestHTMLOfLittle: runs that were killed early, had no phases, or measured nothing still give a page.
func TestHTMLOfLittle(t *testing.T) {
	nothing := &results.Run{Schema: results.Schema, Verdict: results.Verdict{State: results.Invalid, Reasons: []string{"not finished"}}}
	p, err := HTML(HTMLInput{Run: nothing})
	if err != nil {
		t.Fatal(err)
	}
	if f := factsOf(t, p); len(f.open) > 0 || !strings.Contains(f.text, "was not finished") {
		t.Errorf("open %v", f.open)
	}
	if s := string(Text(nothing, Options{})); !strings.Contains(s, "INVALID") || !strings.Contains(s, "was not finished") {
		t.Errorf("text:\n%s", s)
	}
	for _, write := range []func(*bytes.Buffer) error{
		func(b *bytes.Buffer) error { return JUnit(b, nothing) },
		func(b *bytes.Buffer) error { return OpenMetrics(b, nothing, nil) },
		func(b *bytes.Buffer) error { return CSV(b, nothing, "latency") },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil || b.Len() == 0 {
			t.Error(err)
		}
	}
	if len(Markdown(nothing)) == 0 || len(Annotations(nothing)) == 0 {
		t.Error("nothing to say about nothing")
	}
}

func TestWriteHTML(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../testdata/january-2015")); err != nil {
		t.Fatal(err)
	}
	if err := WriteHTML(dir); err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(filepath.Join(dir, HTMLFile))
	if err != nil || !bytes.Contains(p, []byte("Latency by percentile")) {
		t.Errorf("no percentile curve in the page: %v", err)
	}
	evidence := filepath.Join(dir, EvidenceDir)
	if err := errors.Join(os.Mkdir(evidence, 0o700), os.WriteFile(filepath.Join(evidence, TimelineFile), []byte("<svg/>"), 0o600),
		os.WriteFile(filepath.Join(evidence, "client.pcapng"), nil, 0o600), WriteHTML(dir)); err != nil {
		t.Fatal(err)
	}
	if p, err = os.ReadFile(filepath.Join(dir, HTMLFile)); err != nil {
		t.Fatal(err)
	}
	f := factsOf(t, p)
	if !strings.Contains(f.text, "evidence/client.pcapng") || !bytes.Contains(p, []byte(`src="data:image/svg`)) || f.tags["img"] != 1 || len(f.open) > 0 {
		t.Errorf("the page does not show the evidence: %d pictures, open %v", f.tags["img"], f.open)
	}
	log := filepath.Join(dir, results.LatencyFile)
	if err := os.WriteFile(log, []byte("Tag=a/b,0.0,1.0,1.0,HISTxxxx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var input *results.InputError
	if err := WriteHTML(dir); !errors.As(err, &input) || input.Path != log {
		t.Errorf("a latency.hlog that is none: %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, HTMLFile)); !bytes.Equal(p, after) {
		t.Error("the page was overwritten all the same")
	}
}
