package results_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/results"
)

// A january is the input of a small january-2015 run, scripted: who is hit, what the edge answers and
// what the browser then does follow the facts of the thread, times come from a seeded source. It goes
// through the real recorders and the real collector; nothing of a Run is written by hand.
type january struct {
	t       *testing.T
	c       *results.Collector
	rng     *rand.Rand
	start   time.Time
	now     time.Time
	port    uint16
	rec     *results.Recorder
	phase   string
	firings []faults.Firing
	events  []results.ServerEvent
	lines   map[string]map[results.LogLine]int64 // by edge, counts left out of the key
}

// reaction is what one browser makes of a cut first handshake in one act.
type reaction struct {
	profile string
	cut     results.Class // reset or eof
	// steps are the attempts after the cut one.
	steps []step
	page  results.PageVerdict
}

type step struct {
	kind, offered string
	scsv          bool
	class         results.Class
	alert         int
	version       string
	level, code   string
	reason, sees  string
}

func (s step) ok() bool { return s.class == results.ClassOK }

const (
	sharedCipher  = "1408A0C1"
	cipherMissing = "1408A0D7"
	inappropriate = "140A1175"
)

func refused(offered string, alert int, level, code, reason, sees string) step {
	return step{"fallback", offered, true, results.ClassPeerAlert, alert, "", level, code, reason, sees}
}

var actOne = []reaction{
	{"firefox-35-osx", results.ClassReset, []step{refused("TLS 1.1", 40, "info", sharedCipher, "no shared cipher", "ssl_error_no_cypher_overlap")}, results.SawError},
	{"firefox-34-osx", results.ClassReset, []step{{kind: "fallback", offered: "TLS 1.1", class: results.ClassOK, alert: -1, version: "TLS 1.0"}}, results.SavedByRetry},
	{"chrome-39-win7", results.ClassReset, []step{refused("TLS 1.1", 40, "info", sharedCipher, "no shared cipher", ""), refused("TLS 1.0", 40, "info", sharedCipher, "no shared cipher", "ERR_SSL_VERSION_OR_CIPHER_MISMATCH")}, results.SawError},
	{"chrome-40-osx", results.ClassReset, []step{{kind: "fallback", offered: "TLS 1.1", scsv: true, class: results.ClassOK, alert: -1, version: "TLS 1.0"}}, results.SavedByRetry},
	{"safari-8-osx10.10", results.ClassEOF, []step{refused("TLS 1.0", 47, "crit", cipherMissing, "required cipher missing", "errSSLIllegalParam (-9830)")}, results.SawError},
	{"ie-11-win7-unpatched", results.ClassReset, []step{{kind: "fallback", offered: "TLS 1.0", class: results.ClassOK, alert: -1, version: "TLS 1.0"}}, results.SavedByRetry},
}

var actTwo = []reaction{
	{"firefox-35-osx", results.ClassReset, []step{refused("TLS 1.1", 86, "crit", inappropriate, "inappropriate fallback", "ssl_error_inappropriate_fallback_alert")}, results.SawError},
	{"firefox-34-osx", results.ClassReset, []step{{kind: "fallback", offered: "TLS 1.1", class: results.ClassOK, alert: -1, version: "TLS 1.1"}}, results.Downgraded},
	{"chrome-39-win7", results.ClassReset, []step{refused("TLS 1.1", 86, "crit", inappropriate, "inappropriate fallback", "ERR_CONNECTION_RESET")}, results.SawError},
	{"chrome-40-osx", results.ClassReset, []step{refused("TLS 1.1", 86, "crit", inappropriate, "inappropriate fallback", "ERR_CONNECTION_RESET")}, results.SawError},
	{"safari-8-osx10.10", results.ClassEOF, []step{refused("TLS 1.0", 86, "crit", inappropriate, "inappropriate fallback", "errSSLFatalAlert (-9802)")}, results.SawError},
	{"ie-11-win7-unpatched", results.ClassReset, []step{{kind: "fallback", offered: "TLS 1.0", class: results.ClassOK, alert: -1, version: "TLS 1.0"}}, results.Downgraded},
}

var cutRules = []faults.Rule{
	{Name: "cut-first-handshakes", Index: 0, Engine: faults.EngineRelay, At: stage.ServerHello, Direction: stage.ServerToClient, Action: faults.Reset, Probability: 0.05},
	{Name: "close-first-handshakes", Index: 1, Engine: faults.EngineRelay, At: stage.ServerHello, Direction: stage.ServerToClient, Action: faults.FIN, Probability: 0.05},
	{Name: "table-pressure", Index: 2, Engine: faults.EngineEdge, At: stage.ClientHello, Action: faults.TableFull, Max: 400, From: 2 * time.Second, Until: 4 * time.Second},
}

// play runs the three acts into dir and returns the run.
func play(t *testing.T, dir string, seed uint64) *results.Run {
	t.Helper()
	start := time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)
	var thresholds []results.Threshold
	for _, line := range [][2]string{
		{"users.saw_error.rate", "< 0.1%"}, {"latency.handshake.response_time.p99", "< 250ms"},
		{"users[phase=trigger-gone].saw_error", "== 0"}, {"edges[phase=trigger-gone].log_signatures.140A1175", "== 0"},
	} {
		th, err := results.ParseThreshold(line[0], line[1])
		if err != nil {
			t.Fatal(err)
		}
		thresholds = append(thresholds, th)
	}
	c, err := results.NewCollector(results.CollectorConfig{
		Dir: dir, ToolVersion: "0.1.0", Scenario: "january-2015", Seed: seed, Started: start, Target: 450, Agents: []string{"agent-1"},
		Tags: map[string]string{"story": "thread"}, KernelNamespace: "own", Thresholds: thresholds,
		Machine: results.Machine{OS: "linux", Arch: "amd64", Kernel: "6.18.0", CPUModel: "a laptop", CPUs: 2, MemoryBytes: 24 << 30, MaxFiles: 20000, GoVersion: "go1.26.0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	j := &january{t: t, c: c, rng: rand.New(rand.NewPCG(seed, 2015)), start: start, now: start, port: 20000}
	j.act("before-the-upgrade", "openssl-0.9.8zc", "Edges speak TLS 1.0 only and ignore every suite after the SCSV.", actOne, cutRules)
	j.act("after-the-upgrade", "openssl-1.0.1j", "Edges speak TLS 1.0 to 1.2 and check the SCSV.", actTwo, cutRules)
	j.act("trigger-gone", "openssl-1.0.1j", "The same edges; nothing cuts a first handshake.", actTwo, nil)
	c.Kernel(map[string]int64{"TCPSynRetrans": 0, "ListenOverflows": 3, "ListenDrops": 3, "EstabResets": 41, "RetransSegs": 12})
	run, err := c.Finish(results.FinishInfo{At: j.now.Add(300 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// act plays one phase of six seconds.
func (j *january) act(name, stack, about string, reactions []reaction, rules []faults.Rule) {
	j.phase = name
	j.lines = map[string]map[results.LogLine]int64{}
	if err := j.c.BeginPhase(results.PhaseInfo{Name: name, Stack: stack, About: about, Rules: rules}, j.now); err != nil {
		j.t.Fatal(err)
	}
	j.rec = results.NewRecorder(results.RecorderConfig{Seed: 42, Phase: name, Agent: "agent-1", SampleEvery: 64})
	var held []results.Attempt
	for second := range 6 {
		for b := range 75 {
			held = append(held, j.browser(uint32(second*75+b), reactions[(second*75+b)%len(reactions)], len(rules) > 0)...)
		}
		if second == 5 {
			for i := range held {
				j.rec.StillOpen(&held[i])
			}
		}
		j.report(stack, uint64(second+1), second == 5)
	}
	j.c.EndPhase(j.now)
}

// browser lives one browser's first page load, and some requests after it. It returns the connection
// that is still open.
func (j *january) browser(index uint32, r reaction, faulty bool) []results.Attempt {
	edge := fmt.Sprintf("edge-%d", 1+index%3)
	cut := faulty && index/6%8 == 0
	natural := "TLS 1.2"
	if j.phase == "before-the-upgrade" {
		natural = "TLS 1.0"
	}
	for _, rule := range cutRules {
		if faulty {
			j.rec.Eligible(rule.Name)
		}
	}
	first := step{kind: "first", offered: "TLS 1.2", class: results.ClassOK, alert: -1, version: natural}
	if !cut {
		a := j.attempt(index, 1, r.profile, edge, first, nil)
		a.Page = results.Fine
		j.rec.PageLoad(r.profile, results.Fine)
		return []results.Attempt{a}
	}
	first.class, first.version = r.cut, ""
	origin := j.attempt(index, 1, r.profile, edge, first, nil)
	rule := cutRules[0]
	switch {
	case index/6%24 == 8:
		rule = cutRules[2]
	case r.cut == results.ClassEOF:
		rule = cutRules[1]
	}
	f := faults.Firing{Rule: rule.Name, Engine: string(rule.Engine), Action: string(rule.Action), Stage: rule.At.String(), Tuple: origin.Tuple, Time: j.now, Offset: -1}
	if rule.Engine == faults.EngineRelay {
		f.Key, f.HasKey, f.Direction, f.Offset = origin.Key, true, "server-to-client", 0
	}
	j.firings = append(j.firings, f)
	j.rec.Attempt(&origin)
	for i, s := range r.steps {
		a := j.attempt(index, uint16(2+i), r.profile, edge, s, &origin.Key)
		last := i == len(r.steps)-1
		if last {
			a.Page = r.page
			j.rec.PageLoad(r.profile, r.page)
		}
		if !s.ok() {
			j.events = append(j.events, results.ServerEvent{Phase: j.phase, Edge: edge, Tuple: a.Tuple, Time: j.now.Truncate(time.Second), Level: s.level, Code: s.code, Reason: s.reason})
			j.log(edge, results.LogLine{Level: s.level, Code: s.code, Reason: s.reason})
			j.rec.Attempt(&a)
			continue
		}
		if last {
			return []results.Attempt{a}
		}
	}
	return nil
}

func (j *january) log(edge string, l results.LogLine) {
	if j.lines[edge] == nil {
		j.lines[edge] = map[results.LogLine]int64{}
	}
	j.lines[edge][l]++
}

// attempt makes one attempt, counts its start and, if it goes well, its handshake and two requests.
func (j *january) attempt(browser uint32, n uint16, profile, edge string, s step, origin *faults.Key) results.Attempt {
	j.now = j.now.Add(time.Duration(1+j.rng.IntN(8)) * time.Millisecond)
	j.port++
	ms := func(least, spread int) int64 {
		return int64(least)*int64(time.Millisecond) + j.rng.Int64N(int64(spread)*int64(time.Millisecond))
	}
	a := results.Attempt{
		Key:     faults.Key{Phase: j.phase, Browser: browser, Connection: 0, Attempt: n},
		Tuple:   faults.Tuple{Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 2, 0, 1}), j.port), Server: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, edge[5] - '1' + 11}), 8443)},
		Profile: profile, Edge: edge, Kind: s.kind, Class: s.class, UserSees: s.sees, Alert: s.alert, Stage: "server_hello",
		Intended: j.now, StartNs: j.rng.Int64N(int64(3 * time.Millisecond)), ConnectedNs: -1, HandshakeNs: -1,
		OfferedVersion: s.offered, SCSV: s.scsv,
	}
	j.rec.Start(time.Duration(a.StartNs))
	a.ConnectedNs = a.StartNs + ms(0, 1)
	j.rec.Latency(results.TCPConnect, time.Duration(a.ConnectedNs), time.Duration(a.ConnectedNs-a.StartNs))
	a.BytesSent, a.BytesReceived = 210, 7
	a.EndNs = a.ConnectedNs + ms(1, 4)
	if s.class == results.ClassPeerAlert {
		a.Sender = "server"
	} else {
		a.Alert = -1
	}
	if s.class == results.ClassReset {
		a.Errno = "ECONNRESET"
	}
	if origin != nil {
		a.Origin, a.HasOrigin = *origin, true
	} else if !s.ok() {
		a.Origin, a.HasOrigin = a.Key, true
	}
	if s.ok() {
		j.established(&a, s)
	}
	return a
}

func (j *january) established(a *results.Attempt, s step) {
	a.HandshakeNs = a.ConnectedNs + int64(3*time.Millisecond) + j.rng.Int64N(int64(9*time.Millisecond))
	a.Stage, a.Version, a.Suite, a.Group = "response", s.version, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "secp256r1"
	a.BytesSent, a.BytesReceived, a.EndNs = 1184, 6120, int64(4*time.Second)
	if a.Key.Browser%4 == 0 && s.kind == "first" {
		a.Asked, a.Issuer = "session_id", fmt.Sprintf("edge-%d", 1+a.Key.Browser%2+a.Key.Browser%3)
		if a.Issuer == a.Edge {
			a.Resumed, a.Group, a.Kind = "session_id", "", "resumed"
		}
	}
	j.rec.Latency(results.Handshake, time.Duration(a.HandshakeNs), time.Duration(a.HandshakeNs-a.StartNs))
	j.rec.Established(a)
	for range 2 {
		took := time.Duration(1+j.rng.IntN(20)) * time.Millisecond / 2
		j.rec.Request(results.RequestSent)
		j.rec.Request(results.RequestOK)
		j.rec.Latency(results.FirstByte, took, took-time.Millisecond/4)
		j.rec.Latency(results.Response, took+time.Millisecond/2, took)
	}
}

// report ends a second: snapshot, evidence, edges, tick.
func (j *january) report(stack string, seq uint64, final bool) {
	j.now = j.start.Add(j.now.Sub(j.start).Truncate(time.Second) + time.Second)
	s := j.rec.Snapshot()
	s.Final = final
	s.Process = results.ProcessStats{Host: "laptop", PID: 100, RSSPeakBytes: 61 << 20, CPU: j.now.Sub(j.start) / 3, RSSPerIdleConnectionBytes: 2712, GCPauseMax: 412 * time.Microsecond}
	check := func(err error) {
		if err != nil {
			j.t.Fatal(err)
		}
	}
	check(j.c.Snapshot(s))
	if e, ok := j.rec.TakeEvidence(); ok {
		_, err := j.c.Evidence(e)
		check(err)
	}
	_, err := j.c.Firings("relay", 0, j.firings)
	check(err)
	_, err = j.c.ServerEvents("edges", 0, j.events)
	check(err)
	j.firings, j.events = nil, nil
	for n := range 3 {
		name := fmt.Sprintf("edge-%d", n+1)
		e := results.EdgeStats{
			Phase: j.phase, Name: name, Address: fmt.Sprintf("127.0.0.%d:8443", 11+n), Stack: stack, Seq: seq,
			Established: s.Totals.Established / 3, PeakEstablished: s.Totals.Established / 3, TimeWait: int64(seq) * 4, PeakTimeWait: int64(seq) * 4,
			Handshakes: s.Totals.Opened / 3, RSSPeakBytes: 48 << 20, CPU: time.Duration(seq) * 210 * time.Millisecond, RSSPerIdleConnectionBytes: 6144,
		}
		for l, k := range j.lines[name] {
			l.Count = k
			e.LogLines = append(e.LogLines, l)
		}
		check(j.c.Edge(e))
	}
	check(j.c.Tick(j.now))
}

func mkdir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}
