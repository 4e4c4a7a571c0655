package stage_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tlsurge/faults/stage"
)

// talk is one recorded conversation: what each side wrote, in order.
type talk []write

type write struct {
	d stage.Direction
	p []byte
}

// recorder keeps what one end writes.
type recorder struct {
	net.Conn
	d  stage.Direction
	mu *sync.Mutex
	to *talk
}

func (r recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	*r.to = append(*r.to, write{r.d, bytes.Clone(p)})
	r.mu.Unlock()
	return r.Conn.Write(p)
}

// converse records crypto/tls talking to itself over loopback: handshake, then one request with its answer.
func converse(t testing.TB, client, server *tls.Config) (rec talk) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, c := range []net.Conn{a, b} {
		c.SetDeadline(time.Now().Add(10 * time.Second))
	}
	var mu sync.Mutex
	c := tls.Client(recorder{a, stage.ClientToServer, &mu, &rec}, client)
	s := tls.Server(recorder{b, stage.ServerToClient, &mu, &rec}, server)
	shaken, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		err := s.Handshake()
		close(shaken)
		if err == nil {
			if _, err = io.ReadFull(s, make([]byte, 4)); err == nil {
				io.WriteString(s, "pong")
			}
		}
	}()
	err = c.Handshake()
	<-shaken // the order of the recording is always the same
	if err == nil {
		if _, err = io.WriteString(c, "ping"); err == nil {
			io.ReadFull(c, make([]byte, 4))
		}
	}
	a.Close()
	<-done
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(rec)
}

var certOnce = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
})

// configs makes both ends for a version.
func configs(t testing.TB, version uint16) (client, server *tls.Config) {
	cert, err := certOnce()
	if err != nil {
		t.Fatal(err)
	}
	var suites []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		suites = append(suites, s.ID)
	}
	client = &tls.Config{InsecureSkipVerify: true, ServerName: "www.example.test", MinVersion: version, MaxVersion: version,
		CipherSuites: suites, CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP384}}
	server = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, CipherSuites: suites}
	return client, server
}

// named is the conversation as the observer sees it when each write is cut into pieces of n bytes: runs of
// one stage, "C client_hello" for the client's.
func named(rec talk, n int) []string {
	var o stage.Observer
	var runs []string
	for _, w := range rec {
		for p := w.p; len(p) > 0; {
			piece := p[:min(n, len(p))]
			p = p[len(piece):]
			for _, s := range o.Observe(w.d, piece, nil) {
				run := map[stage.Direction]string{stage.ClientToServer: "C ", stage.ServerToClient: "S "}[w.d] + s.Stage.String()
				if len(runs) == 0 || runs[len(runs)-1] != run {
					runs = append(runs, run)
				}
			}
		}
	}
	return runs
}

// TestConversations: what is named in real conversations of each version and shape.
func TestConversations(t *testing.T) {
	full := "C client_hello, S server_hello, S server_flight, C client_key_exchange, C finished, S server_finished, C request, S response"
	tests := []struct {
		sentence string
		version  uint16
		change   func(client, server *tls.Config)
		twice    bool // the second conversation, with the first one's session
		want     string
	}{
		{"TLS 1.0, full", tls.VersionTLS10, nil, false, full},
		{"TLS 1.1, full", tls.VersionTLS11, nil, false, full},
		{"TLS 1.2, full", tls.VersionTLS12, nil, false, full},
		{"TLS 1.2 resumed: the server finishes first", tls.VersionTLS12, nil, true,
			"C client_hello, S server_hello, S server_finished, C finished, C request, S response"},
		{"TLS 1.2 with a client certificate: it begins the client's second flight", tls.VersionTLS12, func(c, s *tls.Config) {
			s.ClientAuth = tls.RequireAnyClientCert
			c.Certificates = s.Certificates
		}, false, full},
		{"TLS 1.3: the server's flight has one name, tickets that crypto/tls sends with it included", tls.VersionTLS13, nil, false,
			"C client_hello, S server_hello, S server_flight, C finished, C request, S response"},
		{"TLS 1.3 resumed", tls.VersionTLS13, nil, true,
			"C client_hello, S server_hello, S server_flight, C finished, C request, S response"},
		{"TLS 1.3 with HelloRetryRequest", tls.VersionTLS13, func(_, s *tls.Config) { s.CurvePreferences = []tls.CurveID{tls.CurveP384} }, false,
			"C client_hello, S hello_retry_request, C client_hello, S server_hello, S server_flight, C finished, C request, S response"},
		{"a refusal in the clear", tls.VersionTLS12, func(c, s *tls.Config) {
			c.NextProtos, s.NextProtos = []string{"a"}, []string{"b"}
		}, false, "C client_hello, S alert"},
		{"a refusal of the version", tls.VersionTLS10, func(_, s *tls.Config) { s.MinVersion = tls.VersionTLS12 }, false,
			"C client_hello, S alert"},
	}
	for _, tt := range tests {
		t.Run(tt.sentence, func(t *testing.T) {
			c, s := configs(t, tt.version)
			if tt.change != nil {
				tt.change(c, s)
			}
			c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			rec := converse(t, c, s)
			if tt.twice {
				rec = converse(t, c, s)
			}
			for _, n := range []int{1 << 20, 1, 2, 5, 6, 7, 64, 1000} {
				if got := strings.Join(named(rec, n), ", "); got != tt.want {
					t.Errorf("in pieces of %d:\n got %s\nwant %s", n, got, tt.want)
				}
			}
		})
	}
}

// TestHandMade: what crypto/tls does not say.
func TestHandMade(t *testing.T) {
	record := func(typ byte, p ...byte) []byte { return append([]byte{typ, 3, 1, 0, byte(len(p))}, p...) }
	hello := record(22, append([]byte{1, 0, 0, 60}, make([]byte, 60)...)...)
	sh := append([]byte{2, 0, 0, 38, 3, 1}, bytes.Repeat([]byte{9}, 36)...)
	sh[38] = 0 // no session ID
	C, S := stage.ClientToServer, stage.ServerToClient
	tests := []struct {
		sentence string
		rec      talk
		want     string
		held     int // bytes without a name at the end, both directions
	}{
		{"an SSLv2 hello is a ClientHello, and records follow it",
			talk{{C, append([]byte{0x80, 0x2e, 1, 3, 1}, make([]byte, 43)...)}, {S, record(22, sh...)}, {C, record(22, 16, 0, 0, 1, 0)}},
			"C client_hello, S server_hello, C client_key_exchange", 0},
		{"a ClientHello over two records is one", talk{{C, append(record(22, hello[5:15]...), record(22, hello[15:]...)...)}}, "C client_hello", 0},
		{"a whole flight in one record, as GnuTLS sends it, is told apart by message",
			talk{{C, hello}, {S, record(22, append(append([]byte{}, sh...), 11, 0, 0, 2, 7, 7, 14, 0, 0, 0)...)}},
			"C client_hello, S server_hello, S server_flight", 0},
		{"plain HTTP has no stage", talk{{C, []byte("GET / HTTP/1.0\r\n\r\n")}, {S, []byte("HTTP/1.0 400 Bad Request\r\n")}}, "C none, S none", 0},
		{"nor has a record of an unknown version", talk{{C, []byte{22, 9, 9, 0, 1, 1}}}, "C none", 0},
		{"five bytes of header have no name yet", talk{{C, hello[:5]}}, "", 5},
		{"the sixth gives them one", talk{{C, hello[:6]}}, "C client_hello", 0},
		{"a ServerHello has none before its random is whole", talk{{C, hello}, {S, record(22, sh...)[:42]}}, "C client_hello", 42},
		{"0-RTT data before the ServerHello is a request", talk{{C, hello}, {C, record(20, 1)}, {C, record(23, 1, 2, 3)}}, "C client_hello, C request", 0},
		{"a protected alert keeps its neighbour's name", talk{{C, hello}, {S, record(22, sh...)}, {S, record(20, 1)}, {S, record(22, 1, 2, 3)}, {S, record(21, 1, 2, 3)}},
			"C client_hello, S server_hello, S server_finished", 0},
		{"an empty record is no harm", talk{{C, hello}, {S, record(22, sh...)}, {C, record(20, 1)}, {C, record(23)}, {C, record(23, 1)}},
			"C client_hello, S server_hello, C finished, C request", 0},
	}
	for _, tt := range tests {
		t.Run(tt.sentence, func(t *testing.T) {
			for _, n := range []int{1 << 20, 1, 3, 5} {
				if got := strings.Join(named(tt.rec, n), ", "); got != tt.want {
					t.Errorf("in pieces of %d:\n got %s\nwant %s", n, got, tt.want)
				}
			}
			var o stage.Observer
			for _, w := range tt.rec {
				o.Observe(w.d, w.p, nil)
			}
			if held := o.Held(C) + o.Held(S); held != tt.held {
				t.Errorf("%d bytes without a name, want %d", held, tt.held)
			}
		})
	}
}

// TestWords: each stage has a word that leads back to it, and a direction but for none and idle.
func TestWords(t *testing.T) {
	for _, s := range stage.All() {
		if back, ok := stage.Parse(s.String()); !ok || back != s {
			t.Errorf("%v -> %q -> %v, %v", uint8(s), s, back, ok)
		}
		if (s.Direction() == 0) != (s == stage.Idle) {
			t.Errorf("%s has direction %q", s, s.Direction())
		}
	}
	if _, ok := stage.Parse("none"); ok {
		t.Error("a rule can name the stage none")
	}
	for _, d := range []stage.Direction{stage.ClientToServer, stage.ServerToClient} {
		if back, ok := stage.ParseDirection(d.String()); !ok || back != d {
			t.Errorf("%q does not lead back", d)
		}
	}
}

// FuzzObserve: any split of the bytes gives the same name to each byte and finds the same records.
//
// The input is a conversation: length bytes (top bit: the server's turn) and as many bytes behind each.
func FuzzObserve(f *testing.F) {
	for _, v := range []uint16{tls.VersionTLS10, tls.VersionTLS12, tls.VersionTLS13} {
		c, s := configs(f, v)
		f.Add(pack(converse(f, c, s)), uint8(3))
	}
	f.Add([]byte{3, 0x80, 1, 1}, uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, n uint8) {
		rec := unpack(in)
		whole, cut := bytesNamed(rec, 1<<20), bytesNamed(rec, int(n%32)+1)
		if whole != cut {
			t.Errorf("in pieces of %d:\n got %s\nwant %s", n%32+1, cut, whole)
		}
	})
}

func pack(rec talk) (out []byte) {
	for _, w := range rec {
		for p := w.p; len(p) > 0; {
			n := min(len(p), 127)
			out = append(out, byte(n)|byte(w.d-1)<<7)
			out = append(out, p[:n]...)
			p = p[n:]
		}
	}
	return out
}

func unpack(in []byte) (rec talk) {
	for len(in) > 1 {
		n := min(int(in[0]&0x7f), len(in)-1)
		rec = append(rec, write{stage.Direction(in[0]>>7) + 1, in[1 : 1+n]})
		in = in[1+n:]
	}
	return rec
}

// bytesNamed lists for each direction the stage of every byte and where records start and end.
func bytesNamed(rec talk, n int) string {
	var o stage.Observer
	var out [2]strings.Builder
	total := [2]int{}
	for _, w := range rec {
		for p := w.p; len(p) > 0; {
			piece := p[:min(n, len(p))]
			p = p[len(piece):]
			total[w.d-1] += len(piece)
			for _, s := range o.Observe(w.d, piece, nil) {
				for i := range s.N {
					b := &out[w.d-1]
					if s.Start && i == 0 {
						fmt.Fprintf(b, "[%d ", s.Fragment)
					}
					fmt.Fprintf(b, "%d ", s.Stage)
					if s.End && i == s.N-1 {
						b.WriteString("] ")
					}
					total[w.d-1]--
				}
			}
		}
	}
	if total[0] != o.Held(stage.ClientToServer) || total[1] != o.Held(stage.ServerToClient) {
		return fmt.Sprintf("bytes lost: %v without a name, %d and %d held", total, o.Held(stage.ClientToServer), o.Held(stage.ServerToClient))
	}
	return out[0].String() + "| " + out[1].String()
}
