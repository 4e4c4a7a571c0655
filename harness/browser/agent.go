package browser

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/relay"
	"tlsurge/harness/engine"
	"tlsurge/harness/loop"
	"tlsurge/profiles"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// Agent is this process's share of the browsers of one phase. It belongs to the goroutine that calls
// Warm and Run.
type Agent struct {
	cfg    *Config
	loop   *loop.Loop
	rec    *results.Recorder
	ledger func(faults.Firing)

	draws   draws
	people  *population
	hosts   []*visitorState // per entry of the mix
	keys    *engine.KeyPool
	rand    *rand.ChaCha8 // what is drawn after a handshake: no outcome depends on its order
	relays  []*relay.Relay
	relayAt []netip.AddrPort
	serial  uint32 // armed connections so far: picks their source addresses
	turn    uint32 // ordinary connections so far: picks theirs

	places []*seat
	follow *follow // nil unless each connection follows another
	plans  map[profiles.Plan]*profiles.Plan
	spare  []*setup // of handshakes that are over
	free   []*exchange
	line   results.Attempt // what is being recorded

	start     time.Duration // of the phase, on the loop's clock
	live      int64         // attempts started and not over
	gcPercent int           // the process's own setting, while ours is in force; 0 otherwise
	// edgeStrikes: a rule makes edges close connections of their own choice.
	edgeStrikes bool
	fatal       error // a defect of this program, or a failed warm-up
	ended       bool  // the phase is over: nothing new begins
	warm        warmup
}

// gatherPause is how much later than it came the closed model may see an answer, where answers come in
// torrents. A browser there asks when it has been answered, so that the server keeps its queue meanwhile.
const gatherPause = 200 * time.Microsecond

// visitorState is what all browsers of one entry of the mix share.
type visitorState struct {
	profile   *profiles.Profile
	manners   *profiles.Manners
	reference []wire.Version // per edge: what an unfaulted first visit negotiated
	requests  [][]byte       // per URL: the whole request
	split     engine.Split
	verifier  *engine.Verifier
	clock     time.Duration // how far the clocks of some are off
	// settled is what its established connections share of a client's configuration.
	settled engine.ClientConfig
}

// NewAgent prepares the agent: nothing connects yet. rec and ledger are called on the goroutine that
// runs Warm and Run, and by nobody else.
func NewAgent(cfg *Config, rec *results.Recorder, ledger func(faults.Firing)) (*Agent, error) {
	if err := cfg.checked(); err != nil {
		return nil, err
	}
	l, err := loop.New()
	if err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, loop: l, rec: rec, ledger: ledger, plans: make(map[profiles.Plan]*profiles.Plan)}
	if cfg.Load.Model == Closed {
		l.Gather(gatherPause)
	}
	a.draws = newDraws(cfg.Seed, cfg.Phase)
	if cfg.Carry != nil {
		a.draws = newDraws(cfg.Seed, cfg.Carry.phase) // the same people as then
	}
	a.rand = a.random(^uint64(0))
	a.keys = engine.NewKeyPool(cfg.KeyPool, a.rand)
	if cfg.Plan != nil {
		for _, r := range cfg.Plan.Rules() {
			a.edgeStrikes = a.edgeStrikes || r.HitsEdge()
		}
	}
	for i := range cfg.Mix {
		a.hosts = append(a.hosts, a.newVisitor(&cfg.Mix[i]))
	}
	a.people = newPopulation(a.draws, &cfg.Load, cfg.Mix, len(cfg.Edges))
	if cfg.Plan != nil {
		cfg.Plan.Admit(a.expected(), cfg.AgentIndex, cfg.Agents)
	}
	for p := cfg.AgentIndex; p < len(a.people.places); p += cfg.Agents {
		a.places = append(a.places, &seat{agent: a, who: a.people.first(uint32(p))})
	}
	if err := a.startRelays(); err != nil {
		l.Close()
		return nil, err
	}
	return a, nil
}

// random is the random stream of whatever id names.
func (a *Agent) random(id uint64) *rand.ChaCha8 { return rand.NewChaCha8(a.seed(id)) }

// seed begins the random stream of one attempt, or of whatever else id names.
func (a *Agent) seed(id uint64) (seed [32]byte) {
	for i := range 4 {
		v := a.draws.bits(saltRandom+salt(i)<<32, id)
		for j := range 8 {
			seed[8*i+j] = byte(v >> (8 * j))
		}
	}
	return seed
}

func (a *Agent) newVisitor(v *Visitor) *visitorState {
	s := &visitorState{profile: v.Profile, manners: v.Profile.Manners(), reference: make([]wire.Version, len(a.cfg.Edges)),
		split: splitOf(v.Profile.Browser), verifier: a.cfg.Verifier, clock: v.Clock}
	if s.manners.MissingIssuer != profiles.IssuerMissed && a.cfg.Finder != nil {
		s.verifier = a.cfg.Finder
	}
	s.settled = engine.ClientConfig{Rand: a.rand, KeyLog: a.cfg.KeyLog, ServerName: a.cfg.ServerName, Split: s.split}
	for i := range a.cfg.Load.urls() {
		s.requests = append(s.requests, a.cfg.Load.urls()[i].request(a.cfg.ServerName, v.Profile.Name))
	}
	return s
}

// splitOf is how a client cuts its data under CBC in TLS 1.0 since the attacks of 2011: browsers send one
// byte first, OpenSSL an empty record.
func splitOf(browser string) engine.Split {
	switch browser {
	case "OpenSSL", "curl":
		return engine.SplitEmpty
	case "GnuTLS":
		return engine.SplitNone
	}
	return engine.SplitOne
}

// startRelays starts one relay per edge where a rule asks for one.
func (a *Agent) startRelays() error {
	if a.cfg.Plan == nil {
		return nil
	}
	needed := false
	rules := a.cfg.Plan.Rules()
	for i := range rules {
		needed = needed || rules[i].Engine == faults.EngineRelay
	}
	if !needed {
		return nil
	}
	for _, e := range a.cfg.Edges {
		r, err := relay.Start(relay.Config{Target: e.Addr, Seed: a.cfg.Seed, Ledger: func(f faults.Firing) {
			a.loop.Post(func() { a.ledger(f) })
		}})
		if err != nil {
			a.closeRelays()
			return fmt.Errorf("browser: relay to %s: %w", e.Name, err)
		}
		a.relays = append(a.relays, r)
		a.relayAt = append(a.relayAt, r.Addr())
	}
	return nil
}

func (a *Agent) closeRelays() {
	for _, r := range a.relays {
		r.Close()
	}
	a.relays = nil
}

// Run plays the phase: start is its time zero. It returns when the phase is over or ctx ends (whose
// error it then returns); connections are then still open, and have been recorded as such.
func (a *Agent) Run(ctx context.Context, start time.Time) error {
	a.start = a.loop.At(start)
	a.ended = false
	end, cancel := context.WithDeadline(ctx, start.Add(a.cfg.Load.Duration))
	defer cancel()
	a.startLoad()
	a.gcPercent = debug.SetGCPercent(a.gcPercentFor(garbageInRamp, 100))
	if a.cfg.Load.holds() && a.cfg.Load.Ramp > 0 {
		a.loop.Pace(&tidy{agent: a, at: a.start + a.cfg.Load.Ramp + parkAfter})
	}
	err := a.loop.Run(end)
	a.stopLoad()
	switch {
	case a.fatal != nil:
		return a.fatal
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return a.balance()
}

// balance is the law of every run: each attempt that began has ended in one class, or is still open.
func (a *Agent) balance() error {
	t := a.rec.Totals()
	if t.Started != t.Completed+t.Failed+t.OpenAtEnd || t.OpenAtEnd != a.live {
		return fmt.Errorf("browser: attempts do not balance: %d started, %d completed, %d failed, %d open (the agent holds %d)",
			t.Started, t.Completed, t.Failed, t.OpenAtEnd, a.live)
	}
	return nil
}

// defect ends the run because of a fault of this program.
func (a *Agent) defect(err error) {
	if a.fatal == nil {
		a.fatal = fmt.Errorf("browser: internal fault: %w", err)
	}
	a.loop.Stop()
}

// now is the time within the phase.
func (a *Agent) now() time.Duration { return a.loop.Now() - a.start }

// Elapsed is now, for the agent's goroutine between or after its turns.
func (a *Agent) Elapsed() time.Duration { return a.now() }

// Each calls f on the agent's goroutine every period while Warm or Run is under way.
func (a *Agent) Each(period time.Duration, f func()) { a.loop.Pace(&ticker{period: period, f: f}) }

// tidy gives the memory that the ramp's handshakes took back to the system once they are over, in the
// background, and has the collector keep it so: what an agent weighs is then what its connections weigh.
// Both concern the whole process, which an agent has to itself.
type tidy struct {
	agent *Agent
	at    time.Duration
	done  bool
}

// How much garbage may lie beside the live heap before it is collected. In the ramp, handshakes make tens
// of megabytes a second, and each collection may stop a loop that has no processor to spare: room is cheap
// then. While connections are held it would be the greater part of what they weigh.
const (
	garbageInRamp = 16 << 20
	garbageHeld   = 4 << 20
)

// gcPercentFor is the collector's setting that leaves room for so much garbage at this agent's full load.
func (a *Agent) gcPercentFor(garbage, least int) int {
	const perConnection, fixed = 1100, 5 << 20 // bytes of live heap, measured
	live := a.cfg.Load.Connections/a.cfg.Agents*perConnection + fixed
	return max(least, min(garbage*100/live, 400))
}

func (t *tidy) Due(now time.Duration) time.Duration {
	if now < t.at && !t.done {
		return t.at
	}
	if !t.done && !t.agent.ended {
		t.done = true
		debug.SetGCPercent(t.agent.gcPercentFor(garbageHeld, 20))
		go debug.FreeOSMemory()
	}
	return loop.Never
}

type ticker struct {
	period, next time.Duration
	f            func()
}

func (t *ticker) Due(now time.Duration) time.Duration {
	if t.next == 0 {
		t.next = now + t.period
	}
	for t.next <= now {
		t.next += t.period
		t.f()
	}
	return t.next
}

// source picks the address that an ordinary connection comes from.
func (a *Agent) source() netip.AddrPort {
	if len(a.cfg.Sources) == 0 {
		return netip.AddrPort{}
	}
	a.turn++
	return netip.AddrPortFrom(a.cfg.Sources[int(a.turn)%len(a.cfg.Sources)], 0)
}

// armedSource picks an address of the rule's own subnet, each used by one attempt until 65,023 are used.
func (a *Agent) armedSource(r *faults.Rule, to netip.Addr) netip.Addr {
	n := a.serial*uint32(a.cfg.Agents) + uint32(a.cfg.AgentIndex)
	a.serial++
	return faults.SourceAddrFor(r, n, to)
}

// Close closes every connection, tells each server close_notify, and releases everything.
func (a *Agent) Close() error {
	a.ended = true
	for _, s := range a.places {
		if s.browser != nil {
			s.browser.abandon()
		}
	}
	a.closeRelays()
	return a.loop.Close()
}
