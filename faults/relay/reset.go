package relay

import "tlsurge/faults"

// reset: both ends get a RST instead of the stage's bytes.
func reset(r *faults.Rule, b Bytes) Verdict {
	if b.Stage != r.At {
		return Verdict{}
	}
	return Verdict{Strike: true, Ending: Reset}
}
