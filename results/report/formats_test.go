package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"tlsurge/results"
	"tlsurge/results/hist"
)

func latencies(t *testing.T) map[string]*hist.Histogram {
	t.Helper()
	f, err := os.Open("../testdata/january-2015/latency.hlog")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	byName, err := ReadLatencies(f)
	if err != nil {
		t.Fatal(err)
	}
	return byName
}

func TestFormatsGolden(t *testing.T) {
	run := load(t, "january-2015")
	for _, row := range []struct {
		file  string
		write func(io.Writer) error
	}{
		{"january-2015.md", func(w io.Writer) error { _, err := w.Write(Markdown(run)); return err }},
		{"january-2015.github", func(w io.Writer) error { _, err := w.Write(Annotations(run)); return err }},
		{"january-2015.junit.xml", func(w io.Writer) error { return JUnit(w, run) }},
		{"january-2015.openmetrics", func(w io.Writer) error { return OpenMetrics(w, run, latencies(t)) }},
		{"january-2015.users.csv", func(w io.Writer) error { return CSV(w, run, "users") }},
		{"january-2015.outcomes.csv", func(w io.Writer) error { return CSV(w, run, "outcomes") }},
		{"january-2015.edges.csv", func(w io.Writer) error { return CSV(w, run, "edges") }},
	} {
		var b bytes.Buffer
		if err := row.write(&b); err != nil {
			t.Fatalf("%s: %v", row.file, err)
		}
		golden(t, row.file, b.Bytes())
	}
}

func TestEveryCSVTableIsRectangular(t *testing.T) {
	run := load(t, "january-2015")
	for _, table := range CSVTables() {
		var b bytes.Buffer
		if err := CSV(&b, run, table); err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(&b).ReadAll() // refuses a line of another length
		if err != nil || len(lines) < 2 || lines[1][0] != "january-2015" || lines[1][2] != "story=thread" {
			t.Errorf("%s: %v, %d lines", table, err, len(lines))
		}
	}
	if err := CSV(io.Discard, run, "user"); err == nil || !strings.Contains(err.Error(), "users, outcomes") {
		t.Errorf("an unknown table: %v", err)
	}
}

func TestJUnitCountsWhatItHolds(t *testing.T) {
	run := load(t, "january-2015")
	run.Verdict = results.Verdict{State: results.Invalid, Reasons: []string{"a <reason> & another"}}
	var b bytes.Buffer
	if err := JUnit(&b, run); err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Cases    []struct {
			Name    string    `xml:"name,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *struct {
				Text string `xml:",chardata"`
			} `xml:"error"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(b.Bytes(), &suite); err != nil {
		t.Fatal(err)
	}
	failures, errors := 0, 0
	for _, c := range suite.Cases {
		if c.Failure != nil {
			failures++
		}
		if c.Error != nil {
			errors++
			if c.Error.Text != "a <reason> & another" {
				t.Errorf("the reason reads %q", c.Error.Text)
			}
		}
	}
	if suite.Tests != len(suite.Cases) || suite.Failures != failures || suite.Errors != errors || failures != 1 || errors != 1 {
		t.Errorf("%d tests, %d failures, %d errors; there are %d, %d, %d", suite.Tests, suite.Failures, suite.Errors, len(suite.Cases), failures, errors)
	}
}

// TestTagsAreOnEveryFormat: who reads one of them finds the build it came from.
func TestTagsAreOnEveryFormat(t *testing.T) {
	run, byName := load(t, "january-2015"), latencies(t)
	run.Tags = map[string]string{"build": "7 <&|>", "a.b": "x", "a-b": "y"}
	reg := prometheus.NewRegistry()
	reg.MustRegister(Metrics{Run: func() *results.Run { return run }})
	for _, row := range []struct {
		format string
		write  func(*bytes.Buffer) error
		says   []string
	}{
		{"text", func(b *bytes.Buffer) error { b.Write(Text(run, Options{})); return nil }, []string{"build=7 <&|>", "a.b=x", "a-b=y"}},
		{"json", func(b *bytes.Buffer) error { return json.NewEncoder(b).Encode(run) }, []string{`"build":"7 \u003c\u0026|\u003e"`}},
		{"html", func(b *bytes.Buffer) error { b.Write(htmlOf(t, run)); return nil }, []string{"<code>build=7 &lt;&amp;|&gt;</code>", "<code>a.b=x</code>"}},
		{"markdown", func(b *bytes.Buffer) error { b.Write(Markdown(run)); return nil }, []string{`build=7 &lt;&\|&gt;`}},
		{"junit", func(b *bytes.Buffer) error { return JUnit(b, run) }, []string{`<property name="tag.build" value="7 &lt;&amp;|&gt;">`, `name="tag.a-b" value="y"`}},
		{"github", func(b *bytes.Buffer) error { b.Write(Annotations(run)); return nil }, []string{"build=7 <&|>"}},
		{"csv users", func(b *bytes.Buffer) error { return CSV(b, run, "users") }, []string{"a-b=y a.b=x build=7 <&|>"}},
		{"csv timeline", func(b *bytes.Buffer) error { return CSV(b, run, "timeline") }, []string{"a-b=y a.b=x build=7 <&|>"}},
		{"openmetrics", func(b *bytes.Buffer) error { return OpenMetrics(b, run, byName) }, []string{`tag_a_b="y"`, `tag_a_b_="x"`, `tag_build="7 <&|>"`}},
		{"prometheus", func(b *bytes.Buffer) error {
			rec := httptest.NewRecorder()
			promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
			_, err := rec.Body.WriteTo(b)
			return err
		}, []string{`tag_build="7 <&|>"`}},
		{"hlog, the collector's", func(b *bytes.Buffer) error {
			p, err := os.ReadFile("../testdata/january-2015/latency.hlog")
			b.Write(p)
			return err
		}, []string{"seed 42, story=thread;"}},
	} {
		var b bytes.Buffer
		if err := row.write(&b); err != nil {
			t.Errorf("%s: %v", row.format, err)
		}
		for _, s := range row.says {
			if !strings.Contains(b.String(), s) {
				t.Errorf("%s does not have %s", row.format, s)
			}
		}
	}
}

func TestAnnotationsCannotBeBrokenOutOf(t *testing.T) {
	run := load(t, "january-2015")
	run.Scenario = "a,b::error title=x::y\n::error::z"
	run.Verdict = results.Verdict{State: results.Suspect, Reasons: []string{"100 % of\n::error::it"}}
	for _, line := range strings.Split(strings.TrimSpace(string(Annotations(run))), "\n") {
		head, _, ok := strings.Cut(strings.TrimPrefix(line, "::"), "::")
		kind, title, _ := strings.Cut(head, " title=")
		if !ok || kind != "error" && kind != "warning" && kind != "notice" || strings.ContainsAny(title, ":,") {
			t.Errorf("%q", line)
		}
		if kind == "error" && strings.HasSuffix(line, "::z") {
			t.Errorf("the scenario's name became a command: %q", line)
		}
	}
}

// TestOpenMetricsIsReadByPrometheusOwnParser: what is written means what the run says.
func TestOpenMetricsIsReadByPrometheusOwnParser(t *testing.T) {
	run := load(t, "january-2015")
	var b bytes.Buffer
	if err := OpenMetrics(&b, run, latencies(t)); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(b.String(), "# EOF\n") {
		t.Error("no # EOF at the end")
	}
	d := expfmt.NewDecoder(&b, expfmt.NewFormat(expfmt.TypeOpenMetrics))
	families := map[string]*dto.MetricFamily{}
	for {
		f := &dto.MetricFamily{}
		if err := d.Decode(f); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		families[f.GetName()] = f
	}
	holdsRun(t, run, families)
}

// holdsRun compares scraped families with the run.
func holdsRun(t *testing.T, run *results.Run, families map[string]*dto.MetricFamily) {
	t.Helper()
	family := func(name string) *dto.MetricFamily {
		if f := families[name]; f != nil {
			return f
		}
		return families[name+"_total"]
	}
	total := map[string]float64{}
	for _, m := range family("tlsurge_page_loads").GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "verdict" {
				total[l.GetValue()] += m.GetCounter().GetValue()
			}
		}
	}
	if s := sum(run.Users); total["saw_error"] != float64(s.SawError) || total["fine"] != float64(s.Fine) || s.SawError == 0 {
		t.Errorf("page loads %v, the run has %+v", total, s)
	}
	for _, m := range family("tlsurge_latency_seconds").GetMetric() {
		metric, mode := m.GetLabel()[0].GetValue(), m.GetLabel()[1].GetValue()
		want := run.Latency[metric][mode]
		h := m.GetHistogram()
		if h.GetSampleCount() != uint64(want.Count) || want.Count == 0 {
			t.Errorf("%s %s: %d samples, the run has %d", metric, mode, h.GetSampleCount(), want.Count)
		}
		for _, b := range h.GetBucket() { // at least half of the values lie below any bound above the median
			if b.GetUpperBound()*1e9 > float64(want.P50Ns)*1.01 && float64(b.GetCumulativeCount()) < float64(want.Count)/2 {
				t.Errorf("%s %s: %d of %d at most %gs, the median is %d ns", metric, mode, b.GetCumulativeCount(), want.Count, b.GetUpperBound(), want.P50Ns)
			}
		}
	}
	if len(family("tlsurge_latency_seconds").GetMetric()) != 8 {
		t.Errorf("%d latency histograms", len(family("tlsurge_latency_seconds").GetMetric()))
	}
}

// TestMetricsAreScraped goes through a real handler, in text and in the form that carries native histograms.
func TestMetricsAreScraped(t *testing.T) {
	run, byName := load(t, "january-2015"), latencies(t)
	reg := prometheus.NewRegistry()
	reg.MustRegister(Metrics{Run: func() *results.Run { return run }, Latencies: func() map[string]*hist.Histogram { return byName }})
	handler := promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
	scrape := func(accept string) map[string]*dto.MetricFamily {
		req := httptest.NewRequest("GET", "/metrics", nil)
		req.Header.Set("Accept", accept)
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		if rec.Code != 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		d := expfmt.NewDecoder(rec.Body, expfmt.ResponseFormat(rec.Header()))
		families := map[string]*dto.MetricFamily{}
		for {
			f := &dto.MetricFamily{}
			if err := d.Decode(f); err == io.EOF {
				return families
			} else if err != nil {
				t.Fatal(err)
			}
			families[f.GetName()] = f
		}
	}
	holdsRun(t, run, scrape("text/plain;version=0.0.4"))
	native := scrape("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	holdsRun(t, run, native)
	for _, m := range native["tlsurge_latency_seconds"].GetMetric() {
		h := m.GetHistogram()
		n, last := int64(h.GetZeroCount()), int64(0)
		for _, d := range h.GetPositiveDelta() {
			last += d
			n += last
		}
		if h.GetSchema() != nativeSchema || n != int64(h.GetSampleCount()) {
			t.Errorf("%v: %d in native buckets of schema %d, %d samples", m.GetLabel(), n, h.GetSchema(), h.GetSampleCount())
		}
	}
}

// TestTextFitsItsWidth: no line is longer than asked, with any names in it; colours add nothing to say.
func TestTextFitsItsWidth(t *testing.T) {
	run := load(t, "january-2015")
	for i := range run.Users {
		run.Users[i].Profile += strings.Repeat("-of-a-very-long-name", i%3)
	}
	run.Verdict.Reasons = []string{strings.Repeat("a reason that goes on ", 9), strings.Repeat("x", 300)}
	for _, width := range []int{0, 80, 100, 200} {
		plain := string(Text(run, Options{Width: width, All: true}))
		for _, line := range strings.Split(plain, "\n") {
			if n := len([]rune(line)); n > min(100, max(80, width)) {
				t.Errorf("width %d: %d columns: %s", width, n, line)
			}
		}
		coloured := string(Text(run, Options{Width: width, All: true, Color: true}))
		if !strings.Contains(coloured, "\x1b[31m") || stripped(coloured) != plain {
			t.Errorf("width %d: the coloured text says something else", width)
		}
	}
}

func stripped(s string) string {
	var b strings.Builder
	for s != "" {
		before, after, found := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !found {
			break
		}
		_, s, _ = strings.Cut(after, "m")
	}
	return b.String()
}
