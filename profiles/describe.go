package profiles

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// Describe turns one ClientHello into names. What a single hello cannot tell (whether the random holds
// the clock when no date is known, whether extensions are shuffled, when it pads) is set from captured,
// the time of the capture or zero, or left at its plainest.
func Describe(ch *hello.ClientHello, captured time.Time) (HelloData, error) {
	d := HelloData{Version: ch.Version.String(), Random: "random"}
	t := time.Unix(int64(ch.Random[0])<<24|int64(ch.Random[1])<<16|int64(ch.Random[2])<<8|int64(ch.Random[3]), 0)
	if !captured.IsZero() && t.After(captured.Add(-48*time.Hour)) && t.Before(captured.Add(48*time.Hour)) {
		d.Random = "clock"
	}
	if ch.Format == hello.FormatSSLv2 {
		d.Format, d.Challenge = "sslv2", ch.ChallengeLen
		d.Random = "random"
		for _, s := range ch.SSLv2Suites {
			d.Suites = append(d.Suites, wire.SSLv2SpecString(s))
		}
		return d, nil
	}
	d.RecordVersion = ch.RecordVersion.String()
	d.Suites = nameAll(ch.Suites)
	for _, c := range ch.Compression {
		d.Compression = append(d.Compression, compressionName(c))
	}
	d.NoExtensions = !ch.HasExtensions
	if len(ch.SessionID) > 0 && ch.Has(wire.ExtSupportedVersions) {
		d.SessionID = "random"
	}
	for i, e := range ch.Extensions {
		if !wire.IsGREASE(uint16(e.Type)) && slices.ContainsFunc(ch.Extensions[:i], func(f hello.Extension) bool { return f.Type == e.Type }) {
			return d, fmt.Errorf("it has the extension %v twice, which no profile can say (RFC 8446 §4.2)", e.Type)
		}
		d.describeExtension(ch, i, e)
	}
	return d, nil
}

// compressionName names a compression method (RFC 3749 §2): null, deflate, or "0x40".
func compressionName(c uint8) string {
	switch c {
	case 0:
		return "null"
	case 1:
		return "deflate"
	}
	return fmt.Sprintf("0x%02x", c)
}

func parseCompression(name string) (uint8, error) {
	for c := range 256 {
		if compressionName(uint8(c)) == name {
			return uint8(c), nil
		}
	}
	return 0, fmt.Errorf("unknown compression method %q: allowed are null, deflate, or two hex digits like 0x40", name)
}

func nameAll[T fmt.Stringer](vs []T) []string {
	out := make([]string, len(vs))
	for i, v := range vs {
		out[i] = v.String()
	}
	return out
}

// describeExtension sets the fields for one extension, and falls back to its raw body where the fields
// would not give the same bytes again.
func (d *HelloData) describeExtension(ch *hello.ClientHello, i int, e hello.Extension) {
	name := e.Type.String()
	switch e.Type {
	case wire.ExtPadding, wire.ExtPaddingDraft:
		if d.describePadding(ch, i, name) {
			return
		}
	case wire.ExtPreSharedKey, wire.ExtEarlyData, wire.ExtCookie:
		return // part of a resumption or a second hello, not of the client
	case wire.ExtSupportedGroups:
		d.Groups = nameAll(ch.Groups())
	case wire.ExtECPointFormats:
		for _, f := range ch.PointFormats() {
			if int(f) < len(pointFormats) {
				d.PointFormats = append(d.PointFormats, pointFormats[f])
			}
		}
	case wire.ExtSignatureAlgorithms:
		d.SignatureAlgorithms = nameAll(ch.SignatureAlgorithms())
	case wire.ExtSignatureAlgsCert:
		d.SignatureAlgorithmsCert = nameAll(hello.U16s[wire.SignatureScheme](e.Data))
	case wire.ExtDelegatedCredentials:
		d.DelegatedCredentials = nameAll(hello.U16s[wire.SignatureScheme](e.Data))
	case wire.ExtALPN:
		d.ALPN = ch.ALPN()
	case wire.ExtApplicationSettings, wire.ExtApplicationSettingsNew:
		d.ALPS = hello.Protocols(e.Data)
	case wire.ExtSupportedVersions:
		d.Versions = nameAll(ch.SupportedVersions())
		for i, v := range ch.SupportedVersions() {
			if wire.IsGREASE(uint16(v)) {
				d.Versions[i] = wire.GREASEName
			}
		}
	case wire.ExtKeyShare:
		for _, s := range ch.KeyShares() {
			d.KeyShares = append(d.KeyShares, s.Group.String())
		}
	case wire.ExtPSKKeyExchangeModes:
		d.PSKModes = nameAll(ch.PSKModes())
	case wire.ExtCompressCertificate:
		d.CertCompression = nameAll(ch.CertCompressions())
	case wire.ExtRecordSizeLimit:
		if n, ok := ch.RecordSizeLimit(); ok {
			d.RecordSizeLimit = int(n)
		}
	case wire.ExtHeartbeat:
		d.Heartbeat = "peer_allowed_to_send"
		if len(e.Data) == 1 && e.Data[0] == 2 {
			d.Heartbeat = "peer_not_allowed_to_send"
		}
	case wire.ExtEncryptedClientHello:
		d.ECH = describeECH(e.Data)
	}
	if wire.IsGREASE(uint16(e.Type)) {
		name = wire.GREASEName
		d.GREASEBodies = append(d.GREASEBodies, hex.EncodeToString(e.Data))
	}
	d.Extensions = append(d.Extensions, name)
	if !d.gives(name, e) {
		if d.Bodies == nil {
			d.Bodies = make(map[string]string)
		}
		d.Bodies[name] = hex.EncodeToString(e.Data)
	}
}

// gives says whether the fields alone would give the extension's body, volatile ones aside.
func (d *HelloData) gives(name string, e hello.Extension) bool {
	switch e.Type {
	case wire.ExtSessionTicket, wire.ExtKeyShare:
		return true
	case wire.ExtServerName:
		return string(e.Data) == string(appendSNI(nil, (&hello.ClientHello{Extensions: []hello.Extension{e}}).ServerName()))
	case wire.ExtEncryptedClientHello:
		return d.ECH != nil
	}
	grease := 0
	x, err := d.compileExtension(&spec{}, name, &grease)
	if err != nil {
		return false
	}
	switch x.kind {
	case extGREASE:
		return true
	case extGroups, extSchemes:
		return slices.Equal(ungreased(x.data, 2), ungreased(e.Data, 2))
	case extVersions:
		return slices.Equal(ungreased(x.data, 1), ungreased(e.Data, 1))
	}
	return slices.Equal(x.data, e.Data)
}

// describePadding recognises the rule that lifts a message to 512 bytes, or to a little more where fewer
// than five were missing. Padding of another kind stays as the bytes it was.
func (d *HelloData) describePadding(ch *hello.ClientHello, i int, name string) bool {
	for _, e := range ch.Extensions[i+1:] {
		if e.Type != wire.ExtPreSharedKey {
			return false
		}
	}
	body := ch.Extensions[i].Data
	if n := ch.MessageLen(); n < 512 || n > 516 || n > 512 && len(body) > 1 || slices.ContainsFunc(body, func(b byte) bool { return b != 0 }) {
		return false
	}
	d.Padding = &PaddingData{Extension: name, From: 256, To: 512, Min: 1}
	return true
}

// describeECH reads a GREASE encrypted_client_hello of the outer kind; nil where it is another thing.
func describeECH(body []byte) *ECHData {
	r := wire.NewReader(body)
	kind, kdf, aead := r.U8(), r.U16(), r.U16()
	r.U8()
	enc, payload := r.Vec16(), r.Vec16()
	if !r.Done() || kind != 0 {
		return nil
	}
	return &ECHData{KDF: int(kdf), AEADs: []int{int(aead)}, EncLength: len(enc), Payloads: []int{len(payload)}}
}

func ungreased(body []byte, skip int) []byte {
	_, out := regrease(nil, body, skip, 0)
	return out
}
