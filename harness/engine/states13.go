package engine

import "tlsurge/profiles/wire"

// client13 is the client of RFC 8446 Appendix A.1. WAIT_SH stands in client12: until the ServerHello
// nobody knows the family.
//
//	WAIT_SH -> [WAIT_SH2 ->] WAIT_EE -> WAIT_CERT_CR -> [WAIT_CERT ->] WAIT_CV -> WAIT_FINISHED -> CONNECTED
//	                              \________________ PSK ___________________/
var client13 = table{
	stateWaitSH2: {
		on(wire.TypeServerHello, wire.ParseServerHello, (*Conn).onSecondServerHello),
	},
	stateWaitEE: {
		on(wire.TypeEncryptedExtensions, wire.ParseEncryptedExtensions, (*Conn).onEncryptedExtensions),
	},
	stateWaitCertCR: {
		on(wire.TypeCertificateRequest, wire.ParseCertificateRequest13, (*Conn).onCertificateRequest13),
		on(wire.TypeCertificate, wire.ParseCertificate13, (*Conn).onServerCertificate13),
		on(wire.TypeCompressedCertificate, wire.ParseCompressedCertificate, (*Conn).onCompressedCertificate),
	},
	stateWaitCert: {
		on(wire.TypeCertificate, wire.ParseCertificate13, (*Conn).onServerCertificate13),
		on(wire.TypeCompressedCertificate, wire.ParseCompressedCertificate, (*Conn).onCompressedCertificate),
	},
	stateWaitCV: {
		onLate(wire.TypeCertificateVerify, wire.ParseCertificateVerify13, (*Conn).onServerCertificateVerify13),
	},
	stateWaitFinished: {
		onLate(wire.TypeFinished, wire.ParseFinished13, (*Conn).onServerFinished13),
	},
	stateConnected: {
		onPost(wire.TypeNewSessionTicket, wire.ParseNewSessionTicket13, (*Conn).onNewSessionTicket13),
		onPost(wire.TypeKeyUpdate, wire.ParseKeyUpdate, (*Conn).onKeyUpdate),
	},
}

// server13 is the server of RFC 8446 Appendix A.2. WAIT_CH stands in server12.
//
//	WAIT_CH -> [WAIT_CH2 ->] [WAIT_EOED ->] [WAIT_CERT -> [WAIT_CV ->]] WAIT_FINISHED -> CONNECTED
var server13 = table{
	stateWaitCH2: {
		on(wire.TypeClientHello, wire.ParseOpaque, (*Conn).onSecondClientHello),
	},
	stateWaitEOED: {
		on(wire.TypeEndOfEarlyData, wire.ParseEndOfEarlyData, (*Conn).onEndOfEarlyData),
	},
	stateWaitClientCert13: {
		on(wire.TypeCertificate, wire.ParseCertificate13, (*Conn).onClientCertificate13),
	},
	stateWaitClientCV13: {
		onLate(wire.TypeCertificateVerify, wire.ParseCertificateVerify13, (*Conn).onClientCertificateVerify13),
	},
	stateWaitClientFin13: {
		onLate(wire.TypeFinished, wire.ParseFinished13, (*Conn).onClientFinished13),
	},
	stateConnected: {
		onPost(wire.TypeKeyUpdate, wire.ParseKeyUpdate, (*Conn).onKeyUpdate),
	},
}
