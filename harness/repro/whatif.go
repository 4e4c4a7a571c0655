package repro

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles"
	"tlsurge/results"
)

// Where an effect was judged.
const (
	inMemory = "memory"
	onFleet  = "fleet"
)

// Effect is what one knob does to the report.
type Effect struct {
	Knob string `json:"knob"` // as --fix takes it
	// Where it was tried: "memory", where a browser shows the report or not and chance has no part, or "fleet".
	Where  string `json:"where"`
	Before Rate   `json:"before"` // memory: of the kinds of browsers that show it; fleet: of page loads
	After  Rate   `json:"after"`
	// Failing is who sees any error then, the report's or another.
	Failing Rate `json:"failing"`
	Helps   bool `json:"helps"`
	// Instead is what those browsers then come to, in memory.
	Instead map[string]int `json:"instead,omitempty"`
	Breaks  []string       `json:"breaks,omitempty"` // browsers that could no longer load a page undisturbed
}

// Share is what is left of the report: 1 is all of it.
func (e Effect) Share() float64 {
	if e.Before.Value() == 0 {
		return 1
	}
	return e.After.Value() / e.Before.Value()
}

// knobsInMemory are the changes that a trial can judge: faults off, another library, directives about TLS.
func (t *task) knobsInMemory() (list [][]Change) {
	r := t.recipe
	for i := range r.Faults {
		list = append(list, []Change{{"fault." + faultName(r.Faults, i), "off"}})
	}
	now, _ := stack.Lookup(r.Acts[0].Stack)
	for _, n := range stack.Names() {
		st, err := stack.Lookup(n)
		if err != nil || !st.Library || age(n) <= age(now.Name) {
			continue
		}
		list = append(list, []Change{{"stack", n}})
		if top := now.Versions[len(now.Versions)-1]; !now.Speaks(st.Versions[len(st.Versions)-1]) {
			// The same versions on a newer library: its defects apart from what else it brings.
			var words []string
			for _, v := range st.Versions {
				if v <= top {
					words = append(words, stack.ProtocolName(v))
				}
			}
			list = append(list, []Change{{"stack", n}, {"ssl_protocols", strings.Join(words, " ")}})
		}
	}
	if now.SecurityLevel > 0 {
		level := Change{"ssl_ciphers", "DEFAULT:@SECLEVEL=0"}
		list = append(list, []Change{level}, []Change{level, {"ssl_protocols", "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"}})
	}
	for _, k := range []struct {
		name   string
		values []string
	}{
		{"ssl_protocols", []string{"TLSv1", "TLSv1 TLSv1.1 TLSv1.2", "TLSv1.2", "TLSv1.2 TLSv1.3"}},
		{"ssl_ciphers", []string{"HIGH:!aNULL:!MD5", "ECDHE+AESGCM", "AES128-SHA"}},
		{"ssl_prefer_server_ciphers", []string{"on", "off"}},
		{"ssl_session_tickets", []string{"on", "off"}},
		{"ssl_session_cache", []string{"off", "none", "shared:SSL:50m"}},
		{"ssl_ecdh_curve", []string{"prime256v1", "secp384r1"}},
		{"ssl_early_data", []string{"on"}},
		{"ssl_reject_handshake", []string{"off"}},
		{"key", []string{"rsa-2048", "ecdsa-p256"}},
	} {
		for _, v := range k.values {
			if k.name == "key" || nginxconf.Known(k.name) {
				list = append(list, []Change{{k.name, v}})
			}
		}
	}
	return list
}

// kernelKnobs are the four that the thread's operator turned.
var kernelKnobs = []Change{
	{"kernel.net.ipv4.tcp_fin_timeout", "15"}, {"kernel.net.ipv4.tcp_max_syn_backlog", "65536"},
	{"kernel.net.ipv4.ip_local_port_range", "1024 65535"}, {"kernel.net.ipv4.tcp_tw_reuse", "1"},
}

// fleetKnobs are directives whose effect is one of time, which only a fleet has.
var fleetKnobs = []Change{
	{"client_header_timeout", "10s"}, {"keepalive_timeout", "5"}, {"ssl_session_timeout", "1h"}, {"worker_connections", "65536"},
}

// knobs turns every knob that memory can judge, one at a time, as long as there is time. It costs no run.
func (t *task) knobs(ctx context.Context) {
	if t.recipe == nil || !playable(t.recipe.Faults) || len(t.population) == 0 {
		return
	}
	base := *t.recipe
	base.Visitors = t.population
	before := NewRate(int64(len(t.showing(base))), int64(len(t.population)))
	list := t.knobsInMemory()
	for i, c := range list {
		if ctx.Err() != nil || t.left() <= 0 {
			t.note("%d of %d knobs were not turned in memory: time was up", len(list)-i, len(list))
			break
		}
		changed, set, err := base.apply(c)
		if err != nil || len(set) > 0 || !t.differs(base, changed) {
			continue
		}
		e := Effect{Knob: changes(c), Where: inMemory, Before: before}
		still := t.showing(changed)
		e.After = NewRate(int64(len(still)), int64(len(t.population)))
		e.Helps = e.After.Hits < e.Before.Hits
		fails := 0
		e.Instead, fails = t.insteads(changed, still)
		e.Failing = NewRate(int64(fails), e.Before.Loads)
		e.Breaks, _ = t.sideEffects(changed)
		t.result.Effects = append(t.result.Effects, e)
	}
	t.rankEffects()
}

// differs says whether the change is one, and one that the servers can carry out.
func (t *task) differs(a, b Recipe) bool {
	if !slices.Equal(a.Faults, b.Faults) {
		return true
	}
	for i, s := range b.Acts {
		server, err := t.lab.take(s)
		if err != nil {
			return false
		}
		t.lab.give(s, server)
		if s.id() == a.Acts[i].id() {
			return false
		}
	}
	return true
}

// showing are the visitors that show any confirmed signature in memory.
func (t *task) showing(r Recipe) (list []Visitor) {
	for _, v := range r.Visitors {
		one := r
		one.Visitors = []Visitor{v}
		if t.search.shows(one)&t.confirmed != 0 {
			list = append(list, v)
		}
	}
	return list
}

// insteads counts what visitors who no longer show the report come to, and how many of all see an error.
func (t *task) insteads(r Recipe, still []Visitor) (out map[string]int, failing int) {
	for _, v := range r.Visitors {
		end := t.endOf(r, v)
		if !strings.HasPrefix(end, served) {
			failing++
		}
		if !slices.Contains(still, v) {
			if out == nil {
				out = map[string]int{}
			}
			out[end]++
		}
	}
	return out, failing
}

// served begins the words of every end that is none for the user.
const served = "served"

// endOf is what a visitor comes to, in words: the worst of all acts.
func (t *task) endOf(r Recipe, v Visitor) string {
	end := served
	for _, s := range r.Acts {
		server, err := t.lab.take(s)
		if err != nil {
			return err.Error()
		}
		res, err := t.lab.play(server, v, r.Faults)
		t.lab.give(s, server)
		switch {
		case err != nil:
			end = "never ends"
		case res.Verdict == results.SawError:
			return "sees " + res.UserSees
		case res.Verdict == results.SavedByRetry && end == served:
			end = "served at a second attempt"
		case res.Verdict == results.Downgraded:
			end = "served at a lower version"
		}
	}
	return end
}

// sideEffects names browsers, of all that are known, whose undisturbed first visit ends otherwise than at the
// recipe's own servers: the last act counts.
func (t *task) sideEffects(changed Recipe) (breaks, helps []string) {
	last := func(r Recipe) Recipe {
		return Recipe{Acts: r.Acts[len(r.Acts)-1:]}
	}
	was, is := last(*t.recipe), last(changed)
	if was.Acts[0].id() == is.Acts[0].id() {
		return nil, nil
	}
	for _, n := range profiles.Names() {
		v := Visitor{Profile: n}
		a, b := t.endOf(was, v), t.endOf(is, v)
		switch bad := func(s string) bool { return s != served }; {
		case !bad(a) && bad(b):
			breaks = append(breaks, n)
		case bad(a) && !bad(b):
			helps = append(helps, n)
		}
	}
	return breaks, helps
}

// rankEffects puts first what leaves the fewest with an error, then what leaves least of the report, then what
// breaks nobody else.
func (t *task) rankEffects() {
	slices.SortStableFunc(t.result.Effects, func(a, b Effect) int {
		return cmp.Or(cmp.Compare(a.Failing.Value(), b.Failing.Value()), cmp.Compare(a.Share(), b.Share()), cmp.Compare(len(a.Breaks), len(b.Breaks)))
	})
}

// whatIf adds what needs a fleet: a run for each knob, two at a time, as long as there is time.
func (t *task) whatIf(ctx context.Context) error {
	need := t.again()
	before := t.overall(t.run)
	var untried []string
	knobs := append(slices.Clone(kernelKnobs), fleetKnobs...)
	for len(knobs) > 0 {
		now := knobs[:min(2, len(knobs))]
		knobs = knobs[len(now):]
		if t.left() < need {
			for _, c := range now {
				untried = append(untried, c.String())
			}
			continue
		}
		t.Progress.Step("what if " + changes(now[:1]) + "; what if " + changes(now[len(now)-1:]))
		effects := make([]*Effect, len(now))
		var group sync.WaitGroup
		for i, c := range now {
			group.Go(func() { effects[i] = t.turn(ctx, c, before) })
		}
		group.Wait()
		for i, e := range effects {
			if e == nil {
				untried = append(untried, now[i].String())
				continue
			}
			t.result.Effects = append(t.result.Effects, *e)
		}
	}
	if len(untried) > 0 {
		t.note("not tried: %s. A run takes about %v", strings.Join(untried, ", "), need.Round(time.Second))
	}
	t.rankEffects()
	return nil
}

// turn is one run with a knob turned; nil where it gave no result.
func (t *task) turn(ctx context.Context, c Change, before Rate) *Effect {
	file, set, err := t.changed("what-if-"+strings.ReplaceAll(c.Key, ".", "-")+".toml", []Change{c})
	if err != nil {
		t.note("%v was not tried: %v", c, err)
		return nil
	}
	run, _, err := t.do(ctx, "what-if-"+strings.ReplaceAll(c.Key, ".", "-"), file, set, t.lasts())
	if err != nil {
		t.note("%v was not tried: %v", c, err)
	}
	if run == nil {
		return nil
	}
	e := &Effect{Knob: strings.TrimPrefix(c.String(), "kernel."), Where: onFleet, Before: before, After: t.overall(run)}
	e.Failing = failing(run)
	e.Helps = difference(e.Before, e.After).High < 0
	return e
}

// failing is the share of page loads that ended in an error, whichever.
func failing(run *results.Run) Rate {
	var bad, loads int64
	for _, u := range run.Users {
		bad += u.SawError
		loads += u.PageLoads
	}
	return NewRate(bad, loads)
}

// ownFix tries on the fleet what the library says removes its case.
func (t *task) ownFix(ctx context.Context) error {
	if t.kase == nil || t.left() < t.again() {
		return nil
	}
	t.Progress.Step("the library's fix: " + t.kase.Fix.About)
	var set []string
	for _, k := range slices.Sorted(maps.Keys(t.kase.Fix.Set)) {
		set = append(set, k+"="+t.kase.Fix.Set[k])
	}
	run, _, err := t.do(ctx, "own-fix", t.file, set, t.lasts())
	if err != nil {
		// Shrinking may have left out what the fix is about.
		t.note("the library's fix was not tried: %v", err)
		return nil
	}
	if run == nil {
		return nil
	}
	e := Effect{Knob: strings.Join(set, " and "), Where: onFleet, Before: t.overall(t.run), After: t.overall(run), Failing: failing(run)}
	e.Helps = difference(e.Before, e.After).High < 0
	t.result.Effects = append(t.result.Effects, e)
	return nil
}
