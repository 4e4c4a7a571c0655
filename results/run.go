package results

import "time"

// Schema is the version of run.json that this package writes and reads.
const Schema = "tlsurge.run/1"

// Run is run.json: the whole result of one run. Durations are integer nanoseconds (`_ns`), sizes
// `_bytes`, rates `_per_s`. Every list has one stable order, so that equal inputs give equal bytes.
// docs/RUN_JSON.md explains each field; docs/run.schema.json is the schema that tests hold it to.
type Run struct {
	Schema      string            `json:"schema"`
	ToolVersion string            `json:"tool_version"`
	Scenario    string            `json:"scenario"`
	Seed        uint64            `json:"seed"`
	Started     time.Time         `json:"started"`
	DurationNs  int64             `json:"duration_ns"`
	Tags        map[string]string `json:"tags,omitempty"`
	// Digests are SHA-256 in hex of what the run was made of: "scenario" (as resolved, without seed, tags and
	// thresholds) and the files that it names ("fleet.config" with what it includes, "target.ca"). Runs of
	// equal digests asked for the same.
	Digests map[string]string `json:"digests,omitempty"`

	Verdict     Verdict     `json:"verdict"`
	Connections Connections `json:"connections"`
	Attempts    Attempts    `json:"attempts"`
	Handshakes  Handshakes  `json:"handshakes"`
	Requests    Requests    `json:"requests"`

	Phases   []Phase      `json:"phases"`
	Users    []UserRow    `json:"users"`
	Outcomes []OutcomeRow `json:"outcomes"`
	Chains   []Chain      `json:"chains"`

	// Latency is keyed by metric (tcp_connect, server_hello, handshake, first_byte, response), then by
	// response_time (from the intended start) and service_time (from the actual one).
	Latency     map[string]map[string]Percentiles `json:"latency"`
	ScheduleLag Lag                               `json:"schedule_lag"`

	Faults     []FaultRow      `json:"faults"`
	Edges      []EdgeRow       `json:"edges"`
	Resumption []ResumptionRow `json:"resumption"`
	Agents     []AgentRow      `json:"agents"`

	Kernel          map[string]int64 `json:"kernel"`
	KernelNamespace string           `json:"kernel_namespace"` // "own": all of it is ours; "caller": strangers are in it

	Thresholds []ThresholdResult `json:"thresholds"`
	Timeline   []Sample          `json:"timeline"`
	Machine    Machine           `json:"machine"`
}

// State is whether the numbers of a run can be trusted.
type State string

const (
	Valid   State = "VALID"   // trust them
	Suspect State = "SUSPECT" // read the reasons first
	Invalid State = "INVALID" // do not: the run did not do what it was asked to do
)

// Verdict is about the run, not about the servers: a run that found every error it could is VALID.
type Verdict struct {
	State   State    `json:"state"`
	Reasons []string `json:"reasons"` // why it is not VALID
	Notes   []string `json:"notes"`   // worth knowing, condemning nothing
}

type Connections struct {
	Target          int64 `json:"target"`
	Opened          int64 `json:"opened"`
	PeakEstablished int64 `json:"peak_established"`
	ClosedByClient  int64 `json:"closed_by_client"`
	ClosedByServer  int64 `json:"closed_by_server"`
	Failed          int64 `json:"failed"` // established ones that a failure ended
	OpenAtEnd       int64 `json:"open_at_end"`
}

// Attempts balance: started = completed + failed + open_at_end.
type Attempts struct {
	Started   int64 `json:"started"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	OpenAtEnd int64 `json:"open_at_end"`
	// Unexplained are failed attempts with no firing in their chain: `fault` is empty in their rows.
	Unexplained int64 `json:"unexplained"`
	// Retransmits is the sum of the kernel's count over all connections; UnexplainedRetransmits the
	// part on attempts that no fault hit.
	Retransmits            int64 `json:"retransmits"`
	UnexplainedRetransmits int64 `json:"unexplained_retransmits"`
}

type Handshakes struct {
	Full             int64            `json:"full"`
	ResumedSessionID int64            `json:"resumed_session_id"`
	ResumedTicket    int64            `json:"resumed_ticket"`
	ResumedPSK       int64            `json:"resumed_psk"`
	ResumptionAsked  int64            `json:"resumption_asked"`
	EarlySent        int64            `json:"early_data_sent"`     // handshakes that carried a request as 0-RTT
	EarlyAccepted    int64            `json:"early_data_accepted"` // of them
	ByVersion        map[string]int64 `json:"by_version"`
	BySuite          map[string]int64 `json:"by_suite"`
	ByGroup          map[string]int64 `json:"by_group"`
	PeakPerS         float64          `json:"peak_per_s"`
}

// Requests balance: sent = ok + failed + retried + open_at_end. A request that is sent again is sent
// twice. Unsent ones are apart: given up before they were written, for want of a connection.
type Requests struct {
	Sent      int64   `json:"sent"`
	OK        int64   `json:"ok"`
	Failed    int64   `json:"failed"`
	Retried   int64   `json:"retried"`
	OpenAtEnd int64   `json:"open_at_end"`
	Unsent    int64   `json:"unsent"`
	PerS      float64 `json:"per_s"`
}

type Phase struct {
	Name       string `json:"name"`
	StartedNs  int64  `json:"started_ns"` // after the run's start
	DurationNs int64  `json:"duration_ns"`
	Stack      string `json:"stack,omitempty"`
	About      string `json:"about,omitempty"` // the scenario's own sentence
	Target     int64  `json:"target,omitempty"`
	Peak       int64  `json:"peak_established"`
	// Latency is that of this phase alone, as in the run's own table.
	Latency map[string]map[string]Percentiles `json:"latency"`
}

// UserRow: fine + saved_by_retry + downgraded + saw_error = page_loads.
type UserRow struct {
	Phase        string `json:"phase"`
	Profile      string `json:"profile"`
	PageLoads    int64  `json:"page_loads"`
	Fine         int64  `json:"fine"`
	SavedByRetry int64  `json:"saved_by_retry"`
	Downgraded   int64  `json:"downgraded"`
	SawError     int64  `json:"saw_error"`
	// Errors are the browser's own words, with how many attempts ended in each.
	Errors map[string]int64 `json:"errors"`
}

type OutcomeRow struct {
	Phase      string `json:"phase"`
	Profile    string `json:"profile"`
	Kind       string `json:"attempt_kind"`
	Class      Class  `json:"class"`
	UserSees   string `json:"user_sees"`
	Alert      int    `json:"alert"` // -1: none
	Sender     string `json:"alert_sender"`
	Stage      string `json:"stage"`
	ServerLogs string `json:"server_logs"`
	Fault      string `json:"fault"`
	Count      int64  `json:"count"`
}

// Chain is one way that damage took to the user, step by step, and how many times it was walked.
type Chain struct {
	Phase   string      `json:"phase"`
	Profile string      `json:"profile"`
	Fault   string      `json:"fault"`
	Action  string      `json:"action"`
	At      string      `json:"at"`
	Steps   []ChainStep `json:"steps"`
	Verdict PageVerdict `json:"verdict"`
	// UserSees is the browser's own words at the end; empty where the user saw the page.
	UserSees string `json:"user_sees"`
	Count    int64  `json:"count"`
}

// ChainStep is one attempt of a chain.
type ChainStep struct {
	Kind    string `json:"attempt_kind"`
	Offered string `json:"offered_version"`
	SCSV    bool   `json:"fallback_scsv,omitempty"`
	Class   Class  `json:"class"`
	Alert   int    `json:"alert"`
	Sender  string `json:"alert_sender,omitempty"`
	Stage   string `json:"stage"`
	Version string `json:"version,omitempty"` // negotiated
	// ServerLogs is the code the edge logged for it; LogLevel and LogReason are that line's own.
	ServerLogs string `json:"server_logs,omitempty"`
	LogLevel   string `json:"log_level,omitempty"`
	LogReason  string `json:"log_reason,omitempty"`
	// Remembered: this attempt opened a later connection, lowered by the browser's memory.
	Remembered bool `json:"remembered,omitempty"`
}

// Percentiles are of one histogram.
type Percentiles struct {
	Count   int64 `json:"count"`
	MinNs   int64 `json:"min_ns"`
	P50Ns   int64 `json:"p50_ns"`
	P90Ns   int64 `json:"p90_ns"`
	P99Ns   int64 `json:"p99_ns"`
	P999Ns  int64 `json:"p999_ns"`
	MaxNs   int64 `json:"max_ns"`
	MeanNs  int64 `json:"mean_ns"`
	Clipped int64 `json:"clipped,omitempty"` // values outside the histogram's range
}

type Lag struct {
	P99Ns int64 `json:"p99_ns"`
	MaxNs int64 `json:"max_ns"`
}

type FaultRow struct {
	Phase          string `json:"phase"`
	Name           string `json:"name"`
	Engine         string `json:"engine"`
	Action         string `json:"action"`
	At             string `json:"at"`
	Eligible       int64  `json:"eligible"`
	Fired          int64  `json:"fired"`
	PacketsDropped int64  `json:"packets_dropped"`
	// FromNs and UntilNs are the rule's window within the phase; 0 until is its end.
	FromNs  int64 `json:"from_ns"`
	UntilNs int64 `json:"until_ns"`
}

type EdgeRow struct {
	Phase                     string           `json:"phase"`
	Name                      string           `json:"name"`
	Address                   string           `json:"address"`
	Stack                     string           `json:"stack"`
	PeakEstablished           int64            `json:"peak_established"`
	PeakTimeWait              int64            `json:"peak_time_wait"`
	Handshakes                int64            `json:"handshakes"`
	LogSignatures             map[string]int64 `json:"log_signatures"` // by packed code, upper case
	LogLines                  []LogLine        `json:"log_lines"`
	RSSPeakBytes              int64            `json:"rss_peak_bytes"`
	RSSPerIdleConnectionBytes int64            `json:"rss_per_idle_connection_bytes"`
	CPUNs                     int64            `json:"cpu_ns"`
	Lost                      bool             `json:"lost"`
}

// LogLine is one kind of line in an error log, and how often it was written.
type LogLine struct {
	Level  string `json:"level"`
	Code   string `json:"code"` // empty for lines without one
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// ResumptionRow is a cell of the matrix: sessions that Issuer gave out, offered to Resumer.
type ResumptionRow struct {
	Phase string `json:"phase"`
	ResumptionCount
}

type AgentRow struct {
	ID                        string `json:"id"`
	Host                      string `json:"host"`
	Connections               int64  `json:"connections"` // peak
	RSSPeakBytes              int64  `json:"rss_peak_bytes"`
	RSSPerIdleConnectionBytes int64  `json:"rss_per_idle_connection_bytes"`
	CPUNs                     int64  `json:"cpu_ns"`
	GCPauseMaxNs              int64  `json:"gc_pause_max_ns"`
	GCPausedNs                int64  `json:"gc_paused_ns"` // all pauses together
	Lost                      bool   `json:"lost"`
}

// Sample is one second of the run, as counts within it (or, for Established, at its end). Runs
// longer than 20 minutes have coarser samples.
type Sample struct {
	AtNs           int64  `json:"at_ns"` // its end, after the run's start
	LengthNs       int64  `json:"length_ns"`
	Phase          string `json:"phase"`
	Established    int64  `json:"established"`
	Started        int64  `json:"started"`
	Failed         int64  `json:"failed"`
	Handshakes     int64  `json:"handshakes"`
	Requests       int64  `json:"requests"`
	RequestsFailed int64  `json:"requests_failed"`
	Answered       int64  `json:"answered"` // of the requests, in order
	// MeasuredNs is what the agents' own clocks say of the time that the counters cover: their reports do not come on
	// the tick.
	MeasuredNs int64 `json:"measured_ns"`
	// EdgeCPUNs is processor time of all edges, EdgeWaitedNs how long their threads were ready and had no processor, and
	// EdgeMeasuredNs what the edges' own clocks say of the time that both cover.
	EdgeCPUNs      int64 `json:"edge_cpu_ns,omitempty"`
	EdgeWaitedNs   int64 `json:"edge_waited_ns,omitempty"`
	EdgeMeasuredNs int64 `json:"edge_measured_ns,omitempty"`
	Firings        int64 `json:"firings"`
	TimeWait       int64 `json:"time_wait"`
	HandshakeP50Ns int64 `json:"handshake_p50_ns"`
	HandshakeP99Ns int64 `json:"handshake_p99_ns"`
	ResponseP50Ns  int64 `json:"response_p50_ns"`
	ResponseP99Ns  int64 `json:"response_p99_ns"`
}

// Machine is where a run was made. Two runs on different machines are not compared in silence.
type Machine struct {
	Hostname    string `json:"hostname,omitempty"`
	OS          string `json:"os"`
	Arch        string `json:"arch"`
	Kernel      string `json:"kernel"`
	CPUModel    string `json:"cpu_model"`
	CPUs        int    `json:"cpus"`
	MemoryBytes int64  `json:"memory_bytes"`
	MaxFiles    int64  `json:"max_files"`
	GoVersion   string `json:"go_version"`
}

// ThresholdResult is one line of the scenario's [thresholds], judged.
type ThresholdResult struct {
	Expression string  `json:"expression"` // "users.saw_error.rate < 0.1%"
	Observed   float64 `json:"observed"`   // in the base unit: ns, bytes, a share of 1, a count
	Limit      float64 `json:"limit"`
	Unit       string  `json:"unit"` // "ns", "bytes", "share", "per_s", "count"
	Pass       bool    `json:"pass"`
	// Margin is how far the observed value is inside the limit, as a share of the limit; negative
	// outside. Where the limit is 0 it is the difference itself.
	Margin float64 `json:"margin"`
	// Missing says why nothing was observed; a threshold on nothing does not pass.
	Missing string `json:"missing,omitempty"`
}
