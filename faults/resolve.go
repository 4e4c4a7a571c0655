package faults

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"tlsurge/faults/stage"
)

// Resolve checks a rule and fills in what it leaves open: the engine, if "auto" or empty, and the direction.
// Engines that need one of missing are passed over; if only those remain, the error is an UnsupportedError.
// Any other error names the key, the value and what is allowed.
func Resolve(r Rule, missing ...Capability) (Rule, error) {
	if err := r.checkWords(); err != nil {
		return r, err
	}
	if err := r.resolveDirection(); err != nil {
		return r, err
	}
	if err := r.resolveEngine(missing); err != nil {
		return r, err
	}
	if err := r.checkParameters(); err != nil {
		return r, err
	}
	return r, nil
}

// Validate says what is wrong with a rule, nil if nothing is.
func Validate(r Rule) error {
	_, err := Resolve(r)
	return err
}

// bad is an error about one key: fault "x": key = value: why.
func (r *Rule) bad(key string, value any, format string, args ...any) error {
	return &RuleError{r.Name, key, value, fmt.Sprintf(format, args...)}
}

func (r *Rule) checkWords() error {
	switch {
	case r.Name == "":
		return fmt.Errorf("fault %d has no name", r.Index+1)
	case r.Index < 0 || r.Index >= MaxRules:
		return fmt.Errorf("fault %q: a scenario may have %d faults", r.Name, MaxRules)
	case r.Engine != "" && !slices.Contains(Engines(), r.Engine) && r.Engine != EngineAuto:
		return r.bad("engine", string(r.Engine), "allowed: auto, %s", join(Engines()))
	case !slices.Contains(Actions(), r.Action):
		return r.bad("action", string(r.Action), "allowed: %s", join(Actions()))
	}
	for _, x := range [][2]string{{"profile", r.Who.Profile}, {"edge", r.Who.Edge}} {
		for p := range strings.SplitSeq(x[1], ",") {
			if _, err := path.Match(strings.TrimSpace(p), ""); err != nil {
				return r.bad("who."+x[0], x[1], "not a pattern: * and ? and [a-z] are allowed, commas between several")
			}
		}
	}
	kinds := []string{"", "first", "resumed", "retry", "fallback"}
	if !slices.Contains(kinds, r.Who.Kind) {
		return r.bad("who.kind", r.Who.Kind, "allowed: %s", strings.Join(kinds[1:], ", "))
	}
	return nil
}

// resolveDirection takes the stage's own direction; a rule that says another is wrong.
func (r *Rule) resolveDirection() error {
	implied := r.At.Direction()
	if r.Direction != 0 && implied != 0 && r.Direction != implied {
		return r.bad("direction", r.Direction.String(), "at = %q is %s", r.At.String(), implied)
	}
	if r.Direction != 0 && r.At == stage.Idle {
		return r.bad("direction", r.Direction.String(), `at = "idle" hits both directions`)
	}
	if implied != 0 {
		r.Direction = implied
	}
	return nil
}

func (r *Rule) resolveEngine(missing []Capability) error {
	if r.Action == Drop && r.Engine == EngineRelay {
		return r.bad("engine", string(r.Engine),
			"bytes left out of a relayed stream are corruption, not loss; drop is possible on %s", join(enginesFor(r)))
	}
	var lacking *UnsupportedError
	for _, c := range Cells() {
		if !c.Does(r) || r.Engine != "" && r.Engine != EngineAuto && r.Engine != c.Engine || !r.Hello.Any() && !c.readsHello(r) || r.Request != 0 && c.Engine != EngineRelay {
			continue
		}
		try := *r
		try.Engine = c.Engine
		if lack := lacks(&try, missing); lack != "" {
			lacking = &UnsupportedError{Engine: c.Engine, What: fmt.Sprintf("fault %q (%s)", r.Name, r.what()),
				Reason: "needs " + string(lack), Instead: insteadOf(r, c.Engine, missing)}
			continue
		}
		r.Engine = c.Engine
		return nil
	}
	if lacking != nil {
		return lacking
	}
	return r.noCell()
}

// noCell explains why no cell covers the rule, nearest reason first.
func (r *Rule) noCell() error {
	switch others := enginesFor(r); {
	case r.Hello.Any() || len(others) == 0:
	case slices.Contains(others, EngineRelay):
		return r.bad("engine", string(r.Engine), "only a relay looks at hellos, and an edge at client_hello; allowed: relay")
	default:
		return r.bad("hello", r.Hello.String(), "only a relay looks at hellos, and an edge at client_hello; neither can do %s", r.what())
	}
	if r.Request != 0 && len(enginesFor(r)) > 0 {
		return r.bad("request", r.Request, "only a relay counts requests, and it cannot do %s", r.what())
	}
	asked := r.Engine
	if asked == EngineAuto {
		asked = ""
	}
	if others := enginesFor(r); asked != "" && len(others) > 0 {
		return r.bad("engine", string(asked), "cannot do %s; allowed: %s", r.what(), join(others))
	}
	var at []string
	perPacket, noStage := false, false
	for _, c := range Cells() {
		if c.Action != r.Action || asked != "" && c.Engine != asked {
			continue
		}
		perPacket = perPacket || c.PerPacket
		noStage = noStage || c.NoStage
		for _, s := range c.Stages {
			if !slices.Contains(at, s.String()) {
				at = append(at, s.String())
			}
		}
	}
	on := ""
	if asked != "" {
		on = " on " + string(asked)
	}
	switch {
	case len(at) == 0 && !perPacket && !noStage:
		return r.bad("engine", string(asked), "does not do %s; allowed: %s", r.Action, join(enginesDoing(r.Action)))
	case r.PerPacket && !perPacket:
		return r.bad("per", "packet", "%s%s is per connection attempt", r.Action, on)
	case r.PerPacket:
		return r.bad("at", r.At.String(), "per = \"packet\" has no stage; leave it out")
	case len(at) == 0 && perPacket:
		return r.bad("per", "attempt", "%s%s is per packet: say per = \"packet\"", r.Action, on)
	case len(at) == 0:
		return r.bad("at", r.At.String(), "%s%s has no stage; leave it out", r.Action, on)
	}
	return r.bad("at", r.At.String(), "%s%s is possible at %s", r.Action, on, strings.Join(at, ", "))
}

func (r *Rule) checkParameters() error {
	switch {
	case !(r.Probability >= 0 && r.Probability <= 1):
		return r.bad("probability", r.Probability, "allowed: 0 to 1")
	case r.Times < 0:
		return r.bad("times", r.Times, "allowed: 0 (until the connection ends) and above")
	case r.Times > 0 && !(r.Action == Drop && !r.PerPacket):
		return r.bad("times", r.Times, "counts dropped segments: only for drop per attempt")
	case r.Limit < 0:
		return r.bad("limit", r.Limit, "allowed: 0 (no limit) and above")
	case r.Limit > 0 && r.PerPacket:
		return r.bad("limit", r.Limit, "not for per = \"packet\"")
	case r.From < 0 || r.Until < 0 || r.Until > 0 && r.Until <= r.From:
		return r.bad("until", r.Until.String(), "must be after from = %q, neither below 0", r.From)
	case r.Ramp < 0 || r.Until > 0 && r.Ramp > (r.Until-r.From)/2:
		return r.bad("ramp", r.Ramp.String(), "allowed: 0 to half of the time between from and until")
	case r.Jitter != 0 && r.Action != Delay:
		return r.bad("jitter", r.Jitter.String(), "only for delay")
	case r.Jitter < 0 || r.Jitter > r.Duration:
		return r.bad("jitter", r.Jitter.String(), "allowed: 0 to duration = %q", r.Duration)
	case r.Alert != 0 && r.Action != Alert:
		return r.bad("alert", r.Alert, "only for action alert")
	case r.Burst != 0 && !(r.Engine == EngineLink && r.Action == Drop && r.PerPacket):
		return r.bad("burst", r.Burst, "only for drop per packet on link")
	case r.Burst != 0 && (r.Burst < 1 || r.Burst > 1000):
		return r.bad("burst", r.Burst, "mean length of a run of lost packets; allowed: 1 to 1000")
	}
	if r.Request < 0 || r.Request > 0 && (r.Engine != EngineRelay || r.At != stage.Request && r.At != stage.Response) {
		return r.bad("request", r.Request, "counts the requests of a connection from 1: for a relay at request or response")
	}
	if key, value, err := r.Hello.check(); err != nil {
		return r.bad(key, value, "%v", err)
	}
	return r.checkActionParameters()
}

func (r *Rule) checkActionParameters() error {
	positive := func(key string, ok bool, value any) error {
		if ok {
			return nil
		}
		return r.bad(key, value, "%s needs a %s above 0", r.Action, key)
	}
	if r.Duration < 0 {
		return r.bad("duration", r.Duration.String(), "must not be below 0")
	}
	if r.Engine == EngineLink && r.Action == Delay && r.Probability > 0 && r.Probability < 1 {
		return r.bad("probability", r.Probability, "delay per packet keeps the order, so it concerns every packet: 1, or reorder")
	}
	switch r.Action {
	case Delay, HandshakeDeadline, SlowHandshake, Slow, Pause, Reorder:
		return positive("duration", r.Duration > 0, r.Duration.String())
	case Truncate:
		if r.Bytes < 0 {
			return r.bad("bytes", r.Bytes, "allowed: 0 and above")
		}
	case Split:
		return positive("bytes", r.Bytes > 0, r.Bytes)
	case Throttle:
		return positive("rate", r.Rate > 0, r.Rate)
	case TableFull:
		return positive("max", r.Max > 0, r.Max)
	case Alert:
		if r.Alert < 1 || r.Alert > 255 {
			return r.bad("alert", r.Alert, "want the number of a fatal alert, 1 to 255: 70 is protocol_version")
		}
	case Shape:
		if r.Model == "" {
			return r.bad("model", r.Model, "shape needs the name of a link model")
		}
	case Corrupt:
		parts := []Part{"", PartHeader, PartBody, PartMAC}
		if !slices.Contains(parts, r.Part) {
			return r.bad("part", string(r.Part), "allowed: %s", join(parts[1:]))
		}
		if r.Part == PartMAC && !protected(r.At) {
			return r.bad("part", string(r.Part), "records at %s carry no MAC; allowed: header, body", r.At)
		}
	}
	return nil
}

// protected says whether records of this stage can carry a MAC or tag.
func protected(s stage.Stage) bool {
	switch s {
	case stage.ServerFlight, stage.Finished, stage.ServerFinished, stage.Request, stage.Response:
		return true
	}
	return false
}

// Engines lists the words for `engine` besides auto.
func Engines() []Engine { return []Engine{EngineSockfilter, EngineRelay, EngineLink, EngineEdge} }

// Actions lists the words for `action`, as Cells has them.
func Actions() []Action {
	var all []Action
	for _, c := range Cells() {
		if !slices.Contains(all, c.Action) {
			all = append(all, c.Action)
		}
	}
	return all
}

func enginesFor(r *Rule) []Engine {
	var all []Engine
	for _, c := range Cells() {
		if c.Does(r) && !slices.Contains(all, c.Engine) {
			all = append(all, c.Engine)
		}
	}
	return all
}

func enginesDoing(a Action) []Engine {
	var all []Engine
	for _, c := range Cells() {
		if c.Action == a && !slices.Contains(all, c.Engine) {
			all = append(all, c.Engine)
		}
	}
	return all
}

// lacks names the first capability that the rule needs and the machine has not.
func lacks(r *Rule, missing []Capability) Capability {
	for _, need := range Requires(r) {
		if slices.Contains(missing, need) {
			return need
		}
	}
	return ""
}

// insteadOf names what else could do the rule: another engine that lacks nothing, or the right that is missing.
func insteadOf(r *Rule, not Engine, missing []Capability) string {
	for _, e := range enginesFor(r) {
		try := *r
		try.Engine = e
		if e != not && lacks(&try, missing) == "" {
			return fmt.Sprintf("engine = %q", e)
		}
	}
	return ""
}

// what is the rule in three words: "drop at client_hello".
func (r *Rule) what() string {
	switch {
	case r.PerPacket && r.At == stage.None:
		return string(r.Action) + " per packet"
	case r.PerPacket:
		return fmt.Sprintf("%s per packet at %s", r.Action, r.At)
	case r.At == stage.None:
		return string(r.Action) + " without a stage"
	}
	return fmt.Sprintf("%s at %s", r.Action, r.At)
}

func join[T ~string](words []T) string {
	s := make([]string, len(words))
	for i, w := range words {
		s[i] = string(w)
	}
	return strings.Join(s, ", ")
}
