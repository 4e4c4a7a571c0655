package proxy

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// StartError is why a configuration that could be read cannot be served: a log that cannot be opened, an address that is
// not one to listen on.
type StartError struct{ error }

func (e *StartError) Unwrap() error { return e.error }

// RunStandalone serves cfg alone, without a cluster: it prints one line `ready IP:PORT` for each listener on
// stdout and serves until ctx ends, SIGTERM or SIGQUIT. reload reads the configuration anew on SIGHUP (nil:
// SIGHUP is left alone); if that fails the old one stays in force. SIGUSR1 opens the logs anew.
func RunStandalone(ctx context.Context, cfg *Config, stdout io.Writer, reload func() (*Config, error)) error {
	s, err := New(cfg)
	if err != nil {
		return err
	}
	listeners, err := s.Listen()
	if err != nil {
		return &StartError{err}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if cfg.Metrics != "" {
		wait, err := s.serveMetrics(ctx, cfg.Metrics)
		if err != nil {
			return &StartError{fmt.Errorf("metrics: %w", err)}
		}
		defer func() { cancel(); wait() }()
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGQUIT)
	defer signal.Stop(signals)
	for _, l := range listeners {
		fmt.Fprintf(stdout, "ready %s\n", l.Addr())
	}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case sig := <-signals:
				switch sig {
				case syscall.SIGHUP:
					s.hangup(reload)
				case syscall.SIGUSR1:
					s.ReopenLogs()
				default:
					cancel()
					return
				}
			}
		}
	}()
	return s.Serve(ctx, listeners)
}

// hangup reloads, and says in the log how it went.
func (s *Server) hangup(reload func() (*Config, error)) {
	if reload == nil {
		return
	}
	cfg, err := reload()
	if err == nil {
		err = s.Reload(cfg)
	}
	if err != nil {
		s.errorLine(s.cfg.Load().ErrorLog, "emerg", 0, err.Error())
		return
	}
	s.errorLine(s.cfg.Load().ErrorLog, "notice", 0, "signal 1 (SIGHUP) received, reconfigured")
}
