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
)

// needles are the parts of lines that are worth a closer look, in lower case. A line without any of them
// is passed over.
var needles = []struct {
	text string
	form forms
}{
	{":ssl routines:", formCode}, {"ssl library error", formCode | formApache}, {"provider routines", formCode},
	{"error:14", formCode}, {"error:0a0", formCode},
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
	{"tls handshake error", formGo}, {"remote error: tls", formGo},
	{"syn flooding", formKernel}, {"conntrack: table full", formKernel}, {"conntrack table full", formKernel},
	{"bucket table overflow", formKernel}, {"orphaned sockets", formKernel}, {"tcp: out of memory", formKernel},
	{"\" 400 ", formAccess}, {"\" 408 ", formAccess}, {"\" 421 ", formAccess}, {"\" 425 ", formAccess}, {"\" 494 ", formAccess}, {"\" 495 ", formAccess},
	{"\" 496 ", formAccess}, {"\" 497 ", formAccess}, {"\" 499 ", formAccess}, {"\" 500 ", formAccess}, {"\" 502 ", formAccess}, {"\" 503 ", formAccess},
	{"\" 504 ", formAccess}, {"\"status\":", formAccess}, {"status=", formAccess},
}

// searcher finds all needles of a set in one pass over a text: an Aho-Corasick automaton with its failure
// links resolved, a table row per state. Case makes no difference.
type searcher struct {
	next [][256]uint16
	hits []forms
}

func newSearcher() *searcher {
	s := &searcher{next: make([][256]uint16, 1), hits: make([]forms, 1)}
	for _, n := range needles {
		at := uint16(0)
		for _, c := range []byte(n.text) {
			if s.next[at][c] == 0 {
				s.next[at][c] = uint16(len(s.next))
				s.next = append(s.next, [256]uint16{})
				s.hits = append(s.hits, 0)
			}
			at = s.next[at][c]
		}
		s.hits[at] |= n.form
	}
	s.resolve()
	return s
}

// resolve fills in, breadth first, where a state goes on a byte that continues no needle: where its longest
// proper suffix goes.
func (s *searcher) resolve() {
	fail := make([]uint16, len(s.next))
	var queue []uint16
	for c := range 256 {
		if n := s.next[0][c]; n != 0 {
			queue = append(queue, n)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		s.hits[at] |= s.hits[fail[at]]
		for c := range 256 {
			n := s.next[at][c]
			if n == 0 {
				s.next[at][c] = s.next[fail[at]][c]
				continue
			}
			fail[n] = s.next[fail[at]][c]
			queue = append(queue, n)
		}
	}
	for at := range s.next {
		for c := 'A'; c <= 'Z'; c++ {
			s.next[at][c] = s.next[at][c+'a'-'A']
		}
	}
}

// find gives the forms that the needles in a line hint at.
func (s *searcher) find(line []byte) (f forms) {
	at := uint16(0)
	for _, c := range line {
		at = s.next[at][c]
		f |= s.hits[at]
	}
	return f
}
