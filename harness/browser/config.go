// Package browser is the traffic: one agent plays a share of all virtual browsers on one event loop.
//
// A browser has a profile, an address that its resolver put first, a session store, a memory of what a
// server tolerates, and up to as many connections as its profile allows. It loads a page, runs its own
// retry and fallback when that fails, holds its connections and uses them. Who it is, when it comes and
// goes, which edge it is given and whom a fault hits are functions of (seed, phase, browser, connection,
// attempt) alone: the schedule is computed, never a reaction to what the server does.
//
// It does not know what an error means (classify), what a browser does about one (profiles), how bytes
// move (loop) or what becomes of the numbers (results).
package browser

import (
	"fmt"
	"net/netip"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/engine"
	"tlsurge/harness/pace"
	"tlsurge/profiles"
)

// Config is one agent's part in one phase.
type Config struct {
	Seed  uint64
	Phase string
	// Browser i belongs to agent i mod Agents.
	AgentIndex, Agents int

	Mix        []Visitor
	Edges      []Edge // as the resolver lists them; each browser gets the list rotated
	ServerName string // SNI and Host
	Load       Load

	// Plan decides who is hit; nil is nobody. Rules that act in this process are armed here.
	Plan *faults.Plan
	// Release tells an edge to let a source address through from now on (drop at syn, after `times`).
	Release func(edge string, source netip.Addr)

	// Verifier judges the servers' certificates; nil takes any.
	Verifier *engine.Verifier
	// Finder is the same for browsers that find an issuer that the server forgot; nil: there is none to find.
	Finder *engine.Verifier
	// KeyPool is how many ephemeral key pairs per group are used in turn; 0 draws one for each handshake.
	KeyPool int
	// Sources are the addresses that ordinary connections come from, in turn; none leaves it to the
	// kernel. One address has room for 8,000 connections to each edge.
	Sources []netip.Addr
	// ALPN replaces the profiles' own offer where they have one; the hello then differs from the browser's.
	ALPN []string
	// KeyLog receives TLS secrets for a capture's reader; nil is none.
	KeyLog func(label string, clientRandom, secret []byte)

	// Carry is what the browsers of an earlier phase remember (Agent.Carry); nil: fresh browsers.
	Carry *Carry
}

// Visitor is one entry of the mix.
type Visitor struct {
	Profile *profiles.Profile
	Weight  float64
	// Clock is how far the clock of a share ClockShare of them is off.
	Clock      time.Duration
	ClockShare float64
	Returning  float64 // share that made one visit to the same edge in warm-up, so holds a session
}

// Edge is one address of the name.
type Edge struct {
	Name string
	Addr netip.AddrPort
}

// Model is what the browsers do with their connections.
type Model string

const (
	// Open: connections are held, and requests come at a rate that does not depend on the answers.
	Open Model = "open"
	// Closed: each browser loads a page with its resources over its connections, thinks, and loads the next.
	Closed Model = "closed"
	// Idle: connections are held and not used.
	Idle Model = "idle"
	// HandshakeOnly: connections come at a rate, complete their handshake and close.
	HandshakeOnly Model = "handshake"
	// ResumeOnly is HandshakeOnly by browsers that each offer a session from warm-up.
	ResumeOnly Model = "resume"
)

// Load is the traffic of one phase, over all agents.
type Load struct {
	Model       Model
	Connections int           // held; rounded to whole browsers
	PerBrowser  [2]int        // connections of one browser, drawn between the two; 0, or more than its profile allows: as the profile allows
	Duration    time.Duration // of the phase
	// Ramp is the time over which the first browsers come. 0 starts them all at once: a storm.
	Ramp time.Duration
	// RampDown is the time at the end of the phase in which the browsers leave again, in a straight line.
	RampDown time.Duration
	// Lifetime is how long a browser stays, drawn between the two; zero: to the end. The next browser
	// then takes its place.
	Lifetime [2]time.Duration
	// Requests is the rate of requests over all connections (Open), or of connections (HandshakeOnly,
	// ResumeOnly); nil is none, and the models that only connect then keep Connections under way. A place that nobody has taken yet lets its turn pass, so in the ramp the
	// rate of requests grows with the connections.
	Requests pace.Curve
	// Count makes the models that only connect, without a rate, do fixed work: so many connections in all,
	// and the phase ends with the last (Duration is then its limit). One agent plays it alone.
	Count int
	// OneRequest: connections of the models that only connect carry one request before they close.
	OneRequest bool
	// RequestTimes gives the arrivals one by one instead of Requests.
	RequestTimes []time.Duration
	// Poisson draws arrivals (requests, and browsers in the ramp) at random along their curve instead of
	// spacing them evenly.
	Poisson bool
	// AllAtOnce opens all of a browser's connections together. Else its first connection ends, served or
	// given up, before it opens others, and the outcome table depends on nothing but the seed.
	AllAtOnce bool
	// SpareConnections: connections beyond the first are opened ahead of need. Else each is opened for a
	// request, which it carries as soon as it is up.
	SpareConnections bool
	// ResolveEach: a browser asks the resolver again for each connection, or a balancer of layer 4 deals them out;
	// else it stays with one address, and moves on only when that cannot be reached. A warm-up visit counts as
	// one connection of its own.
	ResolveEach bool
	// Reload is after how long a user who was shown an error tries again; 0: never, the user leaves.
	Reload time.Duration
	// AutoReload: error pages that load themselves again (today's browsers) do so.
	AutoReload bool

	// URLs are drawn by weight; none is one GET of /.
	URLs []URL
	// Page is what one page of the closed model is made of.
	Page Page
	// StormAt are times within the phase at which every connection is closed and opened again at once.
	StormAt []time.Duration
	// ReadRate makes slow clients: an answer is read at so many bytes per second; 0 is at once.
	ReadRate int
	// SendRate makes slow clients: a request, header and body, is written at so many bytes per second, in records
	// of their own, so that the server sees each piece. HandshakeRate does the same to the flights of a handshake,
	// below TLS. 0 is at once.
	SendRate, HandshakeRate int
	// SlowShare is the share of browsers that are slow, where one of the rates is set.
	SlowShare float64
}

// Page is a page of the closed model.
type Page struct {
	Resources int              // requests beside the page itself, over all connections
	Think     [2]time.Duration // between pages, drawn between the two
}

// URL is one kind of request.
type URL struct {
	Weight  float64
	Method  string // GET, HEAD or POST; empty is GET
	Path    string // absolute, with query
	Headers [][2]string
	Body    []byte // POST
	Check   Check
}

// Check is what an answer must be to count as good. An answer of 500 or above fails without one.
type Check struct {
	Status   int    // 0: any below 500
	Contains string // in the body, decoded where it came with gzip
	Bytes    int64  // length of the body as sent; 0: any
}

// checked validates what the scenario could not, and fills in defaults.
func (c *Config) checked() error {
	switch c.Load.Model {
	case "":
		c.Load.Model = Open
	case Open, Closed, Idle, HandshakeOnly, ResumeOnly:
	default:
		return fmt.Errorf("browser: load model %q: want open, closed, idle, handshake or resume", c.Load.Model)
	}
	switch {
	case c.Agents < 1 || c.AgentIndex < 0 || c.AgentIndex >= c.Agents:
		return fmt.Errorf("browser: agent %d of %d: want an index below the number of agents", c.AgentIndex, c.Agents)
	case len(c.Edges) == 0:
		return fmt.Errorf("browser: no edges to connect to")
	case len(c.Edges) > 255:
		return fmt.Errorf("browser: %d edges: a name has at most 255 addresses here", len(c.Edges))
	case len(c.Mix) == 0:
		return fmt.Errorf("browser: no browsers in the mix")
	case c.Load.Count > 0 && (c.Load.holds() || c.Load.Requests != nil || c.Load.RequestTimes != nil || c.Agents != 1):
		return fmt.Errorf("browser: %d connections in all, model %q: want a model that only connects, without a rate, and one agent", c.Load.Count, c.Load.Model)
	case c.Load.Connections < 1 && (c.Load.Model != HandshakeOnly || c.Load.Requests == nil && c.Load.RequestTimes == nil):
		return fmt.Errorf("browser: %d connections to hold: want at least 1", c.Load.Connections)
	}
	var sum float64
	for i, v := range c.Mix {
		if v.Profile == nil || !(v.Weight >= 0) || !(v.Returning >= 0 && v.Returning <= 1) {
			return fmt.Errorf("browser: mix entry %d: want a profile, a weight of at least 0, a returning share of 0 to 1", i+1)
		}
		sum += v.Weight
	}
	if !(sum > 0) {
		return fmt.Errorf("browser: the weights of the mix add up to %v: want more than 0", sum)
	}
	for i := range c.Load.URLs {
		if err := c.Load.URLs[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func (u *URL) check() error {
	switch u.Method {
	case "", "GET", "HEAD", "POST":
	default:
		return fmt.Errorf("browser: method %q: want GET, HEAD or POST", u.Method)
	}
	if u.Path == "" || u.Path[0] != '/' {
		return fmt.Errorf("browser: path %q: want it absolute, as \"/\"", u.Path)
	}
	if len(u.Body) > 0 && u.Method != "POST" {
		return fmt.Errorf("browser: a body with method %q: want POST", u.Method)
	}
	return nil
}

// holds says whether the model keeps connections open.
func (l *Load) holds() bool { return l.Model != HandshakeOnly && l.Model != ResumeOnly }
