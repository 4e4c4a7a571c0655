package engine

// state says which message a connection waits for, under RFC 8446 Appendix A's names; the states of
// the 1.0-1.2 family are named the same way after the message awaited.
type state uint8

const (
	stateStart state = iota // a server waits for the first bytes; a client never rests here
	stateFailed

	// Both families, client.
	stateWaitSH

	// Client, SSL 3.0 to TLS 1.2.
	stateWaitCert12       // Certificate, or resumption by NewSessionTicket or ChangeCipherSpec
	stateWaitStatusOrSKE  // CertificateStatus, ServerKeyExchange, CertificateRequest, ServerHelloDone
	stateWaitSKE          // ServerKeyExchange
	stateWaitCRorSHD      // CertificateRequest or ServerHelloDone
	stateWaitSHD          // ServerHelloDone
	stateWaitTicket       // NewSessionTicket, promised by the ServerHello
	stateWaitServerCCS    // ChangeCipherSpec
	stateWaitServerFin    // Finished of a full handshake
	stateWaitServerFinRes // Finished of a resumed handshake: the client's flight follows
	stateWaitServerCCSRes // ChangeCipherSpec of a resumed handshake
	stateWaitTicketRes    // NewSessionTicket of a resumed handshake

	// Both families, server.
	stateWaitCH

	// Server, SSL 3.0 to TLS 1.2.
	stateWaitClientCert   // Certificate
	stateWaitCKE          // ClientKeyExchange
	stateWaitCV12         // CertificateVerify
	stateWaitClientCCS    // ChangeCipherSpec
	stateWaitNextProto    // NextProtocol, behind ChangeCipherSpec
	stateWaitClientFin    // Finished of a full handshake: the server's flight follows
	stateWaitClientCCSRes // ChangeCipherSpec of a resumed handshake
	stateWaitClientFinRes // Finished of a resumed handshake
	stateWaitNextProtoRes // NextProtocol of a resumed handshake

	// TLS 1.3, client (RFC 8446 Appendix A.1).
	stateWaitSH2 // after a HelloRetryRequest
	stateWaitEE
	stateWaitCertCR
	stateWaitCert
	stateWaitCV
	stateWaitFinished

	// TLS 1.3, server (RFC 8446 Appendix A.2).
	stateWaitCH2 // after our HelloRetryRequest
	stateWaitEOED
	stateWaitClientCert13
	stateWaitClientCV13
	stateWaitClientFin13

	stateConnected

	stateCount
)

var stateNames = [stateCount]string{
	stateStart: "START", stateFailed: "FAILED", stateWaitSH: "WAIT_SH",
	stateWaitCert12: "WAIT_CERT", stateWaitStatusOrSKE: "WAIT_STATUS_SKE", stateWaitSKE: "WAIT_SKE",
	stateWaitCRorSHD: "WAIT_CR_SHD", stateWaitSHD: "WAIT_SHD", stateWaitTicket: "WAIT_TICKET",
	stateWaitServerCCS: "WAIT_CCS", stateWaitServerFin: "WAIT_FINISHED",
	stateWaitServerFinRes: "WAIT_FINISHED_RESUMED", stateWaitServerCCSRes: "WAIT_CCS_RESUMED",
	stateWaitTicketRes: "WAIT_TICKET_RESUMED",
	stateWaitCH:        "WAIT_CH", stateWaitClientCert: "WAIT_CLIENT_CERT", stateWaitCKE: "WAIT_CKE",
	stateWaitCV12: "WAIT_CLIENT_CV", stateWaitClientCCS: "WAIT_CLIENT_CCS",
	stateWaitNextProto: "WAIT_NEXT_PROTOCOL", stateWaitClientFin: "WAIT_CLIENT_FINISHED",
	stateWaitClientCCSRes: "WAIT_CLIENT_CCS_RESUMED", stateWaitClientFinRes: "WAIT_CLIENT_FINISHED_RESUMED",
	stateWaitNextProtoRes: "WAIT_NEXT_PROTOCOL_RESUMED",
	stateWaitSH2:          "WAIT_SH2", stateWaitEE: "WAIT_EE", stateWaitCertCR: "WAIT_CERT_CR",
	stateWaitCert: "WAIT_CERT", stateWaitCV: "WAIT_CV", stateWaitFinished: "WAIT_FINISHED",
	stateWaitCH2: "WAIT_CH2", stateWaitEOED: "WAIT_EOED", stateWaitClientCert13: "WAIT_CERT",
	stateWaitClientCV13: "WAIT_CV", stateWaitClientFin13: "WAIT_FINISHED", stateConnected: "CONNECTED",
}

func (s state) String() string { return stateNames[s] }

// family is which handshake a connection speaks.
type family uint8

const (
	familyNone family = iota // before the ServerHello decides
	family12                 // SSL 3.0 to TLS 1.2
	family13
)
