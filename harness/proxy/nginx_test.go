package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// need skips without a real peer, and fails where TLSURGE_REQUIRE names it.
func need(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	for _, r := range strings.Split(os.Getenv("TLSURGE_REQUIRE"), ",") {
		if r == name {
			t.Fatalf("TLSURGE_REQUIRE names %s: %v", name, err)
		}
	}
	t.Skipf("no %s here", name)
	return ""
}

// realNginx runs Debian's nginx on a configuration text until the test ends.
func realNginx(t testing.TB, dir, text string, addr string) {
	t.Helper()
	bin := need(t, "nginx")
	conf := filepath.Join(dir, "nginx.conf")
	writeFile(t, conf, []byte(text))
	cmd := exec.Command(bin, "-p", dir, "-c", conf, "-e", filepath.Join(dir, "start.log"), "-g", "daemon off; master_process off;")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			log, _ := os.ReadFile(filepath.Join(dir, "start.log"))
			t.Fatalf("nginx ended: %v\n%s%s", err, out.Bytes(), log)
		default:
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
	}
	t.Fatalf("nginx does not listen on %s: %s", addr, out.Bytes())
}

// freeAddr finds a port that was free a moment ago.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// twins are our edge and Debian's nginx on one and the same file.
type twins struct {
	ours, theirs string // addresses
	dirs         [2]string
	root         string
	pki          *pki
}

// startTwins runs both; without nginx, ours alone where alone is allowed.
func startTwins(t *testing.T, alone bool) *twins {
	t.Helper()
	if !alone {
		need(t, "nginx")
	}
	w := &twins{pki: newPKI(t, "rsa"), root: t.TempDir(), dirs: [2]string{t.TempDir(), t.TempDir()}}
	for name, text := range map[string]string{
		"assets/site.css": strings.Repeat("body { margin: 2em }\n", 100), "assets/site.js": "document.title = 1;\n",
		"assets/pic.png": "not really a picture", "fonts/site.woff": "glyphs", "fonts/site.TTF": "more glyphs", "about/index.html": "<p>about</p>\n",
		"50x.html": "<p>something went wrong</p>\n", "plain.txt": strings.Repeat("0123456789", 10), "empty.txt": "",
		"adgear/adgear_standard.js": "ads();\n", "with space.txt": "spaced", "noext": "no ending",
	} {
		path := filepath.Join(w.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, []byte(text))
		old := time.Date(2015, 1, 13, 12, 22, 59, 0, time.UTC)
		os.Chtimes(path, old, old)
		os.Chmod(path, 0o644)
	}
	app := httptest.NewServer(NewApplication(ApplicationConfig{}))
	t.Cleanup(app.Close)
	text, err := builtinFiles.ReadFile("builtin/fl-ssl.conf")
	if err != nil {
		t.Fatal(err)
	}
	conf := strings.NewReplacer("@upstream@", app.Listener.Addr().String(), "@root@", w.root, "user nginx;", "",
		"wildcard.pem", w.pki.cert, "wildcard.key", w.pki.key, "include       mime.types;", "types { text/html html; text/css css; application/x-javascript js; text/plain txt; image/png png; application/font-woff woff; }",
		"worker_processes  12", "worker_processes 1", "worker_connections  50000", "worker_connections 1000",
		"set_real_ip_from 192.0.2.0/24", "set_real_ip_from 127.0.0.0/8").Replace(string(text))
	conf = strings.Replace(conf, "root   "+w.root+";\n\n        listen", "root   "+w.root+";\n        location = /down { proxy_pass http://127.0.0.1:1; }\n        location = /status { stub_status; }\n        location = /gone { return 410; }\n        location = /text { return 200 'a text for $host\\n'; }\n        location = /moved { return 301 /elsewhere; }\n\n        listen", 1)
	file := func(dir, addr string) string {
		out := strings.NewReplacer("listen              443", "listen "+addr, "error.log;", filepath.Join(dir, "error.log")+" info;", "nginx.pid", filepath.Join(dir, "nginx.pid"),
			"access_log    access.log", "access_log "+filepath.Join(dir, "access.log"), "fl.ssl.access.log", filepath.Join(dir, "fl.log")).Replace(conf)
		return strings.Replace(out, "http {", "http {\n"+tempPaths(dir), 1)
	}
	if !alone {
		w.theirs = freeAddr(t)
		realNginx(t, w.dirs[1], file(w.dirs[1], w.theirs), w.theirs)
	}
	w.ours = freeAddr(t)
	path := filepath.Join(w.dirs[0], "fl-ssl.conf")
	writeFile(t, path, []byte(strings.ReplaceAll(file(w.dirs[0], w.ours), tempPaths(w.dirs[0]), "")))
	cfg, err := Load(Options{Source: path, Name: "edge-1"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ls, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ls) }()
	t.Cleanup(func() { cancel(); <-ended })
	return w
}

// tempPaths keeps an unprivileged nginx inside its folder.
func tempPaths(dir string) string {
	var b strings.Builder
	for _, k := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "    %s_temp_path %s;\n", k, filepath.Join(dir, k))
	}
	return b.String()
}

// exchangeRaw sends a request as it stands and reads until the server closes or has nothing more to say.
func (w *twins) exchangeRaw(t *testing.T, addr, raw string) (*http.Response, []byte, error) {
	t.Helper()
	c, err := tls.Dial("tcp", addr, w.pki.client())
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, raw); err != nil {
		return nil, nil, err
	}
	method, _, _ := strings.Cut(raw, " ")
	resp, err := http.ReadResponse(newReader(c), &http.Request{Method: method})
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

type site1 struct {
	why, method, uri string
	header           string
	body             string
	closed           bool // with system/maintenance.html in place
}

// threadRequests walk the thread's configuration: each location, rewrite, header, upstream, error page.
var threadRequests = []site1{
	{why: "the application's page: no such file", uri: "/"},
	{why: "any other path too", uri: "/accounts/42?tab=2"},
	{why: "an index file makes the if rewrite", uri: "/about"},
	{why: "also with a slash at the end", uri: "/about/"},
	{why: "a file", uri: "/assets/site.css"},
	{why: "a file with a number behind it lasts for ever", uri: "/assets/site.css?1421151779"},
	{why: "a script, compressed", uri: "/assets/site.css", header: "Accept-Encoding: gzip\r\n"},
	{why: "a picture is not", uri: "/assets/pic.png?1", header: "Accept-Encoding: gzip\r\n"},
	{why: "fonts may be used from elsewhere", uri: "/fonts/site.woff"},
	{why: "whatever their case", uri: "/fonts/site.TTF"},
	{why: "a font that is not there", uri: "/fonts/none.woff"},
	{why: "long poll by name", uri: "/polling/room?since=1"},
	{why: "polling anywhere in the URI", uri: "/x?next=/POLLING"},
	{why: "upload", method: "POST", uri: "/upload", body: strings.Repeat("u", 10000)},
	{why: "upload in chunks", method: "POST", uri: "/upload", header: "Transfer-Encoding: chunked\r\n", body: "5\r\nhello\r\n0\r\n\r\n"},
	{why: "GET of upload", uri: "/upload"},
	{why: "crossdomain", uri: "/crossdomain.xml"},
	{why: "crossdomain with arguments is another URI", uri: "/crossdomain.xml?a"},
	{why: "the old script", uri: "/javascripts/ga.js"},
	{why: "with arguments kept", uri: "/javascripts/ga.js?v=2"},
	{why: "the old pixel", uri: "/__utm.gif"},
	{why: "adgear", uri: "/adgear.js/current/adgear.js"},
	{why: "adgear standard", uri: "/adgear.js/current/adgear_standard.js"},
	{why: "another name of the host", uri: "/a%20b?c=d", header: "Host: OLD.example.test\r\n"},
	{why: "HEAD of a file", method: "HEAD", uri: "/plain.txt"},
	{why: "HEAD of a page", method: "HEAD", uri: "/page"},
	{why: "POST to a file", method: "POST", uri: "/plain.txt", body: "x"},
	{why: "a range", uri: "/plain.txt", header: "Range: bytes=10-19\r\n"},
	{why: "the end", uri: "/plain.txt", header: "Range: bytes=-5\r\n"},
	{why: "beyond the end", uri: "/plain.txt", header: "Range: bytes=1000-\r\n"},
	{why: "not a range", uri: "/plain.txt", header: "Range: lines=1-2\r\n"},
	{why: "range if unchanged", uri: "/plain.txt", header: "Range: bytes=0-0\r\nIf-Range: \"54b50e23-64\"\r\n"},
	{why: "not modified", uri: "/plain.txt", header: "If-Modified-Since: Tue, 13 Jan 2015 12:22:59 GMT\r\n"},
	{why: "modified since an earlier time", uri: "/plain.txt", header: "If-Modified-Since: Tue, 13 Jan 2015 12:22:58 GMT\r\n"},
	{why: "tag matches", uri: "/plain.txt", header: "If-None-Match: \"54b50e23-64\"\r\n"},
	{why: "tag does not", uri: "/plain.txt", header: "If-None-Match: \"nope\"\r\n"},
	{why: "precondition", uri: "/plain.txt", header: "If-Match: \"nope\"\r\n"},
	{why: "empty file", uri: "/empty.txt"},
	{why: "a name with a space", uri: "/with%20space.txt"},
	{why: "a file without an ending has the default type", uri: "/noext"},
	{why: "dots and slashes are resolved", uri: "/assets//../assets/./site.js"},
	{why: "the backend is down: 502, and 50x.html answers", uri: "/down"},
	{why: "a status that the application gives", uri: "/status/404"},
	{why: "500 of the application is passed on", uri: "/status/500"},
	{why: "204 has no body", uri: "/status/204"},
	{why: "HTTP/1.0 is answered and closed", uri: "/plain.txt", method: "GET10"},
	{why: "HTTP/1.0 of a page", uri: "/page", method: "GET10"},
	{why: "return with a status", uri: "/gone"},
	{why: "return with a text", uri: "/text"},
	{why: "return with a redirect", uri: "/moved?x=1"},
	{why: "client behind a proxy that is trusted", uri: "/echo", header: "X-Forwarded-For: 10.9.9.9, 10.1.2.3\r\n"},
	{why: "nonsense in the trusted header", uri: "/echo", header: "X-Forwarded-For: somebody\r\n"},
	{why: "what goes upstream", uri: "/echo?a=1&b=%20", header: "X-Custom: 1\r\nCookie: FL=sweet; other=2\r\nReferer: https://example.test/\r\nUser-Agent: test \"quoted\"\r\n"},
	{why: "POST upstream", method: "POST", uri: "/echo", header: "Content-Type: text/plain\r\n", body: "the body"},
	{why: "the site is closed while the file exists", uri: "/plain.txt", closed: true},
}

var rewrite = flag.Bool("rewrite", false, "record the answers of Debian's nginx anew in testdata/thread.json")

// The same requests to our edge and to Debian's nginx with the same file: status, headers, body and log line.
func TestThreadConfigurationAsNginx(t *testing.T) {
	w := startTwins(t, false)
	recorded := map[string]observed{}
	for _, tc := range threadRequests {
		t.Run(strings.ReplaceAll(tc.why, " ", "-"), func(t *testing.T) {
			recorded[tc.why] = w.observe(t, 1, tc)
			w.observe(t, 0, tc).mustEqual(t, recorded[tc.why])
		})
	}
	if *rewrite && !t.Failed() {
		text, err := json.MarshalIndent(recorded, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, "testdata/thread.json", append(text, '\n'))
	}
}

// And where there is no nginx, the answers that it gave when they were recorded.
func TestThreadConfigurationAsRecorded(t *testing.T) {
	text, err := os.ReadFile("testdata/thread.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded map[string]observed
	if err := json.Unmarshal(text, &recorded); err != nil {
		t.Fatal(err)
	}
	w := startTwins(t, true)
	for _, tc := range threadRequests {
		t.Run(strings.ReplaceAll(tc.why, " ", "-"), func(t *testing.T) {
			want, ok := recorded[tc.why]
			if !ok {
				t.Fatal("not recorded: run with -rewrite where nginx is")
			}
			w.observe(t, 0, tc).mustEqual(t, want)
		})
	}
}

func (tc site1) raw() string {
	method, proto := tc.method, "HTTP/1.1"
	switch method {
	case "":
		method = "GET"
	case "GET10":
		method, proto = "GET", "HTTP/1.0"
	}
	text := method + " " + tc.uri + " " + proto + "\r\n" + tc.header
	if !strings.Contains(tc.header, "Host:") {
		text += "Host: example.test\r\n"
	}
	if tc.body != "" && !strings.Contains(tc.header, "chunked") {
		text += fmt.Sprintf("Content-Length: %d\r\n", len(tc.body))
	}
	return text + "Connection: close\r\n\r\n" + tc.body
}

// observed is what a client and the log saw of one exchange, without what must differ.
type observed struct {
	Status  int    `json:"status"`
	Headers string `json:"headers"`
	Body    string `json:"body"`
	Line    string `json:"line"`
}

func (o observed) mustEqual(t *testing.T, want observed) {
	t.Helper()
	if o.Status != want.Status || o.Headers != want.Headers || o.Body != want.Body {
		t.Errorf("ours  %d\n%s%.400s\nnginx %d\n%s%.400s", o.Status, o.Headers, o.Body, want.Status, want.Headers, want.Body)
	}
	if o.Line != want.Line {
		t.Errorf("log line\n ours  %s\n nginx %s", o.Line, want.Line)
	}
}

// observe sends the request to our edge (0) or to nginx (1).
func (w *twins) observe(t *testing.T, i int, tc site1) (o observed) {
	t.Helper()
	if tc.closed {
		dir := filepath.Join(w.root, "system")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "maintenance.html"), []byte("closed"))
		defer os.RemoveAll(dir)
	}
	addr := [2]string{w.ours, w.theirs}[i]
	resp, body, err := w.exchangeRaw(t, addr, tc.raw())
	if err != nil {
		t.Fatalf("%s: %v", addr, err)
	}
	if resp.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return observed{Status: resp.StatusCode, Headers: neutral(resp.Header, addr), Body: neutralBody(string(body), addr), Line: w.lastLine(t, i, tc)}
}

// neutral is the header without what must differ: the server's name, the time, the port, and the length of
// pages that end in the server's name.
func neutral(h http.Header, addr string) string {
	var out []string
	for k, vs := range h {
		switch k {
		case "Server", "Date", "Connection":
			continue
		case "Content-Length":
			continue
		}
		for _, v := range vs {
			out = append(out, fmt.Sprintf("  %s: %s\n", k, neutralBody(v, addr)))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "")
}

func neutralBody(s, addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return strings.NewReplacer("nginx/1.22.1", "SERVER", "<center>tlsurge</center>", "<center>SERVER</center>", ":"+port, ":PORT").Replace(s)
}

// lastLine waits for the access log line of the request, and gives it without the time, and without the number
// of body bytes where the body ends in the server's name or is compressed.
func (w *twins) lastLine(t *testing.T, i int, tc site1) string {
	t.Helper()
	path := filepath.Join(w.dirs[i], "fl.log")
	var line string
	waitFor(t, "a line in "+path, func() bool {
		text, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
		line = all[len(all)-1]
		if strings.Contains(line, " "+tc.uri+" ") {
			os.Truncate(path, 0)
			return true
		}
		return false
	})
	from, to := strings.Index(line, "["), strings.Index(line, "]")
	line = line[:from] + line[to+1:]
	words := strings.Fields(line[strings.LastIndex(line, "HTTP/1."):])
	if len(words) > 2 && (words[1] >= "300" || strings.Contains(tc.header, "gzip")) {
		line = strings.Replace(line, words[1]+" "+words[2], words[1]+" N", 1)
	}
	return line
}
