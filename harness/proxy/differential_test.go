package proxy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	diffSeeds = flag.Int("seeds", 4, "how many generated configurations TestGeneratedConfigurationsAsNginx asks")
	diffFrom  = flag.Int("from", 10, "the first seed of them")
	diffShow  = flag.Bool("show", false, "print the configuration of each seed that differs")
)

// Generated configurations and requests: our edge and Debian's nginx give the same status, header, body and log line.
func TestGeneratedConfigurationsAsNginx(t *testing.T) {
	need(t, "nginx")
	root := diffRoot(t)
	back := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(back.Close)
	for seed := *diffFrom; seed < *diffFrom+*diffSeeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := &confGen{Rand: rand.New(rand.NewPCG(uint64(seed), 7)), root: root, back: back.Listener.Addr().String()}
			text := g.config()
			if agreeThatItIsWrong(t, text) {
				return
			}
			p := startPair(t, text)
			bad := 0
			for n := range 40 {
				raw := g.request(n)
				ours, theirs := p.ask(t, 0, raw), p.ask(t, 1, raw)
				if ours != theirs {
					bad++
					t.Errorf("request %d:\n%s\nours:\n%s\nnginx:\n%s", n, raw, ours, theirs)
				}
				if bad > 5 {
					break
				}
			}
			if t.Failed() && *diffShow {
				t.Logf("%s", text)
			}
		})
	}
}

// agreeThatItIsWrong says whether nginx refuses the configuration; if so, ours must too.
func agreeThatItIsWrong(t *testing.T, text string) bool {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "site.conf")
	writeFile(t, path, []byte(strings.NewReplacer("@addr@", freeAddr(t), "@dir@", dir, "@temp@", tempPaths(dir)).Replace(text)))
	out, err := exec.Command("nginx", "-t", "-q", "-p", dir, "-c", path, "-e", "stderr").CombinedOutput()
	_, ours := Load(Options{Source: path})
	if (err != nil) != (ours != nil) {
		t.Errorf("nginx: %v %s\nours: %v", err, out, ours)
	}
	return err != nil
}

// pair is our edge and Debian's nginx on one configuration, in the clear.
type pair struct {
	addrs [2]string
	dirs  [2]string
}

func startPair(t *testing.T, text string) *pair {
	t.Helper()
	p := &pair{dirs: [2]string{t.TempDir(), t.TempDir()}}
	for i := range 2 {
		p.addrs[i] = freeAddr(t)
		conf := strings.NewReplacer("@addr@", p.addrs[i], "@dir@", p.dirs[i], "@temp@", tempPaths(p.dirs[i])).Replace(text)
		if i == 1 {
			realNginx(t, p.dirs[i], conf, p.addrs[i])
			continue
		}
		path := filepath.Join(p.dirs[i], "site.conf")
		writeFile(t, path, []byte(conf))
		cfg, err := Load(Options{Source: path, Name: "edge-1"})
		if err != nil {
			t.Fatalf("%v\n%s", err, conf)
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
	}
	return p
}

// ask sends raw and gives what came, and the log line, in a form that can be compared.
func (p *pair) ask(t *testing.T, i int, raw string) string {
	t.Helper()
	c, err := net.Dial("tcp", p.addrs[i])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(c, raw)
	method, _, _ := strings.Cut(raw, " ")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		c.Close()
		return fmt.Sprintf("no answer: %v\n%s", err, p.line(t, i, 0))
	}
	continued := ""
	if resp.StatusCode == http.StatusContinue {
		continued = "100 first\n"
		if resp, err = http.ReadResponse(br, &http.Request{Method: method}); err != nil {
			return fmt.Sprintf("100 and no answer: %v\n%s", err, p.line(t, i, 0))
		}
	}
	body, err := io.ReadAll(resp.Body)
	c.Close() // nginx lingers, and has no line before
	extra := 0
	token := []string{"<center>tlsurge</center>", "<center>nginx</center>"}[i]
	if resp.Header.Get("Content-Encoding") == "gzip" && len(body) > 0 {
		if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, _ = io.ReadAll(z)
			body = bytes.ReplaceAll(body, []byte(token), []byte("<center>TOKEN</center>"))
			extra = -1
		}
	}
	if bytes.Contains(body, []byte(token)) {
		extra = len(token) - len("<center></center>")
		body = bytes.ReplaceAll(body, []byte(token), []byte("<center>TOKEN</center>"))
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s%s %v close=%v %v\n", continued, resp.Proto, resp.Status, resp.Close, err)
	for _, k := range slices.Sorted(mapsKeys(resp.Header)) {
		for _, v := range resp.Header[k] {
			switch {
			case k == "Date" || k == "Server":
				continue
			case k == "Content-Length" && (extra > 0 || method == "HEAD" && resp.StatusCode >= 300):
				v = "N"
			case strings.HasPrefix(v, "multipart/byteranges"):
				boundary := v[strings.Index(v, "=")+1:]
				body = bytes.ReplaceAll(body, []byte(boundary), []byte("BOUNDARY"))
				v = "multipart"
			}
			fmt.Fprintf(&out, "%s: %s\n", k, p.neutral(i, v))
		}
	}
	fmt.Fprintf(&out, "\n%s\n%s", p.neutral(i, string(body)), p.line(t, i, extra))
	return out.String()
}

func mapsKeys(h http.Header) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range h {
			if !yield(k) {
				return
			}
		}
	}
}

func (p *pair) neutral(i int, s string) string {
	_, port, _ := net.SplitHostPort(p.addrs[i])
	return strings.NewReplacer(p.addrs[i], "ADDR", port, "PORT", p.dirs[i], "DIR").Replace(s)
}

// line waits for the one line that the exchange left in the access log. Its last word is the body's length, of which
// extra are the server's name; -1: a compressed body, whose length is the compressor's.
func (p *pair) line(t *testing.T, i, extra int) string {
	t.Helper()
	path := filepath.Join(p.dirs[i], "access.log")
	var text []byte
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && !bytes.HasSuffix(text, []byte("\n")); time.Sleep(time.Millisecond) {
		text, _ = os.ReadFile(path)
	}
	os.Truncate(path, 0)
	line := p.neutral(i, strings.TrimSpace(string(text)))
	at := strings.LastIndexByte(line, ' ')
	var n int
	if _, err := fmt.Sscan(line[at+1:], &n); err == nil && n > 0 {
		if extra >= 0 {
			line = fmt.Sprintf("%s %d", line[:at], n-extra)
		} else {
			line = line[:at] + " N"
		}
	}
	return "log: " + line
}

// echo is what stands behind: it answers with what it got.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h := w.Header()
	switch {
	case strings.Contains(r.URL.Path, "moved"):
		h.Set("Location", "http://"+r.Host+"/back/elsewhere?x=1")
		h.Add("Set-Cookie", "a=b; Domain=back.test; Path=/back/x; HttpOnly")
		w.WriteHeader(302)
	case strings.Contains(r.URL.Path, "gone"):
		h.Set("Content-Type", "text/html; charset=koi8-r")
		w.WriteHeader(404)
	case strings.Contains(r.URL.Path, "fail"):
		w.WriteHeader(503)
	case strings.Contains(r.URL.Path, "none"):
		w.WriteHeader(204)
		return
	case strings.Contains(r.URL.Path, "cached"):
		h.Set("Expires", "Thu, 01 Jan 2015 00:00:00 GMT")
		h.Set("Cache-Control", "private")
		h.Set("Last-Modified", "Tue, 13 Jan 2015 12:22:59 GMT")
		h.Set("Etag", `"abc"`)
		h.Set("X-Accel-Odd", "1")
		h.Set("X-Powered-By", "echo")
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "text/plain")
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s %s host=%s\n", r.Method, r.RequestURI, r.Proto, r.Host)
	for _, k := range slices.Sorted(mapsKeys(r.Header)) {
		fmt.Fprintf(&out, "%s: %q\n", k, r.Header[k])
	}
	fmt.Fprintf(&out, "te=%v %d %q\n", r.TransferEncoding, r.ContentLength, body)
	io.WriteString(w, out.String())
}

// diffRoot is the folder of files that generated sites serve.
func diffRoot(t *testing.T) string {
	root := t.TempDir()
	for name, text := range map[string]string{
		"index.html": "<p>root</p>\n", "plain.txt": strings.Repeat("0123456789", 30), "a/index.html": "<p>a</p>\n", "a/b/file.css": "b {}\n",
		"a/b/pic.PNG": "picture", "x.html": "<p>x</p>\n", "sp ace.txt": "spaced", "404.html": "<p>not here</p>\n", "50x.html": "<p>broken</p>\n",
		"empty/.keep": "", "list/one.txt": "1", "list/two & three.txt": "23", "list/sub/x": "x", "noext": "noext", "q?m.txt": "question",
		"plain.js": strings.Repeat("var a = 1;\n", 40), "plain.js.gz": "not really compressed", "ü.txt": "umlaut",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, []byte(text))
		old := time.Date(2015, 1, 13, 12, 22, 59, 0, time.UTC)
		os.Chtimes(path, old, old)
		os.Chmod(path, 0o644)
	}
	writeFile(t, filepath.Join(root, "users"), []byte("ann:{PLAIN}secret\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\ncid:$apr1$saltsalt$bcPfFRJ9ZG.AfTNsUUM8b/\n"))
	os.Chmod(filepath.Join(root, "users"), 0o644)
	for _, dir := range []string{"list/sub", "list", "a/b", "a", "empty"} {
		old := time.Date(2015, 1, 13, 12, 22, 59, 0, time.UTC)
		os.Chtimes(filepath.Join(root, dir), old, old)
	}
	return root
}
