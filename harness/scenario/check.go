package scenario

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles"
	"tlsurge/results"
)

// defaults is the scenario before anything is read.
func defaults() *Scenario {
	return &Scenario{
		Seed: 1,
		Run:  Run{Netns: "auto", Sample: 0.01, Group: "tlsurge"},
		Fleet: Fleet{Edges: 3, Edge: "bundled", Stack: "openssl-1.0.1j", Config: "builtin:fl-ssl.conf", Family: "ipv4", Key: "rsa-2048",
			ServerName: "www.example.test", Balancer: "bundled", TicketKeys: "own"},
		Load: Traffic{Model: "open", Connections: 100, Duration: Duration(10 * time.Second), Ramp: Duration(2 * time.Second), Arrivals: "poisson",
			FirstAlone: true, Resolve: "browser", Verify: "every", KeyPool: 64},
	}
}

// fillElementDefaults puts the defaults of list elements into the tree, where a Go zero would mean
// something else.
func fillElementDefaults(tree map[string]any) {
	each := func(list string, defaults map[string]any) {
		for _, item := range tables(tree[list]) {
			for k, v := range defaults {
				if _, ok := item[k]; !ok {
					item[k] = v
				}
			}
		}
	}
	if load, ok := tree["load"].(map[string]any); ok {
		for _, u := range tables(load["urls"]) {
			for k, v := range map[string]any{"weight": 1.0, "method": "GET"} {
				if _, ok := u[k]; !ok {
					u[k] = v
				}
			}
		}
	}
	each("faults", map[string]any{"engine": "auto", "probability": 1.0, "per": "attempt"})
	each("browsers", map[string]any{"share": 1.0, "clock_share": 1.0})
}

// tables gives the tables of a list, written as [[name]] or inline.
func tables(list any) (out []map[string]any) {
	switch t := list.(type) {
	case []map[string]any:
		return t
	case []any:
		for _, x := range t {
			if m, ok := x.(map[string]any); ok {
				out = append(out, m)
			}
		}
	}
	return out
}

// check refuses what cannot work and resolves faults and phases.
func (s *Scenario) check(d *decoder, o Overrides) error {
	for _, f := range []func(*decoder) error{s.checkTop, s.checkFleet, s.checkLoad, s.checkBrowsers, s.checkFaults, s.checkPhases} {
		if err := f(d); err != nil {
			return err
		}
	}
	return firstError(s.checkTarget(d, o), s.checkThresholds(d, o))
}

// oneOf refuses a word that is not in the list.
func oneOf(d *decoder, path []string, word string, allowed ...string) error {
	for _, a := range allowed {
		if word == a {
			return nil
		}
	}
	return d.fail(path, "%q is not known%s", word, Suggest(word, allowed))
}

func between[T int | int64 | float64](d *decoder, path []string, v, lo, hi T) error {
	if !(v >= lo && v <= hi) { // not a number is in no range
		return d.fail(path, "%v is out of range; allowed: %v to %v", v, lo, hi)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Scenario) checkTop(d *decoder) error {
	if s.Name == "" {
		return d.fail([]string{"name"}, "missing; the scenario needs a name, which is part of the run directory's")
	}
	if strings.ContainsAny(s.Name, "/ \t\n") {
		return d.fail([]string{"name"}, "want a name without spaces and slashes; it is part of the run directory's name")
	}
	if len(s.Kernel) > 0 || s.Run.Netns == "auto" && s.Fleet.Family == "ipv6" && s.Target == nil {
		s.Run.Netns = "own" // the caller's kernel settings and addresses are not ours to turn
	}
	return firstError(
		oneOf(d, []string{"run", "netns"}, s.Run.Netns, "auto", "own", "caller"),
		between(d, []string{"run", "agents"}, s.Run.Agents, 0, 256),
		between(d, []string{"run", "remote_agents"}, s.Run.RemoteAgents, 0, 1000),
		s.checkJoin(d),
		between(d, []string{"run", "sample"}, s.Run.Sample, 0, 1),
		s.checkCapture(d),
	)
}

// checkFamily refuses IPv6 where nothing could carry it.
func (s *Scenario) checkFamily(d *decoder) error {
	if s.Fleet.Family != "ipv6" || s.Target != nil {
		return nil
	}
	at := []string{"fleet", "family"}
	if s.Run.Netns != "own" {
		return d.fail(at, "ipv6 takes a network namespace of the run's own; here run.netns = %q", s.Run.Netns)
	}
	for _, p := range s.Phases {
		for i := range p.Rules {
			if r := &p.Rules[i]; r.Engine == faults.EngineLink {
				return d.fail(at, "rule %q is of engine link, whose path carries IPv4 alone", r.Name)
			}
		}
	}
	return nil
}

// checkJoin refuses what agents from elsewhere could not find.
func (s *Scenario) checkJoin(d *decoder) error {
	r := &s.Run
	at := func(key string) []string { return []string{"run", key} }
	if r.Listen != "" {
		host, port, err := net.SplitHostPort(r.Listen)
		n, perr := strconv.Atoi(port)
		if err != nil || host == "" || perr != nil || n < 0 || n > 65535 {
			return d.fail(at("listen"), "%q is not host:port, as \"192.0.2.1:4222\"", r.Listen)
		}
	}
	scheme, rest, _ := strings.Cut(r.NATS, "://")
	switch {
	case r.NATS != "" && (scheme != "nats" && scheme != "tls" || rest == ""):
		return d.fail(at("nats"), "%q is not nats://host:port or tls://host:port", r.NATS)
	case r.NATS != "" && r.Listen != "":
		return d.fail(at("listen"), "the run goes over run.nats = %q: agents join there", r.NATS)
	case r.RemoteAgents > 0 && r.NATS == "" && r.Listen == "":
		return d.fail(at("remote_agents"), "%d agents have nowhere to join: set run.listen or run.nats", r.RemoteAgents)
	case r.Netns == "own" && (r.NATS != "" || r.Listen != ""):
		return d.fail(at("netns"), "agents elsewhere cannot reach a network namespace of the run's own")
	case strings.Trim(r.Group, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" || r.Group == "":
		return d.fail(at("group"), "%q: want letters, digits, - and _", r.Group)
	}
	return nil
}

// checkCapture refuses a capture of packets that do not pass this machine.
func (s *Scenario) checkCapture(d *decoder) error {
	r := &s.Run
	if r.Capture && r.CaptureBytes == 0 {
		r.CaptureBytes = 256 << 20
	}
	if r.Capture && r.RemoteAgents > 0 {
		return d.fail([]string{"run", "capture"}, "the packets of agents elsewhere are not seen here: set run.remote_agents = 0, or capture = false")
	}
	if r.CaptureBytes == 0 {
		return nil
	}
	return between(d, []string{"run", "capture_bytes"}, r.CaptureBytes, 1<<20, 64<<30)
}

func (s *Scenario) checkThresholds(d *decoder, o Overrides) error {
	names := results.Names{Profiles: s.browserNames(), Edges: s.edgeNames()}
	for _, p := range s.Phases {
		names.Phases = append(names.Phases, p.Name)
		for _, r := range p.Rules {
			if o.OnlyFault != "" {
				break // a threshold on a rule that was left out has nothing to judge, and says so at the end
			}
			names.Faults = append(names.Faults, r.Name)
		}
	}
	for path, condition := range s.Thresholds {
		t, err := results.ParseThreshold(path, condition)
		if err == nil {
			err = t.Fits(names)
		}
		if err != nil {
			return d.fail([]string{"thresholds", path}, "%v", err)
		}
	}
	return nil
}

func (s *Scenario) checkFleet(d *decoder) error {
	f := &s.Fleet
	if !hostName(f.ServerName) {
		return d.fail([]string{"fleet", "server_name"}, "%q is not a host name", f.ServerName)
	}
	return firstError(
		s.checkCertificates(d),
		between(d, []string{"fleet", "edges"}, f.Edges, 1, 64),
		between(d, []string{"fleet", "port"}, f.Port, 0, 65535),
		oneOf(d, []string{"fleet", "edge"}, f.Edge, "bundled", "nginx", "haproxy"),
		oneOf(d, []string{"fleet", "family"}, f.Family, "ipv4", "ipv6"),
		s.checkFamily(d),
		between(d, []string{"fleet", "cpus"}, f.CPUs, 0, 1024),
		between(d, []string{"fleet", "workers"}, f.Workers, 0, 100_000),
		oneOf(d, []string{"fleet", "stack"}, f.Stack, stack.Names()...),
		oneOf(d, []string{"fleet", "key"}, f.Key, "rsa-2048", "ecdsa-p256"),
		oneOf(d, []string{"fleet", "ticket_keys"}, f.TicketKeys, "own", "shared"),
		oneOf(d, []string{"fleet", "balancer"}, f.Balancer, "bundled", "haproxy", "none"),
	)
}

func (s *Scenario) checkLoad(d *decoder) error {
	l := &s.Load
	at := func(k string) []string { return []string{"load", k} }
	if l.Duration <= 0 || time.Duration(l.Duration) > 24*time.Hour {
		return d.fail(at("duration"), "%v is out of range; allowed: above 0 to 24h", time.Duration(l.Duration))
	}
	for i := range s.Phases {
		if p := &s.Phases[i]; l.RampDown > 0 && l.Ramp+l.RampDown > p.Duration {
			return d.fail(at("ramp_down"), "ramp and ramp_down together are longer than the act %s (%v)", p.Name, time.Duration(p.Duration))
		}
	}
	if len(s.Phases) == 0 && l.RampDown > 0 && l.Ramp+l.RampDown > l.Duration {
		return d.fail(at("ramp_down"), "ramp and ramp_down together are longer than the duration (%v)", time.Duration(l.Duration))
	}
	if l.OneRequest && l.Model != "handshake" && l.Model != "resume" {
		return d.fail(at("one_request"), "is for the models \"handshake\" and \"resume\"; seen: %q", l.Model)
	}
	if l.Lifetime.Max > 0 && l.Lifetime.Min < 100*time.Millisecond {
		return d.fail(at("lifetime"), "a browser stays at least 100ms")
	}
	return firstError(
		oneOf(d, at("model"), l.Model, "open", "closed", "idle", "handshake", "resume"),
		oneOf(d, at("arrivals"), l.Arrivals, "constant", "poisson"),
		oneOf(d, at("verify"), l.Verify, "every", "first-per-key"),
		between(d, at("verify_sample"), l.VerifySample, 0, 1_000_000),
		between(d, at("key_pool"), l.KeyPool, 0, 65536),
		oneOf(d, at("resolve"), l.Resolve, "browser", "connection"),
		between(d, at("connections"), l.Connections, 1, 1_000_000),
		between(d, at("request_rate"), l.RequestRate, 0, 1_000_000),
		between(d, at("per_browser"), l.PerBrowser, 0, 64),
		between(d, at("slow"), l.Slow, 0, 1),
		between(d, at("read_rate"), l.ReadRate, 0, 1<<30),
		between(d, at("send_rate"), l.SendRate, 0, 1<<30),
		between(d, at("handshake_rate"), l.HandshakeRate, 0, 1<<30),
		s.checkSlow(d),
		between(d, at("page.resources"), l.Page.Resources, 0, 1000),
		s.checkShape(d), s.checkURLs(d),
	)
}

// checkSlow refuses half of a slow client: one of whom nothing is slow, or a rate that nobody keeps to.
func (s *Scenario) checkSlow(d *decoder) error {
	l := &s.Load
	rated := l.ReadRate+l.SendRate+l.HandshakeRate > 0
	switch {
	case l.Slow > 0 && !rated:
		return d.fail([]string{"load", "slow"}, "slow browsers need a rate: read_rate, send_rate or handshake_rate, in bytes/s")
	case rated && l.Slow == 0:
		return d.fail([]string{"load", "slow"}, "missing: nobody is slow; set the share of browsers that are, as 0.1")
	}
	return nil
}

func (s *Scenario) checkShape(d *decoder) error {
	sh, at := s.Load.Shape, func(k string) []string { return []string{"load", "shape", k} }
	if sh == nil {
		return nil
	}
	if err := oneOf(d, at("kind"), sh.Kind, "ramp", "steps", "sine", "spike", "file"); err != nil {
		return err
	}
	switch {
	case s.Load.Model == "closed" || s.Load.Model == "idle":
		return d.fail(at("kind"), "a shape is the request rate's, and the model %q has none: use open, handshake or resume", s.Load.Model)
	case sh.Kind == "steps" && len(sh.Rates) == 0:
		return d.fail(at("rates"), "steps need rates, as [100, 200, 400]")
	case (sh.Kind == "ramp" || sh.Kind == "steps" || sh.Kind == "spike") && sh.Over <= 0:
		return d.fail(at("over"), "%s needs a time above 0", sh.Kind)
	case sh.Kind == "sine" && (sh.Period <= 0 || sh.Swing < 0 || sh.Swing > s.Load.RequestRate):
		return d.fail(at("swing"), "a sine needs a period above 0 and a swing of 0 to request_rate (%v)", s.Load.RequestRate)
	case sh.Kind == "file" && sh.File == "":
		return d.fail(at("file"), "file needs the name of a file of timestamps")
	}
	for _, r := range append([]float64{sh.To}, sh.Rates...) {
		if err := between(d, at("rates"), r, 0, 1_000_000); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scenario) checkURLs(d *decoder) error {
	for i, u := range s.Load.URLs {
		at := func(k string) []string { return []string{"load", fmt.Sprintf("urls[%d]", i), k} }
		if err := oneOf(d, at("method"), u.Method, "GET", "HEAD", "POST"); err != nil {
			return err
		}
		switch {
		case !strings.HasPrefix(u.Path, "/") || strings.ContainsAny(u.Path, " \r\n"):
			return d.fail(at("path"), "%q: want a path that begins with a slash, without spaces", u.Path)
		case !(u.Weight > 0 && u.Weight <= 1e9):
			return d.fail(at("weight"), "%v: want a weight above 0", u.Weight)
		case (u.Body > 0 || u.Text != "") && u.Method != "POST":
			return d.fail(at("method"), "a body needs method = \"POST\"")
		case u.Body > 0 && u.Text != "":
			return d.fail(at("body_bytes"), "give either body or body_bytes, not both")
		case u.Body < 0 || u.Body > 400<<20:
			return d.fail(at("body_bytes"), "%d is out of range; allowed: 0 to %d", u.Body, 400<<20)
		}
		for k, v := range u.Headers {
			if strings.ContainsAny(k+v, "\r\n") || strings.ContainsAny(k, ": ") || k == "" {
				return d.fail(at("headers"), "%q: not a header", k)
			}
		}
	}
	return nil
}

func (s *Scenario) checkBrowsers(d *decoder) error {
	if s.Mix != "" {
		if len(s.Browsers) > 0 {
			return d.fail([]string{"mix"}, "give either mix or [[browsers]], not both")
		}
		mix, err := profiles.LookupMix(s.Mix)
		if err != nil {
			return d.fail([]string{"mix"}, "%v", err)
		}
		for _, e := range mix.Entries {
			s.Browsers = append(s.Browsers, Browser{Profile: e.Profile, Share: e.Share, Returning: e.Returning, ClockShare: 1})
		}
		s.Mix = ""
	}
	if len(s.Browsers) == 0 {
		return d.fail([]string{"browsers"}, "no browser: add [[browsers]] with a profile, or mix = \"january-2015\"")
	}
	seen := map[string]bool{}
	for i, b := range s.Browsers {
		at := fmt.Sprintf("browsers[%d]", i)
		if seen[b.Profile] {
			return d.fail([]string{at, "profile"}, "%q stands twice; add the shares up", b.Profile)
		}
		seen[b.Profile] = true
		if _, err := FindProfile(b.Profile); err != nil {
			return d.fail([]string{at, "profile"}, "%v", err)
		}
		if !(b.Share > 0 && b.Share <= 1e9) {
			return d.fail([]string{at, "share"}, "%v is out of range; allowed: weights above 0, to 1e+09", b.Share)
		}
		if err := firstError(between(d, []string{at, "returning"}, b.Returning, 0, 1), between(d, []string{at, "clock_share"}, b.ClockShare, 0, 1)); err != nil {
			return err
		}
	}
	return nil
}

// FindProfile looks up a built-in profile, or reads a TOML file where the name ends in .toml.
func FindProfile(name string) (*profiles.Profile, error) {
	if strings.HasSuffix(name, ".toml") {
		return profiles.LoadFile(name)
	}
	return profiles.Lookup(name)
}

// checkPhases gives a scenario without acts one, and resolves the rules in force in each.
func (s *Scenario) checkPhases(d *decoder) error {
	if len(s.Phases) == 0 {
		s.Phases = []Phase{{Name: "run", Duration: s.Load.Duration}}
	}
	seen := map[string]bool{}
	for i := range s.Phases {
		p := &s.Phases[i]
		at := fmt.Sprintf("phases[%d]", i)
		if p.Name == "" || seen[p.Name] {
			return d.fail([]string{at, "name"}, "want a name of its own, seen: %q", p.Name)
		}
		seen[p.Name] = true
		if p.Duration <= 0 || time.Duration(p.Duration) > 24*time.Hour {
			return d.fail([]string{at, "duration"}, "%v is out of range; allowed: above 0 to 24h", time.Duration(p.Duration))
		}
		if err := firstError(between(d, []string{at, "connections"}, p.Connections, 0, 1_000_000),
			between(d, []string{at, "request_rate"}, p.RequestRate, 0, 10_000_000)); err != nil {
			return err
		}
		for _, k := range p.Keep {
			if err := oneOf(d, []string{at, "keep"}, k, "browsers", "fleet"); err != nil {
				return err
			}
		}
		if p.Fleet.Stack != "" {
			if err := oneOf(d, []string{at, "fleet", "stack"}, p.Fleet.Stack, stack.Names()...); err != nil {
				return err
			}
		}
		if err := s.rulesOf(p, d, at); err != nil {
			return err
		}
	}
	return nil
}

// checkTarget refuses load on anything but loopback that file and command line do not both name.
func (s *Scenario) checkTarget(d *decoder, o Overrides) error {
	if s.Target == nil {
		return nil
	}
	if len(s.Target.Addresses) == 0 {
		return d.fail([]string{"target", "addresses"}, "no address; want host:port")
	}
	if !hostName(s.Target.ServerName) {
		return d.fail([]string{"target", "server_name"}, "want the host name for SNI, Host and the certificate, seen: %q", s.Target.ServerName)
	}
	for _, a := range s.Target.Addresses {
		ap, err := netip.ParseAddrPort(a)
		if err != nil {
			return d.fail([]string{"target", "addresses"}, "%q: want an IP address and port, as \"127.0.0.1:8443\"", a)
		}
		if ap.Addr().IsLoopback() {
			continue
		}
		host := ap.Addr().String()
		if !contains(s.AuthorisedTargets, host) || !contains(o.Authorise, host) {
			return d.fail([]string{"target", "addresses"}, "%s is not loopback: load goes there only if authorised_targets lists %q and the command line says --authorise %s", a, host, host)
		}
	}
	return nil
}

func contains(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}

// hostName accepts letters, digits, hyphens and dots, as SNI does (RFC 6066 §3, Server Name Indication).
func hostName(s string) bool {
	if s == "" || len(s) > 253 || strings.HasPrefix(s, ".") {
		return false
	}
	for _, c := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._", c) {
			return false
		}
	}
	_, err := strconv.Atoi(strings.ReplaceAll(s, ".", ""))
	return err != nil
}
