package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tlsurge/results"
	"tlsurge/results/hist"
	"tlsurge/results/report"
)

// metrics serves /metrics: the run as it stands, and at its end the result, until that was asked for once.
// Nil does nothing.
type metrics struct {
	server *http.Server
	served sync.WaitGroup

	mu   sync.Mutex
	run  *results.Run  // the result, once there is one
	seen chan struct{} // closed when the result was asked for
}

// serveMetrics answers at l until close.
func serveMetrics(l net.Listener, c *results.Collector) *metrics {
	if l == nil {
		return nil
	}
	m := &metrics{seen: make(chan struct{})}
	reg := prometheus.NewRegistry()
	reg.MustRegister(report.Metrics{
		Run: func() *results.Run {
			if run := m.result(); run != nil {
				return run
			}
			return c.Provisional(time.Now())
		},
		Latencies: func() map[string]*hist.Histogram { return c.Latencies() },
	})
	inner := promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		final := m.result() != nil
		inner.ServeHTTP(w, r)
		if final {
			m.sawResult()
		}
	})
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	m.served.Go(func() { _ = m.server.Serve(l) }) // until close
	return m
}

func (m *metrics) result() *results.Run {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run
}

func (m *metrics) sawResult() {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.seen:
	default:
		close(m.seen)
	}
}

// linger leaves the result for the last scrape: until somebody has asked for it, limit is over, or ctx ends.
func (m *metrics) linger(ctx context.Context, run *results.Run, limit time.Duration, p Progress) {
	if m == nil || run == nil || limit <= 0 {
		return
	}
	m.mu.Lock()
	m.run = run
	m.mu.Unlock()
	p.Step(fmt.Sprintf("waiting for the last scrape, at most %v", limit))
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-m.seen:
	case <-t.C:
	case <-ctx.Done():
	}
}

// close answers what is being asked, and stops.
func (m *metrics) close() {
	if m == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := m.server.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		_ = m.server.Close() // somebody who does not read
	}
	m.served.Wait()
}
