package relay

import "tlsurge/faults"

// truncate: the first r.Bytes bytes of the stage pass, then both ends get a FIN. A stage that is not longer
// than that is not hit.
func truncate(r *faults.Rule, b Bytes) Verdict {
	left := int64(r.Bytes) - b.Into
	if b.Stage != r.At || int64(len(b.P)) <= left {
		return Verdict{}
	}
	return Verdict{Strike: true, At: int(left), Forward: int(left), Ending: Close}
}
