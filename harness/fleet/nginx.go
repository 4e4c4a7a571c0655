package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/cluster"
	"tlsurge/harness/proxy"
	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/site"
	"tlsurge/results"
)

// nginxOrder is what the keeper of a real nginx is told.
type nginxOrder struct {
	Phase   string
	Binary  string
	Addr    netip.AddrPort
	Options proxy.Options
}

// runNginx is the body of an edge that is a real nginx: it writes the configuration, keeps the server, and
// speaks for it in the cluster.
func runNginx(c *child) error {
	order, err := decodeOrder[nginxOrder](c)
	if err != nil {
		return err
	}
	conf, err := nginxConfig(order)
	if err != nil {
		return &configError{err}
	}
	if err := c.join(RoleEdge); err != nil {
		return err
	}
	dir := order.Options.Dir
	n := &nginx{keeper: keeper{child: c, addr: order.Addr}, order: order, log: &logCounter{path: order.Options.ErrorLog}, report: &reporter{member: c.member}}
	n.log.about = n.event
	if err := n.run(order.Binary, "-p", dir, "-c", conf, "-g", "daemon off;", "-e", order.Options.ErrorLog); err != nil {
		return errors.Join(err, c.leave())
	}
	cluster.On(c.member, "phase", n.phase)
	cluster.On(c.member, "begin", func(context.Context, cluster.StartAt) (none, error) { return none{}, nil })
	if err := c.member.Announce(c.ctx); err != nil {
		return err
	}
	fmt.Println("ready", order.Addr)
	return errors.Join(n.watch(n.send), c.leave())
}

// nginx is a real nginx in an edge's place.
type nginx struct {
	keeper
	order  nginxOrder
	log    *logCounter
	report *reporter

	mu   sync.Mutex // statistics are sent each second and at the end of a phase
	seq  uint64
	high results.EdgeStats // the highest of each gauge
}

// send sends what can be seen of the server from outside: its log, its sockets, its processes.
func (n *nginx) send(last bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seq++
	s := results.EdgeStats{Phase: n.order.Phase, Name: n.name, Address: n.addr.String(), Stack: filepath.Base(n.order.Binary), Seq: n.seq}
	s.LogLines = n.log.count()
	n.report.flush()
	if c, err := countSockets(tcpEstablished, n.addr); err == nil {
		s.Established = int64(c)
	}
	if c, err := countSockets(tcpTimeWait, n.addr); err == nil {
		s.TimeWait = int64(c)
	}
	s.RSSBytes, s.RSSPeakBytes, s.CPU = usage(n.cmd.Process.Pid)
	s.PeakEstablished = max(n.high.PeakEstablished, s.Established)
	s.PeakTimeWait = max(n.high.PeakTimeWait, s.TimeWait)
	s.RSSPeakBytes = max(n.high.RSSPeakBytes, s.RSSPeakBytes)
	s.CPU = max(n.high.CPU, s.CPU)
	n.high = s
	if last {
		n.member.Evidence(kindEdge, s)
	} else if data, err := json.Marshal(s); err == nil {
		n.member.Stats(data)
	}
}

// event is a line about a client, for the join with what the client saw; mu is held.
func (n *nginx) event(at time.Time, client netip.Addr, l results.LogLine) {
	n.report.ServerEvent(results.ServerEvent{Phase: n.order.Phase, Edge: n.name, Time: at, Level: l.Level, Code: l.Code, Reason: l.Reason,
		Tuple: faults.Tuple{Client: netip.AddrPortFrom(client, 0), Server: n.addr}})
}

// phase ends the counts of one phase and begins another's.
func (n *nginx) phase(_ context.Context, in phaseOrder) (none, error) {
	n.send(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.order.Phase, n.seq, n.high = in.Phase, 0, results.EdgeStats{}
	n.log.reset()
	return none{}, nil
}

// placeBuiltins writes the files that are built into the bundled edge, and that the configuration names, where a
// real nginx finds them.
func placeBuiltins(tree []*nginxconf.Directive, dir string) (err error) {
	eachDirective(tree, func(d *nginxconf.Directive) {
		if d.Name != "ssl_dhparam" || err != nil || !strings.HasPrefix(d.Args[0], proxy.BuiltinPrefix) {
			return
		}
		var text []byte
		if text, err = proxy.BuiltinFile(d.Args[0]); err == nil {
			d.Args[0] = filepath.Join(dir, strings.TrimPrefix(d.Args[0], proxy.BuiltinPrefix))
			err = os.WriteFile(d.Args[0], text, 0o600)
		}
	})
	return err
}

// nginxConfig writes the configuration for a real nginx and returns its path.
func nginxConfig(order nginxOrder) (path string, err error) {
	dir := order.Options.Dir
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o700); err != nil {
		return "", err
	}
	o := order.Options
	o.Root = filepath.Join(dir, "html")
	if err := site.WriteBuiltin(o.Root); err != nil {
		return "", err
	}
	tree, err := proxy.Effective(o)
	if err != nil {
		return "", err
	}
	if err := placeBuiltins(tree, dir); err != nil {
		return "", err
	}
	text := adaptNginx(tree, dir, os.Geteuid() == 0, ReadLimits().Files)
	path = filepath.Join(dir, "nginx.conf")
	return path, os.WriteFile(path, text, 0o600)
}
