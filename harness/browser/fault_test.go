package browser

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
	"tlsurge/results"
)

func plan(tb testing.TB, rules ...faults.Rule) *faults.Plan {
	tb.Helper()
	for i := range rules {
		rules[i].Index = i
		r, err := faults.Resolve(rules[i])
		if err != nil {
			tb.Fatal(err)
		}
		rules[i] = r
	}
	return faults.NewPlan(42, "test", rules)
}

var cutFirst = faults.Rule{Name: "cut", Engine: faults.EngineRelay, At: stage.ServerHello, Action: faults.Reset,
	Probability: 1, Who: faults.Selector{Attempt: 1, Connection: 1}}

// A reset in the first handshake, at each profile's own discretion: who retries how, what the server
// says to that, and what the user sees in the end.
func TestTheDanceAfterAReset(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why, profile string
		max          uint16
		verdict      results.PageVerdict
		sees         string
		kinds        []string // of the attempts of one browser's first connection
	}{
		{"Firefox 35 marks its retry with the SCSV, and a server that knows better refuses", "firefox-35-osx", tls.VersionTLS12,
			results.SawError, "ssl_error_inappropriate_fallback_alert", []string{"first", "fallback"}},
		{"where the server has no better version, the retry is served as well as the first would have been", "firefox-35-osx", tls.VersionTLS10,
			results.SavedByRetry, "", []string{"first", "fallback"}},
		{"Chrome 46 completes the retry and then refuses it: its minimum has been raised", "chrome-46-osx", tls.VersionTLS11,
			results.SawError, "ERR_SSL_FALLBACK_BEYOND_MINIMUM_VERSION", []string{"first", "fallback"}},
		{"Firefox 34 does not mark it, and is served less than it could have had", "firefox-34-osx", tls.VersionTLS12,
			results.Downgraded, "", []string{"first", "fallback"}},
	} {
		t.Run(c.profile+"/"+string(c.verdict), func(t *testing.T) {
			s := serve(t, 2, c.max, http.HandlerFunc(ok))
			cfg := config(s, Visitor{Profile: profile(t, c.profile), Weight: 1})
			cfg.Plan = plan(t, cutFirst)
			cfg.Load.Duration = 1500 * time.Millisecond
			p := play(t, cfg)
			if p.pages[c.verdict] != 10 || len(p.pages) != 1 {
				t.Errorf("%s: want all 10 page loads %s: %v", c.why, c.verdict, p.pages)
			}
			if len(p.firings) != 10 {
				t.Errorf("%d firings, want one for each first connection", len(p.firings))
			}
			chains := map[uint32][]results.Attempt{}
			for _, a := range p.attempts {
				if a.Connection == 0 {
					chains[a.Browser] = append(chains[a.Browser], a)
				}
			}
			for browser, chain := range chains {
				if len(chain) != len(c.kinds) {
					t.Fatalf("browser %d made %d attempts, want %v", browser, len(chain), c.kinds)
				}
				for i, a := range chain {
					if a.Kind != c.kinds[i] || int(a.Key.Attempt) != i+1 {
						t.Errorf("attempt %d is %q, want %q", i+1, a.Kind, c.kinds[i])
					}
				}
				first, last := chain[0], chain[len(chain)-1]
				if first.Class != results.ClassReset || first.Stage != "client_hello" {
					t.Errorf("the first attempt: class %q, stage %q", first.Class, first.Stage)
				}
				if !last.HasOrigin || last.Origin != first.Key {
					t.Errorf("the last attempt does not know where its chain began: %+v", last.Origin)
				}
				if last.UserSees != c.sees {
					t.Errorf("the user sees %q, want %q", last.UserSees, c.sees)
				}
			}
		})
	}
}

// Loss alone is no reason to fall back: TCP sends again, and the page is late but fine.
func TestLossAloneChangesNothing(t *testing.T) {
	t.Parallel()
	if err := sockfilter.Probe(); err != nil {
		t.Skipf("no packets can be dropped here: %v", err)
	}
	s := serve(t, 2, tls.VersionTLS12, http.HandlerFunc(ok))
	cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1})
	cfg.Plan = plan(t, faults.Rule{Name: "lose", Engine: faults.EngineSockfilter, At: stage.ServerHello, Action: faults.Drop,
		Probability: 1, Times: 2, Who: faults.Selector{Attempt: 1, Connection: 1}})
	cfg.Load.Duration = 3 * time.Second
	p := play(t, cfg)
	if p.pages[results.Fine] != 10 || len(p.pages) != 1 {
		t.Errorf("want all 10 page loads fine: %v", p.pages)
	}
	if len(p.firings) != 10 {
		t.Errorf("%d firings, want 10", len(p.firings))
	}
	for _, f := range p.firings {
		if f.Packets < 2 || !f.HasKey {
			t.Errorf("a firing of %d packets, key %v", f.Packets, f.HasKey)
		}
	}
	for _, a := range p.attempts {
		if a.Class != results.ClassOK || a.Kind == "fallback" {
			t.Errorf("class %q, kind %q: %s", a.Class, a.Kind, a.Detail)
		}
		if a.Fault == "lose" && a.HandshakeNs-a.ConnectedNs < int64(300*time.Millisecond) {
			t.Errorf("a handshake that lost two packets took %v", time.Duration(a.HandshakeNs-a.ConnectedNs))
		}
	}
}

// The same seed gives the same browsers, edges, firings and outcomes, however many agents play them.
func TestTheSeedDecides(t *testing.T) {
	t.Parallel()
	s := serve(t, 3, tls.VersionTLS12, http.HandlerFunc(ok))
	run := func(agents int) map[string]int {
		table := map[string]int{}
		for i := range agents {
			cfg := config(s, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 2, Returning: 0.3},
				Visitor{Profile: profile(t, "chrome-40-osx"), Weight: 1, Returning: 0.3})
			rule := cutFirst
			rule.Probability, rule.Who = 0.4, faults.Selector{Attempt: 1}
			cfg.Plan = plan(t, rule)
			cfg.Agents, cfg.AgentIndex = agents, i
			cfg.Load.Requests = nil
			p := play(t, cfg)
			for _, a := range p.attempts {
				table[keyLine(a)]++
			}
			for _, f := range p.firings {
				table[fmt.Sprintf("%s hit %d/%d/%d", f.Rule, f.Key.Browser, f.Key.Connection, f.Key.Attempt)]++
			}
		}
		return table
	}
	one, again, two := run(1), run(1), run(2)
	if len(one) < 60 {
		t.Fatalf("only %d different attempts", len(one))
	}
	for _, other := range []map[string]int{again, two} {
		for k, n := range one {
			if other[k] != n {
				t.Errorf("%s: %d times, then %d", k, n, other[k])
			}
		}
		if len(other) != len(one) {
			t.Errorf("%d attempts, then %d", len(one), len(other))
		}
	}
}

// keyLine is all of an attempt that the seed decides.
func keyLine(a results.Attempt) string {
	return fmt.Sprintf("%d/%d/%d %s %s %s %s %s sees=%q", a.Browser, a.Connection, a.Key.Attempt, a.Profile, a.Edge,
		a.Kind, a.Class, a.Version, a.UserSees)
}

// A limit spares the same attempts whether one agent plays the phase or three do, and those of later connections
// are counted with the others.
func TestALimitIsTheSameForAnyNumberOfAgents(t *testing.T) {
	t.Parallel()
	s := serve(t, 2, tls.VersionTLS12, http.HandlerFunc(ok))
	hit := func(agents int) (keys []faults.Key) {
		for i := range agents {
			cfg := config(s, Visitor{Profile: profile(t, "firefox-34-osx"), Weight: 1})
			r := cutFirst
			r.Who.Connection, r.Probability, r.Limit = 0, 0.5, 5
			cfg.Plan, cfg.Agents, cfg.AgentIndex = plan(t, r), agents, i
			cfg.Load.Duration = 1200 * time.Millisecond
			for _, f := range play(t, cfg).firings {
				keys = append(keys, f.Key)
			}
		}
		slices.SortFunc(keys, func(a, b faults.Key) int {
			return cmp.Or(cmp.Compare(a.Browser, b.Browser), cmp.Compare(a.Connection, b.Connection))
		})
		return keys
	}
	one := hit(1)
	if len(one) != 5 {
		t.Fatalf("%d firings, limit 5: %v", len(one), one)
	}
	if three := hit(3); !slices.Equal(one, three) {
		t.Errorf("three agents hit\n%v, one hits\n%v", three, one)
	}
}
