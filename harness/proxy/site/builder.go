package site

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/upstream"
)

// Build compiles the http block of a checked tree. servers are its server blocks in order.
func Build(http *nginxconf.Directive) (*Site, []*Server, error) {
	b := &builder{http: http, site: &Site{groups: map[string]*upstream.Group{}, hashes: map[*upstream.Group]*template{}, derived: map[string]derived{}, set: map[string]bool{}},
		capture: map[string]bool{}, formats: map[string]*logFormat{}}
	b.collectVariables(http.Block)
	if err := b.derive(http.Block); err != nil {
		return nil, nil, err
	}
	if err := b.upstreams(http.Block); err != nil {
		return nil, nil, err
	}
	if err := b.limitZones(http.Block); err != nil {
		return nil, nil, err
	}
	if err := b.logFormats(http.Block); err != nil {
		return nil, nil, err
	}
	base, err := b.inherit(b.defaults(), http.Block)
	if err != nil {
		return nil, nil, err
	}
	var servers []*Server
	for _, d := range nginxconf.Find(http.Block, "server") {
		s, err := b.server(d, base)
		if err != nil {
			return nil, nil, err
		}
		servers = append(servers, s)
	}
	return b.site, servers, nil
}

type builder struct {
	http    *nginxconf.Directive
	site    *Site
	capture map[string]bool // named groups
	formats map[string]*logFormat
	named   map[string]*location
	// serverNames are those of the server that is being read.
	serverNames []string
}

// at puts file and line before an error.
func (b *builder) at(d *nginxconf.Directive, err error) error {
	var se *nginxconf.SyntaxError
	if err == nil || errors.As(err, &se) {
		return err
	}
	return &nginxconf.SyntaxError{File: d.File, Line: d.Line, Text: err.Error()}
}

// collectVariables finds what set makes and the named groups of expressions: they may be named before they are made.
func (b *builder) collectVariables(block []*nginxconf.Directive) {
	for _, d := range block {
		switch {
		case d.Name == "set" && len(d.Args) > 0:
			b.site.set[strings.TrimPrefix(d.Args[0], "$")] = true
		case d.Name == "map":
			for _, e := range d.Block {
				b.collectGroups(e.Name)
			}
			continue
		default:
			for _, a := range d.Args {
				b.collectGroups(a)
			}
		}
		b.collectVariables(d.Block)
	}
}

func (b *builder) collectGroups(text string) {
	if strings.Contains(text, "(?") {
		for _, m := range namedGroup.FindAllStringSubmatch(text, -1) {
			b.capture[m[1]] = true
		}
	}
}

var namedGroup = regexp.MustCompile(`\(\?P?[<'](\w+)[>']`)

func (b *builder) upstreams(block []*nginxconf.Directive) error {
	for _, d := range nginxconf.Find(block, "upstream") {
		var servers []*upstream.Server
		for _, sd := range nginxconf.Find(d.Block, "server") {
			if strings.HasPrefix(sd.Args[0], builtinApplication) {
				servers = append(servers, &upstream.Server{Address: builtinApplication})
				continue
			}
			s, err := upstream.ParseServer(sd.Args)
			if err != nil {
				return b.at(sd, err)
			}
			servers = append(servers, s)
		}
		if len(servers) == 0 {
			return b.at(d, fmt.Errorf("upstream %q has no server", d.Args[0]))
		}
		g := upstream.NewGroup(d.Args[0], servers)
		for _, m := range d.Block {
			switch m.Name {
			case "least_conn":
				g.Method = upstream.LeastConn
			case "ip_hash":
				g.Method = upstream.IPHash
			case "random":
				g.Method = upstream.Random
			case "hash":
				g.Method = upstream.Hash
				key, err := b.parseTemplate(m.Args[0])
				if err != nil {
					return b.at(m, err)
				}
				b.site.hashes[g] = key
			}
		}
		for _, k := range nginxconf.Find(d.Block, "keepalive") {
			n, err := strconv.Atoi(k.Args[0])
			if err != nil || n < 1 {
				return b.at(k, fmt.Errorf("keepalive %q: a number of connections, 1 or more", k.Args[0]))
			}
			g.Keepalive = n
		}
		if b.site.groups[g.Name] != nil {
			return b.at(d, fmt.Errorf("upstream %q is defined twice", g.Name))
		}
		b.site.groups[g.Name] = g
	}
	return nil
}

const combined = `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"`

func (b *builder) logFormats(block []*nginxconf.Directive) error {
	t, _ := b.parseTemplate(combined)
	b.formats["combined"] = &logFormat{template: t, escape: appendEscaped}
	for _, d := range nginxconf.Find(block, "log_format") {
		parts, escape, plain := d.Args[1:], appendEscaped, false
		if kind, ok := strings.CutPrefix(parts[0], "escape="); ok && len(parts) > 1 {
			parts = parts[1:]
			switch kind {
			case "default":
			case "json":
				escape, plain = appendJSON, true
			case "none":
				escape, plain = func(dst []byte, s string) []byte { return append(dst, s...) }, true
			default:
				return b.at(d, fmt.Errorf("unknown log format escaping %q: allowed are default, json, none", kind))
			}
		}
		if b.formats[d.Args[0]] != nil {
			return b.at(d, fmt.Errorf("duplicate \"log_format\" name %q", d.Args[0]))
		}
		t, err := b.parseTemplate(strings.Join(parts, ""))
		if err != nil {
			return b.at(d, err)
		}
		b.formats[d.Args[0]] = &logFormat{t, escape, plain}
	}
	return nil
}

// nginx's own defaults: what nothing in the file says.
func (b *builder) defaults() *conf {
	root, _ := b.parseTemplate("html")
	index, _ := b.parseTemplate("index.html")
	return &conf{root: root, index: []*template{index}, types: defaultTypes, defType: "text/plain", etag: true, msiePad: true,
		maxBody: 1 << 20, errorPages: map[int]errorPage{}, hide: map[string]bool{}, passed: map[string]bool{},
		absolute: true, portInRedirect: true, logNotFound: true, chunked: true, maxRanges: math.MaxInt, ifModified: "exact", limits: limitDefaults,
		charsetTypes: []string{"text/html", "text/xml", "text/plain", "text/vnd.wap.wml", "application/javascript", "application/rss+xml"},
		gzip:         gzipConf{level: 1, minLength: 20, types: map[string]bool{"text/html": true}, proxied: map[string]bool{"off": true}, httpVersion: 1},
		proxy: proxyConf{connect: 60 * time.Second, send: 60 * time.Second, read: 60 * time.Second, next: map[string]bool{"error": true, "timeout": true},
			tls: &tls.Config{InsecureSkipVerify: true}, passHeaders: true, passBody: true},
		redirects: []redirect{{implied: true}},
		realIP:    realIP{header: "X-Real-IP"},
	}
}

func (b *builder) server(d *nginxconf.Directive, base *conf) (*Server, error) {
	s := &Server{site: b.site, mergeSlashes: true, named: map[string]*location{}}
	if n := nginxconf.Find(d.Block, "server_name"); len(n) > 0 {
		s.Name = n[0].Args[0]
	}
	b.serverNames = nil
	for _, n := range nginxconf.Find(d.Block, "server_name") {
		b.serverNames = append(b.serverNames, n.Args...)
	}
	for _, block := range [][]*nginxconf.Directive{b.http.Block, d.Block} {
		for _, m := range nginxconf.Find(block, "merge_slashes") {
			on, err := OnOff(m.Args[0])
			if err != nil {
				return nil, b.at(m, err)
			}
			s.mergeSlashes = on
		}
	}
	b.named = s.named
	var err error
	if s.conf, err = b.inherit(base, d.Block); err != nil {
		return nil, err
	}
	if s.script, err = b.script(d.Block, s.conf, false); err != nil {
		return nil, err
	}
	s.locs, err = b.locations(d.Block, s.conf)
	return s, err
}

func (b *builder) locations(block []*nginxconf.Directive, parent *conf) (locations, error) {
	var ls locations
	for _, d := range nginxconf.Find(block, "location") {
		l, err := b.location(d, parent)
		if err != nil {
			return ls, b.at(d, err)
		}
		switch l.kind {
		case '@':
			b.named[l.pattern] = l
		case '~':
			ls.regex = append(ls.regex, l)
		default:
			for _, have := range ls.prefix {
				if have.kind == l.kind && have.pattern == l.pattern {
					return ls, b.at(d, fmt.Errorf("duplicate location %q", l.pattern))
				}
			}
			ls.prefix = append(ls.prefix, l)
		}
	}
	return ls, nil
}

func (b *builder) location(d *nginxconf.Directive, parent *conf) (*location, error) {
	l := &location{kind: ' ', pattern: d.Args[len(d.Args)-1]}
	var err error
	if len(d.Args) == 2 {
		switch mod := d.Args[0]; mod {
		case "=":
			l.kind = '='
		case "^~":
			l.kind = '^'
		case "~", "~*":
			l.kind = '~'
			if l.re, err = b.compileRegex(l.pattern, mod == "~*"); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("location: modifier %q: allowed are =, ^~, ~, ~*", mod)
		}
	} else if strings.HasPrefix(l.pattern, "@") {
		l.kind = '@'
	}
	start := *parent
	start.pass, start.tryFiles, start.status, start.alias, start.emptyGIF = nil, nil, false, nil, false
	start.except = nil
	start.location = l.pattern
	if l.conf, err = b.inherit(&start, d.Block); err != nil {
		return nil, err
	}
	for _, e := range nginxconf.Find(d.Block, "limit_except") {
		l.conf.except = &except{methods: e.Args}
		if slices.Contains(e.Args, "GET") {
			l.conf.except.methods = append(slices.Clip(e.Args), "HEAD")
		}
		if l.conf.except.conf, err = b.inherit(l.conf, e.Block); err != nil {
			return nil, err
		}
	}
	if l.script, err = b.script(d.Block, l.conf, true); err != nil {
		return nil, err
	}
	l.nested, err = b.locations(d.Block, l.conf)
	return l, err
}

// inherit copies a block's outer settings and lays its own directives over them. Directives that make lists
// (add_header, proxy_set_header, error_page, access_log, index, …) replace the outer list as a whole.
func (b *builder) inherit(outer *conf, block []*nginxconf.Directive) (*conf, error) {
	c := *outer
	fresh := map[string]bool{} // lists begun at this level
	for _, d := range block {
		set, ok := setters[d.Name]
		if !ok {
			continue
		}
		list := d.Name
		if list == "deny" { // one list with allow
			list = "allow"
		}
		if err := set(b, &c, d, !fresh[list]); err != nil {
			return nil, b.at(d, fmt.Errorf("%s: %w", d.Name, err))
		}
		fresh[list] = true
	}
	return &c, nil
}
