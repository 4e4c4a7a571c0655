package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/profiles/wire"
)

// minimal is the smallest scenario that is valid.
const minimal = `name = "t"
[[browsers]]
profile = "firefox-35-osx"
`

func TestBuiltinsAreValidAndSurviveTheirOwnTOML(t *testing.T) {
	for _, b := range Builtins() {
		s, err := Load(b.Name, Overrides{})
		if err != nil {
			t.Errorf("%s: %v", b.Name, err)
			continue
		}
		if b.Description == "" {
			t.Errorf("%s has no description", b.Name)
		}
		text, err := s.TOML()
		if err != nil {
			t.Fatalf("%s: %v", b.Name, err)
		}
		again, err := Parse("resolved", string(text), Overrides{})
		if err != nil {
			t.Fatalf("%s: the resolved form is refused: %v\n%s", b.Name, err, text)
		}
		text2, _ := again.TOML()
		if string(text) != string(text2) {
			t.Errorf("%s: resolving twice changes the scenario:\n%s\n---\n%s", b.Name, text, text2)
		}
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		why, src string
		set      []string
		want     string // substrings of the message, separated by |
	}{
		{"a key nobody knows names its line and the nearest key", minimal + "[load]\nconections = 5\n", nil, `x.toml:5|load.conections|did you mean "connections"`},
		{"a table nobody knows", minimal + "[flet]\nedges = 2\n", nil, `x.toml:4|flet|did you mean "fleet"`},
		{"a syntax error has its line", "name = \"t\nseed = 1", nil, "x.toml:1"},
		{"a text where a number belongs", minimal + "[load]\nconnections = \"many\"\n", nil, "x.toml:5|whole number|many"},
		{"a duration without a unit", minimal + "[load]\nramp = 5\n", nil, "x.toml:5|with its unit"},
		{"a number out of range", minimal + "[load]\nconnections = 0\n", nil, "x.toml:5|allowed: 1 to 1000000"},
		{"an unknown profile", "name=\"t\"\n[[browsers]]\nprofile = \"firefox-35-os\"\n", nil, "x.toml:3|firefox-35-osx"},
		{"a resolver that asks for each page", minimal + "[load]\nresolve=\"page\"\n", nil, "x.toml:5|browser, connection"},
		{"ticket keys of two kinds", minimal + "[fleet]\nticket_keys=\"some\"\n", nil, "x.toml:5|own, shared"},
		{"a clock that is no offset", "name=\"t\"\n[[browsers]]\nprofile=\"firefox-35-osx\"\nclock=\"yesterday\"\n", nil, "x.toml:4|how far it is off"},
		{"more than all clocks", "name=\"t\"\n[[browsers]]\nprofile=\"firefox-35-osx\"\nclock=\"-1h\"\nclock_share=2\n", nil, "x.toml:5|allowed: 0 to 1"},
		{"an unknown stack", minimal + "[fleet]\nstack = \"openssl-1.0.1\"\n", nil, "x.toml:5|openssl-1.0.1j"},
		{"an unknown stage", minimal + "[[faults]]\nname=\"f\"\naction=\"reset\"\nat=\"clienthello\"\n", nil, `x.toml:7|did you mean "client_hello"`},
		{"an unknown action", minimal + "[[faults]]\nname=\"f\"\naction=\"rest\"\nat=\"client_hello\"\n", nil, "x.toml:6|reset"},
		{"a drop on the relay would be corruption", minimal + "[[faults]]\nname=\"f\"\nengine=\"relay\"\naction=\"drop\"\nat=\"client_hello\"\n", nil, "x.toml|relay|drop"},
		{"a direction that the stage contradicts", minimal + "[[faults]]\nname=\"f\"\naction=\"reset\"\nat=\"client_hello\"\ndirection=\"server-to-client\"\n", nil, "x.toml:8|client-to-server"},
		{"a probability above one", minimal + "[[faults]]\nname=\"f\"\naction=\"reset\"\nat=\"client_hello\"\nprobability=1.5\n", nil, "x.toml:8|1.5"},
		{"a hello of no size", minimal + "[[faults]]\nname=\"f\"\naction=\"reset\"\nat=\"client_hello\"\nhello={bytes=\"511..256\"}\n", nil, `x.toml:8|hello|"256..511"`},
		{"a hello of a version that there is not", minimal + "[[faults]]\nname=\"f\"\naction=\"reset\"\nat=\"client_hello\"\nhello={offers=\"TLS 2\"}\n", nil, `x.toml:8|hello.offers|TLS 1.3`},
		{"a hello with a group that there is not", minimal + "[[faults]]\nname=\"f\"\naction=\"reset\"\nat=\"client_hello\"\nhello={group=\"x448kyber\"}\n", nil, `x.toml:8|hello.group|x25519`},
		{"sites without the one that is visited", minimal + "[fleet]\nsites=[\"shop.example.test\"]\n", nil, `x.toml:5|fleet.sites|"www.example.test"`},
		{"sites that HAProxy is not given", minimal + "[fleet]\nedge=\"haproxy\"\nsites=[\"www.example.test\",\"shop.example.test\"]\n", nil, `x.toml:6|fleet.sites|"nginx"`},
		{"a site twice", minimal + "[fleet]\nsites=[\"www.example.test\",\"www.example.test\"]\n", nil, `x.toml:5|each once`},
		{"an expired certificate on no edge", minimal + "[fleet]\nedges=2\n[fleet.certificate]\nexpired=[\"edge-3\"]\n", nil, `x.toml:7|fleet.certificate.expired|edge-1, edge-2`},
		{"a pattern that is none", minimal + "[fleet.certificate]\nincomplete=[\"[\"]\n", nil, `x.toml:5|not a pattern`},
		{"two rules of one name", minimal + "[[faults]]\nname=\"f\"\naction=\"reset\"\nat=\"client_hello\"\n[[faults]]\nname=\"f\"\naction=\"fin\"\nat=\"client_hello\"\n", nil, "x.toml:9|name of its own"},
		{"a selector that nobody matches", minimal + "[[faults]]\nname=\"f\"\naction=\"reset\"\nat=\"client_hello\"\nwho={profile=\"opera-*\"}\n", nil, `opera-*|firefox-35-osx`},
		{"an attempt below one", minimal + "[[faults]]\nname=\"f\"\naction=\"reset\"\nat=\"client_hello\"\nwho={attempt=-1}\n", nil, "count from 1"},
		{"not a number", minimal + "[load]\nrequest_rate = nan\n", nil, "x.toml:5|NaN|allowed"},
		{"a shape of a rate that there is not", minimal + "[load]\nmodel=\"closed\"\nshape={kind=\"ramp\",to=3,over=\"1s\"}\n", nil, `x.toml:6|"closed" has none|open`},
		{"a body of two kinds", minimal + "[[load.urls]]\nmethod=\"POST\"\npath=\"/\"\nweight=1\nbody=\"a\"\nbody_bytes=3\n", nil, "not both"},
		{"a body of a GET", minimal + "[[load.urls]]\npath=\"/\"\nbody=\"a\"\n", nil, "POST"},
		{"a share that is not a number", minimal + "share = nan\n", nil, "x.toml:4|NaN"},
		{"no action", minimal + "[[faults]]\nname=\"f\"\nat=\"client_hello\"\n", nil, "action|missing"},
		{"no name", "[[browsers]]\nprofile = \"firefox-35-osx\"\n", nil, "name|missing"},
		{"a phase that names no rule", minimal + "[[phases]]\nname=\"a\"\nduration=\"1s\"\nfaults=[\"x\"]\n", nil, "x.toml:7|no fault \"x\""},
		{"no browser at all", "name=\"t\"\n", nil, "no browser"},
		{"mix and browsers together", "mix=\"january-2015\"\n" + minimal, nil, "not both"},
		{"a target beyond loopback without authorisation", minimal + "[target]\naddresses=[\"192.0.2.7:443\"]\nserver_name=\"a.test\"\n", nil, "x.toml:5|--authorise 192.0.2.7"},
		{"a threshold on a browser that does not come", minimal + "[thresholds]\n\"users[profile=opera-*].saw_error\" = \"== 0\"\n", nil, "x.toml:|profile=opera-*|allowed: firefox-35-osx"},
		{"a threshold on an edge that is not there", minimal + "[thresholds]\n\"edges[name=edge-9].handshakes\" = \"> 0\"\n", nil, "name=edge-9|edge-1, edge-2"},
		{"a threshold on an act that is not played", minimal + "[thresholds]\n\"users[phase=before].saw_error\" = \"== 0\"\n", nil, "phase=before|allowed: run"},
		{"a share above all", minimal + "[thresholds]\n\"users.saw_error.rate\" = \"< 120%\"\n", nil, "no share is above 100%"},
		{"--set of an unknown key says that it was --set", minimal, []string{"load.conections=4"}, "--set|did you mean"},
		{"--set of an unknown element", minimal, []string{"faults.x.times=4"}, "--set"},
		{"--set without a value", minimal, []string{"load.connections"}, "key.path=value"},
	}
	for _, tt := range tests {
		_, err := Parse("x.toml", tt.src, Overrides{Set: tt.set})
		var se *Error
		if !errors.As(err, &se) {
			t.Errorf("%s: got %v, want a *scenario.Error", tt.why, err)
			continue
		}
		for _, w := range strings.Split(tt.want, "|") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", tt.why, err, w)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %q", tt.why, err)
		}
	}
}

func TestSetReachesEveryKindOfKey(t *testing.T) {
	src := minimal + "[[faults]]\nname=\"cut.one\"\naction=\"reset\"\nat=\"client_hello\"\n[[phases]]\nname=\"a\"\nduration=\"1s\"\n"
	s, err := Parse("x.toml", src, Overrides{Set: []string{
		"load.connections=7", "load.ramp=3s", "load.lifetime=1s..2s", "load.per_browser=3", "fleet.set.keepalive_timeout=9",
		"faults.cut.one.probability=0.5", "faults.cut.one.who.attempt=2", "browsers.firefox-35-osx.share=3", "phases.a.duration=5s",
		"thresholds.users.saw_error.rate=< 1%", `thresholds."requests.failed"=== 0`, "thresholds.users[profile=firefox-*].saw_error=== 0", "kernel.net.ipv4.tcp_fin_timeout=15",
	}})
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case s.Load.Connections != 7, s.Load.Ramp != Duration(3*time.Second), s.Load.Lifetime != DurationRange{time.Second, 2 * time.Second},
		s.Load.PerBrowser != 3, s.Fleet.Set["keepalive_timeout"] != "9", s.Faults[0].Rule.Probability != 0.5,
		s.Faults[0].Rule.Who.Attempt != 2, s.Browsers[0].Share != 3, s.Phases[0].Duration != Duration(5*time.Second),
		s.Thresholds["users.saw_error.rate"] != "< 1%", s.Kernel["net.ipv4.tcp_fin_timeout"] != "15":
		t.Errorf("an override did not arrive: %+v", s)
	}
}

// TestHelloMatches: what a rule says of hellos arrives in it, and survives the scenario's own TOML.
func TestHelloMatches(t *testing.T) {
	src := minimal + "[[faults]]\nname=\"f\"\naction=\"reset\"\nat=\"client_hello\"\nhello={offers=\"TLS 1.3\",bytes=\"512..\",group=\"X25519MLKEM768\"}\n"
	s, err := Parse("x.toml", src, Overrides{Set: []string{"faults.f.hello.bytes=..2000"}})
	if err != nil {
		t.Fatal(err)
	}
	want := faults.HelloMatch{Offers: wire.TLS13, MaxBytes: 2000, Group: wire.X25519MLKEM768}
	text, err := s.TOML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("x.toml", string(text), Overrides{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if s.Faults[0].Rule.Hello != want || again.Faults[0].Rule.Hello != want {
		t.Errorf("%+v, and resolved once more %+v; want %+v", s.Faults[0].Rule.Hello, again.Faults[0].Rule.Hello, want)
	}
}

// TestInlineTables: a list of tables written inline has the same defaults as one of [[headers]].
func TestInlineTables(t *testing.T) {
	s, err := Parse("x.toml", "name=\"t\"\nbrowsers=[{profile=\"firefox-35-osx\"}]\nfaults=[{name=\"f\",action=\"reset\",at=\"client_hello\"}]\n[load]\nurls=[{path=\"/a\"}]\n", Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if u := s.Load.URLs[0]; u.Weight != 1 || u.Method != "GET" || s.Browsers[0].Share != 1 || s.Faults[0].Rule.Probability != 1 {
		t.Errorf("%+v %+v %+v", u, s.Browsers[0], s.Faults[0].Rule)
	}
}

func TestSelectingFaults(t *testing.T) {
	s, err := Load("january-2015", Overrides{NoFaults: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Phases {
		if len(p.Rules) != 0 {
			t.Errorf("--no-faults leaves %d rules in %s", len(p.Rules), p.Name)
		}
	}
	s, err = Load("january-2015", Overrides{OnlyFault: "reset-first-handshake"})
	if err != nil {
		t.Fatal(err)
	}
	if r := s.Phases[0].Rules; len(r) != 1 || r[0].Action != faults.Reset {
		t.Errorf("--only-fault: rules of the first act are %+v", r)
	}
	if r := s.Phases[2].Rules; len(r) != 0 {
		t.Errorf("--only-fault brings the trigger back into an act that had none: %+v", r)
	}
	if _, err = Load("january-2015", Overrides{OnlyFault: "reset-first"}); err == nil || !strings.Contains(err.Error(), "reset-first-handshake") {
		t.Errorf("--only-fault with an unknown name: %v", err)
	}
}

func TestAMissingFileNamesTheNearestBuiltin(t *testing.T) {
	_, err := Load("january-2014", Overrides{})
	if err == nil || !strings.Contains(err.Error(), `"january-2015"`) {
		t.Errorf("got %v", err)
	}
	_, err = Load(filepath.Join(t.TempDir(), "no.toml"), Overrides{})
	if err == nil {
		t.Error("a missing file is accepted")
	}
	if _, err = Load(t.TempDir(), Overrides{}); err == nil {
		t.Error("a directory is accepted as a scenario")
	}
}

// FuzzParse: whatever the text, there is a scenario or a one-line *Error; and what is accepted is
// accepted again in its resolved form.
func FuzzParse(f *testing.F) {
	for _, b := range Builtins() {
		src, err := builtins.ReadFile("builtin/" + b.Name + ".toml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
	}
	f.Add(minimal)
	f.Add("[[browsers]]\n[browsers.profile]\n")
	f.Fuzz(func(t *testing.T, src string) {
		s, err := Parse("fuzz", src, Overrides{})
		if err != nil {
			var se *Error
			if !errors.As(err, &se) && !errors.Is(err, faults.ErrUnsupported) {
				t.Fatalf("not a *scenario.Error: %T %v", err, err)
			}
			return
		}
		text, err := s.TOML()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("again", string(text), Overrides{Authorise: s.AuthorisedTargets}); err != nil {
			t.Fatalf("resolved form refused: %v\n%s", err, text)
		}
	})
}

func TestAFaultOfOurEdgesOnAnotherTarget(t *testing.T) {
	target := minimal + "[target]\naddresses=[\"127.0.0.1:8443\"]\nserver_name=\"a.test\"\n[[faults]]\nname=\"f\"\nat=\"client_hello\"\naction="
	if _, err := Parse("x.toml", target+"\"drop\"\n", Overrides{}); !errors.Is(err, faults.ErrUnsupported) {
		t.Errorf("a drop at client_hello needs our listener: %v", err)
	}
	if _, err := Parse("x.toml", target+"\"reset\"\n", Overrides{}); err != nil {
		t.Errorf("a relay stands in front of any target: %v", err)
	}
}

func TestUnreadableFile(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads every file")
	}
	p := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(p, []byte(minimal), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(p, Overrides{}); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v", err)
	}
}

// What is refused says what is allowed, also where that is nothing.
func TestRefusalsSayWhatIsAllowed(t *testing.T) {
	for text, want := range map[string]string{
		"share = 1e308": "allowed: weights above 0, to 1e+09",
		"share = 2\n[[phases]]\nname = \"a\"\nduration = \"99999999h\"":            "at most",
		"share = 2\n[[phases]]\nname = \"a\"\nduration = \"1s\"\nfaults = [\"x\"]": "no fault \"x\"; there are none",
	} {
		_, err := Parse("s.toml", "name = \"s\"\n[load]\nconnections = 1\n[[browsers]]\nprofile = \"firefox-35-osx\"\n"+text, Overrides{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
