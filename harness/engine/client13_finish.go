package engine

import (
	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// onServerFinished13 ends the server's flight; the client's second flight answers it.
func (c *Conn) onServerFinished13(m wire.Finished13) (state, error) {
	h := c.hs.h13
	if err := c.checkFinished13(&h.serverHS, m); err != nil {
		return 0, err
	}
	c.deriveTraffic()
	if err := c.setRead(h.lasting(h.serverApp)); err != nil {
		return 0, err
	}
	if h.early == earlyAccepted {
		c.sendMessage((&wire.EndOfEarlyData{}).AppendMessage(nil))
		c.setWrite(h.half(h.clientHS))
	}
	if h.certRequested {
		if err := c.sendClientCertificate13(); err != nil {
			return 0, err
		}
	}
	c.sendFinished13(&h.clientHS)
	if c.hs.hello.Has(wire.ExtPSKKeyExchangeModes) {
		c.k13.resumption = h.schedule.Derive(keys.LabelResumption, c.hs.transcript.sum(c.hs.digest[:0]))
	}
	c.setWrite(h.lasting(h.clientApp))
	return c.finishHandshake(), nil
}

// sendClientCertificate13 answers CertificateRequest: with no certificate, or none that the server's
// schemes suit, with an empty list (RFC 8446 §4.4.2, Certificate).
func (c *Conn) sendClientCertificate13() error {
	cert := c.client.Certificate
	var scheme wire.SignatureScheme
	if cert != nil {
		scheme = chooseScheme13(cert, c.hs.h13.requestSchemes)
	}
	if scheme == 0 {
		c.sendMessage((&wire.Certificate13{}).AppendMessage(nil))
		return nil
	}
	m := wire.Certificate13{Entries: make([]wire.CertificateEntry, len(cert.Chain))}
	for i, der := range cert.Chain {
		m.Entries[i].Data = der
	}
	c.sendMessage(m.AppendMessage(nil))
	return c.sendCertificateVerify13(cert.Key, scheme, clientContext)
}
