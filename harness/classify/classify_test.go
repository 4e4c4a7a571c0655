package classify

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tlsurge/harness/engine"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

var cases = []struct {
	why  string
	err  error
	at   Stage
	want results.Class
}{
	{"no error", nil, Open, results.ClassOK},
	{"a RST to the SYN", syscall.ECONNREFUSED, Connecting, results.ClassConnectRefused},
	{"the kernel gives up on the SYN", syscall.ETIMEDOUT, Connecting, results.ClassConnectTimeout},
	{"we give up on the SYN", ErrTimeout, Connecting, results.ClassConnectTimeout},
	{"no route", syscall.EHOSTUNREACH, Connecting, results.ClassConnectTimeout},
	{"a RST in the TCP handshake", syscall.ECONNRESET, Connecting, results.ClassConnectReset},
	{"a RST in the TLS handshake", syscall.ECONNRESET, Handshaking, results.ClassReset},
	{"a write to a peer that is gone", syscall.EPIPE, Handshaking, results.ClassReset},
	{"a FIN in the TLS handshake", &engine.EOFError{State: "WAIT_SH"}, Handshaking, results.ClassEOF},
	{"a FIN before the engine had a say", io.ErrUnexpectedEOF, Handshaking, results.ClassEOF},
	{"we give up on the handshake", ErrTimeout, Handshaking, results.ClassHandshakeTimeout},
	{"the server's alert", &engine.PeerAlert{Description: wire.AlertInappropriateFallback}, Handshaking, results.ClassPeerAlert},
	{"the server's alert, later", &engine.PeerAlert{Description: wire.AlertInternalError}, Open, results.ClassPeerAlert},
	{"our alert", &engine.LocalAlert{Description: wire.AlertBadRecordMAC, Cause: engine.ErrBadRecordMAC}, Handshaking, results.ClassLocalAlert},
	{"our alert over a certificate", &engine.LocalAlert{Description: wire.AlertUnknownCA,
		Cause: fmt.Errorf("%w: %w", engine.ErrCertificate, engine.ErrUnknownCA)}, Handshaking, results.ClassCertificate},
	{"a RST under a request", syscall.ECONNRESET, Open, results.ClassRequestReset},
	{"a close under a request", io.EOF, Open, results.ClassRequestEOF},
	{"a FIN without close_notify under a request", &engine.EOFError{State: "CONNECTED"}, Open, results.ClassRequestEOF},
	{"a FIN where only close_notify could tell", ErrNoCloseNotify, Open, results.ClassTruncated},
	{"we give up on the answer", ErrTimeout, Open, results.ClassRequestTimeout},
	{"the answer is a 502", fmt.Errorf("%w: status 502", ErrStatus), Open, results.ClassHTTPStatus},
	{"the answer is no HTTP", fmt.Errorf("%w: two lengths", ErrHTTP), Open, results.ClassHTTPMalformed},
	{"the browser does not like what was agreed on", fmt.Errorf("%w: ERR_X", ErrRefused), Open, results.ClassLocalAlert},
	{"the server wants h2", fmt.Errorf("%w: h2", ErrALPN), Handshaking, results.ClassALPN},
	{"no file descriptor left", syscall.EMFILE, Connecting, results.ClassNoResource},
	{"no port left", syscall.EADDRNOTAVAIL, Connecting, results.ClassNoResource},
	{"no memory for a write", syscall.ENOBUFS, Open, results.ClassNoResource},
}

// Every class is reached, through errors wrapped as callers wrap them.
func TestEveryClass(t *testing.T) {
	reached := map[results.Class]bool{}
	for _, c := range cases {
		for _, err := range []error{c.err, wrap(c.err)} {
			v := Of(err, c.at)
			if v.Class != c.want {
				t.Errorf("%s: %q, want %q", c.why, v.Class, c.want)
			}
			if (v.Alert >= 0) != (v.Sender != "") {
				t.Errorf("%s: alert %d, sender %q", c.why, v.Alert, v.Sender)
			}
		}
		reached[c.want] = true
	}
	for _, class := range declared(t) {
		if !reached[class] {
			t.Errorf("no error leads to class %q", class)
		}
	}
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read in CONNECTED: %w", err)
}

// An error that nobody foresaw is told apart, not filed under something that it is not.
func TestUnknownErrors(t *testing.T) {
	for _, err := range []error{errors.New("?"), syscall.EBADF, syscall.EINVAL} {
		if v := Of(err, Open); v.Class != "" || v.Detail == "" {
			t.Errorf("%v became class %q", err, v.Class)
		}
	}
}

func TestOnlyThisMachineIsBlamedForItself(t *testing.T) {
	for _, class := range declared(t) {
		if OwnFault(class) != (class == results.ClassNoResource) {
			t.Errorf("%q", class)
		}
	}
}

// declared reads the classes from the source that declares them, so that a new one cannot be forgotten.
func declared(t *testing.T) []results.Class {
	f, err := parser.ParseFile(token.NewFileSet(), "../../results/outcome.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []results.Class
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range v.Names {
			if strings.HasPrefix(name.Name, "Class") && i < len(v.Values) {
				s, err := strconv.Unquote(v.Values[i].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, results.Class(s))
			}
		}
		return true
	})
	if len(out) < 18 {
		t.Fatalf("found only %d classes", len(out))
	}
	return out
}

// The table of docs/OUTCOMES.md lists exactly the classes there are.
func TestTheDocumentListsEveryClass(t *testing.T) {
	raw, err := os.ReadFile("../../docs/OUTCOMES.md")
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(raw), "What is not a failure")
	listed := map[results.Class]bool{}
	for line := range strings.Lines(head) {
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			class, _, _ := strings.Cut(rest, "`")
			listed[results.Class(class)] = true
		}
	}
	for _, class := range declared(t) {
		if !listed[class] {
			t.Errorf("docs/OUTCOMES.md does not list %q", class)
		}
		delete(listed, class)
	}
	for class := range listed {
		t.Errorf("docs/OUTCOMES.md lists %q, which there is not", class)
	}
}
