package engine

import (
	"fmt"

	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// HelloRetry is what a HelloRetryRequest asks of the second ClientHello.
type HelloRetry struct {
	Group  wire.Group // 0: the key shares stay as they are
	Public []byte     // the key_exchange field for Group; its private half stays in the engine
	Cookie []byte     // nil: none
	// DropPSK: the server chose a suite whose hash is not the PSK's, so that pre_shared_key must go.
	DropPSK bool
}

// onHelloRetryRequest sends the second ClientHello (RFC 8446 §4.1.4, Hello Retry Request).
func (c *Conn) onHelloRetryRequest(m *wire.ServerHello) (state, error) {
	h := c.hs.h13
	if len(c.msgs) > 0 { // before the second hello goes out: behind it the alert could not be read
		return 0, fmt.Errorf("%w: %d bytes behind a HelloRetryRequest", ErrExcessMessage, len(c.msgs))
	}
	r, err := c.readRetry(m)
	if err != nil {
		return 0, err
	}
	h.retrySuite, h.suite = m.Suite, keys.Lookup13(m.Suite)
	// "the value of ClientHello1 is replaced with a special synthetic handshake message" (§4.4.1)
	raw := c.hs.transcript.raw
	first := keys.MessageHash(h.suite.Hash, raw[:len(raw)-len(c.msg)])
	c.hs.transcript.replace(append(first, c.msg...))

	if h.psk != nil && keys.Lookup13(h.psk.Suite).Hash != h.suite.Hash {
		r.DropPSK, h.psk = true, nil
	}
	if h.early == earlyOffered {
		h.early = earlyRejected
		c.setWrite(nil) // the second hello is in the clear
		c.emit(Event{Kind: EventEarlyRejected})
	}
	if h.retryGroup != 0 {
		if h.retryShare, err = keys.GenerateShare(h.retryGroup, c.rand()); err != nil {
			return 0, err
		}
		r.Public = h.retryShare.Public()
	}
	second, err := c.secondHello(r)
	if err != nil {
		return 0, err
	}
	c.hs.hello = second
	if h.psk != nil {
		if err := c.bindPSK(second); err != nil {
			return 0, err
		}
	}
	c.sendCCSOnce()
	c.hs.transcript.add(second.AppendMessage(nil))
	c.out = second.AppendRecords(c.out)
	c.hs.transcript.start(h.suite.Hash)
	return stateWaitSH2, nil
}

// readRetry checks the request: "if the cookie and selected_group ... would not result in any change in
// the ClientHello", or ask for what the client did not say it has, "MUST abort with illegal_parameter".
func (c *Conn) readRetry(m *wire.ServerHello) (*HelloRetry, error) {
	h, ch := c.hs.h13, c.hs.hello
	r := &HelloRetry{}
	if data, ok := findExt(m.Extensions, wire.ExtKeyShare); ok {
		g, ok := wire.RetryKeyShare(data)
		if !ok {
			return nil, &wire.DecodeError{What: "HelloRetryRequest", Reason: fmt.Sprintf("key_share of %d bytes, not 2", len(data))}
		}
		if !ch.OffersGroup(g) || ch.Shares(g) || !keys.Supported(g) {
			return nil, fmt.Errorf("%w: %v, listed %v, shares sent for %v", ErrRetryGroup, g, ch.Groups(), sharedGroups(ch))
		}
		r.Group, h.retryGroup = g, g
	}
	if data, ok := findExt(m.Extensions, wire.ExtCookie); ok {
		rd := wire.NewReader(data)
		cookie := rd.Vec16()
		if !rd.Done() || len(cookie) == 0 {
			return nil, &wire.DecodeError{What: "HelloRetryRequest", Reason: fmt.Sprintf("cookie of %d bytes", len(data))}
		}
		r.Cookie = append([]byte(nil), cookie...)
	}
	if r.Group == 0 && r.Cookie == nil {
		return nil, ErrRetryNothing
	}
	return r, nil
}

// secondHello asks the profile, or edits the first hello as RFC 8446 §4.1.2, Client Hello, allows.
func (c *Conn) secondHello(r *HelloRetry) (*hello.ClientHello, error) {
	if c.client.Retry != nil {
		return c.client.Retry(r)
	}
	return EditHello(c.hs.hello, r), nil
}

// EditHello is the second ClientHello of a client without habits of its own: the first with nothing
// changed but what r asks for. The key share is replaced in place, early_data goes, a cookie comes
// right before pre_shared_key or at the end.
func EditHello(first *hello.ClientHello, r *HelloRetry) *hello.ClientHello {
	ch := first.Clone()
	ch.RecordVersion = wire.TLS12
	ch.Fragments = nil
	exts := ch.Extensions[:0:0]
	for _, e := range ch.Extensions {
		switch {
		case e.Type == wire.ExtEarlyData, e.Type == wire.ExtCookie, e.Type == wire.ExtPreSharedKey && r.DropPSK:
			continue
		case e.Type == wire.ExtKeyShare && r.Group != 0:
			share := wire.AppendU16(nil, uint16(r.Group))
			share = wire.AppendVec16(share, r.Public)
			e.Data = wire.AppendVec16(nil, share)
		case e.Type == wire.ExtPreSharedKey && r.Cookie != nil:
			exts = append(exts, cookieExt(r.Cookie))
		}
		exts = append(exts, e)
	}
	if r.Cookie != nil && (r.DropPSK || !first.Has(wire.ExtPreSharedKey)) {
		exts = append(exts, cookieExt(r.Cookie))
	}
	ch.Extensions = exts
	return ch
}

func cookieExt(cookie []byte) hello.Extension {
	return hello.Extension{Type: wire.ExtCookie, Data: wire.AppendVec16(nil, cookie)}
}
