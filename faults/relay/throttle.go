package relay

import "tlsurge/faults"

// throttle: from this stage on its direction carries r.Rate bytes per second.
func throttle(r *faults.Rule, b Bytes) Verdict {
	if b.Stage != r.At && !(b.Struck && b.Direction == r.Direction) {
		return Verdict{}
	}
	return Verdict{Strike: !b.Struck, Rate: r.Rate}
}
