package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Handler answers one verb. in is the caller's JSON; out is encoded as JSON. The context ends when the
// member closes, not when the caller gives up: what was begun is finished.
type Handler func(ctx context.Context, in json.RawMessage) (out any, err error)

// Caller can call others: a Hub or a Member.
type Caller interface {
	Call(ctx context.Context, id, verb string, in, out any) error
}

// Handling can answer calls: a Hub or a Member.
type Handling interface {
	Handle(verb string, h Handler)
}

// On answers verb with a function of typed input and output.
func On[In, Out any](m Handling, verb string, f func(context.Context, In) (Out, error)) {
	m.Handle(verb, func(ctx context.Context, raw json.RawMessage) (any, error) {
		var in In
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &in); err != nil {
				return nil, fmt.Errorf("%s: input is not a %T: %w", verb, in, err)
			}
		}
		return f(ctx, in)
	})
}

// Ask is Call with a typed answer.
func Ask[Out any](ctx context.Context, c Caller, id, verb string, in any) (Out, error) {
	var out Out
	err := c.Call(ctx, id, verb, in, &out)
	return out, err
}

// RemoteError is a handler's refusal, as the caller sees it.
type RemoteError struct {
	ID, Verb, Text string
}

func (e *RemoteError) Error() string { return fmt.Sprintf("%s: %s: %s", e.ID, e.Verb, e.Text) }

// call is a request on the wire. Name is the same however often the request is repeated.
type call struct {
	Name string          `json:"name"`
	Verb string          `json:"verb"`
	In   json.RawMessage `json:"in,omitempty"`
}

type answer struct {
	Out   json.RawMessage `json:"out,omitempty"`
	Error string          `json:"error,omitempty"`
}

const (
	// repeatCall is how long an unanswered request waits before it is asked again.
	repeatCall = 2 * time.Second
	// absentPause is the pause after "nobody listens there", which is what a restarting server and a
	// member that is still starting look like.
	absentPause = 50 * time.Millisecond
	// keepAnswers is how many finished calls a callee remembers, to answer a repeated request without
	// running it again.
	keepAnswers = 256
)

// peer is what hub and member have in common: a connection, a name, calls both ways.
type peer struct {
	id     string
	prefix string // "tlsurge.<run>."
	unique string // this incarnation of id
	nc     *nats.Conn

	ctx    context.Context // ends when the peer closes: handlers see it
	cancel context.CancelFunc
	wg     sync.WaitGroup // running handlers
	calls  atomic.Uint64

	mu       sync.Mutex // guards the rest
	handlers map[string]Handler
	answers  map[string]*pending
	order    []string // finished calls, oldest first
	closed   bool
}

// pending is a call that this peer was asked to run.
type pending struct {
	reply    string // subject of the latest request
	finished []byte // encoded answer; nil while running
}

func newPeer(id, run, unique string) *peer {
	p := &peer{id: id, prefix: "tlsurge." + run + ".", unique: unique,
		handlers: map[string]Handler{}, answers: map[string]*pending{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Handle makes h answer verb from now on.
func (p *peer) Handle(verb string, h Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handlers[verb] = h
}

// Call asks id to run verb and decodes its answer into out (nil: discarded). It waits as long as ctx
// allows, over restarts of the NATS server; the callee runs the call once.
func (p *peer) Call(ctx context.Context, id, verb string, in, out any) error {
	raw, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: %s: input: %w", id, verb, err)
	}
	name := p.id + "/" + p.unique + "/" + strconv.FormatUint(p.calls.Add(1), 10)
	request, err := json.Marshal(call{Name: name, Verb: verb, In: raw})
	if err != nil {
		return err
	}
	var got answer
	for {
		reply, err := p.ask(ctx, p.prefix+"call."+id, request, repeatCall)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", id, verb, err)
		}
		if reply == nil {
			continue
		}
		if err := json.Unmarshal(reply, &got); err != nil {
			return fmt.Errorf("%s: %s: answer: %w", id, verb, err)
		}
		break
	}
	if got.Error != "" {
		return &RemoteError{ID: id, Verb: verb, Text: got.Error}
	}
	if out == nil || len(got.Out) == 0 {
		return nil
	}
	if err := json.Unmarshal(got.Out, out); err != nil {
		return fmt.Errorf("%s: %s: answer is not a %T: %w", id, verb, out, err)
	}
	return nil
}

// ask sends one request and waits up to patience. A nil answer without an error means "ask again":
// nobody answered in time, and ctx still allows it.
func (p *peer) ask(ctx context.Context, subject string, data []byte, patience time.Duration) ([]byte, error) {
	one, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	msg, err := p.nc.RequestWithContext(one, subject, data)
	switch {
	case err == nil:
		return msg.Data, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrReconnectBufExceeded):
		select {
		case <-time.After(absentPause):
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return nil, nil
	}
	return nil, err
}

// answerCalls subscribes to the calls for this peer. Requests are answered from now on.
func (p *peer) answerCalls() error {
	_, err := p.nc.Subscribe(p.prefix+"call."+p.id, p.onCall)
	if err != nil {
		return err
	}
	return p.nc.Flush()
}

func (p *peer) onCall(msg *nats.Msg) {
	var c call
	if err := json.Unmarshal(msg.Data, &c); err != nil || c.Name == "" {
		return // not one of ours; nothing to answer it with
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.answers[c.Name]; known != nil {
		known.reply = msg.Reply
		if known.finished != nil {
			p.nc.Publish(msg.Reply, known.finished)
		}
		return
	}
	if p.closed {
		return
	}
	h := p.handlers[c.Verb]
	if h == nil {
		verbs := make([]string, 0, len(p.handlers))
		for v := range p.handlers {
			verbs = append(verbs, v)
		}
		slices.Sort(verbs)
		p.nc.Publish(msg.Reply, encodeAnswer(nil, fmt.Errorf("no verb %q here, want one of %s", c.Verb, strings.Join(verbs, ", "))))
		return
	}
	run := &pending{reply: msg.Reply}
	p.answers[c.Name] = run
	p.wg.Add(1)
	go p.run(c, h, run)
}

func (p *peer) run(c call, h Handler, run *pending) {
	defer p.wg.Done()
	finished := encodeAnswer(h(p.ctx, c.In))
	p.mu.Lock()
	defer p.mu.Unlock()
	run.finished = finished
	p.nc.Publish(run.reply, finished)
	p.order = append(p.order, c.Name)
	if len(p.order) > keepAnswers {
		delete(p.answers, p.order[0])
		p.order = p.order[1:]
	}
}

func encodeAnswer(out any, err error) []byte {
	var a answer
	if err == nil {
		a.Out, err = json.Marshal(out)
	}
	if err != nil {
		a = answer{Error: err.Error()}
	}
	data, err := json.Marshal(a)
	if err != nil { // a string and raw JSON always encode
		panic(err)
	}
	return data
}

// stopHandlers refuses new calls, ends the handlers' context and waits for them.
func (p *peer) stopHandlers() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.wg.Wait()
}
