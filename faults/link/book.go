package link

import (
	"net/netip"
	"sync"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

// book gathers what the forwarders of both directions do to a connection into one entry of the ledger,
// written when the connection has ended, when the rules change, or when the link closes.
type book struct {
	ledger func(faults.Firing)

	mu   sync.Mutex
	open map[netip.AddrPort]*entry // by client
}

type entry struct {
	faults.Firing
	ended time.Time // when the last FIN or RST passed; zero while none has
}

// settling is how long an entry stays open after a FIN or RST: the last acknowledgements can be hit too.
const settling = time.Second

// hit notes that a rule has struck a packet; dropped says that TCP will never see it.
func (b *book) hit(r *faults.Rule, t faults.Tuple, d stage.Direction, now time.Time, dropped bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.open[t.Client]
	if e == nil {
		e = &entry{Firing: faults.Firing{Rule: r.Name, Engine: string(faults.EngineLink), Action: string(r.Action), Stage: r.At.String(),
			Direction: d.String(), Tuple: t, Time: now, Offset: -1}}
		b.open[t.Client] = e
	}
	if e.Direction != d.String() {
		e.Direction = "" // both
	}
	if dropped {
		e.Packets++
	}
}

// ended notes that a connection is about to end.
func (b *book) ended(client netip.AddrPort, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.open[client]; e != nil { // a FIN that was lost comes again
		e.ended = now
	}
}

// write puts the entries of connections that have ended into the ledger, or all of them.
func (b *book) write(now time.Time, all bool) {
	b.mu.Lock()
	var done []faults.Firing
	for client, e := range b.open {
		if all || !e.ended.IsZero() && now.Sub(e.ended) >= settling {
			done = append(done, e.Firing)
			delete(b.open, client)
		}
	}
	b.mu.Unlock()
	if b.ledger == nil {
		return
	}
	for _, f := range done {
		b.ledger(f)
	}
}
