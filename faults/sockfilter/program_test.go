package sockfilter_test

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"tlsurge/faults"
	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
)

const (
	syn = 0x02
	ack = 0x10
	psh = 0x08
)

// segment is a TCP segment as a filter sees it: header, options (whole words), payload.
func segment(flags byte, options int, payload ...byte) []byte {
	s := make([]byte, 20+options)
	binary.BigEndian.PutUint16(s[0:], 40000)
	binary.BigEndian.PutUint16(s[2:], 8443)
	s[12] = byte((20 + options) / 4 << 4)
	s[13] = flags
	for i := 20; i < len(s); i++ {
		s[i] = 1 // NOP
	}
	return append(s, payload...)
}

// ipHeader is the header of the packet around it.
func ipHeader(src string) []byte {
	a := netip.MustParseAddr(src)
	if a.Is4() {
		h := make([]byte, 20)
		h[0] = 0x45
		copy(h[12:], a.AsSlice())
		return h
	}
	h := make([]byte, 40)
	h[0] = 0x60
	copy(h[8:], a.AsSlice())
	return h
}

// record is a TLS record with a fragment.
func record(typ byte, version uint16, fragment ...byte) []byte {
	r := []byte{typ, byte(version >> 8), byte(version), byte(len(fragment) >> 8), byte(len(fragment))}
	return append(r, fragment...)
}

// serverHello is the front of a ServerHello message with this random word.
func serverHello(word uint32) []byte {
	m := make([]byte, 4+2+32+38)
	m[0], m[3] = 2, byte(len(m)-4)
	m[4], m[5] = 3, 3
	binary.BigEndian.PutUint32(m[6:], word)
	return m
}

func rule(at stage.Stage, mod ...func(*faults.Rule)) faults.Rule {
	r := faults.Rule{Name: "r", Engine: faults.EngineSockfilter, At: at, Direction: at.Direction(), Action: faults.Drop, Probability: 1}
	for _, m := range mod {
		m(&r)
	}
	return r
}

// retryWord is the first word of SHA-256("HelloRetryRequest") (RFC 8446 §4.1.3, Server Hello).
const retryWord = 0xcf21ad74

// TestClientPrograms runs what the agent attaches over segments as they arrive at a client.
func TestClientPrograms(t *testing.T) {
	hello12 := record(22, 0x0303, serverHello(0x11223344)...)
	flight := append(append([]byte{}, hello12...), record(22, 0x0303, make([]byte, 3000)...)...)
	retry := record(22, 0x0303, serverHello(retryWord)...)
	alert := record(21, 0x0301, 2, 40)
	finished := append(record(20, 0x0303, 1), record(22, 0x0303, make([]byte, 40)...)...)
	data := record(23, 0x0303, make([]byte, 100)...)
	tests := []struct {
		sentence string
		at       stage.Stage
		segment  []byte
		kept     bool
	}{
		{"armed before connect, the SYN-ACK is dropped", stage.SynAck, segment(syn|ack, 20), false},
		{"and nothing else is: not a pure ACK", stage.SynAck, segment(ack, 12), true},
		{"not payload", stage.SynAck, segment(ack|psh, 12, flight...), true},
		{"a ServerHello with its flight in one segment is dropped", stage.ServerHello, segment(ack|psh, 12, flight...), false},
		{"without TCP options too", stage.ServerHello, segment(ack|psh, 0, hello12...), false},
		{"with forty bytes of options too", stage.ServerHello, segment(ack|psh, 40, hello12...), false},
		{"one byte of payload is payload", stage.ServerHello, segment(ack, 12, 22), false},
		{"a pure ACK passes", stage.ServerHello, segment(ack, 12), true},
		{"a pure ACK with forty bytes of options passes", stage.ServerHello, segment(ack, 40), true},
		{"a late SYN-ACK passes", stage.ServerHello, segment(syn|ack, 20), true},
		{"a FIN without payload passes", stage.ServerHello, segment(ack|1, 12), true},
		{"the server's Finished is dropped", stage.ServerFinished, segment(ack|psh, 12, finished...), false},
		{"a response is dropped", stage.Response, segment(ack|psh, 12, data...), false},
		{"an alert is dropped at alert", stage.Alert, segment(ack|psh, 12, alert...), false},
		{"a protected alert, as close_notify is one, passes at alert", stage.Alert, segment(ack|psh, 12, record(21, 0x0303, make([]byte, 26)...)...), true},
		{"the first four bytes of an alert do not say that it is in the clear", stage.Alert, segment(ack|psh, 12, alert[:4]...), true},
		{"a ServerHello passes at alert", stage.Alert, segment(ack|psh, 12, flight...), true},
		{"a pure ACK passes at alert", stage.Alert, segment(ack, 12), true},
		{"a HelloRetryRequest is dropped at hello_retry_request", stage.HelloRetryRequest, segment(ack|psh, 12, retry...), false},
		{"also where ChangeCipherSpec is behind it", stage.HelloRetryRequest,
			segment(ack|psh, 12, append(append([]byte{}, retry...), record(20, 0x0303, 1)...)...), false},
		{"a ServerHello passes there", stage.HelloRetryRequest, segment(ack|psh, 12, flight...), true},
		{"the first fourteen bytes of one pass there", stage.HelloRetryRequest, segment(ack|psh, 12, retry[:14]...), true},
		{"fifteen bytes are enough to know it", stage.HelloRetryRequest, segment(ack|psh, 12, retry[:15]...), false},
		{"an alert passes there", stage.HelloRetryRequest, segment(ack|psh, 12, alert...), true},
	}
	for _, tt := range tests {
		t.Run(tt.at.String()+" "+tt.sentence, func(t *testing.T) {
			r := rule(tt.at)
			p, err := sockfilter.ClientProgram(&r)
			if err != nil {
				t.Fatal(err)
			}
			for _, src := range []string{"127.0.0.11", "fd00::11"} {
				kept, err := p.Keeps(ipHeader(src), tt.segment)
				if err != nil {
					t.Fatal(err)
				}
				if kept != tt.kept {
					t.Errorf("from %s: kept = %v, want %v\n%s", src, kept, tt.kept, p)
				}
			}
		})
	}
	t.Run("blackhole drops all", func(t *testing.T) {
		r := rule(stage.ServerHello, func(r *faults.Rule) { r.Action = faults.Blackhole })
		p, err := sockfilter.ClientProgram(&r)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range [][]byte{segment(ack, 12), segment(syn|ack, 20), segment(ack, 0, flight...)} {
			if kept, _ := p.Keeps(ipHeader("127.0.0.1"), s); kept {
				t.Errorf("kept a segment with flags %#x", s[13])
			}
		}
	})
}

// TestListenerPrograms runs what an edge attaches over segments as they arrive there, from a rule's own
// sources and from others.
func TestListenerPrograms(t *testing.T) {
	hello := record(22, 0x0301, append([]byte{1, 0, 0, 150}, make([]byte, 150)...)...)
	v2 := append([]byte{0x80, 0x2e, 1, 3, 1}, make([]byte, 43)...)
	kx := append(record(22, 0x0303, append([]byte{16, 0, 0, 33}, make([]byte, 33)...)...), record(20, 0x0303, 1)...)
	cert := record(22, 0x0303, append([]byte{11, 0, 0, 3}, make([]byte, 3)...)...)
	ccs := append(record(20, 0x0303, 1), record(22, 0x0303, make([]byte, 40)...)...)
	data := record(23, 0x0303, make([]byte, 60)...)
	tests := []struct {
		sentence string
		at       stage.Stage
		segment  []byte
		kept     bool
	}{
		{"a SYN is dropped at syn", stage.Syn, segment(syn, 20), false},
		{"the third ACK of a released connection passes at syn", stage.Syn, segment(ack, 12), true},
		{"its hello passes at syn", stage.Syn, segment(ack|psh, 12, hello...), true},
		{"a SYN passes at client_hello", stage.ClientHello, segment(syn, 20), true},
		{"the third ACK passes at client_hello", stage.ClientHello, segment(ack, 12), true},
		{"a ClientHello is dropped", stage.ClientHello, segment(ack|psh, 12, hello...), false},
		{"its second half too", stage.ClientHello, segment(ack|psh, 12, hello[80:]...), false},
		{"an SSLv2 hello is dropped", stage.ClientHello, segment(ack|psh, 12, v2...), false},
		{"a ClientHello passes at client_key_exchange", stage.ClientKeyExchange, segment(ack|psh, 12, hello...), true},
		{"ClientKeyExchange, ChangeCipherSpec and Finished are one unit", stage.ClientKeyExchange, segment(ack|psh, 12, kx...), false},
		{"a client's Certificate begins that flight", stage.ClientKeyExchange, segment(ack|psh, 12, cert...), false},
		{"a resumed handshake has no ClientKeyExchange", stage.ClientKeyExchange, segment(ack|psh, 12, ccs...), true},
		{"five bytes do not say the message type", stage.ClientKeyExchange, segment(ack|psh, 12, kx[:5]...), true},
		{"six do", stage.ClientKeyExchange, segment(ack|psh, 12, kx[:6]...), false},
		{"ChangeCipherSpec and Finished are dropped at finished", stage.Finished, segment(ack|psh, 12, ccs...), false},
		{"a request passes at finished", stage.Finished, segment(ack|psh, 12, data...), true},
		{"application data is dropped at request", stage.Request, segment(ack|psh, 12, data...), false},
		{"a ClientHello passes at request", stage.Request, segment(ack|psh, 12, hello...), true},
	}
	sources := map[string]bool{ // whether the rule's own
		"127.66.3.9": true, "fd74:6c73:7572:42::7": true,
		"127.65.3.9": false, "127.67.3.9": false, "127.0.0.1": false, "10.66.0.1": false, "::1": false, "fd74:6c73:7572:41::7": false,
	}
	for _, tt := range tests {
		t.Run(tt.at.String()+" "+tt.sentence, func(t *testing.T) {
			r := rule(tt.at, func(r *faults.Rule) { r.Index = 2 })
			p, ok, err := sockfilter.ListenerProgram([]faults.Rule{r}, nil)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			for src, own := range sources {
				kept, err := p.Keeps(ipHeader(src), tt.segment)
				if err != nil {
					t.Fatal(err)
				}
				if want := tt.kept || !own; kept != want {
					t.Errorf("from %s: kept = %v, want %v\n%s", src, kept, want, p)
				}
			}
		})
	}
}

// TestReleased: a source on the exception list passes at syn, and the rule's other sources do not, however
// long the list; the list does not concern other rules.
func TestReleased(t *testing.T) {
	atSyn := rule(stage.Syn)
	atHello := rule(stage.ClientHello, func(r *faults.Rule) { r.Index = 1 })
	var released []netip.Addr
	for n := uint32(0); n < 1000; n++ {
		released = append(released, faults.SourceAddr(&atSyn, n))
	}
	released = append(released, netip.MustParseAddr("fd74:6c73:7572:40::5"))
	p, _, err := sockfilter.ListenerProgram([]faults.Rule{atSyn, atHello}, released)
	if err != nil {
		t.Fatal(err)
	}
	if p.Len() > 4096 {
		t.Fatalf("%d instructions; the kernel takes 4096", p.Len())
	}
	hello := segment(ack|psh, 12, 22, 3, 1)
	for _, tt := range []struct {
		sentence string
		src      netip.Addr
		segment  []byte
		kept     bool
	}{
		{"the first released", faults.SourceAddr(&atSyn, 0), segment(syn, 20), true},
		{"the last released", faults.SourceAddr(&atSyn, 999), segment(syn, 20), true},
		{"the next one is not", faults.SourceAddr(&atSyn, 1000), segment(syn, 20), false},
		{"a released IPv6 source", netip.MustParseAddr("fd74:6c73:7572:40::5"), segment(syn, 20), true},
		{"its neighbour is not", netip.MustParseAddr("fd74:6c73:7572:40::6"), segment(syn, 20), false},
		{"the second rule is reached behind the list", faults.SourceAddr(&atHello, 0), hello, false},
		{"and lets SYN pass", faults.SourceAddr(&atHello, 0), segment(syn, 20), true},
		{"strangers pass", netip.MustParseAddr("127.1.2.3"), segment(syn, 20), true},
	} {
		kept, err := p.Keeps(ipHeader(tt.src.String()), tt.segment)
		if err != nil || kept != tt.kept {
			t.Errorf("%s (%s): kept = %v, %v; want %v", tt.sentence, tt.src, kept, err, tt.kept)
		}
	}
}

// TestReadable: the printed program names what it loads and what becomes of the segment.
func TestReadable(t *testing.T) {
	r := rule(stage.ClientHello)
	p, _, err := sockfilter.ListenerProgram([]faults.Rule{r}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"; drops segments with payload from 127.64.0.0/16 (r)", "ld ip[12]", "ldb tcp[12]", "; drop", "; keep"} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("no %q in\n%s", want, p)
		}
	}
}
