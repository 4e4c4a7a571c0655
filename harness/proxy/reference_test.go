package proxy

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/keys"
	"tlsurge/profiles"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// The configuration of each recorded server, and the stack that stands for it.
var recordedServers = map[string]Options{
	"nginx-1.6.2-openssl-0.9.8e-tls10": {Stack: "openssl-0.9.8e", Protocols: []string{"TLSv1"},
		Ciphers: "AES128-SHA:AES256-SHA:DES-CBC3-SHA:RC4-SHA:!aNULL:!eNULL:!EXPORT"},
	"nginx-1.6.2-openssl-0.9.8zc-tls10":           {Stack: "openssl-0.9.8zc", Protocols: []string{"TLSv1"}, Source: "builtin:fl-ssl.conf"},
	"nginx-1.6.2-openssl-1.0.2-seedconf":          {Stack: "openssl-1.0.2", Source: "builtin:fl-ssl.conf"},
	"nginx-1.22.1-openssl-3.0-seedconf-seclevel0": {Stack: "openssl-3.0", Source: "builtin:fl-ssl.conf", Ciphers: "@SECLEVEL=0"},
	"nginx-1.22.1-openssl-3.0-default-tls12-13":   {Stack: "openssl-3.0", Protocols: []string{"TLSv1.2", "TLSv1.3"}},
}

// answer is the first thing that a server says, in the words of testdata/reference.jsonl.
type answer struct {
	Version     string `json:"version,omitempty"`
	Cipher      string `json:"cipher,omitempty"`
	Compression int    `json:"compression,omitempty"`
	SessionID   int    `json:"session_id_len,omitempty"`
	Extensions  []int  `json:"extensions,omitempty"`
	HRR         bool   `json:"hrr,omitempty"`
	Record      string `json:"record,omitempty"`
	Alert       []int  `json:"alert,omitempty"`
	Closed      string `json:"closed,omitempty"`
}

// For every hello of the dataset, first and in both forms of a fallback, the edge's answer is the one that the
// real server of that name gave, and its log has the line that goes with it.
func TestAnswersEqualRecordedServers(t *testing.T) {
	p := newPKI(t, "rsa")
	edges := map[string]*edge{}
	for name, o := range recordedServers {
		o.Certificate, o.Key = p.cert, p.key
		if o.Ciphers == "@SECLEVEL=0" {
			o.Ciphers = threadCiphers(t) + ":@SECLEVEL=0"
		}
		edges[name] = startEdge(t, o)
	}
	f, err := os.Open("testdata/reference.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	asked := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var want struct {
			Server, Form, Hello string
			Answer              answer
		}
		if err := json.Unmarshal(sc.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		bytes, err := datasetHello(want.Hello, want.Form)
		if err != nil {
			t.Errorf("%s %s: %v", want.Hello, want.Form, err)
			continue
		}
		e := edges[want.Server]
		got, from, err := ask(e.addr, bytes)
		if err != nil {
			t.Errorf("%s, %s %s: %v", want.Server, want.Hello, want.Form, err)
			continue
		}
		asked++
		if fmt.Sprint(got) != fmt.Sprint(want.Answer) {
			t.Errorf("%s, %s %s:\n got %+v\nwant %+v", want.Server, want.Hello, want.Form, got, want.Answer)
			continue
		}
		checkLine(t, e, want.Server+", "+want.Hello+" "+want.Form, from, got)
	}
	if asked < 600 {
		t.Errorf("only %d hellos were asked", asked)
	}
}

// lines says which line each kind of answer leaves, by era: reference/README's table.
var expectedLines = []struct {
	what   string
	is     func(a answer) bool
	old    string // 0.9.8 and 1.0
	modern string // 3.0
}{
	{"inappropriate fallback", func(a answer) bool { return a.alert() == 86 }, "crit 140A1175", "info 0A000175"},
	{"SSL 3.0 hello", func(a answer) bool { return a.alert() == 40 && a.Record == "0300" }, "info 1408A10B", "info 0A00018C"},
	{"no shared cipher", func(a answer) bool { return a.alert() == 40 }, "info 1408A0C1", "info 0A0000C1"},
	{"version off", func(a answer) bool { return a.alert() == 70 }, "", "info 0A000102"},
	{"SSLv2 hello", func(a answer) bool { return a.Closed != "" }, "info 140760FC", ""},
	{"answered", func(a answer) bool { return a.Cipher != "" }, "info ", "info "},
}

func (a answer) alert() int {
	if len(a.Alert) == 2 {
		return a.Alert[1]
	}
	return -1
}

func checkLine(t *testing.T, e *edge, who, from string, got answer) {
	t.Helper()
	for _, x := range expectedLines {
		if !x.is(got) {
			continue
		}
		want := x.old
		if e.stack.Name == "openssl-3.0" {
			want = x.modern
		}
		var have results.ServerEvent
		waitFor(t, who+": a line in the log", func() bool {
			i := slices.IndexFunc(e.evidence.lines(), func(ev results.ServerEvent) bool { return ev.Tuple.Client.String() == from })
			if i >= 0 {
				have = e.evidence.lines()[i]
			}
			return i >= 0
		})
		if line := have.Level + " " + have.Code; line != want {
			t.Errorf("%s (%s): logged %q %q, want %q", who, x.what, line, have.Reason, want)
		}
		e.evidence.mu.Lock()
		e.evidence.events = nil
		e.evidence.mu.Unlock()
		return
	}
}

func threadCiphers(t *testing.T) string {
	t.Helper()
	text, err := builtinFiles.ReadFile("builtin/fl-ssl.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "ssl_ciphers '")
	list, _, _ := strings.Cut(rest, "'")
	return list
}

// datasetHello rebuilds a hello of the dataset from its profile; the forms of a fallback are the recorded
// ones: version one lower, TLS_FALLBACK_SCSV before or behind the suites.
func datasetHello(slug, form string) ([]byte, error) {
	profile, err := profiles.Lookup(slug)
	if err != nil {
		return nil, err
	}
	ch, err := profile.Hello(&profiles.HelloParams{ServerName: "www.example.test", Random: rand.Reader, Now: time.Now(),
		Shares: func(g wire.Group) []byte {
			if s, err := keys.GenerateShare(g, rand.Reader); err == nil {
				return s.Public()
			}
			return nil
		}})
	if err != nil {
		return nil, err
	}
	switch form {
	case "fallback-scsv-first":
		ch.Version--
		ch.Suites = append([]wire.CipherSuite{wire.FallbackSCSV}, ch.Suites...)
	case "fallback-scsv-last":
		ch.Version--
		ch.Suites = append(slices.Clone(ch.Suites), wire.FallbackSCSV)
	}
	return ch.AppendRecords(nil), nil
}

// ask sends a hello and reads the first record that comes back.
func ask(addr string, bytes []byte) (a answer, from string, err error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return a, "", err
	}
	defer c.Close()
	from = c.LocalAddr().String()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write(bytes); err != nil {
		return a, from, err
	}
	a, err = readAnswer(c)
	return a, from, err
}

// readAnswer reads a server's first record, or how it ended the connection.
func readAnswer(c net.Conn) (a answer, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(c, head); err != nil {
		var ne net.Error
		switch {
		case errors.As(err, &ne) && ne.Timeout():
			return a, err
		case errors.Is(err, io.EOF):
			return answer{Closed: "eof"}, nil
		}
		return answer{Closed: "reset"}, nil
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(c, body); err != nil {
		return a, err
	}
	a.Record = hex.EncodeToString(head[1:3])
	switch {
	case head[0] == byte(wire.RecordAlert) && len(body) == 2:
		a.Alert = []int{int(body[0]), int(body[1])}
		return a, nil
	case head[0] != byte(wire.RecordHandshake) || body[0] != byte(wire.TypeServerHello):
		return a, fmt.Errorf("unexpected record %x%x", head, body[:min(8, len(body))])
	}
	msg := body[4 : 4+(int(body[1])<<16|int(body[2])<<8|int(body[3]))]
	return serverHello(a, msg), nil
}

// serverHello reads the fields by hand: the test shares no parser with what it tests.
func serverHello(a answer, m []byte) answer {
	a.Version = hex.EncodeToString(m[:2])
	a.HRR = strings.HasPrefix(hex.EncodeToString(m[2:34]), "cf21ad74e59a6111")
	a.SessionID = int(m[34])
	m = m[35+a.SessionID:]
	a.Cipher, a.Compression = hex.EncodeToString(m[:2]), int(m[2])
	if m = m[3:]; len(m) < 2 {
		return a
	}
	for m = m[2:]; len(m) >= 4; {
		typ, n := int(m[0])<<8|int(m[1]), int(m[2])<<8|int(m[3])
		a.Extensions = append(a.Extensions, typ)
		if typ == int(wire.ExtSupportedVersions) {
			a.Version = hex.EncodeToString(m[4:6])
		}
		m = m[4+n:]
	}
	return a
}
