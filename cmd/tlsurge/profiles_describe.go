package main

import (
	"fmt"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// field is one line about a hello.
type field struct {
	name  string
	value any
}

// describeHello decodes a hello for people, in the order in which it stands on the wire.
func describeHello(ch *hello.ClientHello) []field {
	fs := []field{
		{"record_version", ch.RecordVersion.String()},
		{"client_version", ch.Version.String()},
		{"bytes", len(ch.AppendRecords(nil))},
		{"session_id_bytes", len(ch.SessionID)},
	}
	if ch.Format == hello.FormatSSLv2 {
		var specs []string
		for _, s := range ch.SSLv2Suites {
			specs = append(specs, wire.SSLv2SpecString(s))
		}
		return append(fs, field{"format", "SSLv2"}, field{"cipher_specs", specs})
	}
	var extensions []string
	for _, e := range ch.Extensions {
		extensions = append(extensions, fmt.Sprintf("%v (%d bytes)", e.Type, len(e.Data)))
	}
	fs = append(fs, field{"cipher_suites", names(ch.Suites)}, field{"extensions", extensions})
	if host := ch.ServerName(); host != "" {
		fs = append(fs, field{"server_name", host})
	}
	for _, list := range []field{
		{"supported_versions", names(ch.SupportedVersions())}, {"groups", names(ch.Groups())},
		{"signature_algorithms", names(ch.SignatureAlgorithms())}, {"alpn", ch.ALPN()},
	} {
		if len(list.value.([]string)) > 0 {
			fs = append(fs, list)
		}
	}
	return append(fs, field{"fallback_scsv", ch.HasSuite(wire.FallbackSCSV)},
		field{"ja3", ch.JA3Hash()}, field{"ja4", ch.JA4()})
}

func names[T fmt.Stringer](list []T) (out []string) {
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}
