package symptom

import "strings"

// forms are the kinds of lines that a needle hints at.
type forms uint16

const (
	formCode    forms = 1 << iota // a code of OpenSSL's
	formNginx                     // nginx's error log
	formHAProxy                   // HAProxy's own lines and its httplog and tcplog
	formApache
	formGo
	formKernel
	formAccess // an access log
	formOther  // stunnel, mail servers, Envoy, Windows
	formClient // what a client program logs: words
)

// needles are the parts of lines that are worth a closer look, in lower case. A line without any of them
// is passed over.
var needles = []struct {
	text string
	form forms
}{
	{":ssl routines:", formCode}, {"ssl library error", formCode | formApache}, {"provider routines", formCode},
	{"error:14", formCode}, {"error:0a0", formCode},
	{":ssl_routines:", formCode}, {"openssl_internal", formCode | formOther},
	{"ssl_do_handshake", formNginx}, {"ssl_read()", formNginx}, {"ssl_write()", formNginx}, {"ssl_shutdown()", formNginx},
	{"ssl handshak", formNginx | formHAProxy | formApache}, {"worker_connections", formNginx}, {"accept4() failed", formNginx},
	{"accept() failed", formNginx}, {"too many open files", formNginx | formHAProxy | formApache | formGo}, {"upstream timed out", formNginx},
	{"upstream prematurely", formNginx}, {"no live upstreams", formNginx}, {"to upstream", formNginx}, {"from upstream", formNginx},
	{"plain http request", formNginx}, {"invalid method", formNginx | formApache}, {"client timed out", formNginx}, {"client prematurely", formNginx}, {"ssl certificate", formNginx},
	{"open socket", formNginx}, {"ssl session shared cache", formNginx}, {"handshake rejected", formNginx}, {"recv() failed", formNginx},
	{"limiting connections", formNginx}, {"limiting requests", formNginx}, {"ssl_stapling", formNginx}, {"ssl_error_", formNginx},
	{"during ssl", formHAProxy}, {"badreq", formHAProxy}, {"proxy protocol header", formHAProxy | formNginx}, {"ssl client ca", formHAProxy},
	{"maxconn", formHAProxy}, {" sc-- ", formHAProxy}, {" sc ", formHAProxy}, {" sd-- ", formHAProxy}, {" sh-- ", formHAProxy},
	{" sq-- ", formHAProxy}, {" cd-- ", formHAProxy}, {" ch-- ", formHAProxy}, {" cr-- ", formHAProxy}, {" cc-- ", formHAProxy},
	{" cq-- ", formHAProxy}, {" pr-- ", formHAProxy}, {" rc-- ", formHAProxy}, {" sd ", formHAProxy}, {" cd ", formHAProxy},
	{"ah01", formApache}, {"ah02", formApache}, {"ah00", formApache}, {"maxrequestworkers", formApache}, {"maxclients", formApache},
	{"http spoken on https", formApache}, {"ssl input filter", formApache},
	{"tls handshake error", formGo}, {"remote error: tls", formGo | formClient},
	{"is down, reason:", formHAProxy}, {"has no server available", formHAProxy}, {" ph-- ", formHAProxy}, {" pc-- ", formHAProxy},
	{"ssl_accept", formOther}, {"schannel", formOther},
	{"net_error", formClient}, {"net::err_", formClient}, {"err_ssl_", formClient}, {"err_cert_", formClient}, {"err_connection_", formClient},
	{"sslhandshakeexception", formClient}, {"sslexception", formClient}, {"sslprotocolexception", formClient}, {"fatal alert", formClient | formOther},
	{"pkix path", formClient}, {"[ssl: ", formClient}, {"curl: (", formClient}, {"x509: ", formClient}, {"certificate verify failed", formClient},
	{"ssl_error_", formClient}, {"sec_error_", formClient}, {"mozilla_pkix_", formClient}, {"errordomainssl", formClient}, {"nsurlerrordomain", formClient},
	{"sec_e_", formClient}, {"0x8009", formClient}, {"eproto", formClient}, {"gnutls_", formClient}, {"secure channel", formClient},
	{"no cipher suites in common", formClient}, {"client requested protocol", formClient}, {"none of the cipher suites", formOther | formClient},
	{"syn flooding", formKernel}, {"conntrack: table full", formKernel}, {"conntrack table full", formKernel},
	{"bucket table overflow", formKernel}, {"orphaned sockets", formKernel}, {"tcp: out of memory", formKernel},
	{"\" 400 ", formAccess}, {"\" 408 ", formAccess}, {"\" 421 ", formAccess}, {"\" 425 ", formAccess}, {"\" 494 ", formAccess}, {"\" 495 ", formAccess},
	{"\" 496 ", formAccess}, {"\" 497 ", formAccess}, {"\" 499 ", formAccess}, {"\" 500 ", formAccess}, {"\" 502 ", formAccess}, {"\" 503 ", formAccess},
	{"\" 504 ", formAccess}, {"\"status\":", formAccess}, {"status=", formAccess},
}

// searcher finds all needles of a set in a text, skipping most of its bytes (Wu and Manber, "A fast algorithm for
// multi-pattern searching", 1994): each needle is known by four of its bytes, the rarest it has; the last two of four
// bytes of the text tell how far the next place is where such a four may end.
type searcher struct {
	shift [1 << 16]uint8  // by two bytes, as they stand in the text
	first [1 << 16]uint16 // where shift is 0: the first needle to compare, counted from 1
	kept  []keptNeedle
}

type keptNeedle struct {
	text string
	form forms
	off  int    // of the four bytes
	next uint16 // another needle with the same last two of its four, counted from 1
}

const window = 4

// common are the bytes that logs are full of.
const common = " etaonisrhldcmuf.0123456789-:/[]\"gpbw,"

func newSearcher() *searcher {
	s := &searcher{}
	for i := range s.shift {
		s.shift[i] = window - 1
	}
	for _, n := range needles {
		k := keptNeedle{text: n.text, form: n.form, off: rarest(n.text)}
		four := n.text[k.off : k.off+window]
		for j := 1; j < window; j++ {
			for _, b := range inBothCases(four[j-1], four[j]) {
				s.shift[b] = min(s.shift[b], uint8(window-1-j))
			}
		}
		s.kept = append(s.kept, k)
		last := &s.kept[len(s.kept)-1]
		for _, b := range inBothCases(four[window-2], four[window-1]) {
			last.next = s.first[b] // the same for all four: they are only set together
			s.first[b] = uint16(len(s.kept))
		}
	}
	return s
}

// rarest is where the four bytes begin whose last two are the least common.
func rarest(needle string) (off int) {
	if len(needle) < window {
		panic("needle too short: " + needle)
	}
	best := -1
	for i := 0; i+window <= len(needle); i++ {
		rare := 0
		for j, weight := range [window]int{1, 1, 40, 40} {
			at := strings.IndexByte(common, needle[i+j])
			if at < 0 {
				at = len(common)
			}
			rare += weight * at
		}
		if rare > best {
			best, off = rare, i
		}
	}
	return off
}

// inBothCases are the pairs of bytes that are a and b in any case.
func inBothCases(a, b byte) (list []int) {
	for _, x := range cases(a) {
		for _, y := range cases(b) {
			list = append(list, int(x)<<8|int(y))
		}
	}
	return list
}

func cases(c byte) []byte {
	if c >= 'a' && c <= 'z' {
		return []byte{c, c - 'a' + 'A'}
	}
	return []byte{c}
}

// find gives the forms that the needles in a line hint at.
func (s *searcher) find(line []byte) (f forms) {
	for i := window - 1; i < len(line); {
		pair := int(line[i-1])<<8 | int(line[i])
		if n := s.shift[pair]; n > 0 {
			i += int(n)
			continue
		}
		for k := s.first[pair]; k > 0; k = s.kept[k-1].next {
			n := &s.kept[k-1]
			from := i - (window - 1) - n.off
			if f&n.form != n.form && from >= 0 && from+len(n.text) <= len(line) && foldedEqual(line[from:from+len(n.text)], n.text) {
				f |= n.form
			}
		}
		i++
	}
	return f
}

// foldedEqual compares with a text in lower case.
func foldedEqual(b []byte, lower string) bool {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
