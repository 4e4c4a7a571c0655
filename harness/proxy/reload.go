package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Reload puts a new configuration in force: listeners that it does not have are closed, new ones opened,
// connections go on and get the new servers with their next request or handshake. On an error nothing has
// changed.
func (s *Server) Reload(cfg *Config) error {
	s.mu.Lock()
	have := map[netip.AddrPort]*listener{}
	for _, l := range s.listeners {
		have[l.conf.Load().Address] = l
	}
	s.mu.Unlock()
	if cfg.Stack != s.stack {
		return fmt.Errorf("reload: the stack cannot change from %s to %s", s.stack.Name, cfg.Stack.Name)
	}
	type opened struct {
		n    net.Listener
		conf *Listener
	}
	var fresh []opened
	undo := func(err error) error {
		for _, o := range fresh {
			o.n.Close()
		}
		return err
	}
	for _, conf := range cfg.Listeners {
		if have[conf.Address] != nil {
			continue
		}
		n, err := ListenTCP(conf.Address)
		if err == nil {
			err = setBacklog(n, conf.Backlog)
		}
		if err != nil {
			return undo(err)
		}
		fresh = append(fresh, opened{n, conf})
	}
	old := s.cfg.Load()
	cfg.Name, cfg.Phase, cfg.Reporter, cfg.Faults, cfg.KeyLog = old.Name, old.Phase, old.Reporter, old.Faults, old.KeyLog
	cfg.site.Succeed(old.site)
	if err := s.adopt(cfg); err != nil {
		return undo(err)
	}
	for _, conf := range cfg.Listeners {
		if l := have[conf.Address]; l != nil {
			set := s.makeTLS(l, conf)
			l.tlsNow.Store(set)
			l.conf.Store(conf)
			delete(have, conf.Address)
		}
	}
	for _, l := range have {
		l.net.Close()
		s.mu.Lock()
		s.listeners = slices.DeleteFunc(s.listeners, func(x *listener) bool { return x == l })
		s.mu.Unlock()
	}
	for _, o := range fresh {
		s.add(o.n, o.conf)
		s.mu.Lock()
		l := s.listeners[len(s.listeners)-1]
		s.mu.Unlock()
		s.running.Add(1)
		go s.accept(l)
	}
	s.lot.resize(cfg.places())
	for _, g := range old.site.Groups() {
		g.CloseIdle()
	}
	return nil
}

// ReopenLogs opens the log files anew, after they were moved away.
func (s *Server) ReopenLogs() error { return s.logs.each((*logFile).reopen) }
