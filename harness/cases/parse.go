package cases

import (
	"fmt"
	"slices"
	"strings"

	"tlsurge/harness/scenario"
	"tlsurge/harness/symptom"
	"tlsurge/results"
)

// caseFile is a case as it is written; the table [scenario] is package scenario's.
type caseFile struct {
	Name      string       `toml:"name"`
	Title     string       `toml:"title"`
	Symptom   string       `toml:"symptom"`
	Mechanism string       `toml:"mechanism"`
	Sources   []string     `toml:"sources"`
	Expect    []expectData `toml:"expect"`
	Fix       struct {
		About string            `toml:"about"`
		Set   map[string]string `toml:"set"`
	} `toml:"fix"`
	Real struct {
		Edge   string            `toml:"edge"`
		Also   []string          `toml:"also"`
		None   string            `toml:"none"`
		Unfix  string            `toml:"unfixed"`
		Set    map[string]string `toml:"set"`
		Fix    map[string]string `toml:"fix"`
		Expect []expectData      `toml:"expect"`
	} `toml:"real"`
}

type expectData struct {
	Origin   string `toml:"origin"` // user, server_log
	Profile  string `toml:"profile"`
	UserSees string `toml:"user_sees"`
	Class    string `toml:"class"`
	Alert    *int   `toml:"alert"`
	Sender   string `toml:"alert_sender"`
	Stage    string `toml:"stage"`
	Code     string `toml:"code"`
	Reason   string `toml:"reason"`
	Level    string `toml:"level"`
	Min      int    `toml:"min"` // 0: 1

	Number string `toml:"number"`
	Is     string `toml:"is"`
}

// Parse reads a case; file names it in messages. The scenario is checked when it is asked for.
func Parse(file, src string) (*Case, error) {
	var f caseFile
	if err := scenario.Decode(file, src, &f, "scenario"); err != nil {
		return nil, err
	}
	c := &Case{Name: f.Name, Title: f.Title, Symptom: strings.TrimSpace(f.Symptom), Mechanism: strings.TrimSpace(f.Mechanism), Sources: f.Sources,
		Fix: Fix{f.Fix.About, f.Fix.Set}, Real: Real{Edge: f.Real.Edge, Also: f.Real.Also, Set: f.Real.Set, Fix: f.Real.Fix, Unfixed: f.Real.Unfix, None: f.Real.None}, src: src}
	var err error
	if c.Expect, err = expectations(file, "expect", f.Expect); err != nil {
		return nil, err
	}
	if c.Real.Expect, err = expectations(file, "real.expect", f.Real.Expect); err != nil {
		return nil, err
	}
	return c, c.check(file)
}

func expectations(file, key string, list []expectData) (out []Expect, err error) {
	for i, d := range list {
		e := Expect{Profile: d.Profile, Min: int64(max(1, d.Min)), Number: d.Number, Is: d.Is, Signature: symptom.Signature{
			Origin: symptom.Origin(d.Origin), UserSees: d.UserSees, Class: results.Class(d.Class), Alert: -1, Sender: d.Sender,
			Stage: d.Stage, Code: strings.ToUpper(d.Code), Reason: d.Reason, Level: d.Level}}
		if d.Alert != nil {
			e.Alert = *d.Alert
		}
		e.Text = strings.Join(strings.Fields(d.UserSees+" "+e.Code+" "+d.Reason), " ")
		if d.Number == "" && d.Origin != "user" && d.Origin != "server_log" {
			return nil, &scenario.Error{File: file, Key: fmt.Sprintf("%s[%d].origin", key, i),
				Msg: fmt.Sprintf("%q is not known%s", d.Origin, scenario.Suggest(d.Origin, []string{"user", "server_log"}))}
		}
		if err := e.check(); err != nil {
			return nil, &scenario.Error{File: file, Key: fmt.Sprintf("%s[%d]", key, i), Msg: err.Error()}
		}
		out = append(out, e)
	}
	return out, nil
}

// check refuses a case that tells only half of its story.
func (c *Case) check(file string) error {
	for _, x := range []struct{ key, text string }{{"name", c.Name}, {"title", c.Title}, {"symptom", c.Symptom},
		{"mechanism", c.Mechanism}, {"fix.about", c.Fix.About}} {
		if x.text == "" {
			return &scenario.Error{File: file, Key: x.key, Msg: "missing"}
		}
	}
	bad := func(key, msg string) error { return &scenario.Error{File: file, Key: key, Msg: msg} }
	switch {
	case strings.Contains(c.Title, "\n"):
		return bad("title", "want one line")
	case len(c.Sources) == 0:
		return bad("sources", "missing; say where this is known from")
	case len(c.Expect) == 0:
		return bad("expect", "missing; a case shows itself somewhere")
	case len(c.Fix.Set) == 0:
		return bad("fix.set", "missing; say what removes the report")
	case (c.Real.Edge == "") == (c.Real.None == ""):
		return bad("real", "say which installed server can play the server's part (edge), or why none can (none)")
	}
	servers := []string{"nginx", "haproxy"}
	for _, edge := range append(c.Real.Edges(), c.Real.Also...) {
		if !slices.Contains(servers, edge) {
			return bad("real", fmt.Sprintf("%q is not known%s", edge, scenario.Suggest(edge, servers)))
		}
	}
	return nil
}
