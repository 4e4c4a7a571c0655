package symptom

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wrapped is a log as a mail of 2015 wraps it, clients masked.
const wrapped = `we began to see consistent errors across all three servers:

...
2015/01/13 12:22:59 [crit] 11871#0: *140260577 SSL_do_handshake()
failed (SSL: error:1408A0D7:SSL
routines:SSL3_GET_CLIENT_HELLO:required cipher missing) while SSL
handshaking, client: *.*.*.*, server: 0.0.0.0:443
2015/01/13 12:23:09 [crit] 11874#0: *140266246 SSL_do_handshake()
failed (SSL: error:1408A0D7:SSL
routines:SSL3_GET_CLIENT_HELLO:required cipher missing) while SSL
handshaking, client: *.*.*.*, server: 0.0.0.0:443
...

Users began to report "ssl_error_inappropriate_fallback_alert":

2015/01/31 03:24:33 [crit] 30658#0: *57298755 SSL_do_handshake()
failed (SSL: error:140A1175:SSL
routines:SSL_BYTES_TO_CIPHER_LIST:inappropriate fallback) while SSL
handshaking, client:  *.*.*.*, server: 0.0.0.0:443
`

func readText(t *testing.T, text string) *Report {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Read(context.Background(), []string{path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lines lists signatures as "3 nginx crit 1408A0D7 required cipher missing".
func lines(r *Report) []string {
	var out []string
	for _, s := range r.Signatures {
		out = append(out, strings.Join(strings.Fields(fmt.Sprintln(s.Count, s.Software, s.Level, s.String())), " "))
	}
	return out
}

func wantLines(t *testing.T, why string, r *Report, want ...string) {
	t.Helper()
	got := lines(r)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n got %q\nwant %q", why, got, want)
	}
}

// TestMail: a whole mail, with CRLF, quoted as a reply, and as gzip, tells the same.
func TestMail(t *testing.T) {
	want := []string{"2 nginx crit 1408A0D7 required cipher missing", "1 firefox ssl_error_inappropriate_fallback_alert (alert 86 from the server)",
		"1 nginx crit 140A1175 inappropriate fallback"}
	quoted := "> " + strings.ReplaceAll(wrapped, "\n", "\n> ")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, wrapped)
	z.Close()
	for why, text := range map[string]string{"plain": wrapped, "CRLF": strings.ReplaceAll(wrapped, "\n", "\r\n"), "quoted": quoted, "gzip": packed.String()} {
		r := readText(t, text)
		wantLines(t, why, r, want...)
		if s := r.Signatures[0]; s.Count == 2 && (s.First.Format("15:04:05") != "12:22:59" || s.Last.Format("15:04:05") != "12:23:09" || s.PerS != 0.2 || s.Clients != 0) {
			t.Errorf("%s: %+v: times, rate or clients are wrong", why, s)
		}
	}
}

// TestLines: one line of each kind of log, and what it comes to.
func TestLines(t *testing.T) {
	for line, want := range map[string]string{
		// nginx, all eras
		"2015/01/13 12:22:59 [crit] 1#0: *2 SSL_do_handshake() failed (SSL: error:1408A0D7:SSL routines:SSL3_GET_CLIENT_HELLO:required cipher missing) while SSL handshaking, client: 10.0.0.1, server: 0.0.0.0:443":                             "1 nginx crit 1408A0D7 required cipher missing",
		"2024/01/13 12:22:59 [crit] 1#1: *2 SSL_do_handshake() failed (SSL: error:0A000175:SSL routines::inappropriate fallback) while SSL handshaking, client: ::1, server: [::]:443":                                                           "1 nginx crit 0A000175 inappropriate fallback",
		"2020/01/13 12:22:59 [crit] 1#1: *2 SSL_do_handshake() failed (SSL: error:14094412:SSL routines:ssl3_read_bytes:sslv3 alert bad certificate:SSL alert number 42) while SSL handshaking, client: 10.0.0.1":                                "1 nginx crit 14094412 sslv3 alert bad certificate (alert 42 from the client)",
		"2024/01/13 12:22:59 [crit] 1#1: *2 SSL_do_handshake() failed (SSL: error:1C800066:Provider routines::cipher operation failed error:0A000119:SSL routines::decryption failed or bad record mac) while SSL handshaking, client: 10.0.0.1": "1 nginx crit 0A000119 decryption failed or bad record mac",
		"2015/01/13 12:22:59 [info] 1#0: *2 peer closed connection in SSL handshake (104: Connection reset by peer) while SSL handshaking, client: 10.0.0.1, server: 0.0.0.0:443":                                                                "1 nginx info peer closed connection in SSL handshake",
		"2015/01/13 12:22:59 [info] 1#0: *2 client timed out (110: Connection timed out) while SSL handshaking, client: 10.0.0.1, server: 0.0.0.0:443":                                                                                           "1 nginx info client timed out",
		"2015/01/13 12:22:59 [alert] 1#0: 512 worker_connections are not enough":     "1 nginx alert worker_connections are not enough",
		"2015/01/13 12:22:59 [crit] 1#0: accept4() failed (24: Too many open files)": "1 nginx crit accept() failed (24: Too many open files)",
		"2015/01/13 12:22:59 [error] 1#0: *2 upstream timed out (110: Connection timed out) while reading response header from upstream, client: 10.0.0.1, server: x, request: \"GET / HTTP/1.1\"":  "1 nginx error upstream timed out",
		"2015/01/13 12:22:59 [error] 1#0: *2 SSL_do_handshake() failed (SSL: error:1408F10B:SSL routines:ssl3_get_record:wrong version number) while SSL handshaking to upstream, client: 10.0.0.1": "1 nginx error 1408F10B wrong version number at upstream",
		"2015/01/13 12:22:59 [alert] 1#0: *2 open socket #12 left in connection 5":                                                                       "1 nginx alert open socket left in connection",
		"2015/01/13 12:22:59 [alert] 1#0: *2 could not allocate new session in SSL session shared cache \"SSL\" while SSL handshaking, client: 10.0.0.1": "1 nginx alert could not allocate new session in SSL session shared cache",
		// in containers and journals
		`{"log":"2015/01/13 12:22:59 [info] 7#7: *3 client sent plain HTTP request to HTTPS port while reading client request headers, client: 1.2.3.4, server: _\n","stream":"stderr","time":"2015-01-13T12:22:59.1Z"}`:      "1 nginx info client sent plain HTTP request to HTTPS port",
		"Jan 13 12:22:59 web1 nginx: 2015/01/13 12:22:59 [crit] 1#0: *2 SSL_do_handshake() failed (SSL: error:140A1175:SSL routines:SSL_BYTES_TO_CIPHER_LIST:inappropriate fallback) while SSL handshaking, client: 10.0.0.1": "1 nginx crit 140A1175 inappropriate fallback",
		"web-1  | 2015/01/13 12:22:59 [crit] 1#0: *2 SSL_do_handshake() failed (SSL: error:140A1175:SSL routines:SSL_BYTES_TO_CIPHER_LIST:inappropriate fallback) while SSL handshaking, client: 10.0.0.1":                    "1 nginx crit 140A1175 inappropriate fallback",
		// HAProxy
		"Jan 13 12:22:59 lb haproxy[9]: 10.0.0.1:3333 [13/Jan/2015:12:22:59.123] fe/1: SSL handshake failure":                                                "1 haproxy SSL handshake failure",
		"<134>Jan 13 12:22:59 haproxy[9]: 10.0.0.1:3333 [13/Jan/2015:12:22:59.123] fe/1: Connection closed during SSL handshake":                             "1 haproxy Connection closed during SSL handshake",
		"10.0.0.1:3333 [13/Jan/2015:12:22:59.123] fe/ssl: Timeout during SSL handshake":                                                                      "1 haproxy Timeout during SSL handshake",
		"Jan 13 12:22:59 lb haproxy[9]: 10.0.0.1:3333 [13/Jan/2015:12:22:59.123] fe~ be/<NOSRV> -1/-1/-1/-1/12 400 187 - - PR-- 1/1/0/0/0 0/0 \"<BADREQ>\"":  "1 haproxy <BADREQ> PR",
		"Jan 13 12:22:59 lb haproxy[9]: 10.0.0.1:3333 [13/Jan/2015:12:22:59.123] fe~ be/s1 0/0/-1/-1/3002 503 212 - - SC-- 1/1/0/0/3 0/0 \"GET / HTTP/1.1\"": "1 haproxy termination state SC: the server aborted or refused, connecting to the server",
		"Jan 13 12:22:59 lb haproxy[9]: 10.0.0.1:3333 [13/Jan/2015:12:22:59.123] fe~ be/s1 0/0/1/2/3 200 212 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"":      "",
		// Apache
		"[Tue Jan 13 12:22:59.123456 2015] [ssl:info] [pid 1:tid 2] SSL Library Error: error:1408A0C1:SSL routines:ssl3_get_client_hello:no shared cipher -- Too restrictive SSLCipherSuite or using DSA server certificate?": "1 apache info 1408A0C1 no shared cipher",
		"[Tue Jan 13 12:22:59 2015] [error] SSL Library Error: 336109761 error:1408A0C1:SSL routines:SSL3_GET_CLIENT_HELLO:no shared cipher Too restrictive SSLCipherSuite":                                                   "1 apache error 1408A0C1 no shared cipher",
		"[Tue Jan 13 12:22:59.123456 2015] [ssl:info] [pid 1:tid 2] [client 10.0.0.1:5] AH01964: Connection to child 0 established (server localhost:443)":                                                                    "",
		// Go
		"2015/01/13 12:22:59 http: TLS handshake error from 10.0.0.1:5: tls: client offered only unsupported versions: [302 301]": "1 go tls: client offered only unsupported versions",
		"2015/01/13 12:22:59 http: TLS handshake error from 10.0.0.1:5: EOF":                                                      "1 go EOF",
		"2015/01/13 12:22:59 http: TLS handshake error from 10.0.0.1:5: remote error: tls: unknown certificate authority":         "1 go remote error: tls: unknown certificate authority (alert 48 from the client)",
		"2015/01/13 12:22:59 http: TLS handshake error from [::1]:5: read tcp [::1]:443->[::1]:5: i/o timeout":                    "1 go i/o timeout",
		// the kernel, access logs
		"Jan 13 12:22:59 web1 kernel: [123.4] TCP: request_sock_TCP: Possible SYN flooding on port 443. Sending cookies.  Check SNMP counters.": "1 kernel possible SYN flooding: the listen queue is full",
		"Jan 13 12:22:59 web1 kernel: nf_conntrack: table full, dropping packet":                                                                "1 kernel conntrack: table full, dropping packets",
		`10.0.0.1 - - [13/Jan/2015:12:22:59 +0000] "\x16\x03\x01\x02\x00" 400 166 "-" "-"`:                                                      "1 access log 400: TLS spoken to a plain port",
		`10.0.0.1 - - [13/Jan/2015:12:22:59 +0000] "GET / HTTP/1.1" 502 166 "-" "Mozilla/5.0" TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256`:              "1 access log status 502, TLSv1.2",
		`10.0.0.1 - - [13/Jan/2015:12:22:59 +0000] "GET / HTTP/1.1" 200 400 "-" "Mozilla/5.0"`:                                                  "",
	} {
		r := readText(t, line+"\n")
		if got := strings.Join(lines(r), " + "); got != want {
			t.Errorf("%s\n got %q\nwant %q", line, got, want)
		}
		if want != "" && r.Signatures[0].First.IsZero() {
			t.Errorf("%s: no time found", line)
		}
	}
}

// noise writes n lines of a busy day with every so many lines one that matters.
func noise(w io.Writer, n int, seed uint64) (bad int, err error) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for i := range n {
		s, ip := i/200, rnd.IntN(200_000)
		at := fmt.Sprintf("%02d:%02d:%02d", s/3600%24, s/60%60, s%60)
		switch {
		case i%997 == 0:
			bad++
			fmt.Fprintf(&b, "2015/01/13 %s [crit] 11871#0: *%d SSL_do_handshake() failed (SSL: error:1408A0D7:SSL routines:SSL3_GET_CLIENT_HELLO:required cipher missing) while SSL handshaking, client: 10.%d.%d.%d, server: 0.0.0.0:443\n",
				at, i, ip>>16, ip>>8&255, ip&255)
		case i%10007 == 0:
			fmt.Fprintf(&b, "\x00\x01\x02garbage\n")
		default:
			fmt.Fprintf(&b, "10.%d.%d.%d - - [13/Jan/2015:%s +0000] \"GET /assets/app-%d.js HTTP/1.1\" 200 %d \"https://www.example.test/\" \"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.10; rv:35.0) Gecko/20100101 Firefox/35.0\"\n",
				ip>>16, ip>>8&255, ip&255, at, rnd.IntN(1000), rnd.IntN(100000))
		}
		if b.Len() > 1<<20 {
			if _, err := w.Write(b.Bytes()); err != nil {
				return bad, err
			}
			b.Reset()
		}
	}
	_, err = w.Write(b.Bytes())
	return bad, err
}

// TestBigLogStreams: 200 MB through a pipe, in less than 100 MiB of heap, with every line counted. TLSURGE_LOG_MB asks
// for more.
func TestBigLogStreams(t *testing.T) {
	if testing.Short() {
		t.Skip("200 MB of log")
	}
	total := 1_000_000
	if mb, err := strconv.Atoi(os.Getenv("TLSURGE_LOG_MB")); err == nil {
		total = mb << 20 / 193 // bytes of a line of noise
	}
	began := time.Now()
	pr, pw := io.Pipe()
	wrote := make(chan int, 1)
	go func() {
		bad, err := noise(pw, total, 1)
		pw.CloseWithError(err)
		wrote <- bad
	}()
	l := newLogReader()
	peak := &peakHeap{Reader: pr}
	if err := l.read(context.Background(), peak); err != nil {
		t.Fatal(err)
	}
	found := l.table.signatures()
	if bad := int64(<-wrote); len(found) != 1 || found[0].Count != bad || l.lines != int64(total) || l.unreadable == 0 {
		t.Errorf("%d signatures, %+v; %d lines, %d unreadable; want one with %d of %d lines", len(found), found, l.lines, l.unreadable, bad, total)
	}
	if peak.most > 100<<20 {
		t.Errorf("heap of %d MiB, less than 100 wanted", peak.most>>20)
	}
	t.Logf("%d MiB read in %.1f s, heap at most %d MiB, %s", peak.bytes>>20, time.Since(began).Seconds(), peak.most>>20, resident())
}

// resident is the most memory that the process has had, as the kernel counts it.
func resident() string {
	status, _ := os.ReadFile("/proc/self/status") // elsewhere it is not known
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmHWM") {
			return strings.Join(strings.Fields(line), " ")
		}
	}
	return ""
}

type peakHeap struct {
	io.Reader
	bytes int64
	most  uint64
	calls int
}

func (p *peakHeap) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.bytes += int64(n)
	if p.calls++; p.calls%100 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		p.most = max(p.most, m.HeapAlloc)
	}
	return n, err
}

// BenchmarkLog reads lines of an access log, none of which is interesting.
func BenchmarkLog(b *testing.B) {
	line := []byte(`10.1.2.3 - - [13/Jan/2015:12:22:59 +0000] "GET /assets/app-17.js HTTP/1.1" 200 5120 "https://www.example.test/" "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.10; rv:35.0) Gecko/20100101 Firefox/35.0"`)
	l := newLogReader()
	b.SetBytes(int64(len(line) + 1))
	b.ReportAllocs()
	for b.Loop() {
		l.line(line)
	}
}

// TestShuffledAndNoisy: whole lines in any order, among any bytes, give the same table.
func TestShuffledAndNoisy(t *testing.T) {
	var b bytes.Buffer
	bad, err := noise(&b, 20_000, 2)
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.SplitAfter(b.String(), "\n")
	straight := readText(t, b.String())
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(whole), func(i, j int) { whole[i], whole[j] = whole[j], whole[i] })
	shuffled := readText(t, "\xff\xfe\x00"+strings.Repeat("x", longest+10)+"\n"+strings.Join(whole, ""))
	a, z := straight.Signatures[0], shuffled.Signatures[0]
	a.Text, z.Text = "", ""
	if fmt.Sprint(a) != fmt.Sprint(z) || a.Count != int64(bad) || shuffled.Unreadable != straight.Unreadable+1 || a.Clients == 0 || a.PeakPerS == 0 {
		t.Errorf("in order %+v, shuffled %+v; %d and %d unreadable", a, z, straight.Unreadable, shuffled.Unreadable)
	}
}

// FuzzLog: whatever is read, lines are counted, nothing is fatal, and cutting the input into other pieces
// changes nothing.
func FuzzLog(f *testing.F) {
	f.Add([]byte(wrapped), 7)
	f.Add([]byte("2015/01/13 12:22:59 [crit] 1#0: *2 x (SSL: error:0A000175:SSL routines::inappropriate fallback)"), 3)
	f.Add([]byte("{\"log\":\"error:14\"}\n[Tue \nJan \n<1\n1.2.3.4 \" 400 \n"), 1)
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		once, twice := newLogReader(), newLogReader()
		if err := once.read(context.Background(), bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		if err := twice.read(context.Background(), &inPieces{text, max(1, piece%50)}); err != nil {
			t.Fatal(err)
		}
		if want := int64(bytes.Count(text, []byte("\n"))); once.lines < want || once.lines > want+1 || once.lines != twice.lines {
			t.Errorf("%d and %d lines, %d ends of line", once.lines, twice.lines, want)
		}
		var sum, other int64
		for _, s := range once.table.signatures() {
			sum += s.Count
		}
		for _, s := range twice.table.signatures() {
			other += s.Count
		}
		if sum != other || sum > once.lines || !bytes.Equal(once.prose.Bytes(), twice.prose.Bytes()) {
			t.Errorf("%d and %d lines counted of %d", sum, other, once.lines)
		}
		Words(string(text))
	})
}

type inPieces struct {
	rest []byte
	n    int
}

func (p *inPieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.n)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
