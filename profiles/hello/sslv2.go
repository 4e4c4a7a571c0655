package hello

import (
	"fmt"

	"tlsurge/profiles/wire"
)

// The SSLv2-format CLIENT-HELLO (RFC 5246 Appendix E.2, Compatibility with SSL 2.0):
//
//	0x8000|length 2 | msg_type 1 (=1) | version 2 | cipher_spec_length 2 | session_id_length 2 |
//	challenge_length 2 | cipher_specs 3*n | session_id | challenge
func parseSSLv2(p []byte) (*ClientHello, []byte, error) {
	if len(p) < 5 {
		return nil, p, wire.ErrShort
	}
	n := int(p[0]&0x7f)<<8 | int(p[1])
	if p[2] != 1 {
		return nil, p, fmt.Errorf("%w: first byte 0x%02x, but no SSLv2 CLIENT-HELLO behind it (message type %d)", ErrNotClientHello, p[0], p[2])
	}
	if v := wire.Version(uint16(p[3])<<8 | uint16(p[4])); v != wire.SSL20 && v>>8 != 3 {
		return nil, p, fmt.Errorf("%w: SSLv2-format hello with version %v", ErrNotClientHello, v)
	}
	if len(p) < 2+n {
		return nil, p, wire.ErrShort
	}
	r := wire.NewReader(p[2 : 2+n])
	r.U8()
	ch := &ClientHello{Format: FormatSSLv2, Version: wire.Version(r.U16())}
	specLen, idLen, chLen := int(r.U16()), int(r.U16()), int(r.U16())
	specs, id, challenge := r.Bytes(specLen), r.Bytes(idLen), r.Bytes(chLen)
	switch {
	case !r.Done():
		return nil, p, decodeErr("an SSLv2-format hello of %d bytes with fields of 9+%d+%d+%d", n, specLen, idLen, chLen)
	case specLen%3 != 0 || specLen == 0:
		return nil, p, decodeErr("cipher_specs of %d bytes, a multiple of three expected", specLen)
	case chLen < 16 || chLen > 32:
		return nil, p, decodeErr("a challenge of %d bytes, 16 to 32 allowed", chLen)
	case idLen != 0 && idLen != 16 && idLen != 32:
		return nil, p, decodeErr("a session_id of %d bytes, 0, 16 or 32 allowed", idLen)
	}
	ch.SSLv2Suites = make([]uint32, specLen/3)
	for i := range ch.SSLv2Suites {
		ch.SSLv2Suites[i] = uint32(specs[3*i])<<16 | uint32(specs[3*i+1])<<8 | uint32(specs[3*i+2])
		// A zero first byte is a cipher suite that an SSL 3.0 or TLS server may choose.
		if ch.SSLv2Suites[i] <= 0xffff {
			ch.Suites = append(ch.Suites, wire.CipherSuite(ch.SSLv2Suites[i]))
		}
	}
	ch.SessionID = id
	ch.ChallengeLen = chLen
	copy(ch.Random[32-chLen:], challenge)
	return ch, p[2+n:], nil
}

func (ch *ClientHello) appendSSLv2(dst []byte) []byte {
	n := 9 + 3*len(ch.SSLv2Suites) + len(ch.SessionID) + ch.ChallengeLen
	dst = append(dst, 0x80|byte(n>>8), byte(n), 1)
	dst = wire.AppendU16(dst, uint16(ch.Version))
	dst = wire.AppendU16(dst, uint16(3*len(ch.SSLv2Suites)))
	dst = wire.AppendU16(dst, uint16(len(ch.SessionID)))
	dst = wire.AppendU16(dst, uint16(ch.ChallengeLen))
	for _, s := range ch.SSLv2Suites {
		dst = wire.AppendU24(dst, s)
	}
	dst = append(dst, ch.SessionID...)
	return append(dst, ch.Random[32-ch.ChallengeLen:]...)
}
