package proxy

import (
	"math/rand/v2"
	"slices"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// oddities are further ways for TestMangledHellosAsNginx: what stands in and around a hello that has no business there.
var oddities = []mangling{
	{name: "an unknown extension twice", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		t := wire.ExtensionType([]int{0x1a1a, 0xfe99, 17513, 30032, 15, 28, 27, 34}[r.IntN(8)])
		return with(ch, r, t, randomBody(r), t, randomBody(r))
	}},
	{name: "an extension of any type with any body", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		t := anyExtension(r)
		ch.Extensions = slices.DeleteFunc(ch.Extensions, func(e hello.Extension) bool { return e.Type == t })
		return with(ch, r, t, randomBody(r))
	}},
	{name: "any extension twice", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		t, b := anyExtension(r), randomBody(r)
		return with(ch, r, t, b, t, b)
	}},
	{name: "a server_name of any form", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		bodies := [][]byte{{0, 3, 0, 0, 0}, {0, 0}, {}, {0, 4, 0, 0, 1, 'x'}, {0, 4, 1, 0, 1, 'x'}, {0, 8, 0, 0, 1, 'x', 0, 0, 1, 'y'}, {0, 8, 1, 0, 1, 'x', 0, 0, 1, 'y'},
			{0, 5, 0, 0, 2, 'a', 0}, {0, 6, 0, 0, 3, '.', '.', '.'}, {0, 7, 0, 0, 4, 'a', 0xff, '/', ' '}, {0, 4, 0, 0, 2, 'x'}, {0, 5, 0, 0, 1, 'x', 0}}
		ch.Extensions = slices.DeleteFunc(ch.Extensions, func(e hello.Extension) bool { return e.Type == wire.ExtServerName })
		return with(ch, r, wire.ExtServerName, bodies[r.IntN(len(bodies))])
	}},
	{name: "max_fragment_length", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		bodies := [][]byte{{byte(r.IntN(10))}, {9}, {255}, {}, {1, 1}}
		return with(ch, r, wire.ExtMaxFragmentLength, bodies[r.IntN(len(bodies))])
	}},
	{name: "a share outside supported_groups", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		for i := range ch.Extensions {
			if ch.Extensions[i].Type == wire.ExtSupportedGroups {
				lists := [][]byte{{0, 2, 0, 0x17}, {0, 2, 0, 0x1d}, {0, 2, 0, 0x18}, {0, 4, 0, 0x18, 0, 0x19}, {0, 4, 0, 0x1d, 0, 0x17}}
				ch.Extensions[i].Data = lists[r.IntN(len(lists))]
			}
		}
		return ch.AppendRecords(nil)
	}},
	{name: "a share twice", mangle: func(_ *rand.Rand, ch *hello.ClientHello) []byte {
		for i := range ch.Extensions {
			if d := ch.Extensions[i].Data; ch.Extensions[i].Type == wire.ExtKeyShare && len(d) > 2 {
				ch.Extensions[i].Data = wire.AppendVec16(nil, append(slices.Clone(d[2:]), d[2:]...))
			}
		}
		return ch.AppendRecords(nil)
	}},
	{name: "half a hello, then another record", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		msg := ch.AppendMessage(nil)
		raw := wire.AppendRecord(nil, wire.RecordHandshake, ch.RecordVersion, msg[:1+r.IntN(len(msg)-1)])
		return append(raw, oddRecord(r)...)
	}},
	{name: "another record first", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		odd := oddRecord(r)
		for odd[0] != byte(wire.RecordHandshake) { // else it is HTTP to nginx
			odd = oddRecord(r)
		}
		return ch.AppendRecords(odd)
	}},
	{name: "another record behind", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		return append(ch.AppendRecords(nil), oddRecord(r)...)
	}},
	{name: "two hellos", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		msg := ch.AppendMessage(nil)
		if r.IntN(2) == 0 {
			return wire.AppendRecord(nil, wire.RecordHandshake, ch.RecordVersion, append(slices.Clone(msg), msg...))
		}
		return append(ch.AppendRecords(nil), ch.AppendRecords(nil)...)
	}},
	{name: "a record too long", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		n := []int{16384, 16385, 16640, 16641, 17000, 18432, 18433, 65535}[r.IntN(8)]
		raw := wire.AppendRecordHeader(nil, wire.RecordHeader{Type: wire.RecordHandshake, Version: ch.RecordVersion, Length: n})
		return append(append(raw, ch.AppendMessage(nil)...), make([]byte, n)...)[:5+n]
	}, reads: true},
	{name: "a message length that is not the message's", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		msg := ch.AppendMessage(nil)
		n := []int{0, 1, 37, len(msg) - 5, len(msg) - 3, len(msg) + 50, 16384, 20000, 1 << 16, 131396, 131397, 1 << 20, 1<<24 - 1}[r.IntN(13)]
		msg[1], msg[2], msg[3] = byte(n>>16), byte(n>>8), byte(n)
		return wire.AppendRecord(nil, wire.RecordHandshake, ch.RecordVersion, msg)
	}},
	{name: "the SSLv2 format with any version", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		ch.Format, ch.ChallengeLen, ch.Extensions, ch.HasExtensions, ch.SessionID = hello.FormatSSLv2, 16, nil, false, nil
		for _, s := range ch.Suites {
			ch.SSLv2Suites = append(ch.SSLv2Suites, uint32(s))
		}
		ch.Version = []wire.Version{0x0002, 0x0200, 0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0x0400, 0xfeff}[r.IntN(9)]
		return ch.AppendRecords(nil)
	}},
	{name: "a hello of many records", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		size := []int{3000, 15000, 20000, 40000, 65000}[r.IntN(5)]
		with(ch, r, 0xfe98, make([]byte, min(size, 65535-1200)))
		msg := ch.AppendMessage(nil)
		var raw []byte
		for chunk := range slices.Chunk(msg, 1+r.IntN(wire.MaxPlaintext)) {
			raw = wire.AppendRecord(raw, wire.RecordHandshake, ch.RecordVersion, chunk)
		}
		return raw
	}},
}

// with inserts extensions, type and body in turn, at places of chance, and gives the records.
func with(ch *hello.ClientHello, r *rand.Rand, typesAndBodies ...any) []byte {
	ch.HasExtensions = true
	for i := 0; i < len(typesAndBodies); i += 2 {
		var t wire.ExtensionType
		switch v := typesAndBodies[i].(type) {
		case wire.ExtensionType:
			t = v
		case int:
			t = wire.ExtensionType(v)
		}
		at := r.IntN(len(ch.Extensions) + 1)
		ch.Extensions = slices.Insert(ch.Extensions, at, hello.Extension{Type: t, Data: typesAndBodies[i+1].([]byte)})
	}
	return ch.AppendRecords(nil)
}

func randomBody(r *rand.Rand) []byte {
	b := make([]byte, r.IntN(9))
	for i := range b {
		b[i] = byte(r.IntN(256) & r.IntN(256) & r.IntN(256))
	}
	if len(b) > 0 && r.IntN(2) == 0 { // a length that fits
		b[0] = byte(len(b) - 1)
	}
	if len(b) > 1 && r.IntN(2) == 0 {
		b[0], b[1] = 0, byte(len(b)-2)
	}
	return b
}

func anyExtension(r *rand.Rand) wire.ExtensionType {
	if r.IntN(5) == 0 {
		return wire.ExtensionType(r.IntN(1 << 16))
	}
	known := []wire.ExtensionType{0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 27, 28, 34, 35, 41, 42, 43, 44, 45, 47, 48, 49, 50, 51, 57,
		13172, 17513, 30032, 65281}
	return known[r.IntN(len(known))]
}

// oddRecord is one that is no ClientHello.
func oddRecord(r *rand.Rand) []byte {
	v := []wire.Version{wire.TLS10, wire.TLS12, wire.SSL30, 0x0304}[r.IntN(4)]
	rec := func(t wire.RecordType, b ...byte) []byte { return wire.AppendRecord(nil, t, v, b) }
	switch r.IntN(12) {
	case 0:
		return rec(wire.RecordAlert, 1, 0)
	case 1:
		return rec(wire.RecordAlert, 2, 40)
	case 2:
		return rec(wire.RecordAlert, byte(r.IntN(3)), byte(r.IntN(120)))
	case 3:
		return rec(wire.RecordAlert, 1)
	case 4:
		return rec(wire.RecordAlert)
	case 5:
		return rec(wire.RecordChangeCipherSpec, 1)
	case 6:
		return rec(wire.RecordChangeCipherSpec, byte(r.IntN(3)), 1)
	case 7:
		return rec(wire.RecordApplicationData, 1, 2, 3)
	case 8:
		return rec(wire.RecordApplicationData)
	case 9:
		return rec(wire.RecordHeartbeat, 1, 0, 0)
	case 10:
		return rec(wire.RecordHandshake, byte([]int{0, 2, 4, 11, 14, 16, 20, 24}[r.IntN(8)]), 0, 0, 0)
	}
	return rec(wire.RecordHandshake)
}
