package profiles

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"tlsurge/profiles/wire"
)

// Summary is one line of a list of profiles.
type Summary struct {
	Name      string `json:"name"`
	Title     string `json:"title"`
	Browser   string `json:"browser"`
	Version   string `json:"version"`
	OS        string `json:"os"`
	Released  string `json:"released"`
	Max       string `json:"max_version"`
	Behaviour string `json:"behaviour"`
	Fallback  string `json:"fallback"` // "none", or the versions it falls back to
	JA3       string `json:"ja3"`      // "" for clients that shuffle and for the SSLv2 format
	JA4       string `json:"ja4"`
	Source    string `json:"source"`
}

// Summary describes the profile in a line.
func (p *Profile) Summary() (Summary, error) {
	s := Summary{Name: p.Name, Title: p.Title, Browser: p.Browser, Version: p.Version, OS: p.OS, Released: p.Released,
		Max: p.maxVersion.String(), Behaviour: p.Behaviour(), Fallback: strings.Join(p.ladder(), ", ")}
	if s.Fallback == "" {
		s.Fallback = "none"
	}
	if len(p.Sources) > 0 {
		s.Source = p.Sources[0].What
	}
	ch, err := p.Sample(Sample{})
	if err != nil {
		return s, err
	}
	s.JA4 = ch.JA4()
	if !p.spec.shuffle {
		s.JA3 = ch.JA3Hash()
	}
	return s, nil
}

// ladder lists the lowered offers that the browser comes down to when every handshake is closed or refused.
func (p *Profile) ladder() []string {
	var out []string
	for _, f := range []Failure{{Kind: FailEOF, AwaitingServerHello: true}, {Kind: FailAlert, Alert: wire.AlertHandshakeFailure, AwaitingServerHello: true}} {
		m := p.NewMemory()
		plan := m.First()
		last := plan.MaxVersion
		var steps []string
		for range 40 {
			d := m.Failed(plan, f)
			if !d.Retry {
				break
			}
			plan = d.Next
			if plan.MaxVersion < last {
				last = plan.MaxVersion
				step := plan.MaxVersion.String()
				if plan.SCSV {
					step += " with SCSV"
				}
				steps = append(steps, step)
			}
		}
		if len(steps) > len(out) {
			out = steps
		}
	}
	return out
}

// List summarises the built-in profiles.
func List() ([]Summary, error) {
	var out []Summary
	for _, n := range Names() {
		p, err := Lookup(n)
		if err != nil {
			return nil, err
		}
		s, err := p.Summary()
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Show writes the profile for a person: where it comes from, what it sends, how it behaves, what its user reads.
func (p *Profile) Show(w io.Writer) error {
	s, err := p.Summary()
	if err != nil {
		return err
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s: %s", p.Name, p.Title)
	for _, src := range p.Sources {
		line("  source      %s (%s%s)", src.What, src.Kind, prefixed(", ", src.Captured))
	}
	if p.Released != "" {
		line("  released    %s", p.Released)
	}
	if p.Notes != "" {
		line("  notes       %s", p.Notes)
	}
	line("  versions    up to %s", s.Max)
	line("  JA3, JA4    %s, %s", orNone(s.JA3), orNone(s.JA4))
	p.showManners(line)
	line("\nWhat its user reads (%s):", p.Behaviour())
	for _, on := range sortedWords(p.behaviour.words) {
		x := p.behaviour.words[on]
		text := x.Shown
		if x.Sentence != "" {
			text += " - " + x.Sentence
		}
		line("  %-18s %s", on, text)
	}
	line("\nIts file:\n")
	b.Write(p.file.TOML())
	_, err = io.WriteString(w, b.String())
	return err
}

func (p *Profile) showManners(line func(string, ...any)) {
	b := p.behaviour
	from := func(source string) {
		if source != "" {
			line("              %s", source)
		}
	}
	line("\nHow it behaves (%s):", b.Name)
	for _, s := range b.Source {
		line("  source      %s", s)
	}
	ladder := strings.Join(p.ladder(), ", then ")
	if ladder == "" {
		ladder = "none"
	}
	line("  fallback    %s", ladder)
	for _, on := range b.Fallback.On {
		if ladder == "none" {
			break
		}
		above := ""
		if on.Above != 0 {
			above = fmt.Sprintf(", from above %v", wire.Version(on.Above))
		}
		line("              on %s%s", on.Error, above)
	}
	if ladder != "none" {
		line("              remembered in the %s; inappropriate_fallback: %s", b.Fallback.Memory, orElse(b.Fallback.Refused, "an error like others"))
		from(b.Fallback.Source)
	}
	if b.Retry.Attempts > 1 {
		line("  retries     %d attempts%s on %s", b.Retry.Attempts, prefixed(" within ", text(time.Duration(b.Retry.Within))), strings.Join(b.Retry.Errors, ", "))
		from(b.Retry.Source)
	}
	m := &b.manners
	line("  connections %d to a host; second one %s", m.ConnectionsPerHost, orNever(m.BackupConnection, "after %v without an answer to the SYN"))
	line("  gives up    connect %s, handshake %s, answer %s", orNever(m.ConnectTimeout, "%v"), orNever(m.HandshakeTimeout, "%v"), orNever(m.ResponseTimeout, "%v"))
	line("  idle        closed %s", orNever(m.IdleTimeout, "after %v"))
	var by []string
	for _, k := range []struct {
		on   bool
		name string
	}{{m.Sessions.ID, "session ID"}, {m.Sessions.Ticket, "ticket"}, {m.Sessions.PSK, "PSK"}} {
		if k.on {
			by = append(by, k.name)
		}
	}
	line("  resumes by  %s, for %v", strings.Join(by, ", "), m.Sessions.Lifetime)
	dh := "DHE groups of any size"
	if m.MinDHBits > 0 {
		dh = fmt.Sprintf("no DHE group below %d bits", m.MinDHBits)
	}
	line("  accepts     %s; a missing intermediate certificate is %s", dh, orElse(string(m.MissingIssuer), "an unknown issuer"))
	what := map[bool]string{false: "a request", true: "a GET or HEAD"}[m.ResendOnlySafe]
	line("  resends     %s on a reused connection that died before an answer: %v", what, m.ResendReused)
	from(b.Manners.Source)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func text(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func orNever(d time.Duration, format string) string {
	if d == 0 {
		return "never"
	}
	return fmt.Sprintf(format, d)
}

func sortedWords(m map[string]Wording) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	// "alert 5" before "alert 40": shorter numbers first, then as they stand.
	slices.SortFunc(out, func(a, b string) int {
		if fa, fb := strings.Fields(a), strings.Fields(b); len(fa) > 1 && len(fb) > 1 && fa[0] == fb[0] && len(fa[1]) != len(fb[1]) {
			return len(fa[1]) - len(fb[1])
		}
		return strings.Compare(a, b)
	})
	return out
}
