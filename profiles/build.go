package profiles

import (
	"errors"
	"fmt"
	"io"
	"maps"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// Hello builds one ClientHello: the browser's bytes, with the volatile parts drawn from p.Random in a
// fixed order. The same parameters and stream give the same bytes.
func (pr *Profile) Hello(p *HelloParams) (*hello.ClientHello, error) {
	if p.Second != nil {
		return pr.second(p)
	}
	ch := new(hello.ClientHello)
	if err := pr.Fill(ch, p); err != nil {
		return nil, err
	}
	return ch, nil
}

// Fill is Hello into a ClientHello that an earlier Fill filled: it reuses its memory, and allocates nothing once
// there is enough of it. p.Second is not looked at.
//
// The suites, compression methods and extension bodies are shared with the profile: they are read, never
// written. The session ID and the list of extensions are ch's own.
func (pr *Profile) Fill(ch *hello.ClientHello, p *HelloParams) error {
	if err := pr.fill(ch, p); err != nil {
		return fmt.Errorf("profile %s: %w", pr.Name, err)
	}
	return nil
}

// zeros is room for padding; it is never written to.
var zeros [512]byte

// key sorts out what of the parameters changes the shape.
func (pr *Profile) key(p *HelloParams, s *spec) (shapeKey, error) {
	k := shapeKey{max: p.MaxVersion, variant: p.Variant, scsv: p.SCSV, sni: p.ServerName != "", early: p.EarlyData}
	if k.max == 0 || k.max > pr.maxVersion {
		k.max = pr.maxVersion
	}
	if r := p.Resume; r != nil {
		set := 0
		for _, b := range [][]byte{r.ID, r.Ticket, r.Identity} {
			if len(b) > 0 {
				set++
			}
		}
		if set != 1 {
			return k, errors.New("a resumed hello needs exactly one of session ID, ticket and PSK identity")
		}
		if s.resume.NoSCSV {
			k.scsv = false
		}
		if s.resume.SessionVersion && r.Version != 0 && r.Version < wire.TLS13 {
			k.client = r.Version
		}
		if len(r.Identity) > 0 {
			if k.max < wire.TLS13 {
				return k, fmt.Errorf("a PSK needs TLS 1.3, this hello offers at most %v", k.max)
			}
			k.psk = true
		} else {
			k.resumed = len(s.drops) > 0
		}
	}
	if p.EarlyData && !k.psk {
		return k, errors.New("early data needs a PSK")
	}
	return k, nil
}

// shape gives the compiled hello for the parameters, building it at the first call.
func (pr *Profile) shape(p *HelloParams) (*shape, error) {
	s := pr.spec
	if p.Variant != "" {
		if s = pr.variants[p.Variant]; s == nil {
			return nil, fmt.Errorf("it has no variant %q", p.Variant)
		}
	}
	k, err := pr.key(p, s)
	if err != nil {
		return nil, err
	}
	old := pr.shapes.Load()
	if old != nil {
		if sh := (*old)[k]; sh != nil {
			return sh, nil
		}
	}
	sh := s.shapeOf(pr.maxVersion, k)
	m := map[shapeKey]*shape{k: sh}
	if old != nil {
		maps.Copy(m, *old)
	}
	// Two at once may each lose the other's entry; it is then compiled again.
	pr.shapes.Store(&m)
	return sh, nil
}

func (pr *Profile) fill(ch *hello.ClientHello, p *HelloParams) error {
	sh, err := pr.shape(p)
	if err != nil {
		return err
	}
	s := sh.spec
	ch.Format, ch.RecordVersion, ch.Version = s.format, sh.record, sh.version
	ch.Compression, ch.HasExtensions, ch.Suites = s.compression, sh.block, sh.suites
	ch.Fragments = nil
	if err := sh.random(ch, p); err != nil {
		return err
	}
	if s.format == hello.FormatSSLv2 {
		ch.SSLv2Suites = s.sslv2
		if p.Resume != nil && len(p.Resume.ID) > 0 {
			ch.SessionID = append(ch.SessionID[:0], p.Resume.ID...)
		}
		return nil
	}
	ch.SessionID = ch.SessionID[:0]
	switch r := p.Resume; {
	case r != nil && len(r.ID) > 0:
		ch.SessionID = append(ch.SessionID, r.ID...)
	case sh.randomID, r != nil && len(r.Ticket) > 0 && s.resume.TicketSessionID:
		ch.SessionID = append(ch.SessionID, zeros[:32]...)
		if _, err := io.ReadFull(p.Random, ch.SessionID); err != nil {
			return err
		}
	}
	return sh.extensions(ch, p)
}

// random fills in the 32 bytes, or the SSLv2 challenge.
func (sh *shape) random(ch *hello.ClientHello, p *HelloParams) error {
	if p.Random == nil {
		return errors.New("no random source given")
	}
	b := ch.Random[:]
	if sh.spec.format == hello.FormatSSLv2 {
		ch.ChallengeLen = sh.spec.challenge
		ch.Random = [32]byte{}
		b = ch.Random[32-ch.ChallengeLen:]
	}
	if _, err := io.ReadFull(p.Random, b); err != nil {
		return fmt.Errorf("drawing the random: %w", err)
	}
	if sh.spec.clock {
		t := uint32(p.Now.Unix())
		b[0], b[1], b[2], b[3] = byte(t>>24), byte(t>>16), byte(t>>8), byte(t)
	}
	return nil
}

// greaseDraw holds one connection's GREASE values: BoringSSL draws one per place; the group's is also the
// key share's, and the two extensions never agree.
type greaseDraw struct{ suite, group, ext1, ext2, version, scheme uint16 }

func drawGREASE(r io.Reader) (g greaseDraw, err error) {
	var b [6]byte
	if _, err = io.ReadFull(r, b[:]); err != nil {
		return g, err
	}
	v := func(i int) uint16 { n := uint16(b[i]&0xf0 | 0x0a); return n<<8 | n }
	g = greaseDraw{v(0), v(1), v(2), v(3), v(4), v(5)}
	if g.ext1 == g.ext2 {
		g.ext2 ^= 0x1010
	}
	return g, nil
}

// extensions fills in the extensions, in the browser's order.
func (sh *shape) extensions(ch *hello.ClientHello, p *HelloParams) error {
	ch.Extensions = ch.Extensions[:0]
	if !sh.block && !sh.greaseSuite {
		return nil
	}
	var (
		g   greaseDraw
		err error
	)
	if sh.greaseSuite || !sh.static {
		if g, err = drawGREASE(p.Random); err != nil {
			return err
		}
	}
	if sh.greaseSuite {
		ch.Room.Suites = append(ch.Room.Suites[:0], sh.suites...)
		ch.Suites = ch.Room.Suites
		for i, c := range ch.Suites {
			if wire.IsGREASE(uint16(c)) {
				ch.Suites[i] = wire.CipherSuite(g.suite)
			}
		}
	}
	if !sh.block {
		return nil
	}
	pskLen := 0
	if r := p.Resume; r != nil && len(r.Identity) > 0 {
		pskLen = 4 + 2 + 2 + len(r.Identity) + 4 + 2 + 1 + r.BinderLen
	}
	ticketed := false
	greased := 0
	// Where it grows, the bodies that lie in it already stay valid where they are.
	room := ch.Room.Bodies[:0]
	if cap(room) == 0 {
		room = make([]byte, 0, 256)
	}
	for i := range sh.exts {
		e := &sh.exts[i]
		x := hello.Extension{Type: e.typ, Data: e.data}
		switch e.kind {
		case extSNI:
			x.Data = sh.serverName(p.ServerName)
		case extTicket:
			if p.Resume != nil && len(p.Resume.Ticket) > 0 {
				x.Data, ticketed = p.Resume.Ticket, true
			}
		case extGREASE:
			x.Type = wire.ExtensionType([]uint16{g.ext1, g.ext2}[min(greased, 1)])
			greased++
		case extGroups:
			room, x.Data = regrease(room, e.data, 2, g.group)
		case extSchemes:
			room, x.Data = regrease(room, e.data, 2, g.scheme)
		case extVersions:
			room, x.Data = regrease(room, e.data, 1, g.version)
		case extKeyShare:
			room, x.Data, err = sh.keyShares(room, p, g.group)
		case extECH:
			x.Data, err = sh.echGREASE(p.Random, pskLen)
		}
		if err != nil {
			return err
		}
		ch.Extensions = append(ch.Extensions, x)
	}
	defer func() { ch.Room.Bodies = room }()
	if p.Resume != nil && len(p.Resume.Ticket) > 0 && !ticketed {
		return errors.New("it has no session_ticket extension and cannot offer a ticket")
	}
	if sh.spec.shuffle {
		if err := shuffle(ch.Extensions, p.Random); err != nil {
			return err
		}
	}
	if n, ok := sh.pad(ch, pskLen); ok {
		ch.Extensions = append(ch.Extensions, hello.Extension{Type: sh.spec.padding.typ, Data: zeros[:n:n]})
	}
	if pskLen > 0 {
		at := len(room)
		room = appendPSK(room, p.Resume)
		ch.Extensions = append(ch.Extensions, hello.Extension{Type: wire.ExtPreSharedKey, Data: room[at:len(room):len(room)]})
	}
	return nil
}

// appendSNI appends the body of server_name with one host_name (RFC 6066 §3).
func appendSNI(dst []byte, host string) []byte {
	dst = wire.AppendU16(dst, uint16(3+len(host)))
	dst = append(dst, 0)
	return append(wire.AppendU16(dst, uint16(len(host))), host...)
}

// appendPSK appends the body of pre_shared_key with one identity and a binder of zeros.
func appendPSK(dst []byte, r *ResumeOffer) []byte {
	dst = wire.AppendU16(dst, uint16(2+len(r.Identity)+4))
	dst = wire.AppendVec16(dst, r.Identity)
	dst = wire.AppendU32(dst, r.ObfuscatedAge)
	dst = wire.AppendU16(dst, uint16(1+r.BinderLen))
	return wire.AppendVec8(dst, zeros[:r.BinderLen])
}

// regrease appends a copy of a list body to room and replaces its GREASE placeholder.
func regrease(room, body []byte, skip int, v uint16) (grown, out []byte) {
	at := len(room)
	room = append(room, body...)
	out = room[at:len(room):len(room)]
	for i := skip; i+1 < len(out); i += 2 {
		if wire.IsGREASE(uint16(out[i])<<8 | uint16(out[i+1])) {
			out[i], out[i+1] = byte(v>>8), byte(v)
		}
	}
	return room, out
}

// keyShares appends the body of key_share to room; a GREASE share holds one zero byte (RFC 8701 §3.1).
func (sh *shape) keyShares(room []byte, p *HelloParams, grease uint16) (grown, out []byte, err error) {
	at := len(room)
	dst := append(room, 0, 0)
	for _, g := range sh.shares {
		if wire.IsGREASE(uint16(g)) {
			dst = wire.AppendVec16(wire.AppendU16(dst, grease), zeros[:1])
			continue
		}
		if dst, err = appendShare(dst, p, g); err != nil {
			return room, nil, err
		}
	}
	out = dst[at:len(dst):len(dst)]
	out[0], out[1] = byte((len(out)-2)>>8), byte(len(out)-2)
	return dst, out, nil
}

func appendShare(dst []byte, p *HelloParams, g wire.Group) ([]byte, error) {
	if p.Shares == nil {
		return nil, fmt.Errorf("the hello needs a key share for %v and HelloParams.Shares is nil", g)
	}
	pub := p.Shares(g)
	if len(pub) == 0 {
		return nil, fmt.Errorf("no key share for %v", g)
	}
	return wire.AppendVec16(wire.AppendU16(dst, uint16(g)), pub), nil
}

// echGREASE builds a GREASE encrypted_client_hello (RFC 9849 §6.2.1):
//
//	type 1 (=outer) | kdf 2 | aead 2 | config_id 1 | enc 2+n | payload 2+n
func (sh *shape) echGREASE(r io.Reader, pskLen int) ([]byte, error) {
	e := sh.spec.ech
	var b [3]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return nil, err
	}
	aead := e.AEADs[int(b[0])%len(e.AEADs)]
	payload := e.Payloads[int(b[1])%len(e.Payloads)]
	if e.PSKRounded > 0 && pskLen > 0 {
		// The hello that the payload stands for holds the PSK too.
		payload += (pskLen + e.PSKRounded - 1) / e.PSKRounded * e.PSKRounded
	}
	dst := make([]byte, 10+e.EncLength+payload)
	dst[1], dst[2], dst[3], dst[4], dst[5] = byte(e.KDF>>8), byte(e.KDF), byte(aead>>8), byte(aead), b[2]
	dst[6], dst[7] = byte(e.EncLength>>8), byte(e.EncLength)
	enc := dst[8 : 8+e.EncLength]
	dst[8+e.EncLength], dst[9+e.EncLength] = byte(payload>>8), byte(payload)
	if _, err := io.ReadFull(r, enc); err != nil {
		return nil, err
	}
	_, err := io.ReadFull(r, dst[10+e.EncLength:])
	return dst, err
}

// shuffle permutes the extensions, those of GREASE staying where they are (Chrome 110 and later). Every
// order is equally likely but for a bias below 2^-24.
func shuffle(exts []hello.Extension, r io.Reader) error {
	var idx [64]int
	n := 0
	for i := range exts {
		if !wire.IsGREASE(uint16(exts[i].Type)) && n < len(idx) {
			idx[n] = i
			n++
		}
	}
	var b [4]byte
	for i := n - 1; i > 0; i-- {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return err
		}
		j := int((uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])) % uint32(i+1))
		exts[idx[i]], exts[idx[j]] = exts[idx[j]], exts[idx[i]]
	}
	return nil
}
