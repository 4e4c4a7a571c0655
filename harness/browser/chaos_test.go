package browser

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
	"tlsurge/harness/pace"
	"tlsurge/results"
)

var chaosSeeds = flag.Uint64("chaos", 8, "how many seeds TestAnEarlyEndBalances draws")

// moody answers well, badly, or not at all.
func moody(w http.ResponseWriter, _ *http.Request) {
	switch rand.IntN(12) {
	case 0:
		w.WriteHeader(http.StatusBadGateway)
	case 1:
		w.Header().Set("Connection", "close")
		w.Write([]byte("the last one"))
	case 2:
		panic(http.ErrAbortHandler)
	case 3:
		w.Write(make([]byte, 100_000))
	case 4, 5:
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		if rand.IntN(2) == 0 {
			c.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
		} else {
			c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))
		}
		c.Close()
	default:
		w.Write([]byte("fine"))
	}
}

// damage is a list of rules drawn from every cell that an agent carries out itself.
func damage(r *rand.Rand, packets bool) []faults.Rule {
	var out []faults.Rule
	cells := faults.Cells()
	for len(out) < 5 {
		c := cells[r.IntN(len(cells))]
		if len(c.Stages) == 0 || c.Engine != faults.EngineRelay && (c.Engine != faults.EngineSockfilter || !packets) {
			continue
		}
		rule := faults.Rule{Name: fmt.Sprintf("rule-%d", len(out)), Engine: c.Engine, Action: c.Action,
			At: c.Stages[r.IntN(len(c.Stages))], Probability: 0.15}
		switch c.Action {
		case faults.Drop:
			rule.Times = 1 + r.IntN(2)
			switch rule.At {
			case stage.Syn, stage.ClientHello, stage.ClientKeyExchange, stage.Finished, stage.Request:
				continue // these need an edge's listener
			}
		case faults.Stall, faults.Delay:
			rule.Duration = 100 * time.Millisecond
		case faults.Truncate, faults.Split:
			rule.Bytes = 3
		case faults.Throttle:
			rule.Rate = 20_000
		}
		out = append(out, rule)
	}
	return out
}

// chaotic is a load of everything at once, with damage, drawn by seed; the servers are moody.
func chaotic(t *testing.T, seed uint64, packets bool) (*Config, []faults.Rule) {
	r := rand.New(rand.NewPCG(seed, 1))
	s := serve(t, 2, tls.VersionTLS13, http.HandlerFunc(moody), func(s *server) { s.http.IdleTimeout = 150 * time.Millisecond })
	var mix []Visitor
	for _, name := range []string{"firefox-35-osx", "firefox-34-osx", "chrome-40-osx", "safari-8-osx10.10", "chromium-156-linux", "firefox-153esr-linux"} {
		mix = append(mix, Visitor{Profile: profile(t, name), Weight: r.Float64() + 0.1, Returning: r.Float64()})
	}
	cfg := config(s, mix...)
	cfg.Seed, cfg.ALPN = seed, []string{"http/1.1"}
	rules := damage(r, packets)
	cfg.Plan = plan(t, rules...)
	cfg.Load = Load{Model: []Model{Open, Open, Closed}[r.IntN(3)], Connections: 60, Duration: 1500 * time.Millisecond,
		Ramp: 300 * time.Millisecond, Requests: pace.Constant(150), Poisson: r.IntN(2) == 0, AllAtOnce: r.IntN(2) == 0,
		Lifetime: [2]time.Duration{100 * time.Millisecond, 700 * time.Millisecond}, Reload: 50 * time.Millisecond,
		SpareConnections: r.IntN(2) == 0, StormAt: []time.Duration{700 * time.Millisecond},
		Page: Page{Resources: 4, Think: [2]time.Duration{0, 100 * time.Millisecond}},
		URLs: []URL{{Weight: 1, Path: "/"}, {Weight: 1, Method: "POST", Path: "/", Body: []byte("x")}}}
	return cfg, rules
}

// The law that no mixture of damage breaks: every attempt ends in a class that has a name, or is open;
// nothing panics, and nothing is left behind (TestMain looks).
func TestAnyMixtureOfDamage(t *testing.T) {
	packets := sockfilter.Probe() == nil
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			cfg, rules := chaotic(t, seed, packets)
			p := playCold(t, cfg) // fails on an unbalanced run and on an error without a class
			if p.totals.Started < 10 {
				t.Errorf("only %d attempts", p.totals.Started)
			}
			for _, rule := range rules {
				t.Logf("%s %s at %s", rule.Engine, rule.Action, rule.At)
			}
			t.Logf("%d attempts, %d failed, %d firings", p.totals.Started, p.totals.Failed, len(p.firings))
		})
	}
}

// A phase that is ended early, at any moment, keeps the law too: whoever ends it wants the numbers.
func TestAnEarlyEndBalances(t *testing.T) {
	packets := sockfilter.Probe() == nil
	for seed := range *chaosSeeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			cfg, _ := chaotic(t, 100+seed, packets)
			rec := results.NewRecorder(results.RecorderConfig{Seed: cfg.Seed, Phase: cfg.Phase, SampleEvery: 1})
			a, err := NewAgent(cfg, rec, func(faults.Firing) {})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if seed%2 == 0 {
				if err := a.Warm(t.Context()); err != nil && !strings.Contains(err.Error(), "warm") {
					t.Fatal(err)
				}
			}
			end := time.Duration(rand.New(rand.NewPCG(seed, 2)).Int64N(int64(1200 * time.Millisecond)))
			ctx, cancel := context.WithTimeout(t.Context(), end)
			defer cancel()
			if err := a.Run(ctx, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			before := rec.Totals()
			if err := a.balance(); err != nil {
				t.Errorf("ended after %v: %v", end, err)
			}
			a.Close()
			if after := rec.Totals(); before != after {
				t.Errorf("closing changed the counts: %+v, %+v", before, after)
			}
		})
	}
}
