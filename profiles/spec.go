package profiles

import (
	"encoding/hex"
	"fmt"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// extKind says where the body of an extension comes from.
type extKind uint8

const (
	extStatic extKind = iota
	extSNI
	extTicket
	extKeyShare
	extGroups   // holds GREASE
	extVersions // holds GREASE
	extSchemes  // holds GREASE
	extGREASE
	extECH
)

// extSpec is one extension, compiled.
type extSpec struct {
	typ  wire.ExtensionType
	kind extKind
	data []byte // the body where static; with GREASE placeholders where it has some
}

// spec is a HelloData, compiled: numbers instead of names.
type spec struct {
	format      hello.Format
	record      wire.Version
	version     wire.Version
	clock       bool
	challenge   int
	randomID    bool
	suites      []wire.CipherSuite
	sslv2       []uint32
	compression []uint8
	block       bool // the extensions block is there
	exts        []extSpec
	shuffle     bool
	shares      []wire.Group
	greaseBody  [][]byte
	padding     *paddingSpec
	ech         *ECHData
	resume      ResumeData
	drops       []wire.ExtensionType
	pskDrops    []wire.ExtensionType
	second      wire.Version
	lower       LowerData
}

type paddingSpec struct {
	typ           wire.ExtensionType
	from, to, min int
}

// compile turns names into numbers and refuses what it does not know, naming the key.
func (d *HelloData) compile() (*spec, error) {
	s := &spec{challenge: d.Challenge, shuffle: d.Shuffle, block: !d.NoExtensions, ech: d.ECH, resume: d.Resume, lower: d.Lower}
	for _, v := range []struct {
		key, text string
		to        *wire.Version
	}{{"version", d.Version, &s.version}, {"record_version", d.RecordVersion, &s.record}, {"second.record_version", d.Second.RecordVersion, &s.second}} {
		if v.text == "" && v.key != "version" {
			continue
		}
		var err error
		if *v.to, err = wire.ParseVersion(v.text); err != nil {
			return nil, fmt.Errorf("hello.%s: %w", v.key, err)
		}
	}
	switch d.Random {
	case "clock":
		s.clock = true
	case "random":
	default:
		return nil, fmt.Errorf("hello.random is %q, allowed are \"random\" and \"clock\"", d.Random)
	}
	switch d.SessionID {
	case "random":
		s.randomID = true
	case "":
	default:
		return nil, fmt.Errorf("hello.session_id is %q, allowed are \"random\" and none", d.SessionID)
	}
	switch s.lower.SCSV {
	case "", "first", "last":
	default:
		return nil, fmt.Errorf("hello.lower.scsv is %q, allowed are \"first\" and \"last\"", s.lower.SCSV)
	}
	var err error
	switch d.Format {
	case "sslv2":
		s.format, s.block = hello.FormatSSLv2, false
		if s.challenge < 16 || s.challenge > 32 {
			return nil, fmt.Errorf("hello.challenge is %d, 16 to 32 allowed", s.challenge)
		}
		for _, n := range d.Suites {
			v, err := wire.ParseSSLv2Spec(n)
			if err != nil {
				return nil, fmt.Errorf("hello.suites: %w", err)
			}
			s.sslv2 = append(s.sslv2, v)
			if v <= 0xffff {
				s.suites = append(s.suites, wire.CipherSuite(v))
			}
		}
		if len(s.sslv2) == 0 {
			return nil, fmt.Errorf("hello.suites is empty")
		}
		return s, nil
	case "", "tls":
	default:
		return nil, fmt.Errorf("hello.format is %q, allowed are \"tls\" and \"sslv2\"", d.Format)
	}
	if s.version>>8 != 3 {
		return nil, fmt.Errorf("hello.version is %v, SSL 3.0 to TLS 1.2 expected (TLS 1.3 stands in supported_versions)", s.version)
	}
	if s.record>>8 != 3 {
		return nil, fmt.Errorf("hello.record_version is %v, SSL 3.0 to TLS 1.2 allowed", s.record)
	}
	if s.suites, err = parseAll("hello.suites", d.Suites, wire.ParseCipherSuite); err != nil {
		return nil, err
	}
	if len(s.suites) == 0 {
		return nil, fmt.Errorf("hello.suites is empty")
	}
	if s.compression, err = parseAll("hello.compression", d.Compression, parseCompression); err != nil {
		return nil, err
	}
	if s.drops, err = parseAll("hello.resume.drops", d.Resume.Drops, wire.ParseExtensionType); err != nil {
		return nil, err
	}
	if s.pskDrops, err = parseAll("hello.resume.psk_drops", d.Resume.PSKDrops, wire.ParseExtensionType); err != nil {
		return nil, err
	}
	if d.Padding != nil {
		t, err := wire.ParseExtensionType(d.Padding.Extension)
		if err != nil {
			return nil, fmt.Errorf("hello.padding.extension: %w", err)
		}
		s.padding = &paddingSpec{t, d.Padding.From, d.Padding.To, d.Padding.Min}
	}
	if d.ECH != nil && (len(d.ECH.AEADs) == 0 || len(d.ECH.Payloads) == 0) {
		return nil, fmt.Errorf("hello.ech needs at least one of aeads and one of payloads")
	}
	for _, b := range d.GREASEBodies {
		raw, err := hex.DecodeString(b)
		if err != nil {
			return nil, fmt.Errorf("hello.grease_bodies: %q is not hex", b)
		}
		s.greaseBody = append(s.greaseBody, raw)
	}
	grease := 0
	for _, name := range d.Extensions {
		e, err := d.compileExtension(s, name, &grease)
		if err != nil {
			return nil, err
		}
		s.exts = append(s.exts, e)
	}
	return s, nil
}

func parseAll[T any](key string, names []string, parse func(string) (T, error)) ([]T, error) {
	out := make([]T, len(names))
	for i, n := range names {
		v, err := parse(n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		out[i] = v
	}
	return out, nil
}
