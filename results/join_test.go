package results

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"tlsurge/faults"
)

var epoch = time.Date(2015, 1, 13, 12, 0, 0, 0, time.UTC)

func tuple(port uint16) faults.Tuple {
	return faults.Tuple{Client: netip.AddrPortFrom(netip.MustParseAddr("127.64.0.1"), port), Server: netip.MustParseAddrPort("127.0.0.11:8443")}
}

func key(browser, connection uint32, attempt uint16) faults.Key {
	return faults.Key{Phase: "act", Browser: browser, Connection: connection, Attempt: attempt}
}

// attemptAt is a failed attempt that began at a second of the act.
func attemptAt(k faults.Key, port uint16, second int) Attempt {
	return Attempt{Key: k, Tuple: tuple(port), Profile: "firefox-35-osx", Kind: KindFirst, Class: ClassReset, Alert: -1, Intended: epoch.Add(time.Duration(second) * time.Second)}
}

func follows(a Attempt, origin faults.Key) Attempt {
	a.Origin, a.HasOrigin, a.Kind = origin, true, KindFallback
	return a
}

func armed(a Attempt) Attempt {
	a.Fault = "never-fired"
	return a
}

func firingAt(rule string, action faults.Action, port uint16, second int) faults.Firing {
	return faults.Firing{Rule: rule, Action: string(action), Tuple: tuple(port), Time: epoch.Add(time.Duration(second)*time.Second + 5*time.Millisecond)}
}

func keyed(f faults.Firing, k faults.Key) faults.Firing {
	f.Key, f.HasKey = k, true
	return f
}

func eventAt(port uint16, second int, code string) ServerEvent {
	return ServerEvent{Phase: "act", Edge: "edge-1", Tuple: tuple(port), Time: epoch.Add(time.Duration(second) * time.Second), Level: "info", Code: code}
}

func TestJoin(t *testing.T) {
	upstream := tuple(9000)
	relayed := keyed(firingAt("cut", faults.Reset, 1, 0), key(1, 0, 1))
	relayed.Upstream = &upstream
	for _, row := range []struct {
		why      string
		attempts []Attempt
		firings  []faults.Firing
		events   []ServerEvent
		faults   []string // of the attempts, in order of their keys
		logs     []string
	}{
		{
			why:      "a firing with a key names its attempt",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0), attemptAt(key(2, 0, 1), 2, 0)},
			firings:  []faults.Firing{keyed(firingAt("cut", faults.Reset, 99, 0), key(1, 0, 1))},
			faults:   []string{"cut", ""},
		},
		{
			why:      "a firing of another process is found by its 4-tuple",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0), attemptAt(key(2, 0, 1), 2, 0)},
			firings:  []faults.Firing{firingAt("table-pressure", faults.TableFull, 2, 0)},
			events:   []ServerEvent{eventAt(2, 0, "1408a0c1")},
			faults:   []string{"", "table-pressure"},
			logs:     []string{"", "1408A0C1"},
		},
		{
			why:      "a line that tells no port is about the one attempt that came from the address then",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0), attemptAt(key(2, 0, 1), 2, 100)},
			events:   []ServerEvent{eventAt(0, 0, "A"), eventAt(0, 101, "B")},
			faults:   []string{"", ""},
			logs:     []string{"A", "B"},
		},
		{
			why:      "where several came from the address at that time, the line is about nobody",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0), attemptAt(key(2, 0, 1), 2, 1)},
			events:   []ServerEvent{eventAt(0, 1, "A")},
			faults:   []string{"", ""},
			logs:     []string{"", ""},
		},
		{
			why:      "a port that comes back is told apart by time",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0), attemptAt(key(2, 0, 1), 1, 100)},
			firings:  []faults.Firing{firingAt("early", faults.Reset, 1, 2), firingAt("late", faults.Reset, 1, 101)},
			events:   []ServerEvent{eventAt(1, 3, "A"), eventAt(1, 100, "B")},
			faults:   []string{"early", "late"},
			logs:     []string{"A", "B"},
		},
		{
			why:      "behind a relay the edge sees the relay's connection: its line and its firing are the browser's",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0)},
			firings:  []faults.Firing{relayed, firingAt("deadline", faults.HandshakeDeadline, 9000, 5)},
			events:   []ServerEvent{eventAt(9000, 5, "A")},
			faults:   []string{"cut"},
			logs:     []string{"A"},
		},
		{
			why:      "a handshake deadline that a drop made run out is not the root, whenever it is reported",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0)},
			firings:  []faults.Firing{firingAt("deadline", faults.HandshakeDeadline, 1, 1), firingAt("lose-hello", faults.Drop, 1, 6)},
			faults:   []string{"lose-hello"},
		},
		{
			why:      "a deadline alone is a cause",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0)},
			firings:  []faults.Firing{firingAt("deadline", faults.HandshakeDeadline, 1, 5)},
			faults:   []string{"deadline"},
		},
		{
			why: "retry and fallback inherit the root cause, through the chain",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0), follows(attemptAt(key(1, 0, 2), 2, 1), key(1, 0, 1)),
				follows(attemptAt(key(1, 0, 3), 3, 2), key(1, 0, 2))},
			firings: []faults.Firing{firingAt("cut", faults.Reset, 1, 0)},
			faults:  []string{"cut", "cut", "cut"},
		},
		{
			why:      "a later connection that the browser's memory lowered inherits too",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0), follows(attemptAt(key(1, 4, 1), 2, 9), key(1, 0, 1))},
			firings:  []faults.Firing{firingAt("cut", faults.Reset, 1, 0)},
			faults:   []string{"cut", "cut"},
		},
		{
			why:      "an attempt within a chain that another rule strikes keeps the root",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0), follows(attemptAt(key(1, 0, 2), 2, 1), key(1, 0, 1))},
			firings:  []faults.Firing{firingAt("cut", faults.Reset, 1, 0), firingAt("table-pressure", faults.TableFull, 2, 1)},
			faults:   []string{"cut", "cut"},
		},
		{
			why:      "a chain whose beginning nothing explains takes what struck it later",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0), follows(attemptAt(key(1, 0, 2), 2, 1), key(1, 0, 1))},
			firings:  []faults.Firing{firingAt("cut", faults.Reset, 2, 1)},
			faults:   []string{"", "cut"},
		},
		{
			why:      "the origin's firing is found by its key where its evidence was lost with an agent",
			attempts: []Attempt{follows(attemptAt(key(1, 0, 2), 2, 1), key(1, 0, 1))},
			firings:  []faults.Firing{keyed(firingAt("cut", faults.Reset, 1, 0), key(1, 0, 1))},
			faults:   []string{"cut"},
		},
		{
			why:      "what the ledger does not explain stays unexplained",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0)},
			firings:  []faults.Firing{firingAt("cut", faults.Reset, 77, 0)},
			faults:   []string{""},
		},
		{
			why:      "a rule that was armed and never fired explains nothing",
			attempts: []Attempt{armed(attemptAt(key(1, 0, 1), 1, 0)), attemptAt(key(2, 0, 1), 2, 0)},
			firings:  []faults.Firing{firingAt("cut", faults.Reset, 2, 0)},
			faults:   []string{"", "cut"},
		},
		{
			why:      "several lines about one connection are named in order, each code once",
			attempts: []Attempt{attemptAt(key(1, 0, 1), 1, 0)},
			events:   []ServerEvent{eventAt(1, 2, "B"), eventAt(1, 1, "A"), eventAt(1, 3, "A"), eventAt(1, 1, "")},
			faults:   []string{""}, logs: []string{"A,B"},
		},
		{
			why:      "a circle of origins, which no browser makes, ends",
			attempts: []Attempt{follows(attemptAt(key(1, 0, 1), 1, 0), key(1, 0, 2)), follows(attemptAt(key(1, 0, 2), 2, 1), key(1, 0, 1))},
			firings:  []faults.Firing{firingAt("cut", faults.Reset, 1, 0)},
			faults:   []string{"cut", ""},
		},
	} {
		// Whatever order the inputs come in, the join is the same.
		var first *join
		for seed := range uint64(5) {
			rng := rand.New(rand.NewPCG(seed, 7))
			rng.Shuffle(len(row.attempts), func(i, j int) { row.attempts[i], row.attempts[j] = row.attempts[j], row.attempts[i] })
			rng.Shuffle(len(row.firings), func(i, j int) { row.firings[i], row.firings[j] = row.firings[j], row.firings[i] })
			rng.Shuffle(len(row.events), func(i, j int) { row.events[i], row.events[j] = row.events[j], row.events[i] })
			j := newJoin([]string{"act"}, row.attempts, row.firings, row.events)
			if first == nil {
				first = j
			}
			if !reflect.DeepEqual(j.attempts, first.attempts) || !reflect.DeepEqual(j.firings, first.firings) {
				t.Errorf("%s: the order of the inputs matters", row.why)
			}
		}
		var got, logs []string
		for _, a := range first.attempts {
			got, logs = append(got, a.Fault), append(logs, a.ServerLogs)
		}
		if !reflect.DeepEqual(got, row.faults) {
			t.Errorf("%s: faults %q, want %q", row.why, got, row.faults)
		}
		if row.logs != nil && !reflect.DeepEqual(logs, row.logs) {
			t.Errorf("%s: server logs %q, want %q", row.why, logs, row.logs)
		}
	}
}

func TestJoinGivesFiringsTheirKeys(t *testing.T) {
	j := newJoin([]string{"act"}, []Attempt{attemptAt(key(3, 1, 2), 1, 0)}, []faults.Firing{firingAt("cut", faults.Reset, 1, 0), firingAt("stray", faults.Reset, 5, 0)}, nil)
	found := map[string]bool{}
	for _, f := range j.firings {
		found[f.Rule] = f.HasKey && f.Key == key(3, 1, 2)
	}
	if !found["cut"] || found["stray"] || len(j.stray()) != 1 || j.stray()[0] != "1 firings of stray" {
		t.Errorf("firings %+v, stray %q", j.firings, j.stray())
	}
}

func TestChains(t *testing.T) {
	fall := follows(attemptAt(key(1, 0, 2), 2, 1), key(1, 0, 1))
	fall.Class, fall.Alert, fall.Sender, fall.OfferedVersion, fall.SCSV, fall.UserSees = ClassPeerAlert, 86, "server", "TLS 1.1", true, "ssl_error_inappropriate_fallback_alert"
	memory := follows(attemptAt(key(1, 3, 1), 3, 2), key(1, 0, 1))
	memory.Class, memory.Page = ClassOK, Downgraded
	var attempts []Attempt
	var firings []faults.Firing
	for b := range uint32(3) { // three browsers walk the same way
		shift := func(a Attempt) Attempt {
			a.Browser += b
			a.Origin.Browser += b
			a.Tuple = tuple(uint16(100*(b+1)) + a.Tuple.Client.Port())
			return a
		}
		attempts = append(attempts, shift(attemptAt(key(1, 0, 1), 1, 0)), shift(fall), shift(memory))
		firings = append(firings, firingAt("cut", faults.Reset, uint16(100*(b+1))+1, 0))
	}
	idle := attemptAt(key(9, 0, 1), 999, 3) // closed while idle: struck, but nobody's way to an error
	idle.Class = ClassOK
	attempts, firings = append(attempts, idle), append(firings, firingAt("table-pressure", faults.TableFull, 999, 3))
	event := eventAt(102, 1, "140A1175")
	event.Level, event.Reason = "crit", "inappropriate fallback"
	chains := newJoin([]string{"act"}, attempts, firings, []ServerEvent{event}).chainsTable()
	var got []string
	for _, c := range chains {
		s := fmt.Sprintf("%d %s %s %s:", c.Count, c.Fault, c.Verdict, c.UserSees)
		for _, st := range c.Steps {
			s += fmt.Sprintf(" %s/%s/%d/%s/%s/%v", st.Kind, st.Class, st.Alert, st.ServerLogs, st.LogLevel, st.Remembered)
		}
		got = append(got, s)
	}
	want := []string{
		"3 cut downgraded : fallback/ok/-1///true",
		"2 cut saw_error ssl_error_inappropriate_fallback_alert: first/reset/-1///false fallback/peer_alert/86///false",
		"1 cut saw_error ssl_error_inappropriate_fallback_alert: first/reset/-1///false fallback/peer_alert/86/140A1175/crit/false",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("chains\n%q\nwant\n%q", got, want)
	}
}
