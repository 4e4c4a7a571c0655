package engine

import "tlsurge/profiles/wire"

// The legal messages of SSL 3.0 to TLS 1.2. A message that is not in the row of its state is
// unexpected_message.

// client12 also holds stateWaitSH, before the ServerHello has told the family.
var client12 = table{
	stateWaitSH: {on(wire.TypeServerHello, wire.ParseServerHello, (*Conn).onServerHello)},
	stateWaitCert12: {
		on(wire.TypeCertificate, wire.ParseCertificate12, (*Conn).onCertificate12),
		// A server that takes a ticket need not say so in its ServerHello (RFC 5077 §3.4): its next
		// message tells.
		on(wire.TypeNewSessionTicket, wire.ParseNewSessionTicket12, (*Conn).onTicketResumes),
		onSignal(inputCCS, (*Conn).onCCSResumes),
	},
	stateWaitStatusOrSKE: {
		on(wire.TypeCertificateStatus, wire.ParseCertificateStatus, (*Conn).onCertificateStatus),
		on(wire.TypeServerKeyExchange, wire.ParseOpaque, (*Conn).onServerKeyExchange),
		on(wire.TypeCertificateRequest, wire.ParseOpaque, (*Conn).onCertificateRequest12),
		on(wire.TypeServerHelloDone, wire.ParseEmpty, (*Conn).onServerHelloDone),
	},
	stateWaitSKE: {on(wire.TypeServerKeyExchange, wire.ParseOpaque, (*Conn).onServerKeyExchange)},
	stateWaitCRorSHD: {
		on(wire.TypeCertificateRequest, wire.ParseOpaque, (*Conn).onCertificateRequest12),
		on(wire.TypeServerHelloDone, wire.ParseEmpty, (*Conn).onServerHelloDone),
	},
	stateWaitSHD:       {on(wire.TypeServerHelloDone, wire.ParseEmpty, (*Conn).onServerHelloDone)},
	stateWaitTicket:    {on(wire.TypeNewSessionTicket, wire.ParseNewSessionTicket12, (*Conn).onNewSessionTicket12)},
	stateWaitServerCCS: {onSignal(inputCCS, (*Conn).onServerCCS)},
	stateWaitServerFin: {onLate(wire.TypeFinished, wire.ParseOpaque, (*Conn).onServerFinished)},

	stateWaitTicketRes:    {on(wire.TypeNewSessionTicket, wire.ParseNewSessionTicket12, (*Conn).onTicketResumed)},
	stateWaitServerCCSRes: {onSignal(inputCCS, (*Conn).onServerCCSResumed)},
	stateWaitServerFinRes: {onLate(wire.TypeFinished, wire.ParseOpaque, (*Conn).onServerFinishedResumed)},

	stateConnected: {onPost(wire.TypeHelloRequest, wire.ParseEmpty, (*Conn).onHelloRequest)},
}

// server12 also holds stateWaitCH, before the ClientHello has told the family.
var server12 = table{
	stateWaitCH: {on(wire.TypeClientHello, wire.ParseOpaque, (*Conn).onClientHelloMessage)},
	stateWaitClientCert: {
		on(wire.TypeCertificate, wire.ParseCertificate12, (*Conn).onClientCertificate12),
		onSignal(inputNoCertificate, (*Conn).onNoCertificate),
	},
	stateWaitCKE:       {on(wire.TypeClientKeyExchange, wire.ParseOpaque, (*Conn).onClientKeyExchange)},
	stateWaitCV12:      {onLate(wire.TypeCertificateVerify, wire.ParseOpaque, (*Conn).onCertificateVerify12)},
	stateWaitClientCCS: {onSignal(inputCCS, (*Conn).onClientCCS)},
	stateWaitNextProto: {on(wire.TypeNextProtocol, wire.ParseNextProtocol, (*Conn).onNextProtocol)},
	stateWaitClientFin: {onLate(wire.TypeFinished, wire.ParseOpaque, (*Conn).onClientFinished)},

	stateWaitClientCCSRes: {onSignal(inputCCS, (*Conn).onClientCCSResumed)},
	stateWaitNextProtoRes: {on(wire.TypeNextProtocol, wire.ParseNextProtocol, (*Conn).onNextProtocolResumed)},
	stateWaitClientFinRes: {onLate(wire.TypeFinished, wire.ParseOpaque, (*Conn).onClientFinishedResumed)},

	stateConnected: {onPost(wire.TypeClientHello, wire.ParseOpaque, (*Conn).onClientHelloAgain)},
}
