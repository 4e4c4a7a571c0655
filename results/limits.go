package results

import "time"

// Limits are the figures beyond which a run's own numbers are doubted. docs/RUN_JSON.md lists them.
type Limits struct {
	// LagSuspect and LagInvalid are bounds on the 99th percentile of the schedule lag: how late the
	// generator began what the schedule asked for. Response times contain it, so a small lag only
	// blurs them; a large one means that the load was not the one asked for.
	LagSuspect, LagInvalid time.Duration
	// AgentCPU is the share of one core, over the run, from which an agent (one loop, so one core) may
	// have measured itself.
	AgentCPU float64
	// GCPause is the longest stop of an agent's collector that latencies may contain.
	GCPause time.Duration
	// Retransmits is the share of attempts with retransmissions that no fault explains.
	Retransmits float64
	// ResumptionMisses is the share of sessions offered to the very edge that issued them and not
	// resumed there.
	ResumptionMisses float64
}

// DefaultLimits are what a zero field stands for: what a reader of latencies in milliseconds would
// not want to be left unaware of.
func DefaultLimits() Limits {
	return Limits{
		LagSuspect: 100 * time.Millisecond, LagInvalid: 2 * time.Second,
		AgentCPU: 0.9, GCPause: 50 * time.Millisecond, Retransmits: 0.001, ResumptionMisses: 0.01,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	if l.LagSuspect == 0 {
		l.LagSuspect = d.LagSuspect
	}
	if l.LagInvalid == 0 {
		l.LagInvalid = d.LagInvalid
	}
	if l.AgentCPU == 0 {
		l.AgentCPU = d.AgentCPU
	}
	if l.GCPause == 0 {
		l.GCPause = d.GCPause
	}
	if l.Retransmits == 0 {
		l.Retransmits = d.Retransmits
	}
	if l.ResumptionMisses == 0 {
		l.ResumptionMisses = d.ResumptionMisses
	}
	return l
}
