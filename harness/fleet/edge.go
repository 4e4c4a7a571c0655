package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/cluster"
	"tlsurge/harness/proxy"
	"tlsurge/results"
)

// runEdge is the body of an edge.
func runEdge(c *child) error {
	order, err := decodeOrder[edgeOrder](c)
	if err != nil {
		return err
	}
	if err := useCPUs(order.CPUs); err != nil {
		return err
	}
	cfg, err := proxy.Load(order.Options)
	if err != nil {
		return &configError{err}
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(os.Stderr, w)
	}
	if err := c.join(RoleEdge); err != nil {
		return err
	}
	report := &reporter{member: c.member}
	cfg.Name, cfg.Phase, cfg.Faults, cfg.Reporter = c.name, order.Phase, order.Rules, report
	if order.KeyLog != "" {
		keys, err := openKeyLog(order.KeyLog)
		if err != nil {
			return errors.Join(err, c.leave())
		}
		defer keys.Close()
		cfg.KeyLog = keys.log
	}
	if cfg.Plant, err = proxy.ParsePlant(os.Getenv(proxy.PlantVariable)); err != nil {
		return errors.Join(&configError{err}, c.leave())
	}
	srv, err := proxy.New(cfg)
	if err != nil {
		return errors.Join(&configError{err}, c.leave())
	}
	listeners, err := srv.Listen()
	if err != nil {
		return errors.Join(&configError{err}, c.leave())
	}
	e := &edge{child: c, srv: srv, plateau: newPlateau(), report: report, local: netip.MustParseAddrPort(listeners[0].Addr().String())}
	cluster.On(c.member, "phase", e.phase)
	cluster.On(c.member, "begin", e.begin)
	cluster.On(c.member, "release", e.release)
	if err := c.member.Announce(c.ctx); err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(c.ctx, listeners) }()
	fmt.Println("ready", e.local)
	return errors.Join(e.reportUntil(served), c.leave())
}

// edge is an edge with its place in the cluster.
type edge struct {
	*child
	srv    *proxy.Server
	report *reporter
	local  netip.AddrPort

	mu           sync.Mutex // statistics are sent each second and at the end of a phase
	peakTimeWait int64
	plateau      *plateau
}

// reportUntil sends what there is each second until the server has ended.
func (e *edge) reportUntil(served <-chan error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.send(false)
		case err := <-served:
			e.send(true)
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
	}
}

// send sends the counters, as evidence where they are the last of a phase, and the evidence.
func (e *edge) send(final bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.srv.Stats()
	if n, err := countSockets(tcpTimeWait, e.local); err == nil {
		s.TimeWait = int64(n)
		e.peakTimeWait = max(e.peakTimeWait, s.TimeWait)
	}
	s.PeakTimeWait = e.peakTimeWait
	// ru_maxrss begins with what the coordinator held when it forked; the memory map's own mark does not.
	s.RSSBytes, s.RSSPeakBytes = memory()
	s.RSSPerIdleConnectionBytes = e.plateau.see(s.Established)
	if final {
		e.member.Evidence(kindEdge, s)
	} else if data, err := json.Marshal(s); err == nil {
		e.member.Stats(data)
	}
	e.report.flush()
}

// phase ends the evidence of one phase and begins another's.
func (e *edge) phase(_ context.Context, in phaseOrder) (none, error) {
	e.send(true)
	e.mu.Lock()
	e.peakTimeWait = 0
	e.mu.Unlock()
	return none{}, e.srv.SetFaults(in.Phase, in.Rules)
}

// begin sets the instant that the rules' times count from.
func (e *edge) begin(_ context.Context, in cluster.StartAt) (none, error) {
	e.srv.Begin(e.member.Clock.Local(in.At))
	return none{}, nil
}

// release lets a source through that a filter on the listener has held back.
func (e *edge) release(_ context.Context, source netip.Addr) (none, error) {
	return none{}, e.srv.Release(source)
}

// reporter gathers an edge's evidence until the next flush. Many goroutines call it.
type reporter struct {
	member *cluster.Member

	mu  sync.Mutex
	now results.Evidence
	seq uint64
}

func (r *reporter) ServerEvent(ev results.ServerEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.ServerEvents = append(r.now.ServerEvents, ev)
}

func (r *reporter) Firing(f faults.Firing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.Firings = append(r.now.Firings, f)
}

// flush gives what was gathered to the member, which delivers it.
func (r *reporter) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for chunk := range chunks(r.now) {
		r.seq++
		chunk.Source, chunk.Seq = r.member.ID()+"/"+r.member.Incarnation(), r.seq
		r.member.Evidence(kindEvidence, chunk)
	}
	r.now = results.Evidence{}
}
