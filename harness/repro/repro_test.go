package repro

import (
	stdcmp "cmp"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tlsurge/faults"
	"tlsurge/faults/stage"
	"tlsurge/harness/child"
	"tlsurge/harness/proxy/stack"
	"tlsurge/harness/scenario"
	"tlsurge/harness/symptom"
	"tlsurge/harness/trial"
	"tlsurge/results"
)

func user(software, words string) symptom.Signature {
	return symptom.Signature{Origin: symptom.User, Software: software, UserSees: words, Alert: -1, Text: words, Count: 1}
}

func logged(code, reason string, when time.Time) symptom.Signature {
	return symptom.Signature{Origin: symptom.ServerLog, Software: "nginx", Code: code, Reason: reason, Alert: -1, Text: code, Count: 5, First: when}
}

var (
	january13 = time.Date(2015, 1, 13, 12, 22, 59, 0, time.UTC)
	january31 = time.Date(2015, 1, 31, 3, 24, 33, 0, time.UTC)

	missing  = logged("1408A0D7", "required cipher missing", january13)
	fallback = logged("140A1175", "inappropriate fallback", january31)
)

// firstComplete searches in memory for the first candidate that shows all of the report, and shrinks it.
func firstComplete(t *testing.T, config string, signatures ...symptom.Signature) (c tried, r Recipe, count int) {
	t.Helper()
	l, err := newLab(1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	list := targets(&symptom.Report{Signatures: signatures})
	k := &ranking{config: config, targets: list, era: eraOf(list)}
	s, stop := newSearch(l, list, k.era.people(list, nil), chained(slices.Values(k.candidates()), systematic(config, k.era.stacks)))
	defer stop()
	for {
		c, ok := s.next(t.Context())
		if !ok || s.count > 400 {
			t.Fatalf("%v: no candidate of %d shows it", signatures, s.count)
		}
		if c.shows&s.want() == s.want() {
			r := c.Recipe
			r.Visitors, _, _ = choose(c.hits, s.want())
			r, _ = s.shrink(r, s.want())
			return c, r, s.count
		}
	}
}

// TestTheThreadIsFoundFirst: each excerpt of the January 2015 mail alone, both, and with what users said, is
// explained by the first candidate, with one fault.
func TestTheThreadIsFoundFirst(t *testing.T) {
	noCypher, refused := user("firefox", "ssl_error_no_cypher_overlap"), user("firefox", "ssl_error_inappropriate_fallback_alert")
	for _, tt := range []struct {
		why        string
		signatures []symptom.Signature
		acts       []string
		browsers   int
	}{
		{"the first excerpt: Apple's shape of a hello", []symptom.Signature{missing}, []string{"openssl-0.9.8zc"}, 1},
		{"the second excerpt", []symptom.Signature{fallback}, []string{"openssl-1.0.1j"}, 1},
		{"both: one fault, two servers", []symptom.Signature{missing, fallback}, []string{"openssl-0.9.8zc", "openssl-1.0.1j"}, 1},
		{"the order in the log is nothing", []symptom.Signature{fallback, missing}, []string{"openssl-0.9.8zc", "openssl-1.0.1j"}, 1},
		{"the whole mail", []symptom.Signature{missing, fallback, noCypher, refused}, []string{"openssl-0.9.8zc", "openssl-1.0.1j"}, 2},
		{"among what every log of a day has", []symptom.Signature{logged("1407609C", "http request", january13), logged("", "connect() to the upstream failed", january13),
			fallback, logged("", "peer closed connection in SSL handshake", january13), missing}, []string{"openssl-0.9.8zc", "openssl-1.0.1j"}, 1},
		{"a user's word alone", []symptom.Signature{refused}, []string{"openssl-1.0.1j"}, 1},
		{"the other user's word alone", []symptom.Signature{noCypher}, []string{"openssl-0.9.8zc"}, 1},
	} {
		_, r, count := firstComplete(t, "", tt.signatures...)
		var acts []string
		for _, a := range r.Acts {
			acts = append(acts, a.Stack)
		}
		if count != 1 || len(r.Faults) != 1 || !slices.Equal(acts, tt.acts) || len(r.Visitors) != tt.browsers {
			t.Errorf("%s: candidate %d: %s", tt.why, count, r.words())
		}
		if f := r.Faults; len(f) == 1 && (f[0].At != stage.ClientHello || f[0].Attempts > 1) {
			t.Errorf("%s: the fault is %v", tt.why, f[0])
		}
	}
}

func TestSameReportSameRecipe(t *testing.T) {
	for _, s := range []symptom.Signature{missing, user("", "ERR_CONNECTION_RESET"), user("chrome", "ERR_CERT_DATE_INVALID")} {
		_, a, n := firstComplete(t, "", s)
		_, b, m := firstComplete(t, "", s)
		if d := cmp.Diff(a, b); d != "" || n != m {
			t.Errorf("%s: candidates %d and %d: %s", s.Text, n, m, d)
		}
	}
}

// TestOtherReports: words of other browsers and times lead to recipes that show them; what a configuration says is
// not searched.
func TestOtherReports(t *testing.T) {
	for _, tt := range []struct {
		s     symptom.Signature
		about func(Recipe) bool
	}{
		{user("", "ERR_CONNECTION_RESET"), func(r Recipe) bool { return r.Faults[0].Action == faults.Reset && r.Faults[0].Attempts == everyAttempt }},
		{user("safari", "errSSLClosedAbort (-9806)"), func(r Recipe) bool { return r.Faults[0].Action == faults.FIN }},
		{user("firefox", "SSL_ERROR_UNSUPPORTED_VERSION"), func(r Recipe) bool { return len(r.Faults) == 0 }},
		{user("chrome", "ERR_CERT_DATE_INVALID"), func(r Recipe) bool { return r.Faults[0].Action == faults.CertExpired }},
		{logged("0A0000C1", "no shared cipher", time.Time{}), func(r Recipe) bool { return r.Acts[0].Stack == "openssl-3.0" && len(r.Faults) == 0 }},
		{logged("0A000119", "decryption failed or bad record mac", time.Time{}), func(r Recipe) bool { return r.Faults[0].Action == faults.Corrupt }},
	} {
		if _, r, n := firstComplete(t, "", tt.s); !tt.about(r) {
			t.Errorf("%s: candidate %d: %s", tt.s.Text, n, r.words())
		}
	}
	c, r, _ := firstComplete(t, "builtin:fl-ssl.conf", user("firefox", "ssl_error_no_cypher_overlap"))
	if r.Acts[0].Config != "builtin:fl-ssl.conf" || len(r.Acts[0].Set) != 0 {
		t.Errorf("%v: the configuration was changed: %v", c, r.Acts[0])
	}
}

// TestWhatElseItMayBe: a name with several causes gets them all, of one cause not more than two. Without a fault the cause is what the server did.
func TestWhatElseItMayBe(t *testing.T) {
	for _, tt := range []struct {
		s      symptom.Signature
		first  string
		others []string
	}{
		{user("chrome", "ERR_SSL_VERSION_OR_CIPHER_MISMATCH"), "no version in common, the server is too old",
			[]string{"no suite in common", "no version in common, the browser is too old"}},
		{logged("", "SSL handshake failure", time.Time{}), "no version in common, the browser is too old",
			[]string{"no suite in common", "no version in common, the server is too old"}},
	} {
		cfg := config(t, counting(new(int)), time.Minute, tt.s)
		cfg.Run = func(_ context.Context, _, out string, _ uint64, _ []string) (*results.Run, error) {
			// A fleet that shows whatever is asked of it: this is about what is said then.
			run := &results.Run{Verdict: results.Verdict{State: results.Valid}, Users: []results.UserRow{{Phase: "run", Profile: "chromium-156-linux", PageLoads: 30}}}
			run.Outcomes = []results.OutcomeRow{{Phase: "run", Profile: "chromium-156-linux", UserSees: tt.s.UserSees, Class: results.ClassPeerAlert, Alert: 70, Sender: "server", Count: 30}}
			run.Edges = []results.EdgeRow{{Name: "edge-1", Phase: "run", LogLines: []results.LogLine{{Code: stdcmp.Or(tt.s.Code, "0A0000C1"), Reason: tt.s.Reason, Count: 30}}}}
			return run, os.MkdirAll(out, 0o700)
		}
		r, err := Do(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Reproduced || r.Cause != tt.first || r.Alternatives[0].Cause != tt.first || !r.Alternatives[0].Confirmed {
			t.Errorf("%s: %s; %+v", tt.s.Text, r.Cause, r.Alternatives)
			continue
		}
		seen := map[string]int{}
		for _, a := range r.Alternatives {
			seen[a.Cause]++
		}
		for _, other := range tt.others {
			if seen[other] == 0 || seen[other] > 2 {
				t.Errorf("%s: %s is among the causes %d times: %v", tt.s.Text, other, seen[other], seen)
			}
		}
		var page strings.Builder
		if err := r.WriteText(&page); err != nil || !strings.Contains(page.String(), "causes fit") || !strings.Contains(page.String(), "What would tell them apart") {
			t.Errorf("%v\n%s", err, &page)
		}
	}
}

// TestShrinkLeavesOutWhatIsNotNeeded: a recipe stuffed with bystanders comes down to its core.
func TestShrinkLeavesOutWhatIsNotNeeded(t *testing.T) {
	l, err := newLab(1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	list := targets(&symptom.Report{Signatures: []symptom.Signature{fallback}})
	s, stop := newSearch(l, list, nil, slices.Values([]Candidate(nil)))
	defer stop()
	stuffed := Recipe{
		Acts: []Setting{base("", "openssl-0.9.8zc"), base("", "openssl-1.0.1j").with("ssl_session_tickets", "off")},
		Faults: []trial.Fault{{Action: faults.Reset, At: stage.ClientHello, Attempts: everyAttempt}, {Action: faults.CertExpired},
			{Action: faults.Corrupt, At: stage.Response}},
		Visitors: []Visitor{{"chrome-39-win7", true}, {"firefox-34-osx", false}, {"safari-8-osx10.10", true}, {"firefox-35-osx", false}},
	}
	stuffed.Faults[0].Attempts = 1
	small, steps := s.shrink(stuffed, 1)
	if len(small.Acts) != 1 || len(small.Faults) != 1 || len(small.Visitors) != 1 || small.Visitors[0].Returning || len(small.Acts[0].Set) != 0 {
		t.Errorf("left: %s\n%v", small.words(), steps)
	}
	if s.shows(small)&1 == 0 {
		t.Error("and it no longer shows the report")
	}
	for _, c := range reductions(small) {
		if s.shows(c.recipe)&1 != 0 {
			t.Errorf("%s could go too", c.what)
		}
	}
}

// TestScenariosAreValid: whatever the search can come to is a scenario that runs, and says what the recipe says.
func TestScenariosAreValid(t *testing.T) {
	seen := map[string]bool{}
	for c := range systematic("", stack.Names()[:6]) {
		r := c.Recipe.hurried()
		r.Visitors = []Visitor{{"firefox-35-osx", false}, {"firefox-35-osx", true}, {"chromium-156-linux", false}}
		shape := r.Acts[0].Stack
		for _, f := range r.Faults {
			shape += f.String()
		}
		if seen[shape] {
			continue
		}
		seen[shape] = true
		text := r.Scenario("repro-x", "a \"quoted\" cause", []string{"a comment"}, 7, 2*time.Second)
		sc, err := scenario.Parse("x.toml", text, scenario.Overrides{})
		if err != nil {
			t.Errorf("%s: %v\n%s", r.words(), err, text)
			continue
		}
		if len(sc.Browsers) != 2 || sc.Browsers[0].Returning != 0.5 || sc.Fleet.Stack != r.Acts[0].Stack || len(sc.Faults) != len(r.Faults) {
			t.Errorf("%s became\n%s", r.words(), text)
		}
	}
	two := Recipe{Acts: []Setting{base("", "openssl-0.9.8zc"), base("", "openssl-1.0.1j").with("ssl_protocols", "TLSv1")}, Visitors: []Visitor{{"firefox-35-osx", false}}}
	sc, err := scenario.Parse("x.toml", two.Scenario("x", "", nil, 1, 0), scenario.Overrides{})
	if err != nil || len(sc.Phases) != 2 || sc.Phases[1].Fleet.Set["ssl_protocols"] != "TLSv1" {
		t.Errorf("two acts: %v", err)
	}
}

func TestRate(t *testing.T) {
	for _, tt := range []struct {
		hits, loads int64
		low, high   float64
	}{ // R: binom::binom.wilson
		{30, 30, 0.8864866, 1}, {0, 30, 0, 0.1135134}, {5, 10, 0.2365931, 0.7634069}, {1, 100, 0.0017674, 0.0544862}, {0, 0, 0, 1},
	} {
		r := NewRate(tt.hits, tt.loads)
		if math.Abs(r.Low-tt.low) > 1e-6 || math.Abs(r.High-tt.high) > 1e-6 {
			t.Errorf("%d of %d: %v to %v, want %v to %v", tt.hits, tt.loads, r.Low, r.High, tt.low, tt.high)
		}
	}
	// Newcombe 1998, table II, example (a): 56/70 against 48/80, method 10.
	d := difference(NewRate(48, 80), NewRate(56, 70))
	if math.Abs(d.Value-0.2) > 1e-9 || math.Abs(d.Low-0.0524) > 1e-4 || math.Abs(d.High-0.3339) > 1e-4 || !d.Clear() {
		t.Errorf("difference %+v", d)
	}
}

// TestOverall: in each act the signature that most show, over all page loads of both.
func TestOverall(t *testing.T) {
	task := &task{targets: targets(&symptom.Report{Signatures: []symptom.Signature{missing, fallback}})}
	task.confirmed = 3
	run := &results.Run{Users: []results.UserRow{{Phase: "a", PageLoads: 30}, {Phase: "b", PageLoads: 30}}, Edges: []results.EdgeRow{
		{Phase: "a", LogLines: []results.LogLine{{Code: missing.Code, Reason: missing.Reason, Count: 30}, {Code: fallback.Code, Reason: fallback.Reason, Count: 10}}},
		{Phase: "b", LogLines: []results.LogLine{{Code: fallback.Code, Reason: fallback.Reason, Count: 99}}}}}
	if r := task.overall(run); r.Hits != 60 || r.Loads != 60 {
		t.Errorf("%v", r)
	}
}

func TestLibrariesOf(t *testing.T) {
	for code, want := range map[string]string{"1408A0D7": "openssl-1.0.1j", "140A1175": "openssl-1.0.1j", "1417A0C1": "openssl-1.1.1", "14209102": "openssl-1.1.1", "0A0000C1": "openssl-3.0"} {
		if got := librariesOf(code); len(got) == 0 || got[0] != want {
			t.Errorf("%s: %v, want %s first", code, got, want)
		}
	}
	for _, code := range []string{"", "XYZ", "1408", "12345678", "14ZZZ0C1"} {
		if got := librariesOf(code); got != nil {
			t.Errorf("%q tells nothing, got %v", code, got)
		}
	}
}

// counting is a Runner whose fleet shows nothing.
func counting(n *int) Runner {
	return func(context.Context, string, string, uint64, []string) (*results.Run, error) {
		*n++
		return &results.Run{Verdict: results.Verdict{State: results.Valid}}, nil
	}
}

type quiet struct{}

func (quiet) Step(string)               {}
func (quiet) Tick(int, string, float64) {}

func config(t *testing.T, run Runner, budget time.Duration, signatures ...symptom.Signature) Config {
	return Config{Report: &symptom.Report{Signatures: signatures}, Budget: budget, Seed: 1, Dir: filepath.Join(t.TempDir(), "out"),
		Run: run, Progress: quiet{}, Now: time.Now}
}

// TestOnlyTheFleetConfirms: what memory shows and no run does is not reproduced; the same fault is not tried for
// ever.
func TestOnlyTheFleetConfirms(t *testing.T) {
	runs := 0
	cfg := config(t, counting(&runs), 7*time.Second, user("firefox", "ssl_error_inappropriate_fallback_alert"))
	r, err := Do(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Reproduced || runs < 3 || len(r.Notes) > 6 || runs > 400 || r.Rate != nil || r.Scenario != "" {
		t.Errorf("reproduced %v after %d runs that showed nothing: %+v", r.Reproduced, runs, r)
	}
	var stored Result
	p, err := os.ReadFile(filepath.Join(r.Dir, "repro.json"))
	if err != nil || json.Unmarshal(p, &stored) != nil && !strings.Contains(string(p), `"reproduced": false`) {
		t.Errorf("repro.json: %v", err)
	}
	page, err := os.ReadFile(filepath.Join(r.Dir, "report.md"))
	if err != nil || !strings.Contains(string(page), "Not reproduced") {
		t.Errorf("report.md: %v\n%s", err, page)
	}
}

func TestNothingToFind(t *testing.T) {
	runs := 0
	_, err := Do(t.Context(), config(t, counting(&runs), time.Minute))
	if _, ok := err.(*NothingError); !ok || runs != 0 {
		t.Errorf("%v after %d runs", err, runs)
	}
}

// TestFailingRuns: a run that cannot be made is an error with its own code.
func TestFailingRuns(t *testing.T) {
	fail := func(context.Context, string, string, uint64, []string) (*results.Run, error) {
		return nil, &child.Error{Code: 5, Text: "broken"}
	}
	_, err := Do(t.Context(), config(t, fail, time.Minute, fallback))
	if e, ok := err.(*child.Error); !ok || e.Code != 5 {
		t.Errorf("got %v", err)
	}
}

func TestParseChange(t *testing.T) {
	for in, want := range map[string]string{
		"ssl_session_tickets=off": "ssl_session_tickets=off", "fleet.set.ssl_protocols=TLSv1.2 TLSv1.3": "ssl_protocols=TLSv1.2 TLSv1.3",
		"stack=openssl-1.0.2": "stack=openssl-1.0.2", "fleet.stack=go": "stack=go", "fault.reset*=off": "fault.reset*=off", "faults=off": "faults=off",
		"tcp_tw_reuse=1": "kernel.net.ipv4.tcp_tw_reuse=1", "net.core.somaxconn=1": "kernel.net.core.somaxconn=1", "load.connections=5": "load.connections=5",
		"key=ecdsa-p256": "key=ecdsa-p256",
	} {
		if c, err := ParseChange(in); err != nil || c.String() != want {
			t.Errorf("%s: %v, %v", in, c, err)
		}
	}
	for _, bad := range []string{"", "x", "=y", "stack=netscape", "fault.a=on", "ssl_sesion_tickets=off", "key=dsa", "ssl_protocols=TLSv1; root /"} {
		if c, err := ParseChange(bad); err == nil {
			t.Errorf("%q was taken for %v", bad, c)
		}
	}
}

// FuzzParseChange: what is accepted makes of a recipe something that is a scenario, or is refused by name.
func FuzzParseChange(f *testing.F) {
	for _, s := range []string{"ssl_session_tickets=off", "stack=openssl-3.0", "faults=off", "fault.x=off", "tcp_fin_timeout=5", "keepalive_timeout=5 4"} {
		f.Add(s)
	}
	r := Recipe{Acts: []Setting{base("", "openssl-1.0.1j")}, Faults: cuts[:1], Visitors: []Visitor{{"firefox-35-osx", false}}}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseChange(s)
		if err != nil {
			return
		}
		changed, set, err := r.apply([]Change{c})
		if err != nil || len(set) > 0 {
			return
		}
		if _, err := scenario.Parse("x.toml", changed.Scenario("x", "", nil, 1, 0), scenario.Overrides{}); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	})
}

// processorTime is what the whole process has used.
func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCandidate is one server and fault with every browser, new and returning.
func BenchmarkCandidate(b *testing.B) {
	l, err := newLab(1)
	if err != nil {
		b.Fatal(err)
	}
	defer l.close()
	list := targets(&symptom.Report{Signatures: []symptom.Signature{fallback}})
	s, stop := newSearch(l, list, eraOf(list).people(list, nil), slices.Values([]Candidate(nil)))
	defer stop()
	c := tried{Candidate: Candidate{Recipe: Recipe{Acts: []Setting{base("", "openssl-1.0.1j")}, Faults: cuts[:1]}}}
	before := processorTime(b)
	for b.Loop() {
		s.play(b.Context(), &c)
	}
	b.ReportMetric(float64(l.trials.Load())/b.Elapsed().Seconds(), "trials/s")
	b.ReportMetric(float64(l.trials.Load())/(processorTime(b)-before).Seconds(), "trials/cpu-s") // whoever else is on this machine
}
