package symptom

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"tlsurge/profiles/wire"
)

// What a connection speaks, as far as its first bytes tell.
const (
	speaksTLS     = "TLS"
	speaksNothing = "nothing" // neither side has said anything, or the capture keeps none of it
	speaksHTTP    = "plain HTTP, no TLS"
	speaksOther   = "no TLS"
	speaksMiddle  = "what began before the capture"
)

// speech tells what a connection speaks. A failure of TLS is looked for in what is TLS alone: a server that closes
// after an answer in plain HTTP has closed nothing in a handshake.
func (c *connection) speech() string {
	client, server := c.half[0].stream, c.half[1].stream
	switch {
	case len(client) == 0 && len(server) == 0:
		return speaksNothing
	case startsHello(client):
		return speaksTLS
	case startsHTTP(client) || startsHTTP(server):
		return speaksHTTP
	case c.syns == 0 && !c.synAck:
		if len(client) == 0 && startsRecord(server) == wire.RecordHandshake {
			return speaksTLS // from the ServerHello on
		}
		return speaksMiddle
	case len(client) == 0 && startsRecord(server) != 0:
		return speaksTLS // the client's bytes are missing
	case len(client) < wire.RecordHeaderLen && len(server) == 0:
		return speaksTLS // a hello that stopped in its header
	}
	return speaksOther
}

// startsRecord is the type of the record that a stream begins with; 0 where it begins with none.
func startsRecord(b []byte) wire.RecordType {
	if len(b) < 3 || b[1] != 3 || b[2] > 4 || b[0] < byte(wire.RecordChangeCipherSpec) || b[0] > byte(wire.RecordApplicationData)+1 {
		return 0
	}
	return wire.RecordType(b[0])
}

// startsHello says whether a stream begins as a client's TLS does: with a ClientHello, of SSL 2.0's form too.
func startsHello(b []byte) bool {
	switch {
	case startsRecord(b) == wire.RecordHandshake:
		return len(b) <= wire.RecordHeaderLen || wire.HandshakeType(b[wire.RecordHeaderLen]) == wire.TypeClientHello
	case startsRecord(b) == wire.RecordAlert:
		return true
	}
	return len(b) > 4 && b[0]&0x80 != 0 && b[2] == 1 && (b[3] == 3 || b[3] == 0)
}

var methods = []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI * HTTP/2", "HTTP/1."}

// startsHTTP says whether a stream is HTTP in the clear, of either side.
func startsHTTP(b []byte) bool {
	for _, m := range methods {
		if bytes.HasPrefix(b, []byte(m)) {
			return true
		}
	}
	return false
}

// startsNoTLS says whether a server's first bytes can be no record, nor a ServerHello of SSL 2.0.
func startsNoTLS(b []byte) bool {
	return len(b) >= 3 && startsRecord(b) == 0 && b[0]&0x80 == 0
}

// notTLS counts connections that are none of TLS, for a note.
type notTLS struct {
	what         string
	server       netip.AddrPort
	count, reset int
	others       bool // there is more than one server
	wantsTLS     bool // the server says that it wants HTTPS
}

func (n *notTLS) add(c *connection) {
	n.count++
	n.others = n.others || c.server != n.server
	if c.end.how == "rst" && c.end.sender == "server" {
		n.reset++
	}
	n.wantsTLS = n.wantsTLS || bytes.HasPrefix(c.half[1].stream, []byte("HTTP/1.1 400")) && bytes.Contains(c.half[1].stream, []byte("HTTPS"))
}

// String says it: "3 connections to 192.0.2.1:80 and others speak plain HTTP, no TLS; 1 reset by the server".
func (n *notTLS) String() string {
	var b strings.Builder
	plural, verb := "s", "speak"
	if n.count == 1 {
		plural, verb = "", "speaks"
	}
	if n.what == speaksMiddle {
		verb = "is"
		if n.count > 1 {
			verb = "are"
		}
	}
	fmt.Fprintf(&b, "%d connection%s to %s", n.count, plural, n.server)
	if n.others {
		b.WriteString(" and others")
	}
	fmt.Fprintf(&b, " %s %s", verb, n.what)
	if n.what == speaksMiddle {
		b.WriteString(": how it failed, if it did, cannot be told")
	}
	if n.wantsTLS {
		b.WriteString(", to a port of HTTPS")
	}
	if n.reset > 0 {
		fmt.Fprintf(&b, "; %d reset by the server", n.reset)
	}
	return b.String()
}
