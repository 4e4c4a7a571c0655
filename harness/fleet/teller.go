package fleet

import (
	"encoding/json"
	"sync"

	"tlsurge/results"
	"tlsurge/results/hist"
)

// teller encodes an agent's snapshots and sends them, on a goroutine of its own: ten histograms take milliseconds,
// in which the agent's loop would neither send nor read.
type teller struct {
	send func([]byte) error

	mu      sync.Mutex // guards stopped, and the channel against a send after its end
	stopped bool
	next    chan *results.Snapshot
	done    chan struct{}
}

func newTeller(send func([]byte) error) *teller {
	t := &teller{send: send, next: make(chan *results.Snapshot, 1), done: make(chan struct{})}
	go t.run()
	return t
}

func (t *teller) run() {
	defer close(t.done)
	var e hist.Encoder
	for s := range t.next {
		if s.Prepare(&e) != nil {
			continue
		}
		if data, err := json.Marshal(s); err == nil {
			_ = t.send(data) // statistics are cumulative: the next message says it all
		}
	}
}

// tell hands a snapshot over. While an earlier one still waits the new one is left out.
func (t *teller) tell(s *results.Snapshot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	select {
	case t.next <- s:
	default:
	}
}

// stop returns when everything handed over is sent; what is told afterwards is not. It may be called again.
func (t *teller) stop() {
	t.mu.Lock()
	if !t.stopped {
		t.stopped = true
		close(t.next)
	}
	t.mu.Unlock()
	<-t.done
}
