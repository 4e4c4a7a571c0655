package site

import (
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"strconv"
	"strings"

	"tlsurge/harness/proxy/nginxconf"
)

// derived is a variable that a block at the level of http makes of others: map, geo, split_clients.
type derived func(x *exchange) string

// mapping is one map block. Names are compared as nginx does: regardless of case, before the wildcards, the
// longest of which counts, before the expressions in their order.
type mapping struct {
	source   *template
	exact    map[string]*template
	suffix   map[string]*template // "*.example.test" under ".example.test"
	prefix   map[string]*template // "www.*" under "www."
	regex    []mappedRegex
	fallback *template
	hosts    bool
}

type mappedRegex struct {
	re    *Regex
	value *template
}

func (b *builder) derive(block []*nginxconf.Directive) error {
	// A map may name the variable of another that comes later: the names first.
	for _, d := range block {
		switch d.Name {
		case "map", "geo", "split_clients":
			name := d.Args[len(d.Args)-1]
			if !strings.HasPrefix(name, "$") || len(name) == 1 {
				return b.at(d, fmt.Errorf("invalid variable name %q", name))
			}
			if _, ours := variables[name[1:]]; ours {
				return b.at(d, fmt.Errorf("the duplicate %q variable", name[1:]))
			}
			b.site.derived[name[1:]] = nil
		}
	}
	for _, d := range block {
		make := map[string]func(*nginxconf.Directive) (derived, error){"map": b.mapBlock, "geo": b.geoBlock, "split_clients": b.splitBlock}[d.Name]
		if make == nil {
			continue
		}
		f, err := make(d)
		if err != nil {
			return b.at(d, err)
		}
		b.site.derived[d.Args[len(d.Args)-1][1:]] = f
	}
	return nil
}

func (b *builder) mapBlock(d *nginxconf.Directive) (_ derived, err error) {
	m := &mapping{exact: map[string]*template{}, suffix: map[string]*template{}, prefix: map[string]*template{}}
	if m.source, err = b.parseTemplate(d.Args[0]); err != nil {
		return nil, err
	}
	for _, e := range d.Block {
		if err := b.mapEntry(m, e); err != nil {
			return nil, b.at(e, err)
		}
	}
	return m.find, nil
}

func (b *builder) mapEntry(m *mapping, e *nginxconf.Directive) error {
	switch {
	case len(e.Args) == 0 && e.Name == "hostnames":
		m.hosts = true
		return nil
	case len(e.Args) == 0 && e.Name == "volatile":
		return nil
	case len(e.Args) != 1:
		return errors.New("invalid number of the map parameters: a line of map is what to look for and the value")
	}
	value, err := b.parseTemplate(e.Args[0])
	if err != nil {
		return err
	}
	key := e.Name
	put := func(table map[string]*template, k string) error {
		if k = strings.ToLower(k); table[k] != nil {
			return fmt.Errorf("conflicting parameter %q", e.Name)
		}
		table[k] = value
		return nil
	}
	switch {
	case key == "default":
		if m.fallback != nil {
			return errors.New("duplicate default map parameter")
		}
		m.fallback = value
		return nil
	case strings.HasPrefix(key, "~"):
		text, fold := strings.CutPrefix(key[1:], "*")
		re, err := b.compileRegex(text, fold)
		if err != nil {
			return err
		}
		m.regex = append(m.regex, mappedRegex{re, value})
		return nil
	case strings.HasPrefix(key, `\`):
		return put(m.exact, key[1:])
	case m.hosts && strings.HasPrefix(key, "*."):
		return put(m.suffix, key[1:])
	case m.hosts && strings.HasPrefix(key, "."):
		return errors.Join(put(m.suffix, key), put(m.exact, key[1:]))
	case m.hosts && strings.HasSuffix(key, ".*"):
		return put(m.prefix, key[:len(key)-1])
	}
	return put(m.exact, key)
}

func (m *mapping) find(x *exchange) string {
	v := m.source.eval(x)
	key := strings.ToLower(v)
	if m.hosts {
		key = strings.TrimSuffix(key, ".")
	}
	if t := m.exact[key]; t != nil {
		return t.eval(x)
	}
	for i := 0; i < len(key); i++ { // the longest ending first
		if t := m.suffix[key[i:]]; key[i] == '.' && t != nil {
			return t.eval(x)
		}
	}
	for i := len(key); i > 0; i-- {
		if t := m.prefix[key[:i]]; t != nil {
			return t.eval(x)
		}
	}
	for _, r := range m.regex {
		if r.re.match(v, x) {
			return r.value.eval(x)
		}
	}
	if m.fallback != nil {
		return m.fallback.eval(x)
	}
	return ""
}

// geoBlock is geo: the value of the longest network that the address is in.
func (b *builder) geoBlock(d *nginxconf.Directive) (derived, error) {
	source := "$remote_addr"
	if len(d.Args) == 2 {
		source = d.Args[0]
	}
	from, err := b.parseTemplate(source)
	if err != nil {
		return nil, err
	}
	type network struct {
		prefix netip.Prefix
		value  string
	}
	var networks []network
	fallback := ""
	for _, e := range d.Block {
		if len(e.Args) != 1 {
			return nil, b.at(e, errors.New("a line of geo is a network and its value; ranges and proxies are not known here"))
		}
		if e.Name == "default" {
			fallback = e.Args[0]
			continue
		}
		p, err := parseNetwork(e.Name)
		if err != nil {
			return nil, b.at(e, fmt.Errorf("invalid network %q", e.Name))
		}
		networks = append(networks, network{p, e.Args[0]})
	}
	sort.SliceStable(networks, func(i, j int) bool { return networks[i].prefix.Bits() > networks[j].prefix.Bits() })
	return func(x *exchange) string {
		if a, err := netip.ParseAddr(from.eval(x)); err == nil {
			for _, n := range networks {
				if n.prefix.Contains(a.Unmap()) {
					return n.value
				}
			}
		}
		return fallback
	}, nil
}

// parseNetwork reads an address or a network.
func parseNetwork(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not an address or network (10.0.0.0/8)", text)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// splitBlock is split_clients: shares of all values, by their MurmurHash2.
func (b *builder) splitBlock(d *nginxconf.Directive) (derived, error) {
	source, err := b.parseTemplate(d.Args[0])
	if err != nil {
		return nil, err
	}
	type share struct {
		below uint64 // of 2^32
		value string
	}
	var shares []share
	total := 0.0
	for _, e := range d.Block {
		percent, ok := strings.CutSuffix(e.Name, "%")
		n, err := strconv.ParseFloat(percent, 64)
		switch {
		case len(e.Args) != 1:
			return nil, b.at(e, errors.New("a line of split_clients is a share (20% or *) and its value"))
		case e.Name == "*":
			n = 100 - total
		case !ok || err != nil || n <= 0:
			return nil, b.at(e, fmt.Errorf("invalid percent value %q", e.Name))
		}
		if total += n; total > 100.0001 {
			return nil, b.at(e, errors.New("percent total is greater than 100%"))
		}
		shares = append(shares, share{uint64(total / 100 * (1 << 32)), e.Args[0]})
	}
	return func(x *exchange) string {
		h := uint64(murmur2(source.eval(x)))
		for _, s := range shares {
			if h < s.below {
				return s.value
			}
		}
		return ""
	}, nil
}

// murmur2 is Austin Appleby's MurmurHash2 with seed 0.
func murmur2(s string) uint32 {
	const m = 0x5bd1e995
	h := uint32(len(s))
	for ; len(s) >= 4; s = s[4:] {
		k := uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
		k *= m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	for i := len(s) - 1; i >= 0; i-- {
		h ^= uint32(s[i]) << (8 * i)
	}
	if len(s) > 0 {
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
