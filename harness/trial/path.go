package trial

import (
	"encoding/json"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/relay"
	"tlsurge/faults/stage"
)

// Fault is what happens to the first Attempts attempts of a page load; the zero Fault is none. It says what
// faults.Rule says, as far as it can be played in memory: Playable.
type Fault struct {
	Action   faults.Action
	At       stage.Stage
	Attempts int           // how many attempts it hits; 0 with an Action is 1
	Bytes    int           // truncate: how many pass
	Part     faults.Part   // corrupt
	Duration time.Duration // stall, delay: how long; stall 0 is for ever
}

// String is the scenario's words: "reset at client_hello".
func (f Fault) String() string {
	switch {
	case f.Action == "":
		return "none"
	case f.At == stage.None:
		return string(f.Action)
	}
	return string(f.Action) + " at " + f.At.String()
}

// MarshalJSON writes the fault in the scenario's words; attempts is absent where it hits all.
func (f Fault) MarshalJSON() ([]byte, error) {
	at := ""
	if f.At != stage.None {
		at = f.At.String()
	}
	attempts := max(f.Attempts, 1)
	if attempts >= mostAttempts {
		attempts = 0
	}
	return json.Marshal(struct {
		Action     faults.Action `json:"action"`
		At         string        `json:"at,omitempty"`
		Attempts   int           `json:"attempts,omitempty"`
		Bytes      int           `json:"bytes,omitempty"`
		Part       faults.Part   `json:"part,omitempty"`
		DurationNs time.Duration `json:"duration_ns,omitempty"`
	}{f.Action, at, attempts, f.Bytes, f.Part, f.Duration})
}

// Playable says whether a trial can carry the fault out: what a relay does with bytes, what a filter does to a
// connection for good, and an expired certificate.
func (f Fault) Playable() bool {
	switch f.Action {
	case "":
		return true
	case faults.CertExpired:
		return f.At == stage.None
	case faults.Split, faults.Throttle:
		return false // they change when bytes come, not what comes of them
	}
	r, err := faults.Resolve(f.rule())
	return err == nil && r.At != stage.Idle && (r.Engine == faults.EngineRelay || r.Engine == faults.EngineSockfilter && r.At > stage.SynAck)
}

func (f Fault) rule() faults.Rule {
	return faults.Rule{Name: "fault", Action: f.Action, At: f.At, Bytes: f.Bytes, Part: f.Part, Duration: f.Duration, Probability: 1}
}

// path is the network between the two ends of one attempt. It carries flights, and has relay.Judge, which is
// also what the relay of a run asks, decide what becomes of the bytes of a stage.
type path struct {
	rule     *faults.Rule // resolved; nil: nothing happens
	observer stage.Observer
	way      [2]way
	struck   bool
	hole     bool
	ended    relay.Ending // Pass: not
	delay    time.Duration
	spans    []stage.Span
}

// way is one direction.
type way struct {
	pending []byte
	offset  int64
	into    [stage.Idle + 1]int64
	record  relay.Record
	held    bool // its bytes wait for ever, or are lost for as long as the connection lasts
}

// carry takes what one end sends and gives what reaches the other.
func (p *path) carry(d stage.Direction, sent []byte) []byte {
	if len(sent) == 0 || p.ended != relay.Pass {
		return nil
	}
	w := &p.way[d-1]
	p.spans = p.observer.Observe(d, sent, p.spans[:0])
	if p.rule == nil {
		return sent
	}
	w.pending = append(w.pending, sent...)
	var out []byte
	for _, span := range p.spans {
		if w.held || p.ended != relay.Pass {
			break
		}
		b := w.pending[:span.N]
		if span.Start {
			w.record = relay.Record{At: w.offset, Type: b[0], Fragment: span.Fragment}
		}
		out = p.pass(w, b, span.Stage, d, out)
		w.into[span.Stage] += int64(span.N)
		w.offset += int64(span.N)
		w.pending = w.pending[span.N:]
	}
	return out
}

// pass appends to out what the rule lets through of the bytes of one stage.
func (p *path) pass(w *way, b []byte, at stage.Stage, d stage.Direction, out []byte) []byte {
	if p.rule.Engine == faults.EngineSockfilter {
		return p.filter(w, b, at, d, out)
	}
	v := relay.Judge(p.rule, relay.Bytes{Stage: at, Direction: d, P: b, Offset: w.offset, Into: w.into[at], Struck: p.struck, Record: w.record})
	p.struck = p.struck || v.Strike
	switch v.Hold {
	case 0:
	case relay.Forever:
		w.held = true
		return out
	default:
		p.delay += v.Hold
	}
	if v.Ending != relay.Pass {
		b = b[:v.Forward]
	}
	from := len(out)
	out = append(out, b...)
	if v.Flip != 0 {
		out[from+v.At] ^= v.Flip
	}
	switch v.Ending {
	case relay.Discard:
		p.hole, p.way[0].held, p.way[1].held = true, true, true
	case relay.Close, relay.Reset:
		p.ended = v.Ending
	}
	return out
}

// filter is a filter on the receiver's socket: a lost segment comes again until the filter has had enough. One
// that never has is the end of that direction, its FIN included.
func (p *path) filter(w *way, b []byte, at stage.Stage, d stage.Direction, out []byte) []byte {
	if at != p.rule.At || p.struck {
		return append(out, b...)
	}
	p.struck = true
	if p.rule.Action == faults.Drop && p.rule.Times > 0 {
		p.delay += time.Duration(1<<p.rule.Times-1) * 200 * time.Millisecond // RFC 6298 §5, (5.5): the timer doubles
		return append(out, b...)
	}
	w.held = true
	if p.rule.Action == faults.Blackhole {
		p.hole = true
	}
	return out
}

// closes says whether a close of the server reaches the client: not behind bytes that never come.
func (p *path) closes() bool { return !p.hole && !p.way[stage.ServerToClient-1].held }
