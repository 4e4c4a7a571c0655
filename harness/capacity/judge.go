package capacity

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"tlsurge/faults"
	"tlsurge/results"
)

// Limits say what counts as too much.
type Limits struct {
	P99 time.Duration // of the median second, after the ramp; 0: five times the first step's, at least 20 ms
	// ErrorShare is the share of page loads or requests that may fail.
	ErrorShare float64
	// MetShare is the share of the offered load that must be held or answered.
	MetShare float64
	// ResetShare is the share of connections that may end in failure once they are established, and Deviation how
	// far, as a share, the rate of half a minute may be from the mean; 0: not judged.
	ResetShare, Deviation float64
}

// DefaultLimits are those of a run without its own.
func DefaultLimits() Limits { return Limits{ErrorShare: 0.001, MetShare: 0.98} }

// Dimension is what is turned up.
type Dimension string

const (
	Connections Dimension = "connections" // keepalive connections held
	Handshakes  Dimension = "handshakes"  // handshakes per second
	Requests    Dimension = "requests"    // requests per second over the scenario's connections
)

// Seen is a step as its run shows it.
type Seen struct {
	Step
	Label    string        `json:"run"` // its directory below the search's
	P99      time.Duration `json:"p99_ns"`
	Met      float64       `json:"met"`         // held, or done per second
	SawError float64       `json:"error_share"` // of page loads or requests, the larger one
	Fallback int64         `json:"false_fallbacks"`
	// EdgeUsed is what the edges used of the processors that the scenario gives them (fleet.cpus) while the load stood, and
	// EdgeWanted that and what they waited for while others had it; 0 where it does not say.
	EdgeUsed   float64 `json:"edge_used,omitempty"`
	EdgeWanted float64 `json:"edge_wanted,omitempty"`

	Verdict results.State `json:"verdict"`
	Words   []string      `json:"why"` // one for each knee that it is beyond
	Run     *results.Run  `json:"-"`
}

// judge reads a run. up and down are cut off its ends: what happens while the load is not there, or not any more, says
// nothing of the load.
func judge(run *results.Run, d Dimension, load float64, up, down time.Duration, lim Limits) Seen {
	s := Seen{Step: Step{Load: load, Bad: map[Knee]bool{}}, Verdict: run.Verdict.State, Run: run}
	held := settled(run, up, down)
	metric := func(x results.Sample) int64 { return x.ResponseP99Ns }
	if d == Handshakes {
		metric = func(x results.Sample) int64 { return x.HandshakeP99Ns }
	}
	s.P99 = time.Duration(median(held, metric))
	switch d {
	case Connections:
		s.Met = float64(median(held, func(x results.Sample) int64 { return x.Established }))
	case Handshakes:
		s.Met = perSecond(held, func(x results.Sample) int64 { return x.Handshakes })
	case Requests:
		s.Met = perSecond(held, func(x results.Sample) int64 { return x.Answered })
	}
	var loads, errors int64
	for _, u := range run.Users {
		loads, errors = loads+u.PageLoads, errors+u.SawError
	}
	s.SawError = max(share(errors, loads), share(run.Requests.Failed, run.Requests.Sent))
	s.Fallback = falseFallbacks(run)
	s.mark(lim.P99 > 0 && s.P99 > lim.P99, Latency, "p99 of %v, the limit is %v", s.P99.Round(time.Microsecond), lim.P99.Round(time.Microsecond))
	s.mark(s.SawError > lim.ErrorShare, Errors, "%.2f %% of page loads or requests end in an error", 100*s.SawError)
	if reset := share(run.Connections.Failed, run.Connections.Opened); lim.ResetShare > 0 {
		s.mark(reset > lim.ResetShare, Errors, "%.4f %% of established connections ended in failure", 100*reset)
	}
	if lim.Deviation > 0 {
		worst := deviation(held, d)
		s.mark(worst > lim.Deviation, Unmet, "the rate is not constant: %d seconds are %.0f %% away from the mean", deviationWindow, 100*worst)
	}
	s.mark(s.Fallback > 0, Fallback, "%d browsers fell back and nothing was injected", s.Fallback)
	s.mark(s.Met < lim.MetShare*load, Unmet, "%.0f of %.0f %s", s.Met, load, d)
	if reason, ours := generatorGaveOut(run); ours {
		s.mark(true, Generator, "%s", reason)
	}
	return s
}

func (s *Seen) mark(bad bool, k Knee, format string, args ...any) {
	if bad {
		s.Bad[k] = true
		s.Words = append(s.Words, fmt.Sprintf("%s: "+format, append([]any{k}, args...)...))
	}
}

// deviationWindow is over how many seconds a rate is taken to see whether it is constant: agents report each second,
// and one report more or less in a window is no change of the rate.
const deviationWindow = 30

// deviation is the largest distance of a window's rate from the mean of all, as a share of it; 0 where there are not
// two windows to compare.
func deviation(held []results.Sample, d Dimension) (worst float64) {
	of := func(x results.Sample) int64 { return x.Answered }
	switch d {
	case Connections:
		of = func(x results.Sample) int64 { return x.Established * x.LengthNs / int64(time.Second) }
	case Handshakes:
		of = func(x results.Sample) int64 { return x.Handshakes }
	}
	mean := perSecond(held, of)
	if len(held) < 2*deviationWindow || mean == 0 {
		return 0
	}
	for ; len(held) >= deviationWindow; held = held[deviationWindow:] {
		worst = max(worst, math.Abs(perSecond(held[:deviationWindow], of)/mean-1))
	}
	return worst
}

// settled is the seconds of the run in which the load stood.
func settled(run *results.Run, up, down time.Duration) (out []results.Sample) {
	if len(run.Phases) == 0 {
		return nil
	}
	p := run.Phases[0]
	for _, x := range run.Timeline {
		from := x.AtNs - x.LengthNs - p.StartedNs
		if x.Phase == p.Name && from >= int64(up) && x.AtNs <= p.StartedNs+p.DurationNs-int64(down) {
			out = append(out, x)
		}
	}
	return out
}

func median(xs []results.Sample, of func(results.Sample) int64) int64 {
	if len(xs) == 0 {
		return 0
	}
	var v []int64
	for _, x := range xs {
		v = append(v, of(x))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// perSecond divides by the agents' own time where it is known: a report that comes before or after the tick moves a
// second's counts into its neighbour.
func perSecond(xs []results.Sample, of func(results.Sample) int64) float64 {
	var n, length, measured int64
	for _, x := range xs {
		n, length, measured = n+of(x), length+x.LengthNs, measured+x.MeasuredNs
	}
	ns := length
	if measured > 0 {
		ns = measured
	}
	if ns == 0 {
		return 0
	}
	return float64(n) / time.Duration(ns).Seconds()
}

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// falseFallbacks counts the fallbacks that no injected fault began. What an edge does to itself under load
// is no injection: it is what we look for.
func falseFallbacks(run *results.Run) (n int64) {
	injected := map[string]bool{}
	for _, f := range run.Faults {
		injected[f.Name] = f.Engine != string(faults.EngineEdge)
	}
	for _, o := range run.Outcomes {
		if o.Kind == results.KindFallback && !injected[o.Fault] {
			n += o.Count
		}
	}
	return n
}

// generatorGaveOut says whether the run's own verdict blames the generator.
func generatorGaveOut(run *results.Run) (reason string, ours bool) {
	if run.Verdict.State != results.Invalid {
		return "", false
	}
	for _, r := range run.Verdict.Reasons {
		for _, word := range []string{"lag", "generator", "agent", "GC", "port"} {
			if strings.Contains(r, word) {
				return r, true
			}
		}
	}
	return strings.Join(run.Verdict.Reasons, "; "), true
}
