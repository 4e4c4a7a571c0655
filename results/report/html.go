package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"tlsurge/results"
	"tlsurge/results/hist"
)

// HTMLInput is what the page is made of.
type HTMLInput struct {
	Run *results.Run
	// Latencies are those of latency.hlog (ReadLatencies), for the percentile curve; nil draws none.
	Latencies map[string]*hist.Histogram
	// Scenario is scenario.toml as resolved, shown at the end; empty shows none.
	Scenario string
	// Evidence are the files of evidence/, where the run captured, and Timeline is the picture among them (SVG).
	Evidence []string
	Timeline []byte
}

//go:embed report.tmpl
var page string

//go:embed report.css
var style string

// Style is the page's style sheet, for pages of other rooms that should look the same.
func Style() string { return style }

// HTML is the report as one file that needs nothing else: no script, no font, no picture from
// elsewhere. It reads on a phone, in dark mode, on paper, and aloud.
func HTML(in HTMLInput) ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{
		"count": count, "times": times, "ms": ms, "seconds": seconds, "bytes": bytesOf, "share": share,
		"blow": blow, "observed": func(th results.ThresholdResult) string { return strings.TrimPrefix(observedWords(th), "observed ") },
		"breakable": breakable, "window": windowWords,
		"verdict": verdictWords, "state": stateWords, "sorted": sorted, "percent": percent, "upto": upTo,
		"join": strings.Join, "first": func(i int) bool { return i == 0 },
	}).Parse(page)
	if err != nil {
		return nil, fmt.Errorf("report: the page's template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, newView(in)); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), nil
}

// view is the run as the page shows it.
type view struct {
	*results.Run
	Style         template.CSS
	Acts          []actView
	Sum           results.UserRow
	Pass, Failed  int
	Latency       []picture
	Load, Sockets []picture
	Percentiles   []latencyRow
	Matrices      []matrix
	KernelRows    []kernelRow
	AllEdges      []results.EdgeRow
	ScenarioText  string
	Evidence      []evidenceView
	Picture       template.URL // of the worst browsers, within the page
}

type evidenceView struct{ File, What string }

type actView struct {
	act
	Total   results.UserRow
	Endings []endingView
	Lines   []lineView
	// Unexplained are the attempts that failed with no fault behind them.
	Unexplained []failureView
}

// Exported forms of the story's types, for the template.
type endingView struct {
	Verdict  results.PageVerdict
	UserSees string
	Count    int64
	Class    string
	Ways     []wayView
	Rarer    []wayView // folded away
}

// foldedFrom is how many ways to one ending are shown before the rest are folded away.
const foldedFrom = 5

type failureView struct {
	results.OutcomeRow
	End string
}

type wayView struct {
	Who, Causes []string
	Count       int64
	Steps       []stepView
	End         string
}

type stepView struct {
	Offer, End string
	Logs       []string
	Bad        bool
}

type lineView struct {
	results.LogLine
	By []string
}

// matrix is who issued sessions against who was asked to resume them, in one phase.
type matrix struct {
	Phase    string
	Resumers []string
	Rows     []matrixRow
}

type matrixRow struct {
	Issuer string
	Cells  []matrixCell
}

type matrixCell struct {
	Hits, Asked int64
	Own         bool
}

type kernelRow struct {
	Name    string
	Count   int64
	Meaning string
}

func (a actView) Users() []results.UserRow   { return a.act.users }
func (a actView) Edges() []results.EdgeRow   { return a.act.edges }
func (a actView) Faults() []results.FaultRow { return a.act.faults }
func (p picture) Title() string              { return p.title }
func (p picture) HasBands() bool             { return len(p.bands) > 0 }
func (w words) Text() string                 { return w.text }
func (w words) Count() int64                 { return w.count }

// percent is a share for a picture's coordinates.
func percent(part, whole int64) string {
	return fmt.Sprintf("%.1f", 100*float64(part)/float64(max(1, whole)))
}

// upTo is where the bar of a row's kind 1 (saved) or 2 (downgraded) ends: bars are laid over each
// other, the longest first.
func upTo(u results.UserRow, kind int) string {
	n := u.Fine + u.SavedByRetry
	if kind == 2 {
		n += u.Downgraded
	}
	return percent(n, u.PageLoads)
}

func newView(in HTMLInput) view {
	v := view{Run: in.Run, Style: template.CSS(style), Sum: sum(in.Run.Users), ScenarioText: in.Scenario, Percentiles: measured(latencyRows(in.Run)), AllEdges: in.Run.Edges}
	for _, f := range in.Evidence {
		v.Evidence = append(v.Evidence, evidenceView{f, evidenceMeanings[f]})
	}
	if len(in.Timeline) > 0 {
		v.Picture = template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(in.Timeline))
	}
	for _, th := range in.Run.Thresholds {
		if th.Pass {
			v.Pass++
		} else {
			v.Failed++
		}
	}
	for _, a := range acts(in.Run) {
		av := actView{act: a, Total: sum(a.users), Lines: logLines(a.edges), Unexplained: unexplained(in.Run, a.Name)}
		for _, e := range endings(a.chains) {
			av.Endings = append(av.Endings, newEnding(e))
		}
		v.Acts = append(v.Acts, av)
	}
	v.Latency, v.Load, v.Sockets = timePictures(in.Run)
	if p, ok := curve(in.Latencies); ok {
		v.Latency = append(v.Latency, p)
	}
	v.Matrices = matrices(in.Run)
	for _, k := range kernelMeanings {
		if n, ok := in.Run.Kernel[k.name]; ok {
			v.KernelRows = append(v.KernelRows, kernelRow{k.name, n, k.meaning})
		}
	}
	return v
}

// measured leaves out the metrics of which there is no sample.
func measured(list []latencyRow) []latencyRow {
	return slices.DeleteFunc(list, func(r latencyRow) bool { return r.Count == 0 })
}

// unexplained are the failures of an act that no chain tells of, the most frequent first.
func unexplained(run *results.Run, phase string) []failureView {
	var list []failureView
	for _, o := range run.Outcomes {
		if o.Phase == phase && o.Class != results.ClassOK && o.Fault == "" {
			list = append(list, failureView{o, endWords(results.ChainStep{Class: o.Class, Alert: o.Alert, Stage: o.Stage})})
		}
	}
	slices.SortStableFunc(list, func(a, b failureView) int { return cmp.Compare(b.Count, a.Count) })
	return list
}

// breakable lets a name as long as ERR_SSL_VERSION_OR_CIPHER_MISMATCH break behind its underscores.
func breakable(s string) template.HTML {
	words := strings.Split(template.HTMLEscapeString(s), " ")
	for i, w := range words {
		if len(w) > 20 {
			words[i] = strings.ReplaceAll(w, "_", "_<wbr>")
		}
	}
	return template.HTML(strings.Join(words, " "))
}

// windowWords says when a rule could strike.
func windowWords(f results.FaultRow) string {
	switch {
	case f.FromNs == 0 && f.UntilNs == 0:
		return "all of it"
	case f.UntilNs == 0:
		return "from " + seconds(f.FromNs)
	}
	return seconds(f.FromNs) + " to " + seconds(f.UntilNs)
}

func newEnding(e ending) endingView {
	class := map[results.PageVerdict]string{results.SawError: "bad", results.Downgraded: "warn", results.SavedByRetry: "ok", results.Fine: "ok"}[e.verdict]
	ev := endingView{Verdict: e.verdict, UserSees: e.userSees, Count: e.count, Class: class}
	for _, w := range e.ways {
		wv := wayView{Count: w.count, End: verdictWords(e.verdict, e.userSees)}
		for _, p := range sorted(w.profiles) {
			wv.Who = append(wv.Who, p.text+" × "+count(p.count))
		}
		for _, p := range sorted(w.causes) {
			wv.Causes = append(wv.Causes, p.text+" × "+count(p.count))
		}
		for _, s := range w.tell() {
			sv := stepView{Offer: s.offer, End: s.end, Bad: s.bad}
			for _, l := range s.logs {
				if l.count < w.count {
					l.text += " × " + count(l.count)
				}
				sv.Logs = append(sv.Logs, l.text)
			}
			wv.Steps = append(wv.Steps, sv)
		}
		ev.Ways = append(ev.Ways, wv)
	}
	if len(ev.Ways) > foldedFrom {
		ev.Ways, ev.Rarer = ev.Ways[:foldedFrom], ev.Ways[foldedFrom:]
	}
	return ev
}

// logLines counts the kinds of lines in all error logs of an act, with the edges that wrote them.
func logLines(edges []results.EdgeRow) []lineView {
	var list []lineView
	for _, e := range edges {
		for _, l := range e.LogLines {
			n := l.Count
			l.Count = 0
			i := slices.IndexFunc(list, func(o lineView) bool { o.Count = 0; return o.LogLine == l })
			if i < 0 {
				i = len(list)
				list = append(list, lineView{LogLine: l})
			}
			list[i].Count += n
			list[i].By = append(list[i].By, e.Name+" "+count(n))
		}
	}
	slices.SortStableFunc(list, func(a, b lineView) int {
		return cmp.Or(cmp.Compare(grave(b.Level, b.Code), grave(a.Level, a.Code)), cmp.Compare(b.Count, a.Count))
	})
	return list
}

func matrices(run *results.Run) []matrix {
	var list []matrix
	for _, p := range run.Phases {
		m := matrix{Phase: p.Name}
		var issuers []string
		cells := map[[2]string]matrixCell{}
		for _, r := range run.Resumption {
			if r.Phase != p.Name {
				continue
			}
			if !slices.Contains(issuers, r.Issuer) {
				issuers = append(issuers, r.Issuer)
			}
			if !slices.Contains(m.Resumers, r.Resumer) {
				m.Resumers = append(m.Resumers, r.Resumer)
			}
			c := cells[[2]string{r.Issuer, r.Resumer}]
			cells[[2]string{r.Issuer, r.Resumer}] = matrixCell{c.Hits + r.Hits, c.Asked + r.Hits + r.Misses, r.Issuer == r.Resumer}
		}
		slices.Sort(issuers)
		slices.Sort(m.Resumers)
		for _, i := range issuers {
			row := matrixRow{Issuer: i}
			for _, r := range m.Resumers {
				row.Cells = append(row.Cells, cells[[2]string{i, r}])
			}
			m.Rows = append(m.Rows, row)
		}
		if len(m.Rows) > 0 {
			list = append(list, m)
		}
	}
	return list
}
