package proxy

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Who sends on after a request that is refused still gets the answer: the close does not become a reset that overtakes it.
func TestAnswerReachesOneWhoSendsOn(t *testing.T) {
	p := newPKI(t, "ecdsa")
	e := startEdge(t, Options{Stack: "openssl-3.0", Protocols: []string{"TLSv1.2"}, Certificate: p.cert, Key: p.key})
	more := bytes.Repeat([]byte("more "), 400<<10)
	for i := range 20 {
		c, err := tls.Dial("tcp", e.addr, p.client())
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			io.WriteString(c, "GET / HTTP/1.1\r\n: nothing\r\n")
			for rest := more; len(rest) > 0; rest = rest[len(rest)/(i+2)+1:] {
				if _, err := c.Write(rest[:len(rest)/(i+2)+1]); err != nil {
					return
				}
			}
		}()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		answer, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") || !strings.HasSuffix(string(answer), "</html>\r\n") {
			t.Errorf("visit %d: %v and %q, want a whole 400 and the end", i, err, answer)
		}
		c.Close()
		<-sent
	}
	waitFor(t, "every connection ended", func() bool { return e.count.established.Load() == 0 })
}

// zeros is a body of n bytes that takes no memory.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.n)
	clear(p[:n])
	z.n -= n
	return int(n), nil
}

// 400 MiB go up through an edge of its own process, in less memory than a tenth of them; one byte more is refused before
// it is sent, and in chunks as soon as it is announced.
func TestUploadOf400MB(t *testing.T) {
	p := newPKI(t, "ecdsa")
	size := int64(400 << 20)
	if testing.Short() {
		size = 20 << 20
	}
	conf := filepath.Join(t.TempDir(), "edge.conf")
	writeFile(t, conf, fmt.Appendf(nil, "events {}\nhttp { access_log off; server { listen 127.0.0.1:0 ssl; ssl_certificate %s; ssl_certificate_key %s; ssl_protocols TLSv1.2; client_max_body_size %d; location / { proxy_pass http://%s; } } }",
		p.cert, p.key, size, httpApp(t)))
	child := startChild(t, Options{Source: conf, Stack: "openssl-3.0", Listen: []string{"127.0.0.1:0"}, ErrorLog: filepath.Join(t.TempDir(), "error.log")})
	before := child.rss(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: p.client()}, Timeout: 2 * time.Minute}
	defer client.CloseIdleConnections()
	upload := func(n int64) (int, string) {
		req, err := http.NewRequest("POST", "https://"+child.addr+"/upload", io.NopCloser(&zeros{n}))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = n
		req.Header.Set("Expect", "100-continue")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	if code, body := upload(size); code != 200 || body != fmt.Sprintf("{\"bytes\":%d}\n", size) {
		t.Errorf("%d %q, want %d bytes taken", code, body, size)
	}
	if grown := child.rss(t) - before; grown > 40<<20 {
		t.Errorf("the edge has grown by %d bytes", grown)
	}
	if code, _ := upload(size + 1); code != 413 {
		t.Errorf("a byte too many: %d, want 413", code)
	}
	c, err := tls.Dial("tcp", child.addr, p.client())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n%x\r\n", size-1)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if resp, err := http.ReadResponse(newReader(c), nil); err != nil || resp.StatusCode != 413 {
		t.Errorf("a chunk that is announced beyond the limit: %v %v, want 413", resp, err)
	}
}

// A long poll is held as long as the application holds it, and others are served meanwhile.
func TestLongPoll(t *testing.T) {
	p := newPKI(t, "ecdsa")
	app := NewApplication(ApplicationConfig{Poll: 700 * time.Millisecond})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: app}
	go srv.Serve(l)
	defer srv.Close()
	e := startEdge(t, Options{Source: "builtin:fl-ssl.conf", Stack: "openssl-1.0.1j", Certificate: p.cert, Key: p.key, Ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256", Upstream: l.Addr().String()})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: p.client(), DisableKeepAlives: true}, Timeout: 10 * time.Second}
	start := time.Now()
	polled := make(chan time.Duration, 5)
	for range cap(polled) {
		go func() {
			resp, err := client.Get("https://" + e.addr + "/polling/room")
			if err != nil || resp.StatusCode >= 400 {
				t.Errorf("%v %v", resp, err)
			} else {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			polled <- time.Since(start)
		}()
	}
	waitFor(t, "the polls to be held", func() bool { return app.polls.Load() == int64(cap(polled)) })
	if resp, err := client.Get("https://" + e.addr + "/health"); err != nil || resp.StatusCode != 200 {
		t.Errorf("beside the polls: %v %v", resp, err)
	} else {
		resp.Body.Close()
	}
	for range cap(polled) {
		if took := <-polled; took < 700*time.Millisecond {
			t.Errorf("a poll came back after %v, want what the application holds it for", took)
		}
	}
}
