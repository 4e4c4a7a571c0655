package relay

import (
	"time"

	"tlsurge/faults"
)

// delay: the stage's bytes, and what is behind them, arrive r.Duration later, give or take r.Jitter.
func delay(r *faults.Rule, b Bytes) Verdict {
	if b.Stage != r.At || b.Struck {
		return Verdict{}
	}
	spread := time.Duration((2*b.Unit - 1) * float64(r.Jitter))
	return Verdict{Strike: true, Hold: r.Duration + spread}
}
