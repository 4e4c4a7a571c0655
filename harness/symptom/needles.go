package symptom

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
	{"plain http request", formNginx}, {"client timed out", formNginx}, {"client prematurely", formNginx}, {"ssl certificate", formNginx},
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

// searcher finds all needles of a set in one pass over a text: an Aho-Corasick automaton with its failure
// links resolved. Bytes that no needle has share a column, so that the table stays in the processor's cache.
type searcher struct {
	column [256]uint8 // of a byte; upper and lower case share one
	next   []uint32   // row of a state and column of a byte -> row of the next state, with found set where a needle ends
	hits   []forms    // by row / columns
}

const (
	columns = 64
	found   = 1 << 31
)

func newSearcher() *searcher {
	s := &searcher{next: make([]uint32, columns), hits: make([]forms, 1)}
	used := 0
	for _, n := range needles {
		at := uint32(0)
		for _, c := range []byte(n.text) {
			if s.column[c] == 0 {
				used++
				s.column[c] = uint8(used)
				if c >= 'a' && c <= 'z' {
					s.column[c-'a'+'A'] = uint8(used)
				}
			}
			edge := at + uint32(s.column[c])
			if s.next[edge] == 0 {
				s.next[edge] = uint32(len(s.next))
				s.next = append(s.next, make([]uint32, columns)...)
				s.hits = append(s.hits, 0)
			}
			at = s.next[edge]
		}
		s.hits[at/columns] |= n.form
	}
	if used >= columns {
		panic("needles: more different bytes than columns")
	}
	s.resolve()
	return s
}

// resolve fills in, breadth first, where a state goes on a byte that continues no needle: where its longest
// proper suffix goes.
func (s *searcher) resolve() {
	fail := make([]uint32, len(s.hits))
	var queue []uint32
	for c := range uint32(columns) {
		if n := s.next[c]; n != 0 {
			queue = append(queue, n)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		back := fail[at/columns]
		s.hits[at/columns] |= s.hits[back/columns]
		for c := range uint32(columns) {
			n := s.next[at+c]
			if n == 0 {
				s.next[at+c] = s.next[back+c]
				continue
			}
			fail[n/columns] = s.next[back+c]
			queue = append(queue, n)
		}
	}
	for i, n := range s.next {
		if s.hits[n/columns] != 0 {
			s.next[i] |= found
		}
	}
}

// find gives the forms that the needles in a line hint at.
func (s *searcher) find(line []byte) (f forms) {
	at := uint32(0)
	for _, c := range line {
		e := s.next[at+uint32(s.column[c])]
		at = e &^ found
		if e != at {
			f |= s.hits[at/columns]
		}
	}
	return f
}
