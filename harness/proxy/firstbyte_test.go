package proxy

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What comes to a port of TLS and begins with no record of a handshake is HTTP in the clear for nginx, whatever its first
// byte: a request that is well-formed is told which port this is, all else is a bad request. The same from our edge.
func TestFirstByteAsNginx(t *testing.T) {
	w := startTwins(t, false)
	texts := []string{"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n", "get / HTTP/1.1\r\n\r\n", "PURGE /x HTTP/1.0\r\n\r\n", "GET /plain.txt HTTP/1.1\r\nHost: a b\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "SSH-2.0-x\r\n\r\n", "\r\n\r\nGET / HTTP/1.0\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"}
	for b := 0; b < 0x80; b += 5 {
		texts = append(texts, string(rune(b))+"\x03\x01\x00\x05hello\r\n\r\n")
	}
	for _, text := range texts {
		if text[0] == 0x16 {
			continue
		}
		t.Run(fmt.Sprintf("%.12q", text), func(t *testing.T) {
			t.Parallel()
			var got [2]string
			for i, addr := range []string{w.ours, w.theirs} {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(2 * time.Second))
				io.WriteString(c, text)
				answer, _ := io.ReadAll(c)
				var kept []string
				for _, line := range strings.Split(neutralBody(string(answer), addr), "\n") {
					if !strings.HasPrefix(line, "Server:") && !strings.HasPrefix(line, "Date:") && !strings.HasPrefix(line, "Content-Length:") {
						kept = append(kept, line)
					}
				}
				got[i] = strings.Join(kept, "\n")
			}
			if got[0] != got[1] {
				t.Errorf("ours\n%s\nnginx\n%s", got[0], got[1])
			}
		})
	}
}

// http2 of nginx 1.25 and later speaks it on every listener of its server.
func TestHTTP2AsADirective(t *testing.T) {
	p := newPKI(t, "rsa")
	conf := filepath.Join(t.TempDir(), "h2.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "events {} http { server { listen 127.0.0.1:0 ssl; http2 on; ssl_certificate %s; ssl_certificate_key %s; } }", p.cert, p.key), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(Options{Source: conf})
	if err != nil {
		t.Fatal(err)
	}
	if !cfg.Listeners[0].HTTP2 {
		t.Error("http2 on; and the listener does not speak it")
	}
}
