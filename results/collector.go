package results

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"tlsurge/faults"
)

// CollectorConfig is what the coordinator knows before the first phase.
type CollectorConfig struct {
	// Dir is RUNDIR, which exists; empty keeps everything in memory and writes nothing.
	Dir         string
	ToolVersion string
	Scenario    string
	Seed        uint64
	Started     time.Time
	Tags        map[string]string
	Digests     map[string]string // of the scenario and the files that it names
	Target      int64             // connections the scenario wants held
	Machine     Machine
	// KernelNamespace is "own" where the network namespace is this run's alone, so that its counters
	// can condemn, and "caller" otherwise.
	KernelNamespace string
	Agents          []string // IDs of the agents that should report
	Thresholds      []Threshold
	// Notes are what is worth knowing about the run before it begins: overrides, what the sandbox gave.
	Notes  []string
	Limits Limits // zero fields take DefaultLimits
}

// PhaseInfo opens a phase.
type PhaseInfo struct {
	Name   string
	Stack  string        // of the fleet in this phase
	About  string        // the scenario's own sentence, for the report
	Target int64         // connections held in this phase; 0: the run's
	Rules  []faults.Rule // those armed in this phase
}

// Collector gathers what agents and edges report, writes it to RUNDIR as it comes, and joins it into
// a Run at the end. All its methods may be called from any goroutine.
type Collector struct {
	cfg CollectorConfig

	mu     sync.Mutex
	phases []*phaseState
	agents map[string]*agentState
	seen   map[string]map[uint64]bool // evidence batches already counted, by source

	attempts []Attempt
	firings  []faults.Firing
	events   []ServerEvent
	// firingCount counts firings by the phase that their key names, or else that ran at their time.
	firingCount map[string]int64

	kernel    map[string]int64
	lostEdges map[string]string   // "edge-2" -> why
	silent    map[string]*silence // edges that others went on without
	unheard   silence             // of everybody at once
	timeline  timeline
	files     *runFiles // nil without Dir
	failure   error     // the first write that failed; later ones are not tried
	hopeless  string    // the first threshold that can hold no more
	finished  bool
	joined    *join // by Finish
}

// phaseState is what has been reported about one phase.
type phaseState struct {
	PhaseInfo
	start, end time.Time // end is zero while it runs
	started    bool      // its load has an instant to begin at
	snapshots  map[loopKey]*Snapshot
	edges      map[string]*EdgeStats
	written    *phaseLatency // what latency.hlog already holds
	writtenTo  time.Time
	reported   uint64 // sequence numbers of the snapshots that the last tick saw, added up
	peak       int64
}

type loopKey struct {
	agent string
	loop  int
}

type agentState struct {
	process ProcessStats
	peak    int64
	lost    string // why; empty while it is with us
}

// NewCollector opens the files of RUNDIR and writes a provisional run.json, so that a run that is
// killed in its first second leaves a directory that says so.
func NewCollector(cfg CollectorConfig) (*Collector, error) {
	c := &Collector{
		cfg: cfg, agents: map[string]*agentState{}, seen: map[string]map[uint64]bool{},
		firingCount: map[string]int64{}, kernel: map[string]int64{}, lostEdges: map[string]string{}, silent: map[string]*silence{},
	}
	c.cfg.Limits = cfg.Limits.withDefaults()
	for _, id := range cfg.Agents {
		c.agents[id] = &agentState{}
	}
	if cfg.Dir != "" {
		files, err := openRunFiles(cfg)
		if err != nil {
			return nil, err
		}
		c.files = files
		if err := c.writeProvisional(cfg.Started); err != nil {
			files.close()
			return nil, err
		}
	}
	return c, nil
}

// BeginPhase opens the next phase. Its name must be new.
func (c *Collector) BeginPhase(p PhaseInfo, at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase(p.Name) != nil {
		return fmt.Errorf("results: phase %q was begun before", p.Name)
	}
	c.phases = append(c.phases, &phaseState{
		PhaseInfo: p, start: at, writtenTo: at, written: newPhaseLatency(),
		snapshots: map[loopKey]*Snapshot{}, edges: map[string]*EdgeStats{},
	})
	return nil
}

// PhaseStarted moves the start of the phase that BeginPhase opened last to the instant at which its
// load began: between the two lies the warm-up, which may report but is not part of the phase's time.
func (c *Collector) PhaseStarted(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.phases) == 0 {
		return
	}
	p := c.phases[len(c.phases)-1]
	p.start, p.writtenTo, p.started = at, at, true
	c.unheard.now = 0
	c.timeline.samples = slices.DeleteFunc(c.timeline.samples, func(s Sample) bool { return s.Phase == p.Name })
}

// EndPhase closes the phase that BeginPhase opened last. Reports about it are still taken.
func (c *Collector) EndPhase(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.phases); n > 0 && c.phases[n-1].end.IsZero() {
		c.phases[n-1].end = at
	}
}

// phase finds a phase by name; nil if it was not begun. Called with mu held.
func (c *Collector) phase(name string) *phaseState {
	i := slices.IndexFunc(c.phases, func(p *phaseState) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return c.phases[i]
}

// Snapshot takes an agent's cumulative counters. One that is older than what is known is ignored, so
// that late or repeated messages do no harm.
func (c *Collector) Snapshot(s *Snapshot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.phase(s.Phase)
	if p == nil {
		return fmt.Errorf("results: agent %s reports phase %q, which was not begun", s.Agent, s.Phase)
	}
	k := loopKey{s.Agent, s.Loop}
	if old := p.snapshots[k]; old != nil {
		if old.Seq >= s.Seq {
			if s.Final && !old.Final { // it travels another road than the one after it, and came second
				last := *old
				last.Final = true
				p.snapshots[k] = &last
			}
			return nil
		}
		if old.Final && !s.Final { // a loop that has stopped stays so, whatever is sent after
			last := *s
			last.Final = true
			s = &last
		}
	}
	p.snapshots[k] = s
	a := c.agents[s.Agent]
	if a == nil {
		a = &agentState{}
		c.agents[s.Agent] = a
	}
	a.process = mergeProcess(a.process, s.Process)
	return nil
}

// mergeProcess keeps the maxima of what a process said of itself: a later phase may say less.
func mergeProcess(old, now ProcessStats) ProcessStats {
	now.RSSPeakBytes = max(now.RSSPeakBytes, old.RSSPeakBytes)
	now.RSSPerIdleConnectionBytes = max(now.RSSPerIdleConnectionBytes, old.RSSPerIdleConnectionBytes)
	now.CPU = max(now.CPU, old.CPU)
	now.GCPauseMax = max(now.GCPauseMax, old.GCPauseMax)
	now.GCPaused = max(now.GCPaused, old.GCPaused)
	if now.Host == "" {
		now.Host = old.Host
	}
	return now
}

// Edge takes an edge's cumulative counters.
func (c *Collector) Edge(e EdgeStats) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.phase(e.Phase)
	if p == nil {
		return fmt.Errorf("results: edge %s reports phase %q, which was not begun", e.Name, e.Phase)
	}
	if old := p.edges[e.Name]; old != nil && old.Seq > e.Seq {
		return nil
	}
	p.edges[e.Name] = &e
	return nil
}

// Evidence takes a batch, writes it to outcomes.jsonl and firings.jsonl, and reports whether it was
// new. A batch with sequence number 0 comes from this very process and is never a repetition.
func (c *Collector) Evidence(e Evidence) (fresh bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Seq != 0 {
		known := c.seen[e.Source]
		if known == nil {
			known = map[uint64]bool{}
			c.seen[e.Source] = known
		}
		if known[e.Seq] {
			return false, nil
		}
		known[e.Seq] = true
	}
	c.attempts = append(c.attempts, e.Attempts...)
	c.firings = append(c.firings, e.Firings...)
	c.events = append(c.events, e.ServerEvents...)
	for i := range e.Firings {
		f := &e.Firings[i]
		phase := f.Key.Phase
		if phase == "" {
			phase = c.phaseAt(f.Time.Sub(c.cfg.Started).Nanoseconds())
		}
		c.firingCount[phase]++
	}
	if c.files != nil {
		c.note(c.files.appendEvidence(e))
	}
	return true, c.failure
}

// Fired is how often the rule has fired so far, over all phases.
func (c *Collector) Fired(rule string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for i := range c.firings {
		if c.firings[i].Rule == rule {
			n++
		}
	}
	return n
}

// Attempts, Firings and ServerEvents are Evidence of one kind.
func (c *Collector) Attempts(source string, seq uint64, as []Attempt) (bool, error) {
	return c.Evidence(Evidence{Source: source, Seq: seq, Attempts: as})
}

func (c *Collector) Firings(source string, seq uint64, fs []faults.Firing) (bool, error) {
	return c.Evidence(Evidence{Source: source, Seq: seq, Firings: fs})
}

func (c *Collector) ServerEvents(source string, seq uint64, es []ServerEvent) (bool, error) {
	return c.Evidence(Evidence{Source: source, Seq: seq, ServerEvents: es})
}

// Kernel takes counters of the network namespace (TCPSynRetrans, ListenOverflows, …) as differences
// since the run began; the last call counts.
func (c *Collector) Kernel(counters map[string]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, v := range counters {
		c.kernel[k] = v
	}
}

// LostAgent and LostEdge say that a process died before its time, and why. What it had sent is kept.
func (c *Collector) LostAgent(id, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.agents[id] == nil {
		c.agents[id] = &agentState{}
	}
	c.agents[id].lost = why
}

func (c *Collector) LostEdge(name, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lostEdges[name] = why
}

// note keeps the first failure to write. Called with mu held.
func (c *Collector) note(err error) {
	if err != nil && c.failure == nil {
		c.failure = fmt.Errorf("results: writing %s: %w", c.cfg.Dir, err)
	}
}

// Err is the first failure to write to RUNDIR (a full disk); nil while all is well. The run should
// then be ended: nothing more is written.
func (c *Collector) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}
