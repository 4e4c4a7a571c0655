package results

import (
	"time"

	"tlsurge/faults"
)

// Class is what became of one connection attempt, or of a request on an established connection.
// The taxonomy with meaning, whose fault and example is docs/OUTCOMES.md; harness/classify is the only
// place that turns an error into a Class.
type Class string

const (
	ClassOK               Class = "ok"
	ClassConnectRefused   Class = "connect_refused"
	ClassConnectTimeout   Class = "connect_timeout"
	ClassConnectReset     Class = "connect_reset"
	ClassReset            Class = "reset"             // RST in the handshake
	ClassEOF              Class = "eof"               // FIN in the handshake
	ClassHandshakeTimeout Class = "handshake_timeout" // the client gave up waiting
	ClassPeerAlert        Class = "peer_alert"        // the server refused: see Alert
	ClassLocalAlert       Class = "local_alert"       // the client refused: see Alert
	ClassCertificate      Class = "certificate"       // the client refused the certificate
	ClassRequestReset     Class = "request_reset"     // RST after the handshake
	ClassRequestEOF       Class = "request_eof"       // close before the answer was whole
	ClassTruncated        Class = "truncated"         // FIN without close_notify in an answer that the FIN ends
	ClassRequestTimeout   Class = "request_timeout"
	ClassHTTPStatus       Class = "http_status" // an answer of 500 or above, or a failed check
	ClassHTTPMalformed    Class = "http_malformed"
	ClassALPN             Class = "alpn"        // the server chose a protocol we do not speak
	ClassNoResource       Class = "no_resource" // this machine: ports, files, memory
)

// Kind of hello that an attempt sent.
const (
	KindFirst    = "first"
	KindResumed  = "resumed"
	KindRetry    = "retry"    // same parameters again
	KindFallback = "fallback" // lowered version
)

// What became of 0-RTT data.
const (
	EarlyAccepted = "accepted"
	EarlyRejected = "rejected"
)

// Attempt is one connection attempt from intended start to its end: a line of outcomes.jsonl.
// Durations are nanoseconds; -1 is "never reached".
type Attempt struct {
	faults.Key
	Tuple    faults.Tuple `json:"tuple"`
	Profile  string       `json:"profile"`
	Edge     string       `json:"edge"`
	Kind     string       `json:"attempt_kind"`
	Class    Class        `json:"class"`
	UserSees string       `json:"user_sees,omitempty"` // only where this attempt ended in an error shown
	// Page is what the page load that this attempt ended was; empty where it ended none.
	Page   PageVerdict `json:"page,omitempty"`
	Alert  int         `json:"alert"` // -1: none
	Sender string      `json:"alert_sender,omitempty"`
	Stage  string      `json:"stage"` // stage reached when it ended
	Errno  string      `json:"errno,omitempty"`
	Detail string      `json:"detail,omitempty"`

	Intended      time.Time `json:"intended"`
	StartNs       int64     `json:"start_ns"` // after Intended: the schedule lag
	ConnectedNs   int64     `json:"connected_ns"`
	HandshakeNs   int64     `json:"handshake_ns"`
	EndNs         int64     `json:"end_ns"`
	BytesSent     int64     `json:"bytes_sent"`
	BytesReceived int64     `json:"bytes_received"`
	Retransmits   int       `json:"retransmits"` // TCP_INFO tcpi_total_retrans at the end

	OfferedVersion string `json:"offered_version"`
	SCSV           bool   `json:"fallback_scsv,omitempty"`
	Version        string `json:"version,omitempty"` // negotiated
	Suite          string `json:"suite,omitempty"`
	Group          string `json:"group,omitempty"`
	Resumed        string `json:"resumed,omitempty"`       // "", session_id, ticket, psk
	Asked          string `json:"resume_asked,omitempty"`  // what the hello offered
	Issuer         string `json:"resume_issuer,omitempty"` // the edge that issued what was offered
	Early          string `json:"early_data,omitempty"`    // 0-RTT was sent: accepted, rejected

	// Fault is what the agent armed for this attempt; the join replaces it by the root cause, which
	// is a rule that fired, or nothing.
	Fault string `json:"fault,omitempty"`
	// Origin is the attempt whose failure began the chain this one belongs to (itself included);
	// the join walks it to the firing.
	Origin    faults.Key `json:"origin"`
	HasOrigin bool       `json:"has_origin"`
	// Keep makes the recorder keep this attempt as evidence, however good it was.
	Keep bool `json:"-"`
	// ServerLogs is the packed code the edge logged for this connection; filled in by the join.
	ServerLogs string `json:"server_logs,omitempty"`
}

// PageVerdict is what one page load was for the person in front of it.
type PageVerdict string

const (
	Fine         PageVerdict = "fine"
	SavedByRetry PageVerdict = "saved_by_retry"
	Downgraded   PageVerdict = "downgraded"
	SawError     PageVerdict = "saw_error"
)

// ServerEvent is one line that an edge wrote to its error log about a connection, as evidence.
type ServerEvent struct {
	Phase  string       `json:"phase"`
	Edge   string       `json:"edge"`
	Tuple  faults.Tuple `json:"tuple"`
	Time   time.Time    `json:"time"`
	Level  string       `json:"level"` // info, crit, alert, …
	Code   string       `json:"code"`  // packed OpenSSL code, upper case; empty for lines without one
	Reason string       `json:"reason"`
}
