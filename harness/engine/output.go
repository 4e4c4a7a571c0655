package engine

import (
	"tlsurge/harness/record"
	"tlsurge/profiles/wire"
)

// setWrite changes the keys of what we send.
func (c *Conn) setWrite(h record.Half) { c.write = h }

// writeRecord frames and protects one fragment of any length.
func (c *Conn) writeRecord(typ wire.RecordType, fragment []byte) {
	limit := c.fragmentLimit()
	if c.out == nil {
		// One growth for a client's whole flight instead of one per record.
		if c.hs != nil && c.isClient {
			c.out = c.hs.outRoom[:0]
		} else {
			c.out = make([]byte, 0, max(256, min(len(fragment), limit)+128))
		}
	}
	for {
		n := min(len(fragment), limit)
		if c.write == nil {
			c.out = wire.AppendRecord(c.out, typ, c.outVersion, fragment[:n])
		} else {
			c.out = c.write.AppendSeal(c.out, typ, c.outVersion, fragment[:n])
		}
		if fragment = fragment[n:]; len(fragment) == 0 {
			return
		}
	}
}

func (c *Conn) fragmentLimit() int {
	n := 0
	if c.isClient {
		n = c.client.MaxFragment
	} else {
		n = c.server.MaxFragment
	}
	if n <= 0 || n > wire.MaxPlaintext {
		n = wire.MaxPlaintext
	}
	if c.peerLimit > 0 {
		n = min(n, int(c.peerLimit))
	}
	return n
}

func (c *Conn) writeAlert(level wire.AlertLevel, d wire.AlertDescription) {
	body := [2]byte{byte(level), byte(d)}
	c.writeRecord(wire.RecordAlert, body[:])
}

// sendMessage hashes and sends one handshake message, header included: "bytes hashed are the bytes sent".
func (c *Conn) sendMessage(msg []byte) {
	c.hs.transcript.add(msg)
	c.writeRecord(wire.RecordHandshake, msg)
}

func (c *Conn) sendCCS() { c.writeRecord(wire.RecordChangeCipherSpec, ccsBody[:]) }

var ccsBody = [1]byte{1}

// sealData cuts application data into records.
func (c *Conn) sealData(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	c.renewKeys13()
	if c.splits() {
		switch c.split() {
		case SplitOne:
			c.writeRecord(wire.RecordApplicationData, p[:1])
			if p = p[1:]; len(p) == 0 {
				return nil
			}
		case SplitEmpty:
			c.writeRecord(wire.RecordApplicationData, nil)
		}
	}
	c.writeRecord(wire.RecordApplicationData, p)
	return nil
}

// splits: the attack, and so the defence, needs a chained IV.
func (c *Conn) splits() bool {
	return c.facts.Version <= wire.TLS10 && c.family == family12 && c.facts.cbc
}

func (c *Conn) split() Split {
	if c.isClient {
		return c.client.Split
	}
	return c.server.Split
}
