package results

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"tlsurge/faults"
	"tlsurge/results/hist"
)

// Totals are the counters of one recorder that need no key. All but Established are cumulative.
type Totals struct {
	Started   int64 `json:"started"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	OpenAtEnd int64 `json:"open_at_end"`

	Opened          int64 `json:"opened"`
	Established     int64 `json:"established"` // now
	PeakEstablished int64 `json:"peak_established"`
	ClosedByClient  int64 `json:"closed_by_client"`
	ClosedByServer  int64 `json:"closed_by_server"`
	ClosedByFailure int64 `json:"closed_by_failure"`

	ResumptionAsked int64 `json:"resumption_asked"`
	EarlySent       int64 `json:"early_data_sent"`
	EarlyAccepted   int64 `json:"early_data_accepted"`
	Retransmits     int64 `json:"retransmits"`

	RequestsSent    int64 `json:"requests_sent"`
	RequestsOK      int64 `json:"requests_ok"`
	RequestsFailed  int64 `json:"requests_failed"`
	RequestsRetried int64 `json:"requests_retried"`
	RequestsUnsent  int64 `json:"requests_unsent"`
}

// Snapshot is everything one recorder has counted since its phase began. It is cumulative: the last
// one of a (phase, agent, loop) replaces all before it, so a lost message loses nothing.
type Snapshot struct {
	Phase string `json:"phase"`
	Agent string `json:"agent"`
	Loop  int    `json:"loop"`
	Seq   uint64 `json:"seq"` // from 1; a lower one that arrives late is ignored
	// Final is set by the agent on its last snapshot of the phase, when its loop has stopped.
	Final bool `json:"final"`
	// Elapsed is the time since the phase began, by the agent's clock.
	Elapsed time.Duration `json:"elapsed_ns"`

	Totals      Totals                     `json:"totals"`
	Outcomes    []OutcomeCount             `json:"outcomes"`
	Handshakes  []HandshakeCount           `json:"handshakes"`
	Resumptions []ResumptionCount          `json:"resumptions"`
	Pages       []PageCount                `json:"pages"`
	Eligible    map[string]int64           `json:"eligible"`
	Latency     map[string]*hist.Histogram `json:"latency"` // "handshake.response_time"
	Lag         *hist.Histogram            `json:"lag"`

	// Process is filled in by the agent's process, not by the recorder.
	Process ProcessStats `json:"process"`
}

// ProcessStats is what an agent's process says of itself.
type ProcessStats struct {
	Host         string        `json:"host"`
	PID          int           `json:"pid"`
	RSSBytes     int64         `json:"rss_bytes"`
	RSSPeakBytes int64         `json:"rss_peak_bytes"`
	CPU          time.Duration `json:"cpu_ns"` // user and system, since the process started
	// RSSPerIdleConnectionBytes is (RSS with the connections held idle - RSS before the first) divided
	// by their number; 0 where too few were held to say.
	RSSPerIdleConnectionBytes int64         `json:"rss_per_idle_connection_bytes"`
	GCPauseMax                time.Duration `json:"gc_pause_max_ns"`
	GCPaused                  time.Duration `json:"gc_paused_ns"` // all pauses under load together
	PortsInUse                int           `json:"ports_in_use"`
}

type OutcomeCount struct {
	OutcomeKey
	Count int64 `json:"count"`
}

type HandshakeCount struct {
	Version string `json:"version"`
	Suite   string `json:"suite"`
	Group   string `json:"group,omitempty"`
	Resumed string `json:"resumed,omitempty"`
	Count   int64  `json:"count"`
}

// ResumptionCount is a cell of the issuer x resumer matrix.
type ResumptionCount struct {
	Issuer  string `json:"issuer"`
	Resumer string `json:"resumer"`
	Asked   string `json:"asked"` // session_id, ticket, psk
	Hits    int64  `json:"hits"`
	Misses  int64  `json:"misses"`
}

type PageCount struct {
	Profile string      `json:"profile"`
	Verdict PageVerdict `json:"verdict"`
	Count   int64       `json:"count"`
}

// Evidence is a batch of single observations. A source numbers its batches from 1; a batch that comes
// twice (a retransmission after a lost acknowledgement) is counted once.
type Evidence struct {
	Source       string          `json:"source"`
	Seq          uint64          `json:"seq"`
	Attempts     []Attempt       `json:"attempts,omitempty"`
	Firings      []faults.Firing `json:"firings,omitempty"`
	ServerEvents []ServerEvent   `json:"server_events,omitempty"`
}

func (c RecorderConfig) source() string { return fmt.Sprintf("%s/%d/%s", c.Agent, c.Loop, c.Phase) }

// LatencyName is the key of a histogram in a snapshot and the tag's second half in latency.hlog.
func LatencyName(m Metric, service bool) string {
	if service {
		return m.String() + ".service_time"
	}
	return m.String() + ".response_time"
}

// Snapshot copies the state out. What it returns is not touched by the recorder again and may be encoded on
// another goroutine; its histograms may be those of the snapshot before, where nothing was recorded since.
func (r *Recorder) Snapshot() *Snapshot {
	r.seq++
	s := &Snapshot{
		Phase: r.cfg.Phase, Agent: r.cfg.Agent, Loop: r.cfg.Loop, Seq: r.seq,
		Totals: r.t, Eligible: make(map[string]int64, len(r.eligible)),
		Latency: make(map[string]*hist.Histogram, 2*int(metrics)), Lag: r.copied("lag", r.lag),
	}
	for m := range r.latency {
		for mode, h := range r.latency[m] {
			if h.Count() != 0 {
				name := LatencyName(Metric(m), mode == serviceTime)
				s.Latency[name] = r.copied(name, h)
			}
		}
	}
	for rule, n := range r.eligible {
		s.Eligible[rule] = n
	}
	for k, n := range r.counts {
		s.Outcomes = append(s.Outcomes, OutcomeCount{k, n})
	}
	for k, n := range r.handshakes {
		s.Handshakes = append(s.Handshakes, HandshakeCount{k.version, k.suite, k.group, k.resumed, n})
	}
	for k, n := range r.pages {
		s.Pages = append(s.Pages, PageCount{k.profile, k.verdict, n})
	}
	s.Resumptions = resumptionCells(r.resumptions)
	s.sort()
	return s
}

// copied is a copy of a histogram that grows and is never reset: its count says whether it has changed.
func (r *Recorder) copied(name string, h *hist.Histogram) *hist.Histogram {
	if old := r.given[name]; old != nil && old.Count() == h.Count() {
		return old
	}
	r.given[name] = h.Clone()
	return r.given[name]
}

// Prepare makes the texts of the snapshot's histograms in e's memory, so that encoding it makes no garbage.
func (s *Snapshot) Prepare(e *hist.Encoder) error {
	for _, h := range s.Latency {
		if err := e.Prepare(h); err != nil {
			return err
		}
	}
	return e.Prepare(s.Lag)
}

func resumptionCells(counts map[resumptionKey]int64) []ResumptionCount {
	cells := map[resumptionKey]*ResumptionCount{}
	for k, n := range counts {
		id := resumptionKey{issuer: k.issuer, asked: k.asked, resumer: k.resumer}
		c := cells[id]
		if c == nil {
			c = &ResumptionCount{Issuer: k.issuer, Resumer: k.resumer, Asked: k.asked}
			cells[id] = c
		}
		if k.hit {
			c.Hits += n
		} else {
			c.Misses += n
		}
	}
	var out []ResumptionCount
	for _, c := range cells {
		out = append(out, *c)
	}
	return out
}

// sort puts every list in one order, so that equal states give equal bytes.
func (s *Snapshot) sort() {
	slices.SortFunc(s.Outcomes, func(a, b OutcomeCount) int { return compareOutcomeKeys(a.OutcomeKey, b.OutcomeKey) })
	slices.SortFunc(s.Handshakes, func(a, b HandshakeCount) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Suite, b.Suite), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resumed, b.Resumed))
	})
	slices.SortFunc(s.Resumptions, compareResumptions)
	slices.SortFunc(s.Pages, func(a, b PageCount) int {
		return cmp.Or(cmp.Compare(a.Profile, b.Profile), cmp.Compare(a.Verdict, b.Verdict))
	})
}

func compareOutcomeKeys(a, b OutcomeKey) int {
	return cmp.Or(cmp.Compare(a.Profile, b.Profile), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Class, b.Class),
		cmp.Compare(a.UserSees, b.UserSees), cmp.Compare(a.Alert, b.Alert), cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Stage, b.Stage))
}

func compareResumptions(a, b ResumptionCount) int {
	return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), cmp.Compare(a.Resumer, b.Resumer), cmp.Compare(a.Asked, b.Asked))
}
