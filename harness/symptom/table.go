package symptom

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// event is one line of a log, taken apart. Its byte slices alias the line.
type event struct {
	Signature
	reason         []byte // where it is not a constant; else Signature.Reason
	client, server []byte
	at             time.Time
}

// Bounds of the table's memory, whatever is read.
const (
	mostSignatures = 500     // kinds of lines; the rest is counted as one kind
	mostSeconds    = 200_000 // seconds, over all signatures, in which lines are counted for the peak rate
	mostServers    = 8
)

// table counts signatures in a stream.
type table struct {
	rows    map[string]*row
	key     []byte
	seed    maphash.Seed
	seconds int
}

type row struct {
	Signature
	clients *distinct
	servers map[string]bool
	perS    map[int64]int32
	dense   bool // the seconds no longer fit: the peak is what was seen until then
	noTime  bool
}

func newTable() *table { return &table{rows: map[string]*row{}, seed: maphash.MakeSeed()} }

// add counts a line. It allocates only when it sees a kind of line, a client or a second for the first time.
func (t *table) add(e *event, text []byte) {
	k := append(t.key[:0], e.Origin...)
	k = append(append(k, 0), e.Software...)
	k = append(append(k, 0), e.Level...)
	k = append(append(k, 0), e.Code...)
	k = append(append(k, 0), e.Reason...)
	k = append(append(k, 0), e.reason...)
	k = append(append(k, 0), e.Stage...)
	k = append(append(k, 0), e.UserSees...)
	k = append(append(k, 0), e.Class...)
	k = append(k, byte(e.Alert+1), byte((e.Alert+1)>>8))
	t.key = append(k, e.Sender...)
	r := t.rows[string(t.key)]
	if r == nil {
		r = t.newRow(e, text)
	}
	r.Count++
	if len(e.client) > 0 && e.client[0] != '*' {
		r.clients.add(e.client)
	}
	if len(e.server) > 0 && !r.servers[string(e.server)] && len(r.servers) < mostServers {
		r.servers[string(e.server)] = true
	}
	if e.at.IsZero() {
		return
	}
	if r.First.IsZero() || e.at.Before(r.First) {
		r.First = e.at
	}
	if e.at.After(r.Last) || r.Last.IsZero() {
		r.Last = e.at
	}
	if n, known := r.perS[e.at.Unix()]; known || t.seconds < mostSeconds {
		if !known {
			t.seconds++
		}
		r.perS[e.at.Unix()] = n + 1
	} else {
		r.dense = true
	}
}

func (t *table) newRow(e *event, text []byte) *row {
	k := string(t.key)
	s := e.Signature
	if len(e.reason) > 0 {
		s.Reason = string(e.reason)
	}
	s.Count, s.Text = 0, around(string(text), 0, 0)
	if s.Origin == "" {
		s.Origin = ServerLog
	}
	if len(t.rows) >= mostSignatures {
		k = "\x00more"
		if r := t.rows[k]; r != nil {
			return r
		}
		s = Signature{Origin: ServerLog, Alert: -1, Reason: fmt.Sprintf("(more than %d kinds of lines)", mostSignatures), Text: s.Text}
	}
	r := &row{Signature: s, clients: newDistinct(t.seed), servers: map[string]bool{}, perS: map[int64]int32{}}
	t.rows[k] = r
	return r
}

// signatures gives the rows with their rates.
func (t *table) signatures() []Signature {
	var out []Signature
	for _, r := range t.rows {
		s := r.Signature
		s.Clients = r.clients.count()
		s.Servers = slices.Sorted(maps.Keys(r.servers))
		if d := s.Last.Sub(s.First).Seconds(); d >= 1 {
			s.PerS = float64(s.Count) / d
		}
		for _, n := range r.perS {
			s.PeakPerS = max(s.PeakPerS, int64(n))
		}
		out = append(out, s)
	}
	return out
}

// sortTelling puts the most telling signatures first: words and codes that mean one thing, then lines with
// a reason, then plain English, then what every server logs on a good day.
func sortTelling(all []Signature) {
	slices.SortStableFunc(all, func(a, b Signature) int {
		return cmp.Or(cmp.Compare(a.tells(), b.tells()), cmp.Compare(b.Count, a.Count), a.First.Compare(b.First),
			cmp.Compare(a.UserSees+a.Code+a.Reason, b.UserSees+b.Code+b.Reason), cmp.Compare(a.Level, b.Level),
			cmp.Compare(a.Software+string(a.Origin)+a.Stage, b.Software+string(b.Origin)+b.Stage), cmp.Compare(a.String(), b.String()))
	})
}

// vague says whether a signature is plain English that fits most failures ("handshake errors"): nothing that
// is worth looking for beside a name or a code.
func (s Signature) vague() bool {
	if s.Origin != User || s.Class != "" || s.Alert >= 0 {
		return false
	}
	e := words().find(tokens(s.UserSees))
	return e != nil && e.concept && len(e.means) > 3
}

func (s Signature) tells() int {
	if s.Origin == User && s.UserSees != "" {
		if e := words().find(tokens(s.UserSees)); e != nil && e.concept && s.Alert < 0 {
			return 2
		}
		return 0
	}
	switch {
	case s.Code != "" || s.Alert >= 0:
		return 0
	case s.Ordinary():
		return 3
	}
	return 1
}

// Table writes the signatures as a table for people.
func (r *Report) Table(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "COUNT\tFROM\tSIGNATURE\tFIRST\tLAST\tPER S (PEAK)\tCLIENTS")
	for _, s := range r.Signatures {
		rate, clients := "", ""
		if s.PerS > 0 {
			rate = fmt.Sprintf("%.3g", s.PerS)
		}
		if s.PeakPerS > 0 && rate != "" {
			rate += fmt.Sprintf(" (%d)", s.PeakPerS)
		}
		if s.Clients > 0 {
			clients = fmt.Sprint(s.Clients)
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Count, s.from(), s.String(), showTime(s.First), showTime(s.Last), rate, clients)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if r.Lines > 0 {
		fmt.Fprintf(w, "%d lines", r.Lines)
		if r.Unreadable > 0 {
			fmt.Fprintf(w, ", %d of them unreadable", r.Unreadable)
		}
		fmt.Fprintln(w)
	}
	for _, c := range r.Chains {
		fmt.Fprintln(w, c)
	}
	if r.Config != "" {
		fmt.Fprintf(w, "configuration: %s\n", r.Config)
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, n)
	}
	return nil
}

func showTime(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.Year() == 0:
		return t.Format("Jan _2 15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

func (s Signature) from() string {
	where := map[Origin]string{User: "user", ServerLog: "log", Capture: "capture"}[s.Origin]
	if s.Software != "" {
		where += ", " + s.Software
	}
	if s.Level != "" {
		where += " [" + s.Level + "]"
	}
	return where
}

// String is the signature in one line: "140A1175 inappropriate fallback", "ssl_error_no_cypher_overlap".
func (s Signature) String() string {
	var parts []string
	for _, p := range []string{s.UserSees, s.Code, s.Reason} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if s.Class != "" && (s.UserSees == "" || s.Origin == Capture) {
		parts = append(parts, string(s.Class))
	}
	if s.Alert >= 0 {
		from := ""
		if s.Sender != "" {
			from = " from the " + s.Sender
		}
		parts = append(parts, fmt.Sprintf("(alert %d%s)", s.Alert, from))
	}
	if s.Stage != "" {
		parts = append(parts, "at "+s.Stage)
	}
	return strings.Join(parts, " ")
}
