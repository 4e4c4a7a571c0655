package relay

import "tlsurge/faults"

// blackhole: from this stage on nothing passes in either direction; the relay's kernel acknowledges it.
func blackhole(r *faults.Rule, b Bytes) Verdict {
	if b.Stage != r.At && !b.Struck {
		return Verdict{}
	}
	return Verdict{Strike: !b.Struck, Ending: Discard}
}
