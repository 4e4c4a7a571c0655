package capacity

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tlsurge/results"
)

// Culprit is what may have given out, with the counter that shows it.
type Culprit struct {
	What    string  `json:"what"`
	Counter string  `json:"counter"`
	Value   float64 `json:"value"`
	// Decisive: the counter cannot grow for another reason.
	Decisive bool `json:"decisive"`

	rank rank
}

// rank orders culprits: what gives out first makes others give out, never the other way round.
type rank uint8

const (
	limit    rank = iota // a table, files, ports: full is full
	resource             // processor time, memory: what there was is used up
	queue                // a queue overflows because what should empty it has no time, or waits for something
	guess
)

// bounds are what the scenario itself has limited, so that a counter can be held against it; 0: nothing.
type bounds struct {
	table int64 // worker_connections
	cpus  int   // of all edges together
}

// culprits names what a run beyond a knee shows, causes before what follows from them. up and down are the times at the
// run's ends in which its load was not all there.
func culprits(run *results.Run, bound bounds, up, down time.Duration) (list []Culprit) {
	unsettled, held := up+down, settled(run, up, down)
	add := func(bad bool, r rank, what, counter string, value float64) {
		if bad {
			list = append(list, Culprit{what, counter, value, r < queue, r})
		}
	}
	var full, files, upstream, edgeCPU, agentCPU, memory, peak int64
	for _, e := range run.Edges {
		for _, l := range e.LogLines {
			switch {
			case strings.Contains(l.Reason, "worker_connections are not enough"):
				full += l.Count
			case strings.Contains(l.Reason, "Too many open files"):
				files += l.Count
			case strings.Contains(l.Reason, "upstream timed out"), strings.Contains(l.Reason, "no live upstreams"):
				upstream += l.Count
			}
		}
		edgeCPU, memory, peak = edgeCPU+e.CPUNs, memory+e.RSSPeakBytes, max(peak, e.PeakEstablished)
	}
	for _, a := range run.Agents {
		agentCPU, memory = agentCPU+a.CPUNs, memory+a.RSSPeakBytes
	}
	table := bound.table
	add(full > 0, limit, "the edge's connection table (worker_connections)", "error.log: worker_connections are not enough", float64(full))
	add(full == 0 && table > 0 && float64(peak) >= 0.95*float64(table), limit, "the edge's connection table (worker_connections)", "edges.peak_established", float64(peak))
	add(files > 0, limit, "the edge's open files", "error.log: Too many open files", float64(files))
	for _, o := range run.Outcomes {
		add(o.Class == results.ClassNoResource, limit, "ports or files of the generator", "outcomes.no_resource", float64(o.Count))
	}
	add(run.Machine.MemoryBytes > 0 && float64(memory) > 0.8*float64(run.Machine.MemoryBytes), limit, "memory", "rss_peak_bytes of edges and agents", float64(memory))
	idle := false
	own, wanted := edgeShare(held, bound.cpus)
	if own == 0 {
		own = usedUp(run, edgeCPU, bound.cpus, unsettled)
	}
	switch busy := usedUp(run, edgeCPU+agentCPU, run.Machine.CPUs, unsettled); {
	case bound.cpus > 0 && own < saturated && wanted >= saturated:
		add(true, resource, "the edges' processor time", "timeline.edge_cpu_ns and edge_waited_ns: used, and waited for while others had it, as a share of the processors that the edges may use", wanted)
	case bound.cpus > 0 && own >= saturated:
		add(true, resource, "the edges' processor time", "edges' processor time while the load stood, as a share of the processors that they may use", own)
	case busy >= saturated && edgeCPU >= agentCPU:
		add(true, resource, "the edges' processor time", "edges.cpu_ns, as a share of the machine with the agents'", busy)
	case busy >= saturated:
		add(true, resource, "the generator's processor time", "agents.cpu_ns, as a share of the machine with the edges'", busy)
	default:
		idle = true
	}
	add(upstream > 0, queue, "the application behind the edge", "error.log: upstream", float64(upstream))
	// Where strangers' traffic is in the counter it may not be ours at all.
	overflow := queue
	if run.KernelNamespace != "own" {
		overflow = guess
	}
	add(run.Kernel["ListenOverflows"] > 0, overflow, "the accept queue", "kernel.ListenOverflows", float64(run.Kernel["ListenOverflows"]))
	if first, hand := latencyOf(run, "first_byte"), latencyOf(run, "handshake"); idle {
		add(first > 4*max(hand, int64(5*time.Millisecond)), guess, "the application behind the edge", "latency.first_byte p99 beside an idle processor", float64(first))
	}
	slices.SortStableFunc(list, func(a, b Culprit) int { return cmp.Compare(a.rank, b.rank) })
	return slices.CompactFunc(list, func(a, b Culprit) bool { return a.What == b.What && a.Counter == b.Counter })
}

// saturated is the share of processor time from which on none was to be had: the rest went into switching, and into
// seconds in which the load was not quite there.
const saturated = 0.85

// edgeShare is what the edges used of their processors in the seconds in which the load stood, and what they used and
// waited for together, both at most 1; 0 where a run does not say. Who waits for a processor that others have got would
// use it: on a machine of one's own the two are the same.
func edgeShare(held []results.Sample, cpus int) (used, wanted float64) {
	var cpu, waited, time int64
	for _, x := range held {
		cpu, waited, time = cpu+x.EdgeCPUNs, waited+x.EdgeWaitedNs, time+x.EdgeMeasuredNs
	}
	if time == 0 || cpus == 0 {
		return 0, 0
	}
	all := float64(time) * float64(cpus)
	return min(1, float64(cpu)/all), min(1, float64(cpu+waited)/all)
}

// usedUp is the share of these processors' time that was used while the load was there. Ramps count half: their load is
// half there on average.
func usedUp(run *results.Run, used int64, cpus int, unsettled time.Duration) float64 {
	var active time.Duration
	for _, p := range run.Phases {
		active += time.Duration(p.DurationNs)
	}
	active -= min(unsettled/2, active/2)
	return min(1, float64(used)/float64(max(active, 1))/float64(max(cpus, 1)))
}

func latencyOf(run *results.Run, metric string) int64 {
	return run.Latency[metric]["service_time"].P99Ns
}
