package faults

import (
	"iter"
	"path"
	"strings"
	"time"
)

// Plan decides which attempts of one phase are hit by which rule.
//
// The choice for an attempt is a hash of (seed, phase, rule name, browser, connection, attempt) read as a
// number in [0, 1) and held against the rule's probability. It does not depend on arrival order, on the
// number of agents or on the other rules, so 0 never fires, 1 always does, and the same seed hits the
// same attempts.
//
// A limit is kept by Admit, in the run's own order and not in that of time. A Plan with limits belongs to one
// goroutine.
type Plan struct {
	rules []Rule
	seeds []uint64 // per rule: hash of seed, phase and rule name
	// left is, per rule, how many attempts may still be hit beyond the admitted ones; -1: no limit.
	left     []int
	admitted []map[Key]struct{} // per rule: whom its limit lets through, nil without a limit
}

// NewPlan makes the plan of a phase. rules are resolved (Resolve) and in the scenario's order, which is
// also the order of precedence.
func NewPlan(seed uint64, phase string, rules []Rule) *Plan {
	p := &Plan{rules: rules, seeds: make([]uint64, len(rules)), left: make([]int, len(rules)), admitted: make([]map[Key]struct{}, len(rules))}
	for i := range rules {
		p.seeds[i] = mix(mix(mix(seed)^hashString(phase)) ^ hashString(rules[i].Name))
		p.left[i] = -1
		if rules[i].Limit > 0 {
			p.left[i] = rules[i].Limit
		}
	}
	return p
}

// Rules are the plan's rules, in order. The caller must not change them.
func (p *Plan) Rules() []Rule { return p.rules }

// Admit settles whom the limits let through. expected are the attempts that the phase is expected to make, in an
// order that is the same for every agent (a browser's first attempts, browser after browser): a limit belongs to
// the first of them that are hit, so that neither time nor the number of agents decides whom it spares. What
// of a limit they leave over is for attempts that nobody expects (retries, connections opened again), and
// is dealt out among the agents: limit/agents each, the first ones one more.
//
// An expected attempt that is then not made takes its place with it: a limit is the most there can be.
func (p *Plan) Admit(expected iter.Seq[Subject], agent, agents int) {
	open := 0
	for _, left := range p.left {
		if left > 0 {
			open++
		}
	}
	if open > 0 {
		for s := range expected {
			if i := p.decide(s); i >= 0 && p.left[i] > 0 {
				if p.admitted[i] == nil {
					p.admitted[i] = make(map[Key]struct{})
				}
				p.admitted[i][s.Key] = struct{}{}
				if p.left[i]--; p.left[i] == 0 {
					if open--; open == 0 {
						break
					}
				}
			}
		}
	}
	for i, left := range p.left {
		if left > 0 {
			p.left[i] = left / agents
			if agent < left%agents {
				p.left[i]++
			}
		}
	}
}

// Decide names the rule that hits this attempt, nil if none does: the first in order that selects it and
// whose draw falls below its probability. Rules per packet (DecidePerPacket) and rules that hit an edge as
// a whole (HitsEdge) are never named.
func (p *Plan) Decide(s Subject) *Rule {
	i := p.decide(s)
	if i < 0 {
		return nil
	}
	if _, ok := p.admitted[i][s.Key]; !ok && p.left[i] > 0 {
		p.left[i]--
	}
	return &p.rules[i]
}

// decide is the index of the rule that hits the attempt, -1 where none does.
func (p *Plan) decide(s Subject) int {
	for i := range p.rules {
		r := &p.rules[i]
		if r.PerPacket || r.HitsEdge() || !r.Selects(s) || unit(draw(p.seeds[i], s.Key)) >= r.ProbabilityAt(s.At) {
			continue
		}
		if _, ok := p.admitted[i][s.Key]; ok || p.left[i] != 0 {
			return i
		}
	}
	return -1
}

// DecidePerPacket names the first rule per packet that concerns this attempt, nil if none does. Such a
// rule is armed on every connection it selects; which packets it takes is chance.
func (p *Plan) DecidePerPacket(s Subject) *Rule {
	for i := range p.rules {
		if r := &p.rules[i]; r.PerPacket && r.Selects(s) && r.ProbabilityAt(s.At) > 0 {
			return r
		}
	}
	return nil
}

// Selects says whether the rule's selector and window admit the subject, before any draw.
func (r *Rule) Selects(s Subject) bool {
	w := &r.Who
	switch {
	case w.Attempt != 0 && w.Attempt != int(s.Attempt):
		return false
	case w.Connection != 0 && w.Connection != int(s.Connection)+1:
		return false
	case w.Kind != "" && w.Kind != s.Kind:
		return false
	}
	return MatchName(w.Profile, s.Profile) && r.SelectsEdge(s.Edge, s.Address, s.At)
}

// SelectsEdge says whether the rule's selector and window admit an edge as a whole, whoever comes.
func (r *Rule) SelectsEdge(edge, address string, at time.Duration) bool {
	if at < r.From || r.Until > 0 && at >= r.Until {
		return false
	}
	return MatchName(r.Who.Edge, edge) && addressMatches(r.Who.Address, address)
}

// ProbabilityAt is the rule's probability at a time within the phase, ramps applied.
func (r *Rule) ProbabilityAt(at time.Duration) float64 {
	p := r.Probability
	if r.Ramp <= 0 {
		return p
	}
	if in := at - r.From; in < r.Ramp {
		p = r.Probability * float64(in) / float64(r.Ramp)
	}
	if out := r.Until - at; r.Until > 0 && out < r.Ramp {
		p = min(p, r.Probability*float64(out)/float64(r.Ramp))
	}
	return max(p, 0)
}

// Unit is a number in [0, 1) that belongs to (seed, key, salt): for the engines' own choices (jitter, the
// bit to flip), so that these too repeat with the seed.
func Unit(seed uint64, k Key, salt string) float64 {
	return unit(draw(mix(seed^hashString(salt)^mix(hashString(k.Phase))), k))
}

// draw folds the attempt into the rule's hash, one field at a time.
func draw(seed uint64, k Key) uint64 {
	h := mix(seed ^ uint64(k.Browser))
	h = mix(h ^ uint64(k.Connection))
	return mix(h ^ uint64(k.Attempt))
}

// unit reads the upper 53 bits as a fraction: all values of a float64 in [0, 1) with equal steps.
func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// mix is the output function of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
// Generators, 2014) after one step of its counter, so that 0 does not stay 0.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// hashString is 64-bit FNV-1a.
func hashString(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}

// MatchName says whether one of the patterns, which commas part, fits a name as path.Match does; an empty
// pattern fits all. Resolve has checked the patterns.
func MatchName(patterns, name string) bool {
	if patterns == "" {
		return true
	}
	for p := range strings.SplitSeq(patterns, ",") {
		if ok, err := path.Match(strings.TrimSpace(p), name); ok && err == nil {
			return true
		}
	}
	return false
}

// addressMatches holds a selector's address or address:port against an edge's address:port.
func addressMatches(want, have string) bool {
	if want == "" || want == have {
		return true
	}
	// want without a port: have must continue with one.
	for _, w := range []string{want, "[" + want + "]"} {
		if len(have) > len(w)+1 && have[:len(w)] == w && have[len(w)] == ':' && !hasColon(have[len(w)+1:]) {
			return true
		}
	}
	return false
}

func hasColon(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == ':' {
			return true
		}
	}
	return false
}
