package hello

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tlsurge/profiles/wire"
)

// JA3 gives the JA3 string: client_version, suites, extensions, groups and point formats in decimal, in
// order, GREASE left out. It is "" for the SSLv2 format, for which JA3 is not defined.
func (ch *ClientHello) JA3() string {
	if ch.Format == FormatSSLv2 {
		return ""
	}
	var b strings.Builder
	b.WriteString(strconv.Itoa(int(ch.Version)))
	b.WriteByte(',')
	dashed(&b, ch.Suites)
	b.WriteByte(',')
	types := make([]wire.ExtensionType, len(ch.Extensions))
	for i, e := range ch.Extensions {
		types[i] = e.Type
	}
	dashed(&b, types)
	b.WriteByte(',')
	dashed(&b, ch.Groups())
	b.WriteByte(',')
	for i, f := range ch.PointFormats() {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(strconv.Itoa(int(f)))
	}
	return b.String()
}

func dashed[T ~uint16](b *strings.Builder, vs []T) {
	first := true
	for _, v := range vs {
		if wire.IsGREASE(uint16(v)) {
			continue
		}
		if !first {
			b.WriteByte('-')
		}
		first = false
		b.WriteString(strconv.Itoa(int(v)))
	}
}

// JA3Hash gives the MD5 of JA3 in lower-case hex, "" where JA3 is not defined.
func (ch *ClientHello) JA3Hash() string {
	s := ch.JA3()
	if s == "" {
		return ""
	}
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// JA4 gives the JA4 fingerprint of a hello sent over TCP, "" for the SSLv2 format.
//
// t, version, d or i for SNI or none, number of suites and of extensions, first and last character of the
// first ALPN value; then the first twelve hex digits of SHA-256 over the sorted suites, and the same over
// the sorted extensions (SNI and ALPN left out) with the signature algorithms in their order. GREASE is
// ignored throughout.
func (ch *ClientHello) JA4() string {
	if ch.Format == FormatSSLv2 {
		return ""
	}
	version := ch.Version
	if vs := ch.SupportedVersions(); len(vs) > 0 {
		version = 0
		for _, v := range vs {
			if !wire.IsGREASE(uint16(v)) {
				version = max(version, v)
			}
		}
	}
	sni := "i"
	var suites, exts, schemes []string
	for _, s := range ch.Suites {
		if !wire.IsGREASE(uint16(s)) {
			suites = append(suites, fmt.Sprintf("%04x", uint16(s)))
		}
	}
	count := 0
	for _, e := range ch.Extensions {
		if wire.IsGREASE(uint16(e.Type)) {
			continue
		}
		count++
		switch e.Type {
		case wire.ExtServerName:
			sni = "d"
		case wire.ExtALPN:
		default:
			exts = append(exts, fmt.Sprintf("%04x", uint16(e.Type)))
		}
	}
	for _, s := range ch.SignatureAlgorithms() {
		if !wire.IsGREASE(uint16(s)) {
			schemes = append(schemes, fmt.Sprintf("%04x", uint16(s)))
		}
	}
	slices.Sort(suites)
	slices.Sort(exts)
	list := strings.Join(exts, ",")
	if len(schemes) > 0 {
		list += "_" + strings.Join(schemes, ",")
	}
	return fmt.Sprintf("t%s%s%02d%02d%s_%s_%s", ja4Version(version), sni, min(len(suites), 99), min(count, 99),
		ja4ALPN(ch.ALPN()), sha12(strings.Join(suites, ",")), sha12(list))
}

func sha12(s string) string {
	if s == "" {
		return "000000000000"
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

func ja4Version(v wire.Version) string {
	switch v {
	case wire.TLS13:
		return "13"
	case wire.TLS12:
		return "12"
	case wire.TLS11:
		return "11"
	case wire.TLS10:
		return "10"
	case wire.SSL30:
		return "s3"
	case wire.SSL20:
		return "s2"
	}
	return "00"
}

func ja4ALPN(protocols []string) string {
	if len(protocols) == 0 || protocols[0] == "" {
		return "00"
	}
	p := protocols[0]
	first, last := p[0], p[len(p)-1]
	if alnum(first) && alnum(last) {
		return string([]byte{first, last})
	}
	// Either end not alphanumeric: the first and last digit of the value in hex.
	h := hex.EncodeToString([]byte(p))
	return h[:1] + h[len(h)-1:]
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
