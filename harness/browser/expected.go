package browser

import (
	"iter"
	"time"

	"tlsurge/faults"
	"tlsurge/profiles"
	"tlsurge/results"
)

// expected are the first attempts of all connections that the phase is expected to make, over all agents and in
// an order that the seed alone decides: what a rule's limit is counted along. It is a forecast: a user who is
// shown an error opens no further connections, and how often a connection has to be opened again is known
// to nobody.
func (a *Agent) expected() iter.Seq[faults.Subject] {
	switch a.cfg.Load.Model {
	case HandshakeOnly:
		return a.expectedArrivals(func(n uint32) (who, uint32) { return a.people.transient(n), 0 })
	case ResumeOnly:
		places := uint32(len(a.people.places))
		return a.expectedArrivals(func(n uint32) (who, uint32) { return a.people.first(n % places), n / places })
	}
	return a.expectedBrowsers()
}

// expectedBrowsers goes from place to place: all first browsers, then all that follow them, and so on.
func (a *Agent) expectedBrowsers() iter.Seq[faults.Subject] {
	return func(yield func(faults.Subject) bool) {
		present := make([]who, len(a.people.places))
		for i := range present {
			present[i] = a.people.first(uint32(i))
		}
		for more := true; more; {
			more = false
			for i, w := range present {
				if w.born >= a.cfg.Load.Duration {
					continue
				}
				for c := range w.slots {
					if !yield(a.expectedAttempt(w, uint32(c), w.born)) {
						return
					}
				}
				if !a.people.last(w) {
					present[i], more = a.people.next(w), true
				} else {
					present[i].born = forever
				}
			}
		}
	}
}

// expectedArrivals goes along the schedule of a model that only connects.
func (a *Agent) expectedArrivals(arrival func(n uint32) (w who, connection uint32)) iter.Seq[faults.Subject] {
	return func(yield func(faults.Subject) bool) {
		s := a.wholeSchedule()
		if s == nil || len(a.people.places) == 0 {
			return
		}
		for n := uint32(0); ; n++ {
			at, ok := s.Next()
			if !ok {
				return
			}
			w, connection := arrival(n)
			if !yield(a.expectedAttempt(w, connection, at)) {
				return
			}
		}
	}
}

func (a *Agent) expectedAttempt(w who, connection uint32, at time.Duration) faults.Subject {
	e := &a.cfg.Edges[a.people.resolve(w, connection)]
	s := faults.Subject{Key: faults.Key{Phase: a.cfg.Phase, Browser: w.index, Connection: connection, Attempt: 1},
		Profile: a.hosts[w.visitor].profile.Name, Edge: e.Name, Address: e.Addr.String(), Kind: profiles.KindFirst, At: at}
	if w.returning || a.cfg.Load.Model == ResumeOnly {
		s.Kind = results.KindResumed
	}
	return s
}
