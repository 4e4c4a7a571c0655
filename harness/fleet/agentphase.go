package fleet

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/browser"
	"tlsurge/harness/engine"
	"tlsurge/harness/pace"
	"tlsurge/profiles"
)

// AgentPhase is one phase as every agent is told it: plain data. Which share of the browsers an agent
// plays follows from its place among the agents.
type AgentPhase struct {
	Seed  uint64
	Phase string
	// Index and Agents are filled in by the crew.
	Index, Agents int

	Mix        []Visitor
	Edges      []browser.Edge
	ServerName string
	// Load without its Requests, which Curve carries: an interface does not travel.
	Load  browser.Load
	Curve Curve
	Rules []faults.Rule

	// CA is the PEM that servers' certificates are checked against; Insecure checks nothing.
	CA       []byte
	Insecure bool
	// Issuers are the intermediate certificates of the run's authority, by the address in its leaves.
	Issuers map[string][]byte
	// Verify and VerifySample are engine.Verifier's Policy and Sample.
	Verify       engine.VerifyPolicy
	VerifySample int
	KeyPool      int // browser.Config.KeyPool
	ALPN         []string
	// Sources is how many addresses each agent's ordinary connections come from, on loopback or, with IPv6, of our
	// own prefix; 0 leaves the address to the kernel, as targets beyond loopback need.
	Sources int
	IPv6    bool
	// KeyLog appends TLS secrets to files of this prefix (prefix + agent's name); empty: none.
	KeyLog string
	// KeepBrowsers carries memory and sessions over from the phase before.
	KeepBrowsers bool
	// SampleEvery is results.RecorderConfig's.
	SampleEvery uint64
}

// Visitor is an entry of the mix: a built-in profile, or TOML, which reaches agents on other machines.
type Visitor struct {
	Profile   string
	TOML      string
	Weight    float64
	Returning float64

	Clock      time.Duration
	ClockShare float64
}

// Curve is a pace.Curve as data: at most one of the two is set.
type Curve struct {
	Piecewise pace.Piecewise
	Sine      *pace.Sine
}

// CurveOf turns a curve into data. nil is no requests.
func CurveOf(c pace.Curve) (Curve, error) {
	switch c := c.(type) {
	case nil:
		return Curve{}, nil
	case pace.Piecewise:
		return Curve{Piecewise: c}, nil
	case pace.Sine:
		return Curve{Sine: &c}, nil
	case *pace.Sine:
		return Curve{Sine: c}, nil
	}
	return Curve{}, fmt.Errorf("request rate: a %T cannot be sent to agents", c)
}

func (c Curve) pace() pace.Curve {
	switch {
	case c.Sine != nil:
		return *c.Sine
	case len(c.Piecewise) > 0:
		return c.Piecewise
	}
	return nil
}

// config makes the browser room's configuration of it, for the agent named id.
func (p *AgentPhase) config(id string) (*browser.Config, error) {
	load := p.Load
	load.Requests = p.Curve.pace()
	cfg := &browser.Config{Seed: p.Seed, Phase: p.Phase, AgentIndex: p.Index, Agents: p.Agents, Edges: p.Edges,
		ServerName: p.ServerName, Load: load, ALPN: p.ALPN, Sources: sources(p.Index, p.Sources, p.IPv6), KeyPool: p.KeyPool}
	for _, v := range p.Mix {
		prof, err := v.profile()
		if err != nil {
			return nil, &configError{err}
		}
		cfg.Mix = append(cfg.Mix, browser.Visitor{Profile: prof, Weight: v.Weight, Returning: v.Returning, Clock: v.Clock, ClockShare: v.ClockShare})
	}
	if len(p.Rules) > 0 {
		cfg.Plan = faults.NewPlan(p.Seed, p.Phase, p.Rules)
	}
	if !p.Insecure {
		roots := x509.NewCertPool()
		if len(p.CA) == 0 {
			var err error
			if roots, err = x509.SystemCertPool(); err != nil {
				return nil, fmt.Errorf("system certificate authorities: %w", err)
			}
		} else if !roots.AppendCertsFromPEM(p.CA) {
			return nil, &configError{fmt.Errorf("the certificate authority's file holds no PEM certificate")}
		}
		cfg.Verifier = &engine.Verifier{Roots: roots, Policy: p.Verify, Sample: p.VerifySample}
		if len(p.Issuers) > 0 {
			cfg.Finder = &engine.Verifier{Roots: roots, Policy: p.Verify, Sample: p.VerifySample, Issuers: p.Issuers}
		}
	}
	return cfg, nil
}

func (v Visitor) profile() (*profiles.Profile, error) {
	if v.TOML != "" {
		return profiles.Parse(v.Profile, []byte(v.TOML))
	}
	return profiles.Lookup(v.Profile)
}

// agentNets is how many second octets agents have: 127.1 to 127.63. Armed connections use 127.64 and up.
const agentNets = 63

// agentRounds is how often all nets can be dealt out: 1,008 agents.
const agentRounds = 16

// SourcesThatTell is how many addresses an agent changes between on a server whose log tells a client's address
// and no port: a line is then about one connection.
const SourcesThatTell = 16 * 254

// sources are an agent's own addresses: 127.(1+index).0.1 and on. The third octet counts rounds over the agents'
// nets in its lower bits, and beyond 254 addresses an agent's blocks of as many in its upper ones.
func sources(index, n int, six bool) []netip.Addr {
	var out []netip.Addr
	for i := range n {
		if six {
			out = append(out, address6(1+index, 1+i))
			continue
		}
		out = append(out, netip.AddrFrom4([4]byte{127, byte(1 + index%agentNets), byte(index/agentNets + i/254*agentRounds), byte(1 + i%254)}))
	}
	return out
}

// SourcesFor is how many addresses each agent wants for a load on loopback: one for each PerSource
// connections to one edge, and as many again for ports that are still in TIME_WAIT.
func SourcesFor(connections, edges, agents int, lifetime time.Duration) int {
	if edges < 1 || agents < 1 {
		return 1
	}
	n := max(1, ceilDiv(ceilDiv(connections, agents*edges), PerSource)) * 2
	if lifetime > 0 {
		// A port rests 60 s (TCP_TIMEWAIT_LEN): ports in rest = live connections × 60 s / lifetime.
		n += n * int(time.Minute/max(lifetime, time.Second))
	}
	return min(n, 250)
}
