package relay

import "tlsurge/faults"

// fin: both ends get a FIN instead of the stage's bytes.
func fin(r *faults.Rule, b Bytes) Verdict {
	if b.Stage != r.At {
		return Verdict{}
	}
	return Verdict{Strike: true, Ending: Close}
}
