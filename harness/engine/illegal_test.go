package engine

import (
	"errors"
	"fmt"
	"testing"

	"tlsurge/harness/keys"
	"tlsurge/harness/record"
	"tlsurge/profiles/wire"
)

// prefix runs a shape until one end has read k of the other's records, and gives that end. more is
// false if the conversation has no k-th record.
func prefix(t *testing.T, s shape, victimIsClient bool, k int) (victim, peer *Conn, more bool) {
	p := s.pair(t)
	victim, peer = p.server, p.client
	if victimIsClient {
		victim, peer = p.client, p.server
	}
	read := 0
	for range 32 {
		out := peer.AppendOutput(nil)
		for len(out) > 0 {
			if read == k {
				return victim, peer, true
			}
			h, _ := wire.ParseRecordHeader(out)
			n := wire.RecordHeaderLen + h.Length
			if err := victim.Receive(testNow, out[:n:n]); err != nil {
				t.Fatalf("%s: legal record %d: %v", s.name, read, err)
			}
			out = out[n:]
			read++
		}
		if b := victim.AppendOutput(nil); len(b) > 0 {
			if err := peer.Receive(testNow, b); err != nil {
				t.Fatal(err)
			}
		}
	}
	return victim, peer, read == k
}

// craft makes a record that the victim can open: in the clear before ChangeCipherSpec, sealed with the
// peer's keys after it.
func craft(victim, peer *Conn, typ wire.RecordType, payload []byte) []byte {
	v := victim.facts.Version
	if v == 0 {
		v = wire.TLS10
	}
	switch {
	case victim.read == nil:
		return wire.AppendRecord(nil, typ, v, payload)
	case victim.hs != nil:
		hs := victim.hs
		c, s := keys.Key(v, hs.suite.Hash(v), &hs.master).KeyBlock(hs.suite, hs.clientRandom[:], hs.serverRandom[:])
		k := c
		if victim.isClient {
			k = s
		}
		half := record.New12(hs.suite, v, k, victim.facts.EtM, true, seeded(9))
		if hs.wantNPN && (victim.state == stateWaitClientFin || victim.state == stateWaitClientFinRes) {
			half.AppendSeal(nil, typ, v, nil) // NextProtocol was the first record under these keys
		}
		return half.AppendSeal(nil, typ, v, payload)
	}
	peer.writeRecord(typ, payload)
	return peer.AppendOutput(nil)
}

// Every message that a state does not expect is unexpected_message, in every state of every shape, on both
// sides; and every state of the two tables is visited.
func TestIllegalMessageInEachState(t *testing.T) {
	types := []wire.HandshakeType{0, 1, 2, 4, 5, 8, 11, 12, 13, 14, 15, 16, 20, 22, 24, 25, 67, 99, 254}
	visited := map[string]bool{}
	for _, s := range shapes {
		for _, client := range []bool{true, false} {
			for k := 0; ; k++ {
				victim, _, more := prefix(t, s, client, k)
				if !more {
					break
				}
				visited[fmt.Sprint(client, victim.state)] = true
				for _, typ := range types {
					victim, peer, _ := prefix(t, s, client, k)
					if victim.legal(input(typ)) {
						continue
					}
					body := append([]byte{byte(typ), 0, 0, 4}, 1, 2, 3, 4)
					wantUnexpected(t, s, victim, craft(victim, peer, wire.RecordHandshake, body), typ.String())
				}
				if victim, peer, _ := prefix(t, s, client, k); !victim.legal(inputCCS) {
					wantUnexpected(t, s, victim, craft(victim, peer, wire.RecordChangeCipherSpec, []byte{1}), "ChangeCipherSpec")
				}
				if victim, peer, _ := prefix(t, s, client, k); !victim.done {
					wantUnexpected(t, s, victim, craft(victim, peer, wire.RecordApplicationData, []byte("early")), "application data")
				}
				victim, peer, _ := prefix(t, s, client, k)
				wantUnexpected(t, s, victim, craft(victim, peer, wire.RecordHeartbeat, []byte{1, 0, 1, 0}), "heartbeat")
			}
		}
	}
	for side, tab := range map[bool]*table{true: &client12, false: &server12} {
		for st, rows := range tab {
			if len(rows) > 0 && !visited[fmt.Sprint(side, state(st))] {
				t.Errorf("client %v: no shape rests in %v", side, state(st))
			}
		}
	}
}

// legal says whether the state has a row for in, or ignores it.
func (c *Conn) legal(in input) bool {
	if c.ignores(in) {
		return true
	}
	for _, r := range c.rows() {
		if r.on == in {
			return true
		}
	}
	return false
}

func wantUnexpected(t *testing.T, s shape, victim *Conn, rec []byte, what string) {
	t.Helper()
	st := victim.state
	err := victim.Receive(testNow, rec)
	var la *LocalAlert
	if !errors.As(err, &la) || la.Description != wire.AlertUnexpectedMessage {
		t.Errorf("%s, client %v: %s in %v: %v, want unexpected_message", s.name, victim.isClient, what, st, err)
	}
}

// A change of keys with handshake bytes left over is unexpected_message: they would be read under the
// wrong keys.
func TestExcessBeforeChange(t *testing.T) {
	victim, _, _ := prefix(t, shapes[0], false, 2) // ClientHello, ClientKeyExchange read
	if victim.state != stateWaitClientCCS {
		t.Fatalf("the server is in %v", victim.state)
	}
	half := []byte{20, 0, 0, 12, 1, 2} // the beginning of a Finished in the clear
	if err := victim.Receive(testNow, wire.AppendRecord(nil, wire.RecordHandshake, wire.TLS10, half)); err != nil {
		t.Fatal(err)
	}
	wantUnexpected(t, shapes[0], victim, wire.AppendRecord(nil, wire.RecordChangeCipherSpec, wire.TLS10, []byte{1}), "ChangeCipherSpec inside a message")
}

func TestWarnings(t *testing.T) {
	p := shapes[0].pair(t)
	p.must()
	for i := range maxWarnings + 1 {
		p.client.writeAlert(wire.LevelWarning, wire.AlertUserCanceled)
		err := p.server.Receive(testNow, p.client.AppendOutput(nil))
		if i < maxWarnings {
			if e := p.server.Next(); err != nil || e.Kind != EventWarning || e.Alert != wire.AlertUserCanceled {
				t.Fatalf("warning %d: %v, %v", i, e, err)
			}
		} else if !errors.Is(err, ErrTooManyWarnings) {
			t.Fatalf("warning %d: %v", i, err)
		}
	}
}

func TestEmptyRecords(t *testing.T) {
	p := shapes[0].pair(t)
	p.must()
	for i := range maxEmptyRecords + 1 {
		p.client.writeRecord(wire.RecordApplicationData, nil)
		err := p.server.Receive(testNow, p.client.AppendOutput(nil))
		if want := i == maxEmptyRecords; want != errors.Is(err, ErrTooManyEmpty) {
			t.Fatalf("empty record %d: %v", i, err)
		}
	}
}
