package browser

import (
	"time"

	"tlsurge/harness/engine"
	"tlsurge/profiles"
	"tlsurge/profiles/wire"
)

// sessionStore is one browser's sessions for the one host it visits.
type sessionStore struct{ held []held }

// held is a session with what decides whether it may be offered.
type held struct {
	session *engine.Session
	key     string // profiles.Plan.SessionKey of the attempt that made it
	edge    uint8  // who issued it
}

// maxHeld bounds the store: a server that gives many tickets fills it with the newest.
const maxHeld = 4

// put stores a session. One that is not a single-use PSK replaces what the same key holds.
func (s *sessionStore) put(h held, m *profiles.SessionManners) {
	if !accepts(m, h.session) {
		return
	}
	single := m.Single && h.session.Version >= wire.TLS13
	if !single {
		for i := range s.held {
			if s.held[i].key == h.key {
				s.held[i] = h
				return
			}
		}
	}
	if len(s.held) == maxHeld {
		s.held = append(s.held[:0], s.held[1:]...)
	}
	s.held = append(s.held, h)
}

// accepts says whether the browser resumes by this kind of session at all.
func accepts(m *profiles.SessionManners, s *engine.Session) bool {
	switch {
	case s.Version >= wire.TLS13:
		return m.PSK
	case len(s.Ticket) > 0:
		return m.Ticket
	}
	return m.ID && len(s.ID) > 0
}

// get gives the session that an attempt made by plan offers at a time, nil if none. A single-use session
// is taken out, unless it is to be offered for ever (ResumeOnly: its connections close before a new one comes).
func (s *sessionStore) get(plan *profiles.Plan, p *profiles.Profile, now time.Time, forever bool) *held {
	m := &p.Manners().Sessions
	for i := len(s.held) - 1; i >= 0; i-- {
		h := s.held[i]
		life := m.Lifetime
		if h.session.Lifetime > 0 && (life == 0 || h.session.Lifetime < life) {
			life = h.session.Lifetime
		}
		switch {
		case h.key != plan.SessionKey, !p.MayOffer(*plan, h.session.Version, h.session.Suite):
			continue
		case life > 0 && now.Sub(h.session.Created) >= life:
			s.held = append(s.held[:i], s.held[i+1:]...)
			continue
		}
		if m.Single && h.session.Version >= wire.TLS13 && !forever {
			s.held = append(s.held[:i], s.held[i+1:]...)
		}
		return &h
	}
	return nil
}

// drop forgets a session.
func (s *sessionStore) drop(session *engine.Session) {
	for i := range s.held {
		if s.held[i].session == session {
			s.held = append(s.held[:i], s.held[i+1:]...)
			return
		}
	}
}

// asked is the way in which a session resumes.
func asked(s *engine.Session) engine.Resumption {
	switch {
	case s.Version >= wire.TLS13:
		return engine.ByPSK
	case len(s.Ticket) > 0:
		return engine.ByTicket
	}
	return engine.ByID
}
