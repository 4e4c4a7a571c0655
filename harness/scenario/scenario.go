// Package scenario is the configuration of a run: one TOML file and the command line's overrides become
// one validated Scenario. Nothing later reads flags or the environment.
//
// It opens no socket and starts nothing. Every refusal is an *Error that names the file, the line, the
// key, what was seen and what is allowed.
package scenario

import (
	"time"

	"tlsurge/faults"
)

// Scenario is one run, validated and with its defaults filled in. Field comments give meaning, unit,
// default and range; the TOML keys are the tags.
type Scenario struct {
	Name        string `toml:"name"`
	Description string `toml:"description,omitempty"`
	// Seed decides who is which browser, which edge DNS gives and who is hit by which fault.
	Seed uint64 `toml:"seed"`

	Run    Run     `toml:"run"`
	Fleet  Fleet   `toml:"fleet,omitempty"`
	Target *Target `toml:"target,omitempty"`
	// AuthorisedTargets lists hosts beyond loopback that may be sent load; the command line has to
	// repeat each with --authorise.
	AuthorisedTargets []string `toml:"authorised_targets,omitempty"`

	Load     Traffic   `toml:"load"`
	Mix      string    `toml:"mix,omitempty"` // a named population instead of [[browsers]]
	Browsers []Browser `toml:"browsers,omitempty"`
	Faults   []Fault   `toml:"faults,omitempty"`
	Phases   []Phase   `toml:"phases,omitempty"`

	// Kernel sets network sysctls (names below net.ipv4 or net.core) in the run's own network namespace.
	Kernel     map[string]string `toml:"kernel,omitempty"`
	Thresholds map[string]string `toml:"thresholds,omitempty"` // path in run.json -> condition
	Tags       map[string]string `toml:"tags,omitempty"`
}

// Run is how the program itself runs.
type Run struct {
	// Netns: "auto" keeps the caller's network namespace where it has CAP_NET_ADMIN, else makes one;
	// "own" always makes one; "caller" never does.
	Netns string `toml:"netns"`
	// Agents is the number of load processes; 0 asks for as many as files and cores want.
	Agents int `toml:"agents"`
	// Listen is an address, host:port, at which agents of other machines join (`tlsurge agent --join`), over
	// TLS and with a token; absent: no port is opened. The caller's network namespace is kept then.
	Listen string `toml:"listen,omitempty"`
	// NATS is an existing NATS cluster (nats:// or tls://) that carries the run instead of the embedded server.
	NATS string `toml:"nats,omitempty"`
	// Group is the name under which agents find this run there; runs of one cluster need different ones.
	Group string `toml:"group"`
	// RemoteAgents is how many agents from elsewhere the run waits for before it begins, 0..1000.
	RemoteAgents int `toml:"remote_agents"`
	// Sample is the share of successful attempts kept in outcomes.jsonl, 0..1.
	Sample float64 `toml:"sample"`
	// Capture records the packets of both ends, with keys and comments, in evidence/ of the run directory. It takes
	// CAP_NET_RAW; with netns "auto" the run gets a namespace of its own. Every attempt is kept in outcomes.jsonl then.
	Capture bool `toml:"capture,omitempty"`
	// CaptureBytes is how many bytes of packets are kept, both ends together, 1 MiB..64 GiB.
	CaptureBytes int64 `toml:"capture_bytes,omitempty"`
}

// Fleet is the bundled system under test.
type Fleet struct {
	Edges  int               `toml:"edges"`  // 1..64; behind round-robin DNS
	Edge   string            `toml:"edge"`   // bundled, nginx, haproxy
	Stack  string            `toml:"stack"`  // openssl-0.9.8zc, …: TLS personality of the bundled edge
	Config string            `toml:"config"` // builtin:NAME or a file in nginx's syntax
	Set    map[string]string `toml:"set"`    // directive overrides, named in the report
	// Family is the edges' and agents' addresses: ipv4 (loopback's) or ipv6 (a prefix in a network namespace of the
	// run's own; what stands behind the edges stays on loopback).
	Family     string `toml:"family"`
	Port       int    `toml:"port"`        // 0: a free one
	Key        string `toml:"key"`         // rsa-2048, ecdsa-p256: the leaf's key
	ServerName string `toml:"server_name"` // SNI, Host and the certificate's name
	Balancer   string `toml:"balancer"`    // bundled, haproxy, none
	// CPUs is how many processors all edges together may use; 0: as many as there are.
	CPUs int `toml:"cpus,omitempty"`
	// Workers is how many pages the application makes at a time, each in Think; further requests wait for a worker.
	// 0 workers: any number.
	Workers int      `toml:"workers,omitempty"`
	Think   Duration `toml:"think,omitempty"`
	// Sites are the names on every edge, each with a certificate of its own, in the order of their server
	// blocks: the first is the default server, which a client without SNI gets. server_name is one of them.
	// Absent: server_name alone.
	Sites []string `toml:"sites,omitempty"`
	// TicketKeys: "own", as servers draw them when they start; or "shared": one ssl_session_ticket_key on all.
	TicketKeys  string      `toml:"ticket_keys"`
	Certificate Certificate `toml:"certificate,omitempty"`
}

// Certificate is what the edges present.
type Certificate struct {
	// Names are the host names that it is good for, which may begin with "*."; absent: server_name.
	Names []string `toml:"names,omitempty"`
	// Intermediate: an intermediate authority signs, as with every public one; edges send its certificate too.
	Intermediate bool `toml:"intermediate,omitempty"`
	// Incomplete and Expired are patterns of edges ("edge-2", "*") that forget the intermediate certificate,
	// and whose certificate ran out a day ago.
	Incomplete []string `toml:"incomplete,omitempty"`
	Expired    []string `toml:"expired,omitempty"`
}

// Target is a server that is not ours, instead of a fleet.
type Target struct {
	Addresses  []string `toml:"addresses"` // host:port; each browser gets the list rotated
	ServerName string   `toml:"server_name"`
	CA         string   `toml:"ca,omitempty"`       // PEM file that signs the target's certificate
	Insecure   bool     `toml:"insecure,omitempty"` // do not verify the certificate
}

// Traffic is the load: who comes how fast, and what they ask for.
type Traffic struct {
	// Model: "open" holds connections and sends requests at a rate that does not wait for answers;
	// "closed" has browsers load pages, think, and load the next; "idle" holds and does not use;
	// "handshake" and "resume" connect, complete the handshake and close, at the request rate; without a
	// rate, so many connections at a time, each as soon as the one before is over.
	Model       string   `toml:"model"`
	Connections int      `toml:"connections"` // keepalive connections held, 1..1,000,000
	Duration    Duration `toml:"duration"`    // of a run without phases
	Ramp        Duration `toml:"ramp"`        // time over which the browsers come; "0s" is a storm
	// RampDown is the time at the end of an act in which the load goes back to nothing; absent: it ends at once.
	RampDown Duration `toml:"ramp_down,omitempty"`
	// OneRequest: the connections of the models "handshake" and "resume" carry one request before they close.
	OneRequest bool `toml:"one_request,omitempty"`
	// RequestRate is requests/s over all connections (handshakes/s for the models "handshake" and
	// "resume"); 0: page loads only, or no rate. Shape lets it vary.
	RequestRate float64 `toml:"request_rate"`
	Shape       *Shape  `toml:"shape,omitempty"`
	Arrivals    string  `toml:"arrivals"` // constant, poisson: spacing of starts and requests
	// Lifetime is how long a browser stays: "65s" or "15s..65s"; the next one then takes its place.
	// Absent: to the end of the phase.
	Lifetime   DurationRange `toml:"lifetime,omitempty"`
	PerBrowser int           `toml:"per_browser"` // connections of one browser; 0: as many as its profile opens to one host
	// FirstAlone: a browser's first connection ends (served or given up) before it opens others. With
	// false they open at once, as some browsers do, and per-attempt outcomes depend on timing.
	FirstAlone bool `toml:"first_alone"`
	// Spare: connections beyond the first are opened ahead of need and held; with false each carries a
	// request as soon as it is up, as for a page's resources.
	Spare bool `toml:"spare"`
	// Verify: "every" checks the server's signature in each handshake, as browsers do; "first-per-key" in the
	// first with each server key and then in one of VerifySample (0: none), which is cheaper.
	Verify       string `toml:"verify"`
	VerifySample int    `toml:"verify_sample"`
	// KeyPool is how many ephemeral key pairs per group an agent uses in turn; 0 draws one for each handshake,
	// as browsers do, and makes each dearer by one scalar multiplication.
	KeyPool int `toml:"key_pool"`

	// Resolve: "browser", which keeps the address that it was given; or "connection", which asks again for each, as
	// with an answer of no lifetime or behind a balancer of layer 4: sessions then come from other edges.
	Resolve string   `toml:"resolve"`
	Reload  Duration `toml:"reload,omitempty"` // a user who was shown an error tries again after this; absent: leaves
	ALPN    []string `toml:"alpn,omitempty"`   // overrides the profiles' offers; the hello then differs

	URLs     []URL      `toml:"urls,omitempty"` // drawn by weight; none: GET /
	Page     Page       `toml:"page,omitempty"` // model "closed"
	StormAt  []Duration `toml:"storm_at,omitempty"`
	ReadRate int        `toml:"read_rate,omitempty"` // slow clients read answers at so many bytes/s
	// SendRate and HandshakeRate: slow clients write requests (header and body), or the bytes of their handshakes,
	// at so many bytes/s.
	SendRate      int     `toml:"send_rate,omitempty"`
	HandshakeRate int     `toml:"handshake_rate,omitempty"`
	Slow          float64 `toml:"slow,omitempty"` // share of browsers that are slow, 0..1
}

// Shape is how the request rate varies; request_rate is where it starts, or its mean.
type Shape struct {
	Kind   string    `toml:"kind"`             // ramp, steps, sine, spike, file
	To     float64   `toml:"to,omitempty"`     // ramp: the rate at its end; spike: the rate at its top
	Over   Duration  `toml:"over,omitempty"`   // ramp: how long; steps: how long each; spike: how long
	Rates  []float64 `toml:"rates,omitempty"`  // steps
	Swing  float64   `toml:"swing,omitempty"`  // sine: requests/s around request_rate
	Period Duration  `toml:"period,omitempty"` // sine
	At     Duration  `toml:"at,omitempty"`     // spike: when
	File   string    `toml:"file,omitempty"`   // file: one arrival a line, seconds or RFC 3339
}

// Page is a page of the closed model.
type Page struct {
	Resources int           `toml:"resources,omitempty"` // beside the page itself
	Think     DurationRange `toml:"think,omitempty"`     // between pages
}

// URL is one kind of request.
type URL struct {
	Weight  float64           `toml:"weight"`
	Method  string            `toml:"method"`
	Path    string            `toml:"path"`
	Headers map[string]string `toml:"headers,omitempty"`
	Text    string            `toml:"body,omitempty"`       // POST: the body
	Body    int               `toml:"body_bytes,omitempty"` // POST: instead, one of so many bytes
	Check   Check             `toml:"check,omitempty"`
}

// Check is what an answer must be to count as good. An answer of 500 or above fails without one.
type Check struct {
	Status   int    `toml:"status,omitempty"`
	Contains string `toml:"contains,omitempty"`
	Bytes    int64  `toml:"bytes,omitempty"`
}

// Browser is one entry of the mix.
type Browser struct {
	Profile   string  `toml:"profile"` // a built-in name or a TOML file
	Share     float64 `toml:"share"`   // weight, > 0
	Returning float64 `toml:"returning"`
	// Clock is how far the clock of a share ClockShare of these browsers is off: "-26280h" is three years slow.
	// They judge certificates by it.
	Clock      Offset  `toml:"clock,omitempty"`
	ClockShare float64 `toml:"clock_share"` // 0..1; default 1
}

// Who selects the attempts a fault may hit.
type Who struct {
	Profile    string `toml:"profile,omitempty"`
	Edge       string `toml:"edge,omitempty"`
	Address    string `toml:"address,omitempty"`
	Attempt    int    `toml:"attempt,omitempty"`
	Connection int    `toml:"connection,omitempty"`
	Kind       string `toml:"kind,omitempty"`
}

// Hello selects ClientHellos by what they say, as a middlebox does.
type Hello struct {
	Offers string   `toml:"offers,omitempty"` // "TLS 1.3": offers this version or a newer one
	Bytes  IntRange `toml:"bytes,omitempty"`  // "256..511": the message's length, its header included
	Group  string   `toml:"group,omitempty"`  // "X25519MLKEM768": has a key share of this group
}

// Fault is a rule as it is written; Rule is what it resolves to.
type Fault struct {
	Name        string   `toml:"name"`
	Engine      string   `toml:"engine"`
	At          string   `toml:"at,omitempty"`
	Direction   string   `toml:"direction,omitempty"`
	Who         Who      `toml:"who,omitempty"`
	Action      string   `toml:"action"`
	Probability float64  `toml:"probability"`
	Per         string   `toml:"per"`
	Times       int      `toml:"times,omitempty"`
	Limit       int      `toml:"limit,omitempty"`
	From        Duration `toml:"from,omitempty"`
	Until       Duration `toml:"until,omitempty"`

	Duration Duration `toml:"duration,omitempty"`
	Jitter   Duration `toml:"jitter,omitempty"`
	Bytes    int      `toml:"bytes,omitempty"`
	Rate     int64    `toml:"rate,omitempty"`
	Max      int      `toml:"max,omitempty"`
	Part     string   `toml:"part,omitempty"`
	Ramp     Duration `toml:"ramp,omitempty"`
	Burst    float64  `toml:"burst,omitempty"`
	Model    string   `toml:"model,omitempty"`
	Alert    int      `toml:"alert,omitempty"`

	// Request is which request of the connection a rule at request or response strikes, from 1; absent: the first.
	Request int `toml:"request,omitempty"`
	// Hello narrows a relay's rule to some ClientHellos.
	Hello Hello `toml:"hello,omitempty"`

	Rule faults.Rule `toml:"-"`
}

// Phase is one act. Fields left out keep the scenario's own.
type Phase struct {
	Name     string     `toml:"name"`
	About    string     `toml:"about,omitempty"` // one sentence for the report
	Duration Duration   `toml:"duration"`
	Fleet    PhaseFleet `toml:"fleet,omitempty"`
	// Connections and RequestRate are this act's own; absent: those of [load].
	Connections int      `toml:"connections,omitempty"`
	RequestRate float64  `toml:"request_rate,omitempty"`
	Faults      []string `toml:"faults"` // names of rules in force; absent: all
	// Keep: "browsers" carries memory and sessions over from the act before; "fleet" keeps the edges.
	Keep []string `toml:"keep,omitempty"`

	// Rules are the resolved rules in force, in the scenario's order.
	Rules []faults.Rule `toml:"-"`
}

// PhaseFleet is what an act changes about the fleet.
type PhaseFleet struct {
	Stack string            `toml:"stack,omitempty"`
	Set   map[string]string `toml:"set,omitempty"`
}

// Duration is a time.Duration written as "1m30s".
type Duration time.Duration

// Offset is a time.Duration of either sign, written as "-26280h".
type Offset time.Duration

// DurationRange is "65s" or "15s..65s"; zero is absent.
type DurationRange struct{ Min, Max time.Duration }

// IntRange is "256..511", "512.." or "..255"; zero is absent. Max 0 is no bound.
type IntRange struct{ Min, Max int }

// Traffic is the load of an act.
func (s *Scenario) Traffic(p *Phase) Traffic {
	t := s.Load
	if p.Connections > 0 {
		t.Connections = p.Connections
	}
	if p.RequestRate > 0 {
		t.RequestRate = p.RequestRate
	}
	return t
}

// MostConnections is how many the largest act holds.
func (s *Scenario) MostConnections() int {
	most := s.Load.Connections
	for i := range s.Phases {
		most = max(most, s.Traffic(&s.Phases[i]).Connections)
	}
	return most
}

// Total is the length of all acts.
func (s *Scenario) Total() time.Duration {
	var d time.Duration
	for _, p := range s.Phases {
		d += time.Duration(p.Duration)
	}
	return d
}

// Keeps says whether the act carries what over from the one before.
func (p *Phase) Keeps(what string) bool {
	for _, k := range p.Keep {
		if k == what {
			return true
		}
	}
	return false
}
