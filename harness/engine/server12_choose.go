package engine

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"fmt"

	"tlsurge/harness/keys"
	"tlsurge/profiles/wire"
)

// chooseSuite walks the server's or the client's list, as PreferServer says, and takes the first suite
// that both have and that this hello, these certificates and this engine can carry out. A suite that a
// real server would have taken here but that we cannot speak is remembered in Facts.PassedOver.
func (c *Conn) chooseSuite(list []wire.CipherSuite, v wire.Version) (*keys.Suite12, error) {
	if err := c.checkSchemes(v); err != nil {
		return nil, err
	}
	first, second := list, c.server.Suites
	if c.server.PreferServer {
		first, second = second, first
	}
	why := ""
	for _, id := range first {
		if !contains(second, id) {
			continue
		}
		s := keys.Lookup12(id)
		if s == nil {
			if c.facts.PassedOver == 0 {
				c.facts.PassedOver = id
				why = fmt.Sprintf("; %v: ranked and not spoken by this engine", id)
			}
			continue
		}
		if reason := c.cannot(s, v); reason != "" {
			why = fmt.Sprintf("; %v: %s", id, reason)
			continue
		}
		return s, nil
	}
	return nil, fmt.Errorf("%w: hello names %d suites, %d enabled%s", ErrNoSharedCipher, len(list), len(c.server.Suites), why)
}

// checkSchemes: a hello whose signature_algorithms hold nothing that we know.
func (c *Conn) checkSchemes(v wire.Version) error {
	offered := c.hs.hello.SignatureAlgorithms()
	if v < wire.TLS12 || !c.server.Rules.StrictSchemes {
		return nil
	}
	if offered == nil {
		if c.server.Rules.NoSHA1 {
			return fmt.Errorf("%w: no signature_algorithms, which stands for SHA-1", ErrNoCommonScheme)
		}
		return nil
	}
	for _, s := range offered {
		if contains(requestSchemes, s) && !(c.server.Rules.NoSHA1 && s>>8 == 2) {
			return nil
		}
	}
	return fmt.Errorf("%w: hello offers %v", ErrNoCommonScheme, offered)
}

func contains[T comparable](list []T, v T) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// cannot says why a common suite cannot be used here; "" if it can. As a side effect of "" the
// certificate, group and signature scheme are chosen.
func (c *Conn) cannot(s *keys.Suite12, v wire.Version) string {
	hs := c.hs
	if s.Only12 && v < wire.TLS12 {
		return "needs TLS 1.2"
	}
	switch s.Kx {
	case keys.KxECDHE:
		if hs.group = c.chooseGroup(); hs.group == 0 {
			return "no common group"
		}
	case keys.KxDHE:
		if c.server.DH == nil {
			return "no DH parameters"
		}
	}
	for _, cert := range c.server.Certificates {
		if c.certificateFits(cert, s, v) {
			hs.cert = cert
			return ""
		}
	}
	return "no certificate for it"
}

func (c *Conn) certificateFits(cert *Certificate, s *keys.Suite12, v wire.Version) bool {
	auth, ok := authOf(cert.Key.Public())
	if !ok || auth != s.Auth {
		return false
	}
	if k, ok := cert.Key.Public().(*ecdsa.PublicKey); ok && !c.server.Rules.IgnoreGroups {
		if groups := c.hs.hello.Groups(); groups != nil && !contains(groups, curveGroup(k)) {
			return false
		}
	}
	if _, ed := cert.Key.Public().(ed25519.PublicKey); ed && v < wire.TLS12 {
		return false
	}
	if v < wire.TLS12 || s.Kx == keys.KxRSA {
		return true
	}
	_, ok = pickScheme(c.hs.hello.SignatureAlgorithms(), cert, c.server.Rules.NoSHA1)
	return ok
}

func curveGroup(k *ecdsa.PublicKey) wire.Group {
	switch k.Curve.Params().BitSize {
	case 256:
		return wire.Secp256r1
	case 384:
		return wire.Secp384r1
	case 521:
		return wire.Secp521r1
	}
	return 0
}

// chooseGroup: by the server's or the client's preference. A hello without supported_groups takes
// any (RFC 8422 §4); a server that knows no such extension uses its first.
func (c *Conn) chooseGroup() wire.Group {
	_, known := c.offered(wire.ExtSupportedGroups)
	theirs := c.hs.hello.Groups()
	if !known && c.server.Rules.NeedsGroups {
		return 0
	}
	if !known || c.server.Rules.IgnoreGroups {
		theirs = nil
	}
	first, second := theirs, c.server.Groups
	if c.server.PreferServer || theirs == nil {
		first, second = second, theirs
	}
	for _, g := range first {
		if g != wire.X25519MLKEM768 && keys.Supported(g) && (second == nil || contains(second, g)) {
			return g
		}
	}
	return 0
}
