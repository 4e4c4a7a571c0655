package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/browser"
	"tlsurge/harness/engine"
	"tlsurge/harness/fleet"
	"tlsurge/harness/pace"
	"tlsurge/harness/scenario"
	"tlsurge/results"
)

// edges gives the addresses of the act: those of a target, of the fleet that the act before kept, or of
// a fresh fleet.
func (d *drive) edges(ctx context.Context, p *scenario.Phase) ([]fleet.Edge, error) {
	if t := d.sc.Target; t != nil {
		if err := d.reachable(ctx, t); err != nil {
			return nil, err
		}
		var list []fleet.Edge
		for i, a := range t.Addresses {
			list = append(list, fleet.Edge{Name: fmt.Sprintf("target-%d", i+1), Addr: netip.MustParseAddrPort(a)})
		}
		return list, nil
	}
	if d.fleet != nil {
		if err := d.fleet.NextPhase(ctx, p.Name, p.Rules); err != nil {
			return nil, err
		}
		return d.fleet.Edges(), nil
	}
	f := d.sc.Fleet
	begin, inside := d.serverSide()
	fl, err := fleet.Start(ctx, fleet.Config{
		Begin: begin, Inside: inside,
		Dir: d.o.Dir, Hub: d.hub, PKI: d.pki, Phase: p.Name, Seed: d.sc.Seed, Rules: p.Rules,
		Expired: f.Certificate.Expired, Incomplete: f.Certificate.Incomplete, Sites: f.Sites,
		Edges: f.Edges, IPv6: d.onIPv6(), Edge: f.Edge, Stack: d.stack(p), Source: f.Config, Set: d.overrides(p), Port: f.Port,
		Balancer: f.Balancer, CPUs: f.CPUs, Application: fleet.Application{Workers: f.Workers, Think: time.Duration(f.Think)}, Notice: d.childExit, Ledger: d.firing, KeyLog: d.keyLogs(),
	})
	if err != nil {
		return nil, err
	}
	if d.capture != nil {
		for _, e := range fl.Edges() {
			d.capture.Serve(e.Addr)
		}
	}
	d.fleet = fl
	return fl.Edges(), nil
}

// reachable asks, before any load, whether somebody listens at one of the target's addresses at least. Agents
// elsewhere may see what this machine does not: then nobody asks.
func (d *drive) reachable(ctx context.Context, t *scenario.Target) error {
	if d.sc.Run.RemoteAgents > 0 || d.sc.Run.NATS != "" {
		return nil
	}
	var refused []string
	for _, a := range t.Addresses {
		c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", a)
		if err == nil {
			return c.Close()
		}
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		refused = append(refused, fmt.Sprintf("%s: %v", a, err))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &ConfigError{Text: fmt.Sprintf("target.addresses: nobody answers, is the server up? %s", strings.Join(refused, "; "))}
}

// onIPv6 says whether agents and edges meet over IPv6.
func (d *drive) onIPv6() bool { return d.sc.Target == nil && d.sc.Fleet.Family == "ipv6" }

// firing takes the ledger entries of rules that the fleet carries out itself.
func (d *drive) firing(f faults.Firing) { _, _ = d.collector.Firings("fleet", 0, []faults.Firing{f}) }

func (d *drive) stack(p *scenario.Phase) string {
	if p.Fleet.Stack != "" {
		return p.Fleet.Stack
	}
	return d.sc.Fleet.Stack
}

// overrides are the scenario's directive settings with the act's own on top.
func (d *drive) overrides(p *scenario.Phase) map[string]string {
	set := maps.Clone(d.sc.Fleet.Set)
	if set == nil {
		set = map[string]string{}
	}
	if d.sc.Fleet.TicketKeys == "shared" {
		set["ssl_session_ticket_key"] = d.pki.TicketFile
	}
	maps.Copy(set, p.Fleet.Set)
	return set
}

// pkiConfig is the certificates that the fleet needs.
func pkiConfig(f *scenario.Fleet, o Options) fleet.PKIConfig {
	cfg := fleet.PKIConfig{Dir: filepath.Join(o.Dir, "pki"), Names: certified(f), Key: fleet.KeyType(f.Key), Now: o.Started,
		Intermediate: f.Certificate.Intermediate}
	for _, name := range f.Sites {
		if name != f.ServerName {
			cfg.Sites = append(cfg.Sites, name)
		}
	}
	return cfg
}

// certified are the names that the fleet's certificate is good for.
func certified(f *scenario.Fleet) []string {
	if len(f.Certificate.Names) > 0 {
		return f.Certificate.Names
	}
	return []string{f.ServerName}
}

// certificateNotes are what the scenario has wrong or out of the ordinary about certificates: a reader of the report
// looks here for the cause of a refusal.
func certificateNotes(f *scenario.Fleet) (notes []string) {
	if c := &f.Certificate; len(c.Expired) > 0 {
		notes = append(notes, fmt.Sprintf("the scenario gives %s a certificate that ran out a day ago", edgesNamed(c.Expired)))
	}
	if c := &f.Certificate; len(c.Incomplete) > 0 {
		notes = append(notes, fmt.Sprintf("the scenario has %s forget the intermediate certificate", edgesNamed(c.Incomplete)))
	}
	if c := &f.Certificate; len(c.Names) > 0 {
		notes = append(notes, fmt.Sprintf("the scenario's certificate is for %s; browsers visit %s", strings.Join(c.Names, ", "), f.ServerName))
	}
	if len(f.Sites) > 1 {
		notes = append(notes, fmt.Sprintf("the scenario has %d sites on the edges; a client without SNI gets the certificate of %s", len(f.Sites), f.Sites[0]))
	}
	return notes
}

func edgesNamed(patterns []string) string {
	if len(patterns) == 1 && patterns[0] == "*" {
		return "every edge"
	}
	return strings.Join(patterns, ", ")
}

// nextKeepsFleet says whether the act after p goes on with p's fleet.
func (d *drive) nextKeepsFleet(p *scenario.Phase) bool {
	for i := range d.sc.Phases[:len(d.sc.Phases)-1] {
		if &d.sc.Phases[i] == p {
			return d.sc.Phases[i+1].Keeps("fleet")
		}
	}
	return false
}

// schedule runs the rules that strike whole edges (kill, pause, restart); the returned function undoes
// what still lasts.
func (d *drive) schedule(ctx context.Context, at time.Time, p *scenario.Phase) (undo func()) {
	if d.fleet == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	f := d.fleet
	go func() {
		defer close(done)
		_ = f.Schedule(ctx, at) // an edge that cannot be disturbed is lost, and the hub says so
	}()
	return func() { cancel(); <-done }
}

func (d *drive) phaseInfo(p *scenario.Phase) results.PhaseInfo {
	info := results.PhaseInfo{Name: p.Name, About: p.About, Target: int64(d.sc.Traffic(p).Connections), Rules: p.Rules}
	if d.sc.Target == nil {
		info.Stack = d.stack(p)
		if d.sc.Fleet.Edge != "bundled" {
			info.Stack = d.sc.Fleet.Edge
		}
	}
	return info
}

// agentPhase is the act as the agents are told it.
func (d *drive) agentPhase(p *scenario.Phase, edges []fleet.Edge) (fleet.AgentPhase, error) {
	act := d.sc.Traffic(p)
	l := &act
	load, requests, err := traffic(l, time.Duration(p.Duration))
	if err != nil {
		return fleet.AgentPhase{}, err
	}
	a := fleet.AgentPhase{
		Seed: d.sc.Seed, Phase: p.Name, ServerName: d.sc.Fleet.ServerName, Load: load, Rules: d.rulesLeft(p), ALPN: l.ALPN,
		KeepBrowsers: p.Keeps("browsers"), SampleEvery: every(d.sc.Run.Sample), KeyLog: d.keyLogs(),
		VerifySample: l.VerifySample, KeyPool: l.KeyPool,
	}
	if l.Verify == "first-per-key" {
		a.Verify = engine.VerifyFirstPerKey
	}
	if d.capture != nil {
		a.SampleEvery = 1 // a packet is explained by its attempt
	}
	a.IPv6 = d.onIPv6()
	if a.Curve, err = fleet.CurveOf(requests); err != nil {
		return a, err
	}
	loopback := true
	for _, e := range edges {
		a.Edges = append(a.Edges, browser.Edge{Name: e.Name, Addr: e.Addr})
		loopback = loopback && e.Addr.Addr().Is4() && e.Addr.Addr().IsLoopback() || a.IPv6
	}
	if loopback {
		a.Sources = fleet.SourcesFor(l.Connections, len(edges), d.agents, l.Lifetime.Min)
		if d.sc.Target == nil && d.sc.Fleet.Edge != "bundled" {
			a.Sources = fleet.SourcesThatTell
		}
	}
	for _, b := range d.sc.Browsers {
		v, err := visitor(b)
		if err != nil {
			return a, err
		}
		a.Mix = append(a.Mix, v)
	}
	if t := d.sc.Target; t != nil {
		a.ServerName, a.Insecure, a.CA = t.ServerName, t.Insecure, d.targetCA
		return a, nil
	}
	a.Issuers = d.pki.Issuers
	a.CA, err = os.ReadFile(d.pki.CAFile)
	return a, err
}

// rulesLeft are the act's rules with what the acts before have left of their limits, which count firings per run.
func (d *drive) rulesLeft(p *scenario.Phase) []faults.Rule {
	rules := slices.Clone(p.Rules)
	for i := range rules {
		r := &rules[i]
		if r.Limit == 0 {
			continue
		}
		if r.Limit -= d.collector.Fired(r.Name); r.Limit <= 0 {
			r.Limit, r.Probability = 0, 0
		}
	}
	return rules
}

// visitor names a built-in profile, or carries the text of a file, which an agent elsewhere cannot read.
func visitor(b scenario.Browser) (fleet.Visitor, error) {
	v := fleet.Visitor{Profile: b.Profile, Weight: b.Share, Returning: b.Returning, Clock: time.Duration(b.Clock), ClockShare: b.ClockShare}
	if !strings.HasSuffix(b.Profile, ".toml") {
		return v, nil
	}
	text, err := os.ReadFile(b.Profile)
	if err != nil {
		return v, &ConfigError{Text: err.Error(), Err: err}
	}
	v.Profile, v.TOML = strings.TrimSuffix(filepath.Base(b.Profile), ".toml"), string(text)
	return v, nil
}

// every turns a share into "one in so many"; 0 keeps none.
func every(share float64) uint64 {
	if share <= 0 {
		return 0
	}
	return uint64(math.Round(1 / share))
}

// readTargetCA reads the certificates that sign a target's; none is the system's own list.
func readTargetCA(t *scenario.Target) ([]byte, error) {
	if t == nil || t.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, &ConfigError{Text: fmt.Sprintf("target.ca: %v", err), Err: err}
	}
	return pem, nil
}

// traffic is the load in the words of package browser, and the curve of its requests; nil is none.
func traffic(l *scenario.Traffic, duration time.Duration) (browser.Load, pace.Curve, error) {
	b := browser.Load{
		Model: browser.Model(l.Model), Connections: l.Connections, PerBrowser: [2]int{l.PerBrowser, l.PerBrowser}, Duration: duration,
		Ramp: time.Duration(l.Ramp), RampDown: time.Duration(l.RampDown), OneRequest: l.OneRequest, Lifetime: [2]time.Duration{l.Lifetime.Min, l.Lifetime.Max},
		Poisson: l.Arrivals == "poisson", AllAtOnce: !l.FirstAlone, SpareConnections: l.Spare, ResolveEach: l.Resolve == "connection", Reload: time.Duration(l.Reload),
		Page:     browser.Page{Resources: l.Page.Resources, Think: [2]time.Duration{l.Page.Think.Min, l.Page.Think.Max}},
		ReadRate: l.ReadRate, SendRate: l.SendRate, HandshakeRate: l.HandshakeRate, SlowShare: l.Slow,
	}
	for _, t := range l.StormAt {
		b.StormAt = append(b.StormAt, time.Duration(t))
	}
	for _, u := range l.URLs {
		body := []byte(u.Text)
		if u.Body > 0 {
			body = bytes.Repeat([]byte("x"), u.Body)
		}
		url := browser.URL{Weight: u.Weight, Method: u.Method, Path: u.Path, Body: body,
			Check: browser.Check{Status: u.Check.Status, Contains: u.Check.Contains, Bytes: u.Check.Bytes}}
		for _, k := range sortedKeys(u.Headers) {
			url.Headers = append(url.Headers, [2]string{k, u.Headers[k]})
		}
		b.URLs = append(b.URLs, url)
	}
	if l.Shape != nil && l.Shape.Kind == "file" {
		times, err := readTimes(l.Shape.File)
		b.RequestTimes = times
		return b, nil, err
	}
	return b, requestCurve(l, duration), nil
}

// requestCurve is the rate of requests over time.
func requestCurve(l *scenario.Traffic, duration time.Duration) pace.Curve {
	sh := l.Shape
	if sh == nil {
		if l.RequestRate == 0 {
			return nil
		}
		if l.RampDown > 0 && (l.Model == "handshake" || l.Model == "resume") {
			// Where connections are held, requests come and go with them.
			return pace.Trapezoid(l.RequestRate, time.Duration(l.Ramp), duration-time.Duration(l.Ramp+l.RampDown), time.Duration(l.RampDown))
		}
		return pace.Constant(l.RequestRate)
	}
	over := time.Duration(sh.Over)
	switch sh.Kind {
	case "ramp":
		return pace.Ramp(l.RequestRate, sh.To, over)
	case "steps":
		return pace.Steps(over, sh.Rates...)
	case "spike":
		return pace.Spike(l.RequestRate, sh.To, time.Duration(sh.At), over)
	}
	return pace.Sine{Mean: l.RequestRate, Swing: sh.Swing, Period: time.Duration(sh.Period)}
}

func readTimes(file string) ([]time.Duration, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, &ConfigError{Text: fmt.Sprintf("load.shape.file: %v", err), Err: err}
	}
	defer f.Close()
	times, err := pace.ReadTimes(f)
	if err != nil {
		return nil, &ConfigError{Text: fmt.Sprintf("%s: %v", file, err), Err: err}
	}
	return times, nil
}
