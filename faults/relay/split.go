package relay

import "tlsurge/faults"

// split: the stage's bytes travel in segments of r.Bytes bytes.
func split(r *faults.Rule, b Bytes) Verdict {
	if b.Stage != r.At {
		return Verdict{}
	}
	return Verdict{Strike: !b.Struck, Segment: r.Bytes}
}
