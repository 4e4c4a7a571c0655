package proxy

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// mangled is how many hellos are tried in each way. A thousand take some ten minutes.
var mangled = flag.Int("mangled", 12, "mangled hellos per way and configuration")

// Hellos that are wrong on purpose, in every way that a sender can get them wrong, and a byte flipped anywhere: the edge
// and Debian's nginx must give the same alert in the same record version with the same end behind it, the same close, or
// the same ServerHello.
func TestMangledHellosAsNginx(t *testing.T) {
	need(t, "nginx")
	p := newPKI(t, "rsa")
	for _, tc := range []struct{ name, directives string }{
		{"thread", "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_prefer_server_ciphers on; ssl_ciphers '" + threadCiphers(t) + ":@SECLEVEL=0';"},
		{"modern", "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:S:1m;"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ours, theirs := helloTwins(t, p, tc.directives)
			const seed = 20150114
			r := rand.New(rand.NewPCG(seed, 2))
			differ := map[string]int{}
			ways := slices.Concat(mangles, oddities)
			for i := range *mangled * len(ways) {
				m := ways[i%len(ways)]
				raw := m.mangle(r, drawHello(r))
				mine, them := askAndLeave(ours, raw), askAndLeave(theirs, raw)
				if m.reads { // nginx leaves unread what its buffer of 16,716 bytes has no room for, and so resets
					mine, them = strings.TrimRight(mine, "EOFrest"), strings.TrimRight(them, "EOFrest")
				}
				if mine != them {
					if differ[m.name]++; differ[m.name] <= 1 {
						t.Errorf("%s, hello %d of seed %d:\n ours   %s\n nginx  %s\n %s\n%s", m.name, i, seed, mine, them, hex.EncodeToString(raw), told(raw))
					}
				}
			}
			for name, n := range differ {
				t.Errorf("%s: %d of %d answers differ", name, n, *mangled)
			}
		})
	}
}

// told is what can be read of a hello.
func told(raw []byte) string {
	ch, rest, err := hello.Parse(raw)
	if err != nil {
		return err.Error()
	}
	s := fmt.Sprintf(" %v suites %d, %d bytes behind it\n", ch.Version, ch.Suites, len(rest))
	for _, e := range ch.Extensions {
		s += fmt.Sprintf("   %v %x\n", e.Type, e.Data[:min(len(e.Data), 40)])
	}
	return s
}

// askAndLeave is ask by a client that ends its side behind the hello, so that nobody waits for the rest of one that
// is cut short.
func askAndLeave(addr string, raw []byte) string {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write(raw); err != nil {
		return err.Error()
	}
	c.(*net.TCPConn).CloseWrite()
	a, err := readAnswer(c)
	end := ""
	if a.Alert != nil {
		_, e := c.Read(make([]byte, 1))
		end = fmt.Sprint(e)
		if e != nil && strings.Contains(end, "reset") {
			end = "reset"
		}
	}
	return fmt.Sprintf("%+v %v %s", a, err, end)
}

type mangling struct {
	name   string
	mangle func(*rand.Rand, *hello.ClientHello) []byte
	reads  bool // how the connection ends depends on how much was read at once
}

// mangles are the ways, but for the first byte: what does not begin as TLS does is HTTP to nginx, and none of OpenSSL's.
// The fields of a hello behind its record header: type 1, length 3, version 2, random 32,
// session_id, cipher_suites, compression_methods, extensions.
var mangles = []mangling{
	{name: "a byte flipped anywhere", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		raw := ch.AppendRecords(nil)
		raw[1+r.IntN(len(raw)-1)] ^= 1 << r.IntN(8)
		return raw
	}},
	{name: "a byte of the extensions flipped", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		for i := range ch.Extensions {
			if d := ch.Extensions[i].Data; len(d) > 0 && r.IntN(3) == 0 {
				d[r.IntN(min(len(d), 6))] ^= 1 << r.IntN(8)
				break
			}
		}
		return ch.AppendRecords(nil)
	}},
	{name: "cut short", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		raw := ch.AppendRecords(nil)
		return raw[:1+r.IntN(len(raw)-1)]
	}},
	{name: "cut short in a whole record", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		msg := ch.AppendMessage(nil)
		msg = msg[:4+r.IntN(len(msg)-4)]
		msg[1], msg[2], msg[3] = 0, byte((len(msg)-4)>>8), byte(len(msg)-4)
		return wire.AppendRecord(nil, wire.RecordHandshake, ch.RecordVersion, msg)
	}},
	{name: "bytes behind the message", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		return wire.AppendRecord(nil, wire.RecordHandshake, ch.RecordVersion, append(ch.AppendMessage(nil), make([]byte, 1+r.IntN(8))...))
	}},
	{name: "bytes behind the extensions", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		msg := append(ch.AppendMessage(nil), make([]byte, 1+r.IntN(8))...)
		msg[1], msg[2], msg[3] = 0, byte((len(msg)-4)>>8), byte(len(msg)-4)
		return wire.AppendRecord(nil, wire.RecordHandshake, ch.RecordVersion, msg)
	}},
	{name: "an extension twice", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		if n := len(ch.Extensions); n > 0 {
			ch.Extensions = append(ch.Extensions, ch.Extensions[r.IntN(n)])
		}
		return ch.AppendRecords(nil)
	}},
	{name: "extensions in another order", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		r.Shuffle(len(ch.Extensions), func(i, j int) { ch.Extensions[i], ch.Extensions[j] = ch.Extensions[j], ch.Extensions[i] })
		return ch.AppendRecords(nil)
	}},
	{name: "an empty extension", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		if n := len(ch.Extensions); n > 0 {
			ch.Extensions[r.IntN(n)].Data = nil
		}
		return ch.AppendRecords(nil)
	}},
	{name: "a session ID of any length", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		ch.SessionID = make([]byte, r.IntN(256))
		return ch.AppendRecords(nil)
	}},
	{name: "no suites", mangle: func(_ *rand.Rand, ch *hello.ClientHello) []byte {
		ch.Suites = nil
		return ch.AppendRecords(nil)
	}},
	{name: "no null compression", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		ch.Compression = [][]byte{nil, {1}, {1, 64}, {1, 0}, {0, 0}, {0, 1}}[r.IntN(6)]
		return ch.AppendRecords(nil)
	}},
	{name: "unknown groups only", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		for i := range ch.Extensions {
			switch ch.Extensions[i].Type {
			case wire.ExtSupportedGroups:
				ch.Extensions[i].Data = []byte{0, 4, 0x1a, 0x1a, 0xfe, byte(r.IntN(256))}
			case wire.ExtKeyShare:
				ch.Extensions[i].Data = []byte{0, 5, 0x1a, 0x1a, 0, 1, 0}
			}
		}
		return ch.AppendRecords(nil)
	}},
	{name: "any version", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		ch.Version = []wire.Version{0, 2, 0x0200, 0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0x0305, 0x03ff, 0x0400, 0x7f1c, 0xfeff}[r.IntN(13)]
		return ch.AppendRecords(nil)
	}},
	{name: "any record version", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		ch.RecordVersion = []wire.Version{0x0000, 0x0002, 0x0200, 0x0300, 0x0303, 0x0304, 0x0305, 0x03ff, 0x0400}[r.IntN(9)]
		return ch.AppendRecords(nil)
	}},
	{name: "another message type", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		raw := ch.AppendRecords(nil)
		raw[5] = byte(r.IntN(26))
		return raw
	}},
	{name: "several records", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		msg := ch.AppendMessage(nil)
		var raw []byte
		for len(msg) > 0 {
			n := min(len(msg), 1+r.IntN(80))
			raw = wire.AppendRecord(raw, wire.RecordHandshake, ch.RecordVersion, msg[:n])
			msg = msg[n:]
		}
		return raw
	}},
	{name: "an empty record first", mangle: func(_ *rand.Rand, ch *hello.ClientHello) []byte {
		return ch.AppendRecords(wire.AppendRecord(nil, wire.RecordHandshake, ch.RecordVersion, nil))
	}},
	{name: "the SSLv2 format", mangle: func(r *rand.Rand, ch *hello.ClientHello) []byte {
		ch.Format, ch.ChallengeLen, ch.Extensions, ch.HasExtensions, ch.SessionID = hello.FormatSSLv2, 16, nil, false, nil
		for _, s := range ch.Suites {
			ch.SSLv2Suites = append(ch.SSLv2Suites, uint32(s))
		}
		raw := ch.AppendRecords(nil)
		if r.IntN(2) == 0 {
			raw[3+r.IntN(len(raw)-3)] ^= 1 << r.IntN(8) // the first three say that it is one
		}
		return raw
	}},
}
