package cluster

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// HubID is the coordinator's name among the members: they can call it.
const HubID = "hub"

// Socket is the name of the Unix socket in the run's directory.
const Socket = "hub.sock"

// HubConfig says how a coordinator is reached.
type HubConfig struct {
	// Dir is where the Unix socket (hub.sock, 0600) and the members' spools lie: the run's directory.
	Dir string
	// Listen is a TCP address for agents of other machines; empty: no port is opened. TLS goes with it.
	Listen string
	TLS    *tls.Config
	// URL is an existing NATS cluster (nats:// or tls://) instead of the embedded server.
	URL string
	CA  string // PEM, for tls://
	// Token admits members; empty: a random one is made (embedded server only).
	Token string
	// Run names the run on a shared cluster; empty: a random name.
	Run string
	// LostAfter is how long a member may be silent; default 10 s. Time in which the coordinator itself
	// has no server does not count.
	LostAfter time.Duration

	// Stats receives members' cumulative statistics, one call at a time.
	Stats func(id string, data []byte)
	// Evidence receives each piece once, in the member's order, one call at a time. An error (a full
	// disk) leaves it with the member, which offers it again.
	Evidence func(id, kind string, seq uint64, data []byte) error
	// Notice is told who came, left, was lost or came back, one call at a time.
	Notice func(Notice)
}

// Hub is the coordinator's side.
type Hub struct {
	*peer
	cfg      HubConfig
	endpoint Endpoint
	server   *embedded // nil with an existing cluster
	members  *members

	sinkMu sync.Mutex // one call of Stats or Evidence at a time; guards the rest
	taken  map[string]uint64
	deaf   bool // closed: the sinks are not called any more

	stopWatch context.CancelFunc
	watching  sync.WaitGroup
	closing   sync.Once
}

// StartHub starts the embedded server, or connects to an existing cluster, and listens for members.
func StartHub(ctx context.Context, cfg HubConfig) (*Hub, error) {
	if cfg.Run == "" {
		cfg.Run = secret()
	}
	if cfg.LostAfter == 0 {
		cfg.LostAfter = 10 * time.Second
	}
	if err := checkName("run", cfg.Run); err != nil {
		return nil, err
	}
	h := &Hub{peer: newPeer(HubID, cfg.Run, secret()), cfg: cfg, taken: map[string]uint64{},
		members: newMembers(cfg.LostAfter)}
	if err := h.reach(ctx); err != nil {
		return nil, err
	}
	if err := h.subscribe(); err != nil {
		h.Close()
		return nil, fmt.Errorf("coordinator: %w", err)
	}
	watch, stop := context.WithCancel(context.Background())
	h.stopWatch = stop
	h.watching.Add(2)
	go h.watchHeartbeats(watch)
	go h.deliverNotices()
	return h, nil
}

// reach connects the hub to its own or the given server.
func (h *Hub) reach(ctx context.Context) error {
	if h.cfg.URL != "" {
		h.endpoint = Endpoint{URL: h.cfg.URL, Token: h.cfg.Token, Run: h.cfg.Run, CA: h.cfg.CA}
		if err := h.endpoint.Validate(); err != nil {
			return err
		}
		nc, err := connect(ctx, h.endpoint, HubID)
		h.nc = nc
		return err
	}
	if h.cfg.Token == "" {
		h.cfg.Token = secret()
	}
	dir, err := filepath.Abs(h.cfg.Dir)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, Socket)
	h.server, err = newEmbedded(path, h.cfg.Token, h.cfg.Listen, h.cfg.TLS)
	if err != nil {
		return err
	}
	h.endpoint = Endpoint{URL: "unix://" + path, Token: h.cfg.Token, Run: h.cfg.Run}
	opts := append(baseOptions(HubID, h.cfg.Token), nats.SetCustomDialer(dialer(h.server.dial)))
	if h.nc, err = dialUntil(ctx, h.endpoint.URL, "nats://coordinator", opts); err != nil {
		h.server.close()
		os.Remove(path)
	}
	return err
}

func (h *Hub) subscribe() error {
	for subject, handler := range map[string]nats.MsgHandler{
		"clock":        h.onClock,
		"hello":        h.onHello,
		"bye":          h.onBye,
		"stats.*":      h.onStats,
		"evidence.*.*": h.onEvidence,
	} {
		sub, err := h.nc.Subscribe(h.prefix+subject, handler)
		if err != nil {
			return err
		}
		// Unbounded: a burst is evidence, and its senders wait for acknowledgements.
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return err
		}
	}
	return h.answerCalls()
}

// Endpoint is where children of this machine reach the hub.
func (h *Hub) Endpoint() Endpoint { return h.endpoint }

// Remote is where agents of other machines reach the hub; ok is false when no port is open.
func (h *Hub) Remote() (e Endpoint, ok bool) {
	if h.server == nil {
		return h.endpoint, true
	}
	addr := h.server.address()
	if addr == nil {
		return Endpoint{}, false
	}
	scheme := "nats"
	if h.cfg.TLS != nil {
		scheme = "tls"
	}
	return Endpoint{URL: scheme + "://" + addr.String(), Token: h.cfg.Token, Run: h.cfg.Run}, true
}

// Env is Endpoint().Env().
func (h *Hub) Env() []string { return h.endpoint.Env() }

func (h *Hub) onClock(msg *nats.Msg) { h.welcome(msg, nil) }

func (h *Hub) onHello(msg *nats.Msg) {
	var info Info
	err := json.Unmarshal(msg.Data, &info)
	if err == nil {
		err = checkName("member", info.ID)
	}
	if err == nil && info.Protocol != protocol {
		err = fmt.Errorf("member %s speaks protocol %d, the coordinator %d: use the same build of tlsurge", info.ID, info.Protocol, protocol)
	}
	if err == nil {
		err = h.members.hello(info, time.Now())
	}
	h.welcome(msg, err)
}

func (h *Hub) onBye(msg *nats.Msg) {
	var info Info
	err := json.Unmarshal(msg.Data, &info)
	if err == nil {
		h.members.bye(info)
	}
	h.welcome(msg, err)
}

func (h *Hub) welcome(msg *nats.Msg, refused error) {
	w := welcome{Now: time.Now(), BootID: bootID()}
	if refused != nil {
		w.Error = refused.Error()
	}
	if data, err := json.Marshal(w); err == nil {
		msg.Respond(data)
	}
}

func (h *Hub) onStats(msg *nats.Msg) {
	h.sinkMu.Lock()
	defer h.sinkMu.Unlock()
	if h.cfg.Stats != nil && !h.deaf {
		h.cfg.Stats(msg.Subject[len(h.prefix)+len("stats."):], msg.Data)
	}
}

// onEvidence hands the new items of a batch to the sink, in order, and acknowledges the last one taken.
func (h *Hub) onEvidence(msg *nats.Msg) {
	from := msg.Subject[len(h.prefix)+len("evidence."):]
	id, _, _ := strings.Cut(from, ".")
	h.sinkMu.Lock()
	defer h.sinkMu.Unlock()
	if h.deaf {
		return
	}
	seq, err := h.takeBatch(id, h.taken[from], msg.Data)
	h.taken[from] = seq
	ack := evidenceAck{Seq: seq}
	if err != nil {
		ack.Error = err.Error()
	}
	if data, err := json.Marshal(ack); err == nil {
		msg.Respond(data)
	}
}

func (h *Hub) takeBatch(id string, taken uint64, batch []byte) (uint64, error) {
	for len(batch) > 0 {
		it, rest, err := parseItem(batch)
		if err != nil {
			return taken, err
		}
		batch = rest
		if it.Seq <= taken {
			continue // sent again because an acknowledgement was lost
		}
		if it.Seq != taken+1 {
			return taken, fmt.Errorf("evidence %d of %s follows %d", it.Seq, id, taken)
		}
		if h.cfg.Evidence != nil {
			if err := h.cfg.Evidence(id, it.Kind, it.Seq, it.Data); err != nil {
				return taken, err
			}
		}
		taken = it.Seq
	}
	return taken, nil
}

// Wait returns when all ids are there, or names those that are not when ctx ends.
func (h *Hub) Wait(ctx context.Context, ids ...string) error {
	for {
		absent, changed := h.members.absent(ids)
		if len(absent) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", strings.Join(absent, ", "), context.Cause(ctx))
		}
	}
}

// Members lists who is there, by name.
func (h *Hub) Members() []Info { return h.members.present() }

// ErrLost says that a member was there and is silent now.
var ErrLost = errors.New("lost")

// Call is peer.Call, except that it does not wait for a member that is lost.
func (h *Hub) Call(ctx context.Context, id, verb string, in, out any) error {
	alive, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	forget := h.members.onLost(id, func() { cancel(fmt.Errorf("%s: %w", id, ErrLost)) })
	defer forget()
	return h.peer.Call(alive, id, verb, in, out)
}

// GiveUp declares a member lost at once: its process is known to have ended. Dismiss says that we ended
// it. Neither is news of a member that has said good-bye.
func (h *Hub) GiveUp(id, why string)  { h.members.giveUp(id, Lost, why) }
func (h *Hub) Dismiss(id, why string) { h.members.giveUp(id, Ended, why) }

// Close ends calls, watches and the server, and removes the socket. Members that are still there see a
// server that went away.
func (h *Hub) Close() {
	h.closing.Do(func() {
		h.stopHandlers()
		h.sinkMu.Lock()
		h.deaf = true
		h.sinkMu.Unlock()
		if h.stopWatch != nil {
			h.stopWatch()
		}
		h.members.close()
		h.watching.Wait()
		if h.nc != nil {
			h.nc.Close()
		}
		if h.server != nil {
			h.server.close()
			os.Remove(h.endpoint.socketPath())
		}
	})
}

func (h *Hub) deliverNotices() {
	defer h.watching.Done()
	for n := range h.members.notices() {
		if h.cfg.Notice != nil {
			h.cfg.Notice(n)
		}
	}
}

func (h *Hub) watchHeartbeats(ctx context.Context) {
	defer h.watching.Done()
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if h.nc.IsConnected() {
				h.members.sweep(now)
			} else {
				h.members.excuse(now)
			}
		}
	}
}
