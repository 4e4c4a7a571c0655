package repro

import (
	"maps"
	"slices"

	"tlsurge/harness/trial"
)

// Step is one thing that shrinking tried to leave out.
type Step struct {
	What    string `json:"what"`
	Dropped bool   `json:"dropped"` // the report still appears without it
}

// smaller is a recipe with one thing less.
type smaller struct {
	what   string
	recipe Recipe
}

// reductions are the recipe with each of its parts left out or made plain, the largest first.
func reductions(r Recipe) (list []smaller) {
	add := func(what string, change func(*Recipe)) {
		c := Recipe{slices.Clone(r.Acts), slices.Clone(r.Faults), slices.Clone(r.Visitors)}
		change(&c)
		list = append(list, smaller{what, c})
	}
	for i, a := range r.Acts {
		if len(r.Acts) > 1 {
			add("the act with "+a.String(), func(c *Recipe) { c.Acts = slices.Delete(c.Acts, i, i+1) })
		}
	}
	for i, f := range r.Faults {
		add("the fault: "+f.String(), func(c *Recipe) { c.Faults = slices.Delete(c.Faults, i, i+1) })
	}
	for i, v := range r.Visitors {
		if len(r.Visitors) > 1 {
			add("the browser "+v.String(), func(c *Recipe) { c.Visitors = slices.Delete(c.Visitors, i, i+1) })
		}
	}
	for i, v := range r.Visitors {
		if v.Returning {
			add("the earlier visit of "+v.Profile, func(c *Recipe) { c.Visitors[i].Returning = false })
		}
	}
	for i, f := range r.Faults {
		if f.Attempts == everyAttempt {
			add(f.String()+" of later attempts", func(c *Recipe) { c.Faults[i].Attempts = 1 })
		}
	}
	for i, a := range r.Acts {
		for _, k := range slices.Sorted(maps.Keys(a.Set)) {
			if k == "client_header_timeout" {
				continue // shortened so that a run is, not because the report needs it
			}
			add("the setting "+k+" "+a.Set[k], func(c *Recipe) {
				c.Acts[i].Set = maps.Clone(a.Set)
				delete(c.Acts[i].Set, k)
			})
		}
		if a.Key != "" {
			add("the key "+a.Key, func(c *Recipe) { c.Acts[i].Key = "" })
		}
	}
	return list
}

// shrink leaves out one thing after another as long as the recipe still shows keep, until nothing can go. It
// gives what was tried of the last recipe, and what went before.
func (s *search) shrink(r Recipe, keep mask) (Recipe, []Step) {
	var dropped []Step
	for {
		var kept []Step
		again := false
		for _, c := range reductions(r) {
			if s.shows(c.recipe)&keep == keep {
				dropped = append(dropped, Step{c.what, true})
				r, again = c.recipe, true
				break
			}
			kept = append(kept, Step{What: c.what})
		}
		if !again {
			return r, append(dropped, kept...)
		}
	}
}

// shows is what the recipe shows in memory; nothing where it cannot be played.
func (s *search) shows(r Recipe) (m mask) {
	var acts []*trial.Server
	for _, a := range r.Acts {
		server, err := s.lab.take(a)
		if err != nil {
			return 0
		}
		defer s.lab.give(a, server)
		acts = append(acts, server)
	}
	for _, v := range r.Visitors {
		m |= s.visit(acts, v, r.Faults).shows
	}
	return m
}
