package engine

import (
	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// exporter12 is what keying material is exported from below TLS 1.3.
type exporter12 struct {
	keyed   keys.Keyed
	randoms [64]byte // client's, then server's
}

// Export gives length bytes of keying material: the exporter of RFC 8446 §7.5, or below TLS 1.3 that of RFC
// 5705 §4, for which the configuration must say Exporters. A nil context is none, which below TLS 1.3 is
// not the same as an empty one. It is nil before the handshake is complete and in SSL 3.0.
func (c *Conn) Export(label string, context []byte, length int) []byte {
	if c.k13 != nil {
		return c.k13.exporter.Export(label, context, length)
	}
	if c.exporter == nil {
		return nil
	}
	seed := append([]byte(nil), c.exporter.randoms[:]...)
	if context != nil {
		seed = wire.AppendVec16(seed, context)
	}
	return c.exporter.keyed.Export(label, seed, length)
}

// keepExporter is called while the handshake's secrets are still there.
func (c *Conn) keepExporter() {
	wanted := c.isClient && c.client.Exporters || !c.isClient && c.server.Exporters
	if !wanted || c.family != family12 || c.facts.Version == wire.SSL30 {
		return
	}
	c.exporter = &exporter12{keyed: c.hs.keyed}
	copy(c.exporter.randoms[:32], c.hs.clientRandom[:])
	copy(c.exporter.randoms[32:], c.hs.serverRandom[:])
}
