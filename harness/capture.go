package harness

import (
	"fmt"
	"net/netip"

	"tlsurge/faults"
	"tlsurge/faults/link"
	"tlsurge/harness/evidence"
	"tlsurge/harness/fleet"
)

// startCapture begins to record the packets of the run, where the scenario asks for it.
func (d *drive) startCapture() (err error) {
	if !d.sc.Run.Capture {
		return nil
	}
	cfg := evidence.Config{Dir: d.o.Dir, Limit: d.sc.Run.CaptureBytes,
		Nets: []netip.Prefix{link.ServerLoopback}}
	if d.sc.Target == nil && d.sc.Fleet.Edges < 10 { // the tenth edge has the balancer's host
		cfg.Except = fleet.BehindAddrs() // they speak HTTP in the clear behind the edges
	}
	for _, f := range d.sc.Faults {
		if f.Rule.Engine == faults.EngineRelay {
			cfg.Relayed = append(cfg.Relayed, faults.SourcePrefix(&f.Rule))
		}
	}
	var targets []netip.AddrPort
	if t := d.sc.Target; t != nil {
		for _, a := range t.Addresses {
			ap := netip.MustParseAddrPort(a) // the scenario was checked
			targets = append(targets, ap)
			cfg.IPv6 = cfg.IPv6 || ap.Addr().Unmap().Is6()
			cfg.Nets = append(cfg.Nets, netip.PrefixFrom(ap.Addr().Unmap(), ap.Addr().Unmap().BitLen()))
		}
	}
	cfg.Places = []evidence.Place{{Clients: true, Servers: true}}
	if d.link != nil {
		cfg.Places = []evidence.Place{{Clients: true, Do: d.link.Clients.Do}, {Servers: true, Do: d.link.Servers.Do}}
	}
	if d.capture, err = evidence.Start(cfg); err == nil {
		d.capture.Serve(targets...)
	}
	return err
}

// keyLogs is where agents and edges write their secrets; empty without a capture.
func (d *drive) keyLogs() string {
	if d.capture == nil {
		return ""
	}
	return evidence.KeyPrefix(d.o.Dir)
}

// endCapture stops recording, and says what a reader should know of it.
func (d *drive) endCapture() {
	if d.capture == nil {
		return
	}
	d.capture.Stop()
	if d.link != nil {
		d.capture.Overran(d.link.Overruns())
	}
	for _, n := range d.capture.Notes() {
		d.collector.Note(n)
	}
}

// writeEvidence explains the packets by what was joined.
func (d *drive) writeEvidence() error {
	if d.capture == nil {
		return nil
	}
	defer d.capture.Close()
	d.progress.Step("writing the evidence")
	sum, err := d.capture.Write(d.collector.Joined())
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	d.progress.Step(fmt.Sprintf("evidence: %d packets at the clients' end, %d at the servers'; %d of %d firings shown by a packet",
		sum.Packets[0], sum.Packets[1], sum.Shown, sum.Firings))
	return nil
}
