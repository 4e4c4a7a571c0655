package profiles

import "tlsurge/profiles/wire"

// FailureKind is what ended an attempt, as the browser's network layer sees it.
type FailureKind uint8

const (
	FailNone           FailureKind = iota
	FailRefused                    // connect: RST to the SYN
	FailConnectTimeout             // connect: silence
	FailReset                      // RST after connect
	FailEOF                        // FIN in the handshake, or before an answer
	FailTimeout                    // silence in the handshake or before an answer
	FailAlert                      // the server sent the fatal alert Failure.Alert
	FailLocal                      // the client refused: it sent Failure.Alert
	FailCertificate                // the client refused the certificate
	FailHTTP                       // what came over a sound connection is no HTTP
	FailNoResource                 // this machine, not the network; browsers never see it
)

// CertificateFault is what is wrong with a certificate, as far as browsers word it apart.
type CertificateFault uint8

const (
	CertificateOther CertificateFault = iota
	CertificateExpired
	CertificateNotYet // not valid yet, by this browser's clock
	CertificateIssuer // signed by nobody that the browser knows
	CertificateName   // for another host
)

// Failure is the end of one attempt, in the terms that browsers decide on.
type Failure struct {
	Kind  FailureKind
	Alert wire.AlertDescription // FailAlert, FailLocal
	// AwaitingServerHello is true until a ServerHello was read: NSS words an alert by it.
	AwaitingServerHello bool
	// HandshakeDone: the failure hit a request, not the handshake.
	HandshakeDone bool
	// ReusedConnection: at least one request had been answered on this connection.
	ReusedConnection bool
	// AnswerBytes is how many bytes of the answer had come.
	AnswerBytes int64
	// Version is the version offered by the attempt; Negotiated the one agreed, or 0.
	Version, Negotiated wire.Version
	// NoCommonVersion, UnofferedSuite: what FailLocal was about, where a browser words it apart.
	NoCommonVersion, UnofferedSuite bool
	// WeakDH: FailLocal because the server's Diffie-Hellman group is too small for the browser.
	WeakDH bool
	// Certificate is what FailCertificate was about.
	Certificate CertificateFault
	// NotTLS: FailLocal because the answer was no TLS record at all (plain HTTP on the TLS port).
	NotTLS bool
	// Idempotent: the request that was lost may be repeated without harm (GET, HEAD).
	Idempotent bool
}
