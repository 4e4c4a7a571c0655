package engine

import (
	"errors"
	"testing"
)

// TestParkedDoesEverything: whatever may be asked of an established connection may be asked of a parked one.
func TestParkedDoesEverything(t *testing.T) {
	for _, row := range []struct {
		why string
		do  func(t *testing.T, p *pair)
	}{
		{"there is no event and no output", func(t *testing.T, p *pair) {
			if e := p.client.Next(); e.Kind != EventNone || p.client.HasOutput() || len(p.server.AppendOutput(nil)) > 0 {
				t.Errorf("%+v", e)
			}
		}},
		{"data both ways, parked between", func(_ *testing.T, p *pair) {
			for range 2 {
				p.exchange([]byte("up"), []byte("down"))
				p.client.Park()
				p.server.Park()
			}
		}},
		{"a record in two pieces, parked between", func(t *testing.T, p *pair) {
			if err := p.server.Send([]byte("in two pieces")); err != nil {
				t.Fatal(err)
			}
			out := p.server.AppendOutput(nil)
			p.clientEvents = nil
			p.feed(p.client, out[:9], &p.clientEvents)
			p.client.Park()
			p.feed(p.client, out[9:], &p.clientEvents)
			if got := string(data(p.clientEvents)); got != "in two pieces" {
				t.Errorf("%q, %v", got, p.client.Err())
			}
		}},
		{"a new handshake asked for by the server", func(t *testing.T, p *pair) {
			if err := p.server.Renegotiate(); err != nil {
				t.Fatal(err)
			}
			p.run()
			p.client.Park()
			p.exchange([]byte("again"), []byte("and again"))
		}},
		{"close_notify", func(t *testing.T, p *pair) {
			p.client.CloseNotify()
			p.run()
			if err := p.server.ReceiveEOF(testNow); err != nil {
				t.Error(err)
			}
		}},
		{"a FIN without it", func(t *testing.T, p *pair) {
			if err := p.client.ReceiveEOF(testNow); !errors.Is(err, ErrTruncated) {
				t.Error(err)
			}
			p.client.Park()
			if e := p.client.Next(); e.Kind != EventNone {
				t.Errorf("%+v", e)
			}
		}},
		{"garbage", func(t *testing.T, p *pair) {
			if err := p.client.Receive(testNow, []byte("\x17\x03\x03\x00\x02ab")); err == nil || !p.client.HasOutput() {
				t.Errorf("%v: want a refusal with its alert", err)
			}
		}},
	} {
		t.Run(row.why, func(t *testing.T) {
			sc := basicServer()
			sc.Renegotiate = RenegotiateSecure
			p := newPair(t, &ClientConfig{Renegotiate: RenegotiateSecure}, basicHello(0x0303, ecdheGCM), sc)
			p.must()
			p.client.Park()
			p.server.Park()
			row.do(t, p)
		})
	}
}
