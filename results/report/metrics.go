package report

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"tlsurge/results"
	"tlsurge/results/hist"
)

// Metrics shows a run to Prometheus: while it runs, as a collector behind /metrics, and at its end as
// OpenMetrics text. Latencies are histograms in both forms, native ones (schema 5, buckets 2.2 % wide)
// and classic buckets for text.
type Metrics struct {
	// Run and Latencies are called at each scrape: Collector.Provisional and Collector.Latencies
	// while the run lasts. Latencies may be nil: then there are no latency histograms.
	Run       func() *results.Run
	Latencies func() map[string]*hist.Histogram
}

// Describe sends nothing: the metrics are what the run has, so the collector is unchecked.
func (m Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m Metrics) Collect(out chan<- prometheus.Metric) {
	run := m.Run()
	e := emitter{out, run}
	e.counters()
	e.gauges()
	if m.Latencies != nil {
		e.latencies(m.Latencies())
	}
}

// OpenMetrics writes a run as OpenMetrics text, for a push gateway or a file collector. byName may be
// nil; ReadLatencies gives those of a stored run.
func OpenMetrics(w io.Writer, run *results.Run, byName map[string]*hist.Histogram) error {
	m := Metrics{Run: func() *results.Run { return run }}
	if byName != nil {
		m.Latencies = func() map[string]*hist.Histogram { return byName }
	}
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(m); err != nil {
		return err
	}
	families, err := reg.Gather()
	if err != nil {
		return err
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToOpenMetrics(w, f); err != nil {
			return err
		}
	}
	_, err = expfmt.FinalizeOpenMetrics(w)
	return err
}

// ReadLatencies adds up the intervals of a latency.hlog by metric, over all phases.
func ReadLatencies(r io.Reader) (map[string]*hist.Histogram, error) {
	intervals, _, err := hist.ReadLog(r)
	if err != nil {
		return nil, err
	}
	byName := map[string]*hist.Histogram{}
	for _, in := range intervals {
		_, name, _ := strings.Cut(in.Tag, "/")
		if byName[name] == nil {
			byName[name] = hist.New()
		}
		byName[name].Merge(in.Histogram)
	}
	return byName, nil
}

type emitter struct {
	out chan<- prometheus.Metric
	run *results.Run
}

// send emits one value. labels are name, value pairs.
func (e emitter) send(kind prometheus.ValueType, name, help string, v float64, labels ...string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	m, err := prometheus.NewConstMetric(prometheus.NewDesc("tlsurge_"+name, help, names, nil), kind, v, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(prometheus.NewDesc("tlsurge_"+name, help, nil, nil), err)
	}
	e.out <- m
}

func (e emitter) counter(name, help string, n int64, labels ...string) {
	e.send(prometheus.CounterValue, name, help, float64(n), labels...)
}

func (e emitter) gauge(name, help string, v float64, labels ...string) {
	e.send(prometheus.GaugeValue, name, help, v, labels...)
}

func (e emitter) counters() {
	r := e.run
	for _, u := range r.Users {
		for _, v := range []struct {
			word string
			n    int64
		}{{"fine", u.Fine}, {"saved_by_retry", u.SavedByRetry}, {"downgraded", u.Downgraded}, {"saw_error", u.SawError}} {
			e.counter("page_loads_total", "Page loads by what they were for the person in front of them.", v.n, "phase", u.Phase, "profile", u.Profile, "verdict", v.word)
		}
	}
	for _, o := range r.Outcomes {
		alert := ""
		if o.Alert >= 0 {
			alert = fmt.Sprint(o.Alert)
		}
		e.counter("attempts_total", "Connection attempts by outcome and root cause.", o.Count, "phase", o.Phase, "profile", o.Profile, "attempt_kind", o.Kind, "class", string(o.Class),
			"user_sees", o.UserSees, "alert", alert, "alert_sender", o.Sender, "stage", o.Stage, "server_logs", o.ServerLogs, "fault", o.Fault)
	}
	for _, f := range r.Faults {
		e.counter("faults_fired_total", "Firings of a fault rule.", f.Fired, "phase", f.Phase, "fault", f.Name, "action", f.Action, "at", f.At)
		e.counter("fault_packets_dropped_total", "Packets that a fault rule dropped.", f.PacketsDropped, "phase", f.Phase, "fault", f.Name)
	}
	for _, d := range r.Edges {
		e.counter("edge_handshakes_total", "Handshakes that an edge completed.", d.Handshakes, "phase", d.Phase, "edge", d.Name, "stack", d.Stack)
		for _, l := range d.LogLines {
			e.counter("edge_log_lines_total", "Lines in an edge's error log.", l.Count, "phase", d.Phase, "edge", d.Name, "level", l.Level, "code", l.Code, "reason", l.Reason)
		}
	}
	h := r.Handshakes
	for kind, n := range map[string]int64{"full": h.Full, "session_id": h.ResumedSessionID, "ticket": h.ResumedTicket, "psk": h.ResumedPSK} {
		e.counter("handshakes_total", "Completed handshakes, full or by what resumed them.", n, "kind", kind)
	}
	q := r.Requests
	for state, n := range map[string]int64{"sent": q.Sent, "ok": q.OK, "failed": q.Failed, "retried": q.Retried, "unsent": q.Unsent} {
		e.counter("requests_total", "Requests by what became of them.", n, "state", state)
	}
	e.counter("connections_opened_total", "Connections established.", r.Connections.Opened)
	for name, n := range r.Kernel {
		e.gauge("kernel_counter", "Kernel counters of the network namespace since the run began.", float64(n), "name", name, "namespace", r.KernelNamespace)
	}
}

func (e emitter) gauges() {
	r := e.run
	labels := []string{"scenario", r.Scenario, "seed", fmt.Sprint(r.Seed), "tool_version", r.ToolVersion}
	for _, k := range slices.Sorted(maps.Keys(r.Tags)) {
		name := "tag_" + labelName(k)
		for slices.Contains(labels, name) { // a.b and a-b are two tags
			name += "_"
		}
		labels = append(labels, name, strings.ToValidUTF8(r.Tags[k], "?"))
	}
	e.gauge("run_info", "The run that these metrics are of.", 1, labels...)
	finished := 1.0
	if r.Unfinished() {
		finished = 0
	}
	e.gauge("run_finished", "Whether the run is over; until then its verdict is INVALID.", finished)
	for _, s := range []results.State{results.Valid, results.Suspect, results.Invalid} {
		v := 0.0
		if r.Verdict.State == s {
			v = 1
		}
		e.gauge("run_verdict", "Whether the numbers can be trusted: 1 for the state that holds.", v, "state", string(s))
	}
	established := int64(0)
	if n := len(r.Timeline); n > 0 && r.Unfinished() {
		established = r.Timeline[n-1].Established
	}
	e.gauge("connections_established", "Connections established now.", float64(established))
	e.gauge("connections_peak", "Most connections established at once.", float64(r.Connections.PeakEstablished))
	e.gauge("connections_target", "Connections that the scenario wants held.", float64(r.Connections.Target))
	e.gauge("schedule_lag_p99_seconds", "99th percentile of how late the generator was.", time.Duration(r.ScheduleLag.P99Ns).Seconds())
	for _, th := range r.Thresholds {
		v := 0.0
		if th.Pass {
			v = 1
		}
		e.gauge("threshold_pass", "Whether a threshold of the scenario holds.", v, "expression", th.Expression)
	}
	for _, a := range r.Agents {
		e.gauge("agent_rss_bytes", "Greatest resident memory of an agent.", float64(a.RSSPeakBytes), "agent", a.ID)
		e.gauge("agent_cpu_seconds", "Processor time of an agent.", time.Duration(a.CPUNs).Seconds(), "agent", a.ID)
	}
}

// labelName makes a tag's key a label name of the Prometheus data model.
func labelName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
}

// classicBounds are the upper bounds of the classic buckets, in seconds.
var classicBounds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// nativeSchema sets the width of native buckets: each bound is 2^(2^-5) = 1.022 times the one before.
const nativeSchema = 5

func (e emitter) latencies(byName map[string]*hist.Histogram) {
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		metric, mode, _ := strings.Cut(name, ".")
		desc := prometheus.NewDesc("tlsurge_latency_seconds", "Latency from the intended start (response_time) and from the actual one (service_time).", []string{"metric", "time"}, nil)
		m, err := latencyMetric(desc, byName[name], e.run.Started, metric, mode)
		if err != nil {
			m = prometheus.NewInvalidMetric(desc, err)
		}
		e.out <- m
	}
}

// bothForms is a native histogram that also has classic buckets.
type bothForms struct {
	prometheus.Metric
	classic []*dto.Bucket
}

func (b bothForms) Write(out *dto.Metric) error {
	if err := b.Metric.Write(out); err != nil {
		return err
	}
	out.Histogram.Bucket = b.classic
	return nil
}

func latencyMetric(desc *prometheus.Desc, h *hist.Histogram, created time.Time, labels ...string) (prometheus.Metric, error) {
	native := map[int]int64{}
	classic := make([]*dto.Bucket, len(classicBounds))
	for i, bound := range classicBounds {
		classic[i] = &dto.Bucket{UpperBound: &bound, CumulativeCount: new(uint64)}
	}
	sum, zero := 0.0, uint64(0)
	for _, b := range h.Bars() {
		v := time.Duration(b.ValueNs).Seconds()
		sum += v * float64(b.Count)
		for i, bound := range classicBounds {
			if v <= bound {
				*classic[i].CumulativeCount += uint64(b.Count)
			}
		}
		if v < zeroThreshold {
			zero += uint64(b.Count)
			continue
		}
		// Bucket i holds (2^((i-1)/2^s), 2^(i/2^s)].
		native[int(math.Ceil(math.Log2(v)*(1<<nativeSchema)))] += b.Count
	}
	m, err := prometheus.NewConstNativeHistogram(desc, uint64(h.Count()), sum, native, nil, zero, nativeSchema, zeroThreshold, created, labels...)
	if err != nil {
		return nil, err
	}
	return bothForms{m, classic}, nil
}

// zeroThreshold is the width of the zero bucket in seconds: what lies below the histogram's resolution.
const zeroThreshold = 1e-6
