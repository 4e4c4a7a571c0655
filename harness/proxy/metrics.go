package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics gives the edge's counters in Prometheus's format, with the process's and Go's own.
func (s *Server) Metrics() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(&collector{s: s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
}

// collector reads the edge's counters when it is asked.
type collector struct{ s *Server }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tlsurge_edge_"+name, help, labels, nil)
}

var (
	descAccepted    = desc("accepted_total", "Connections accepted.")
	descHandshakes  = desc("handshakes_total", "Handshakes completed, by whether a session was resumed.", "resumed")
	descRequests    = desc("requests_total", "Requests read.")
	descResponses   = desc("responses_total", "Answers, by the first digit of the status.", "class")
	descEstablished = desc("connections", "Clients' connections now.")
	descParked      = desc("connections_parked", "Connections now from which nothing is expected.")
	descPlaces      = desc("table_places", "Places of the connection table.")
	descUsed        = desc("table_places_used", "Places taken, by clients and upstreams.")
	descSessions    = desc("sessions", "Sessions in a shared cache.", "cache")
	descLines       = desc("log_lines_total", "Lines about connections in the error log, of this phase.", "level", "code", "reason")
	descUpstream    = desc("upstream_requests_total", "Requests sent to an upstream server.", "group", "server", "outcome")
)

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descAccepted, descHandshakes, descRequests, descResponses, descEstablished, descParked,
		descPlaces, descUsed, descSessions, descLines, descUpstream} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.s
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	resumed := s.count.resumed.Load()
	counter(descAccepted, s.count.accepted.Load())
	counter(descHandshakes, s.count.handshakes.Load()-resumed, "no")
	counter(descHandshakes, resumed, "yes")
	counter(descRequests, s.count.requests.Load())
	for class := 1; class < len(s.count.byStatus); class++ {
		counter(descResponses, s.count.byStatus[class].Load(), string(rune('0'+class))+"xx")
	}
	used, parked, places := s.lot.occupancy()
	gauge(descEstablished, int(s.count.established.Load()))
	gauge(descParked, parked)
	gauge(descPlaces, places)
	gauge(descUsed, used)
	s.mu.Lock()
	for name, cache := range s.caches {
		gauge(descSessions, cache.len(), name)
	}
	s.mu.Unlock()
	s.count.mu.Lock()
	for l, n := range s.count.lines {
		counter(descLines, n, l.Level, l.Code, l.Reason)
	}
	s.count.mu.Unlock()
	for name, g := range s.cfg.Load().site.Groups() {
		for _, st := range g.Status() {
			counter(descUpstream, st.Served-st.Failed, name, st.Address, "ok")
			counter(descUpstream, st.Failed, name, st.Address, "failed")
		}
	}
}

// serveMetrics serves /metrics on an address until ctx ends; the returned function waits for the end.
func (s *Server) serveMetrics(ctx context.Context, addr string) (wait func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", s.Metrics())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := serveHTTP(ctx, l, mux); err != nil && !errors.Is(err, context.Canceled) {
			s.errorLine(s.cfg.Load().ErrorLog, "error", 0, "metrics: "+err.Error())
		}
	}()
	return func() { <-done }, nil
}
