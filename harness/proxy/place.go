package proxy

import (
	"fmt"

	"tlsurge/faults"
	"tlsurge/harness/proxy/site"
)

// place takes a place in the connection table for c.
func (s *Server) place(c *conn) bool {
	limit, rule := s.tableLimit()
	if rule != nil {
		s.count.couldHit(rule.Name)
	}
	closed, ok := s.lot.take(limit, s.reserve())
	s.drained(closed, rule)
	if ok {
		return true
	}
	const text = "worker_connections are not enough"
	c.log("alert", "", text, fmt.Sprintf("%d %s", s.cfg.Load().WorkerConnections, text))
	if rule != nil {
		s.fire(rule, c)
	}
	return false
}

// reserve is the free places below which nginx 1.19.2 and later close reusable connections early.
func (s *Server) reserve() int {
	_, _, capacity := s.lot.occupancy()
	return int(float64(capacity) * s.stack.Nginx.DrainAt)
}

// drained closes the connections whose places were wanted.
func (s *Server) drained(closed []*conn, rule *faults.Rule) {
	if len(closed) == 0 {
		return
	}
	if !s.stack.Nginx.DrainQuietly {
		s.errorLine(s.cfg.Load().ErrorLog, "warn", 0, fmt.Sprintf("%d worker_connections are not enough, reusing connections", s.cfg.Load().WorkerConnections))
		s.count.line("warn", "", "worker_connections are not enough, reusing connections")
	}
	for _, c := range closed {
		if rule != nil {
			s.fire(rule, c)
		}
		c.closeParked(closeReuse)
	}
}

// takeUpstream is the place of an upstream connection: it counts like a client's, and where a rule leaves none
// the client whose request it was is hit.
func (s *Server) takeUpstream(r *site.Request) (release func(), ok bool) {
	limit, rule := s.tableLimit()
	closed, ok := s.lot.take(limit, s.reserve())
	s.drained(closed, rule)
	if !ok {
		if rule != nil {
			s.fireAt(rule, faults.Tuple{Client: r.Conn.Peer, Server: r.Conn.Local})
		}
		return nil, false
	}
	return s.lot.release, true
}
