package browser

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"tlsurge/harness/pace"
	"tlsurge/results"
)

// arrivalKinds are the open models: every curve, evenly spaced and at random, and given times.
func arrivalKinds() map[string]Load {
	const s = time.Second
	kinds := map[string]Load{
		"constant":          {Requests: pace.Constant(150)},
		"ramp":              {Requests: pace.Ramp(20, 300, s/2)},
		"steps":             {Requests: pace.Steps(s/5, 50, 250, 100)},
		"sine":              {Requests: pace.Sine{Mean: 150, Swing: 100, Period: s / 3}},
		"spike":             {Requests: pace.Spike(60, 600, s/5, s/10)},
		"trapezoid":         {Requests: pace.Trapezoid(200, s/5, s/5, s/5)},
		"Poisson, constant": {Requests: pace.Constant(150), Poisson: true},
		"Poisson, spike":    {Requests: pace.Spike(60, 600, s/5, s/10), Poisson: true},
		"timestamps":        {RequestTimes: []time.Duration{0, 0, s / 100, s / 9, s / 9, s / 3, s/3 + 1, s / 2}},
	}
	for name, l := range kinds {
		if l.Requests != nil {
			l.Requests = ending{l.Requests, 600 * time.Millisecond}
			kinds[name] = l
		}
	}
	return kinds
}

// ending is a curve that is over well before its phase, so that all of it is done when the phase ends.
type ending struct {
	pace.Curve
	at time.Duration
}

func (e ending) Arrivals(t time.Duration) float64 { return e.Curve.Arrivals(min(t, e.at)) }

func (e ending) When(n float64) time.Duration {
	if n >= e.Curve.Arrivals(e.at) {
		return 1<<63 - 1
	}
	return e.Curve.When(n)
}

// scheduleOf is what the phase is meant to do, from the same curve and seed.
func scheduleOf(cfg *Config) (due []time.Duration) {
	a := &Agent{cfg: cfg, draws: newDraws(cfg.Seed, cfg.Phase)}
	s := a.wholeSchedule()
	for at, ok := s.Next(); ok; at, ok = s.Next() {
		due = append(due, at)
	}
	return due
}

// Every model of arrivals, with connections held: each request of the schedule is sent, and no other.
func TestOpenModelsSendTheirSchedule(t *testing.T) {
	t.Parallel()
	for name, load := range arrivalKinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var served atomic.Int64
			s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/asked" {
					served.Add(1)
				}
				ok(w, r)
			}))
			cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
			load.Model, load.Connections, load.Duration = Open, 12, 2*time.Second
			load.URLs = []URL{{Weight: 1, Path: "/asked"}}
			cfg.Load = load
			due := scheduleOf(cfg)
			p := playCold(t, cfg)
			clean(t, p)
			// Each of the 12 connections carries one request as it opens.
			want := int64(12 + len(due))
			if len(due) < 8 || p.totals.RequestsSent != want || p.totals.RequestsOK != want || served.Load() != want {
				t.Errorf("%d scheduled: %d sent, %d answered, %d served; want %d", len(due), p.totals.RequestsSent, p.totals.RequestsOK, served.Load(), want)
			}
			if n := p.snapshot.Lag.Count() - p.totals.Started; n != int64(len(due)) {
				t.Errorf("the lag of %d requests was measured, of %d scheduled", n, len(due))
			}
		})
	}
}

// Every model of arrivals, with a connection for each: the intended starts are the schedule's, to the nanosecond.
func TestHandshakesStartAsScheduled(t *testing.T) {
	t.Parallel()
	for name, load := range arrivalKinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
			cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
			load.Model, load.Duration = HandshakeOnly, 2*time.Second
			cfg.Load = load
			due := scheduleOf(cfg)
			p := playCold(t, cfg)
			clean(t, p)
			if p.totals.Started != int64(len(due)) || len(p.attempts) != len(due) {
				t.Fatalf("%d attempts, %d of them told of; scheduled were %d", p.totals.Started, len(p.attempts), len(due))
			}
			// A connection's browser is numbered as its start in the schedule.
			var zero time.Time
			for _, a := range p.attempts {
				start := a.Intended.Add(-due[a.Browser])
				if zero.IsZero() {
					zero = start
				}
				if !start.Equal(zero) {
					t.Fatalf("start %d is %v away from its place in the schedule", a.Browser, start.Sub(zero))
				}
				if a.StartNs < 0 {
					t.Errorf("start %d came %d ns before its time", a.Browser, -a.StartNs)
				}
			}
		})
	}
}

// Two agents make the schedule of one between them, start by start.
func TestAgentsShareASchedule(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	var due []time.Duration
	seen := map[uint32]bool{}
	for i := range 2 {
		cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
		cfg.Load = Load{Model: HandshakeOnly, Duration: 1500 * time.Millisecond, Poisson: true, Requests: ending{pace.Constant(200), 400 * time.Millisecond}}
		cfg.Agents, cfg.AgentIndex = 2, i
		due = scheduleOf(cfg)
		for _, a := range playCold(t, cfg).attempts {
			if seen[a.Browser] {
				t.Errorf("start %d was made twice", a.Browser)
			}
			seen[a.Browser] = true
		}
	}
	if len(seen) != len(due) || len(due) < 40 {
		t.Errorf("two agents made %d starts, the schedule has %d", len(seen), len(due))
	}
}

// A new visitor has nothing to offer, a returning one offers what its visit in warm-up left.
func TestNewAndReturningVisitors(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	for _, returning := range []float64{0, 0.5, 1} {
		cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1, Returning: returning})
		cfg.Load = Load{Model: Open, Connections: 120, PerBrowser: [2]int{6, 6}, Duration: 1500 * time.Millisecond}
		p := play(t, cfg)
		clean(t, p)
		offered := 0
		first := map[uint32]results.Attempt{}
		for _, a := range p.attempts {
			if f, have := first[a.Browser]; !have || a.Connection < f.Connection {
				first[a.Browser] = a
			}
		}
		for _, a := range first {
			if a.Asked != "" {
				offered++
				if a.Resumed != "ticket" {
					t.Errorf("returning %.1f: asked %q, resumed %q", returning, a.Asked, a.Resumed)
				}
			}
		}
		want := 0
		people := newPopulation(newDraws(cfg.Seed, cfg.Phase), &cfg.Load, cfg.Mix, len(cfg.Edges))
		for i := range people.places {
			if people.first(uint32(i)).returning {
				want++
			}
		}
		if len(first) != 20 || offered != want || returning == 0 && want != 0 || returning == 1 && want != 20 {
			t.Errorf("returning %.1f: %d of %d browsers offered a session, want %d", returning, offered, len(first), want)
		}
	}
}

// A server that ends each connection with its fourth answer (nginx: keepalive_requests): nothing fails, and what was
// closed is opened again in its turn.
func TestTheServersKeepaliveLimit(t *testing.T) {
	t.Parallel()
	type counter struct{}
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(counter{}).(*atomic.Int64).Add(1) == 4 {
			w.Header().Set("Connection", "close")
		}
		ok(w, r)
	}), func(s *server) {
		s.http.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, counter{}, new(atomic.Int64))
		}
	})
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
	cfg.Load = Load{Model: Open, Connections: 6, Duration: 2 * time.Second, Requests: ending{pace.Constant(120), 800 * time.Millisecond}}
	due := int64(len(scheduleOf(cfg)))
	p := playCold(t, cfg)
	clean(t, p)
	// The first six connections carry one request of their own each; those that follow are opened for one of the schedule.
	n := p.totals
	if n.RequestsOK != due+6 || n.ClosedByServer < n.RequestsOK/4-6 || n.Opened != n.ClosedByServer+n.OpenAtEnd || n.RequestsRetried != 0 || n.ClosedByClient+n.ClosedByFailure != 0 {
		t.Errorf("%d requests scheduled, connections of four: %+v", due, n)
	}
}

// A browser closes what it has not used for as long as it keeps things idle, and opens it again when it is wanted.
func TestTheBrowsersKeepaliveLimit(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
	cfg.Load = Load{Model: Open, Connections: 6, Duration: 3 * time.Second, RequestTimes: []time.Duration{1500 * time.Millisecond}}
	p := perform(t, cfg, false, func(a *Agent) {
		impatient := *a.hosts[0].manners
		impatient.IdleTimeout = 200 * time.Millisecond
		a.hosts[0].manners = &impatient
	})
	clean(t, p)
	if n := p.totals; n.Opened != 7 || n.ClosedByClient != 7 || n.OpenAtEnd != 0 || n.RequestsOK != 7 || n.ClosedByServer != 0 {
		t.Errorf("want six connections and one more for the request, all closed by the browser: %+v", n)
	}
}
