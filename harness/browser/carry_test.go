package browser

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
	"tlsurge/results"
)

// A browser that fell back successfully goes on sending lowered hellos, also when the server has learnt a
// better version since: it is served less than it could have, and that has its cause in the phase before.
// (NSS offers the session it holds, and leaves the SCSV out then, so the server does not notice.)
func TestMemoryOutlivesAnUpgrade(t *testing.T) {
	t.Parallel()
	before, after := serve(t, 1, tls.VersionTLS10, http.HandlerFunc(ok)), serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	ff := Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1}
	cfg := config(before, ff)
	cfg.Phase, cfg.Plan = "before", plan(t, cutFirst)
	cfg.Load = Load{Model: Open, Connections: 12, PerBrowser: [2]int{1, 1}, Duration: 1500 * time.Millisecond}
	rec := results.NewRecorder(results.RecorderConfig{Seed: 42, Phase: cfg.Phase, SampleEvery: 1})
	a, err := NewAgent(cfg, rec, func(faults.Firing) {})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := a.Warm(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.Run(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	cfg2 := config(after, ff)
	cfg2.Phase, cfg2.Carry, cfg2.Load = "after", a.Carry(), cfg.Load
	p := play(t, cfg2)
	if p.pages[results.Downgraded] != 12 || len(p.pages) != 1 {
		t.Fatalf("want all 12 page loads downgraded: %v", p.pages)
	}
	for _, x := range p.attempts {
		if x.Kind != results.KindFallback || x.Version == "TLS 1.2" || !x.HasOrigin || x.Origin.Phase != "before" || x.Origin.Attempt != 1 {
			t.Errorf("%s at %s, origin %+v", x.Kind, x.Version, x.Origin)
		}
	}
}

// filtered is a listener with a rule's filter, as an edge has it, in front of the standard library's server.
type filtered struct {
	*net.TCPListener
	filter *sockfilter.ListenerFilter
}

func (f filtered) Accept() (net.Conn, error) {
	c, err := f.AcceptTCP()
	if err != nil {
		return nil, err
	}
	client, server := c.RemoteAddr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort()
	if _, err := f.filter.Accepted(c, client, server); err != nil {
		return nil, err
	}
	return c, nil
}

// SYNs that an edge drops: the agent counts them, tells the edge when it is enough, and reports. A browser
// that opens a second connection meanwhile notices next to nothing; one that does not is late.
func TestDropAtSyn(t *testing.T) {
	t.Parallel()
	if err := sockfilter.Probe(); err != nil {
		t.Skipf("no packets can be dropped here: %v", err)
	}
	for _, c := range []struct {
		why, profile string
	}{
		{"Firefox opens a second connection after 250 ms", "firefox-35-osx"},
		{"Internet Explorer waits for TCP", "ie-11-win7"},
	} {
		t.Run(c.profile, func(t *testing.T) {
			t.Parallel()
			s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
			lc := net.ListenConfig{}
			lc.SetMultipathTCP(false)
			raw, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l := filtered{raw.(*net.TCPListener), sockfilter.NewListenerFilter(raw.(*net.TCPListener))}
			s.edges = []Edge{{"edge-1", raw.Addr().(*net.TCPAddr).AddrPort()}}
			go s.http.Serve(tls.NewListener(l, s.tls))
			cfg := config(s, Visitor{Profile: profile(t, c.profile), Weight: 1})
			cfg.Plan = plan(t, faults.Rule{Name: "syn", Engine: faults.EngineSockfilter, At: stage.Syn, Action: faults.Drop,
				Probability: 1, Times: 1, Who: faults.Selector{Attempt: 1, Connection: 1}})
			if err := l.filter.SetRules(cfg.Plan.Rules()); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			released := map[netip.Addr]int{}
			cfg.Release = func(edge string, source netip.Addr) {
				mu.Lock()
				released[source]++
				mu.Unlock()
				if err := l.filter.Release(source); err != nil {
					t.Error(err)
				}
			}
			cfg.Load = Load{Model: Open, Connections: 12, PerBrowser: [2]int{6, 6}, Duration: 3 * time.Second}
			p := play(t, cfg)
			if p.pages[results.Fine] != 2 || len(p.pages) != 1 {
				t.Errorf("%s: pages %v", c.why, p.pages)
			}
			if len(p.firings) != 2 || len(released) != 2 {
				t.Errorf("%d firings, %d sources released, want 2 of each", len(p.firings), len(released))
			}
			for _, f := range p.firings {
				if f.Packets < 1 || !f.HasKey || f.Stage != "syn" {
					t.Errorf("firing %+v", f)
				}
			}
			for _, a := range p.attempts {
				if a.Class != results.ClassOK {
					t.Errorf("%s: %s", a.Class, a.Detail)
				}
				if a.Fault == "syn" && a.ConnectedNs < int64(900*time.Millisecond) {
					t.Errorf("a lost SYN was sent again after only %v", time.Duration(a.ConnectedNs))
				}
			}
		})
	}
}

// Connections that the server resets while they are idle are closed connections, not errors.
func TestIdleConnectionsThatAreReset(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var open []*net.TCPConn
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok), func(s *server) {
		s.http.ConnState = func(c net.Conn, st http.ConnState) {
			if st == http.StateIdle {
				mu.Lock()
				open = append(open, c.(*tls.Conn).NetConn().(*net.TCPConn))
				mu.Unlock()
			}
		}
	})
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
	cfg.Load = Load{Model: Open, Connections: 12, Duration: 1200 * time.Millisecond}
	done := time.AfterFunc(800*time.Millisecond, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.SetLinger(0)
			c.Close()
		}
	})
	defer done.Stop()
	p := play(t, cfg)
	clean(t, p)
	if p.totals.ClosedByServer != 12 || p.totals.OpenAtEnd != 0 {
		t.Errorf("want 12 connections closed by the server: %+v", p.totals)
	}
}
