package interop

import (
	"io"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/harness/keys"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// offer is what a plain ClientHello of these tests offers. It is nobody's fingerprint: the browsers'
// hellos have their own tests.
type offer struct {
	max     wire.Version
	suites  []wire.CipherSuite
	groups  []wire.Group // supported_groups; a share is sent for the first
	noShare bool         // TLS 1.3: an empty key_share, so that the server must ask
	alpn    []string
	ems     bool
	etm     bool
	ticket  bool            // session_ticket, empty if there is no session with one
	session *engine.Session // what to resume
	early   []byte          // 0-RTT data
	certs   []wire.CertCompression
	client  *engine.Certificate // a client certificate
	update  bool                // a KeyUpdate before the request
	again   bool                // the request is sent after accepted 0-RTT data too
}

var schemes = []wire.SignatureScheme{
	wire.ECDSASecp256r1SHA256, wire.RSAPSSRSAESHA256, wire.RSAPKCS1SHA256, wire.ECDSASecp384r1SHA384, wire.RSAPSSRSAESHA384,
	wire.RSAPKCS1SHA384, wire.RSAPKCS1SHA512, wire.RSAPKCS1SHA1, wire.ECDSASHA1,
}

func u16list[T ~uint16](vs []T) []byte {
	var b []byte
	for _, v := range vs {
		b = wire.AppendU16(b, uint16(v))
	}
	return b
}

// build makes the hello and the configuration that goes with it.
func (o offer) build(random io.Reader, roots *engine.Verifier) (*engine.ClientConfig, *hello.ClientHello, error) {
	cfg := &engine.ClientConfig{ServerName: serverName, Verifier: roots, Rand: random, Session: o.session, EarlyData: o.early, Certificate: o.client}
	ch := &hello.ClientHello{
		RecordVersion: min(o.max, wire.TLS10), Version: min(o.max, wire.TLS12), Suites: o.suites,
		Compression: []uint8{0}, HasExtensions: o.max > wire.SSL30,
	}
	if _, err := io.ReadFull(random, ch.Random[:]); err != nil {
		return nil, nil, err
	}
	s := o.session
	if s != nil && s.Version < wire.TLS13 {
		ch.SessionID = s.ID
	}
	if s != nil && len(s.Ticket) > 0 || o.max == wire.TLS13 {
		ch.SessionID = make([]byte, 32)
		if _, err := io.ReadFull(random, ch.SessionID); err != nil {
			return nil, nil, err
		}
	}
	if o.max == wire.SSL30 {
		ch.Suites = append(ch.Suites[:len(ch.Suites):len(ch.Suites)], wire.EmptyRenegotiationInfoSCSV)
		return cfg, ch, nil
	}
	add := func(t wire.ExtensionType, data []byte) {
		ch.Extensions = append(ch.Extensions, hello.Extension{Type: t, Data: data})
	}
	name := wire.AppendVec16([]byte{0}, []byte(serverName))
	add(wire.ExtServerName, wire.AppendVec16(nil, name))
	add(wire.ExtRenegotiationInfo, []byte{0})
	if o.ems {
		add(wire.ExtExtendedMasterSecret, nil)
	}
	if o.etm {
		add(wire.ExtEncryptThenMAC, nil)
	}
	if len(o.groups) > 0 {
		add(wire.ExtSupportedGroups, wire.AppendVec16(nil, u16list(o.groups)))
		add(wire.ExtECPointFormats, []byte{1, 0})
	}
	if o.ticket {
		var ticket []byte
		if s != nil && s.Version < wire.TLS13 {
			ticket = s.Ticket
		}
		add(wire.ExtSessionTicket, ticket)
	}
	if len(o.alpn) > 0 {
		var list []byte
		for _, p := range o.alpn {
			list = wire.AppendVec8(list, []byte(p))
		}
		add(wire.ExtALPN, wire.AppendVec16(nil, list))
	}
	if o.max >= wire.TLS12 {
		add(wire.ExtSignatureAlgorithms, wire.AppendVec16(nil, u16list(schemes)))
	}
	if len(o.certs) > 0 {
		add(wire.ExtCompressCertificate, wire.AppendVec8(nil, u16list(o.certs)))
	}
	if o.max < wire.TLS13 {
		return cfg, ch, nil
	}
	return cfg, ch, o.build13(cfg, ch, add)
}

func (o offer) build13(cfg *engine.ClientConfig, ch *hello.ClientHello, add func(wire.ExtensionType, []byte)) error {
	add(wire.ExtSupportedVersions, []byte{2, 3, 4})
	add(wire.ExtPSKKeyExchangeModes, []byte{1, byte(wire.PSKDHE)})
	var shares []byte
	if !o.noShare {
		share, err := keys.GenerateShare(o.groups[0], cfg.Rand)
		if err != nil {
			return err
		}
		cfg.Shares = []*keys.Share{share}
		shares = wire.AppendVec16(wire.AppendU16(nil, uint16(share.Group())), share.Public())
	}
	add(wire.ExtKeyShare, wire.AppendVec16(nil, shares))
	s := o.session
	if s == nil || s.Version != wire.TLS13 {
		return nil
	}
	if len(o.early) > 0 {
		add(wire.ExtEarlyData, nil)
	}
	age := uint32(time.Since(s.Created)/time.Millisecond) + s.AgeAdd
	ids := wire.AppendU32(wire.AppendVec16(nil, s.Ticket), age)
	binder := make([]byte, keys.Lookup13(s.Suite).Hash.Size())
	psk := wire.AppendVec16(nil, ids)
	add(wire.ExtPreSharedKey, append(psk, wire.AppendVec16(nil, wire.AppendVec8(nil, binder))...))
	return nil
}
