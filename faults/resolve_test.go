package faults_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/profiles/wire"
)

// TestResolve: what "auto" chooses, and what the stage implies.
func TestResolve(t *testing.T) {
	tests := []struct {
		sentence string
		rule     faults.Rule
		missing  []faults.Capability
		engine   faults.Engine
		dir      stage.Direction
	}{
		{"a drop goes to the socket filter", faults.Rule{Action: faults.Drop, At: stage.ServerHello}, nil, faults.EngineSockfilter, stage.ServerToClient},
		{"also towards the server", faults.Rule{Action: faults.Drop, At: stage.ClientHello}, nil, faults.EngineSockfilter, stage.ClientToServer},
		{"a SYN is dropped on a link where no filter can be attached", faults.Rule{Action: faults.Drop, At: stage.Syn},
			[]faults.Capability{faults.NetAdmin}, faults.EngineLink, stage.ClientToServer},
		{"a blackhole too goes to the socket filter", faults.Rule{Action: faults.Blackhole, At: stage.ServerHello}, nil, faults.EngineSockfilter, stage.ServerToClient},
		{"without the right, to the relay", faults.Rule{Action: faults.Blackhole, At: stage.ServerHello}, []faults.Capability{faults.NetAdmin}, faults.EngineRelay, stage.ServerToClient},
		{"a reset goes to the relay", faults.Rule{Action: faults.Reset, At: stage.Finished}, nil, faults.EngineRelay, stage.ClientToServer},
		{"what looks at the hello goes to the relay", faults.Rule{Action: faults.Blackhole, At: stage.ServerHello, Hello: faults.HelloMatch{MinBytes: 512}}, nil,
			faults.EngineRelay, stage.ServerToClient},
		{"an edge looks at the hello too, and alone sends alerts", faults.Rule{Action: faults.Alert, Alert: 70, At: stage.ClientHello, Hello: faults.HelloMatch{MinBytes: 512}}, nil,
			faults.EngineEdge, stage.ClientToServer},
		{"idle has no direction", faults.Rule{Action: faults.FIN, At: stage.Idle}, nil, faults.EngineRelay, 0},
		{"loss per packet goes to the socket filter", faults.Rule{Action: faults.Drop, PerPacket: true}, nil, faults.EngineSockfilter, 0},
		{"reordering needs a link", faults.Rule{Action: faults.Reorder, PerPacket: true, Duration: time.Millisecond}, nil, faults.EngineLink, 0},
		{"a full table is the edge's own", faults.Rule{Action: faults.TableFull, Max: 10}, nil, faults.EngineEdge, 0},
	}
	for _, tt := range tests {
		t.Run(tt.sentence, func(t *testing.T) {
			tt.rule.Name = "r"
			for _, e := range []faults.Engine{"", faults.EngineAuto} {
				tt.rule.Engine = e
				r, err := faults.Resolve(tt.rule, tt.missing...)
				if err != nil || r.Engine != tt.engine || r.Direction != tt.dir {
					t.Errorf("%s %s, %v; want %s %s", r.Engine, r.Direction, err, tt.engine, tt.dir)
				}
				if again, err := faults.Resolve(r); err != nil || again != r {
					t.Errorf("a resolved rule resolves to %+v, %v", again, err)
				}
			}
		})
	}
}

// TestRefused: an error names key, value and what is allowed.
func TestRefused(t *testing.T) {
	tests := []struct {
		rule faults.Rule
		want string
	}{
		{faults.Rule{Action: faults.Drop, At: stage.ServerHello, Engine: faults.EngineRelay},
			`engine = "relay": bytes left out of a relayed stream are corruption, not loss; drop is possible on sockfilter`},
		{faults.Rule{Action: "explode"}, `action = "explode": allowed: drop, blackhole, reset,`},
		{faults.Rule{Action: faults.Drop, Engine: "magic"}, `engine = "magic": allowed: auto, sockfilter, relay, link, edge`},
		{faults.Rule{Action: faults.Reset, At: stage.Syn}, `at = "syn": reset is possible at client_hello, `},
		{faults.Rule{Action: faults.Drop, At: stage.ServerFlight}, `at = "server_flight": drop is possible at syn, client_hello, `},
		{faults.Rule{Action: faults.Drop, At: stage.ClientHello, Direction: stage.ServerToClient},
			`direction = "server-to-client": at = "client_hello" is client-to-server`},
		{faults.Rule{Action: faults.FIN, At: stage.Idle, Direction: stage.ServerToClient}, `at = "idle" hits both directions`},
		{faults.Rule{Action: faults.Reset, At: stage.ServerHello, Engine: faults.EngineSockfilter}, `engine = "sockfilter": cannot do reset at server_hello; allowed: relay`},
		{faults.Rule{Action: faults.Reset}, `at = "none": reset is possible at`},
		{faults.Rule{Action: faults.Reset, PerPacket: true}, `per = "packet": reset is per connection attempt`},
		{faults.Rule{Action: faults.Duplicate}, `per = "attempt": duplicate is per packet`},
		{faults.Rule{Action: faults.Drop, At: stage.Syn, PerPacket: true}, `at = "syn": per = "packet" has no stage`},
		{faults.Rule{Action: faults.TableFull, At: stage.Syn, Max: 1}, `at = "syn": table_full has no stage`},
		{faults.Rule{Action: faults.Reset, At: stage.Finished, Probability: 1.5}, `probability = 1.5: allowed: 0 to 1`},
		{faults.Rule{Action: faults.Reset, At: stage.Finished, Times: 2}, `times = 2: counts dropped segments`},
		{faults.Rule{Action: faults.Reset, At: stage.Finished, Limit: -1}, `limit = -1`},
		{faults.Rule{Action: faults.Reset, At: stage.Finished, From: 2, Until: 1}, `must be after from`},
		{faults.Rule{Action: faults.Reset, At: stage.Finished, From: 0, Until: 10, Ramp: 6}, `half of the time`},
		{faults.Rule{Action: faults.Delay, At: stage.Finished}, `delay needs a duration above 0`},
		{faults.Rule{Action: faults.Delay, At: stage.Finished, Duration: 1, Jitter: 2}, `allowed: 0 to duration`},
		{faults.Rule{Action: faults.Split, At: stage.Finished}, `split needs a bytes above 0`},
		{faults.Rule{Action: faults.Throttle, At: stage.Finished}, `throttle needs a rate above 0`},
		{faults.Rule{Action: faults.Corrupt, At: stage.ClientHello, Part: faults.PartMAC}, `records at client_hello carry no MAC`},
		{faults.Rule{Action: faults.Corrupt, At: stage.ClientHello, Part: "tail"}, `part = "tail": allowed: header, body, mac`},
		{faults.Rule{Action: faults.Shape}, `shape needs the name of a link model`},
		{faults.Rule{Action: faults.Drop, PerPacket: true, Burst: 3, Engine: faults.EngineSockfilter}, `burst = 3: only for drop per packet on link`},
		{faults.Rule{Action: faults.Reset, At: stage.Finished, Who: faults.Selector{Profile: "["}}, `who.profile = "[": not a pattern`},
		{faults.Rule{Action: faults.Reset, At: stage.Finished, Who: faults.Selector{Kind: "third"}}, `who.kind = "third": allowed: first, resumed, retry, fallback`},
		{faults.Rule{Action: faults.Drop, At: stage.ClientHello, Hello: faults.HelloMatch{Offers: wire.TLS13}},
			`hello = "that offers TLS 1.3 or newer": only a relay looks at hellos, and an edge at client_hello; neither can do drop at client_hello`},
		{faults.Rule{Action: faults.Blackhole, At: stage.ServerHello, Engine: faults.EngineSockfilter, Hello: faults.HelloMatch{MinBytes: 600}},
			`engine = "sockfilter": only a relay looks at hellos, and an edge at client_hello; allowed: relay`},
		{faults.Rule{Action: faults.Reset, At: stage.Finished, Request: 2}, `request = 2: counts the requests of a connection from 1`},
		{faults.Rule{Action: faults.Drop, At: stage.Request, Request: 2}, `request = 2: only a relay counts requests`},
		{faults.Rule{Action: faults.Reset, At: stage.ClientHello, Hello: faults.HelloMatch{MinBytes: 512, MaxBytes: 511}}, `hello.bytes = "512..511": allowed: 0 to`},
		{faults.Rule{Action: faults.Reset, At: stage.ClientHello, Hello: faults.HelloMatch{Offers: wire.SSL20}}, `hello.offers = "SSL 2.0": allowed: SSL 3.0 to TLS 1.3`},
		{faults.Rule{Action: faults.Alert, At: stage.ClientHello}, `alert = 0: want the number of a fatal alert`},
		{faults.Rule{Action: faults.Reset, At: stage.ClientHello, Alert: 40}, `alert = 40: only for action alert`},
		{faults.Rule{Action: faults.Alert, At: stage.ServerHello, Alert: 40}, `at = "server_hello": alert is possible at client_hello`},
		{faults.Rule{Action: faults.Reset, At: stage.Finished, Index: faults.MaxRules}, `a scenario may have 191 faults`},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			tt.rule.Name = "x"
			err := faults.Validate(tt.rule)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `fault "x"`) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestMissing: what a machine cannot do is an UnsupportedError with what could.
func TestMissing(t *testing.T) {
	drop := faults.Rule{Name: "x", Action: faults.Drop, At: stage.ServerHello}
	_, err := faults.Resolve(drop, faults.NetAdmin)
	var u *faults.UnsupportedError
	if !errors.As(err, &u) || !errors.Is(err, faults.ErrUnsupported) || !strings.Contains(u.Reason, "CAP_NET_ADMIN") {
		t.Errorf("%v", err)
	}
	syn := faults.Rule{Name: "x", Action: faults.Drop, At: stage.Syn, Engine: faults.EngineSockfilter}
	if _, err := faults.Resolve(syn, faults.NetAdmin); !errors.As(err, &u) || u.Instead != `engine = "link"` {
		t.Errorf("%v", err)
	}
	if _, err := faults.Resolve(syn, faults.OwnEdge); !errors.As(err, &u) || u.Instead != `engine = "link"` || !strings.Contains(u.Reason, "bundled edge") {
		t.Errorf("with a real server as edge: %v", err)
	}
	if _, err := faults.Resolve(syn, faults.OwnEdge, faults.OwnFleet); !errors.As(err, &u) || u.Instead != "" {
		t.Errorf("with a target that is not ours: %v", err)
	}
	if err := faults.Validate(syn); err != nil {
		t.Errorf("with nothing missing: %v", err)
	}
}

// TestEveryCellResolves: the table claims nothing that Resolve refuses.
func TestEveryCellResolves(t *testing.T) {
	for _, c := range faults.Cells() {
		r := faults.Rule{Name: "r", Engine: c.Engine, Action: c.Action, Duration: time.Second, Bytes: 1, Rate: 1, Max: 1, Model: "m"}
		if c.Action == faults.Alert {
			r.Alert = 70
		}
		try := func(r faults.Rule) {
			if _, err := faults.Resolve(r); err != nil {
				t.Error(err)
			}
		}
		for _, s := range c.Stages {
			r := r
			r.At = s
			try(r)
		}
		if c.NoStage {
			try(r)
		}
		if c.PerPacket {
			r := r
			r.PerPacket = true
			try(r)
		}
		if len(c.Stages) == 0 && !c.NoStage && !c.PerPacket {
			t.Errorf("%s %s can never be used", c.Engine, c.Action)
		}
		if c.Meaning == "" {
			t.Errorf("%s %s means nothing", c.Engine, c.Action)
		}
	}
}
