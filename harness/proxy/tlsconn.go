package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/engine"
)

// recordBuffers are the buffers that records are read into and sealed into: held during one call only, so
// that an idle connection has none.
var recordBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 17<<10); return &b }}

// tlsConn is a net.Conn over a sans-IO engine.Conn. One reader and one writer may work at once.
type tlsConn struct {
	net.Conn // the socket: addresses and deadlines

	out sync.Mutex // orders what is written to the socket; taken before mu
	mu  sync.Mutex // guards eng and what follows
	eng *engine.Conn

	plain []byte        // decrypted and not yet read; nil when drained
	ended error         // what Read gives once plain is drained
	skew  time.Duration // how wrong the clock is (clock_wrong)

	heard bool              // a byte has come: nginx looks for the first one before its library does
	gate  *faults.HelloGate // a rule at client_hello that has not judged this connection's yet; nil: none
}

func newTLSConn(raw net.Conn, cfg *engine.ServerConfig) *tlsConn {
	return &tlsConn{Conn: raw, eng: engine.NewServer(cfg)}
}

func (t *tlsConn) now() time.Time { return time.Now().Add(t.skew) }

// handshakeIO is an error of the socket during the handshake, where the engine found nothing wrong.
type handshakeIO struct {
	err error
	eof bool
}

func (e *handshakeIO) Error() string { return e.err.Error() }
func (e *handshakeIO) Unwrap() error { return e.err }

// handshakeStep reads once, which does not wait where bytes are known to be here, and goes on with the
// handshake. An error of the engine's is returned after the alert was written; an error of the socket's is a
// *handshakeIO.
func (t *tlsConn) handshakeStep() (done bool, err error) {
	buf := recordBuffers.Get().(*[]byte)
	defer recordBuffers.Put(buf)
	p := (*buf)[:cap(*buf)]
	n, err := t.Conn.Read(p)
	var fatal error
	if n > 0 {
		if !t.heard && !beginsTLS(p[0]) {
			return false, &clearText{append([]byte(nil), p[:n]...)}
		}
		t.heard = true
		var mute bool
		if p, mute, fatal = t.judge(p[:n]); mute {
			return false, fatal
		}
		fatal = t.receive(p)
	}
	if werr := t.flush(); werr != nil && fatal == nil && err == nil {
		err = werr
	}
	switch {
	case fatal != nil:
		return false, fatal
	case t.eng.HandshakeDone():
		return true, nil // an error of the socket's the reader will see
	case errors.Is(err, io.EOF):
		t.eng.ReceiveEOF(t.now())
		return false, &handshakeIO{err: err, eof: true}
	case err != nil:
		return false, &handshakeIO{err: err}
	}
	return false, nil
}

// beginsTLS judges a connection by its first byte, as nginx does before its library sees it: a record of TLS's
// handshake, or SSLv2's length with its high bit. All else is HTTP.
func beginsTLS(first byte) bool { return first == 0x16 || first&0x80 != 0 }

// clearText is what came in the place of a handshake.
type clearText struct{ bytes []byte }

func (*clearText) Error() string { return "no TLS" }

// errHelloHit: the ClientHello is one that the connection's rule strikes at.
var errHelloHit = errors.New("proxy: the ClientHello is hit by a rule")

// judge has the gate look at the client's first bytes. mute: the engine gets nothing yet, or (errHelloHit) never.
func (t *tlsConn) judge(p []byte) (pass []byte, mute bool, err error) {
	if t.gate == nil {
		return p, false, nil
	}
	pass, struck, judged := t.gate.Feed(p)
	switch {
	case !judged:
		return nil, true, nil
	case struck:
		return nil, true, errHelloHit
	}
	t.gate = nil
	return pass, false, nil
}

// receive gives bytes to the engine and keeps the application data that come out.
func (t *tlsConn) receive(p []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.eng.Receive(t.now(), p)
	t.drain(nil)
	return err
}

// drain takes the engine's events; application data go into dst as far as they fit, the rest into plain.
// It returns how much of dst is filled.
func (t *tlsConn) drain(dst []byte) (n int) {
	for {
		switch e := t.eng.Next(); e.Kind {
		case engine.EventNone:
			return n
		case engine.EventData:
			m := 0
			if len(t.plain) == 0 {
				m = copy(dst[n:], e.Data)
				n += m
			}
			t.plain = append(t.plain, e.Data[m:]...)
		case engine.EventCloseNotify:
			t.ended = io.EOF
		}
	}
}

// Read gives decrypted bytes; io.EOF only after close_notify, io.ErrUnexpectedEOF on truncation.
func (t *tlsConn) Read(p []byte) (int, error) {
	for {
		t.mu.Lock()
		if len(t.plain) > 0 {
			n := copy(p, t.plain)
			if t.plain = t.plain[n:]; len(t.plain) == 0 {
				t.plain = nil
			}
			t.mu.Unlock()
			return n, nil
		}
		ended := t.ended
		t.mu.Unlock()
		if ended != nil || len(p) == 0 {
			return 0, ended
		}
		if n, err := t.fill(p); n > 0 || err != nil {
			return n, err
		}
	}
}

// fill reads once from the socket and decrypts into p.
func (t *tlsConn) fill(p []byte) (n int, err error) {
	buf := recordBuffers.Get().(*[]byte)
	defer recordBuffers.Put(buf)
	m, rerr := t.Conn.Read((*buf)[:cap(*buf)])
	t.mu.Lock()
	if m > 0 {
		err = t.eng.Receive(t.now(), (*buf)[:m])
		n = t.drain(p)
	}
	if rerr == io.EOF && err == nil && t.ended == nil {
		if t.ended = t.eng.ReceiveEOF(t.now()); t.ended == nil {
			t.ended = io.EOF
		}
	} else if rerr != nil && rerr != io.EOF && err == nil {
		err = rerr // a deadline may pass and the connection live on: not kept
	}
	if err != nil && m > 0 {
		t.ended = err
	}
	reply := t.eng.HasOutput()
	t.mu.Unlock()
	if reply {
		t.flush()
	}
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// maxPlain is how much goes into one record (RFC 5246 §6.2.1, Fragmentation).
const maxPlain = 16 << 10

// Write seals p in records of 16 KiB at most and writes them.
func (t *tlsConn) Write(p []byte) (n int, err error) {
	t.out.Lock()
	defer t.out.Unlock()
	for len(p) > 0 {
		chunk := p[:min(len(p), maxPlain)]
		t.mu.Lock()
		err = t.eng.Send(chunk)
		t.mu.Unlock()
		if err == nil {
			err = t.flushLocked()
		}
		if err != nil {
			return n, err
		}
		n += len(chunk)
		p = p[len(chunk):]
	}
	return n, nil
}

// flush writes what the engine has for the peer.
func (t *tlsConn) flush() error {
	t.out.Lock()
	defer t.out.Unlock()
	return t.flushLocked()
}

func (t *tlsConn) flushLocked() error {
	t.mu.Lock()
	if !t.eng.HasOutput() {
		t.mu.Unlock()
		return nil
	}
	buf := recordBuffers.Get().(*[]byte)
	*buf = t.eng.AppendOutput((*buf)[:0])
	t.mu.Unlock()
	_, err := t.Conn.Write(*buf)
	recordBuffers.Put(buf)
	return err
}

// buffered says whether a Read would give something without the socket.
func (t *tlsConn) buffered() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.plain) > 0 || t.ended != nil
}

// closeNotify says goodbye without waiting for a slow peer.
func (t *tlsConn) closeNotify() {
	t.mu.Lock()
	done := t.eng.HandshakeDone()
	if done {
		t.eng.CloseNotify()
	}
	t.mu.Unlock()
	if done {
		t.Conn.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
		t.flush()
	}
}
