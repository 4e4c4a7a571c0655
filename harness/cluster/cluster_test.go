package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(envServe) != "" {
		os.Exit(serveNATS())
	}
	goleak.VerifyTestMain(m)
}

// within bounds every wait of these tests; it is not a measure of anything.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// sink collects what a hub is given.
type sink struct {
	mu       sync.Mutex
	changed  chan struct{}
	evidence map[string][]string // member -> data, in the order of arrival
	stats    map[string]string   // member -> last
	notices  []string
	refuse   error // what the evidence sink answers
}

func newSink() *sink {
	return &sink{evidence: map[string][]string{}, stats: map[string]string{}, changed: make(chan struct{})}
}

func (s *sink) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// until waits for a condition on the sink.
func (s *sink) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx := within(t)
	for {
		s.mu.Lock()
		ok, changed := cond(), s.changed
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("never came: %s; notices %q", what, s.heard())
		}
	}
}

// from lists a member's evidence so far.
func (s *sink) from(id string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.evidence[id])
}

// heard lists the notices so far.
func (s *sink) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.notices)
}

func (s *sink) config(dir string) HubConfig {
	return HubConfig{
		Dir:   dir,
		Stats: func(id string, data []byte) { s.change(func() { s.stats[id] = string(data) }) },
		Evidence: func(id, kind string, seq uint64, data []byte) (err error) {
			s.change(func() {
				if err = s.refuse; err == nil {
					s.evidence[id] = append(s.evidence[id], fmt.Sprintf("%s %d %s", kind, seq, data))
				}
			})
			return err
		},
		Notice: func(n Notice) { s.change(func() { s.notices = append(s.notices, n.Info.ID+" "+string(n.State)) }) },
	}
}

func startHub(t *testing.T, cfg HubConfig) *Hub {
	t.Helper()
	h, err := StartHub(within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func join(t *testing.T, e Endpoint, id string, handle func(*Member)) *Member {
	t.Helper()
	m, err := Join(within(t), e, id, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(within(t)) })
	if handle != nil {
		handle(m)
	}
	if err := m.Announce(within(t)); err != nil {
		t.Fatal(err)
	}
	return m
}

type word struct{ Text string }

func TestCallsGoBothWays(t *testing.T) {
	h := startHub(t, HubConfig{Dir: t.TempDir()})
	On(h, "greet", func(_ context.Context, in word) (word, error) { return word{"hub greets " + in.Text}, nil })
	join(t, h.Endpoint(), "edge-1", func(m *Member) {
		On(m, "greet", func(_ context.Context, in word) (word, error) { return word{"edge greets " + in.Text}, nil })
		On(m, "fail", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, errors.New("no such edge") })
	})
	agent := join(t, h.Endpoint(), "agent-1", nil)

	for _, tc := range []struct {
		why  string
		from Caller
		to   string
		want string
	}{
		{"the hub calls a member", h, "edge-1", "edge greets you"},
		{"a member calls another", agent, "edge-1", "edge greets you"},
		{"a member calls the hub", agent, HubID, "hub greets you"},
	} {
		got, err := Ask[word](within(t), tc.from, tc.to, "greet", word{"you"})
		if err != nil || got.Text != tc.want {
			t.Errorf("%s: %q, %v; want %q", tc.why, got.Text, err, tc.want)
		}
	}

	var re *RemoteError
	if err := h.Call(within(t), "edge-1", "fail", nil, nil); !errors.As(err, &re) || re.Text != "no such edge" || re.ID != "edge-1" {
		t.Errorf("a handler's error arrived as %v", err)
	}
	if err := h.Call(within(t), "edge-1", "sing", nil, nil); !errors.As(err, &re) || !strings.Contains(re.Text, "fail, greet") {
		t.Errorf("an unknown verb was answered with %v, want the verbs there are", err)
	}
	if err := h.Call(within(t), "edge-1", "greet", 5, nil); !errors.As(err, &re) {
		t.Errorf("an input of the wrong shape was answered with %v", err)
	}
}

func TestACallRunsOnceOverARestart(t *testing.T) {
	h := startHub(t, HubConfig{Dir: t.TempDir()})
	var runs atomic.Int32
	entered, leave := make(chan bool), make(chan bool)
	join(t, h.Endpoint(), "agent-1", func(m *Member) {
		On(m, "work", func(context.Context, struct{}) (word, error) {
			runs.Add(1)
			entered <- true
			<-leave
			return word{"done"}, nil
		})
	})
	answered := make(chan error, 1)
	go func() {
		got, err := Ask[word](within(t), h, "agent-1", "work", nil)
		if err == nil && got.Text != "done" {
			err = fmt.Errorf("answer %q", got.Text)
		}
		answered <- err
	}()
	<-entered
	h.server.stop()
	leave <- true // the answer has no way back
	if err := h.server.start(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if n := runs.Load(); n != 1 {
		t.Errorf("the call ran %d times, want once", n)
	}
}

func TestEvidenceSurvivesAnOutage(t *testing.T) {
	s := newSink()
	h := startHub(t, s.config(t.TempDir()))
	m := join(t, h.Endpoint(), "agent-1", nil)
	want := []string{}
	give := func(from, to int) {
		for i := from; i <= to; i++ {
			if err := m.Evidence("n", i); err != nil {
				t.Fatal(err)
			}
			want = append(want, fmt.Sprintf("n %d %d", i, i))
		}
	}
	give(1, 1000)
	s.until(t, "the first evidence", func() bool { return len(s.evidence["agent-1"]) > 0 })
	h.server.stop()
	give(1001, 3000)
	if err := h.server.start(); err != nil {
		t.Fatal(err)
	}
	give(3001, 3100)
	if err := m.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	if got := s.from("agent-1"); !slices.Equal(got, want) {
		t.Errorf("%d pieces arrived, want %d, in order, each once", len(got), len(want))
	}
	if slices.Contains(s.heard(), "agent-1 lost") {
		t.Error("the agent was called lost while the coordinator itself had no server")
	}
}

func TestEvidenceWaitsForASinkThatRefuses(t *testing.T) {
	s := newSink()
	s.refuse = errors.New("no space left on device")
	h := startHub(t, s.config(t.TempDir()))
	m := join(t, h.Endpoint(), "agent-1", nil)
	if err := m.Evidence("n", json.RawMessage(`{}`)); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := m.Flush(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("flushed into a sink that refuses: %v", err)
	}
	s.change(func() { s.refuse = nil })
	if err := m.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	if got := s.from("agent-1"); !slices.Equal(got, []string{"n 1 {}"}) {
		t.Errorf("arrived: %q", got)
	}
}

func TestMembersComeAndGo(t *testing.T) {
	s := newSink()
	cfg := s.config(t.TempDir())
	cfg.LostAfter = 1500 * time.Millisecond
	h := startHub(t, cfg)

	if err := h.Wait(cancelled(), "agent-1"); err == nil || !strings.Contains(err.Error(), "agent-1") {
		t.Errorf("waiting for nobody: %v, want an error that names agent-1", err)
	}
	first := join(t, h.Endpoint(), "agent-1", nil)
	if err := h.Wait(within(t), "agent-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := Join(within(t), h.Endpoint(), "agent 1", "test"); err == nil {
		t.Error("a name with a space was taken")
	}
	twin, err := Join(within(t), h.Endpoint(), "agent-1", "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := twin.Announce(within(t)); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("a second agent-1 was let in: %v", err)
	}
	twin.Close(within(t))

	first.nc.Close() // as if its process had been killed
	s.until(t, "the loss", func() bool { return slices.Contains(s.notices, "agent-1 lost") })
	if err := h.Call(within(t), "agent-1", "greet", nil, nil); !errors.Is(err, ErrLost) {
		t.Errorf("calling a lost member: %v, want ErrLost at once", err)
	}
	again := join(t, h.Endpoint(), "agent-1", nil)
	s.until(t, "the return", func() bool { return slices.Contains(s.notices, "agent-1 back") })
	again.Evidence("n", 1)
	if err := again.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the good-bye", func() bool { return slices.Contains(s.notices, "agent-1 left") })
	if got := s.from("agent-1"); !slices.Equal(got, []string{"n 1 1"}) {
		t.Errorf("a member left before its evidence was in: %q", got)
	}
	if want := []string{"agent-1 joined", "agent-1 lost", "agent-1 back", "agent-1 left"}; !slices.Equal(s.heard(), want) {
		t.Errorf("notices %q, want %q", s.heard(), want)
	}
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestCallingAMemberThatEndsFails(t *testing.T) {
	h := startHub(t, HubConfig{Dir: t.TempDir()})
	entered := make(chan bool)
	m := join(t, h.Endpoint(), "agent-1", func(m *Member) {
		m.Handle("hang", func(ctx context.Context, _ json.RawMessage) (any, error) {
			close(entered)
			<-ctx.Done()
			return nil, ctx.Err()
		})
	})
	answered := make(chan error, 1)
	go func() { answered <- h.Call(within(t), "agent-1", "hang", nil, nil) }()
	<-entered
	h.GiveUp("agent-1", "its process ended")
	if err := <-answered; !errors.Is(err, ErrLost) {
		t.Errorf("%v, want ErrLost", err)
	}
	m.Close(within(t))
}

func TestStatsAreLastValueWins(t *testing.T) {
	s := newSink()
	h := startHub(t, s.config(t.TempDir()))
	m := join(t, h.Endpoint(), "edge-1", nil)
	for i := range 3 {
		if err := m.Stats(fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	s.until(t, "the statistics", func() bool { return s.stats["edge-1"] == "2" })
}

func TestBarrier(t *testing.T) {
	h := startHub(t, HubConfig{Dir: t.TempDir()})
	var mu sync.Mutex
	heard := map[string]time.Time{}
	var ids []string
	for i := range 3 {
		id := fmt.Sprintf("agent-%d", i+1)
		ids = append(ids, id)
		join(t, h.Endpoint(), id, func(m *Member) {
			On(m, "start", func(_ context.Context, in StartAt) (struct{}, error) {
				mu.Lock()
				defer mu.Unlock()
				heard[id] = m.Clock.Local(in.At)
				return struct{}{}, nil
			})
		})
	}
	at, late, err := h.Barrier(within(t), ids, "start", 5*time.Second)
	if err != nil || len(late) > 0 {
		t.Fatal(late, err)
	}
	for _, id := range ids {
		if !heard[id].Equal(at) {
			t.Errorf("%s starts at %s, want %s: it shares the coordinator's clock", id, heard[id], at)
		}
	}
	if _, late, err := h.Barrier(within(t), ids, "start", -time.Second); err != nil || len(late) != 3 || !strings.Contains(late[0].String(), "after the start") {
		t.Errorf("a barrier that nobody could keep: %v, %v", late, err)
	}
}

func TestSocketIsPrivate(t *testing.T) {
	dir := t.TempDir()
	h := startHub(t, HubConfig{Dir: dir})
	info, err := os.Stat(filepath.Join(dir, "hub.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode().Perm(), err)
	}
	if _, open := h.Remote(); open {
		t.Error("a TCP port is open that nobody asked for")
	}
	h.Close()
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSocketInADeepDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h := startHub(t, HubConfig{Dir: dir})
	join(t, h.Endpoint(), "agent-1", nil)
	if err := h.Wait(within(t), "agent-1"); err != nil {
		t.Error(err)
	}
}

func TestAgentsFromElsewhere(t *testing.T) {
	h := startHub(t, HubConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", Token: "open-sesame"})
	remote, open := h.Remote()
	if !open {
		t.Fatal("no port is open")
	}
	join(t, remote, "agent-1", nil)
	if err := h.Wait(within(t), "agent-1"); err != nil {
		t.Error(err)
	}
	remote.Token = "guess"
	if _, err := Join(within(t), remote, "agent-2", "agent"); err == nil || !strings.Contains(strings.ToLower(err.Error()), "authorization") {
		t.Errorf("a wrong token: %v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := StartHub(within(t), HubConfig{Dir: t.TempDir(), Listen: taken.Addr().String()}); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("a port in use: %v, want an error that names it", err)
	}
}
