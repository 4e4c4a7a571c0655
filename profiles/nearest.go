package profiles

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// nearest finds the known profile, and its variant, whose hello is most like ch.
func (d *Draft) nearest(ch *hello.ClientHello) *Profile {
	var best *Profile
	least := math.Inf(1)
	for _, name := range Names() {
		p, err := Lookup(name)
		if err != nil {
			continue
		}
		for _, v := range append([]string{""}, p.Variants()...) {
			far := p.distance(ch, v)
			if far == 0 && v == "" {
				d.SameAs = append(d.SameAs, name)
			} else if far == 0 {
				d.SameAs = append(d.SameAs, name+" (variant "+v+")")
			}
			if best == nil || far < least {
				best, least = p, far
				d.Nearest, d.NearestVariant = name, v
			}
		}
	}
	d.Same = least == 0
	return best
}

// Near is a known profile and how far its hello is from another: 0 is the same.
type Near struct {
	Name, Variant string
	Distance      float64
}

// Nearest gives the n known profiles whose hellos are most like ch, best first.
func Nearest(ch *hello.ClientHello, n int) []Near {
	var all []Near
	for _, name := range Names() {
		p, err := Lookup(name)
		if err != nil {
			continue
		}
		best := Near{name, "", p.distance(ch, "")}
		for _, v := range p.Variants() {
			if d := p.distance(ch, v); d < best.Distance {
				best = Near{name, v, d}
			}
		}
		all = append(all, best)
	}
	slices.SortStableFunc(all, func(a, b Near) int { return cmp.Compare(a.Distance, b.Distance) })
	return all[:min(n, len(all))]
}

// like builds the profile's hello of the same kind as ch: same host length, same kind of resumption.
func (p *Profile) like(ch *hello.ClientHello, variant string) *hello.ClientHello {
	hp := &HelloParams{Variant: variant, ServerName: ch.ServerName(), Random: zeroReader{}, Shares: zeroShare}
	if psk, ok := ch.PSK(); ok && p.maxVersion == wire.TLS13 {
		hp.Resume = &ResumeOffer{Identity: psk.Identities[0].Identity, BinderLen: len(psk.Binders[0])}
		hp.EarlyData = ch.Has(wire.ExtEarlyData)
	} else if t, _ := ch.SessionTicket(); len(t) > 0 && p.OffersTicket() {
		hp.Resume = &ResumeOffer{Ticket: t}
	} else if len(ch.SessionID) > 0 && !ch.Has(wire.ExtSupportedVersions) {
		hp.Resume = &ResumeOffer{ID: ch.SessionID}
	}
	if ch.HasSuite(wire.FallbackSCSV) {
		hp.SCSV, hp.MaxVersion = true, ch.MaxVersion()
	}
	mine, err := p.Hello(hp)
	if err != nil {
		return nil
	}
	return mine
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// zeroShare gives a share of the group's length, for comparisons that leave keys out.
func zeroShare(g wire.Group) []byte {
	n := map[wire.Group]int{wire.X25519: 32, 0x001e: 56, wire.Secp256r1: 65, wire.Secp384r1: 97, wire.Secp521r1: 133,
		0x0100: 256, 0x0101: 384, 0x0102: 512, 0x0103: 768, 0x0104: 1024,
		0x11eb: 1249, wire.X25519MLKEM768: 1216, 0x11ed: 1665, wire.X25519Kyber768: 1216}[g]
	return make([]byte, max(n, 1))
}

// distance adds up how the hello's parts differ, weighted by how much they tell; 0 only if the
// identities agree.
func (p *Profile) distance(ch *hello.ClientHello, variant string) float64 {
	mine := p.like(ch, variant)
	if mine == nil {
		return math.Inf(1)
	}
	if mine.Identity() == ch.Identity() || p.spec.shuffle && mine.UnorderedIdentity() == ch.UnorderedIdentity() {
		return 0
	}
	a, b := mine.Skeleton(), ch.Skeleton()
	d := 0.5 // something differs
	if a.Format != b.Format {
		d += 50
	}
	if a.Version != b.Version {
		d += 10
	}
	if a.RecordVersion != b.RecordVersion {
		d += 1
	}
	d += 2*apart(a.Suites, b.Suites) + apart(a.SSLv2Suites, b.SSLv2Suites)
	ta, tb := types(a), types(b)
	if p.spec.shuffle {
		slices.Sort(ta)
		slices.Sort(tb)
	}
	d += 2 * apart(ta, tb)
	d += apart(a.Groups(), b.Groups()) + apart(a.SignatureAlgorithms(), b.SignatureAlgorithms()) + apart(a.ALPN(), b.ALPN()) + 2*apart(a.SupportedVersions(), b.SupportedVersions())
	for _, e := range b.Extensions {
		if m, ok := a.Extension(e.Type); ok && string(m) != string(e.Data) && e.Type != wire.GREASEPlaceholder {
			d += 0.2
		}
	}
	return d
}

func types(ch *hello.ClientHello) []wire.ExtensionType {
	out := make([]wire.ExtensionType, len(ch.Extensions))
	for i, e := range ch.Extensions {
		out[i] = e.Type
	}
	return out
}

// apart counts the insertions and deletions that lead from a to b.
func apart[T comparable](a, b []T) float64 {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			next := min(row[j]+1, row[j-1]+1)
			if a[i-1] == b[j-1] {
				next = min(next, prev)
			}
			prev, row[j] = row[j], next
		}
	}
	return float64(row[len(b)])
}

// differences says in words how ch departs from the profile's hello of the same kind.
func differences(p *Profile, variant string, ch *hello.ClientHello) []string {
	mine := p.like(ch, variant)
	if mine == nil {
		return []string{fmt.Sprintf("%s cannot send a hello of this kind", p.Name)}
	}
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	a, b := mine.Skeleton(), ch.Skeleton()
	if a.RecordVersion != b.RecordVersion {
		say("record version %v, not %v", b.RecordVersion, a.RecordVersion)
	}
	if a.Version != b.Version {
		say("client_version %v, not %v", b.Version, a.Version)
	}
	if len(a.SessionID) != len(b.SessionID) {
		say("session ID of %d bytes, not %d", len(b.SessionID), len(a.SessionID))
	}
	lists(say, "cipher suite", nameAll(a.Suites), nameAll(b.Suites))
	lists(say, "SSLv2 cipher spec", specNamesOf(a), specNamesOf(b))
	lists(say, "compression method", fmtAll(a.Compression), fmtAll(b.Compression))
	ta, tb := nameAll(types(a)), nameAll(types(b))
	if p.spec.shuffle {
		slices.Sort(ta)
		slices.Sort(tb)
	}
	lists(say, "extension", ta, tb)
	lists(say, "group", nameAll(a.Groups()), nameAll(b.Groups()))
	lists(say, "signature algorithm", nameAll(a.SignatureAlgorithms()), nameAll(b.SignatureAlgorithms()))
	lists(say, "supported version", nameAll(a.SupportedVersions()), nameAll(b.SupportedVersions()))
	lists(say, "ALPN protocol", a.ALPN(), b.ALPN())
	told := []wire.ExtensionType{wire.GREASEPlaceholder, wire.ExtSupportedGroups, wire.ExtSignatureAlgorithms, wire.ExtSupportedVersions, wire.ExtALPN}
	for _, e := range b.Extensions {
		if m, ok := a.Extension(e.Type); ok && string(m) != string(e.Data) && !slices.Contains(told, e.Type) {
			say("%v holds %x, not %x", e.Type, brief(e.Data), brief(m))
		}
	}
	return out
}

func brief(b []byte) []byte { return b[:min(len(b), 24)] }

func specNamesOf(ch *hello.ClientHello) []string {
	var out []string
	for _, s := range ch.SSLv2Suites {
		out = append(out, wire.SSLv2SpecString(s))
	}
	return out
}

func fmtAll[T any](vs []T) []string {
	var out []string
	for _, v := range vs {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// lists says which members were added, left out, or merely moved.
func lists(say func(string, ...any), what string, a, b []string) {
	var more, less []string
	for _, v := range b {
		if !slices.Contains(a, v) {
			more = append(more, v)
		}
	}
	for _, v := range a {
		if !slices.Contains(b, v) {
			less = append(less, v)
		}
	}
	if len(more) > 0 {
		say("with %s %s", what, strings.Join(more, ", "))
	}
	if len(less) > 0 {
		say("without %s %s", what, strings.Join(less, ", "))
	}
	if len(more) == 0 && len(less) == 0 && !slices.Equal(a, b) {
		say("the same %s list in another order or number: %s", what, strings.Join(b, ", "))
	}
}
