package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/cluster"
	"tlsurge/harness/proxy"
	"tlsurge/results"
)

// realOrder is what the keeper of a real server in an edge's place is told.
type realOrder struct {
	Phase   string
	Binary  string
	Addr    netip.AddrPort
	Options proxy.Options
	CPUs    int // as edgeOrder's
}

// runRealEdge is the body of an edge that is a real server: start writes its configuration and runs it; the rest
// keeps the server and speaks for it in the cluster.
func runRealEdge(c *child, start func(*realEdge) error) error {
	order, err := decodeOrder[realOrder](c)
	if err != nil {
		return err
	}
	if err := useCPUs(order.CPUs); err != nil {
		return err
	}
	if err := c.join(RoleEdge); err != nil {
		return err
	}
	e := &realEdge{keeper: keeper{child: c, addr: order.Addr}, order: order, log: &logCounter{path: order.Options.ErrorLog},
		report: &reporter{member: c.member}}
	e.log.about = e.event
	if err := start(e); err != nil {
		return errors.Join(err, c.leave())
	}
	cluster.On(c.member, "phase", e.phase)
	cluster.On(c.member, "begin", func(context.Context, cluster.StartAt) (none, error) { return none{}, nil })
	if err := c.member.Announce(c.ctx); err != nil {
		return err
	}
	fmt.Println("ready", order.Addr)
	return errors.Join(e.watch(e.send), c.leave())
}

// realEdge is a real server in an edge's place: what can be seen of it from outside.
type realEdge struct {
	keeper
	order  realOrder
	log    *logCounter
	report *reporter

	mu   sync.Mutex // statistics are sent each second and at the end of a phase
	seq  uint64
	high results.EdgeStats // the highest of each gauge
}

// send sends what can be seen of the server from outside: its log, its sockets, its processes.
func (e *realEdge) send(last bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seq++
	s := results.EdgeStats{Phase: e.order.Phase, Name: e.name, Address: e.addr.String(), Stack: filepath.Base(e.order.Binary), Seq: e.seq}
	s.LogLines = e.log.count()
	e.report.flush()
	if c, err := countSockets(tcpEstablished, e.addr); err == nil {
		s.Established = int64(c)
	}
	if c, err := countSockets(tcpTimeWait, e.addr); err == nil {
		s.TimeWait = int64(c)
	}
	s.RSSBytes, s.RSSPeakBytes, s.CPU = usage(e.cmd.Process.Pid)
	s.PeakEstablished = max(e.high.PeakEstablished, s.Established)
	s.PeakTimeWait = max(e.high.PeakTimeWait, s.TimeWait)
	s.RSSPeakBytes = max(e.high.RSSPeakBytes, s.RSSPeakBytes)
	s.CPU = max(e.high.CPU, s.CPU)
	e.high = s
	if last {
		e.member.Evidence(kindEdge, s)
	} else if data, err := json.Marshal(s); err == nil {
		e.member.Stats(data)
	}
}

// event is a line about a client, for the join with what the client saw; mu is held.
func (e *realEdge) event(at time.Time, client netip.AddrPort, l results.LogLine) {
	e.report.ServerEvent(results.ServerEvent{Phase: e.order.Phase, Edge: e.name, Time: at, Level: l.Level, Code: l.Code, Reason: l.Reason,
		Tuple: faults.Tuple{Client: client, Server: e.addr}})
}

// phase ends the counts of one phase and begins another's.
func (e *realEdge) phase(_ context.Context, in phaseOrder) (none, error) {
	e.send(true)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.order.Phase, e.seq, e.high = in.Phase, 0, results.EdgeStats{}
	e.log.reset()
	return none{}, nil
}
