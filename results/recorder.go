package results

import (
	"time"

	"tlsurge/faults"
	"tlsurge/results/hist"
)

// Metric is a latency that is measured on every attempt or request.
type Metric uint8

const (
	TCPConnect  Metric = iota // SYN to connected
	Handshake                 // connected to Finished; response time is from the intended start of the attempt
	FirstByte                 // request written to the first byte of its answer
	Response                  // request written to the last byte of its answer
	ServerHello               // ClientHello written to ServerHello accepted: the first flight of a handshake
	metrics
)

var metricNames = [metrics]string{"tcp_connect", "handshake", "first_byte", "response", "server_hello"}

func (m Metric) String() string { return metricNames[m] }

// Side is who ended an established connection.
type Side uint8

const (
	ByClient Side = iota // the browser: idle timeout, end of its life, end of the phase
	ByServer             // close_notify or FIN between requests
	ByFailure
)

// RequestEvent is a step in the life of a request.
type RequestEvent uint8

const (
	RequestSent RequestEvent = iota
	RequestOK
	RequestFailed  // sent, and given up
	RequestRetried // sent, lost with its connection, and made ready to be sent again
	RequestUnsent  // given up before it was ever written: no connection came up for it
)

// RecorderConfig says whose numbers these are.
type RecorderConfig struct {
	Seed  uint64
	Phase string
	Agent string // the agent's ID
	Loop  int    // index of the loop within its agent
	// SampleEvery keeps one good attempt in so many as evidence, chosen by a hash of (Seed, key) and
	// so the same in every run of one seed. 0 is DefaultSampleEvery; failed attempts, and good ones
	// that belong to a chain that a failure began, are always kept.
	SampleEvery uint64
}

// DefaultSampleEvery is small enough to see every profile in the sample of a demo, and large enough
// to keep the evidence of a 39,000-connection run below a megabyte of good news.
const DefaultSampleEvery = 256

// Recorder collects what one event loop saw in one phase. It is not locked: the loop that owns it is
// the only caller. Nothing on the path of a good attempt allocates once each counter exists.
//
// The order of calls for one attempt: Start; Latency(TCPConnect) when connected; Established when the
// handshake is complete; Closed when an established connection ends; at the end, exactly once, Attempt,
// or StillOpen for what is open when the phase ends.
type Recorder struct {
	cfg     RecorderConfig
	seq     uint64 // of the next snapshot
	latency [metrics][2]*hist.Histogram
	lag     *hist.Histogram
	// given are the copies that the last snapshot took, by name; those that are still true are given again.
	given map[string]*hist.Histogram

	counts      map[OutcomeKey]int64
	handshakes  map[handshakeKey]int64
	resumptions map[resumptionKey]int64
	pages       map[pageKey]int64
	eligible    map[string]int64
	t           Totals

	evidence    []Attempt
	evidenceSeq uint64
}

const (
	responseTime = 0
	serviceTime  = 1
)

// OutcomeKey is what the outcomes table counts by, before the join adds server logs and the fault.
type OutcomeKey struct {
	Profile  string `json:"profile"`
	Kind     string `json:"attempt_kind"`
	Class    Class  `json:"class"`
	UserSees string `json:"user_sees"`
	Alert    int    `json:"alert"`
	Sender   string `json:"alert_sender"`
	Stage    string `json:"stage"`
}

type handshakeKey struct{ version, suite, group, resumed string }

// resumptionKey is one cell of the matrix of who issued a session and who was asked to resume it.
type resumptionKey struct {
	issuer, asked string
	hit           bool
	resumer       string
}

type pageKey struct {
	profile string
	verdict PageVerdict
}

// NewRecorder returns an empty recorder.
func NewRecorder(cfg RecorderConfig) *Recorder {
	if cfg.SampleEvery == 0 {
		cfg.SampleEvery = DefaultSampleEvery
	}
	r := &Recorder{
		cfg: cfg, lag: hist.New(), given: map[string]*hist.Histogram{},
		counts: map[OutcomeKey]int64{}, handshakes: map[handshakeKey]int64{}, resumptions: map[resumptionKey]int64{},
		pages: map[pageKey]int64{}, eligible: map[string]int64{},
	}
	for m := range r.latency {
		r.latency[m] = [2]*hist.Histogram{hist.New(), hist.New()}
	}
	return r
}

// Start counts an attempt that begins, lag after it was meant to.
func (r *Recorder) Start(lag time.Duration) {
	r.t.Started++
	r.lag.Record(int64(lag))
}

// Lag counts the schedule lag of something other than an attempt: a request.
func (r *Recorder) Lag(lag time.Duration) { r.lag.Record(int64(lag)) }

// Eligible counts a subject that a fault rule could have hit, whatever the draw decided.
func (r *Recorder) Eligible(rule string) { r.eligible[rule]++ }

// Latency records a measurement: response from the intended start, service from the actual one.
func (r *Recorder) Latency(m Metric, response, service time.Duration) {
	r.latency[m][responseTime].Record(int64(response))
	r.latency[m][serviceTime].Record(int64(service))
}

// Established counts a completed handshake and the connection that is now open.
func (r *Recorder) Established(a *Attempt) {
	r.t.Opened++
	r.t.Established++
	r.t.PeakEstablished = max(r.t.PeakEstablished, r.t.Established)
	r.handshakes[handshakeKey{a.Version, a.Suite, a.Group, a.Resumed}]++
	switch a.Early {
	case EarlyAccepted:
		r.t.EarlySent++
		r.t.EarlyAccepted++
	case EarlyRejected:
		r.t.EarlySent++
	}
	if a.Asked != "" {
		r.t.ResumptionAsked++
		r.resumptions[resumptionKey{a.Issuer, a.Asked, a.Resumed != "", a.Edge}]++
	}
}

// Closed counts the end of an established connection.
func (r *Recorder) Closed(by Side) {
	r.t.Established--
	switch by {
	case ByClient:
		r.t.ClosedByClient++
	case ByServer:
		r.t.ClosedByServer++
	case ByFailure:
		r.t.ClosedByFailure++
	}
}

// Attempt counts an attempt that is over: the connection failed, or lived and was closed. The caller
// may reuse a.
func (r *Recorder) Attempt(a *Attempt) {
	if a.Class == ClassOK {
		r.t.Completed++
	} else {
		r.t.Failed++
	}
	r.count(a)
}

// StillOpen counts an attempt that is open when the phase ends, in place of Attempt. One that is
// established has an outcome, ok; one in the midst of its handshake has none.
func (r *Recorder) StillOpen(a *Attempt) {
	r.t.OpenAtEnd++
	if a.HandshakeNs >= 0 {
		r.count(a)
	}
}

func (r *Recorder) count(a *Attempt) {
	r.t.Retransmits += int64(a.Retransmits)
	r.counts[OutcomeKey{a.Profile, a.Kind, a.Class, a.UserSees, a.Alert, a.Sender, a.Stage}]++
	if a.Class != ClassOK || a.HasOrigin || a.Fault != "" || a.Retransmits > 0 || a.Keep || sampled(r.cfg.Seed, a.Key, r.cfg.SampleEvery) {
		r.evidence = append(r.evidence, *a)
	}
}

// PageLoad counts what one page load was for the person in front of it.
func (r *Recorder) PageLoad(profile string, v PageVerdict) { r.pages[pageKey{profile, v}]++ }

// Request counts a step in the life of a request.
func (r *Recorder) Request(e RequestEvent) {
	switch e {
	case RequestSent:
		r.t.RequestsSent++
	case RequestOK:
		r.t.RequestsOK++
	case RequestFailed:
		r.t.RequestsFailed++
	case RequestRetried:
		r.t.RequestsRetried++
	case RequestUnsent:
		r.t.RequestsUnsent++
	}
}

// Totals gives the counters as they stand.
func (r *Recorder) Totals() Totals { return r.t }

// TakeEvidence hands out the attempts kept since the last call, under the next sequence number.
// It reports false where there are none.
func (r *Recorder) TakeEvidence() (Evidence, bool) {
	if len(r.evidence) == 0 {
		return Evidence{}, false
	}
	r.evidenceSeq++
	e := Evidence{Source: r.cfg.source(), Seq: r.evidenceSeq, Attempts: r.evidence}
	r.evidence = nil
	return e, true
}

// sampled draws from a hash of the seed and the attempt's key, so that the sample does not depend on
// arrival order. The hash is FNV-1a of the key's fields, mixed once more so that low bits are fair.
func sampled(seed uint64, k faults.Key, every uint64) bool {
	h := uint64(14695981039346656037) ^ seed
	step := func(b byte) { h = (h ^ uint64(b)) * 1099511628211 }
	for i := range len(k.Phase) {
		step(k.Phase[i])
	}
	for _, v := range [...]uint32{k.Browser, k.Connection, uint32(k.Attempt)} {
		for s := 0; s < 32; s += 8 {
			step(byte(v >> s))
		}
	}
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	h ^= h >> 29
	return h%every == 0
}
