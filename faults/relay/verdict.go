package relay

import (
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// Bytes is what a fault decides about: a run of bytes of one direction that belong to one stage, before
// any of them is forwarded. At idle there are none.
type Bytes struct {
	Stage     stage.Stage
	Direction stage.Direction
	P         []byte
	Offset    int64 // of P[0] in the stream of its direction
	Into      int64 // bytes of this stage and direction that came before P
	Struck    bool  // the rule has struck this connection before
	Record    Record
	Unit      float64 // the connection's own draw, 0 to 1, the same for the same seed
}

// Record is the TLS record that P[0] lies in.
type Record struct {
	At       int64 // stream offset of its header
	Type     byte
	Fragment int // bytes behind the header
}

// Verdict is what the relay shall do with the bytes. The zero value forwards them.
type Verdict struct {
	// Strike: this is the rule's firing, for the ledger; it begins at P[At].
	Strike bool
	At     int

	Hold    time.Duration // before anything of P is forwarded; Forever for no end
	Forward int           // how many bytes of P pass if Ending is not Pass
	Ending  Ending
	Segment int   // forward in segments of so many bytes
	Rate    int64 // forward at so many bytes per second
	Flip    byte  // bits to flip in P[At]
}

// Ending is what becomes of the bytes of a verdict that are not forwarded.
type Ending uint8

const (
	Pass    Ending = iota // all of P is forwarded
	Discard               // the rest is read and thrown away, and so is the end of either stream
	Close                 // FIN to both ends
	Reset                 // RST to both ends
)

// Forever is a Hold without end.
const Forever = time.Duration(1<<63 - 1)

// Decide is a fault: a pure function of the rule and the bytes.
type Decide func(r *faults.Rule, b Bytes) Verdict

// Judge is the fault of the rule's action; the zero Verdict for an action that a relay has not.
func Judge(r *faults.Rule, b Bytes) Verdict {
	if decide := deciders[r.Action]; decide != nil {
		return decide(r, b)
	}
	return Verdict{}
}

// deciders is every fault that a relay can do, one file each.
var deciders = map[faults.Action]Decide{
	faults.Reset:     reset,
	faults.FIN:       fin,
	faults.Stall:     stall,
	faults.Blackhole: blackhole,
	faults.Truncate:  truncate,
	faults.Split:     split,
	faults.Delay:     delay,
	faults.Corrupt:   corrupt,
	faults.Throttle:  throttle,
}
