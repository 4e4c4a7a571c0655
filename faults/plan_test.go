package faults_test

import (
	"iter"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

func named(name string, p float64, mod ...func(*faults.Rule)) faults.Rule {
	r := faults.Rule{Name: name, Engine: faults.EngineRelay, At: stage.ServerHello, Direction: stage.ServerToClient,
		Action: faults.Reset, Probability: p}
	for _, m := range mod {
		m(&r)
	}
	return r
}

func subject(browser, connection uint32, attempt uint16) faults.Subject {
	return faults.Subject{Key: faults.Key{Phase: "act-two", Browser: browser, Connection: connection, Attempt: attempt},
		Profile: "firefox-35-osx", Edge: "edge-2", Address: "127.0.0.12:8443", Kind: "first", At: 5 * time.Second}
}

// hits lists the browsers whose first attempt the plan hits, in the order asked.
func hits(p *faults.Plan, browsers []uint32) (hit []uint32) {
	for _, b := range browsers {
		if p.Decide(subject(b, 0, 1)) != nil {
			hit = append(hit, b)
		}
	}
	return hit
}

func upTo(n uint32) (all []uint32) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// TestSameSeedSameHits: whatever the number of agents, and in whatever order they ask.
func TestSameSeedSameHits(t *testing.T) {
	rules := []faults.Rule{named("cut", 0.02)}
	want := hits(faults.NewPlan(42, "act-two", rules), upTo(20000))
	for _, agents := range []int{2, 3, 7} {
		var got []uint32
		for a := range agents {
			var mine []uint32
			for b := uint32(a); b < 20000; b += uint32(agents) {
				mine = append(mine, b)
			}
			slices.Reverse(mine)
			p := faults.NewPlan(42, "act-two", rules)
			got = append(got, hits(p, mine)...)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%d agents hit %d browsers, one hits %d others", agents, len(got), len(want))
		}
	}
	if slices.Equal(hits(faults.NewPlan(43, "act-two", rules), upTo(20000)), want) {
		t.Error("another seed hits the same browsers")
	}
	if slices.Equal(hits(faults.NewPlan(42, "act-one", rules), upTo(20000)), want) {
		t.Error("another phase hits the same browsers")
	}
	other := []faults.Rule{named("other", 0)}
	if !slices.Equal(hits(faults.NewPlan(42, "act-two", append(other, rules...)), upTo(20000)), want) {
		t.Error("a rule before it changes whom a rule hits")
	}
}

// TestPinned: the draw is part of the recipe that a stored run names by its seed; it may not change.
func TestPinned(t *testing.T) {
	got := hits(faults.NewPlan(42, "act-two", []faults.Rule{named("cut-first-handshakes", 0.02)}), upTo(300))
	want := []uint32{59, 101, 118, 157, 203, 251, 267}
	if !slices.Equal(got, want) {
		t.Errorf("hit %v, want %v", got, want)
	}
}

// TestShareOfHits: the share of hits lies in the 99.99 % interval around the probability; 0 and 1 are exact.
func TestShareOfHits(t *testing.T) {
	const n = 50000
	for _, p := range []float64{0, 0.001, 0.02, 0.5, 0.98, 1} {
		got := float64(len(hits(faults.NewPlan(7, "act-two", []faults.Rule{named("r", p)}), upTo(n)))) / n
		if tolerance := 3.9 * math.Sqrt(p*(1-p)/n); math.Abs(got-p) > tolerance {
			t.Errorf("probability %v hits %v, tolerance %v", p, got, tolerance)
		}
	}
	// Attempts and connections of one browser draw for themselves.
	p := faults.NewPlan(7, "act-two", []faults.Rule{named("r", 0.5)})
	count := 0
	for c := range uint32(100) {
		for a := range uint16(100) {
			if p.Decide(subject(1, c, a+1)) != nil {
				count++
			}
		}
	}
	if count < 4800 || count > 5200 {
		t.Errorf("of 10,000 attempts of one browser %d are hit by a rule of 0.5", count)
	}
}

// TestSelectors: a sentence a row.
func TestSelectors(t *testing.T) {
	tests := []struct {
		sentence string
		mod      func(*faults.Rule)
		hit      bool
	}{
		{"no selector selects all", func(*faults.Rule) {}, true},
		{"a glob over profiles", func(r *faults.Rule) { r.Who.Profile = "firefox-*" }, true},
		{"one of several globs", func(r *faults.Rule) { r.Who.Profile = "safari-*, firefox-3[0-9]-*" }, true},
		{"none of several globs", func(r *faults.Rule) { r.Who.Profile = "safari-*,chrome-*" }, false},
		{"another profile", func(r *faults.Rule) { r.Who.Profile = "safari-*" }, false},
		{"the edge by name", func(r *faults.Rule) { r.Who.Edge = "edge-2" }, true},
		{"another edge", func(r *faults.Rule) { r.Who.Edge = "edge-[13]" }, false},
		{"the edge's address", func(r *faults.Rule) { r.Who.Address = "127.0.0.12" }, true},
		{"address and port", func(r *faults.Rule) { r.Who.Address = "127.0.0.12:8443" }, true},
		{"a longer address that begins so", func(r *faults.Rule) { r.Who.Address = "127.0.0.1" }, false},
		{"another port", func(r *faults.Rule) { r.Who.Address = "127.0.0.12:443" }, false},
		{"the first attempt", func(r *faults.Rule) { r.Who.Attempt = 1 }, true},
		{"the second", func(r *faults.Rule) { r.Who.Attempt = 2 }, false},
		{"the browser's first connection", func(r *faults.Rule) { r.Who.Connection = 1 }, true},
		{"its second", func(r *faults.Rule) { r.Who.Connection = 2 }, false},
		{"a kind of hello", func(r *faults.Rule) { r.Who.Kind = "first" }, true},
		{"another kind", func(r *faults.Rule) { r.Who.Kind = "resumed" }, false},
		{"a window around the start", func(r *faults.Rule) { r.From, r.Until = 5*time.Second, 6*time.Second }, true},
		{"a window that is over: until is outside", func(r *faults.Rule) { r.Until = 5 * time.Second }, false},
		{"a window to come", func(r *faults.Rule) { r.From = 6 * time.Second }, false},
		{"what an edge does to one connection hits attempts", func(r *faults.Rule) { r.Engine, r.Action = faults.EngineEdge, faults.HandshakeDeadline }, true},
		{"what hits an edge as a whole hits none", func(r *faults.Rule) { r.Engine, r.Action = faults.EngineEdge, faults.TableFull }, false},
		{"a rule per packet hits no attempt", func(r *faults.Rule) { r.PerPacket = true }, false},
	}
	for _, tt := range tests {
		t.Run(tt.sentence, func(t *testing.T) {
			p := faults.NewPlan(1, "act-two", []faults.Rule{named("r", 1, tt.mod)})
			if got := p.Decide(subject(3, 0, 1)) != nil; got != tt.hit {
				t.Errorf("hit = %v, want %v", got, tt.hit)
			}
		})
	}
}

// TestFirstMatchWins: rules are tried in order; one that selects but does not draw the attempt leaves it to the next.
func TestFirstMatchWins(t *testing.T) {
	p := faults.NewPlan(1, "act-two", []faults.Rule{named("never", 0), named("safari", 1, func(r *faults.Rule) { r.Who.Profile = "safari-*" }),
		named("b", 1), named("c", 1)})
	if r := p.Decide(subject(1, 0, 1)); r == nil || r.Name != "b" {
		t.Errorf("hit by %v, want b", r)
	}
}

// TestLimit: whom a limit lets through is the seed's choice, whatever the number of agents and the order in which
// they ask; what the expected attempts leave over is dealt out.
func TestLimit(t *testing.T) {
	limited := []faults.Rule{named("r", 0.1, func(r *faults.Rule) { r.Limit = 10 }), named("rest", 1)}
	expected := func(n uint32) iter.Seq[faults.Subject] {
		return func(yield func(faults.Subject) bool) {
			for b := range n {
				if !yield(subject(b, 0, 1)) {
					return
				}
			}
		}
	}
	// by asks for the browsers with the given first attempt and says whom rule r hits.
	by := func(agents int, known, all uint32) (hit []uint32) {
		for a := range agents {
			p := faults.NewPlan(1, "act-two", limited)
			p.Admit(expected(known), a, agents)
			for b := range all {
				b = all - 1 - b
				if int(b)%agents != a {
					continue
				}
				if r := p.Decide(subject(b, 0, 1)); r == nil {
					t.Fatalf("browser %d is hit by nothing: the rule behind a limit that is used up has its turn", b)
				} else if r.Name == "r" {
					hit = append(hit, b)
				}
			}
		}
		slices.Sort(hit)
		return hit
	}
	want := hits(faults.NewPlan(1, "act-two", []faults.Rule{named("r", 0.1)}), upTo(1000))[:10]
	for _, agents := range []int{1, 3, 7} {
		if got := by(agents, 1000, 1000); !slices.Equal(got, want) {
			t.Errorf("%d agents hit %v, want the first ten of the run %v", agents, got, want)
		}
		if got := by(agents, 40, 1000); len(got) != 10 {
			t.Errorf("%d agents that expected 40 attempts hit %d, limit 10", agents, len(got))
		}
	}
}

// TestRamp draws the probability over the window.
func TestRamp(t *testing.T) {
	r := named("r", 0.8, func(r *faults.Rule) {
		r.From, r.Until, r.Ramp = 10*time.Second, 30*time.Second, 5*time.Second
	})
	for at, want := range map[time.Duration]float64{10 * time.Second: 0, 12500 * time.Millisecond: 0.4, 15 * time.Second: 0.8,
		20 * time.Second: 0.8, 27500 * time.Millisecond: 0.4, 29 * time.Second: 0.16} {
		if got := r.ProbabilityAt(at); math.Abs(got-want) > 1e-9 {
			t.Errorf("at %v: %v, want %v", at, got, want)
		}
	}
}

// TestSources: addresses are the rule's own, and lead back to it.
func TestSources(t *testing.T) {
	rules := []faults.Rule{named("a", 1), named("b", 1, func(r *faults.Rule) { r.Index = 1 }), named("z", 1, func(r *faults.Rule) { r.Index = faults.MaxRules - 1 })}
	seen := map[netip.Addr]bool{}
	for i := range rules {
		r := &rules[i]
		for _, n := range []uint32{0, 1, 253, 254, 65023} {
			a := faults.SourceAddr(r, n)
			last := a.As4()[3]
			if !faults.SourcePrefix(r).Contains(a) || seen[a] || last == 0 || last == 255 {
				t.Errorf("rule %s: address %d is %s", r.Name, n, a)
			}
			seen[a] = true
			if got := faults.RuleOf(rules, a); got != r {
				t.Errorf("%s leads to %v, want %s", a, got, r.Name)
			}
		}
		if a := faults.SourceAddr(r, 65024); a != faults.SourceAddr(r, 0) {
			t.Errorf("address 65024 is %s", a)
		}
		six := faults.SourcePrefix6(r).Addr().Next()
		if got := faults.RuleOf(rules, six); got != r {
			t.Errorf("%s leads to %v, want %s", six, got, r.Name)
		}
	}
	for _, other := range []string{"127.1.0.1", "127.66.0.1", "192.64.0.1", "10.64.0.1", "::1"} {
		if r := faults.RuleOf(rules, netip.MustParseAddr(other)); r != nil {
			t.Errorf("%s leads to %s", other, r.Name)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	p := faults.NewPlan(1, "act-two", []faults.Rule{named("a", 0.001, func(r *faults.Rule) { r.Who.Profile = "firefox-*" }), named("b", 0)})
	s := subject(1, 0, 1)
	b.ReportAllocs()
	for i := range b.N {
		s.Browser = uint32(i)
		p.Decide(s)
	}
}

// An edge as a whole is hit by its name, address and time alone: whoever else the rule names comes to it or not.
func TestSelectsEdge(t *testing.T) {
	r := faults.Rule{From: time.Second, Until: 2 * time.Second, Who: faults.Selector{Edge: "edge-1, edge-[3-5]", Profile: "firefox-3[0-9]"}}
	for _, c := range []struct {
		edge string
		at   time.Duration
		want bool
	}{{"edge-1", time.Second, true}, {"edge-4", time.Second, true}, {"edge-2", time.Second, false}, {"edge-1", 0, false}, {"edge-1", 2 * time.Second, false}} {
		if got := r.SelectsEdge(c.edge, "127.0.0.11:8443", c.at); got != c.want {
			t.Errorf("%s at %v: %v, expected %v", c.edge, c.at, got, c.want)
		}
	}
}
