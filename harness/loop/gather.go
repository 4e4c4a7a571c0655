package loop

import "time"

// gather decides when the loop lets events gather before it looks for them, as network cards do with
// interrupts. Where answers come every few microseconds each of them would wake the loop by itself, and a
// wake costs as much as what it is for. The price is that an answer is seen up to the pause later, so it is only
// for loads that follow answers: an open model measures against its schedule and never gathers.
type gather struct {
	pause  time.Duration // 0: never
	since  time.Duration // when counting began
	events int           // counted since then
	fast   bool
}

const (
	gatherWindow = time.Millisecond // how long events are counted for one decision
	gatherAtPace = 4                // events per pause from which on it pays
)

// Gather lets the loop pause for d before it looks for events, while they come so fast that it finds several.
func (l *Loop) Gather(d time.Duration) { l.gather.pause = d }

// pays says whether to pause now.
func (g *gather) pays(now time.Duration) bool {
	if g.pause == 0 {
		return false
	}
	if took := now - g.since; took >= gatherWindow {
		g.fast = time.Duration(g.events)*g.pause >= gatherAtPace*took
		g.since, g.events = now, 0
	}
	return g.fast
}
