package engine

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tlsurge/profiles/wire"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/conversations anew; then read the diff")

// Golden conversations: one file per handshake shape, what each end says record by record, what it then
// waits for, which events it gives. The last line pins every byte.
func TestConversations(t *testing.T) {
	unfit := regexp.MustCompile(`[^a-z0-9]+`)
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			file := filepath.Join("testdata", "conversations", strings.Trim(unfit.ReplaceAllString(strings.ToLower(s.name), "-"), "-")+".txt")
			got := s.name + "\n\n" + converse(t, s.pair(t))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs (-rewrite writes it anew):\n%s", file, got)
			}
		})
	}
}

// converse runs a handshake, one message of data each way, and the closing, and tells it.
func converse(t *testing.T, p *pair) string {
	var b strings.Builder
	all := sha256.New()
	turn := func(name, arrow string, from, to *Conn) bool {
		out := from.AppendOutput(nil)
		all.Write(out)
		tell(&b, name+" "+arrow, from, out)
		if err := to.Receive(testNow, out); err != nil {
			t.Fatal(err)
		}
		for e := to.Next(); e.Kind != EventNone; e = to.Next() {
			fmt.Fprintf(&b, "            event %s\n", eventName(e))
		}
		if len(out) > 0 {
			fmt.Fprintf(&b, "            client %s, server %s\n", p.client.State(), p.server.State())
		}
		return len(out) > 0
	}
	settle := func() {
		for turn("client", ">", p.client, p.server) || turn("server", "<", p.server, p.client) {
		}
	}
	settle()
	for _, end := range []*Conn{p.client, p.server} {
		if err := end.Send([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		settle()
	}
	p.client.CloseNotify()
	p.server.CloseNotify()
	settle()
	f := p.client.Facts()
	fmt.Fprintf(&b, "\n%v %v group %v scheme %v alpn %q npn %q resumed %q ems %v etm %v\n", f.Version, f.Suite, f.Group, f.Scheme, f.ALPN, f.NPN, f.Resumed, f.EMS, f.EtM)
	fmt.Fprintf(&b, "sha256 of every byte, in order: %x\n", all.Sum(nil))
	return b.String()
}

var eventNames = [...]string{"none", "ServerHello", "HandshakeDone", "Data", "Session", "Warning", "CloseNotify", "EarlyRejected", "FalseStart"}

func eventName(e Event) string {
	switch e.Kind {
	case EventData:
		return fmt.Sprintf("Data %q", e.Data)
	case EventSession:
		return fmt.Sprintf("Session id %d ticket %d", len(e.Session.ID), len(e.Session.Ticket))
	}
	return eventNames[e.Kind]
}

// tell lists records; the messages of those before ChangeCipherSpec by name.
func tell(b *strings.Builder, who string, from *Conn, out []byte) {
	protected := from.write != nil && !bytes.Contains(out, []byte{20, out1(out), out2(out), 0, 1, 1})
	for len(out) > 0 {
		h, _ := wire.ParseRecordHeader(out)
		body := out[wire.RecordHeaderLen : wire.RecordHeaderLen+h.Length]
		out = out[wire.RecordHeaderLen+h.Length:]
		what := ""
		switch {
		case protected:
			what = "protected"
		case h.Type == wire.RecordChangeCipherSpec:
			protected = true
		case h.Type == wire.RecordHandshake:
			what = wire.HandshakeType(body[0]).String()
		}
		fmt.Fprintf(b, "%s  %04x %-16s %5d  %s\n", who, uint16(h.Version), recordName(h.Type), h.Length, what)
	}
}

func out1(out []byte) byte {
	if len(out) < 3 {
		return 0
	}
	return out[1]
}

func out2(out []byte) byte {
	if len(out) < 3 {
		return 0
	}
	return out[2]
}

func recordName(t wire.RecordType) string {
	switch t {
	case wire.RecordChangeCipherSpec:
		return "ChangeCipherSpec"
	case wire.RecordAlert:
		return "alert"
	case wire.RecordHandshake:
		return "handshake"
	}
	return "data"
}
