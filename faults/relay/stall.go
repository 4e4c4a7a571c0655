package relay

import "tlsurge/faults"

// stall: the stage's bytes and all behind them in that direction wait for the rule's duration, or for ever.
func stall(r *faults.Rule, b Bytes) Verdict {
	if b.Stage != r.At || b.Struck {
		return Verdict{}
	}
	if r.Duration == 0 {
		return Verdict{Strike: true, Hold: Forever}
	}
	return Verdict{Strike: true, Hold: r.Duration}
}
