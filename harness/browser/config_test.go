package browser

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tlsurge/faults"
	"tlsurge/results"
)

func TestRefusals(t *testing.T) {
	good := func() *Config {
		return &Config{Agents: 1, Mix: []Visitor{{Profile: profile(t, "firefox-35-osx"), Weight: 1}},
			Edges: []Edge{{"edge-1", netip.MustParseAddrPort("127.0.0.1:1")}},
			Load:  Load{Connections: 6, Duration: time.Second}}
	}
	for _, c := range []struct {
		why    string
		change func(*Config)
		says   string
	}{
		{"nothing is wrong", func(*Config) {}, ""},
		{"a model that there is not", func(c *Config) { c.Load.Model = "ajar" }, `load model "ajar"`},
		{"an agent beyond the last", func(c *Config) { c.AgentIndex = 1 }, "agent 1 of 1"},
		{"no edges", func(c *Config) { c.Edges = nil }, "no edges"},
		{"nobody in the mix", func(c *Config) { c.Mix = nil }, "no browsers"},
		{"weights of nothing", func(c *Config) { c.Mix[0].Weight = 0 }, "add up to 0"},
		{"a returning share above one", func(c *Config) { c.Mix[0].Returning = 1.5 }, "returning share of 0 to 1"},
		{"no connections to hold", func(c *Config) { c.Load.Connections = 0 }, "want at least 1"},
		{"a method that is not spoken", func(c *Config) { c.Load.URLs = []URL{{Method: "BREW", Path: "/"}} }, `method "BREW"`},
		{"a relative path", func(c *Config) { c.Load.URLs = []URL{{Path: "pot"}} }, `path "pot"`},
		{"a body with GET", func(c *Config) { c.Load.URLs = []URL{{Path: "/", Body: []byte("x")}} }, "want POST"},
	} {
		cfg := good()
		c.change(cfg)
		a, err := NewAgent(cfg, results.NewRecorder(results.RecorderConfig{}), func(faults.Firing) {})
		if err == nil {
			a.Close()
		}
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.why, err, c.says)
		}
	}
}
