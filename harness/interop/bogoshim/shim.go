package main

import (
	"bytes"
	"crypto"
	crand "crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/profiles/wire"
)

// shim is what outlives a connection: the client's session, the server's cache and ticket key.
type shim struct {
	now     time.Time
	session *engine.Session
	store   store
	tickets engine.FixedTicketKeys
}

type store map[string]*engine.Session

func (m store) Get(_ time.Time, id []byte) *engine.Session    { return m[string(id)] }
func (m store) Put(_ time.Time, id []byte, s *engine.Session) { m[string(id)] = s }
func (m store) Delete(id []byte)                              { delete(m, string(id)) }

func newShim(*options) *shim {
	var k engine.TicketKey
	crand.Read(k.Name[:])
	crand.Read(k.AES[:])
	crand.Read(k.HMAC[:])
	return &shim{now: time.Now(), store: store{}, tickets: engine.FixedTicketKeys{k}}
}

// play is one connection.
type play struct {
	*options
	shim                        *shim
	nc                          net.Conn
	c                           *engine.Conn
	buf                         []byte
	data                        []byte // application data not yet answered
	closed                      bool   // close_notify or FIN
	sessions                    int
	offered                     string // server: the hello's ALPN list
	greeting                    []byte // what -shim-writes-first still has to say
	offeredEarly, rejectedEarly bool
	retried                     bool // a HelloRetryRequest was seen or sent
}

const patience = 20 * time.Second

// connect opens one connection, says who we are, and plays it.
func (s *shim) connect(o *options, resume bool) error {
	host := "127.0.0.1"
	if o.ipv6 {
		host = "::1"
	}
	nc, err := net.DialTimeout("tcp", net.JoinHostPort(host, o.port), patience)
	if err != nil {
		return err
	}
	defer drain(nc)
	nc.SetDeadline(time.Now().Add(patience))
	if _, err := nc.Write(binary.LittleEndian.AppendUint64(nil, o.shimID)); err != nil {
		return err
	}
	p := &play{options: o, shim: s, nc: nc, buf: make([]byte, 1<<15), greeting: []byte("hello")}
	if o.async {
		p.buf = p.buf[:1] // every byte alone: the engine must not care
	}
	if o.server {
		err = p.serve(resume)
	} else {
		err = p.dial(resume)
	}
	if err != nil {
		return err
	}
	err = p.run(resume)
	if e := p.flush(); err == nil {
		err = e
	}
	return err
}

// drain closes our half and reads the rest, so that the peer sees a FIN and no RST.
func drain(nc net.Conn) {
	nc.(*net.TCPConn).CloseWrite()
	nc.SetReadDeadline(time.Now().Add(2 * time.Second))
	io.Copy(io.Discard, nc)
	nc.Close()
}

func (p *play) flush() error {
	out := p.c.AppendOutput(nil)
	if len(out) == 0 {
		return nil
	}
	_, err := p.nc.Write(out)
	return err
}

// step writes what is due, then reads once.
func (p *play) step() error {
	if err := p.flush(); err != nil {
		return err
	}
	n, err := p.nc.Read(p.buf)
	if n > 0 {
		err = p.c.Receive(p.shim.now, p.buf[:n])
		p.retried = p.retried || p.c.State() == "WAIT_CH2"
		p.events()
		if err != nil {
			return err
		}
		return p.flush()
	}
	p.closed = true
	if errors.Is(err, io.EOF) {
		return p.c.ReceiveEOF(p.shim.now)
	}
	return err
}

func (p *play) events() {
	for e := p.c.Next(); e.Kind != engine.EventNone; e = p.c.Next() {
		switch e.Kind {
		case engine.EventData:
			p.data = append(p.data, e.Data...)
		case engine.EventSession:
			p.shim.session = e.Session
			p.sessions++
		case engine.EventEarlyRejected:
			p.rejectedEarly, p.greeting = true, []byte("hello")
		case engine.EventCloseNotify:
			p.closed = true
		}
	}
}

// run shakes hands, checks, and echoes every byte inverted until the peer closes.
func (p *play) run(resume bool) error {
	for !p.c.HandshakeDone() && !(p.falseStart && p.c.Established()) {
		if p.closed {
			return errors.New("closed in the handshake")
		}
		if err := p.step(); err != nil {
			return err
		}
		if p.server && p.c.Established() && !p.shutsDown {
			if err := p.invert(); err != nil { // 0-RTT data is answered at once
				return err
			}
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	if err := p.checkEarly(resume); err != nil {
		return err
	}
	if p.rejectedEarly {
		p.options = p.retry
	}
	if err := p.check(resume); err != nil {
		return err
	}
	if err := p.begin(); err != nil {
		return err
	}
	if !p.shutsDown {
		if err := p.echo(); err != nil {
			return err
		}
	}
	if err := p.checkAfter(); err != nil {
		return err
	}
	if p.shutsDown || p.checkClose {
		p.c.CloseNotify()
		if err := p.flush(); err != nil {
			return err
		}
	}
	if p.checkClose {
		for !p.closed {
			if err := p.step(); err != nil {
				return err
			}
		}
		if p.shutsDown && len(p.data) > 0 {
			return errors.New("application data after our close_notify")
		}
	}
	return nil
}

// begin says what comes before anything is read.
func (p *play) begin() error {
	if p.exportLen > 0 {
		var context []byte
		if p.useContext {
			context = append([]byte{}, p.exportContext...)
		}
		secret := p.c.Export(p.exportLabel, context, p.exportLen)
		if err := p.c.Send(secret); err != nil {
			return err
		}
	}
	if p.keyUpdate {
		if err := p.c.UpdateKeys(false); err != nil {
			return err
		}
	}
	if p.writesFirst && len(p.greeting) > 0 {
		return p.c.Send(p.greeting)
	}
	return nil
}

// invert answers what was read with the same, every bit turned.
func (p *play) invert() error {
	if len(p.data) == 0 {
		return nil
	}
	for i := range p.data {
		p.data[i] ^= 0xff
	}
	err := p.c.Send(p.data)
	p.data = p.data[:0]
	return err
}

// checkEarly holds what became of 0-RTT data against the flags.
func (p *play) checkEarly(resume bool) error {
	if !resume {
		return nil
	}
	if want := p.expectEarly; want != nil && p.c.Facts().EarlyOK != *want {
		return fmt.Errorf("0-RTT data accepted %v, expected %v", p.c.Facts().EarlyOK, *want)
	}
	// The reason is BoringSSL's own word for it; what can be checked is whether it is "accept".
	if why := p.earlyReason; why != "" && p.c.Facts().EarlyOK != (why == "accept") {
		return fmt.Errorf("0-RTT data accepted %v, expected %q", p.c.Facts().EarlyOK, why)
	}
	if p.expectNoOffer && p.offeredEarly {
		return errors.New("0-RTT data was offered")
	}
	return nil
}

func (p *play) echo() error {
	for {
		if err := p.invert(); err != nil {
			return err
		}
		if p.closed {
			return p.flush()
		}
		err := p.step()
		if err != nil && errors.Is(err, engine.ErrTruncated) && !p.checkClose {
			return nil // the runner often just closes; only -check-close-notify makes it matter
		}
		if err != nil {
			return err
		}
	}
}

// check holds what was negotiated against the flags.
func (p *play) check(resume bool) error {
	f := p.c.Facts()
	resumed := f.Resumed != engine.NotResumed
	switch {
	case p.expectVersion != 0 && f.Version != p.expectVersion:
		return fmt.Errorf("version %v, expected %v", f.Version, p.expectVersion)
	case resume && resumed == p.expectMiss:
		return fmt.Errorf("resumed %v, expected %v", resumed, !p.expectMiss)
	case p.expectALPN != nil && f.ALPN != *p.expectALPN:
		return fmt.Errorf("ALPN %q, expected %q", f.ALPN, *p.expectALPN)
	case p.expectNPN != nil && f.NPN != *p.expectNPN:
		return fmt.Errorf("NPN %q, expected %q", f.NPN, *p.expectNPN)
	case p.expectNoNPN && f.NPN != "":
		return fmt.Errorf("NPN %q, expected none", f.NPN)
	case p.expectAdvertised != nil && p.offered != *p.expectAdvertised:
		return fmt.Errorf("hello offers ALPN %q, expected %q", p.offered, *p.expectAdvertised)
	case p.expectServerName != nil && f.ServerName != *p.expectServerName:
		return fmt.Errorf("server name %q, expected %q", f.ServerName, *p.expectServerName)
	case p.expectNoName && f.ServerName != "":
		return fmt.Errorf("server name %q, expected none", f.ServerName)
	case p.expectOCSP != nil && !resumed && !bytes.Equal(f.Stapled, p.expectOCSP):
		return fmt.Errorf("OCSP response %q, expected %q", f.Stapled, p.expectOCSP)
	case p.expectEMS && !f.EMS && f.Version < wire.TLS13:
		return errors.New("no extended_master_secret")
	case p.expectCurve != 0 && !resumed && f.Group != p.expectCurve:
		return fmt.Errorf("group %v, expected %v", f.Group, p.expectCurve)
	case p.expectScheme != 0 && !resumed && p.peerScheme() != p.expectScheme:
		return fmt.Errorf("signature scheme %v, expected %v", p.peerScheme(), p.expectScheme)
	case p.expectHRR != nil && p.retried != *p.expectHRR:
		return fmt.Errorf("HelloRetryRequest %v, expected %v", p.retried, *p.expectHRR)
	case p.expectCipher != 0 && f.Suite != p.expectCipher:
		return fmt.Errorf("suite %v, expected %v", f.Suite, p.expectCipher)
	case p.expectReneg != nil && f.Version < wire.TLS13 && f.RenegotiationInfo != *p.expectReneg:
		return fmt.Errorf("renegotiation_info %v, expected %v", f.RenegotiationInfo, *p.expectReneg)
	case p.expectNoPeerCert && f.ClientCert:
		return errors.New("a client certificate, expected none")
	}
	return nil
}

func (p *play) peerScheme() wire.SignatureScheme {
	if p.server {
		return p.c.Facts().ClientScheme
	}
	return p.c.Facts().Scheme
}

// checkAfter holds what came after the handshake, tickets, against the flags.
func (p *play) checkAfter() error {
	if p.server {
		return nil
	}
	s := p.shim.session
	switch {
	case p.expectTicketEarly && (s == nil || s.MaxEarly == 0):
		return errors.New("the ticket does not allow 0-RTT data")
	case p.expectRenewal && p.sessions == 0:
		return errors.New("no new ticket")
	case p.expectNoSession && p.sessions > 0:
		return errors.New("a session, expected none")
	case p.expectID && (s == nil || len(s.ID) == 0):
		return errors.New("no session ID")
	case p.expectNoID && s != nil && len(s.ID) > 0:
		return errors.New("a session ID, expected none")
	}
	return nil
}

// certificates loads the credentials, those added by -new-x509-credential before the default one.
func (o *options) certificates() (list []*engine.Certificate, err error) {
	for _, cr := range append(append([]credential(nil), o.credentials[1:]...), o.credentials[0]) {
		if cr.cert == "" {
			continue
		}
		pair, err := tls.LoadX509KeyPair(cr.cert, cr.key)
		if err != nil {
			return nil, unimplemented(err.Error())
		}
		key := pair.PrivateKey.(crypto.Signer)
		list = append(list, &engine.Certificate{Chain: pair.Certificate, Key: key, OCSP: o.ocsp, SCTs: o.timestamps(), Schemes: cr.schemes})
	}
	return list, nil
}

// timestamps splits a SignedCertificateTimestampList.
func (o *options) timestamps() (list [][]byte) {
	r := wire.NewReader(o.sctList)
	inner := wire.NewReader(r.Vec16())
	for inner.Len() > 0 {
		list = append(list, inner.Vec16())
	}
	return list
}
