package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/harness/proxy/proxyproto"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// sClient runs openssl s_client against the edge and gives what it prints.
func sClient(t *testing.T, addr string, args ...string) string {
	t.Helper()
	cmd := exec.Command(need(t, "openssl"), append([]string{"s_client", "-connect", addr, "-servername", "www.example.test"}, args...)...)
	cmd.Stdin = strings.NewReader("")
	out, _ := cmd.CombinedOutput() // its exit code speaks of the certificate
	return string(out)
}

// A session ID resumes on the edge that gave it, not on another; tickets likewise, for every edge has its
// own keys.
func TestResumptionStaysOnItsEdge(t *testing.T) {
	p := newPKI(t, "rsa")
	for _, kind := range []string{"-no_ticket", "-legacy_renegotiation"} { // the second is a flag without meaning here: tickets
		start := func() *edge {
			return startEdge(t, Options{Source: "builtin:fl-ssl.conf", Stack: "openssl-1.0.1j", Certificate: p.cert, Key: p.key})
		}
		one, two := start(), start()
		file := filepath.Join(t.TempDir(), "session.pem")
		if out := sClient(t, one.addr, "-tls1_2", kind, "-sess_out", file); !strings.Contains(out, "New, TLSv1.2") {
			t.Fatalf("first visit (%s): %s", kind, out)
		}
		if out := sClient(t, two.addr, "-tls1_2", kind, "-sess_in", file); !strings.Contains(out, "New, TLSv1.2") {
			t.Errorf("another edge resumed a session that it never gave (%s)", kind)
		}
		if out := sClient(t, one.addr, "-tls1_2", kind, "-sess_in", file); !strings.Contains(out, "Reused, TLSv1.2") {
			t.Errorf("the same edge did not resume (%s): %s", kind, out)
		}
	}
}

func TestSessionCacheExpiresAndEvicts(t *testing.T) {
	now := time.Date(2015, 1, 13, 12, 0, 0, 0, time.UTC)
	c := newSessionCache(3, 5*time.Minute)
	put := func(id string, at time.Time) { c.Put(at, []byte(id), &engine.Session{ID: []byte(id)}) }
	has := func(id string, at time.Time) bool { return c.Get(at, []byte(id)) != nil }
	put("a", now)
	if !has("a", now.Add(5*time.Minute)) || has("a", now.Add(5*time.Minute+1)) {
		t.Error("a session lives five minutes, not longer")
	}
	for _, id := range []string{"a", "b", "c", "d"} {
		put(id, now)
	}
	if has("a", now) || !has("b", now) || !has("d", now) || c.len() != 3 {
		t.Error("a full cache drops the oldest")
	}
	c.Delete([]byte("b"))
	put("e", now.Add(6*time.Minute))
	if c.len() != 1 {
		t.Errorf("%d sessions: storing one clears those that have expired", c.len())
	}
}

func TestShapeOfSharedCache(t *testing.T) {
	var s CacheSettings
	if err := s.parse([]string{"shared:SSL:50m"}); err != nil || s.Bytes/sessionBytes < 190_000 || s.Bytes/sessionBytes > 210_000 {
		t.Errorf("50m hold %d sessions (%v); nginx's document says 4000 a megabyte", s.Bytes/sessionBytes, err)
	}
}

// A reload takes a new certificate and other settings into force; requests in flight and kept connections go
// on; a bad configuration changes nothing.
func TestReload(t *testing.T) {
	first, second := newPKI(t, "rsa"), newPKI(t, "ecdsa")
	dir := t.TempDir()
	path := filepath.Join(dir, "edge.conf")
	addr := freeAddr(t)
	conf := func(p *pki, text string) {
		writeFile(t, path, []byte(fmt.Sprintf("events { worker_connections 100; }\nerror_log %s/error.log info;\nhttp { access_log off; server { listen %s ssl; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.2; location / { return 200 %q; } } }\n",
			dir, addr, p.cert, p.key, text)))
	}
	conf(first, "one")
	e := startEdge(t, Options{Source: path, Stack: "openssl-3.0", Listen: []string{addr}})
	get := func(c *tls.Conn, want string) {
		t.Helper()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if string(body) != want {
			t.Errorf("answered %q, want %q", body, want)
		}
	}
	kept, err := tls.Dial("tcp", addr, first.client())
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	get(kept, "one")
	conf(second, "two")
	reload := func() (*Config, error) {
		return Load(Options{Source: path, Stack: "openssl-3.0", Listen: []string{addr}})
	}
	e.hangup(reload)
	get(kept, "two")
	fresh, err := tls.Dial("tcp", addr, second.client())
	if err != nil {
		t.Fatalf("the new certificate is not served: %v", err)
	}
	get(fresh, "two")
	fresh.Close()
	writeFile(t, path, []byte("http { no_such_thing; }"))
	e.hangup(reload)
	get(kept, "two")
}

// Clients that never stop asking do not notice reloads.
func TestReloadDropsNoRequest(t *testing.T) {
	p := newPKI(t, "ecdsa")
	o := Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2"}, Certificate: p.cert, Key: p.key, Listen: []string{freeAddr(t)},
		ErrorLog: filepath.Join(t.TempDir(), "error.log"), Set: map[string]string{"keepalive_requests": "7"}}
	e := startEdge(t, o)
	stop, failed := make(chan struct{}), make(chan error, 4)
	var answered atomic.Int64
	for range cap(failed) {
		go func() {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: p.client()}, Timeout: 10 * time.Second}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					failed <- nil
					return
				default:
				}
				// POST is not repeated by net/http: a dropped one would be seen
				resp, err := client.Post("https://"+e.addr+"/upload", "text/plain", strings.NewReader("x"))
				if err != nil {
					failed <- err
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					failed <- fmt.Errorf("status %d", resp.StatusCode)
					return
				}
				answered.Add(1)
			}
		}()
	}
	for i := range 10 {
		seen := answered.Load()
		waitFor(t, "requests between reloads", func() bool { return answered.Load() > seen+20 })
		o.Set["client_header_timeout"] = fmt.Sprint(30 + i)
		cfg, err := Load(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Reload(cfg); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func TestPROXYProtocolInAndOut(t *testing.T) {
	t.Run("v2 in, v1 out", func(t *testing.T) { proxyProtocol(t, proxyproto.AppendV2, "v1") })
	t.Run("v1 in, v2 out", func(t *testing.T) { proxyProtocol(t, proxyproto.AppendV1, "v2") })
}

func proxyProtocol(t *testing.T, appendHeader func([]byte, proxyproto.Header) []byte, out string) {
	p := newPKI(t, "rsa")
	var seen atomic.Pointer[proxyproto.Header]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		br := bufio.NewReader(c)
		line, _ := br.ReadBytes('\n') // of version 2: the first two bytes of 28
		if out == "v2" {
			rest := make([]byte, 28-len(line))
			io.ReadFull(br, rest)
			line = append(line, rest...)
		}
		if h, _, err := proxyproto.Parse(line); err == nil {
			seen.Store(&h)
		}
		http.ReadRequest(br)
		io.WriteString(c, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}()
	path := filepath.Join(t.TempDir(), "edge.conf")
	writeFile(t, path, []byte(fmt.Sprintf("events {}\nhttp { access_log off; server { listen 127.0.0.1:1 ssl proxy_protocol; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.2; location / { proxy_pass http://%s; proxy_protocol %s; } } }",
		p.cert, p.key, l.Addr(), out)))
	e := startEdge(t, Options{Source: path, Stack: "openssl-3.0"})
	client := proxyproto.Header{Source: netip.MustParseAddrPort("192.0.2.7:7777"), Destination: netip.MustParseAddrPort("192.0.2.1:443")}
	raw, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.Write(appendHeader(nil, client))
	c := tls.Client(raw, p.client())
	io.WriteString(c, "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
	if body, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(body), "ok") {
		t.Fatalf("%q, %v", body, err)
	}
	if h := seen.Load(); h == nil || h.Source != client.Source {
		t.Errorf("the upstream was told %+v, want the client %v", h, client.Source)
	}
	bad, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	io.WriteString(bad, "GET / HTTP/1.0\r\n\r\n")
	if how := ending(bad); how == "open" {
		t.Error("a connection without the header must be closed")
	}
}

func TestTLSToUpstreams(t *testing.T) {
	p := newPKI(t, "rsa")
	app := httptest.NewUnstartedServer(NewApplication(ApplicationConfig{}))
	app.Config.ErrorLog = log.New(io.Discard, "", 0)
	app.StartTLS()
	defer app.Close()
	trust := filepath.Join(t.TempDir(), "app.pem")
	writeFile(t, trust, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: app.Certificate().Raw}))
	path := filepath.Join(t.TempDir(), "edge.conf")
	writeFile(t, path, []byte(fmt.Sprintf("events {}\nhttp { access_log off; server { listen 127.0.0.1:1 ssl; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.2; proxy_ssl_verify on; proxy_ssl_name example.com; location /trusted/ { proxy_ssl_trusted_certificate %s; proxy_pass %s/; } location /unknown/ { proxy_pass %s/; } } }",
		p.cert, p.key, trust, app.URL, app.URL)))
	e := startEdge(t, Options{Source: path, Stack: "openssl-3.0"})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: p.client(), DisableKeepAlives: true}}
	for uri, want := range map[string]int{"/trusted/health": 200, "/unknown/health": 502} {
		resp, err := client.Get("https://" + e.addr + uri)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", uri, resp.StatusCode, want)
		}
	}
}

func TestWebSocketPassesThrough(t *testing.T) {
	p := newPKI(t, "rsa")
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" || r.Header.Get("Connection") != "upgrade" {
			t.Errorf("upstream got %v", r.Header)
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		io.Copy(c, rw.Reader)
	}))
	defer app.Close()
	path := filepath.Join(t.TempDir(), "edge.conf")
	writeFile(t, path, []byte(fmt.Sprintf("events {}\nhttp { access_log off; server { listen 127.0.0.1:1 ssl; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.2; location / { proxy_pass %s; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; } } }",
		p.cert, p.key, app.URL)))
	e := startEdge(t, Options{Source: path, Stack: "openssl-3.0"})
	c, err := tls.Dial("tcp", e.addr, p.client())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%+v, %v", resp, err)
	}
	for _, text := range []string{"hello", strings.Repeat("long ", 10000)} {
		go io.WriteString(c, text)
		got := make([]byte, len(text))
		if _, err := io.ReadFull(br, got); err != nil || string(got) != text {
			t.Fatalf("echo of %d bytes: %v", len(text), err)
		}
	}
}

func TestHTTP2(t *testing.T) {
	p := newPKI(t, "rsa")
	for _, stack := range []string{"openssl-3.0", "go"} {
		path := filepath.Join(t.TempDir(), "edge.conf")
		writeFile(t, path, []byte(fmt.Sprintf("events {}\nhttp { access_log off; upstream app { server builtin:application; } server { listen 127.0.0.1:1 ssl http2; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.2 TLSv1.3; location / { proxy_pass http://app; } location = /h2 { return 200 $server_protocol; } } }",
			p.cert, p.key)))
		e := startEdge(t, Options{Source: path, Stack: stack})
		tr := &http.Transport{TLSClientConfig: p.client(), ForceAttemptHTTP2: true}
		client := &http.Client{Transport: tr, Timeout: 5 * time.Second}
		resp, err := client.Get("https://" + e.addr + "/h2")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.ProtoMajor != 2 || string(body) != "HTTP/2.0" {
			t.Errorf("%s: %s %q, want HTTP/2", stack, resp.Proto, body)
		}
		resp, err = client.Post("https://"+e.addr+"/upload", "text/plain", strings.NewReader(strings.Repeat("x", 100_000)))
		if err != nil {
			t.Fatal(err)
		}
		body, _ = io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "{\"bytes\":100000}\n" {
			t.Errorf("%s: upload over HTTP/2: %d %q", stack, resp.StatusCode, body)
		}
		tr.CloseIdleConnections()
	}
}

// curl takes the site as a browser would, by every version that it speaks.
func TestCurl(t *testing.T) {
	curl := need(t, "curl")
	p := newPKI(t, "rsa")
	e := startEdge(t, Options{Source: "builtin:fl-ssl.conf", Stack: "openssl-3.0", Certificate: p.cert, Key: p.key, Ciphers: threadCiphers(t) + ":@SECLEVEL=0"})
	_, port, _ := net.SplitHostPort(e.addr)
	for _, tls := range []string{"1.0", "1.1", "1.2"} {
		out, err := exec.Command(curl, "-sS", "--cacert", p.cert, "--resolve", "www.example.test:"+port+":127.0.0.1", "--tlsv1.0", "--tls-max", tls, "--ciphers", "DEFAULT@SECLEVEL=0",
			"-w", " %{http_code}", "https://www.example.test:"+port+"/health").CombinedOutput()
		if err != nil || string(out) != "ok\n 200" {
			t.Errorf("TLS %s: %q, %v", tls, out, err)
		}
	}
}

func TestKeepaliveEndsWithCloseNotify(t *testing.T) {
	p := newPKI(t, "rsa")
	e := startEdge(t, Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2"}, Certificate: p.cert, Key: p.key,
		Set: map[string]string{"keepalive_timeout": "300ms", "keepalive_requests": "2"}})
	c, err := visit(e.addr, p.client())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after keepalive_timeout: %v; want EOF, which crypto/tls gives after close_notify alone", err)
	}
	c2, err := visit(e.addr, p.client())
	if err != nil {
		t.Fatal(err)
	}
	defer c2.Close()
	if err := request(c2); err != nil {
		t.Fatal(err)
	}
	if _, err := c2.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after keepalive_requests: %v, want EOF", err)
	}
}

// The chain: edge, balancer, two applications. One application stops and comes back; no request is lost.
func TestChainSurvivesABackend(t *testing.T) {
	p := newPKI(t, "rsa")
	var apps [2]*httptest.Server
	for i := range apps {
		apps[i] = httptest.NewServer(NewApplication(ApplicationConfig{}))
		defer apps[i].Close()
	}
	b, err := NewBalancer(BalancerConfig{Backends: []string{apps[0].Listener.Addr().String(), apps[1].Listener.Addr().String()}, CheckEvery: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	l, err := ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Serve(ctx, l) }()
	defer func() { cancel(); <-ended }()
	e := startEdge(t, Options{Source: "builtin:fl-ssl.conf", Stack: "openssl-1.0.1j", Certificate: p.cert, Key: p.key, Upstream: l.Addr().String()})
	c, err := visit(e.addr, p.client())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 60 {
		if i == 20 {
			apps[0].CloseClientConnections()
			apps[0].Close()
		}
		if err := request(c); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	waitFor(t, "the health check to see it", func() bool { st := b.Status(); return !st[0].Healthy && st[1].Healthy })
	if st := b.Status(); st[0].Served == 0 || st[1].Served < 30 {
		t.Errorf("round-robin, then all to the one that lives: %+v", st)
	}
}

func TestUpstreamErrorsAreLoggedAsNginxDoes(t *testing.T) {
	p := newPKI(t, "rsa")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closing.Close()
	go func() {
		for {
			c, err := closing.Accept()
			if err != nil {
				return
			}
			http.ReadRequest(bufio.NewReader(c))
			c.Close()
		}
	}()
	dir := t.TempDir()
	path := filepath.Join(dir, "edge.conf")
	writeFile(t, path, []byte(fmt.Sprintf(`events {}
error_log %s/error.log info;
http { access_log off; upstream out { server 127.0.0.1:1 down; } upstream pair { server 127.0.0.1:1; server %s; }
 server { listen 127.0.0.1:1 ssl; server_name s; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.2; proxy_read_timeout 200ms;
  location /refused { proxy_pass http://127.0.0.1:1; } location /silent { proxy_pass http://%s; } location /closing { proxy_pass http://%s; }
  location /out { proxy_pass http://out; } location /pair { proxy_pass http://pair/health; } } }`, dir, httpApp(t), p.cert, p.key, silent.Addr(), closing.Addr())))
	e := startEdge(t, Options{Source: path, Stack: "openssl-3.0", ErrorLog: filepath.Join(dir, "error.log")})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: p.client(), DisableKeepAlives: true}, Timeout: 5 * time.Second}
	for _, tc := range []struct {
		uri  string
		code int
		want string
	}{
		{"/refused", 502, `connect() failed (111: Connection refused) while connecting to upstream, client: 127.0.0.1, server: s, request: "GET /refused HTTP/1.1", upstream: "http://127.0.0.1:1/refused", host: "`},
		{"/silent", 504, "upstream timed out (110: Connection timed out) while reading response header from upstream, client"},
		{"/closing", 502, "upstream prematurely closed connection while reading response header from upstream, client"},
		{"/out", 502, "no live upstreams while connecting to upstream, client"},
		{"/pair", 200, ""},
	} {
		resp, err := client.Get("https://" + e.addr + tc.uri)
		if err != nil {
			t.Fatalf("%s: %v", tc.uri, err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.code {
			t.Errorf("%s: %d, want %d", tc.uri, resp.StatusCode, tc.code)
		}
		if tc.want != "" && !fileHas(t, filepath.Join(dir, "error.log"), "[error]", tc.want) {
			t.Errorf("%s: no line [error] … %s", tc.uri, tc.want)
		}
	}
}

func httpApp(t *testing.T) net.Addr {
	app := httptest.NewServer(NewApplication(ApplicationConfig{}))
	t.Cleanup(app.Close)
	return app.Listener.Addr()
}

func TestMetricsAndStubStatus(t *testing.T) {
	p := newPKI(t, "rsa")
	path := filepath.Join(t.TempDir(), "edge.conf")
	writeFile(t, path, []byte(fmt.Sprintf("events {}\nhttp { access_log off; upstream app { server builtin:application; } server { listen 127.0.0.1:1 ssl; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.2; ssl_session_cache shared:SSL:1m; location / { proxy_pass http://app; } location = /status { stub_status; } } }", p.cert, p.key)))
	e := startEdge(t, Options{Source: path, Stack: "openssl-3.0"})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: p.client(), DisableKeepAlives: true}}
	if resp, err := client.Get("https://" + e.addr + "/status/404"); err != nil || resp.StatusCode != 404 {
		t.Fatalf("%+v, %v", resp, err)
	}
	resp, err := client.Get("https://" + e.addr + "/status")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if want := "server accepts handled requests\n 2 2 2 \n"; !strings.Contains(string(body), want) {
		t.Errorf("stub_status %q, want %q in it", body, want)
	}
	w := httptest.NewRecorder()
	e.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{`tlsurge_edge_handshakes_total{resumed="no"} 2`, `tlsurge_edge_responses_total{class="4xx"} 1`, `tlsurge_edge_responses_total{class="2xx"} 1`,
		`tlsurge_edge_upstream_requests_total{group="app",outcome="ok",server="builtin:application"} 1`, "go_goroutines"} {
		if !strings.Contains(w.Body.String(), line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
}

func TestIPv6(t *testing.T) {
	p := newPKI(t, "rsa")
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 loopback here: %v", err)
	}
	addr := l.Addr().String()
	l.Close()
	e := startEdge(t, Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2"}, Certificate: p.cert, Key: p.key, Listen: []string{addr}})
	c, err := visit(e.addr, p.client())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if e.addr != addr {
		t.Errorf("listens on %s, want %s", e.addr, addr)
	}
}

// A session ID that the cache knows, offered without its suite: alert 47 and 1408A0D7 at crit, on every stack by
// its own code; the session is then gone and the next try is a full handshake.
func TestRequiredCipherMissing(t *testing.T) {
	p := newPKI(t, "rsa")
	for stack, want := range map[string]string{"openssl-0.9.8zc": "1408A0D7", "openssl-1.0.1j": "1408A0D7", "openssl-1.0.2": "1408A0D7",
		"openssl-1.1.1": "142090D7", "openssl-3.0": "0A0000D7"} {
		e := startEdge(t, Options{Stack: stack, Protocols: []string{"TLSv1"}, Certificate: p.cert, Key: p.key, Ciphers: "AES128-SHA:AES256-SHA:@SECLEVEL=0"})
		first := sClient(t, e.addr, "-tls1", "-no_ticket", "-no_etm", "-cipher", "AES128-SHA:@SECLEVEL=0")
		_, rest, _ := strings.Cut(first, "Session-ID: ")
		id, err := hex.DecodeString(strings.TrimSpace(rest[:64]))
		if err != nil {
			t.Fatalf("%s: no session: %s", stack, first)
		}
		ch := &hello.ClientHello{RecordVersion: wire.TLS10, Version: wire.TLS10, SessionID: id, Suites: []wire.CipherSuite{0x0035}, Compression: []byte{0},
			HasExtensions: true, Extensions: []hello.Extension{{Type: wire.ExtExtendedMasterSecret}}}
		a, from, err := ask(e.addr, ch.AppendRecords(nil))
		if err != nil || a.alert() != 47 {
			t.Errorf("%s: %+v, %v; want alert 47", stack, a, err)
		}
		waitFor(t, "the line", func() bool {
			for _, l := range e.evidence.lines() {
				if l.Tuple.Client.String() == from && l.Code == want && l.Level == "crit" && l.Reason == "required cipher missing" {
					return true
				}
			}
			return false
		})
		if a, _, err := ask(e.addr, ch.AppendRecords(nil)); err != nil || a.Cipher != "0035" {
			t.Errorf("%s: the second try: %+v, %v; want a full handshake", stack, a, err)
		}
	}
}

// The groups of a location's regular expression are $1 to $9 and variables, as in nginx; the innermost location's count.
func TestRegexLocationsCapture(t *testing.T) {
	p := newPKI(t, "rsa")
	path := filepath.Join(t.TempDir(), "site.conf")
	conf := fmt.Sprintf(`events { }
http { server { listen 127.0.0.1:0 ssl; ssl_certificate %s; ssl_certificate_key %s;
	location ~ ^/cap/(?<id>\d+)/([a-z]+)$ { add_header X-Second $2; return 200 "cap $id $2\n"; }
	location ~* ^/q/(.*)$ { return 301 https://www.example.test/$1; }
	location ~ ^/outer/(\w+) { location ~ ^/outer/a(\w+) { return 200 "inner $1\n"; } return 200 "outer $1\n"; }
} }`, p.cert, p.key)
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	e := startEdge(t, Options{Source: path, Stack: "openssl-3.0"})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: p.client()},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	for uri, want := range map[string]string{"/cap/12/abc": "cap 12 abc\n abc ", "/Q/x/y": "https://www.example.test/x/y",
		"/outer/bcd": "outer bcd\n  ", "/outer/abc": "inner bc\n  "} {
		resp, err := client.Get("https://" + e.addr + uri)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		got := fmt.Sprintf("%s %s %s", body, resp.Header.Get("X-Second"), resp.Header.Get("Location"))
		if !strings.HasPrefix(got, want) && resp.Header.Get("Location") != want {
			t.Errorf("%s: %q, want %q", uri, got, want)
		}
	}
}

// An error page that answers 200 is asked the conditions of the request once, and may be 304.
func TestConditionsOnAnErrorPage(t *testing.T) {
	p, dir := newPKI(t, "rsa"), t.TempDir()
	writeFile(t, filepath.Join(dir, "x.html"), []byte("<p>x</p>"))
	conf := filepath.Join(dir, "site.conf")
	writeFile(t, conf, fmt.Appendf(nil, "events {} http { access_log off; server { listen 127.0.0.1:0 ssl; root %s; error_page 404 =200 /x.html; error_page 412 /x.html; recursive_error_pages on; } }", dir))
	e := startEdge(t, Options{Source: conf, Certificate: p.cert, Key: p.key})
	for header, want := range map[string]int{"": 200, "If-None-Match: *": 304, "If-Match: \"no\"": 412} {
		c, err := tls.Dial("tcp", e.addr, p.client())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if header != "" {
			header += "\r\n"
		}
		io.WriteString(c, "GET /nothing HTTP/1.1\r\nHost: x\r\n"+header+"\r\n")
		resp, err := http.ReadResponse(newReader(c), nil)
		if err != nil || resp.StatusCode != want {
			t.Errorf("%q: %v, %v, want %d", header, resp, err, want)
		}
	}
}
