package symptom

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode"

	"tlsurge/results"
)

// Layout is how an OpenSSL release packs an error into a number (err.h).
type Layout uint8

const (
	LayoutUnknown Layout = iota
	LayoutOld            // to 1.0.2: library<<24 | function<<12 | reason
	Layout11             // 1.1.0 and 1.1.1: the same, with the functions of the new state machine
	Layout3              // 3.0 on: library<<23 | reason
	LayoutBoring         // BoringSSL: library<<24 | reason, other numbers for both; received alerts are the same
)

// packed is an error code taken apart.
type packed struct {
	layout   Layout
	library  int
	function int // 0 in Layout3
	reason   int
}

const (
	librarySSL = 20
	// newFunctions is the first function number that only 1.1.0 and later use; older numbers are shared.
	newFunctions = 345
	// libraryBoring is SSL in BoringSSL, whose functions are all 0 (err.h).
	libraryBoring = 16
	// alertReasons: the reason for a received alert is 1000 and its number (sslerr.h, SSL_AD_REASON_OFFSET).
	alertReasons = 1000
)

// unpack takes a code of eight hexadecimal digits apart by rule. Library 20 << 23 is 0x0A000000 and
// 20 << 24 is 0x14000000, so the first digits tell the layouts apart.
func unpack(code uint32) packed {
	if code>>23 == librarySSL {
		return packed{Layout3, librarySSL, 0, int(code & 0x7fffff)}
	}
	p := packed{LayoutOld, int(code >> 24), int(code >> 12 & 0xfff), int(code & 0xfff)}
	if p.library == libraryBoring && p.function == 0 {
		return packed{LayoutBoring, librarySSL, 0, boringReason(p.reason)}
	}
	switch {
	case p.library != librarySSL && code&0x7f800 == 0: // another library of 3.x: small reasons, no function
		return packed{Layout3, int(code >> 23), 0, int(code & 0x7fffff)}
	case p.function >= newFunctions:
		p.layout = Layout11
	}
	return p
}

// boringReasons are some of BoringSSL's numbers (ssl/ssl.errordata), as OpenSSL's; for the others the text counts.
var boringReasons = map[int]int{125: 134, 156: 156, 184: 193, 192: 199, 240: 258, 247: 267}

func boringReason(n int) int {
	if n >= alertReasons {
		return n
	}
	return boringReasons[n]
}

// parseCode reads a packed code from its eight digits.
func parseCode(s string) (packed, bool) {
	if len(s) != 8 {
		return packed{}, false
	}
	n, err := strconv.ParseUint(s, 16, 32)
	return unpack(uint32(n)), err == nil
}

// alert is the number of the received alert that a reason stands for, -1 for none.
func (p packed) alert() int {
	if p.library == librarySSL && p.reason >= alertReasons && p.reason < alertReasons+256 {
		return p.reason - alertReasons
	}
	return -1
}

// samePacked says whether two codes tell the same. Codes of one layout must be equal; across layouts the
// library and the reason decide (140A1175, 14209175 and 0A000175 are all "inappropriate fallback"), since
// functions were renamed and then dropped. From 1.1.0 to 1.1.1 they were renamed within the layout (1417D18C and 1420918C).
func samePacked(a, b string) bool {
	if a == b {
		return true
	}
	p, ok1 := parseCode(a)
	q, ok2 := parseCode(b)
	if !ok1 || !ok2 || p.library != q.library {
		return false
	}
	return (p.layout != q.layout || p.layout == Layout11) && p.reason == q.reason && p.reason != 0
}

// libraryError is one entry of OpenSSL's error queue as it stands in a text.
type libraryError struct {
	code   string // upper case
	reason []byte // aliases the text
	end    int    // where it ends in the text
	packed
}

// findLibraryError finds the next "error:CODE:library:function:reason" from offset on. The reason ends at
// a bracket, a colon, a comma, a quote or the next error.
func findLibraryError(text []byte, from int) (e libraryError, at int, ok bool) {
	for at = from; ; {
		i := indexFold(text[at:], "error:")
		if i < 0 {
			return e, 0, false
		}
		at += i
		rest := text[at+len("error:"):]
		if len(rest) > 0 && rest[0] == ' ' { // wrapped after the colon
			rest = rest[1:]
		}
		n := 0
		for n < len(rest) && isHex(rest[n]) {
			n++
		}
		if n < 6 || n > 8 || n == len(rest) || rest[n] != ':' {
			if code, behind := decimalCode(rest); code != "" {
				e.code = code
				return takeReason(e, text, at, behind), at, true
			}
			at += len("error:")
			continue
		}
		var hex [8]byte // leading zeros are left out by some printers
		copy(hex[:], "00000000")
		copy(hex[8-n:], bytes.ToUpper(rest[:n]))
		e.code = string(hex[:])
		return takeReason(e, text, at, rest[n+1:]), at, true
	}
}

// decimalCode reads a code that is printed as a decimal number, as Envoy does: "TLS_error:|268436496:SSL routines:…".
func decimalCode(rest []byte) (code string, behind []byte) {
	rest = bytes.TrimPrefix(rest, []byte("|"))
	n := digits(rest)
	if n < 9 || n > 10 || n == len(rest) || rest[n] != ':' || !bytes.HasPrefix(rest[n+1:], []byte("SSL routines:")) && !bytes.HasPrefix(rest[n+1:], []byte("SSL_routines:")) {
		return "", nil
	}
	number, err := strconv.ParseUint(string(rest[:n]), 10, 32)
	if err != nil {
		return "", nil
	}
	return fmt.Sprintf("%08X", number), rest[n+1:]
}

// takeReason reads what follows the code, "library:function:reason…".
func takeReason(e libraryError, text []byte, at int, rest []byte) libraryError {
	e.packed, _ = parseCode(e.code)
	for range 2 { // library, function
		c := bytes.IndexByte(rest, ':')
		if c < 0 || c > 80 {
			break
		}
		rest = rest[c+1:]
	}
	stop := bytes.IndexAny(rest, "():,;\"'\\<>\n")
	if stop < 0 {
		stop = len(rest)
	}
	if next := indexFold(rest[:min(stop+1, len(rest))], " error:"); next >= 0 && isHex6(rest[next+len(" error:"):]) { // not "internal error:"
		stop = next
	}
	if e.packed.alert() >= 0 && e.layout != LayoutBoring { // the words of alerts are in lower case: what follows is somebody else's
		if i := bytes.IndexFunc(rest[:stop], unicode.IsUpper); i > 0 {
			stop = i
		}
	}
	e.reason = bytes.TrimSpace(rest[:stop])
	if e.layout == LayoutBoring { // CERTIFICATE_VERIFY_FAILED
		e.reason = bytes.ReplaceAll(bytes.ToLower(e.reason), []byte("_"), []byte(" "))
		if n, known := reasonNumbers[string(e.reason)]; known && e.packed.reason == 0 {
			e.packed.reason = n
		}
	}
	if known := reasonTexts[e.packed.reason]; known != "" && e.library == librarySSL {
		e.reason = []byte(known) // the text may be wrapped, or another line's
	}
	e.end = cap(text) - cap(rest) + stop
	return e
}

// isHex6 says whether the beginning of a code follows.
func isHex6(b []byte) bool {
	b = bytes.TrimLeft(b[:min(len(b), 7)], " ")
	for _, c := range b[:min(len(b), 6)] {
		if !isHex(c) {
			return false
		}
	}
	return len(b) >= 6
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// indexFold is bytes.Index for a lower-case ASCII needle, whatever the case of the text.
func indexFold(text []byte, needle string) int {
	first := needle[0]
	upper := first
	if first >= 'a' && first <= 'z' {
		upper -= 'a' - 'A'
	}
	for i := 0; i+len(needle) <= len(text); i++ {
		if c := text[i]; c != first && c != upper {
			continue
		}
		if bytes.EqualFold(text[i:i+len(needle)], []byte(needle)) {
			return i
		}
	}
	return -1
}

// clientClass is what a client's own library error means for its attempt; received alerts are peer_alert.
// Numbers are OpenSSL's reasons (sslerr.h).
var clientClass = map[int]results.Class{
	134: results.ClassCertificate, // certificate verify failed
	294: results.ClassEOF,         // unexpected eof while reading
	267: results.ClassLocalAlert,  // wrong version number
	258: results.ClassLocalAlert,  // unsupported protocol
	252: results.ClassLocalAlert,  // unknown protocol
	394: results.ClassLocalAlert,  // dh key too small
	372: results.ClassLocalAlert,  // dh key too small, to 1.0.2
	338: results.ClassLocalAlert,  // unsafe legacy renegotiation disabled
	281: results.ClassLocalAlert,  // decryption failed or bad record mac
	244: results.ClassLocalAlert,  // unexpected message
	245: results.ClassLocalAlert,  // unexpected record
	261: results.ClassLocalAlert,  // wrong cipher returned
	248: results.ClassLocalAlert,  // unknown cipher returned
	123: results.ClassLocalAlert,  // bad signature
}

// serverReasons are refusals that only a server makes.
var serverReasons = map[int]bool{
	215: true, // required cipher missing
	373: true, // inappropriate fallback
	193: true, // no shared cipher
	101: true, // no suitable key share
	156: true, // http request
	155: true, // https proxy request
	183: true, // no ciphers specified
	187: true, // no compression specified
	199: true, // peer did not return a certificate
	235: true, // no application protocol
	226: true, // clienthello tlsext
	396: true, // version too low
}

// reasonTexts are the library's words for reasons that reports quote by code alone.
var reasonTexts = map[int]string{
	215: "required cipher missing", 373: "inappropriate fallback", 193: "no shared cipher", 101: "no suitable key share",
	156: "http request", 155: "https proxy request", 183: "no ciphers specified", 187: "no compression specified",
	199: "peer did not return a certificate", 235: "no application protocol", 226: "clienthello tlsext", 396: "version too low",
	258: "unsupported protocol", 252: "unknown protocol", 267: "wrong version number", 281: "decryption failed or bad record mac",
	159: "length mismatch", 244: "unexpected message", 245: "unexpected record", 149: "digest check failed",
	134: "certificate verify failed", 294: "unexpected eof while reading", 394: "dh key too small", 372: "dh key too small",
}

var reasonNumbers = func() map[string]int {
	m := map[string]int{}
	for n, text := range reasonTexts {
		m[text] = n
	}
	return m
}()
