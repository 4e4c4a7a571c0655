package results

import "time"

// EdgeStats is what an edge has counted since its phase began: cumulative, so the last one counts.
type EdgeStats struct {
	Phase   string `json:"phase"`
	Name    string `json:"name"` // "edge-2"
	Address string `json:"address"`
	Stack   string `json:"stack"`
	Seq     uint64 `json:"seq"` // from 1; a lower one that arrives late is ignored

	Established     int64 `json:"established"` // now
	PeakEstablished int64 `json:"peak_established"`
	TimeWait        int64 `json:"time_wait"` // now, at this edge's address and port
	PeakTimeWait    int64 `json:"peak_time_wait"`
	Accepted        int64 `json:"accepted"`
	Handshakes      int64 `json:"handshakes"` // completed

	// LogLines counts the lines of the error log by (level, code, reason).
	LogLines []LogLine `json:"log_lines"`
	// Eligible counts, for each rule of engine "edge", the connections it could have hit.
	Eligible map[string]int64 `json:"eligible,omitempty"`

	RSSBytes     int64         `json:"rss_bytes"`
	RSSPeakBytes int64         `json:"rss_peak_bytes"`
	CPU          time.Duration `json:"cpu_ns"`
	// Waited is how long its threads were ready to run and had no processor; 0 where the system does not say.
	Waited time.Duration `json:"waited_ns,omitempty"`
	// Elapsed is the edge's own clock, since its phase began: reports do not come on the tick.
	Elapsed time.Duration `json:"elapsed_ns,omitempty"`
	// RSSPerIdleConnectionBytes is (RSS with connections held idle - RSS before the first) divided by
	// their number; 0 where too few were held to say.
	RSSPerIdleConnectionBytes int64 `json:"rss_per_idle_connection_bytes"`
}
