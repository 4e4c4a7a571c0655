package bench

import (
	"cmp"
	"context"
	"crypto/x509"
	_ "embed"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tlsurge/harness/browser"
	"tlsurge/harness/child"
	"tlsurge/harness/engine"
	"tlsurge/harness/fleet"
	"tlsurge/harness/scenario"
	"tlsurge/profiles"
	"tlsurge/results"
	"tlsurge/results/hist"
)

// The work of one round on one side. Fixed amounts, not fixed times: both sides do the same, however slow
// they are. Small pieces, in turn (base, new, new, base), so that what the machine does in a second hits
// both. At many at once, so that a server's idling between two clients is not in its price.
const (
	warmHandshakes = 20
	heldRamp       = 150 * time.Millisecond
	heldLimit      = 5 * time.Second // for the last of them to have its answer
	fullSlices     = 16              // of both sides together; a multiple of 4
	fullEach       = 15
	fullAtOnce     = 4
	resumedSlices  = 4
	resumedEach    = 400
	resumedAtOnce  = 32
	requestSlices  = 4
	requestsFor    = 120 * time.Millisecond
	requestBrowser = 24
	sliceLimit     = 30 * time.Second
)

// Parts are what a round is made of, in its order.
var Parts = []string{"memory", "full", "resumed", "requests", "browsers"}

//go:embed edges.toml
var edgesTOML []byte

// Edges is a rig that starts an edge of each side per round and visits both alike. Two processes of one
// binary differ by a little for as long as they live (where their pages lie), so each round has fresh
// ones.
type Edges struct {
	client client
	seed   uint64
	dir    string
	sides  map[string]target // by name of the side
	compat []*profiles.Profile
	parts  []string
}

// target is what a side's server is, or where.
type target struct {
	edge Edge
	addr netip.AddrPort // valid: somebody else's server
}

// Edge is the command line of `tlsurge edge`, but for what is new in each round.
type Edge struct {
	fleet scenario.Fleet
	pki   *fleet.PKI
	dir   string
}

// NewEdges prepares a bench of what the overrides of both sides make of the built-in scenario, with its
// files in dir. parts are what to measure (of Parts; none is all).
func NewEdges(dir string, base, candidate Side, seed uint64, parts, authorise []string) (*Edges, error) {
	e := &Edges{seed: seed, dir: dir, sides: map[string]target{}, parts: parts}
	if len(parts) == 0 {
		e.parts = Parts
	}
	file := filepath.Join(dir, "edges.toml")
	if err := os.WriteFile(file, edgesTOML, 0o600); err != nil {
		return nil, err
	}
	for _, s := range []Side{base, candidate} {
		sc, err := scenario.Load(file, scenario.Overrides{Set: s.Set, Authorise: authorise})
		if err != nil {
			return nil, err
		}
		if err := e.side(s, sc); err != nil {
			return nil, err
		}
	}
	for _, name := range profiles.Names() {
		p, err := profiles.Lookup(name)
		if err != nil {
			return nil, err
		}
		e.compat = append(e.compat, p)
	}
	return e, nil
}

// side takes from the scenario of a side what it is made of; the visitors are the baseline's.
func (e *Edges) side(s Side, sc *scenario.Scenario) error {
	if sc.Fleet.Edge != "bundled" && sc.Target == nil {
		return &child.Error{Code: 2, Text: fmt.Sprintf("%s: fleet.edge = %q: a bench without a scenario starts tlsurge's own edge; give a scenario, or start it yourself and give its address", s.Name, sc.Fleet.Edge)}
	}
	var t target
	roots := x509.NewCertPool()
	name := sc.Fleet.ServerName
	switch {
	case sc.Target != nil:
		if len(sc.Target.Addresses) != 1 {
			return &child.Error{Code: 2, Text: fmt.Sprintf("%s: %d target addresses: a side is one", s.Name, len(sc.Target.Addresses))}
		}
		t.addr = netip.MustParseAddrPort(sc.Target.Addresses[0])
		name = sc.Target.ServerName
		if sc.Target.CA != "" {
			pem, err := os.ReadFile(sc.Target.CA)
			if err != nil {
				return &child.Error{Code: 2, Text: fmt.Sprintf("target.ca: %v", err)}
			}
			roots.AppendCertsFromPEM(pem)
		}
	default:
		pki, err := fleet.MakePKI(fleet.PKIConfig{Dir: filepath.Join(e.dir, "pki-"+s.Name), Names: []string{name}, Key: fleet.KeyType(sc.Fleet.Key), Now: time.Now()})
		if err != nil {
			return err
		}
		roots.AddCert(pki.CA)
		t.edge = Edge{sc.Fleet, pki, filepath.Join(e.dir, "edge-"+s.Name)}
		if err := os.MkdirAll(t.edge.dir, 0o700); err != nil {
			return err
		}
	}
	e.sides[s.Name] = t
	if e.client.mix == nil {
		for _, b := range sc.Browsers {
			p, err := profiles.Lookup(b.Profile)
			if err != nil {
				return err
			}
			e.client.mix = append(e.client.mix, browser.Visitor{Profile: p, Weight: b.Share, Returning: 1})
		}
		e.client.held = sc.Load.Connections
		e.client.verifiers = map[string]*engine.Verifier{}
		e.client.names = map[string]string{}
	}
	e.client.names[s.Name] = name
	if sc.Target == nil || !sc.Target.Insecure {
		e.client.verifiers[s.Name] = &engine.Verifier{Roots: roots, Policy: engine.VerifyFirstPerKey}
	}
	return nil
}

// args are the words after the binary's name.
func (e Edge) args() []string {
	f := e.fleet
	args := []string{"edge", "--listen", "127.0.0.1:0", "--cert", e.pki.CertFile, "--key", e.pki.KeyFile, "--stack", f.Stack,
		"--error-log", filepath.Join(e.dir, "error.log"), "--access-log", filepath.Join(e.dir, "access.log")}
	if f.Config != "" {
		args = append(args, "--config", f.Config)
	}
	for name, value := range f.Set {
		args = append(args, "--set", name+"="+value)
	}
	return args
}

// WarmUp starts and visits both twice; the price is that of the second round's full handshakes: the first pays
// for pages that nobody has touched.
func (e *Edges) WarmUp(ctx context.Context, base, candidate Side) (time.Duration, error) {
	all := *e
	all.parts = []string{"full"}
	var p Pair
	for i := range 2 {
		var err error
		if p, err = all.Round(ctx, base, candidate, Round{Set: "warm-up", Index: i, Number: i}); err != nil {
			return 0, err
		}
	}
	for _, v := range p.Base.Values {
		if v.Name == "cpu_per_full_handshake" {
			return time.Duration(v.V), nil
		}
	}
	return 0, nil
}

// Round starts both, gives them the same work in turn, and stops them.
func (e *Edges) Round(ctx context.Context, base, candidate Side, r Round) (_ Pair, err error) {
	sides := [2]*visited{}
	defer func() {
		for _, v := range sides {
			v.stop()
		}
	}()
	for k := range sides { // who starts first changes too
		i := (k + r.Number) % 2
		if sides[i], err = e.visit(ctx, [2]Side{base, candidate}[i]); err != nil {
			return Pair{}, err
		}
	}
	w := work{client: &e.client, seed: e.seed + uint64(r.Number)*1000, first: r.Number % 2, sides: sides}
	if err := w.warm(ctx); err != nil {
		return Pair{}, err
	}
	for i, step := range []func(context.Context) error{w.hold, w.full, w.resumed, w.requests, func(ctx context.Context) error { return w.compatible(ctx, e.compat) }} {
		if !slices.Contains(e.parts, Parts[i]) {
			continue
		}
		if err := step(ctx); err != nil {
			return Pair{}, err
		}
	}
	return Pair{Base: sides[0].sample(), New: sides[1].sample()}, nil
}

// visited is a side within a round: its server, and what was seen of it.
type visited struct {
	*server
	side               string
	alone              int64 // resident before connections are held
	held               int64
	memory             int64
	full, resumed, req tally
	handshake          *hist.Histogram // service times
	response           *hist.Histogram
	visits, got        int64 // of browsers that offered a session, and how many were resumed
	pages              map[string][2]int64
	once               map[string][2]int64 // browsers that come once
}

// tally is processor time and what it was for, slice by slice.
type tally []piece

type piece struct {
	cpu time.Duration
	n   int64
}

func (t *tally) add(cpu time.Duration, n int64) {
	if n > 0 {
		*t = append(*t, piece{cpu, n})
	}
}

// price is the processor time of one, over the cheaper half of the slices: all slices of a side are the same
// work, and whatever else the machine does (caches lost to others, a hypervisor's stolen time) only adds.
func (t tally) price() (ns float64, ok bool) {
	s := slices.Clone(t)
	slices.SortFunc(s, func(a, b piece) int { return cmp.Compare(a.each(), b.each()) })
	var sum piece
	for _, p := range s[:(len(s)+1)/2] {
		sum.cpu, sum.n = sum.cpu+p.cpu, sum.n+p.n
	}
	return sum.each(), sum.n > 0
}

func (p piece) each() float64 { return float64(p.cpu) / float64(max(1, p.n)) }

func (e *Edges) visit(ctx context.Context, s Side) (*visited, error) {
	t := e.sides[s.Name]
	v := &visited{side: s.Name, handshake: hist.New(), response: hist.New(), pages: map[string][2]int64{}, once: map[string][2]int64{}}
	var err error
	if t.addr.IsValid() {
		v.server = &server{addr: t.addr, pid: listener(t.addr)}
		return v, nil
	}
	v.server, err = startEdge(ctx, s, t.edge.args())
	return v, err
}

func (v *visited) stop() {
	if v != nil {
		v.server.stop()
	}
}

// sample turns what was seen into values.
func (v *visited) sample() *Sample {
	s := &Sample{}
	if v.pid != 0 {
		for _, c := range []struct {
			name string
			tally
		}{{"cpu_per_full_handshake", v.full}, {"cpu_per_resumed_handshake", v.resumed}, {"cpu_per_request", v.req}} {
			if ns, ok := c.price(); ok {
				s.value(c.name, "ns", ns)
			}
		}
		if v.held > 0 {
			s.value("memory_per_connection", "bytes", float64(v.memory-v.alone)/float64(v.held))
		}
	}
	for _, l := range []struct {
		name string
		h    *hist.Histogram
	}{{"latency.handshake", v.handshake}, {"latency.response", v.response}} {
		for _, q := range []struct {
			name  string
			q     float64
			least int64
		}{{".p50", 0.5, 50}, {".p99", 0.99, 500}, {".p999", 0.999, 5000}} {
			if l.h.Count() >= q.least {
				s.value(l.name+q.name, "ns", float64(l.h.Quantile(q.q)))
			}
		}
	}
	for _, p := range sortedProfiles(v.pages) {
		s.saw(p, v.pages[p][0], v.pages[p][1])
	}
	if v.visits > 0 {
		s.Shares = append(s.Shares, resumedShare(v.got, v.visits))
	}
	for _, p := range sortedProfiles(v.once) {
		s.Shares = append(s.Shares, cannotConnect(p, v.once[p]))
	}
	return s
}

// count adds the page loads of a slice, browser by browser.
func count(into map[string][2]int64, s *results.Snapshot) {
	for _, p := range s.Pages {
		t := into[p.Profile]
		t[1] += p.Count
		if p.Verdict == results.SawError {
			t[0] += p.Count
		}
		into[p.Profile] = t
	}
}
