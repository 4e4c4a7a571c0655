package profiles

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files from what the code does now")

// TestPolicyTraces writes down, for each behaviour, what the browser sends and shows under a list of
// failures, with how each hello differs from its first. testdata/policies.golden is the table to read.
func TestPolicyTraces(t *testing.T) {
	local47 := Failure{Kind: FailLocal, Alert: wire.AlertIllegalParameter, AwaitingServerHello: true}
	always := func(f Failure) []Failure { return slices.Repeat([]Failure{f}, 40) }
	cases := []struct {
		name     string
		failures []Failure
	}{
		{"every handshake is reset", always(cutRST)},
		{"every handshake is closed", always(cutFIN)},
		{"every hello is refused with handshake_failure", always(hello40)},
		{"a reset, then inappropriate_fallback", []Failure{cutRST, hello86, hello86}},
		{"a close, then handshake_failure for ever", append([]Failure{cutFIN}, always(hello40)...)},
		{"silence", always(Failure{Kind: FailTimeout, AwaitingServerHello: true})},
		{"the connect is refused once", []Failure{{Kind: FailRefused}}},
		{"the client itself refuses the ServerHello", always(local47)},
		{"a reused connection dies under a request", []Failure{{Kind: FailReset, HandshakeDone: true, ReusedConnection: true, Idempotent: true}}},
	}
	var out strings.Builder
	seen := make(map[string]bool)
	for _, name := range Names() {
		p, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if seen[p.Behaviour()] {
			continue
		}
		seen[p.Behaviour()] = true
		fmt.Fprintf(&out, "# %s, as %s\n\n", p.Behaviour(), name)
		for _, c := range cases {
			fmt.Fprintf(&out, "%s:\n%s\n", c.name, trace(t, p, c.failures))
		}
	}
	// Behaviours of browsers whose hello is not among the profiles: on the hello of the nearest kin.
	for _, c := range []struct{ behaviour, hello string }{{"firefox-36", "firefox-37-osx"}, {"okhttp-2", "android-5.0.0"}} {
		p, err := Lookup(c.hello)
		if err != nil {
			t.Fatal(err)
		}
		f := *p.File()
		f.Behaviour = c.behaviour
		if p, err = Parse(c.hello, f.TOML()); err != nil {
			t.Fatal(err)
		}
		seen[c.behaviour] = true
		fmt.Fprintf(&out, "# %s, on the hello of %s\n\n", c.behaviour, c.hello)
		for _, x := range cases {
			fmt.Fprintf(&out, "%s:\n%s\n", x.name, trace(t, p, x.failures))
		}
	}
	for _, n := range names("data/behaviour") {
		if !seen[n] {
			t.Errorf("behaviour %s is in no trace", n)
		}
	}
	const file = "testdata/policies.golden"
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")); d != "" {
		t.Errorf("%s differs (-want +got); if the change is meant, run with -rewrite and read the diff:\n%s", file, d)
	}
}

// trace plays failures until the browser shows an error page; equal steps in a row are counted.
func trace(t *testing.T, p *Profile, failures []Failure) string {
	var lines []string
	m := p.NewMemory()
	plan := m.First()
	first := hellOf(t, p, plan)
	lines = append(lines, fmt.Sprintf("  %-8s %v, %d suites", plan.Kind, plan.MaxVersion, len(first.Suites)))
	for _, f := range failures {
		d := m.Failed(plan, f)
		if !d.Retry {
			line := fmt.Sprintf("  sees     %s", d.UserSees)
			if d.Reload > 0 {
				line += fmt.Sprintf("; loads again after %v", d.Reload)
			}
			lines = append(lines, line)
			break
		}
		plan = d.Next
		line := fmt.Sprintf("  %-8s %v", plan.Kind, plan.MaxVersion)
		if diff := difference(first, hellOf(t, p, plan)); diff != "" {
			line += ": " + diff
		}
		if d.NextAddress {
			line += ", next address"
		}
		if d.Delay > 0 {
			line += fmt.Sprintf(", after %v", d.Delay.Round(time.Millisecond))
		}
		lines = append(lines, line)
	}
	var out strings.Builder
	for i := 0; i < len(lines); {
		n := 1
		for i+n < len(lines) && lines[i+n] == lines[i] {
			n++
		}
		out.WriteString(lines[i])
		if n > 1 {
			fmt.Fprintf(&out, " (%d times)", n)
		}
		out.WriteByte('\n')
		i += n
	}
	return out.String()
}

func hellOf(t *testing.T, p *Profile, plan Plan) *hello.ClientHello {
	t.Helper()
	hp := &HelloParams{ServerName: "www.example.test", Random: stream(9), Shares: fakeShare}
	plan.Params(hp)
	ch, err := p.Hello(hp)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// difference says how a later hello differs from the first.
func difference(a, b *hello.ClientHello) string {
	var out []string
	if i := slices.Index(b.Suites, wire.FallbackSCSV); i >= 0 {
		where := fmt.Sprintf("as suite %d", i+1)
		switch {
		case i == len(b.Suites)-1:
			where = "last"
		case i == 0 || i == 1 && b.Suites[0] == wire.EmptyRenegotiationInfoSCSV:
			where = "first"
		}
		out = append(out, "TLS_FALLBACK_SCSV "+where)
	}
	less, more := 0, 0
	for _, s := range a.Suites {
		if !b.HasSuite(s) {
			less++
		}
	}
	for _, s := range b.Suites {
		if s != wire.FallbackSCSV && !a.HasSuite(s) {
			more++
		}
	}
	if less > 0 {
		out = append(out, fmt.Sprintf("%d suites less", less))
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("%d suites more", more))
	}
	if a.HasExtensions && !b.HasExtensions {
		out = append(out, "no extensions")
	} else {
		for _, e := range a.Extensions {
			if !b.Has(e.Type) && !wire.IsGREASE(uint16(e.Type)) {
				out = append(out, "without "+e.Type.String())
			}
		}
		for _, e := range b.Extensions {
			if !a.Has(e.Type) && !wire.IsGREASE(uint16(e.Type)) {
				out = append(out, "with "+e.Type.String())
			}
		}
	}
	if a.RecordVersion != b.RecordVersion {
		out = append(out, fmt.Sprintf("record version %v", b.RecordVersion))
	}
	return strings.Join(out, ", ")
}
