// Package stage names the points of a connection at which a fault can strike, and observes passively,
// from the bytes of both directions, which point a connection has reached.
//
// It decides nothing and damages nothing. It is pure.
package stage

// Stage is a point in the life of a TLS connection.
type Stage uint8

const (
	None Stage = iota
	Syn
	SynAck
	ClientHello
	ServerHello
	ClientKeyExchange
	Finished
	Request
	Response
	Idle
)

// names are the words of a scenario's `at`.
var names = [...]string{"none", "syn", "syn_ack", "client_hello", "server_hello", "client_key_exchange",
	"finished", "request", "response", "idle"}

// String gives the scenario's word ("client_hello").
func (s Stage) String() string { return names[s] }

// Parse finds the stage of a scenario's word; ok is false for an unknown one.
func Parse(word string) (s Stage, ok bool) {
	for i, n := range names {
		if n == word && i != 0 {
			return Stage(i), true
		}
	}
	return None, false
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
