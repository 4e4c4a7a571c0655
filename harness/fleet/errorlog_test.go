package fleet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tlsurge/results"
)

func TestParseErrorLine(t *testing.T) {
	for _, tc := range []struct {
		why, line string
		want      results.LogLine // zero: not a line of the log
	}{
		{"the thread's first error",
			"2015/01/13 12:22:59 [crit] 11871#0: *140260577 SSL_do_handshake() failed (SSL: error:1408A0D7:SSL routines:SSL3_GET_CLIENT_HELLO:required cipher missing) while SSL handshaking, client: 192.0.2.1, server: 0.0.0.0:443",
			results.LogLine{Level: "crit", Code: "1408A0D7", Reason: "required cipher missing"}},
		{"OpenSSL 3 names no function",
			"2026/01/13 12:22:59 [crit] 71#71: *5 SSL_do_handshake() failed (SSL: error:0A000175:SSL routines::inappropriate fallback) while SSL handshaking, client: 127.0.0.1, server: 127.0.0.11:8443",
			results.LogLine{Level: "crit", Code: "0A000175", Reason: "inappropriate fallback"}},
		{"details behind the reason, and a second error of the queue",
			"2026/01/13 12:22:59 [info] 71#71: *5 SSL_do_handshake() failed (SSL: error:0a000412:SSL routines::sslv3 alert bad certificate:SSL alert number 42 error:0A000126:SSL routines::unexpected eof) while SSL handshaking, client: 127.0.0.1",
			results.LogLine{Level: "info", Code: "0A000412", Reason: "sslv3 alert bad certificate"}},
		{"where it was and what errno said are left out too, as the bundled edge counts it",
			"2026/01/13 12:22:59 [info] 71#71: *6 peer closed connection in SSL handshake (104: Connection reset by peer) while SSL handshaking, client: 127.0.0.1, server: 127.0.0.11:8443",
			results.LogLine{Level: "info", Reason: "peer closed connection in SSL handshake"}},
		{"parentheses that hold no errno stay",
			"2026/01/13 12:22:59 [warn] 71#71: *6 an answer (buffered) is slow, client: 127.0.0.1", results.LogLine{Level: "warn", Reason: "an answer (buffered) is slow"}},
		{"no code: the text without the connection",
			"2026/01/13 12:22:59 [info] 71#71: *6 client closed connection while SSL handshaking, client: 127.0.0.1, server: 127.0.0.11:8443",
			results.LogLine{Level: "info", Reason: "client closed connection"}},
		{"not about a connection",
			"2026/01/13 12:22:59 [alert] 71#71: 1024 worker_connections are not enough",
			results.LogLine{Level: "alert", Reason: "worker_connections are not enough"}},
		{"no level", "2026/01/13 12:22:59 71#71: hello", results.LogLine{}},
		{"empty", "", results.LogLine{}},
	} {
		got, ok := parseErrorLine(tc.line)
		if got != tc.want || ok != (tc.want != results.LogLine{}) {
			t.Errorf("%s: %+v, want %+v", tc.why, got, tc.want)
		}
	}
}

func TestLogCounterReadsWhatIsNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "error.log")
	l := &logCounter{path: path, read: nginxLine}
	if got := l.count(); got != nil {
		t.Errorf("a log that is not there yet counts %v", got)
	}
	const line = "2026/01/13 12:22:59 [info] 71#71: *6 client closed connection, client: 127.0.0.1\n"
	for _, step := range []struct {
		why, text string
		want      int64
	}{
		{"a line and the beginning of another", line + line[:30], 1},
		{"the rest of it", line[30:], 2},
		{"nothing new", "", 2},
		{"three more", strings.Repeat(line, 3), 5},
	} {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(step.text)
		f.Close()
		want := []results.LogLine{{Level: "info", Reason: "client closed connection", Count: step.want}}
		if diff := cmp.Diff(want, l.count()); diff != "" {
			t.Errorf("%s: %s", step.why, diff)
		}
	}
}

// FuzzParseErrorLine: a code is eight upper-case hex digits or absent, and a line that is read has a level.
func FuzzParseErrorLine(f *testing.F) {
	f.Add("2015/01/13 12:22:59 [crit] 11871#0: *1 SSL_do_handshake() failed (SSL: error:1408A0D7:SSL routines:SSL3_GET_CLIENT_HELLO:required cipher missing) while SSL handshaking, client: 192.0.2.1")
	f.Add(" [info] 1#1: error:")
	f.Fuzz(func(t *testing.T, line string) {
		l, ok := parseErrorLine(line)
		if ok && strings.ContainsAny(l.Level, " []") || !ok && l != (results.LogLine{}) {
			t.Errorf("%q: %+v, %t", line, l, ok)
		}
		if l.Code != "" && (!isHex8(l.Code) || l.Code != strings.ToUpper(l.Code)) {
			t.Errorf("%q: code %q", line, l.Code)
		}
	})
}
