package report

import (
	"fmt"
	"strings"

	"tlsurge/results"
)

var latencyNames = []struct{ metric, label string }{
	{"tcp_connect", "TCP connect"}, {"server_hello", "ServerHello"}, {"handshake", "handshake"}, {"first_byte", "first byte"}, {"response", "response"},
}

// figures are the numbers of the whole run: connections, handshakes, requests, latencies, the kernel.
func (t *text) figures() {
	r := t.run
	t.heading("FIGURES", "")
	c, a, h, q := r.Connections, r.Attempts, r.Handshakes, r.Requests
	target := ""
	if c.Target > 0 {
		target = fmt.Sprintf(" of %s wanted", count(c.Target))
	}
	over := ""
	if n := len(r.Phases); n > 1 {
		over = fmt.Sprintf(" over %d acts", n)
	}
	t.fact("connections", fmt.Sprintf("%s at the peak%s; %s opened%s, closed by the client %s, by the server %s, by a failure %s, still in use when their act ended %s",
		count(c.PeakEstablished), target, count(c.Opened), over, count(c.ClosedByClient), count(c.ClosedByServer), count(c.Failed), count(c.OpenAtEnd)))
	unexplained := "all failures explained by a fault"
	if a.Failed == 0 {
		unexplained = "none failed"
	} else if a.Unexplained > 0 {
		unexplained = fmt.Sprintf("%s not explained by any fault", plural(a.Unexplained, "failure", "failures"))
	}
	t.fact("attempts", fmt.Sprintf("%s started = %s closed in good order + %s failed + %s still in use when their act ended; %s",
		count(a.Started), count(a.Completed), count(a.Failed), count(a.OpenAtEnd), unexplained))
	resumed := h.ResumedSessionID + h.ResumedTicket + h.ResumedPSK
	early := ""
	if h.EarlySent > 0 {
		early = fmt.Sprintf("; 0-RTT accepted in %s of %s", count(h.EarlyAccepted), count(h.EarlySent))
	}
	t.fact("handshakes", fmt.Sprintf("%s full, %s resumed (session ID %s, ticket %s, PSK %s) of %s asked%s; peak %.0f/s; %s",
		count(h.Full), count(resumed), count(h.ResumedSessionID), count(h.ResumedTicket), count(h.ResumedPSK), count(h.ResumptionAsked), early, h.PeakPerS, listed(sorted(h.ByVersion), " ")))
	requests := fmt.Sprintf("%s sent (%.0f/s) = %s ok + %s failed + %s sent again + %s unanswered when their act ended", count(q.Sent), q.PerS, count(q.OK), count(q.Failed), count(q.Retried), count(q.OpenAtEnd))
	if q.Unsent > 0 {
		requests += fmt.Sprintf("; %s never written, for want of a connection", count(q.Unsent))
	}
	t.fact("requests", requests)

	t.latencies()
	t.kernel()
}

func (t *text) fact(name, s string) {
	t.wrapped("", t.in(bold, padRight(name, 13)), strings.Repeat(" ", 13), s)
}

// latencies is the table of percentiles, from the intended start (response time), and beside the
// median and the 99th percentile from the actual one (service time).
func (t *text) latencies() {
	t.b.WriteByte('\n')
	t.line("%s", t.in(bold, padRight("Latency", 13))+t.in(dim, padLeft("count", 9)+padLeft("p50", 8)+padLeft("p90", 8)+padLeft("p99", 8)+padLeft("p99.9", 8)+padLeft("max", 8)+padLeft("service p99", 14)))
	for _, m := range latencyNames {
		rt, st := t.run.Latency[m.metric]["response_time"], t.run.Latency[m.metric]["service_time"]
		if rt.Count == 0 {
			if m.metric != "server_hello" { // not every client can see it
				t.line("%s", padRight(m.label, 13)+t.in(dim, padLeft("none", 9)))
			}
			continue
		}
		t.line("%s", padRight(m.label, 13)+padLeft(count(rt.Count), 9)+padLeft(ms(rt.P50Ns), 8)+padLeft(ms(rt.P90Ns), 8)+padLeft(ms(rt.P99Ns), 8)+
			padLeft(ms(rt.P999Ns), 8)+padLeft(ms(rt.MaxNs), 8)+padLeft(ms(st.P99Ns), 14))
	}
	t.wrapped(dim, "", "", fmt.Sprintf("From the intended start (response time); the last column is from the actual start. Schedule lag: p99 %s, max %s.",
		ms(t.run.ScheduleLag.P99Ns), ms(t.run.ScheduleLag.MaxNs)))
}

// kernel shows the counters of the network namespace that moved.
func (t *text) kernel() {
	var shown []string
	for _, k := range kernelMeanings {
		if n := t.run.Kernel[k.name]; n != 0 {
			shown = append(shown, k.name)
		}
	}
	if len(t.run.Kernel) == 0 || t.run.KernelNamespace != "own" && !t.All {
		return // strangers' traffic is in the caller's: it tells little about this run
	}
	t.b.WriteByte('\n')
	note := "this run's own network namespace"
	if t.run.KernelNamespace != "own" {
		note = "the caller's network namespace: strangers' traffic is in it"
	}
	t.line("%s %s", t.in(bold, "Kernel counters"), t.in(dim, "("+note+")"))
	if len(shown) == 0 {
		t.line("  none of the known ones moved")
	}
	for _, k := range kernelMeanings {
		if n := t.run.Kernel[k.name]; n != 0 {
			t.wrapped("", padLeft(count(n), 9)+"  "+padRight(k.name, 18)+" ", strings.Repeat(" ", 30), k.meaning)
		}
	}
}

// machines is what it cost: memory per idle connection on both sides, processor time, who was lost.
func (t *text) machines() {
	r := t.run
	if len(r.Agents)+len(r.Edges) == 0 {
		return
	}
	t.b.WriteByte('\n')
	t.line("%s", t.in(bold, padRight("Memory and CPU", 24))+t.in(dim, padLeft("connections", 13)+padLeft("RSS peak", 12)+padLeft("per idle conn", 15)+padLeft("CPU", 10)))
	row := func(name string, conns, rss, idle, cpu int64, lost bool) {
		per := "-"
		if idle > 0 {
			per = bytesOf(idle)
		}
		line := padRight(cut(name, 24), 24) + padLeft(count(conns), 13) + padLeft(bytesOf(rss), 12) + padLeft(per, 15) + padLeft(ms(cpu), 10)
		if lost {
			line += t.in(red, "  lost")
		}
		t.line("%s", line)
	}
	for _, a := range r.Agents {
		row(a.ID, a.Connections, a.RSSPeakBytes, a.RSSPerIdleConnectionBytes, a.CPUNs, a.Lost)
	}
	for _, e := range mergeEdges(r.Edges) {
		row(e.Name, e.PeakEstablished, e.RSSPeakBytes, e.RSSPerIdleConnectionBytes, e.CPUNs, e.Lost)
	}
}

// mergeEdges puts the phases of an edge together: peaks are the greatest, processor time is added.
func mergeEdges(rows []results.EdgeRow) []results.EdgeRow {
	var list []results.EdgeRow
	index := map[string]int{}
	for _, e := range rows {
		i, ok := index[e.Name]
		if !ok {
			index[e.Name] = len(list)
			list = append(list, e)
			continue
		}
		m := &list[i]
		m.PeakEstablished = max(m.PeakEstablished, e.PeakEstablished)
		m.PeakTimeWait = max(m.PeakTimeWait, e.PeakTimeWait)
		m.Handshakes += e.Handshakes
		m.RSSPeakBytes = max(m.RSSPeakBytes, e.RSSPeakBytes)
		m.RSSPerIdleConnectionBytes = max(m.RSSPerIdleConnectionBytes, e.RSSPerIdleConnectionBytes)
		m.CPUNs += e.CPUNs
		m.Lost = m.Lost || e.Lost
	}
	return list
}

func (t *text) thresholds() {
	if len(t.run.Thresholds) == 0 {
		return
	}
	t.heading("THRESHOLDS", "")
	for _, th := range t.run.Thresholds {
		mark, i := "pass", green
		if !th.Pass {
			mark, i = "FAIL", red
		}
		t.wrapped("", t.in(i, mark)+"  ", "      ", th.Expression+": "+observedWords(th))
	}
}

// observedWords says what was observed and how far from the limit that is.
func observedWords(th results.ThresholdResult) string {
	if th.Missing != "" {
		return th.Missing
	}
	s := "observed " + results.FormatValue(th.Observed, th.Unit)
	if th.Limit == 0 {
		return s
	}
	side := "inside"
	m := th.Margin
	if m < 0 {
		side, m = "beyond", -m
	}
	if m == 0 {
		return s + ", at the limit"
	}
	if m >= 10 {
		return s + fmt.Sprintf(", %.0f times the limit %s it", m, side)
	}
	return s + fmt.Sprintf(", %.0f%% %s the limit", 100*m, side)
}

// verdict ends the text, so that it is the last thing on the screen.
func (t *text) verdict() {
	v := t.run.Verdict
	i := green
	switch v.State {
	case results.Suspect:
		i = yellow
	case results.Invalid:
		i = red
	}
	t.heading("VERDICT ON THE RUN", "")
	t.line("%s: %s", t.in(i, string(v.State)), stateWords(v.State))
	for _, reason := range v.Reasons {
		t.wrapped("", "  - ", "    ", reason)
	}
	for _, n := range v.Notes {
		t.wrapped(dim, "  note: ", "    ", n)
	}
	if t.Dir != "" {
		t.wrapped(dim, "", "", "Everything is in "+t.Dir)
	}
}
