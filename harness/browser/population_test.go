package browser

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func people(t *testing.T, load Load, mix ...Visitor) *population {
	t.Helper()
	return newPopulation(newDraws(7, "act one"), &load, mix, 3)
}

func TestThePlacesHoldTheConnections(t *testing.T) {
	ff, ie := profile(t, "firefox-35-osx"), profile(t, "ie-8-xp")
	for _, c := range []struct {
		why  string
		load Load
		most int // connections of one browser
	}{
		{"as many as the profile allows", Load{Connections: 1000}, 255},
		{"fewer, where the scenario says so", Load{Connections: 1000, PerBrowser: [2]int{2, 2}}, 2},
		{"drawn from a range", Load{Connections: 1000, PerBrowser: [2]int{1, 6}}, 6},
		{"the last browser takes what is left", Load{Connections: 1, PerBrowser: [2]int{6, 6}}, 1},
	} {
		p := people(t, c.load, Visitor{Profile: ff, Weight: 3}, Visitor{Profile: ie, Weight: 1})
		sum := 0
		for _, pl := range p.places {
			sum += int(pl.slots)
			if int(pl.slots) > min(c.most, p.mix[pl.visitor].Profile.Manners().ConnectionsPerHost) || pl.slots == 0 {
				t.Errorf("%s: a browser with %d connections", c.why, pl.slots)
			}
		}
		if sum != c.load.Connections {
			t.Errorf("%s: %d connections, want %d", c.why, sum, c.load.Connections)
		}
	}
}

// Any run of places has every profile in its share and every edge equally often.
func TestSharesHoldInSmallRuns(t *testing.T) {
	ff, ch, ie := profile(t, "firefox-35-osx"), profile(t, "chrome-40-osx"), profile(t, "ie-8-xp")
	p := people(t, Load{Connections: 6000, PerBrowser: [2]int{1, 1}},
		Visitor{Profile: ff, Weight: 40}, Visitor{Profile: ch, Weight: 55}, Visitor{Profile: ie, Weight: 5})
	const run = 120
	for from := 0; from+run <= len(p.places); from += run {
		var profiles [3]int
		var edges [3]int
		for i := from; i < from+run; i++ {
			profiles[p.places[i].visitor]++
			edges[p.edge(uint32(i), 0)]++
		}
		for i, want := range []int{48, 66, 6} {
			if math.Abs(float64(profiles[i]-want)) > 2 {
				t.Fatalf("places %d to %d: %v of each profile, want 48, 66 and 6", from, from+run, profiles)
			}
		}
		if edges != [3]int{40, 40, 40} {
			t.Fatalf("places %d to %d: %v on each edge", from, from+run, edges)
		}
	}
}

func TestBirthsFollowTheRamp(t *testing.T) {
	ff := profile(t, "firefox-35-osx")
	for _, poisson := range []bool{false, true} {
		p := people(t, Load{Connections: 6000, Ramp: time.Minute, Poisson: poisson}, Visitor{Profile: ff, Weight: 1})
		var half int
		for i := range p.places {
			b := p.places[i].born
			if b < 0 || b >= time.Minute {
				t.Fatalf("place %d is born at %v", i, b)
			}
			if b < 30*time.Second {
				half++
			}
		}
		// 1,000 browsers: a binomial count of the first half has a deviation of 16.
		if d := half - len(p.places)/2; poisson && (d < -80 || d > 80) || !poisson && (d < -1 || d > 1) {
			t.Errorf("poisson %v: %d of %d in the first half", poisson, half, len(p.places))
		}
	}
}

// One browser follows another without a gap, each with an index of its own, the place's profile, and a
// lifetime in range; and none of it depends on the number of agents, which nobody is told here.
func TestSuccession(t *testing.T) {
	ff := profile(t, "firefox-35-osx")
	rapid.Check(t, func(rt *rapid.T) {
		lo := time.Duration(rapid.Int64Range(1, 1e10).Draw(rt, "lo"))
		hi := lo + time.Duration(rapid.Int64Range(0, 1e10).Draw(rt, "range"))
		p := people(t, Load{Connections: rapid.IntRange(1, 200).Draw(rt, "connections"), Ramp: time.Second, Lifetime: [2]time.Duration{lo, hi}},
			Visitor{Profile: ff, Weight: 1, Returning: 0.5})
		seen := map[uint32]bool{}
		for place := range p.places {
			w := p.first(uint32(place))
			for range 5 {
				if seen[w.index] || w.index%uint32(len(p.places)) != uint32(place) || w.visitor != p.places[place].visitor {
					rt.Fatalf("browser %d in place %d", w.index, place)
				}
				seen[w.index] = true
				if life := w.dies - w.born; life < min(lo, time.Millisecond) || life > max(hi, time.Millisecond)+1 {
					rt.Fatalf("a life of %v, want %v to %v", life, lo, hi)
				}
				n := p.next(w)
				if n.born != w.dies {
					rt.Fatalf("one ends at %v, the next begins at %v", w.dies, n.born)
				}
				w = n
			}
		}
	})
}

func TestReturningShare(t *testing.T) {
	p := people(t, Load{Connections: 10_000, PerBrowser: [2]int{1, 1}}, Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1, Returning: 0.6})
	n := 0
	for i := range p.places {
		if p.first(uint32(i)).returning {
			n++
		}
	}
	if math.Abs(float64(n)-6000) > 250 { // five deviations
		t.Errorf("%d of 10,000 return, want about 6,000", n)
	}
}

// TestClockShare: as many clocks are off as the scenario says, none where it gives no offset, and the same browsers
// for the same seed.
func TestClockShare(t *testing.T) {
	ff := profile(t, "firefox-35-osx")
	load := Load{Connections: 4000, PerBrowser: [2]int{1, 1}}
	astray := func(v Visitor) (n int, who []uint32) {
		p := people(t, load, v)
		for i := range p.places {
			if w := p.first(uint32(i)); w.astray {
				n++
				who = append(who, w.index)
			}
		}
		return n, who
	}
	some := Visitor{Profile: ff, Weight: 1, Clock: -time.Hour, ClockShare: 0.25}
	n, who := astray(some)
	if math.Abs(float64(n)-1000) > 120 {
		t.Errorf("%d of 4000 clocks are off, want about 1000", n)
	}
	if _, again := astray(some); !slices.Equal(who, again) {
		t.Error("the same seed put other clocks off")
	}
	if n, _ := astray(Visitor{Profile: ff, Weight: 1, Clock: -time.Hour, ClockShare: 1}); n != 4000 {
		t.Errorf("%d of 4000 clocks are off, want all", n)
	}
	if n, _ := astray(Visitor{Profile: ff, Weight: 1, ClockShare: 1}); n != 0 {
		t.Errorf("%d clocks are off by nothing", n)
	}
}

// TestResolve: a browser keeps its address, unless each connection asks again; then every edge gets its share, and
// the address of an earlier visit has no part in it.
func TestResolve(t *testing.T) {
	ff := Visitor{Profile: profile(t, "firefox-35-osx"), Weight: 1}
	load := Load{Connections: 6000, PerBrowser: [2]int{1, 1}}
	p := people(t, load, ff)
	for i := range uint32(10) {
		if w := p.first(i); p.resolve(w, 0) != w.edge || p.resolve(w, 7) != w.edge {
			t.Fatalf("browser %d moved without a reason", i)
		}
	}
	load.ResolveEach = true
	p = people(t, load, ff)
	var edges [3]int
	same := 0
	for i := range p.places {
		w := p.first(uint32(i))
		e := p.resolve(w, 0)
		edges[e]++
		if e == w.edge {
			same++
		}
	}
	for _, n := range append(edges[:], same) {
		if math.Abs(float64(n)-2000) > 185 { // five deviations
			t.Errorf("%v connections at each edge, %d at the browser's earlier one: want 2000 each", edges, same)
		}
	}
}
