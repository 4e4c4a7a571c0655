package cluster

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// State is what a Notice says of a member.
type State string

const (
	Joined State = "joined"
	Left   State = "left"  // said good-bye: all its evidence is here
	Lost   State = "lost"  // fell silent, or its process ended
	Ended  State = "ended" // the coordinator itself ended it
	Back   State = "back"  // heard again after it was lost or ended, or a new incarnation of it
)

// Notice says that a member's state changed.
type Notice struct {
	Info  Info
	State State
	Why   string // of Lost
}

// members is who is there. It reads no clock: the hub tells it the time.
type members struct {
	lostAfter time.Duration

	mu      sync.Mutex
	known   map[string]*member
	changed chan struct{} // closed and replaced at every change
	queue   []Notice
	queued  sync.Cond
	closed  bool
	nextKey int
}

type member struct {
	info  Info
	state State
	heard time.Time
	lost  map[int]func() // called once when the member is gone
}

func (k *member) here() bool { return k.state == Joined || k.state == Back }

// gone says that it was there and is not any more.
func (k *member) gone() bool { return k.state != "" && !k.here() }

func newMembers(lostAfter time.Duration) *members {
	m := &members{lostAfter: lostAfter, known: map[string]*member{}, changed: make(chan struct{})}
	m.queued.L = &m.mu
	return m
}

// hello takes a first hello or a heartbeat. A second living incarnation of a name is refused: two
// processes would share one set of browsers.
func (m *members) hello(info Info, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.known[info.ID]
	if k == nil {
		k = &member{lost: map[int]func(){}}
		m.known[info.ID] = k
	}
	if k.here() && k.info.Incarnation != info.Incarnation {
		return fmt.Errorf("a member named %s is there already (%s, process %d)", info.ID, k.info.Host, k.info.PID)
	}
	if k.state == Left && k.info.Incarnation == info.Incarnation {
		return nil // a heartbeat that was under way when it said good-bye
	}
	k.info, k.heard = info, now
	if k.here() {
		return nil
	}
	state := Joined
	if k.state != "" {
		state = Back
	}
	m.set(k, state, "")
	return nil
}

func (m *members) bye(info Info) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.known[info.ID]; k != nil && k.info.Incarnation == info.Incarnation && k.state != Left {
		m.set(k, Left, "")
	}
}

func (m *members) giveUp(id string, s State, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.known[id]; k != nil && k.here() {
		m.set(k, s, why)
	}
}

// sweep finds those who have been silent too long.
func (m *members) sweep(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.known {
		silent := now.Sub(k.heard)
		if k.here() && silent > m.lostAfter {
			m.set(k, Lost, fmt.Sprintf("no heartbeat for %s", silent.Round(time.Second)))
		}
	}
}

// excuse restarts everybody's patience: the coordinator itself could not hear.
func (m *members) excuse(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.known {
		k.heard = now
	}
}

// set changes a state; m.mu is held.
func (m *members) set(k *member, s State, why string) {
	k.state = s
	m.queue = append(m.queue, Notice{Info: k.info, State: s, Why: why})
	m.queued.Broadcast()
	close(m.changed)
	m.changed = make(chan struct{})
	if k.gone() {
		for _, f := range k.lost {
			go f()
		}
		clear(k.lost)
	}
}

// absent lists those of ids that are not there, and a channel that is closed at the next change.
func (m *members) absent(ids []string) (absent []string, changed <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if k := m.known[id]; k == nil || !k.here() {
			absent = append(absent, id)
		}
	}
	return absent, m.changed
}

func (m *members) present() []Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Info
	for _, k := range m.known {
		if k.here() {
			all = append(all, k.info)
		}
	}
	slices.SortFunc(all, func(a, b Info) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// onLost calls f when id is gone, at once if it is so already. A member that was never there
// is not lost: it may still come.
func (m *members) onLost(id string, f func()) (forget func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.known[id]
	if k == nil {
		k = &member{lost: map[int]func(){}}
		m.known[id] = k
	}
	if k.gone() {
		f()
		return func() {}
	}
	m.nextKey++
	key := m.nextKey
	k.lost[key] = f
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(k.lost, key)
	}
}

// notices yields the notices in order until close.
func (m *members) notices() func(func(Notice) bool) {
	return func(yield func(Notice) bool) {
		for {
			m.mu.Lock()
			for len(m.queue) == 0 && !m.closed {
				m.queued.Wait()
			}
			if len(m.queue) == 0 {
				m.mu.Unlock()
				return
			}
			n := m.queue[0]
			m.queue = m.queue[1:]
			m.mu.Unlock()
			if !yield(n) {
				return
			}
		}
	}
}

func (m *members) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.queued.Broadcast()
}
