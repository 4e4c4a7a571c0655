package profiles

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// Draft is a profile made from hellos of one client.
type Draft struct {
	File  File
	Hello *hello.ClientHello // the one it was made from: the plainest first hello of the client
	Count int                // hellos of this client in the source
	// Nearest is the known profile that is most like it, and NearestVariant its changed hello if that is
	// meant; Same says that nothing lasting differs, SameAs names every profile of which that is true.
	Nearest        string
	NearestVariant string
	Same           bool
	SameAs         []string
	// Differences say how it departs from the nearest, one line each, empty where Same.
	Differences []string
	// Notes say what could not be told from the source and was taken from the nearest or left plain.
	Notes []string
}

// Import makes profiles out of a capture, a hex dump or raw bytes: one draft for each client found, the
// one with the most hellos first. source says where the data comes from, for the file.
func Import(data []byte, source string) ([]*Draft, error) {
	found, err := hello.Import(data)
	if err != nil {
		return nil, err
	}
	return Drafts(found, source)
}

// ImportTOML is Import for the first client alone, as the file that LoadFile reads back. The notes and
// differences stand at its top as comments.
func ImportTOML(data []byte, source string) ([]byte, *Draft, error) {
	ds, err := Import(data, source)
	if err != nil {
		return nil, nil, err
	}
	return ds[0].TOML(), ds[0], nil
}

// Drafts groups hellos by client and describes each.
func Drafts(found []hello.Captured, source string) ([]*Draft, error) {
	var keys []string
	groups := make(map[string][]hello.Captured)
	for _, c := range found {
		if c.Second {
			continue
		}
		k := clientKey(c.Hello)
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], c)
	}
	if len(keys) == 0 {
		return nil, errors.New("there are second ClientHellos only, no first one to make a profile from")
	}
	slices.SortStableFunc(keys, func(a, b string) int { return len(groups[b]) - len(groups[a]) })
	var out []*Draft
	var firstErr error
	for _, k := range keys {
		d, err := draft(groups[k], source)
		if err != nil {
			if firstErr == nil {
				firstErr = err
			}
			continue
		}
		out = append(out, d)
	}
	if len(out) == 0 {
		return nil, firstErr
	}
	return out, nil
}

// clientKey tells clients apart by what stays through resumption: suites and groups, GREASE aside.
func clientKey(ch *hello.ClientHello) string {
	s := ch.Skeleton()
	groups, _ := s.Extension(wire.ExtSupportedGroups)
	schemes, _ := s.Extension(wire.ExtSignatureAlgorithms)
	alpn, _ := s.Extension(wire.ExtALPN)
	return fmt.Sprint(s.Format, s.Version, s.Suites, s.SSLv2Suites, groups, schemes, alpn)
}

// draft describes one client from all its hellos.
func draft(group []hello.Captured, source string) (*Draft, error) {
	best := group[0]
	for _, c := range group {
		if burden(c.Hello) < burden(best.Hello) {
			best = c
		}
	}
	ch := best.Hello
	data, err := Describe(ch, best.Time)
	if err != nil {
		return nil, err
	}
	d := &Draft{Hello: ch, Count: len(group)}
	learn(&data, group)
	near := d.nearest(ch)
	if !d.Same {
		d.Differences = differences(near, d.NearestVariant, ch)
	}
	d.adopt(&data, near, best)
	if best.BareMessage {
		d.Notes = append(d.Notes, "the source held the message without its record: record_version is assumed")
	}
	if ch.HasSuite(wire.FallbackSCSV) {
		d.Notes = append(d.Notes, "the hello is that of a fallback: the profile always sends TLS_FALLBACK_SCSV, and its real maximum version is not known")
	}
	if len(ch.Fragments) > 1 {
		d.Notes = append(d.Notes, fmt.Sprintf("the hello came in %d records of %v bytes; the profile sends one", len(ch.Fragments), ch.Fragments))
	}
	captured := ""
	if !best.Time.IsZero() {
		captured = best.Time.UTC().Format(time.DateOnly)
	}
	d.File = File{
		Title: "Imported; nearest known: " + near.Title, Browser: near.Browser, Version: near.Version, OS: near.OS,
		Behaviour: near.Behaviour(), Source: []Source{{What: source, Kind: "capture", Captured: captured}}, Hello: data,
	}
	if d.Same && d.NearestVariant == "" {
		d.File.Title, d.File.Released = near.Title, near.Released
	}
	return d, nil
}

// burden is how much of a hello belongs to a resumption rather than to the client.
func burden(ch *hello.ClientHello) int {
	n := 0
	if ch.Has(wire.ExtPreSharedKey) {
		n += 4
	}
	if ch.Has(wire.ExtEarlyData) {
		n += 8
	}
	if t, _ := ch.SessionTicket(); len(t) > 0 {
		n += 2
	}
	if len(ch.SessionID) > 0 {
		n++
	}
	if ch.HasSuite(wire.FallbackSCSV) {
		n += 16
	}
	return n
}

// learn takes what several hellos of one client tell together: shuffling, and the draws of ECH GREASE.
func learn(d *HelloData, group []hello.Captured) {
	orders := make(map[string]bool)
	for _, c := range group {
		if burden(c.Hello) != burden(group[0].Hello) {
			continue
		}
		orders[c.Hello.Identity()] = true
		if body, ok := c.Hello.Extension(wire.ExtEncryptedClientHello); ok && d.ECH != nil {
			if e := describeECH(body); e != nil {
				d.ECH.AEADs = union(d.ECH.AEADs, e.AEADs)
				d.ECH.Payloads = union(d.ECH.Payloads, e.Payloads)
			}
		}
		if len(c.Hello.SessionID) == 32 {
			if t, _ := c.Hello.SessionTicket(); len(t) > 0 {
				d.Resume.TicketSessionID = true
			}
		}
	}
	d.Shuffle = len(orders) > 1 && group[0].Hello.UnorderedIdentity() == group[len(group)-1].Hello.UnorderedIdentity()
}

func union(a, b []int) []int {
	for _, v := range b {
		if !slices.Contains(a, v) {
			a = append(a, v)
		}
	}
	slices.Sort(a)
	return a
}

// adopt fills in, from the nearest profile, what no hello shows: how the client lowers, resumes, pads
// and shuffles.
func (d *Draft) adopt(h *HelloData, near *Profile, c hello.Captured) {
	note := func(format string, args ...any) { d.Notes = append(d.Notes, fmt.Sprintf(format, args...)) }
	n := &near.file.Hello
	note("behaviour, fallback and resumption rules are those of %s: one hello does not show them", near.Name)
	h.Lower, h.Second = n.Lower, n.Second
	ticketID := h.Resume.TicketSessionID
	h.Resume = n.Resume
	h.Resume.TicketSessionID = h.Resume.TicketSessionID || ticketID
	if h.Padding == nil && n.Padding != nil && (c.Hello.MessageLen() < n.Padding.From || c.Hello.MessageLen() >= n.Padding.To) {
		h.Padding = n.Padding
	}
	if n.Shuffle && !h.Shuffle {
		h.Shuffle = true
		note("shuffle is taken from %s: one hello has one order", near.Name)
	}
	if h.ECH != nil && n.ECH != nil {
		h.ECH.AEADs, h.ECH.Payloads, h.ECH.PSKRounded = union(h.ECH.AEADs, n.ECH.AEADs), union(h.ECH.Payloads, n.ECH.Payloads), n.ECH.PSKRounded
	}
	if c.Time.IsZero() && h.Random == "random" && n.Random == "clock" {
		if t := time.Unix(int64(c.Hello.Random[0])<<24|int64(c.Hello.Random[1])<<16|int64(c.Hello.Random[2])<<8|int64(c.Hello.Random[3]), 0); t.Year() >= 2000 && t.Year() < 2040 {
			h.Random = "clock"
			note("the random begins with %s: taken for the clock, as %s does", t.UTC().Format(time.DateOnly), near.Name)
		}
	}
	h.Variant = make(map[string]VariantData)
	for _, v := range near.neededVariants() {
		h.Variant[v] = n.Variant[v]
	}
}

// TOML gives the draft as a profile's file, notes and differences in front as comments.
func (d *Draft) TOML() []byte {
	var b strings.Builder
	near := d.Nearest
	if d.NearestVariant != "" {
		near += ", its variant " + d.NearestVariant
	}
	if len(d.SameAs) > 1 {
		near = strings.Join(d.SameAs, ", ")
	}
	if d.Same {
		fmt.Fprintf(&b, "# The same hello as %s.\n", near)
	} else {
		fmt.Fprintf(&b, "# Nearest known profile: %s. It differs:\n", near)
	}
	for _, l := range d.Differences {
		fmt.Fprintf(&b, "#   %s\n", l)
	}
	for _, l := range d.Notes {
		fmt.Fprintf(&b, "# %s\n", l)
	}
	fmt.Fprintf(&b, "# JA3 %s, JA4 %s\n\n", orNone(d.Hello.JA3Hash()), orNone(d.Hello.JA4()))
	return append([]byte(b.String()), d.File.TOML()...)
}

func orNone(s string) string {
	if s == "" {
		return "not defined"
	}
	return s
}
