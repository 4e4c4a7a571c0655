package harness

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"tlsurge/harness/scenario"
)

var tomlBlock = regexp.MustCompile("(?s)```toml\n(.*?)```")

// TestDocumentedLoads reads each block of docs/LOAD.md and makes a load of it; and each key that a scenario has for its
// load is on that page.
func TestDocumentedLoads(t *testing.T) {
	page, err := os.ReadFile("../docs/LOAD.md")
	if err != nil {
		t.Fatal(err)
	}
	arrivals := filepath.Join(t.TempDir(), "arrivals.txt")
	if err := os.WriteFile(arrivals, []byte("0\n0.5\n2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	blocks := tomlBlock.FindAllSubmatch(page, -1)
	models, shapes := map[string]bool{}, map[string]bool{}
	for _, b := range blocks {
		text := "name = \"documented\"\n" + strings.ReplaceAll(string(b[1]), "arrivals.txt", arrivals)
		if !strings.Contains(text, "[[browsers]]") {
			text += "\n[[browsers]]\nprofile = \"firefox-35-osx\"\n"
		}
		sc, err := scenario.Parse("LOAD.md", text, scenario.Overrides{})
		if err != nil {
			t.Errorf("%v\n%s", err, b[1])
			continue
		}
		load, curve, err := traffic(&sc.Load, time.Minute)
		if err != nil {
			t.Errorf("%v\n%s", err, b[1])
		}
		models[string(load.Model)] = true
		if sh := sc.Load.Shape; sh != nil {
			shapes[sh.Kind] = true
			if sh.Kind == "file" && len(load.RequestTimes) != 3 || sh.Kind != "file" && (curve == nil || curve.Arrivals(time.Minute) <= 0) {
				t.Errorf("no arrivals: %+v\n%s", load, b[1])
			}
		}
	}
	for _, want := range []string{"open", "closed", "resume"} {
		if !models[want] {
			t.Errorf("no block has the model %q", want)
		}
	}
	if len(shapes) != 5 {
		t.Errorf("blocks with the shapes %v: want five", shapes)
	}
	for _, table := range []any{scenario.Traffic{}, scenario.Shape{}, scenario.Page{}, scenario.URL{}, scenario.Check{}, scenario.Browser{}} {
		of := reflect.TypeOf(table)
		for i := range of.NumField() {
			key, _, _ := strings.Cut(of.Field(i).Tag.Get("toml"), ",")
			if ok, _ := regexp.Match(`(?m)[\x60\n{, ]`+key+`([\x60]| =)`, page); !ok {
				t.Errorf("docs/LOAD.md does not speak of %s of %s", key, of.Name())
			}
		}
	}
}

// TestShapes: what a scenario says of its rate is what the schedule does, at the points that tell shapes apart.
func TestShapes(t *testing.T) {
	for _, row := range []struct {
		load string
		want map[time.Duration]float64 // arrivals until then
	}{
		{"request_rate = 10", map[time.Duration]float64{time.Second: 10, time.Minute: 600}},
		{"request_rate = 10\nshape = { kind = \"ramp\", to = 30, over = \"10s\" }", map[time.Duration]float64{10 * time.Second: 200, 11 * time.Second: 230}},
		{"shape = { kind = \"steps\", rates = [10, 20], over = \"10s\" }", map[time.Duration]float64{10 * time.Second: 100, 20 * time.Second: 300, 30 * time.Second: 500}},
		{"request_rate = 10\nshape = { kind = \"sine\", swing = 5, period = \"10s\" }", map[time.Duration]float64{10 * time.Second: 100, 5 * time.Second: 50 + 2*5*10/(2*3.14159265)}},
		{"request_rate = 10\nshape = { kind = \"spike\", at = \"5s\", to = 100, over = \"1s\" }", map[time.Duration]float64{5 * time.Second: 50, 6 * time.Second: 150, 10 * time.Second: 190}},
		{"model = \"handshake\"\nrequest_rate = 10\nramp = \"10s\"\nramp_down = \"10s\"\nduration = \"60s\"", map[time.Duration]float64{10 * time.Second: 50, 50 * time.Second: 450, time.Minute: 500}},
	} {
		sc, err := scenario.Parse("x.toml", "name = \"x\"\n[load]\n"+row.load+"\n[[browsers]]\nprofile = \"firefox-35-osx\"\n", scenario.Overrides{})
		if err != nil {
			t.Errorf("%v\n%s", err, row.load)
			continue
		}
		_, curve, err := traffic(&sc.Load, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for at, want := range row.want {
			if got := curve.Arrivals(at); got < want-0.01 || got > want+0.01 {
				t.Errorf("%s: %.2f arrivals until %v, want %.2f", row.load, got, at, want)
			}
		}
	}
}
