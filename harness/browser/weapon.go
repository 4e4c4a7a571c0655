package browser

import (
	"net/netip"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/sockfilter"
	"tlsurge/faults/stage"
	"tlsurge/harness/loop"
)

// weapon is a fault that this agent itself holds ready for one attempt: a filter on the attempt's own
// socket, or the watch over SYNs that an edge drops.
type weapon struct {
	try   *try
	rule  *faults.Rule
	armed *sockfilter.Armed
	timer loop.Timer // polls the filter's counter, or the SYNs sent
	// syn: the edge drops this attempt's SYNs, and only the agent can count them.
	syn bool
}

// pollEvery is how often a filter's drop counter is read. The kernel's shortest retransmission timeout
// is 200 ms, so a filter that has dropped its number of segments is gone long before the next arrives.
const pollEvery = 20 * time.Millisecond

// arm asks the plan who is hit and prepares what the rule needs before a socket exists: the address that
// an edge, a relay or a link recognises the attempt by.
func (t *try) arm(ordinary netip.AddrPort) (source netip.AddrPort, err error) {
	c, a := t.conn, t.conn.b.agent
	subject := faults.Subject{Key: t.key(), Profile: c.b.host.profile.Name, Edge: a.cfg.Edges[t.edge].Name,
		Address: t.target.String(), Kind: t.kind(), At: t.intended - a.start}
	rules := a.cfg.Plan.Rules()
	for i := range rules {
		if !rules[i].HitsEdge() && rules[i].Selects(subject) {
			a.rec.Eligible(rules[i].Name)
		}
	}
	r := a.cfg.Plan.Decide(subject)
	if r == nil {
		r = a.cfg.Plan.DecidePerPacket(subject)
	}
	if r == nil {
		return ordinary, nil
	}
	t.rule = r
	if r.OnClient() {
		t.weapon = &weapon{try: t, rule: r}
		t.weapon.timer.Owner = t.weapon
		c.Watch = true
	}
	if r.Engine == faults.EngineRelay {
		t.target = &a.relayAt[t.edge]
	}
	if r.NeedsSource() || r.Engine == faults.EngineRelay {
		ordinary = netip.AddrPortFrom(a.armedSource(r, t.target.Addr()), 0)
	}
	if r.Engine == faults.EngineRelay {
		a.relays[t.edge].Arm(ordinary, r, t.key())
	}
	return ordinary, nil
}

// connect opens the socket; what strikes at the SYN-ACK is armed between socket and connect.
func (t *try) connect(source netip.AddrPort) error {
	c, l := t.conn, t.conn.b.agent.loop
	if t.weapon == nil || !t.weapon.beforeConnect() {
		return l.Dial(&c.Conn, c, source, *t.target)
	}
	fd, _, err := l.Bind(source, t.target.Addr())
	if err != nil {
		return err
	}
	t.weapon.attach(fd)
	return l.Connect(&c.Conn, c, fd, *t.target)
}

func (w *weapon) beforeConnect() bool { return w.rule.At == stage.SynAck || w.rule.PerPacket }

// attach puts the filter on the socket. That it could be refused was found out before the run (Probe), so
// a refusal here is a defect.
func (w *weapon) attach(fd int) {
	a := w.try.conn.b.agent
	armed, err := sockfilter.ArmClient(fd, w.rule)
	if err != nil {
		a.defect(err)
		return
	}
	w.armed = armed
	a.loop.Schedule(&w.timer, a.loop.Now()+pollEvery)
}

// beforeFlight arms what strikes at the answer to the flight that is about to be sent.
func (t *try) beforeFlight() {
	w := t.weapon
	if w == nil || w.armed != nil || w.syn {
		return
	}
	now := false
	switch w.rule.At {
	case stage.ServerHello, stage.HelloRetryRequest, stage.ServerFlight, stage.Alert:
		now = true // the first flight: the ClientHello
	case stage.ServerFinished, stage.Finished:
		now = !t.tls.AwaitingServerHello()
	case stage.Response:
		now = t.conn.stage == busy
	}
	if now {
		w.attach(t.conn.FD())
	}
}

// armIdle arms what strikes at an idle connection.
func (t *try) armIdle() {
	if w := t.weapon; w != nil && w.armed == nil && !w.syn && w.rule.At == stage.Idle {
		w.attach(t.conn.FD())
	}
}

// Expire polls.
func (w *weapon) Expire(*loop.Timer) {
	if w.try.weapon != w {
		return
	}
	if w.syn {
		w.pollSyn()
		return
	}
	if !w.poll() {
		a := w.try.conn.b.agent
		a.loop.Schedule(&w.timer, a.loop.Now()+pollEvery)
	}
}

// poll reads the drop counter and says whether the filter has done its work.
func (w *weapon) poll() (done bool) {
	t := w.try
	a := t.conn.b.agent
	f, done, err := w.armed.Poll(a.loop.Wall(a.loop.Now()))
	if err != nil {
		a.defect(err)
		return true
	}
	if done {
		w.fired(f)
	}
	return done
}

// fired puts the firing into the ledger and the weapon away.
func (w *weapon) fired(f faults.Firing) {
	t := w.try
	a := t.conn.b.agent
	t.weapon = nil
	a.loop.Cancel(&w.timer)
	if f.Packets > 0 {
		t.struck = true
		f.Key, f.HasKey, f.Tuple = t.key(), true, t.tuple()
		a.ledger(f)
	}
}

// disarm ends what is armed on the connection, with a last look at what it did.
func (c *conn) disarm() {
	t := c.try
	if t == nil || t.weapon == nil {
		return
	}
	w, a := t.weapon, c.b.agent
	a.loop.Cancel(&w.timer)
	switch {
	case w.syn:
		w.countSyns(1)
	case w.armed == nil:
		t.weapon = nil
	default:
		f, err := w.armed.Disarm(a.loop.Wall(a.loop.Now()))
		if err != nil {
			a.defect(err)
			return
		}
		w.fired(f)
	}
}

// watchSyn watches over an attempt whose SYNs the edge drops: it alone can tell how often the SYN was
// sent, so it tells the edge when its rule has dropped enough.
func (t *try) watchSyn() {
	if t.rule == nil || t.rule.At != stage.Syn || !t.rule.OnListener() {
		return
	}
	w := &weapon{try: t, rule: t.rule, syn: true}
	w.timer.Owner = w
	t.weapon = w
	a := t.conn.b.agent
	a.loop.Schedule(&w.timer, a.loop.Now()+pollEvery)
}

// pollSyn: the rule drops `times` SYNs, so it has done its work when that many have been sent.
func (w *weapon) pollSyn() {
	t := w.try
	a := t.conn.b.agent
	if w.rule.Times == 0 || a.cfg.Release == nil {
		return // for as long as the attempt lasts
	}
	if 1+t.conn.Retransmits() >= w.rule.Times {
		a.cfg.Release(a.cfg.Edges[t.edge].Name, t.local().Addr())
		return
	}
	a.loop.Schedule(&w.timer, a.loop.Now()+pollEvery)
}

// countSyns reports the firing: of all SYNs sent, those but the one that was answered were dropped;
// lost is 0 when one was, 1 when none.
func (w *weapon) countSyns(lost int) {
	t := w.try
	r := w.rule
	w.fired(faults.Firing{Rule: r.Name, Engine: string(r.Engine), Action: string(r.Action), Stage: r.At.String(),
		Direction: r.Direction.String(), Time: t.conn.b.agent.loop.Wall(t.start), Offset: -1,
		Packets: t.conn.Retransmits() + lost})
}
