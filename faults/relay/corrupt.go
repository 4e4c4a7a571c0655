package relay

import (
	"tlsurge/faults"
	"tlsurge/profiles/wire"
)

const recordHeader = 5

// corrupt flips one bit in the stage's first record that is not a ChangeCipherSpec: in its version (header),
// early in its fragment (body: a hello's random, a protected record's nonce or ciphertext), or in its last
// byte (mac). TCP's checksum is the relay's kernel's own, so the peer's TCP notices nothing.
func corrupt(r *faults.Rule, b Bytes) Verdict {
	if b.Stage != r.At || b.Struck || b.Record.Type == byte(wire.RecordChangeCipherSpec) {
		return Verdict{}
	}
	at, flip := b.Record.At+1, byte(1)<<int(b.Unit*8)
	switch r.Part {
	case faults.PartHeader:
		flip = 0x80 // no version that anybody speaks
	case faults.PartBody, "":
		// Where the stage begins within a record, behind another message, its own bytes count.
		begin := max(b.Record.At+recordHeader, b.Offset-b.Into)
		at = min(begin+8, b.Record.At+recordHeader+int64(b.Record.Fragment)-1)
	case faults.PartMAC:
		at = b.Record.At + recordHeader + int64(b.Record.Fragment) - 1
	}
	i := at - b.Offset
	if i < 0 || i >= int64(len(b.P)) {
		return Verdict{}
	}
	return Verdict{Strike: true, At: int(i), Flip: flip}
}
