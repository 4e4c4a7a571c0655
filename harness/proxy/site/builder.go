package site

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/upstream"
)

// Build compiles the http block of a checked tree. servers are its server blocks in order.
func Build(http *nginxconf.Directive) (*Site, []*Server, error) {
	b := &builder{site: &Site{groups: map[string]*upstream.Group{}}, set: map[string]bool{}, capture: map[string]bool{},
		formats: map[string]*template{}}
	b.collectVariables(http.Block)
	if err := b.upstreams(http.Block); err != nil {
		return nil, nil, err
	}
	if err := b.logFormats(http.Block); err != nil {
		return nil, nil, err
	}
	base, err := b.inherit(b.defaults(), http.Block, false)
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
	site    *Site
	set     map[string]bool // variables of set
	capture map[string]bool // named groups
	formats map[string]*template
	named   map[string]*location
}

// at puts file and line before an error.
func (b *builder) at(d *nginxconf.Directive, err error) error {
	var se *nginxconf.SyntaxError
	if err == nil || errors.As(err, &se) {
		return err
	}
	return &nginxconf.SyntaxError{File: d.File, Line: d.Line, Text: err.Error()}
}

func (b *builder) collectVariables(block []*nginxconf.Directive) {
	for _, d := range block {
		if d.Name == "set" && len(d.Args) > 0 {
			b.set[strings.TrimPrefix(d.Args[0], "$")] = true
		}
		b.collectVariables(d.Block)
	}
}

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
		g.LeastConn = len(nginxconf.Find(d.Block, "least_conn")) > 0
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
	b.formats["combined"], _ = b.parseTemplate(combined)
	for _, d := range nginxconf.Find(block, "log_format") {
		parts := d.Args[1:]
		if strings.HasPrefix(parts[0], "escape=") && len(parts) > 1 {
			parts = parts[1:]
		}
		t, err := b.parseTemplate(strings.Join(parts, ""))
		if err != nil {
			return b.at(d, err)
		}
		b.formats[d.Args[0]] = t
	}
	return nil
}

func (b *builder) defaults() *conf {
	root, _ := b.parseTemplate("html")
	return &conf{root: root, index: []string{"index.html"}, types: builtinTypes, defType: "text/plain", etag: true, msiePad: true,
		maxBody: 1 << 20, errorPages: map[int]errorPage{}, hide: map[string]bool{},
		gzip:      gzipConf{level: 1, minLength: 20, types: map[string]bool{"text/html": true}, proxied: map[string]bool{"off": true}, httpVersion: 1},
		proxy:     proxyConf{connect: 60 * time.Second, read: 60 * time.Second, next: map[string]bool{"error": true, "timeout": true}, tls: &tls.Config{InsecureSkipVerify: true}},
		redirects: []redirect{{implied: true}},
		realIP:    realIP{header: "X-Real-IP"},
	}
}

func (b *builder) server(d *nginxconf.Directive, base *conf) (*Server, error) {
	s := &Server{site: b.site, mergeSlashes: true, named: map[string]*location{}}
	if n := nginxconf.Find(d.Block, "server_name"); len(n) > 0 {
		s.Name = n[0].Args[0]
	}
	for _, m := range nginxconf.Find(d.Block, "merge_slashes") {
		s.mergeSlashes = m.Args[0] != "off"
	}
	b.named = s.named
	var err error
	if s.conf, err = b.inherit(base, d.Block, false); err != nil {
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
	start.pass, start.tryFiles, start.internal, start.status, start.alias = nil, nil, false, false, nil
	start.location = l.pattern
	if l.conf, err = b.inherit(&start, d.Block, false); err != nil {
		return nil, err
	}
	if l.script, err = b.script(d.Block, l.conf, true); err != nil {
		return nil, err
	}
	l.nested, err = b.locations(d.Block, l.conf)
	return l, err
}

// inherit copies a block's outer settings and lays its own directives over them. Directives that make lists
// (add_header, proxy_set_header, error_page, access_log, index, …) replace the outer list as a whole.
func (b *builder) inherit(outer *conf, block []*nginxconf.Directive, _ bool) (*conf, error) {
	c := *outer
	fresh := map[string]bool{} // lists begun at this level
	for _, d := range block {
		set, ok := setters[d.Name]
		if !ok {
			continue
		}
		if err := set(b, &c, d, !fresh[d.Name]); err != nil {
			return nil, b.at(d, fmt.Errorf("%s: %w", d.Name, err))
		}
		fresh[d.Name] = true
	}
	return &c, nil
}

// setter lays one directive over c; first says that it is the first of its name in the block.
type setter func(b *builder, c *conf, d *nginxconf.Directive, first bool) error

func flag(field func(*conf) *bool) setter {
	return func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
		on, err := OnOff(d.Args[0])
		*field(c) = on
		return err
	}
}

func duration(field func(*conf) *time.Duration) setter {
	return func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
		t, err := Duration(d.Args[0])
		*field(c) = t
		return err
	}
}

// setters are the directives that are settings of a location. The table is filled in init because some of
// its functions read it.
var setters map[string]setter

func init() {
	setters = map[string]setter{
		"root": func(b *builder, c *conf, d *nginxconf.Directive, _ bool) (err error) {
			c.root, err = b.parseTemplate(d.Args[0])
			c.alias = nil
			return err
		},
		"alias": func(b *builder, c *conf, d *nginxconf.Directive, _ bool) (err error) {
			c.alias, err = b.parseTemplate(d.Args[0])
			return err
		},
		"index": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error { c.index = d.Args; return nil },
		"try_files": func(b *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			c.tryFiles = nil
			for _, a := range d.Args {
				t, err := b.parseTemplate(a)
				if err != nil {
					return err
				}
				c.tryFiles = append(c.tryFiles, t)
			}
			return nil
		},
		"types": func(_ *builder, c *conf, d *nginxconf.Directive, first bool) error {
			if first {
				c.types = map[string]string{}
			}
			for _, t := range d.Block {
				for _, ext := range t.Args {
					c.types[strings.ToLower(ext)] = t.Name
				}
			}
			return nil
		},
		"default_type": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error { c.defType = d.Args[0]; return nil },
		"access_log":   setAccessLog,
		"add_header": func(b *builder, c *conf, d *nginxconf.Directive, first bool) error {
			return b.addHeader(&c.headers, d, first)
		},
		"proxy_set_header": func(b *builder, c *conf, d *nginxconf.Directive, first bool) error {
			return b.addHeader(&c.setHeaders, d, first)
		},
		"expires":    setExpires,
		"error_page": setErrorPage,
		"proxy_pass": setProxyPass,
		"proxy_redirect": func(b *builder, c *conf, d *nginxconf.Directive, first bool) error {
			return b.setProxyRedirect(c, d, first)
		},
		"proxy_hide_header": func(_ *builder, c *conf, d *nginxconf.Directive, first bool) error {
			c.hide = maps.Clone(c.hide)
			c.hide[headerName(strings.ReplaceAll(d.Args[0], "-", "_"))] = true
			return nil
		},
		"proxy_http_version": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			if d.Args[0] != "1.0" && d.Args[0] != "1.1" {
				return fmt.Errorf("%q: allowed are 1.0 and 1.1", d.Args[0])
			}
			c.proxy.http11 = d.Args[0] == "1.1"
			return nil
		},
		"proxy_connect_timeout":  duration(func(c *conf) *time.Duration { return &c.proxy.connect }),
		"proxy_read_timeout":     duration(func(c *conf) *time.Duration { return &c.proxy.read }),
		"proxy_intercept_errors": flag(func(c *conf) *bool { return &c.intercept }),
		"proxy_protocol": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			versions := map[string]int{"off": 0, "on": 1, "v1": 1, "v2": 2}
			v, ok := versions[d.Args[0]]
			if !ok {
				return fmt.Errorf("%q: allowed are off, on (version 1), v1, v2", d.Args[0])
			}
			c.proxy.sendProxy = v
			return nil
		},
		"proxy_next_upstream": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			c.proxy.next = map[string]bool{}
			for _, a := range d.Args {
				c.proxy.next[a] = true
			}
			return nil
		},
		"proxy_ssl_verify": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			on, err := OnOff(d.Args[0])
			c.proxy.tls = c.proxy.tls.Clone()
			c.proxy.tls.InsecureSkipVerify = !on
			return err
		},
		"proxy_ssl_trusted_certificate": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			text, err := os.ReadFile(d.Args[0])
			if err != nil {
				return err
			}
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(text) {
				return fmt.Errorf("%s holds no certificate", d.Args[0])
			}
			c.proxy.tls = c.proxy.tls.Clone()
			c.proxy.tls.RootCAs = pool
			return nil
		},
		"proxy_ssl_name": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			c.proxy.tls = c.proxy.tls.Clone()
			c.proxy.tls.ServerName = d.Args[0]
			return nil
		},
		"client_max_body_size": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			n, err := Size(d.Args[0])
			c.maxBody = n
			return err
		},
		"internal":     func(_ *builder, c *conf, _ *nginxconf.Directive, _ bool) error { c.internal = true; return nil },
		"stub_status":  func(_ *builder, c *conf, _ *nginxconf.Directive, _ bool) error { c.status = true; return nil },
		"etag":         flag(func(c *conf) *bool { return &c.etag }),
		"msie_padding": flag(func(c *conf) *bool { return &c.msiePad }),
		"gzip":         flag(func(c *conf) *bool { return &c.gzip.on }),
		"gzip_vary":    flag(func(c *conf) *bool { return &c.gzip.vary }),
		"gzip_http_version": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			switch d.Args[0] {
			case "1.0":
				c.gzip.httpVersion = 0
			case "1.1":
				c.gzip.httpVersion = 1
			default:
				return fmt.Errorf("%q: allowed are 1.0 and 1.1", d.Args[0])
			}
			return nil
		},
		"gzip_comp_level": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			n, err := strconv.Atoi(d.Args[0])
			if err != nil || n < 1 || n > 9 {
				return fmt.Errorf("%q: allowed are 1 to 9", d.Args[0])
			}
			c.gzip.level = n
			return nil
		},
		"gzip_min_length": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) (err error) {
			c.gzip.minLength, err = Size(d.Args[0])
			return err
		},
		"gzip_types": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			c.gzip.types = map[string]bool{"text/html": true}
			for _, a := range d.Args {
				c.gzip.types[a] = true
			}
			return nil
		},
		"gzip_proxied": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			c.gzip.proxied = map[string]bool{}
			for _, a := range d.Args {
				switch a {
				case "off", "expired", "no-cache", "no-store", "private", "no_last_modified", "no_etag", "auth", "any":
					c.gzip.proxied[a] = true
				default:
					return fmt.Errorf("%q: allowed are off, expired, no-cache, no-store, private, no_last_modified, no_etag, auth, any", a)
				}
			}
			return nil
		},
		"gzip_disable": func(b *builder, c *conf, d *nginxconf.Directive, first bool) error {
			if first {
				c.gzip.disable = nil
			}
			for _, a := range d.Args {
				if a == "msie6" {
					a = `MSIE [4-6]\.`
				}
				re, err := b.compileRegex(a, true)
				if err != nil {
					return err
				}
				c.gzip.disable = append(c.gzip.disable, re)
			}
			return nil
		},
		"set_real_ip_from": func(_ *builder, c *conf, d *nginxconf.Directive, first bool) error {
			if first {
				c.realIP.from = nil
			}
			p, err := netip.ParsePrefix(d.Args[0])
			if err != nil {
				a, err := netip.ParseAddr(d.Args[0])
				if err != nil {
					return fmt.Errorf("%q is not an address or network (10.0.0.0/8)", d.Args[0])
				}
				p = netip.PrefixFrom(a, a.BitLen())
			}
			c.realIP.from = append(c.realIP.from[:len(c.realIP.from):len(c.realIP.from)], p)
			return nil
		},
		"real_ip_header": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			c.realIP.header = d.Args[0]
			return nil
		},
		"real_ip_recursive": flag(func(c *conf) *bool { return &c.realIP.recursive }),
	}
}

func (b *builder) addHeader(list *[]header, d *nginxconf.Directive, first bool) error {
	if first {
		*list = nil
	}
	t, err := b.parseTemplate(d.Args[1])
	if err != nil {
		return err
	}
	h := header{name: d.Args[0], value: t}
	if len(d.Args) == 3 {
		if d.Args[2] != "always" {
			return fmt.Errorf("third argument %q: allowed is always", d.Args[2])
		}
		h.always = true
	}
	*list = append((*list)[:len(*list):len(*list)], h)
	return nil
}

func setAccessLog(b *builder, c *conf, d *nginxconf.Directive, first bool) error {
	if first {
		c.access = nil
	}
	if d.Args[0] == "off" {
		c.access = nil
		return nil
	}
	b.site.logPaths = append(b.site.logPaths, d.Args[0])
	l := accessLog{path: d.Args[0], format: b.formats["combined"]}
	for i, a := range d.Args[1:] {
		switch {
		case strings.HasPrefix(a, "if="):
			t, err := b.parseTemplate(a[3:])
			if err != nil {
				return err
			}
			l.skip = t
		case strings.Contains(a, "="): // buffer=, flush=, gzip=: a line is written at once
		case i == 0:
			if l.format = b.formats[a]; l.format == nil {
				return fmt.Errorf("unknown log format %q", a)
			}
		default:
			return fmt.Errorf("unknown parameter %q", a)
		}
	}
	c.access = append(c.access[:len(c.access):len(c.access)], l)
	return nil
}

func setExpires(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
	e := &expires{}
	text := d.Args[0]
	if text == "modified" && len(d.Args) == 2 {
		e.kind, text = 'f', d.Args[1]
	}
	switch {
	case text == "max":
		e.kind = 'm'
	case text == "epoch":
		e.kind = 'e'
	case text == "off":
		c.expires = nil
		return nil
	default:
		if e.kind == 0 {
			e.kind = '+'
		}
		sign := time.Duration(1)
		switch {
		case strings.HasPrefix(text, "@"):
			e.kind, text = '@', text[1:]
		case strings.HasPrefix(text, "-"):
			sign, text = -1, text[1:]
		case strings.HasPrefix(text, "+"):
			text = text[1:]
		}
		t, err := Duration(text)
		if err != nil {
			return err
		}
		e.delta = sign * t
	}
	c.expires = e
	return nil
}

func setErrorPage(b *builder, c *conf, d *nginxconf.Directive, first bool) error {
	if first {
		c.errorPages = map[int]errorPage{}
	}
	codes, target := d.Args[:len(d.Args)-1], d.Args[len(d.Args)-1]
	t, err := b.parseTemplate(target)
	if err != nil {
		return err
	}
	p := errorPage{target: t}
	if last := codes[len(codes)-1]; strings.HasPrefix(last, "=") {
		codes = codes[:len(codes)-1]
		if p.status = -1; last != "=" {
			if p.status, err = strconv.Atoi(last[1:]); err != nil {
				return fmt.Errorf("%q is not =STATUS", last)
			}
		}
	}
	if len(codes) == 0 {
		return errors.New("no status is named")
	}
	for _, text := range codes {
		n, err := strconv.Atoi(text)
		if err != nil || n < 300 || n > 599 {
			return fmt.Errorf("status %q: allowed are 300 to 599", text)
		}
		c.errorPages[n] = p
	}
	return nil
}

func setProxyPass(b *builder, c *conf, d *nginxconf.Directive, _ bool) error {
	text := d.Args[0]
	p := &pass{}
	var rest string
	var ok bool
	for _, scheme := range []string{"http", "https"} {
		if rest, ok = strings.CutPrefix(text, scheme+"://"); ok {
			p.scheme = scheme
			break
		}
	}
	if p.scheme == "" {
		return fmt.Errorf("%q: the URL begins with http:// or https://", text)
	}
	host, uri := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, uri = rest[:i], rest[i:]
	}
	var err error
	if p.host, err = b.parseTemplate(host); err != nil {
		return err
	}
	if uri != "" {
		if p.uri, err = b.parseTemplate(uri); err != nil {
			return err
		}
	}
	if p.host.constant() {
		if p.group = b.site.groups[host]; p.group == nil {
			port := "80"
			if p.scheme == "https" {
				port = "443"
			}
			s, err := upstream.ParseServer([]string{upstream.WithPort(host, port)})
			if err != nil {
				return err
			}
			p.group = upstream.NewGroup(host, []*upstream.Server{s})
		}
	}
	c.pass = p
	return nil
}

func (b *builder) setProxyRedirect(c *conf, d *nginxconf.Directive, first bool) error {
	if first {
		c.redirects = nil
	}
	switch {
	case d.Args[0] == "off" && len(d.Args) == 1:
		c.redirects = nil
	case d.Args[0] == "default" && len(d.Args) == 1:
		c.redirects = append(c.redirects, redirect{implied: true})
	case len(d.Args) == 2:
		from, err := b.parseTemplate(d.Args[0])
		if err != nil {
			return err
		}
		to, err := b.parseTemplate(d.Args[1])
		if err != nil {
			return err
		}
		c.redirects = append(c.redirects, redirect{from: from, to: to})
	default:
		return fmt.Errorf("%q: allowed are off, default, or what to replace and by what", d.Args[0])
	}
	return nil
}
