package profiles

import (
	"slices"
	"strings"
	"sync/atomic"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// shapeKey names everything about a hello that is not drawn or stored anew on each connection. One
// shape is compiled per key and kept.
type shapeKey struct {
	max     wire.Version // highest version offered
	client  wire.Version // client_version, where a session bounds it; else 0
	variant string
	scsv    bool
	sni     bool
	resumed bool // a session of TLS 1.2 or below is offered
	psk     bool
	early   bool
}

// shape is a hello of which only the volatile parts are still to be filled in.
type shape struct {
	spec        *spec
	record      wire.Version
	version     wire.Version
	suites      []wire.CipherSuite
	greaseSuite bool
	randomID    bool
	block       bool
	exts        []extSpec
	shares      []wire.Group
	static      bool // no extension has a body of its own on each connection, but SNI and ticket
	sni         atomic.Pointer[sniBody]
}

// sniBody is the body of server_name for the host last asked for: a load generator asks for few.
type sniBody struct {
	host string
	body []byte
}

func (sh *shape) serverName(host string) []byte {
	if s := sh.sni.Load(); s != nil && s.host == host {
		return s.body
	}
	s := &sniBody{host, appendSNI(make([]byte, 0, 5+len(host)), host)}
	sh.sni.Store(s)
	return s.body
}

// needs12 says whether a suite exists in TLS 1.2 only: an AEAD, or CBC with SHA-256 or SHA-384.
func needs12(s wire.CipherSuite) bool {
	n := s.String()
	return isAEAD(s) || strings.HasSuffix(n, "_SHA256") || strings.HasSuffix(n, "_SHA384")
}

func isAEAD(s wire.CipherSuite) bool {
	n := s.String()
	return strings.Contains(n, "_GCM_") || strings.Contains(n, "_CCM") || strings.Contains(n, "_CHACHA20_")
}

// needs13 says whether a suite exists in TLS 1.3 only.
func needs13(s wire.CipherSuite) bool { return s>>8 == 0x13 }

// only13 lists the extensions that a hello of at most TLS 1.2 does not carry.
var only13 = []wire.ExtensionType{
	wire.ExtSupportedVersions, wire.ExtKeyShare, wire.ExtPSKKeyExchangeModes, wire.ExtEarlyData, wire.ExtCookie,
	wire.ExtPostHandshakeAuth, wire.ExtCompressCertificate, wire.ExtEncryptedClientHello, wire.ExtApplicationSettings,
	wire.ExtApplicationSettingsNew, wire.ExtDelegatedCredentials, wire.ExtTrustAnchors,
}

// shapeOf compiles the hello for a key.
func (s *spec) shapeOf(own wire.Version, k shapeKey) *shape {
	sh := &shape{spec: s, record: s.record, version: min(s.version, k.max), randomID: s.randomID, block: s.block, shares: s.shares}
	if k.client != 0 {
		sh.version = min(sh.version, k.client)
	}
	sh.record = min(sh.record, sh.version)
	lowered := k.max < own
	for _, c := range s.suites {
		if lowered && (k.max < wire.TLS13 && needs13(c) || k.max < wire.TLS12 && (isAEAD(c) || !s.lower.KeepSuites && needs12(c))) {
			continue
		}
		sh.suites = append(sh.suites, c)
	}
	if k.max == wire.SSL30 {
		sh.block = false
		if s.lower.SSL30Signal && !slices.Contains(sh.suites, wire.EmptyRenegotiationInfoSCSV) {
			sh.suites = slices.Insert(sh.suites, 0, wire.EmptyRenegotiationInfoSCSV)
		}
	}
	if k.scsv {
		sh.suites = insertSCSV(sh.suites, s.lower.SCSV == "first")
	}
	for _, c := range sh.suites {
		sh.greaseSuite = sh.greaseSuite || wire.IsGREASE(uint16(c))
	}
	if lowered && k.max < wire.TLS13 {
		sh.randomID, sh.shares = false, nil
	}
	sh.static = true
	if !sh.block {
		return sh
	}
	for _, e := range s.exts {
		switch {
		case e.kind == extSNI && !k.sni,
			lowered && k.max < wire.TLS13 && slices.Contains(only13, e.typ),
			sh.version < wire.TLS12 && (e.typ == wire.ExtSignatureAlgorithms || e.typ == wire.ExtSignatureAlgsCert),
			k.resumed && slices.Contains(s.drops, e.typ),
			k.psk && slices.Contains(s.pskDrops, e.typ):
			continue
		}
		if e.kind == extVersions || e.typ == wire.ExtSupportedVersions {
			e.data = trimVersions(e.data, k.max)
		}
		if e.typ == wire.ExtSupportedGroups && lowered && k.max < wire.TLS13 {
			e.data = trimGroups(e.data)
		}
		if e.kind != extStatic && e.kind != extSNI && e.kind != extTicket {
			sh.static = false
		}
		sh.exts = append(sh.exts, e)
	}
	if k.early {
		sh.exts = append(sh.exts, extSpec{typ: wire.ExtEarlyData})
	}
	return sh
}

// insertSCSV puts TLS_FALLBACK_SCSV in front of the real suites (behind a leading 0x00ff, as NSS and
// coreTLS do), or at the end (OpenSSL and BoringSSL).
func insertSCSV(suites []wire.CipherSuite, first bool) []wire.CipherSuite {
	if !first {
		return append(suites, wire.FallbackSCSV)
	}
	at := 0
	if len(suites) > 0 && suites[0] == wire.EmptyRenegotiationInfoSCSV {
		at = 1
	}
	return slices.Insert(suites, at, wire.FallbackSCSV)
}

// trimVersions drops the versions above top from the body of supported_versions.
func trimVersions(body []byte, top wire.Version) []byte {
	out := []byte{0}
	for i := 1; i+1 < len(body); i += 2 {
		v := wire.Version(uint16(body[i])<<8 | uint16(body[i+1]))
		if v <= top || v > wire.TLS13 { // GREASE and drafts stay
			out = wire.AppendU16(out, uint16(v))
		}
	}
	out[0] = byte(len(out) - 1)
	return out
}

// trimGroups drops the groups that only TLS 1.3 can use from the body of supported_groups.
func trimGroups(body []byte) []byte {
	out := []byte{0, 0}
	for i := 2; i+1 < len(body); i += 2 {
		g := wire.Group(uint16(body[i])<<8 | uint16(body[i+1]))
		if !strings.Contains(g.String(), "MLKEM") && !strings.Contains(g.String(), "Kyber") {
			out = wire.AppendU16(out, uint16(g))
		}
	}
	out[0], out[1] = byte((len(out)-2)>>8), byte(len(out)-2)
	return out
}

// pad gives the body length of the padding extension that ch still needs, with pskLen bytes to follow it.
func (sh *shape) pad(ch *hello.ClientHello, pskLen int) (n int, ok bool) {
	p := sh.spec.padding
	if p == nil || !sh.block {
		return 0, false
	}
	l := ch.MessageLen() + pskLen
	if l < p.from || l >= p.to {
		return 0, false
	}
	if n = p.to - l - 4; n < p.min {
		n = p.min
	}
	return n, true
}
