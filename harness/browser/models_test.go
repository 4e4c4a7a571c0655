package browser

import (
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/pace"
	"tlsurge/results"
)

// clean fails the test on any failure that the run has recorded.
func clean(t *testing.T, p played) {
	t.Helper()
	if p.totals.Failed != 0 || p.totals.RequestsFailed != 0 {
		t.Errorf("failures: %+v", p.totals)
		for _, a := range p.attempts {
			if a.Class != results.ClassOK {
				t.Errorf("%s: %s", a.Class, a.Detail)
			}
		}
	}
}

func TestClosedModelLoadsPages(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	cfg := config(s, Visitor{Profile: profile(t, "chrome-40-osx"), Weight: 1})
	cfg.Load = Load{Model: Closed, Connections: 12, Duration: time.Second, Page: Page{Resources: 10, Think: [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond}}}
	p := play(t, cfg)
	clean(t, p)
	// Two browsers load pages of 11 requests with 0.1 to 0.2 s between them: 5 to 10 pages each in a second.
	if n := p.totals.RequestsOK; n < 2*11 || n > 2*11*11 {
		t.Errorf("%d requests", n)
	}
	if p.totals.OpenAtEnd != 12 || p.pages[results.Fine] != 2 {
		t.Errorf("%d connections open, pages %v", p.totals.OpenAtEnd, p.pages)
	}
}

func TestHandshakeOnly(t *testing.T) {
	t.Parallel()
	s := serve(t, 2, tls.VersionTLS12, http.HandlerFunc(ok))
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
	cfg.Load = Load{Model: HandshakeOnly, Duration: time.Second, Requests: pace.Constant(100)}
	p := play(t, cfg)
	clean(t, p)
	if n := p.totals.Opened; n < 20 || n > 100 || p.totals.ResumptionAsked != 0 {
		t.Errorf("want up to 100 full handshakes: %+v", p.totals)
	}
	if p.totals.OpenAtEnd > 50 {
		t.Errorf("%d connections left open", p.totals.OpenAtEnd)
	}
}

func TestResumeOnly(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
	cfg.Load = Load{Model: ResumeOnly, Connections: 12, Duration: time.Second, Requests: pace.Constant(100)}
	p := play(t, cfg)
	clean(t, p)
	if n := p.totals.Opened; n < 20 || n > 100 || p.totals.ResumptionAsked != n {
		t.Errorf("want up to 100 handshakes, all asking to resume: %+v", p.totals)
	}
	for _, a := range p.attempts {
		if a.Class == results.ClassOK && a.HandshakeNs >= 0 && a.Resumed != "ticket" {
			t.Errorf("asked %q, resumed %q", a.Asked, a.Resumed)
			break
		}
	}
}

func TestIdleOnly(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
	cfg.Load = Load{Model: Idle, Connections: 30, Duration: time.Second, Requests: pace.Constant(1000)}
	p := play(t, cfg)
	clean(t, p)
	if p.totals.OpenAtEnd != 30 || p.totals.RequestsOK != 5 {
		t.Errorf("want 30 connections and 5 page loads: %+v", p.totals)
	}
}

func TestReconnectStorm(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
	cfg.Load = Load{Model: Open, Connections: 30, Duration: 2500 * time.Millisecond, StormAt: []time.Duration{1500 * time.Millisecond}}
	p := play(t, cfg)
	clean(t, p)
	if p.totals.Started != 60 || p.totals.ClosedByClient != 30 || p.totals.OpenAtEnd != 30 {
		t.Errorf("want every connection opened twice: %+v", p.totals)
	}
}

// Browsers come and go by the schedule, and there are as many at any time.
func TestLifetimes(t *testing.T) {
	t.Parallel()
	s := serve(t, 2, tls.VersionTLS12, http.HandlerFunc(ok))
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1, Returning: 0.5})
	cfg.Load = Load{Model: Open, Connections: 30, Duration: 2 * time.Second, Lifetime: [2]time.Duration{300 * time.Millisecond, 500 * time.Millisecond}}
	p := play(t, cfg)
	clean(t, p)
	want := 0
	people := newPopulation(newDraws(cfg.Seed, cfg.Phase), &cfg.Load, cfg.Mix, len(cfg.Edges))
	for i := range people.places {
		for w := people.first(uint32(i)); w.born < cfg.Load.Duration; w = people.next(w) {
			want++
		}
	}
	if n := int(p.pages[results.Fine]); n < want-2 || n > want || len(p.pages) != 1 {
		t.Errorf("%v, want %d browsers, all fine", p.pages, want)
	}
	if p.totals.OpenAtEnd < 25 || p.totals.OpenAtEnd > 36 {
		t.Errorf("%d connections open at the end", p.totals.OpenAtEnd)
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	var count [4]atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/post", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || string(body) != "a=b" || r.Header.Get("X-Test") != "yes" || r.Host != testName {
			w.WriteHeader(500)
		}
		count[0].Add(1)
	})
	mux.HandleFunc("/head", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "HEAD" {
			w.WriteHeader(500)
		}
		w.Header().Set("Content-Length", "1000")
		count[1].Add(1)
	})
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for i := range 200 {
			fmt.Fprintf(z, "line %d\n", i)
			z.Flush()
		}
		fmt.Fprint(z, "the needle")
		z.Close()
		count[2].Add(1)
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		w.Write(make([]byte, 3<<20))
		count[3].Add(1)
	})
	s := serve(t, 1, tls.VersionTLS12, mux)
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
	cfg.Load = Load{Model: Open, Connections: 12, Duration: time.Second, Requests: pace.Constant(200), URLs: []URL{
		{Weight: 1, Method: "POST", Path: "/post", Body: []byte("a=b"), Headers: [][2]string{{"X-Test", "yes"}}, Check: Check{Status: 200}},
		{Weight: 2, Method: "HEAD", Path: "/head"},
		{Weight: 2, Path: "/chunked", Headers: [][2]string{{"Accept-Encoding", "gzip"}}, Check: Check{Contains: "the needle"}},
		{Weight: 0.2, Path: "/large", Check: Check{Bytes: 3 << 20}},
	}}
	p := play(t, cfg)
	clean(t, p)
	for i := range count {
		if count[i].Load() == 0 {
			t.Errorf("%s was never asked for", cfg.Load.URLs[i].Path)
		}
	}
	if a, b := count[0].Load(), count[1].Load(); b < a {
		t.Errorf("weights 1 and 2 gave %d and %d requests", a, b)
	}
}

func TestUnwantedAnswers(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusBadGateway)
		}
		w.Write([]byte("nothing to see"))
	}))
	for _, c := range []struct {
		why  string
		url  URL
		sees string
	}{
		{"a 502 is shown to the user", URL{Weight: 1, Path: "/bad"}, "HTTP 502"},
		{"a check on the body fails", URL{Weight: 1, Path: "/", Check: Check{Contains: "needle"}}, "HTTP 200"},
		{"a check on the length fails", URL{Weight: 1, Path: "/", Check: Check{Bytes: 3}}, "HTTP 200"},
		{"a check on the status fails", URL{Weight: 1, Path: "/", Check: Check{Status: 204}}, "HTTP 200"},
	} {
		cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
		cfg.Load = Load{Model: Open, Connections: 6, Duration: 300 * time.Millisecond, URLs: []URL{c.url}}
		p := play(t, cfg)
		if p.pages[results.SawError] != 1 || len(p.attempts) != 1 {
			t.Errorf("%s: pages %v, %d attempts", c.why, p.pages, len(p.attempts))
			continue
		}
		if a := p.attempts[0]; a.Class != results.ClassHTTPStatus || a.UserSees != c.sees {
			t.Errorf("%s: %s, sees %q", c.why, a.Class, a.UserSees)
		}
	}
}

// A browser moves on after a failed TCP connect, and never after a TLS failure.
func TestMovesOnOnlyAfterAFailedConnect(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := free.Addr().(*net.TCPAddr).AddrPort()
	free.Close()
	hostile, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hostile.Close()
	var visits atomic.Int64
	go func() {
		for {
			c, err := hostile.Accept()
			if err != nil {
				return
			}
			visits.Add(1)
			c.Close()
		}
	}()
	play := func(other netip.AddrPort) played {
		cfg := config(s, Visitor{Profile: profile(t, "chrome-40-osx"), Weight: 1})
		cfg.Edges = append([]Edge{{"other", other}}, s.edges...)
		cfg.Load = Load{Model: Open, Connections: 12, Duration: 500 * time.Millisecond}
		return playCold(t, cfg)
	}
	p := play(dead)
	if p.pages[results.SavedByRetry] != 1 || p.pages[results.Fine] != 1 {
		t.Errorf("one browser of two is given the dead address first, and moves on: %v", p.pages)
	}
	p = play(hostile.Addr().(*net.TCPAddr).AddrPort())
	if p.pages[results.SawError] != 1 || p.pages[results.Fine] != 1 {
		t.Errorf("one browser of two is given the hostile address and stays: %v", p.pages)
	}
	for _, a := range p.attempts {
		if a.Browser == 0 && a.Edge != p.attempts[0].Edge && a.Class != results.ClassOK {
			t.Errorf("attempt %d went to %s", a.Key.Attempt, a.Edge)
		}
	}
}

// A port that cannot be had is this machine's trouble: the target is not blamed and no page is judged.
func TestNoResource(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
	cfg.Sources = []netip.Addr{netip.MustParseAddr("192.0.2.1")} // TEST-NET-1: nobody has it
	cfg.Load = Load{Model: Open, Connections: 6, Duration: 3 * time.Second}
	p := playCold(t, cfg)
	if len(p.attempts) == 0 || len(p.pages) != 0 {
		t.Fatalf("%d attempts, pages %v", len(p.attempts), p.pages)
	}
	for _, a := range p.attempts {
		if a.Class != results.ClassNoResource || a.Errno != "EADDRNOTAVAIL" || a.UserSees != "" {
			t.Errorf("%s %s, user sees %q", a.Class, a.Errno, a.UserSees)
		}
	}
}

func TestServerThatWantsHTTP2(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS13, http.HandlerFunc(ok), func(s *server) { s.tls.NextProtos = []string{"h2", "http/1.1"} })
	var modern string
	for _, name := range []string{"chrome-133-linux", "chromium-156-linux", "chrome-120-win10"} {
		if hasProfile(name) {
			modern = name
		}
	}
	if modern == "" {
		t.Skip("no modern profile is built in yet")
	}
	cfg := config(s, Visitor{Profile: profile(t, modern), Weight: 1})
	cfg.Load = Load{Model: Open, Connections: 6, Duration: 500 * time.Millisecond}
	p := playCold(t, cfg)
	for _, a := range p.attempts {
		if a.Class != results.ClassALPN || !strings.Contains(a.Detail, "h2") {
			t.Errorf("%s: %s", a.Class, a.Detail)
		}
	}
	if len(p.attempts) == 0 {
		t.Error("no attempts")
	}
	cfg.ALPN = []string{"http/1.1"}
	p = playCold(t, cfg)
	clean(t, p)
	if p.pages[results.Fine] != 1 {
		t.Errorf("with alpn = http/1.1: %v", p.pages)
	}
}

// The keepalive race: the server closes connections just as requests are sent on them. What was reused
// is sent again and the user notices nothing.
func TestRequestsOnDyingConnectionsAreResent(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("fine"))
	}), func(s *server) { s.http.IdleTimeout = 50 * time.Millisecond })
	cfg := config(s, Visitor{Profile: profile(t, "chrome-40-osx"), Weight: 1})
	// 6 connections used every 55 ms each, just when the server is closing them.
	cfg.Load = Load{Model: Open, Connections: 6, Duration: 2 * time.Second, Requests: pace.Constant(109)}
	p := play(t, cfg)
	if p.totals.ClosedByServer == 0 {
		t.Error("the server closed nothing")
	}
	if p.totals.RequestsFailed != 0 || p.pages[results.Fine] != 1 {
		t.Errorf("%d requests failed, pages %v", p.totals.RequestsFailed, p.pages)
	}
	t.Logf("%d connections closed by the server, %d requests sent again", p.totals.ClosedByServer, p.totals.RequestsRetried)
}

func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 200_000)) }))
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
	cfg.Load = Load{Model: Open, Connections: 6, Duration: 2500 * time.Millisecond, ReadRate: 200_000, SlowShare: 1}
	p := play(t, cfg)
	h := p.snapshot.Latency["response.service_time"]
	if h == nil || h.Count() == 0 {
		t.Fatal("no answer was read")
	}
	if least := time.Duration(h.Min()); least < 600*time.Millisecond {
		t.Errorf("200,000 bytes at 200,000 bytes/s took %v", least)
	}
}

// Slow senders take their time over requests and handshakes, and the server sees each piece; one that loses patience,
// or answers before it was asked in full, leaves the books in balance.
func TestSlowSenders(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		why     string
		version uint16
		load    Load
		header  time.Duration // the server's patience with a header
		check   func(*testing.T, played)
	}{
		{"a request at 500 bytes/s", tls.VersionTLS12, Load{SendRate: 500}, 0, func(t *testing.T, p played) {
			clean(t, p)
			atLeast(t, p, "response.service_time", 100*time.Millisecond) // of 100 bytes and more the first 50 go at once
		}},
		{"a POST at 2,000 bytes/s, answered when its body is there", tls.VersionTLS13,
			Load{SendRate: 2000, URLs: []URL{{Weight: 1, Method: "POST", Path: "/", Body: make([]byte, 1000)}}}, 0, func(t *testing.T, p played) {
				clean(t, p)
				atLeast(t, p, "response.service_time", 400*time.Millisecond)
			}},
		{"a POST answered before its body is there", tls.VersionTLS12,
			Load{SendRate: 100, URLs: []URL{{Weight: 1, Method: "POST", Path: "/early", Body: make([]byte, 5000)}}}, 0, func(t *testing.T, p played) {
				if p.totals.RequestsOK == 0 || p.totals.ClosedByServer == 0 {
					t.Errorf("%+v: want answers, on connections that are not used again", p.totals)
				}
			}},
		{"a handshake at 1,000 bytes/s", tls.VersionTLS12, Load{HandshakeRate: 1000}, 0, func(t *testing.T, p played) {
			clean(t, p)
			atLeast(t, p, "handshake.service_time", 100*time.Millisecond)
		}},
		{"a header slower than the server's patience", tls.VersionTLS12, Load{SendRate: 20, URLs: []URL{{Weight: 1, Path: "/", Check: Check{Status: 200}}}}, 200 * time.Millisecond, func(t *testing.T, p played) {
			if p.totals.RequestsOK != 0 || p.totals.Failed == 0 {
				t.Errorf("%+v: want every connection to end without an answer", p.totals)
			}
		}},
	} {
		t.Run(tc.why, func(t *testing.T) {
			t.Parallel()
			s := serve(t, 1, tc.version, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/early" {
					w.Header().Set("Connection", "close") // else net/http reads the body first
				} else {
					io.Copy(io.Discard, r.Body)
				}
				w.Write([]byte("fine"))
			}), func(s *server) { s.http.ReadHeaderTimeout = tc.header })
			cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
			cfg.Load = tc.load
			cfg.Load.Model, cfg.Load.Connections, cfg.Load.Duration, cfg.Load.SlowShare = Open, 6, 2*time.Second, 1
			tc.check(t, play(t, cfg))
		})
	}
}

func atLeast(t *testing.T, p played, metric string, least time.Duration) {
	t.Helper()
	h := p.snapshot.Latency[metric]
	if h == nil || h.Count() == 0 {
		t.Fatalf("no %s", metric)
	}
	if d := time.Duration(h.Min()); d < least {
		t.Errorf("%s of %v, want %v at least", metric, d, least)
	}
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	go s.http.Serve(tls.NewListener(l, s.tls))
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
	cfg.Edges = []Edge{{"edge-6", l.Addr().(*net.TCPAddr).AddrPort()}}
	cfg.Sources = []netip.Addr{netip.IPv6Loopback()}
	cfg.Load = Load{Model: Open, Connections: 6, Duration: 500 * time.Millisecond}
	p := play(t, cfg)
	clean(t, p)
	if p.pages[results.Fine] != 1 {
		t.Errorf("pages %v", p.pages)
	}
	for _, a := range p.attempts {
		if !a.Tuple.Client.Addr().Is6() || a.Tuple.Client.Port() == 0 {
			t.Errorf("client %v", a.Tuple.Client)
		}
	}
}

// A browser whose time is up in the middle of a retry still gets its verdict, and nothing is left over.
func TestLeavingInTheMiddleOfARetry(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	// Today's Chromium makes its measured burst of attempts over seconds, longer than this browser lives.
	cfg := config(s, Visitor{Profile: profile(t, "chromium-156-linux"), Weight: 1})
	rule := cutFirst
	rule.Who = faults.Selector{Connection: 1}
	cfg.Plan = plan(t, rule)
	cfg.Load = Load{Model: Open, Connections: 6, Duration: 4 * time.Second, Lifetime: [2]time.Duration{20 * time.Millisecond, 40 * time.Millisecond}}
	p := play(t, cfg)
	if p.totals.Started != p.totals.Completed+p.totals.Failed+p.totals.OpenAtEnd {
		t.Errorf("%+v", p.totals)
	}
	if p.pages[results.SawError] == 0 || p.pages[results.Fine] != 0 {
		t.Errorf("pages %v", p.pages)
	}
}

// TestFixedWork: a burst makes exactly the connections asked for, no more at once than allowed, and ends
// the phase with the last; also where every attempt fails.
func TestFixedWork(t *testing.T) {
	t.Parallel()
	s := serve(t, 1, tls.VersionTLS12, http.HandlerFunc(ok))
	for _, model := range []Model{HandshakeOnly, ResumeOnly} {
		cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
		cfg.Load = Load{Model: model, Connections: 4, PerBrowser: [2]int{1, 1}, Count: 40, Duration: time.Minute}
		start := time.Now()
		p := play(t, cfg)
		clean(t, p)
		if n := p.totals; n.Opened != 40 || n.OpenAtEnd != 0 || n.PeakEstablished > 4 || time.Since(start) > 30*time.Second {
			t.Errorf("%s: %+v", model, n)
		}
		if model == ResumeOnly && p.totals.ResumptionAsked != 40 {
			t.Errorf("%d of 40 offered a session", p.totals.ResumptionAsked)
		}
	}
	old := serve(t, 1, tls.VersionTLS13, http.HandlerFunc(ok))
	cfg := config(old, Visitor{Profile: profile(t, "ie-6-xp-tls10"), Weight: 1})
	cfg.Load = Load{Model: HandshakeOnly, Connections: 3, Count: 7, Duration: time.Minute}
	if p := play(t, cfg); p.totals.Opened != 0 || p.pages[results.SawError] != 7 {
		t.Errorf("a browser that is refused: %+v, pages %v", p.totals, p.pages)
	}
	cfg.Load.Model = Idle
	if _, err := NewAgent(cfg, results.NewRecorder(results.RecorderConfig{}), func(faults.Firing) {}); err == nil {
		t.Error("fixed work of a model that holds is taken")
	}
}
