package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"

	"tlsurge/harness/proxy/proxyproto"
)

// prefixedConn gives back bytes that were read ahead.
type prefixedConn struct {
	net.Conn
	ahead []byte
}

func (p *prefixedConn) Read(b []byte) (int, error) {
	if len(p.ahead) > 0 {
		n := copy(b, p.ahead)
		if p.ahead = p.ahead[n:]; len(p.ahead) == 0 {
			p.ahead = nil
		}
		return n, nil
	}
	return p.Conn.Read(b)
}

// readProxyHeader reads the PROXY header that must come first on such a listener, and takes the client's
// address from it. Bytes behind it stay in the stream.
func (c *conn) readProxyHeader() bool {
	buf := make([]byte, 0, proxyproto.MaxLen)
	for {
		h, n, err := proxyproto.Parse(buf)
		if err == nil {
			if !h.Unknown {
				c.client = h.Source
			}
			if len(buf) > n {
				c.stream = &prefixedConn{Conn: c.raw, ahead: append([]byte(nil), buf[n:]...)}
			}
			return true
		}
		if !errors.Is(err, proxyproto.ErrMore) {
			c.log("error", "", "broken header", fmt.Sprintf("broken header: %q%s", clip(buf[:min(len(buf), 64)]), c.while("reading PROXY protocol")))
			return false
		}
		m, err := c.raw.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+m]
		if m == 0 && err != nil {
			if err == io.EOF {
				c.log("info", "", "client closed connection", "client closed connection"+c.while("reading PROXY protocol"))
			} else if isTimeout(err) {
				c.log("info", "", "client timed out", "client timed out (110: Connection timed out)"+c.while("reading PROXY protocol"))
			}
			return false
		}
	}
}
