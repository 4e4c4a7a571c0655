package engine

import (
	"crypto"
	"io"
	"time"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// ClientConfig is what a client knows beside its ClientHello. It is read-only once in use, but for the
// Verifier and the KeyPool, which cache: one loop owns both.
type ClientConfig struct {
	ServerName string        // the name that the certificate must be for
	Verifier   *Verifier     // judges the server's chain; nil: any certificate is taken
	Session    *Session      // what the hello offers to resume; nil: nothing
	Clock      time.Duration // how far this client's clock is off: what it judges certificates by
	Shares     []*keys.Share // private halves of the hello's key shares, TLS 1.3

	// Versions is what a ServerHello may choose. Empty: every version up to the hello's highest, from
	// TLS 1.0 (SSL 3.0 if the hello itself asks for SSL 3.0).
	Versions VersionSet

	// Rand gives every random byte that the engine itself draws. With a seeded reader two runs are equal.
	Rand io.Reader

	// KeyPool supplies the private halves of ECDHE in TLS 1.2 and below. Nil: a new one each time.
	KeyPool *KeyPool

	// Certificate answers a CertificateRequest; nil: an empty Certificate message (a no_certificate
	// warning in SSL 3.0).
	Certificate *Certificate

	// MinDHBits is the smallest prime of a DHE group that is taken; 0: any that keys.GenerateDH takes.
	MinDHBits int

	// Split says how application data is cut into records under CBC in TLS 1.0 and below.
	Split Split

	// FalseStart lets Send work from the client's Finished on, where RFC 7918 §3 and §4 allow it.
	FalseStart bool

	// NPN is what this client speaks, best first, for next_protocol_negotiation; empty: "http/1.1".
	NPN []string

	// EarlyData is sent as 0-RTT where the hello offers early_data (TLS 1.3).
	EarlyData []byte

	// Retry builds the second ClientHello after a HelloRetryRequest, as that browser would; nil: the
	// engine changes what RFC 8446 §4.1.2 asks for and nothing else.
	Retry func(*HelloRetry) (*hello.ClientHello, error)

	// Renegotiate says what a HelloRequest gets.
	Renegotiate Renegotiate

	// MaxFragment cuts what we send into records of at most so many bytes; 0 is 16384.
	MaxFragment int

	// Exporters keeps what Conn.Export needs below TLS 1.3, 180 bytes a connection.
	Exporters bool

	// KeyLog receives one SSLKEYLOGFILE line per secret, in parts.
	KeyLog func(label string, clientRandom, secret []byte)
}

// Split is a defence against BEAST that browsers chose in 2011 and 2012: it makes the IV of the bulk
// of the data unpredictable under chained CBC.
type Split uint8

const (
	SplitNone  Split = iota
	SplitOne         // 1/n-1: one byte, then the rest (Firefox, Chrome, Safari, Internet Explorer)
	SplitEmpty       // an empty record before each (OpenSSL without SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS)
)

// Renegotiate is the answer to a peer who asks for a new handshake on an established connection.
type Renegotiate uint8

const (
	RenegotiateRefuse Renegotiate = iota // a no_renegotiation warning, and the connection goes on
	RenegotiateSecure                    // done, if renegotiation_info was agreed (RFC 5746)
	RenegotiateAlways                    // done, even without
	RenegotiateClose                     // refused by closing without an alert (nginx)
)

// VersionSet is a set of protocol versions; the zero set is "not said".
type VersionSet uint8

// Versions makes a set.
func Versions(vs ...wire.Version) VersionSet {
	var s VersionSet
	for _, v := range vs {
		s |= versionBit(v)
	}
	return s
}

// Has says whether v is in the set.
func (s VersionSet) Has(v wire.Version) bool { return s&versionBit(v) != 0 }

// Max is the highest version in the set, 0 if it is empty.
func (s VersionSet) Max() wire.Version {
	for v := wire.TLS13; v >= wire.SSL30; v-- {
		if s.Has(v) {
			return v
		}
	}
	return 0
}

func versionBit(v wire.Version) VersionSet {
	if v < wire.SSL30 || v > wire.TLS13 {
		return 0
	}
	return 1 << (v - wire.SSL30)
}

// ServerConfig is what a server is set to. Many connections share one; the engine only reads it.
type ServerConfig struct {
	Certificates []*Certificate     // the first that suits the hello is used
	Versions     VersionSet         // which versions are enabled
	Suites       []wire.CipherSuite // enabled suites, in order of preference; those we cannot speak are ranked and passed over
	Suites13     []wire.CipherSuite // TLS 1.3 suites in order; empty: the three of RFC 8446 §B.4 that we speak
	PreferServer bool               // ssl_prefer_server_ciphers
	Groups       []wire.Group       // enabled groups in order of preference
	DH           *keys.DHGroup      // the group for DHE; nil: no DHE

	ALPN       []string // protocols in order of the server's preference; empty: the extension is ignored
	ALPNStrict bool     // no overlap is no_application_protocol; false: the extension is ignored then
	NPN        []string // advertised by next_protocol_negotiation; empty: not spoken

	Sessions        SessionStore // session-ID resumption; nil: none
	IssueID         bool         // give a session ID even without a store (nginx's ssl_session_cache none)
	Tickets         TicketKeys   // ticket resumption; nil: none
	SessionLifetime time.Duration
	MaxEarlyData    uint32 // TLS 1.3: 0 switches 0-RTT off
	TicketCount     int    // TLS 1.3 NewSessionTickets after a full handshake

	// CertCompression is what the server may compress its chain with, TLS 1.3: zlib, brotli, zstd. The client's first that
	// is in it is taken.
	CertCompression []wire.CertCompression

	// Select is asked once the ClientHello is read, and may give another configuration for the rest of
	// the handshake (server name). Nil, or a nil result: this one. An error refuses the handshake.
	Select func(ch *hello.ClientHello) (*ServerConfig, error)

	ClientAuth     ClientAuth
	ClientVerifier *Verifier              // judges client certificates; nil: any is taken
	ClientCAs      [][]byte               // DER names for CertificateRequest
	ClientSchemes  []wire.SignatureScheme // accepted in CertificateVerify; empty: all that we verify

	Renegotiate Renegotiate
	Exporters   bool // keep what Conn.Export needs below TLS 1.3
	Rules       Rules
	Split       Split
	MaxFragment int // 0: 16384

	Rand   io.Reader
	KeyLog func(label string, clientRandom, secret []byte)
}

// ClientAuth says whether a server asks for a certificate.
type ClientAuth uint8

const (
	ClientAuthNone ClientAuth = iota
	ClientAuthRequest
	ClientAuthRequire
)

// SessionStore keeps sessions under their IDs. now is the time of the call; a store forgets what is
// older than its lifetime. It locks itself if connections of several goroutines share it.
type SessionStore interface {
	Get(now time.Time, id []byte) *Session
	Put(now time.Time, id []byte, s *Session)
	Delete(id []byte)
}

// TicketKeys holds the keys that protect session tickets. It locks itself if shared.
type TicketKeys interface {
	// Current is the key for new tickets.
	Current(now time.Time) *TicketKey
	// Find gives the key with that name; renew asks for a new ticket beside the resumption.
	Find(now time.Time, name [16]byte) (key *TicketKey, renew bool)
}

// TicketKey protects tickets: AES-128-CBC with HMAC-SHA-256 (RFC 5077 §4, Recommended Ticket Construction).
type TicketKey struct {
	Name [16]byte
	AES  [16]byte
	HMAC [32]byte
}

// Certificate is a chain with its private key, and what is stapled to it.
type Certificate struct {
	Chain [][]byte      // DER, leaf first
	Key   crypto.Signer // *rsa.PrivateKey, *ecdsa.PrivateKey or ed25519.PrivateKey
	OCSP  []byte        // DER OCSPResponse for status_request
	SCTs  [][]byte      // for signed_certificate_timestamp

	// Schemes is what Key signs with from TLS 1.2 on, best first; empty: the peer's first that fits.
	Schemes []wire.SignatureScheme
}

// prefer orders what the peer offers as the certificate asks.
func (cert *Certificate) prefer(offered []wire.SignatureScheme) []wire.SignatureScheme {
	if len(cert.Schemes) == 0 {
		return offered
	}
	both := make([]wire.SignatureScheme, 0, len(cert.Schemes))
	for _, s := range cert.Schemes {
		if contains(offered, s) {
			both = append(both, s)
		}
	}
	return both
}

// String lists the versions, lowest first.
func (s VersionSet) String() string {
	out := ""
	for v := wire.SSL30; v <= wire.TLS13; v++ {
		if s.Has(v) {
			if out != "" {
				out += ", "
			}
			out += v.String()
		}
	}
	if out == "" {
		return "none"
	}
	return out
}
