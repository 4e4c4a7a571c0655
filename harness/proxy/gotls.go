package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles/wire"
)

// goHandshake is the handshake of the stack "go": the real crypto/tls. Its refusals have no code of OpenSSL's;
// the log has its own words.
func (c *conn) goHandshake() step {
	conf, set := c.ln.conf.Load(), c.ln.tlsNow.Load()
	cfg := set.std[conf.Servers[0]].Clone()
	cfg.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		c.info.ServerName = h.ServerName
		vs, _ := findServer(conf.Servers, h.ServerName)
		if h.ServerName == "" || vs == nil || set.std[vs] == nil {
			vs = conf.Servers[0]
		}
		c.vs = vs
		return set.std[vs], nil
	}
	first := make([]byte, 1)
	_, err := io.ReadFull(c.stream, first)
	if err == nil {
		c.stream = &prefixedConn{Conn: c.stream, ahead: first}
		if !beginsTLS(first[0]) {
			return stepPlain
		}
	}
	t := tls.Server(c.stream, cfg)
	if err == nil {
		err = t.Handshake()
	}
	if err == nil {
		c.goTLS, c.stream = t, t
		st := t.ConnectionState()
		c.s.count.handshakes.Add(1)
		if st.DidResume {
			c.s.count.resumed.Add(1)
		}
		c.planted()
		c.info.Protocol, c.info.Cipher = stack.ProtocolName(wire.Version(st.Version)), stack.Name(wire.CipherSuite(st.CipherSuite))
		c.info.Resumed, c.info.ALPN = st.DidResume, st.NegotiatedProtocol
		return stepDone
	}
	const doing = "SSL handshaking"
	switch {
	case errors.Is(err, io.EOF):
		c.handshakeFailed(&handshakeIO{err: io.EOF, eof: true})
	case isTimeout(err) || isReset(err):
		c.handshakeFailed(&handshakeIO{err: err})
	default:
		c.log("info", "", err.Error(), fmt.Sprintf("TLS handshake failed (%v)%s", err, c.while(doing)))
	}
	return stepFailed
}
