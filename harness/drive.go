package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/link"
	"tlsurge/harness/cluster"
	"tlsurge/harness/evidence"
	"tlsurge/harness/fleet"
	"tlsurge/harness/scenario"
	"tlsurge/results"
)

const (
	// actMargin is how much longer than its duration an act may take before it is given up: agents close
	// tens of thousands of connections and hand in their last evidence in it.
	actMargin = 30 * time.Second
	// stopTimeout bounds the end of the run.
	stopTimeout = 30 * time.Second
	tickEvery   = time.Second
)

// drive is a run under way.
type drive struct {
	sc       *scenario.Scenario
	o        Options
	progress Progress

	collector *results.Collector
	hub       *cluster.Hub
	crew      *fleet.Crew
	pki       *fleet.PKI
	fleet     *fleet.Fleet      // nil for a target that is not ours, and between acts
	capture   *evidence.Capture // nil unless the scenario asks for one
	link      *link.Link        // nil unless a rule is about packets on the path
	kernel    fleet.Kernel      // counters when the run began
	peaks     fleet.Peaks       // of the gauges; the ticker's until it has ended
	targetCA  []byte            // PEM; nil without one
	settings  []string          // what setKernel did, in words
	agents    int
	acts      int    // how many have begun
	madeDir   string // what is removed if the run cannot begin

	metrics    *metrics      // nil: none are served
	broken     chan struct{} // closed when the run directory cannot be written, or a threshold is hopeless
	brokenOnce sync.Once
	tickerDone chan struct{}
	stopOnce   sync.Once
	ticking    sync.WaitGroup

	mu    sync.Mutex // guards phase: the act that the ticker tells of
	phase *playing
}

type playing struct {
	p  *scenario.Phase
	at time.Time
}

// start makes the run directory, the hub and the agents.
func start(ctx context.Context, sc *scenario.Scenario, o Options) (_ *drive, err error) {
	d := &drive{sc: sc, o: o, progress: o.Progress, broken: make(chan struct{}), tickerDone: make(chan struct{})}
	if d.agents, err = fleet.PlanAgents(shape(sc), fleet.ReadLimits()); err != nil {
		return nil, err
	}
	if d.targetCA, err = readTargetCA(sc.Target); err != nil {
		return nil, err
	}
	if d.madeDir, err = makeRunDir(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = d.undo(err)
			d.close()
		}
	}()
	if err := d.openLink(); err != nil {
		return nil, err
	}
	if err := d.everywhere(func() (err error) { d.settings, err = setKernel(sc.Kernel); return err }); err != nil {
		return nil, err
	}
	if d.onIPv6() {
		if err := fleet.OwnIPv6(); err != nil {
			return nil, err
		}
	}
	if d.kernel, err = d.readKernel(); err != nil {
		return nil, err
	}
	if err := d.openResults(); err != nil {
		return nil, err
	}
	if err := d.startCapture(); err != nil {
		return nil, err
	}
	if sc.Target == nil { // a target has its own
		if d.pki, err = fleet.MakePKI(pkiConfig(&sc.Fleet, o)); err != nil {
			return nil, err
		}
	}
	if err := d.startHub(ctx); err != nil {
		return nil, err
	}
	if d.crew, err = fleet.StartAgents(ctx, fleet.AgentsConfig{Hub: d.hub, N: d.agents, SpareCPUs: sc.Fleet.CPUs, Notice: d.childExit, Begin: d.clientSide()}); err != nil {
		return nil, err
	}
	if err := d.awaitRemote(ctx); err != nil {
		return nil, err
	}
	d.metrics = serveMetrics(o.Metrics, d.collector)
	d.ticking.Add(1)
	go d.tick()
	return d, nil
}

// openResults writes the scenario as resolved and opens the collector.
func (d *drive) openResults() error {
	text, err := d.sc.TOML()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.o.Dir, "scenario.toml"), text, 0o600); err != nil {
		return err
	}
	var thresholds []results.Threshold
	for _, path := range sortedKeys(d.sc.Thresholds) {
		t, err := results.ParseThreshold(path, d.sc.Thresholds[path])
		if err != nil {
			return err
		}
		thresholds = append(thresholds, t)
	}
	digests, err := digests(d.sc)
	if err != nil {
		return err
	}
	namespace := "caller"
	if d.o.Place.OwnNet {
		namespace = "own"
	}
	d.collector, err = results.NewCollector(results.CollectorConfig{
		Dir: d.o.Dir, ToolVersion: d.o.ToolVersion, Scenario: d.sc.Name, Seed: d.sc.Seed, Started: d.o.Started,
		Tags: d.sc.Tags, Digests: digests, Target: int64(d.sc.MostConnections()), Machine: results.ThisMachine(), KernelNamespace: namespace,
		Agents: agentIDs(d.agents), Thresholds: thresholds, Notes: d.notes(),
	})
	return err
}

// notes are what a reader of the result should know and nothing condemns.
func (d *drive) notes() []string {
	notes := append([]string(nil), d.o.Place.Notes...)
	for _, k := range sortedKeys(d.sc.Fleet.Set) {
		notes = append(notes, fmt.Sprintf("the scenario sets %s = %s on the edges", k, d.sc.Fleet.Set[k]))
	}
	if d.sc.Target == nil {
		notes = append(notes, certificateNotes(&d.sc.Fleet)...)
	}
	notes = append(notes, d.settings...)
	for _, f := range d.sc.Faults {
		if f.Rule.Engine == faults.EngineEdge {
			notes = append(notes, fmt.Sprintf("%s is an assumption planted on the edges: %s", f.Name, f.Action))
		}
	}
	for _, p := range d.sc.Phases {
		if d.sc.Load.Ramp > p.Duration {
			notes = append(notes, fmt.Sprintf("the ramp (%v) is longer than the act %s (%v): not all connections are opened in it",
				time.Duration(d.sc.Load.Ramp), p.Name, time.Duration(p.Duration)))
		}
	}
	notes = append(notes, d.lateRules()...)
	if len(d.sc.Load.ALPN) > 0 {
		notes = append(notes, fmt.Sprintf("ALPN is overridden with %v: these hellos differ from the browsers'", d.sc.Load.ALPN))
	}
	return notes
}

// lateRules are those whose time lies beyond the end of their act.
func (d *drive) lateRules() (notes []string) {
	for _, p := range d.sc.Phases {
		for _, r := range p.Rules {
			switch length := time.Duration(p.Duration); {
			case r.From >= length:
				notes = append(notes, fmt.Sprintf("%s begins at %v, and the act %s ends at %v: it hits nobody in it", r.Name, r.From, p.Name, length))
			case r.Until > length:
				notes = append(notes, fmt.Sprintf("%s lasts until %v, and the act %s ends at %v", r.Name, r.Until, p.Name, length))
			}
		}
	}
	return notes
}

// notice hears of members that the hub has lost: an agent or an edge whose process hangs, or whose
// machine is gone.
func (d *drive) notice(n cluster.Notice) {
	if n.State == cluster.Lost {
		d.lost(n.Info.ID, n.Info.Role, n.Why)
	}
}

// childExit hears of child processes that end.
func (d *drive) childExit(e fleet.Exit) {
	if !e.Asked {
		d.lost(e.Name, e.Role, e.Why)
	}
}

func (d *drive) lost(id, role, why string) {
	if role == fleet.RoleAgent {
		d.collector.LostAgent(id, why)
		return
	}
	d.collector.LostEdge(id, why)
}

// tick writes what is known to disk each second and moves the progress display.
func (d *drive) tick() {
	defer d.ticking.Done()
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-d.tickerDone:
			return
		case now := <-t.C:
			d.countKernel()
			if d.collector.Tick(now) != nil || d.hopeless() != "" {
				d.brokenOnce.Do(func() { close(d.broken) })
			}
			d.show(now)
		}
	}
}

// countKernel hands over what the kernel has counted so far.
func (d *drive) countKernel() {
	if k, err := d.readKernel(); err == nil {
		d.peaks.See(k)
		d.collector.Kernel(d.peaks.AddTo(k.Since(d.kernel)))
	}
}

// hopeless is the threshold that the run is ended for; empty: none.
func (d *drive) hopeless() string {
	if d.o.KeepGoing {
		return ""
	}
	return d.collector.Hopeless()
}

func (d *drive) stopTicker() {
	d.stopOnce.Do(func() { close(d.tickerDone) })
	d.ticking.Wait()
}

// close ends every process and file of the run; what is stopped already is left alone.
func (d *drive) close() {
	d.stopTicker()
	d.metrics.close()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if d.fleet != nil {
		_ = d.fleet.Stop(ctx) // the run's verdict stands already
	}
	if d.crew != nil {
		_ = d.crew.Stop(ctx)
	}
	if d.hub != nil {
		d.hub.Close()
	}
	d.capture.Close()
	d.closeLink()
}

// undo removes what a run that never began has made: its directory, with the parents made for it.
func (d *drive) undo(err error) error {
	d.close()
	return errors.Join(plain(err), os.RemoveAll(d.madeDir))
}

// makeRunDir refuses a directory that holds anything: nothing is overwritten. made is the topmost
// directory that was not there before.
func makeRunDir(dir string) (made string, err error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return "", &ConfigError{Text: fmt.Sprintf("--out %s: the directory is not empty, and nothing is overwritten", dir)}
	}
	made = dir
	for up := filepath.Dir(made); !exists(up); up = filepath.Dir(up) {
		made = up
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", &ConfigError{Text: fmt.Sprintf("--out: %v", err)}
	}
	return made, os.Chmod(dir, 0o700)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
