package evidence

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/faults/stage"
)

var (
	visitor = netip.MustParseAddrPort("127.64.0.1:4000")
	edge    = netip.MustParseAddrPort("127.0.0.11:443")
	direct  = faults.Tuple{Client: visitor, Server: edge}
	epoch   = time.Unix(1421151779, 0)
)

// pipe plays packets to both ends' flows.
type pipe struct {
	fl  *flows
	at  time.Time
	ids uint16
}

func newPipe() *pipe {
	w := &pipe{fl: newFlows(), at: epoch}
	w.fl.want(direct, true)
	return w
}

// send passes a segment from one end to the other; lost ones never arrive, damaged ones differ.
func (w *pipe) send(fromClient bool, flags uint8, seq, ack, size uint32, how ...string) {
	w.at = w.at.Add(time.Millisecond)
	w.ids++
	s := addressed{visitor, edge, segment{flags: flags, seq: seq, ack: ack, size: size, id: w.ids, sum: 1}}
	sender, receiver := clientEnd, serverEnd
	if !fromClient {
		s.from, s.to = s.to, s.from
		sender, receiver = receiver, sender
	}
	fate := strings.Join(how, "")
	w.fl.see(sender, w.at, false, s)
	arrival := w.at.Add(20 * time.Microsecond)
	switch fate {
	case "lost":
		return
	case "late":
		arrival = arrival.Add(100 * time.Millisecond)
	case "damaged":
		s.sum = 2
	case "twice":
		w.fl.see(receiver, arrival, true, s)
	}
	w.fl.see(receiver, arrival, true, s)
}

// handshake is SYN, SYN-ACK, ACK and a ClientHello of 200 bytes.
func (w *pipe) handshake() {
	w.send(true, flagSYN, 100, 0, 0)
	w.send(false, flagSYN|flagACK, 500, 101, 0)
	w.send(true, flagACK, 101, 501, 0)
	w.send(true, flagACK, 101, 501, 200)
}

func (w *pipe) blow(f faults.Firing) *blow {
	f.Tuple, f.Time = direct, w.at
	if f.Rule == "" {
		f.Rule = "r"
	}
	return &blow{Firing: f, client: w.fl.had(clientEnd, direct, w.at), server: w.fl.had(serverEnd, direct, w.at)}
}

// told lists the marks as "end frame".
func told(list []mark) string {
	var b strings.Builder
	for _, m := range list {
		b.WriteString(m.end.String()[:1])
		b.WriteString(strings.Repeat("|", m.frame) + " ")
	}
	return strings.TrimSpace(b.String())
}

func bars(end string, n int) string { return end + strings.Repeat("|", n) }

// TestDroppedByAFilter: of what arrived, what TCP never answered was dropped.
func TestDroppedByAFilter(t *testing.T) {
	w := newPipe()
	w.handshake()                        // frames 1 to 4
	w.send(false, flagACK, 501, 301, 0)  // 5: an ACK alone takes no sequence space
	w.send(false, flagACK, 501, 301, 90) // 6: dropped on arrival
	w.send(false, flagACK, 501, 301, 90) // 7: again, dropped
	w.send(false, flagACK, 501, 301, 90) // 8: again, taken
	w.send(true, flagACK, 301, 591, 0)   // 9
	w.send(false, flagACK, 591, 301, 10) // 10: never answered, for the connection ends
	w.send(true, flagRST, 301, 0, 0)     // 11
	b := w.blow(faults.Firing{Engine: "sockfilter", Action: "drop", Direction: stage.ServerToClient.String(), Packets: 2})
	want := strings.Join([]string{bars("c", 6), bars("s", 6), bars("c", 7), bars("s", 7)}, " ")
	if got := told(b.marks()); got != want {
		t.Errorf("marks %s, want %s", got, want)
	}
	// A selective acknowledgement tells as well.
	sacked := sighting{segment: segment{flags: flagACK, ack: 501, sack: [4]uint32{591, 601}}, fromClient: true}
	s := sighting{segment: segment{seq: 591, size: 10, flags: flagACK}, in: true}
	if fl := (&flow{}); !fl.answered(&s, []sighting{sacked}) || fl.answered(&s, nil) {
		t.Error("a selective acknowledgement is not seen as an answer")
	}
}

func TestOnThePath(t *testing.T) {
	for how, words := range map[string]string{"lost": "lost on the path", "damaged": "damaged on the path", "late": "overtaken on the path, 100ms under way", "twice": "arrived, and was not sent so"} {
		w := newPipe()
		w.handshake()
		w.send(false, flagACK, 501, 301, 90, how)
		w.send(false, flagACK, 591, 301, 90)
		list := w.blow(faults.Firing{Engine: "link", Action: "shape"}).marks()
		if len(list) == 0 || !strings.Contains(list[0].text, words) || how != "late" && len(list) != 1 {
			t.Errorf("%s: %+v", how, list)
		}
		if lost := how == "lost"; len(list) > 0 && (list[0].end == serverEnd) != lost {
			t.Errorf("%s: the comment stands at the wrong end: %+v", how, list[0])
		}
	}
}

func TestByARelay(t *testing.T) {
	w := newPipe()
	w.handshake()
	w.send(false, flagRST, 501, 0, 0) // 5
	b := w.blow(faults.Firing{Engine: "relay", Action: "reset", Direction: stage.ClientToServer.String(), Offset: 150})
	b.server = nil
	if got, want := told(b.marks()), bars("c", 4)+" "+bars("c", 5); got != want {
		t.Errorf("reset: marks %s, want %s", got, want)
	}
	b.Offset = 200 // beyond what was sent
	if got, want := told(b.marks()), bars("c", 5); got != want {
		t.Errorf("reset beyond the bytes: marks %s, want %s", got, want)
	}
	corrupt := w.blow(faults.Firing{Engine: "relay", Action: "corrupt", Direction: stage.ClientToServer.String(), Offset: 0})
	if got, want := told(corrupt.marks()), bars("c", 4)+" "+bars("s", 4); got != want {
		t.Errorf("corrupt: marks %s, want %s", got, want)
	}
}

func TestByTheEdgeAndWithoutAPacket(t *testing.T) {
	w := newPipe()
	w.handshake()
	w.send(false, flagFIN|flagACK, 501, 301, 0) // 5
	b := w.blow(faults.Firing{Engine: "edge", Action: "handshake_deadline"})
	if got, want := told(b.marks()), bars("s", 5)+" "+bars("c", 5); got != want {
		t.Errorf("deadline: marks %s, want %s", got, want)
	}
	stall := w.blow(faults.Firing{Engine: "relay", Action: "stall", Offset: -1})
	if list := stall.marks(); len(list) != 2 || !strings.Contains(list[0].text, "no packet shows it") {
		t.Errorf("a firing that no packet shows: %+v", list)
	}
	if list := (&blow{Firing: faults.Firing{Engine: "relay"}}).marks(); len(list) != 0 {
		t.Errorf("a connection that was not captured: %+v", list)
	}
}

// TestAPortComesBack: two connections of one tuple are told apart.
func TestAPortComesBack(t *testing.T) {
	w := newPipe()
	w.handshake()
	first := w.at
	w.at = w.at.Add(time.Minute)
	w.send(true, flagSYN, 9000, 0, 0)
	w.send(true, flagSYN, 9000, 0, 0) // sent again
	if n := len(w.fl.seen[clientEnd][direct]); n != 2 {
		t.Fatalf("%d connections, want 2", n)
	}
	if fl := w.fl.had(clientEnd, direct, first); fl.isn != 100 {
		t.Errorf("the first connection has isn %d", fl.isn)
	}
	if fl := w.fl.otherEnd(w.fl.had(clientEnd, direct, w.at), direct); fl == nil || fl.isn != 9000 || fl.end != serverEnd {
		t.Errorf("the other end of the second connection is %+v", fl)
	}
	if fl := w.fl.opened(serverEnd, direct, w.at.Add(-time.Second)); fl.isn != 9000 {
		t.Errorf("the second connection has isn %d", fl.isn)
	}
}
