package scenario

import (
	"fmt"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/profiles/wire"
)

func (s *Scenario) checkFaults(d *decoder) error {
	seen := map[string]bool{}
	for i := range s.Faults {
		f := &s.Faults[i]
		at := fmt.Sprintf("faults[%d]", i)
		if f.Name == "" || seen[f.Name] {
			return d.fail([]string{at, "name"}, "want a name of its own, seen: %q", f.Name)
		}
		seen[f.Name] = true
		for key, value := range map[string]string{"action": f.Action} {
			if value == "" {
				return d.fail([]string{at, key}, "missing; see 'tlsurge faults list'")
			}
		}
		if err := s.checkWho(d, at, &f.Who); err != nil {
			return err
		}
		rule, key, err := f.resolve(i)
		if err != nil {
			return d.fail(append([]string{at}, strings.Split(key, ".")...), "%v", err)
		}
		if err := s.checkReach(rule); err != nil {
			return err
		}
		f.Rule = rule
	}
	return nil
}

// browserNames are what results call the browsers.
func (s *Scenario) browserNames() (names []string) {
	for _, b := range s.Browsers {
		names = append(names, strings.TrimSuffix(filepath.Base(b.Profile), ".toml"))
	}
	return names
}

// edgeNames are what results call the edges, or the addresses of a target.
func (s *Scenario) edgeNames() (names []string) {
	if s.Target != nil {
		for i := range s.Target.Addresses {
			names = append(names, fmt.Sprintf("target-%d", i+1))
		}
		return names
	}
	for i := range s.Fleet.Edges {
		names = append(names, fmt.Sprintf("edge-%d", i+1))
	}
	return names
}

// checkWho refuses a selector that nobody of this scenario can match: such a rule would never strike.
func (s *Scenario) checkWho(d *decoder, at string, w *Who) error {
	if w.Attempt < 0 || w.Connection < 0 {
		return d.fail([]string{at, "who"}, "attempt and connection count from 1; 0 is all of them")
	}
	browsers, edges := s.browserNames(), s.edgeNames()
	for _, x := range []struct {
		key, pattern string
		names        []string
	}{{"profile", w.Profile, browsers}, {"edge", w.Edge, edges}} {
		for p := range strings.SplitSeq(x.pattern, ",") {
			if p = strings.TrimSpace(p); x.pattern != "" && !anyMatch(p, x.names) {
				return d.fail([]string{at, "who." + x.key}, "%q matches no %s of this scenario; there are: %s", p, x.key, strings.Join(x.names, ", "))
			}
		}
	}
	return nil
}

// anyMatch says whether a pattern fits one of the names; a malformed pattern is faults.Resolve's to refuse.
func anyMatch(pattern string, names []string) bool {
	for _, n := range names {
		if ok, err := path.Match(pattern, n); ok || err != nil {
			return true
		}
	}
	return false
}

// checkReach refuses rules that only an edge of ours can carry out, where the target is not ours.
func (s *Scenario) checkReach(r faults.Rule) error {
	for _, c := range faults.Requires(&r) {
		reason := ""
		switch {
		case c == faults.OwnEdge && (s.Target != nil || s.Fleet.Edge != "bundled"):
			reason = "it is carried out by the bundled edge, and this scenario has another"
		case c == faults.OwnFleet && s.Target != nil:
			reason = "it strikes edges of our own, and this scenario has a target that is not ours"
		default:
			continue
		}
		return &faults.UnsupportedError{Engine: r.Engine, What: fmt.Sprintf("fault %q (%s)", r.Name, r.Action),
			Reason: reason, Instead: "engine relay, or a stage of the direction server-to-client"}
	}
	return nil
}

// resolve turns words into a rule; key is where an error stands.
func (f *Fault) resolve(index int) (r faults.Rule, key string, err error) {
	r = faults.Rule{Name: f.Name, Index: index, Engine: faults.Engine(f.Engine), Action: faults.Action(f.Action),
		Probability: f.Probability, Times: f.Times, Limit: f.Limit,
		From: time.Duration(f.From), Until: time.Duration(f.Until), Duration: time.Duration(f.Duration),
		Jitter: time.Duration(f.Jitter), Bytes: f.Bytes, Rate: f.Rate, Max: f.Max,
		Request: f.Request, Part: faults.Part(f.Part), Ramp: time.Duration(f.Ramp), Burst: f.Burst, Model: f.Model, Alert: f.Alert,
		Who: faults.Selector{Profile: f.Who.Profile, Edge: f.Who.Edge, Address: f.Who.Address,
			Attempt: f.Who.Attempt, Connection: f.Who.Connection, Kind: f.Who.Kind}}
	if f.At != "" {
		st, ok := stage.Parse(f.At)
		if !ok {
			return r, "at", fmt.Errorf("%q is not a stage%s", f.At, Suggest(f.At, stageWords()))
		}
		r.At = st
	}
	if key, err := f.Hello.resolve(&r.Hello); err != nil {
		return r, key, err
	}
	switch f.Direction {
	case "":
	case stage.ClientToServer.String():
		r.Direction = stage.ClientToServer
	case stage.ServerToClient.String():
		r.Direction = stage.ServerToClient
	default:
		return r, "direction", fmt.Errorf("%q is not known; allowed: client-to-server, server-to-client", f.Direction)
	}
	switch f.Per {
	case "attempt":
	case "packet":
		r.PerPacket = true
	default:
		return r, "per", fmt.Errorf("%q is not known; allowed: attempt, packet", f.Per)
	}
	resolved, err := faults.Resolve(r)
	if err != nil {
		return r, faults.ErrorKey(err), err
	}
	return resolved, "", nil
}

// resolve turns words into a match; key is where an error stands.
func (h *Hello) resolve(m *faults.HelloMatch) (key string, err error) {
	m.MinBytes, m.MaxBytes = h.Bytes.Min, h.Bytes.Max
	if h.Offers != "" {
		if m.Offers, err = wire.ParseVersion(h.Offers); err != nil {
			return "hello.offers", err
		}
	}
	if h.Group != "" {
		if m.Group, err = wire.ParseGroup(h.Group); err != nil {
			return "hello.group", err
		}
	}
	return "", nil
}

func stageWords() (words []string) {
	for st := stage.Syn; st <= stage.Idle; st++ {
		words = append(words, st.String())
	}
	return words
}

// rulesOf gives the act the rules in force in it.
func (s *Scenario) rulesOf(p *Phase, d *decoder, at string) error {
	byName := map[string]faults.Rule{}
	var names []string
	for _, f := range s.Faults {
		byName[f.Name] = f.Rule
		names = append(names, f.Name)
	}
	if p.Faults == nil {
		p.Faults = names
	}
	for _, name := range p.Faults {
		r, ok := byName[name]
		if !ok {
			return d.fail([]string{at, "faults"}, "no fault %q%s", name, Suggest(name, names))
		}
		p.Rules = append(p.Rules, r)
	}
	sort.SliceStable(p.Rules, func(i, j int) bool { return p.Rules[i].Index < p.Rules[j].Index })
	return nil
}
