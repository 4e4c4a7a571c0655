package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tlsurge/faults"
	"tlsurge/results"
)

// captured has three key exchanges (TLS 1.3, ECDHE, RSA), a filter that drops and a relay that resets.
const captured = `
name = "captured"
seed = 5
[run]
capture = true
[fleet]
edges = 2
stack = "openssl-3.0"
set = { ssl_protocols = "TLSv1.2 TLSv1.3" }
[load]
connections = 12
per_browser = 1
request_rate = 20
ramp = "300ms"
[[browsers]]
profile = "firefox-35-osx"
[[browsers]]
profile = "chromium-156-linux"
[[faults]]
name = "lose"
engine = "sockfilter"
at = "server_hello"
action = "drop"
times = 2
probability = 0.5
who = { attempt = 1 }
[[faults]]
name = "cut"
engine = "relay"
at = "client_hello"
action = "reset"
who = { attempt = 1 }
[[phases]]
name = "modern"
duration = "2s"
[[phases]]
name = "rsa"
duration = "2s"
fleet = { stack = "openssl-1.0.1j", set = { ssl_ciphers = "AES128-SHA", ssl_protocols = "TLSv1.2" } }
`

// TestEvidence: with a capture a run leaves both ends' packets, which tshark decrypts, with a comment on the
// very packets that a fault hit; as root and as an ordinary user.
func TestEvidence(t *testing.T) {
	t.Parallel()
	tshark := requirePeer(t, "tshark")
	for _, uid := range []int{0, nobody} {
		if os.Getuid() != 0 && uid != os.Getuid() {
			continue
		}
		dir, code, said := runAs(t, uid, captured)
		if code != exitGood && code != exitInvalid { // a machine that is busy elsewhere
			t.Errorf("user %d: exit %d\n%s", uid, code, said)
			continue
		}
		p := readRun(t, dir)
		evidenceFiles(t, filepath.Join(dir, "evidence"))
		ends := map[string][]packet{}
		for _, end := range []string{"client", "server"} {
			ends[end] = dissect(t, tshark, filepath.Join(dir, "evidence", end+".pcapng"))
			decrypted(t, uid, end, ends[end])
		}
		kinds := map[string]int{}
		for i := range p.firings {
			f := &p.firings[i]
			kinds[f.Rule]++
			if err := commented(f, ends); err != nil {
				t.Errorf("user %d: %v: %+v", uid, err, f)
			}
		}
		if kinds["lose"] < 3 || kinds["cut"] < 3 {
			t.Errorf("user %d: firings %v, want at least three of each rule", uid, kinds)
		}
		for _, a := range p.attempts {
			if !slices.ContainsFunc(ends["client"], func(q packet) bool { return q.src == a.Tuple.Client.String() && q.says("ATTEMPT: "+a.Profile) }) {
				t.Errorf("user %d: no packet is commented as the beginning of %+v", uid, a)
			}
			if a.UserSees != "" && !slices.ContainsFunc(ends["client"], func(q packet) bool { return q.says("the user sees " + a.UserSees) }) {
				t.Errorf("user %d: no packet says what the user sees: %+v", uid, a)
			}
		}
	}
}

// evidenceFiles looks at what lies there, and that only its owner may read it.
func evidenceFiles(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
		return
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
			t.Errorf("%s: %v, %v", e.Name(), info, err)
		}
	}
	if want := []string{"client.pcapng", "joined.jsonl", "keys.log", "server.pcapng", "timeline.svg"}; !slices.Equal(names, want) {
		t.Errorf("evidence holds %v, want %v", names, want)
	}
	f, err := os.Open(filepath.Join(dir, "timeline.svg"))
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for d := xml.NewDecoder(f); err == nil; {
		_, err = d.Token()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("timeline.svg: %v", err)
	}
	for _, l := range readLines[struct {
		Events []struct{ Who, What string }
	}](t, filepath.Join(dir, "joined.jsonl")) {
		if len(l.Events) == 0 {
			t.Error("a line of joined.jsonl tells nothing")
		}
	}
}

// packet is what tshark says of one.
type packet struct {
	frame         int
	src, dst      string
	stream, seq   string
	reset         bool
	suite         string // that a ServerHello chose
	http, comment string
}

func (p *packet) says(text string) bool { return strings.Contains(p.comment, text) }

// dissect has tshark read a file, with the secrets that are in it.
func dissect(t *testing.T, tshark, file string) (list []packet) {
	t.Helper()
	fields := strings.Fields("frame.number ip.src tcp.srcport ip.dst tcp.dstport tcp.stream tcp.seq_raw tcp.flags.reset tls.handshake.type tls.handshake.ciphersuite http.request.method frame.comment")
	args := []string{"-r", file, "-T", "fields", "-E", "separator=|", "-E", "occurrence=a", "-E", "aggregator=;"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command(tshark, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "SSLKEYLOGFILE=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark %s: %v", file, err)
	}
	for line := range strings.Lines(string(out)) {
		v := strings.SplitN(strings.TrimSuffix(line, "\n"), "|", len(fields))
		if len(v) != len(fields) {
			t.Fatalf("tshark prints %q", line)
		}
		n, err := strconv.Atoi(v[0])
		if err != nil {
			t.Fatalf("tshark prints %q", line)
		}
		p := packet{frame: n, src: v[1] + ":" + v[2], dst: v[3] + ":" + v[4], stream: v[5], seq: v[6], reset: v[7] == "1" || v[7] == "True", http: v[10], comment: v[11]}
		if strings.HasPrefix(v[8], "2") {
			p.suite, _, _ = strings.Cut(v[9], ";")
		}
		list = append(list, p)
	}
	return list
}

// decrypted wants a request in the clear on connections of each key exchange.
func decrypted(t *testing.T, uid int, end string, packets []packet) {
	t.Helper()
	suite, clear := map[string]string{}, map[string]bool{}
	for _, p := range packets {
		if p.suite != "" {
			suite[p.stream] = p.suite
		}
		if p.http != "" {
			clear[suite[p.stream]] = true
		}
	}
	for _, want := range []struct{ what, prefix string }{{"TLS 1.3", "0x13"}, {"ECDHE", "0xc0"}, {"RSA", "0x002f"}} {
		found := false
		for s := range clear {
			found = found || strings.HasPrefix(s, want.prefix)
		}
		if !found {
			t.Errorf("user %d: %s.pcapng: no request is decrypted on %s; decrypted: %v of %v", uid, end, want.what, clear, suite)
		}
	}
}

// commented holds a firing against the comments: they stand on the packets that were hit.
func commented(f *faults.Firing, ends map[string][]packet) error {
	rule := `rule "` + f.Rule + `"`
	client, server := f.Tuple.Client.String(), f.Tuple.Server.String()
	var hit []packet
	for _, p := range ends["client"] {
		if p.src == server && p.dst == client && p.says("FAULT") && p.says(rule) {
			hit = append(hit, p)
		}
	}
	if f.Rule == "cut" {
		if len(hit) != 1 || !hit[0].reset {
			return errors.New("the client's file has no RST with the comment, or several")
		}
		if !slices.ContainsFunc(ends["server"], func(p packet) bool {
			return p.src == f.Upstream.Client.String() && p.dst == f.Upstream.Server.String() && p.reset && p.says(rule)
		}) {
			return errors.New("the server's file has no RST of the relay with the comment")
		}
		return nil
	}
	if len(hit) != f.Packets {
		return errors.New("as many packets as were dropped do not have the comment")
	}
	for _, h := range hit {
		// What was dropped comes once more: the same bytes on the same connection.
		if !slices.ContainsFunc(ends["client"], func(p packet) bool {
			return p.frame > h.frame && p.stream == h.stream && p.src == h.src && p.seq == h.seq
		}) {
			return errors.New("a packet with the comment was not sent again")
		}
		if !slices.ContainsFunc(ends["server"], func(p packet) bool { return p.src == h.src && p.dst == h.dst && p.seq == h.seq && p.says(rule) }) {
			return errors.New("the sender's file does not say that it was dropped")
		}
	}
	return nil
}

// TestEvidenceOverALink: what a path of ours lost was sent by one end and never seen by the other.
func TestEvidenceOverALink(t *testing.T) {
	t.Parallel()
	tshark := requirePeer(t, "tshark")
	file := filepath.Join(t.TempDir(), "lossy.toml")
	text := strings.ReplaceAll(overSatellite, `action = "shape"
model = "satellite"
`, `action = "drop"
engine = "link"
per = "packet"
`)
	text = strings.Replace(text, "probability = 0.5", "probability = 0.05", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := play(t, file, "--capture")
	if p.run.Verdict.State == results.Invalid {
		t.Errorf("INVALID: %v", p.run.Verdict.Reasons)
	}
	client := dissect(t, tshark, filepath.Join(p.dir, "evidence", "client.pcapng"))
	server := dissect(t, tshark, filepath.Join(p.dir, "evidence", "server.pcapng"))
	lost, said := 0, 0
	for _, f := range p.firings {
		lost += f.Packets
	}
	for _, end := range [][]packet{client, server} {
		for _, q := range end {
			if q.says("lost on the path") {
				said++
			}
		}
	}
	if lost < 5 || said != lost {
		t.Errorf("the ledger counts %d packets lost, the comments %d; devices %d; %+v", lost, said, p.run.Kernel["LinkOverruns"], p.run.Verdict)
	}
}
