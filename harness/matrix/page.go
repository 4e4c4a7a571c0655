package matrix

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"tlsurge/results"
	"tlsurge/results/report"
)

// PageInput is what the page is made of.
type PageInput struct {
	Rows []Row
	// Changes since a stored table, Against, which are marked; nil where nothing is compared.
	Changes []Change
	Against string
	Gone    int
	// Setting says in words what the servers were told: "protocols TLSv1.2; browsers have been here before".
	Setting string
	Seed    uint64
	Made    time.Time
	Version string
}

//go:embed matrix.tmpl
var pageText string

//go:embed matrix.css
var pageStyle string

// look is how a verdict appears: by colour, by sign and in a word.
type look struct {
	Class, Sign, Word string
}

var looks = map[results.PageVerdict]look{
	results.Fine:         {"v0", "✓", "fine"},
	results.SavedByRetry: {"v1", "↻", "saved by a retry"},
	results.Downgraded:   {"v2", "↓", "served at a lower version"},
	results.SawError:     {"v3", "✗", "saw an error"},
}

// pageView is the table as the page shows it.
type pageView struct {
	PageInput
	Style    template.CSS
	Looks    []look
	Counts   map[string]int // by class
	Servers  []serverView
	Lines    []lineView
	Behind   []behindView
	Worse    []changeView
	Summary  string
	Browsers int
	Faults   int
}

type serverView struct {
	Name   string
	Faults []string
}

type lineView struct {
	Profile string
	Cells   []cellView
}

type cellView struct {
	look
	First  bool // of its server
	Change ChangeKind
	Where  string // server and fault
	Words  string
	Quiet  bool // nothing to tell beyond the sign
}

// behindView is the table behind the picture: what happened, and to whom.
type behindView struct {
	Stack string
	Rows  []behindRow
}

type behindRow struct {
	Fault, Words, Logs string
	look
	Attempts int
	Profiles []string
}

// changeView is browsers with the same changes at one server.
type changeView struct {
	Stack    string
	Profiles []string
	Changes  []Change
}

// Step is a change in words.
func (c Change) Step() string { return c.step() }

// Page is the table as one file that needs nothing else: a heat-map that reads in colour, by sign and aloud, with the
// words behind every cell.
func Page(in PageInput) ([]byte, error) {
	t, err := template.New("matrix").Funcs(template.FuncMap{"join": strings.Join, "plural": plural}).Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("matrix: the page's template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, newPage(in)); err != nil {
		return nil, fmt.Errorf("matrix: %w", err)
	}
	return b.Bytes(), nil
}

func newPage(in PageInput) pageView {
	v := pageView{PageInput: in, Style: template.CSS(report.Style() + pageStyle), Counts: map[string]int{}}
	for _, verdict := range verdicts {
		v.Looks = append(v.Looks, looks[verdict])
	}
	changed := map[cell]Change{}
	for _, c := range in.Changes {
		changed[c.cell()] = c
	}
	v.layOut(changed)
	for _, s := range sections(in.Changes, func(c Change) Row { return c.Row }, Change.alike) {
		for _, g := range s.groups {
			v.Worse = append(v.Worse, changeView{s.stack, g.profiles, g.rows})
		}
	}
	v.Summary = summary(in.Changes, "")
	v.behind()
	return v
}

// layOut puts the cells into lines by browser and columns by server and fault.
func (v *pageView) layOut(changed map[cell]Change) {
	var profiles, faults []string
	known := map[cell]Row{}
	for _, r := range v.Rows {
		known[r.cell()] = r
		v.Counts[looks[r.Verdict].Class]++
		if !slices.Contains(profiles, r.Profile) {
			profiles = append(profiles, r.Profile)
		}
		if !slices.Contains(faults, r.Fault) {
			faults = append(faults, r.Fault)
		}
		if n := len(v.Servers); n == 0 || v.Servers[n-1].Name != r.Stack {
			v.Servers = append(v.Servers, serverView{Name: r.Stack})
		}
	}
	v.Browsers, v.Faults = len(profiles), len(faults)
	for i := range v.Servers {
		v.Servers[i].Faults = faults
	}
	for _, p := range profiles {
		line := lineView{Profile: p}
		for _, s := range v.Servers {
			for i, f := range faults {
				r := known[cell{p, s.Name, f}]
				c := cellView{look: looks[r.Verdict], First: i == 0, Where: s.Name + ", " + f, Words: r.Words(), Quiet: r.Verdict == results.Fine}
				if r.Attempts > 1 {
					c.Words += fmt.Sprintf("; %d attempts", r.Attempts)
				}
				if r.Logs != "" {
					c.Words += "; the server logs " + r.Logs
				}
				if ch, ok := changed[r.cell()]; ok {
					c.Change, c.Quiet = ch.Change, false
					c.Words = string(ch.Change) + ": " + ch.step()
				}
				line.Cells = append(line.Cells, c)
			}
		}
		v.Lines = append(v.Lines, line)
	}
}

// behind lists, server by server and fault by fault, what happened and to whom.
func (v *pageView) behind() {
	for _, s := range v.Servers {
		b := behindView{Stack: s.Name}
		for _, f := range s.Faults {
			var rows []behindRow
			for _, r := range v.Rows {
				if r.Stack != s.Name || r.Fault != f {
					continue
				}
				i := slices.IndexFunc(rows, func(x behindRow) bool { return x.Words == r.Words() && x.Attempts == r.Attempts && x.Logs == r.Logs })
				if i < 0 {
					i = len(rows)
					rows = append(rows, behindRow{Fault: f, Words: r.Words(), Logs: r.Logs, look: looks[r.Verdict], Attempts: r.Attempts})
				}
				rows[i].Profiles = append(rows[i].Profiles, r.Profile)
			}
			b.Rows = append(b.Rows, rows...)
		}
		v.Behind = append(v.Behind, b)
	}
}
