package symptom

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tlsurge/profiles"
	"tlsurge/profiles/wire"
)

// errorName has the form of the error names of browsers and libraries.
var errorName = regexp.MustCompile(`(?i)\b(?:ERR|SSL_ERROR|SEC_ERROR|MOZILLA_PKIX_ERROR|PR|NS_ERROR|CURLE|GNUTLS_E|ERROR_INTERNET|ERROR_WINHTTP|WININET_E|INET_E|SEC_E|CERT_E|DLG_FLAGS|SSLV3_ALERT|TLSV1_ALERT|TLSV13_ALERT|X509_V_ERR)_[A-Z][A-Z0-9_]+\b|\b(?:errSSL|kCFURLError|NSURLError)[A-Z][A-Za-z]+\b`)

// typo is how many letters may be wrong in a name that is still taken for the known one.
const typo = 2

// misspelled says which words look like names of errors and are not known. One that is almost a known name is
// read as that; for others the nearest is suggested.
func misspelled(text string, hits []hit) ([]hit, []string) {
	var notes []string
	for _, m := range errorName.FindAllStringIndex(text, -1) {
		name := text[m[0]:m[1]]
		if words().find(tokens(name)) != nil || strings.HasSuffix(name, "Domain") || strings.HasPrefix(text[m[1]:], "/") {
			continue
		}
		at := hit{start: m[0], end: m[1]}
		if slices.ContainsFunc(hits, func(h hit) bool { return h.start <= at.start && h.end >= at.end }) {
			continue
		}
		hits = slices.DeleteFunc(hits, func(h hit) bool { return h.start >= at.start && h.end <= at.end }) // parts of it
		upper := strings.ToUpper(name)
		best := profiles.Closest(upper, kin(upper))
		note := fmt.Sprintf("%s is no error name known here; did you mean %q?", name, best)
		if wire.EditDistance(upper, strings.ToUpper(best)) <= typo {
			note = fmt.Sprintf("%s is read as %s", name, best)
			at.entry = words().find(tokens(best))
			at.means, at.sig = at.entry.means, at.entry.signature(best)
			hits = append(hits, at)
		}
		if !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	return hits, notes
}

// kin are the known names that begin as a wrong one does, as far as any does: ERR_SSL_FOO is meant for one of
// ERR_SSL_, errSSLFoo for one of errSSL.
func kin(name string) []string {
	for end := len(name); end > 0; {
		var same []string
		for _, n := range words().names {
			if strings.HasPrefix(strings.ToUpper(n), name[:end]) {
				same = append(same, n)
			}
		}
		if len(same) > 0 {
			return same
		}
		if i := strings.LastIndexByte(name[:end-1], '_'); i > 0 {
			end = i + 1
		} else {
			end--
		}
	}
	return words().names
}
