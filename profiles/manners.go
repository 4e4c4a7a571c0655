package profiles

import "time"

// Manners is how a browser treats connections, apart from the hello and the fallback. Every value
// stands in the profile's behaviour file with its source.
type Manners struct {
	// ConnectionsPerHost is the most connections the browser holds to one host and port.
	ConnectionsPerHost int
	// BackupConnection is after how long without an answer to the SYN a second connection is opened; 0: never.
	BackupConnection time.Duration
	// ConnectTimeout, HandshakeTimeout and ResponseTimeout end an attempt; 0 means that the browser has no
	// such limit of its own (the system's remains).
	ConnectTimeout, HandshakeTimeout, ResponseTimeout time.Duration
	// IdleTimeout is after how long the browser closes an idle keepalive connection.
	IdleTimeout time.Duration
	// NextAddress: after a failed TCP connect the browser moves on to the next address of the name.
	NextAddress bool
	// ResendReused: a request on a reused connection that died before the first byte of an answer is sent
	// again on another connection.
	ResendReused bool
	// ResendOnlySafe: only if it may be repeated without harm (GET, HEAD); a POST is lost.
	ResendOnlySafe bool
	// FalseStart: application data goes out before the server's Finished (RFC 7918).
	FalseStart bool
	// Pipelining of HTTP/1.1 requests; no profile has it on.
	Pipelining bool
	// MinDHBits is the smallest prime of a DHE group that the browser takes; 0: any.
	MinDHBits int
	// MissingIssuer is how it gets along with a server that forgot the intermediate certificate.
	MissingIssuer MissingIssuer
	// Sessions is how sessions are stored.
	Sessions SessionManners
	// RetryStorm is what was measured of today's browsers when every handshake is reset.
	RetryStorm Storm
}

// MissingIssuer is what a browser does about a chain that lacks an intermediate authority's certificate.
type MissingIssuer string

const (
	IssuerMissed    MissingIssuer = ""          // nothing: an unknown issuer, unless some other site has sent it before
	IssuerFetched   MissingIssuer = "fetched"   // from the address in the certificate (authority information access)
	IssuerPreloaded MissingIssuer = "preloaded" // the browser knows all public intermediates beforehand
)

// SessionManners is a browser's session store.
type SessionManners struct {
	ID, Ticket, PSK bool          // what the browser resumes by
	Lifetime        time.Duration // after which a stored session is not offered
	// KeyedByMaxVersion: a session is offered only by hellos with the same maximum version as the one
	// that made it (Chromium). Else by all to that host and port.
	KeyedByMaxVersion bool
	// DropOnAlert: a fatal alert on a connection that offered a session drops the session (NSS).
	DropOnAlert bool
	// Single: a PSK ticket is used once.
	Single bool
	// EarlyData: a request that may be repeated without harm goes out as 0-RTT where the ticket allows it.
	EarlyData bool
}

// Storm is a burst of attempts: how many within how long, for one page load that never gets through.
type Storm struct {
	Attempts int
	Within   time.Duration
	// Reloads are the delays after which the error page loads itself again, in order.
	Reloads []time.Duration
	// Total attempts within TotalWithin, reloads included; 0 where the page does not reload.
	Total       int
	TotalWithin time.Duration
}
