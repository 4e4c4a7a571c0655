package hello

import "tlsurge/profiles/wire"

// Range is a stretch of a hello's bytes.
type Range struct{ Offset, Len int }

// Volatile gives the stretches of the hello's records that differ from one connection to the next: random
// or challenge, session ID, host name, ticket, public key shares, pre_shared_key, GREASE values, and the
// changing parts of encrypted_client_hello. They are offsets into AppendRecords of a hello in one record, in order.
func (ch *ClientHello) Volatile() []Range {
	var out []Range
	add := func(off, n int) {
		if n > 0 {
			out = append(out, Range{off, n})
		}
	}
	if ch.Format == FormatSSLv2 {
		at := 2 + 9 + 3*len(ch.SSLv2Suites)
		add(at, len(ch.SessionID))
		add(at+len(ch.SessionID), ch.ChallengeLen)
		return out
	}
	at := wire.RecordHeaderLen + wire.MessageHeaderLen + 2
	add(at, 32)
	at += 32 + 1
	add(at, len(ch.SessionID))
	at += len(ch.SessionID) + 2
	for i, s := range ch.Suites {
		if wire.IsGREASE(uint16(s)) {
			add(at+2*i, 2)
		}
	}
	at += 2*len(ch.Suites) + 1 + len(ch.Compression) + 2
	for _, e := range ch.Extensions {
		if wire.IsGREASE(uint16(e.Type)) {
			add(at, 2)
		}
		volatileBody(e, at+4, add)
		at += 4 + len(e.Data)
	}
	return out
}

// volatileBody adds what is volatile in the body of e, which begins at offset at.
func volatileBody(e Extension, at int, add func(off, n int)) {
	greaseIn := func(skip int) {
		for i := skip; i+1 < len(e.Data); i += 2 {
			if wire.IsGREASE(uint16(e.Data[i])<<8 | uint16(e.Data[i+1])) {
				add(at+i, 2)
			}
		}
	}
	switch e.Type {
	case wire.ExtServerName:
		add(at+5, len(e.Data)-5)
	case wire.ExtSessionTicket, wire.ExtPreSharedKey, wire.ExtCookie:
		add(at, len(e.Data))
	case wire.ExtSupportedGroups, wire.ExtSignatureAlgorithms:
		greaseIn(2)
	case wire.ExtSupportedVersions:
		greaseIn(1)
	case wire.ExtKeyShare:
		off := at + 2
		for _, s := range (&ClientHello{Extensions: []Extension{e}}).KeyShares() {
			if wire.IsGREASE(uint16(s.Group)) {
				add(off, 2)
			} else {
				add(off+4, len(s.Public))
			}
			off += 4 + len(s.Public)
		}
	case wire.ExtEncryptedClientHello:
		r := wire.NewReader(e.Data)
		r.Bytes(6)
		enc := len(r.Vec16())
		payload := len(r.Vec16())
		if r.Done() {
			add(at+3, 2)
			add(at+5, 1)
			add(at+8, enc)
			add(at+10+enc, payload)
		}
	}
}
