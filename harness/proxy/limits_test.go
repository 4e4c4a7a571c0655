package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Rates and numbers at a time are limited as Debian's nginx limits them: the same requests pass, wait, are refused, and
// the logs say so in the same words.
func TestLimitsAsNginx(t *testing.T) {
	need(t, "nginx")
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond)
	}))
	t.Cleanup(slow.Close)
	p := startPair(t, fmt.Sprintf(`error_log @dir@/error.log info; pid @dir@/pid; events { worker_connections 64; }
http { @temp@
 server_tokens off; root @dir@; log_format l '$uri $status $limit_req_status/$limit_conn_status $body_bytes_sent'; access_log @dir@/access.log l;
 limit_req_zone $arg_k zone=slow:1m rate=6r/m; limit_req_zone $arg_k zone=other:1m rate=10r/m; limit_req_zone $server_name zone=all:1m rate=1000r/s; limit_req_zone $server_name zone=gone:1m rate=2r/s;
 limit_conn_zone $arg_k zone=few:1m; limit_req_log_level warn;
 server { listen @addr@; server_name s;
  location /plain { limit_req zone=slow; try_files /none =404; }
  location /burst { limit_req zone=slow burst=3 nodelay; limit_req_status 429; try_files /none =404; }
  location /delay { limit_req zone=other burst=3 delay=2; limit_req_dry_run on; try_files /none =404; }
  location /both { limit_req zone=slow burst=2 nodelay; limit_req zone=other burst=1 nodelay; limit_req_log_level info; error_page 503 /busy; try_files /none =404; }
  location /wait { limit_req zone=all burst=5; try_files /none =404; }
  location /gone { limit_req zone=gone burst=5; try_files /none =404; }
  location /busy { limit_req zone=slow; try_files /none =418; }
  location /return { limit_req zone=slow; return 200 ok; }
  location /few { limit_conn few 2; limit_conn_status 509; proxy_pass http://%s; }
 } }`, slow.Listener.Addr()))
	get := func(i int, uri string) string {
		return p.ask(t, i, "GET "+uri+" HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n")
	}
	for _, uri := range []string{"/plain", "/plain?k=a", "/plain?k=a", "/plain?k=b", "/burst?k=c", "/burst?k=c", "/burst?k=c", "/burst?k=c", "/burst?k=c", "/plain?k=c",
		"/delay?k=d", "/delay?k=d", "/delay?k=d", "/delay?k=d", "/delay?k=d", "/both?k=e", "/both?k=e", "/both?k=e", "/burst?k=e", "/return?k=a", "/wait?k=f", "/busy?k=a"} {
		if ours, theirs := get(0, uri), get(1, uri); ours != theirs {
			t.Errorf("%s:\nours:\n%s\nnginx:\n%s", uri, ours, theirs)
		}
	}
	for i := range 2 { // one that is held back, and leaves
		get(i, "/gone")
		c, err := net.Dial("tcp", p.addrs[i])
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "GET /gone HTTP/1.1\r\nHost: s\r\n\r\n")
		c.(*net.TCPConn).CloseWrite()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("server %d: %v to one who has left, want no answer", i, err)
		}
		c.Close()
		if got := p.line(t, i, 0); got != "log: /gone 499 DELAYED/- 0" {
			t.Errorf("server %d: %s", i, got)
		}
	}
	for i := range 2 { // four at a time where two may be
		var codes [4]int
		var all sync.WaitGroup
		for n := range codes {
			all.Add(1)
			go func() {
				defer all.Done()
				if resp, err := http.Get("http://" + p.addrs[i] + "/few?k=x"); err == nil {
					resp.Body.Close()
					codes[n] = resp.StatusCode
				}
			}()
		}
		all.Wait()
		slices.Sort(codes[:])
		if codes != [4]int{200, 200, 509, 509} {
			t.Errorf("server %d answered four at a time with %v, want two served", i, codes)
		}
		resp, err := http.Get("http://" + p.addrs[i] + "/few?k=x")
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("server %d: those who have gone still count: %v %v", i, resp, err)
		} else {
			resp.Body.Close()
		}
	}
	http.DefaultClient.CloseIdleConnections()
	var said [2][]string
	for i := range 2 {
		said[i] = limitLines(t, filepath.Join(p.dirs[i], "error.log"))
	}
	if ours, theirs := strings.Join(said[0], "\n"), strings.Join(said[1], "\n"); ours != theirs || len(said[0]) != 10 {
		t.Errorf("error log, ours:\n%s\nnginx:\n%s", ours, theirs)
	}
}

// limitLines are the error log's lines about limits, without what differs from run to run: time, number, port, and the
// thousandths that a few milliseconds take off an excess.
func limitLines(t *testing.T, path string) (out []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if m := limitLine.FindStringSubmatch(line); m != nil {
			out = append(out, m[1]+" "+thousandths.ReplaceAllString(m[2], "excess: N")+m[3])
		}
	}
	return out
}

var (
	limitLine   = regexp.MustCompile(`\[(\w+)\] .*?((?:limiting|delaying) .*?, client: 127.0.0.1, server: s, request: "[^"]*")(.*)host: `)
	thousandths = regexp.MustCompile(`excess: \d\.\d{3}`)
)
