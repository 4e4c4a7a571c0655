package site

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlsurge/harness/proxy/nginxconf"
)

// answerSetters are the settings of locations that say who may enter and how answers look.
func answerSetters() map[string]setter {
	allowed := func(field func(*conf) *string, words ...string) setter {
		return func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			if !slices.Contains(words, d.Args[0]) {
				return fmt.Errorf("invalid value %q: allowed are %s", d.Args[0], strings.Join(words, ", "))
			}
			*field(c) = d.Args[0]
			return nil
		}
	}
	number := func(field func(*conf) *int) setter {
		return func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			n, err := strconv.Atoi(d.Args[0])
			if err != nil || n < 0 {
				return fmt.Errorf("%q: a number, 0 or more", d.Args[0])
			}
			*field(c) = n
			return nil
		}
	}
	return map[string]setter{
		"allow": setAccessRule,
		"deny":  setAccessRule,
		"satisfy": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			if d.Args[0] != "all" && d.Args[0] != "any" {
				return fmt.Errorf("invalid value %q: allowed are all and any", d.Args[0])
			}
			c.access.any = d.Args[0] == "any"
			return nil
		},
		"auth_basic": func(b *builder, c *conf, d *nginxconf.Directive, _ bool) (err error) {
			c.access.realm, err = b.parseTemplate(d.Args[0])
			return err
		},
		"auth_basic_user_file": func(b *builder, c *conf, d *nginxconf.Directive, _ bool) (err error) {
			c.access.users, err = b.parseTemplate(d.Args[0])
			return err
		},
		"charset": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			if c.charset = d.Args[0]; c.charset == "off" {
				c.charset = ""
			}
			return nil
		},
		"override_charset": flag(func(c *conf) *bool { return &c.overrideCharset }),
		"charset_types": func(_ *builder, c *conf, d *nginxconf.Directive, first bool) error {
			if first {
				c.charsetTypes = []string{"text/html"}
			}
			c.charsetTypes = append(slices.Clip(c.charsetTypes), d.Args...)
			return nil
		},
		"autoindex":                 flag(func(c *conf) *bool { return &c.autoindex }),
		"gzip_static":               allowed(func(c *conf) *string { return &c.gzipStatic }, "off", "on", "always"),
		"if_modified_since":         allowed(func(c *conf) *string { return &c.ifModified }, "off", "exact", "before"),
		"absolute_redirect":         flag(func(c *conf) *bool { return &c.absolute }),
		"port_in_redirect":          flag(func(c *conf) *bool { return &c.portInRedirect }),
		"server_name_in_redirect":   flag(func(c *conf) *bool { return &c.nameInRedirect }),
		"recursive_error_pages":     flag(func(c *conf) *bool { return &c.recursivePages }),
		"log_not_found":             flag(func(c *conf) *bool { return &c.logNotFound }),
		"chunked_transfer_encoding": flag(func(c *conf) *bool { return &c.chunked }),
		"max_ranges":                number(func(c *conf) *int { return &c.maxRanges }),
		"empty_gif":                 func(_ *builder, c *conf, _ *nginxconf.Directive, _ bool) error { c.emptyGIF = true; return nil },
		"valid_referers":            setReferers,
		"proxy_next_upstream_tries": number(func(c *conf) *int { return &c.proxy.tries }),
		"proxy_method": func(b *builder, c *conf, d *nginxconf.Directive, _ bool) (err error) {
			c.proxy.method, err = b.parseTemplate(d.Args[0])
			return err
		},
		"proxy_set_body": func(b *builder, c *conf, d *nginxconf.Directive, _ bool) (err error) {
			c.proxy.body, err = b.parseTemplate(d.Args[0])
			return err
		},
		"proxy_pass_request_headers": flag(func(c *conf) *bool { return &c.proxy.passHeaders }),
		"proxy_pass_request_body":    flag(func(c *conf) *bool { return &c.proxy.passBody }),
		"proxy_cookie_domain":        setCookieRule,
		"proxy_cookie_path":          setCookieRule,
	}
}

// cookieRule is one proxy_cookie_domain or proxy_cookie_path.
type cookieRule struct {
	attribute string // "domain" or "path"
	re        *Regex
	from, to  *template
}

func setCookieRule(b *builder, c *conf, d *nginxconf.Directive, first bool) (err error) {
	attribute := strings.TrimPrefix(d.Name, "proxy_cookie_")
	if first {
		c.proxy.cookies = slices.DeleteFunc(slices.Clone(c.proxy.cookies), func(r cookieRule) bool { return r.attribute == attribute })
	}
	if len(d.Args) == 1 {
		if d.Args[0] != "off" {
			return fmt.Errorf("invalid parameter %q: allowed are off, or what to replace and by what", d.Args[0])
		}
		return nil
	}
	r := cookieRule{attribute: attribute}
	if text, ok := strings.CutPrefix(d.Args[0], "~"); ok {
		text, fold := strings.CutPrefix(text, "*")
		if r.re, err = b.compileRegex(text, fold || attribute == "domain"); err != nil {
			return err
		}
	} else if r.from, err = b.parseTemplate(d.Args[0]); err != nil {
		return err
	}
	if r.to, err = b.parseTemplate(d.Args[1]); err != nil {
		return err
	}
	c.proxy.cookies = append(slices.Clip(c.proxy.cookies), r)
	return nil
}

// cookie rewrites the attributes of a Set-Cookie.
func (x *exchange) cookie(value string) string {
	rules := x.conf.proxy.cookies
	if len(rules) == 0 {
		return value
	}
	parts := strings.Split(value, ";")
	for i := 1; i < len(parts); i++ {
		name, v, _ := strings.Cut(strings.TrimLeft(parts[i], " "), "=")
		for _, r := range rules {
			if !strings.EqualFold(name, r.attribute) {
				continue
			}
			if to, ok := r.replace(x, v); ok {
				parts[i] = " " + name + "=" + to
				break
			}
		}
	}
	return strings.Join(parts, ";")
}

func (r *cookieRule) replace(x *exchange, v string) (string, bool) {
	if r.re != nil {
		if !r.re.match(v, x) {
			return "", false
		}
		return r.to.eval(x), true
	}
	from := r.from.eval(x)
	if r.attribute == "domain" {
		from, v = strings.TrimPrefix(from, "."), strings.TrimPrefix(v, ".")
		return r.to.eval(x), strings.EqualFold(from, v)
	}
	rest, ok := strings.CutPrefix(v, from)
	return r.to.eval(x) + rest, ok
}

// referers is valid_referers: $invalid_referer is empty where the Referer is one of them.
type referers struct {
	none, blocked bool
	regex         []*Regex
	names         []string // hosts, with wildcards and paths as they were written
}

func setReferers(b *builder, c *conf, d *nginxconf.Directive, first bool) error {
	r := referers{}
	if !first && c.referers != nil {
		r = *c.referers
	}
	for _, a := range d.Args {
		switch {
		case a == "none":
			r.none = true
		case a == "blocked":
			r.blocked = true
		case a == "server_names":
			r.names = append(slices.Clip(r.names), b.serverNames...)
		case strings.HasPrefix(a, "~"):
			re, err := b.compileRegex(a[1:], true)
			if err != nil {
				return err
			}
			r.regex = append(slices.Clip(r.regex), re)
		default:
			r.names = append(slices.Clip(r.names), strings.ToLower(a))
		}
	}
	c.referers = &r
	return nil
}

// invalidReferer is $invalid_referer.
func (x *exchange) invalidReferer() string {
	r := x.conf.referers
	if r == nil {
		return ""
	}
	ref := x.header().Get("Referer")
	rest, plain := strings.CutPrefix(strings.ToLower(ref), "http://")
	if !plain {
		rest, plain = strings.CutPrefix(rest, "https://")
	}
	switch {
	case ref == "":
		return map[bool]string{false: "1"}[r.none]
	case !plain || rest == "":
		return map[bool]string{false: "1"}[r.blocked]
	}
	host, path, _ := strings.Cut(rest, "/")
	host, _, _ = strings.Cut(host, ":")
	for _, n := range r.names {
		name, want, _ := strings.Cut(n, "/")
		if !strings.HasPrefix(path, want) {
			continue
		}
		front, wild := strings.CutPrefix(name, "*")
		back, open := strings.CutSuffix(name, "*")
		if name == host || wild && strings.HasSuffix(host, front) || open && strings.HasPrefix(host, back) {
			return ""
		}
	}
	for _, re := range r.regex {
		if re.Match(rest) {
			return ""
		}
	}
	return "1"
}

func setAccessLog(b *builder, c *conf, d *nginxconf.Directive, first bool) error {
	if first {
		c.accessLogs = nil
	}
	if d.Args[0] == "off" {
		c.accessLogs = nil
		return nil
	}
	if strings.HasPrefix(d.Args[0], "syslog:") || strings.Contains(d.Args[0], "$") {
		return fmt.Errorf("%q: the log is a file whose path is known, or off", d.Args[0])
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
	c.accessLogs = append(slices.Clip(c.accessLogs), l)
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
		if _, has := c.errorPages[n]; !has { // of two in one block the first counts
			c.errorPages[n] = p
		}
	}
	return nil
}
