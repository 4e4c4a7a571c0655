// Package explain says in words what a fault rule will do before it does it: the engine and why that one,
// who is hit, what the rule needs, where it acts, and the filter program in readable form. It also lists
// all that can be done. It changes nothing.
package explain

import (
	"fmt"
	"math"
	"strings"

	"tlsurge/faults"
	"tlsurge/faults/link"
	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
)

// Row is one line of the list of faults.
type Row struct {
	Action    faults.Action       `json:"action"`
	Engine    faults.Engine       `json:"engine"`
	At        []string            `json:"at"`         // stages; empty: no stage
	PerPacket bool                `json:"per_packet"` // per = "packet" is possible
	Meaning   string              `json:"meaning"`
	Needs     []faults.Capability `json:"needs"`
}

// List is everything that can be done, the cheapest engine of an action first.
func List() []Row {
	var rows []Row
	for _, a := range faults.Actions() {
		for _, c := range faults.Cells() {
			if c.Action != a {
				continue
			}
			row := Row{Action: a, Engine: c.Engine, At: []string{}, PerPacket: c.PerPacket, Meaning: c.Meaning, Needs: []faults.Capability{}}
			for _, s := range c.Stages {
				row.At = append(row.At, s.String())
			}
			row.Needs = append(row.Needs, faults.Requires(&faults.Rule{Engine: c.Engine, Action: a})...)
			rows = append(rows, row)
		}
	}
	return rows
}

// Text prints the list for people, then the link models.
func Text(rows []Row) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%-18s %-10s %s\n", r.Action, r.Engine, r.Meaning)
		switch at := strings.Join(r.At, ", "); {
		case at != "" && r.PerPacket:
			fmt.Fprintf(&b, "%30sat %s; or per packet\n", "", at)
		case at != "":
			fmt.Fprintf(&b, "%30sat %s\n", "", at)
		case r.PerPacket:
			fmt.Fprintf(&b, "%30sper packet\n", "")
		}
	}
	b.WriteString("\nlink models (engine = \"link\", action = \"shape\", model = NAME):\n")
	for _, m := range link.Models() {
		fmt.Fprintf(&b, "  %-14s %s\n%17sdown %s\n%17sup   %s\n%17ssource: %s\n", m.Name, m.About, "", path(m.Down), "", path(m.Up), "", m.Source)
	}
	return b.String()
}

// path is one direction in words.
func path(i link.Impairment) string {
	var parts []string
	if i.Rate > 0 {
		parts = append(parts, rate(i.Rate))
	}
	parts = append(parts, fmt.Sprintf("%v ± %v", i.Delay, i.Jitter), percent(i.Loss)+" loss")
	if i.Burst > 1 {
		parts = append(parts, fmt.Sprintf("in runs of %g", i.Burst))
	}
	return strings.Join(parts, ", ")
}

func rate(bytes int64) string {
	switch kbit := float64(bytes) * 8 / 1000; {
	case kbit >= 1000:
		return fmt.Sprintf("%g Mbit/s", kbit/1000)
	default:
		return fmt.Sprintf("%g kbit/s", kbit)
	}
}

// percent rounds to four digits, so that 0.07 does not read 7.000000000000001 %.
func percent(p float64) string { return fmt.Sprintf("%g %%", math.Round(p*1e6)/1e4) }

// Rule explains one rule. asked is the rule as written, which may leave its engine open; missing is what
// this machine or target does not give. The error is what Resolve says of the rule.
func Rule(asked faults.Rule, missing ...faults.Capability) (string, error) {
	r, err := faults.Resolve(asked, missing...)
	if err != nil {
		return "", err
	}
	if err := link.Validate([]faults.Rule{r}); err != nil {
		return "", err
	}
	var b strings.Builder
	line := func(key, format string, args ...any) {
		fmt.Fprintf(&b, "  %-10s %s\n", key, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "%s: %s\n", r.Name, headline(&r))
	engine := string(r.Engine)
	if asked.Engine == "" || asked.Engine == faults.EngineAuto {
		engine += " (auto: the cheapest that can)"
	}
	line("engine", "%s", engine)
	line("does", "%s", parameters(&r, meaning(&r)))
	if r.Direction != 0 && r.At == stage.None {
		line("direction", "%s alone", r.Direction)
	} else if r.Direction != 0 {
		line("direction", "%s", r.Direction)
	}
	line("who", "%s", who(&r))
	if !r.HitsEdge() {
		line("how often", "%s", often(&r))
	}
	line("when", "%s", when(&r))
	line("acts on", "%s", place(&r))
	needs := "nothing: any user, any target"
	if n := faults.Requires(&r); len(n) > 0 {
		needs = join(n, " and ")
	}
	line("needs", "%s", needs)
	if others := others(&r); len(others) > 0 {
		line("also by", "%s", join(others, ", "))
	}
	if p, ok := program(&r); ok {
		fmt.Fprintf(&b, "  filter     %d instructions of classic BPF, run on each arriving segment\n", p.Len())
		for l := range strings.Lines(p.String()) {
			b.WriteString("    " + l)
		}
	}
	return b.String(), nil
}

func headline(r *faults.Rule) string {
	switch {
	case r.PerPacket:
		return string(r.Action) + " per packet"
	case r.At == stage.None:
		return string(r.Action)
	}
	return fmt.Sprintf("%s at %s", r.Action, r.At)
}

func meaning(r *faults.Rule) string {
	for _, c := range faults.Cells() {
		if c.Engine == r.Engine && c.Does(r) {
			return c.Meaning
		}
	}
	return ""
}

// parameters puts the rule's own figures in place of the words in backquotes.
func parameters(r *faults.Rule, text string) string {
	values := map[string]string{"times": fmt.Sprint(r.Times), "duration": r.Duration.String(), "jitter": r.Jitter.String(),
		"bytes": fmt.Sprint(r.Bytes), "part": string(r.Part), "rate": fmt.Sprint(r.Rate), "model": r.Model, "max": fmt.Sprint(r.Max), "alert": fmt.Sprint(r.Alert),
		"burst": fmt.Sprintf("of %g on average", r.Burst)}
	if r.Part == "" {
		values["part"] = string(faults.PartBody)
	}
	if r.Times == 0 {
		text = strings.Replace(text, "`times` of them or all", "all of them", 1)
	} else {
		text = strings.Replace(text, "`times` of them or all", "`times` of them", 1)
	}
	if r.Action == faults.Stall && r.Duration == 0 {
		text = strings.Replace(text, "for `duration`, or for ever", "for ever", 1)
	} else {
		text = strings.Replace(text, "for `duration`, or for ever", "for `duration`", 1)
	}
	if r.Burst <= 1 {
		text = strings.Replace(text, "singly or in runs (`burst`)", "each for itself", 1)
	} else {
		text = strings.Replace(text, "singly or in runs (`burst`)", "in runs `burst`", 1)
	}
	for word, v := range values {
		text = strings.ReplaceAll(text, "`"+word+"`", v)
	}
	return strings.Replace(text, "`part` header, body or mac", values["part"], 1)
}

func who(r *faults.Rule) string {
	if r.HitsEdge() {
		if r.Who.Edge != "" {
			return "the edge " + r.Who.Edge + " as a whole"
		}
		return "every edge as a whole"
	}
	var parts []string
	add := func(label, v string) {
		if v != "" && v != "0" {
			parts = append(parts, label+" "+v)
		}
	}
	add("profile", r.Who.Profile)
	add("edge", r.Who.Edge)
	add("address", r.Who.Address)
	add("hello", r.Who.Kind)
	add("attempt", fmt.Sprint(r.Who.Attempt))
	add("connection", fmt.Sprint(r.Who.Connection))
	text := "every connection attempt"
	if len(parts) > 0 {
		text = "attempts with " + strings.Join(parts, ", ")
	}
	if r.Request > 0 {
		text += fmt.Sprintf("; of the connection, %s %d", r.At, r.Request)
	}
	if !r.Hello.Any() {
		text += "; of these, those with a ClientHello " + r.Hello.String()
	}
	return text
}

func often(r *faults.Rule) string {
	var s string
	switch {
	case r.PerPacket:
		s = percent(r.Probability) + " of the packets, by chance"
	default:
		s = percent(r.Probability) + " of these attempts, chosen by the seed"
	}
	if r.Limit > 0 {
		s += fmt.Sprintf(", at most %d in a run", r.Limit)
	}
	return s
}

func when(r *faults.Rule) string {
	s := "the whole phase"
	switch {
	case r.HitsEdge() && r.Until > 0:
		s = fmt.Sprintf("from %v to %v of the phase", r.From, r.Until)
	case r.HitsEdge() && r.From > 0:
		s = fmt.Sprintf("from %v of the phase on", r.From)
	case r.Until > 0:
		s = fmt.Sprintf("attempts that start %v to %v into the phase", r.From, r.Until)
	case r.From > 0:
		s = fmt.Sprintf("attempts that start %v or more into the phase", r.From)
	}
	if r.Ramp > 0 {
		s += fmt.Sprintf(", rising from 0 over %v", r.Ramp)
		if r.Until > 0 {
			s += " and falling likewise"
		}
	}
	return s
}

// moments says when the agent arms its own socket.
var moments = map[stage.Stage]string{
	stage.SynAck:            "before connect",
	stage.HelloRetryRequest: "just before the ClientHello is written",
	stage.ServerHello:       "just before the ClientHello is written",
	stage.Alert:             "just before the ClientHello is written",
	stage.ServerFinished:    "just before the flight with the client's Finished is written",
	stage.Response:          "just before the request is written",
	stage.Idle:              "when the connection falls idle",
}

func place(r *faults.Rule) string {
	switch {
	case r.OnListener():
		return fmt.Sprintf("the edge's listener and the sockets accepted from it; armed connections come from %s", faults.SourcePrefix(r))
	case r.OnClient() && r.PerPacket:
		return "the agent's own socket, from connect on"
	case r.OnClient():
		return "the agent's own socket, armed " + moments[r.At]
	case r.Engine == faults.EngineRelay:
		return "a relay in the agent's process; the edge sees the client's address with another port"
	case r.Engine == faults.EngineLink:
		return fmt.Sprintf("the packet forwarder between two namespaces; armed connections come from %s", faults.SourcePrefix(r))
	case r.NeedsSource():
		return fmt.Sprintf("the edge, for connections from %s", faults.SourcePrefix(r))
	}
	return "the edge"
}

// others lists the other engines that could do the same rule.
func others(r *faults.Rule) []faults.Engine {
	var all []faults.Engine
	for _, e := range faults.Engines() {
		try := *r
		try.Engine = e
		if e != r.Engine && faults.Validate(try) == nil {
			all = append(all, e)
		}
	}
	return all
}

// program is the rule's filter, if it is one.
func program(r *faults.Rule) (sockfilter.Program, bool) {
	switch {
	case r.OnListener():
		p, ok, err := sockfilter.ListenerProgram([]faults.Rule{*r}, nil)
		return p, ok && err == nil
	case r.OnClient():
		p, err := sockfilter.ClientProgram(r)
		return p, err == nil
	}
	return sockfilter.Program{}, false
}

func join[T ~string](words []T, sep string) string {
	s := make([]string, len(words))
	for i, w := range words {
		s[i] = string(w)
	}
	return strings.Join(s, sep)
}
