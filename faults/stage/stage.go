// Package stage names the points of a connection at which a fault can strike, and observes passively,
// from the bytes of both directions, which point a connection has reached.
//
// It decides nothing and damages nothing. It is pure.
package stage

// Stage is a point in the life of a TLS connection. Each but Idle belongs to one direction.
type Stage uint8

// The stages, in the order in which a connection usually meets them. What an observer without keys cannot
// tell apart has one name: in TLS 1.3 all that the server encrypts before the client's Finished is ServerFlight.
const (
	None              Stage = iota
	Syn                     // the client's SYN
	SynAck                  // the server's SYN-ACK
	ClientHello             // any ClientHello: the first, the one after HelloRetryRequest, the SSLv2 form
	HelloRetryRequest       // TLS 1.3
	ServerHello             // ServerHello itself
	ServerFlight            // TLS 1.2 and older: Certificate to ServerHelloDone; TLS 1.3: the encrypted flight with Finished
	ClientKeyExchange       // TLS 1.2 and older: the client's Certificate, ClientKeyExchange, CertificateVerify
	Finished                // the client's ChangeCipherSpec and Finished
	ServerFinished          // TLS 1.2 and older: NewSessionTicket, ChangeCipherSpec and Finished of the server
	Request                 // application data of the client, 0-RTT included
	Response                // application data of the server; in TLS 1.3 also what it sends after the client's Finished
	Alert                   // an alert of the server, as far as it is not encrypted in TLS 1.3
	Idle                    // no byte moved for a while after a response
	numStages
)

// names are the words of a scenario's `at`.
var names = [numStages]string{"none", "syn", "syn_ack", "client_hello", "hello_retry_request", "server_hello",
	"server_flight", "client_key_exchange", "finished", "server_finished", "request", "response", "alert", "idle"}

// String gives the scenario's word ("client_hello").
func (s Stage) String() string {
	if s >= numStages {
		return "none"
	}
	return names[s]
}

// Parse finds the stage of a scenario's word; ok is false for an unknown one.
func Parse(word string) (s Stage, ok bool) {
	for i, n := range names {
		if n == word && i != 0 {
			return Stage(i), true
		}
	}
	return None, false
}

// All returns every stage that a rule may name, in order.
func All() []Stage {
	all := make([]Stage, 0, numStages-1)
	for s := None + 1; s < numStages; s++ {
		all = append(all, s)
	}
	return all
}

// Direction is the way of the bytes that belong to the stage; 0 for None and Idle, which have no bytes.
func (s Stage) Direction() Direction {
	switch s {
	case Syn, ClientHello, ClientKeyExchange, Finished, Request:
		return ClientToServer
	case SynAck, HelloRetryRequest, ServerHello, ServerFlight, ServerFinished, Response, Alert:
		return ServerToClient
	}
	return 0
}

// Direction is the way of the bytes that are hit.
type Direction uint8

const (
	ClientToServer Direction = iota + 1
	ServerToClient
)

func (d Direction) String() string {
	switch d {
	case ClientToServer:
		return "client-to-server"
	case ServerToClient:
		return "server-to-client"
	}
	return ""
}

// ParseDirection finds the direction of a scenario's word; ok is false for an unknown one.
func ParseDirection(word string) (d Direction, ok bool) {
	switch word {
	case "client-to-server":
		return ClientToServer, true
	case "server-to-client":
		return ServerToClient, true
	}
	return 0, false
}
