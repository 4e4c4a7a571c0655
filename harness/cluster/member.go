package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// protocol is raised when hub and members of different builds would misunderstand each other.
const protocol = 1

const (
	heartbeatEvery = time.Second
	// helloExchanges is how often a new member reads the coordinator's clock before it counts as there.
	helloExchanges = 8
)

// Info is what a member says about itself.
type Info struct {
	ID          string `json:"id"`
	Incarnation string `json:"incarnation"` // a member that comes back has a new one
	Protocol    int    `json:"protocol"`
	Role        string `json:"role"` // "agent", "edge", …
	Host        string `json:"host"`
	PID         int    `json:"pid"`
	BootID      string `json:"boot_id"`
	Cores       int    `json:"cores"`
	Files       int64  `json:"files"` // RLIMIT_NOFILE
	// ClockOffset is the coordinator's clock minus the member's, known within ClockBound.
	ClockOffset time.Duration `json:"clock_offset_ns"`
	ClockBound  time.Duration `json:"clock_bound_ns"`
}

// welcome is the coordinator's answer to a hello or a heartbeat.
type welcome struct {
	Now    time.Time `json:"now"`
	BootID string    `json:"boot_id"`
	Error  string    `json:"error,omitempty"`
}

// Member is one edge or agent, seen from inside it.
type Member struct {
	*peer
	Clock Clock

	info  Info // not changed after Join
	spool *spool
	lost  atomic.Uint64 // pieces of evidence that found no room

	background sync.WaitGroup // heartbeat, evidence sender
	stop       context.CancelFunc
	gone       chan struct{} // closed when the coordinator has been silent too long
	closing    sync.Once
}

// silence is how long a member believes in a coordinator that does not answer. A load must end some
// time after the hand that controls it is gone.
const silence = 60 * time.Second

// verbPing is answered by every member at once: what an exchange takes now.
const verbPing = "ping"

// Join connects to the coordinator as id. The member can call others at once; it is called only after
// Announce, when its handlers are in place.
func Join(ctx context.Context, e Endpoint, id, role string) (*Member, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	if err := checkName("member", id); err != nil {
		return nil, err
	}
	m := &Member{peer: newPeer(id, e.Run, secret()), gone: make(chan struct{})}
	host, _ := os.Hostname() // an empty name is still an answer
	m.info = Info{ID: id, Incarnation: m.unique, Protocol: protocol, Role: role, Host: host, PID: os.Getpid(),
		BootID: bootID(), Cores: runtime.NumCPU(), Files: openFiles()}
	nc, err := connect(ctx, e, id)
	if err != nil {
		return nil, err
	}
	m.nc = nc
	On(m, verbPing, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	dir := os.TempDir()
	if path := e.socketPath(); path != "" {
		dir = filepath.Dir(path)
	}
	m.spool = newSpool(dir, spoolMemory)
	background, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.background.Add(1)
	go m.sendEvidence(background)
	return m, nil
}

// Announce says that the member is ready: its clock is set against the coordinator's, calls are
// answered from now on, and its absence would be noticed.
func (m *Member) Announce(ctx context.Context) error {
	if err := m.answerCalls(); err != nil {
		return fmt.Errorf("join as %s: %w", m.id, err)
	}
	for i := range helloExchanges {
		subject := "clock"
		if i == helloExchanges-1 {
			subject = "hello"
		}
		if err := m.exchange(ctx, subject); err != nil {
			return fmt.Errorf("join as %s: %w", m.id, err)
		}
	}
	background, stop := context.WithCancel(context.Background())
	before := m.stop
	m.stop = func() { before(); stop() }
	m.background.Add(1)
	go m.heartbeat(background)
	return nil
}

// exchange tells the coordinator that we are here and reads its clock.
func (m *Member) exchange(ctx context.Context, subject string) error {
	for {
		info := m.info
		info.ClockOffset, info.ClockBound = m.Clock.Offset()
		data, err := json.Marshal(info)
		if err != nil {
			return err
		}
		t0 := time.Now()
		reply, err := m.ask(ctx, m.prefix+subject, data, repeatCall)
		if err != nil {
			return err
		}
		if reply == nil {
			continue
		}
		t1 := time.Now()
		var w welcome
		if err := json.Unmarshal(reply, &w); err != nil {
			return fmt.Errorf("coordinator's answer: %w", err)
		}
		if w.Error != "" {
			return errors.New(w.Error)
		}
		m.Clock.mu.Lock()
		m.Clock.same = w.BootID != "" && w.BootID == m.info.BootID
		m.Clock.mu.Unlock()
		m.Clock.sample(t0, w.Now, t1)
		return nil
	}
}

func (m *Member) heartbeat(ctx context.Context) {
	defer m.background.Done()
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	answered := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		once, cancel := context.WithTimeout(ctx, repeatCall)
		err := m.exchange(once, "hello")
		cancel()
		if err == nil {
			answered = time.Now()
		} else if time.Since(answered) > silence {
			close(m.gone)
			return
		}
	}
}

// Gone is closed when the coordinator has not answered for a minute. A member of another machine ends
// its load then; children end with the coordinator's namespace, long before.
func (m *Member) Gone() <-chan struct{} { return m.gone }

// ID is the member's name. Incarnation tells this member from an earlier one of that name.
func (m *Member) ID() string          { return m.id }
func (m *Member) Incarnation() string { return m.unique }

// Stats sends cumulative statistics, at most once: nothing is kept while the server is away, for the
// next ones say it all.
func (m *Member) Stats(data []byte) error {
	if !m.nc.IsConnected() {
		return nil
	}
	return m.nc.Publish(m.prefix+"stats."+m.id, data)
}

// Evidence encodes v as JSON ([]byte and json.RawMessage: as they are) and delivers it to the
// coordinator's sink once, in order, however long the server is away. It does not wait. It fails where
// neither memory nor disk has room for it; Dropped counts such losses.
func (m *Member) Evidence(kind string, v any) error {
	var data []byte
	var err error
	switch v := v.(type) {
	case []byte:
		data = append([]byte(nil), v...)
	case json.RawMessage:
		data = append([]byte(nil), v...)
	default:
		data, err = json.Marshal(v)
	}
	if err == nil {
		err = m.spool.add(kind, data)
	}
	if err != nil {
		m.lost.Add(1)
	}
	return err
}

// Dropped is how many pieces of evidence found no room.
func (m *Member) Dropped() uint64 { return m.lost.Load() }

// sendEvidence keeps one batch in flight: the order is the spool's.
func (m *Member) sendEvidence(ctx context.Context) {
	defer m.background.Done()
	for {
		batch, err := m.spool.next()
		if batch == nil && err == nil {
			return
		}
		var reply []byte
		if err == nil {
			reply, err = m.ask(ctx, m.prefix+"evidence."+m.id+"."+m.unique, batch, repeatCall)
		}
		if ctx.Err() != nil {
			return
		}
		var a evidenceAck
		if err == nil && reply != nil {
			err = json.Unmarshal(reply, &a)
		}
		if err == nil && reply != nil && a.Error == "" {
			err = m.spool.ack(a.Seq)
		}
		if err != nil || a.Error != "" {
			// The sink refused (a full disk), or the connection is closed: the evidence stays.
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
		}
	}
}

// evidenceAck names the last item that the sink has taken.
type evidenceAck struct {
	Seq   uint64 `json:"seq"`
	Error string `json:"error,omitempty"`
}

// Flush waits until all evidence given so far is acknowledged.
func (m *Member) Flush(ctx context.Context) error {
	if err := m.spool.flush(ctx); err != nil {
		return fmt.Errorf("%s: evidence not acknowledged: %w", m.id, err)
	}
	return nil
}

// Close waits for running handlers, flushes the evidence, says good-bye and disconnects; ctx bounds the
// flush. It returns what could not be delivered.
func (m *Member) Close(ctx context.Context) error {
	var err error
	m.closing.Do(func() {
		m.stopHandlers()
		err = m.Flush(ctx)
		if err == nil {
			if data, e := json.Marshal(m.info); e == nil {
				bye, cancel := context.WithTimeout(ctx, repeatCall)
				_, err = m.ask(bye, m.prefix+"bye", data, repeatCall)
				cancel()
			}
		}
		m.stop()
		m.spool.close()
		m.background.Wait()
		m.nc.Close()
	})
	return err
}

func openFiles() int64 {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 0
	}
	return int64(lim.Cur)
}
