package site

import (
	"crypto/x509"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlsurge/harness/proxy/nginxconf"
)

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
			c.root, err = b.parseTemplate(strings.TrimSuffix(d.Args[0], "/"))
			c.alias = nil
			return err
		},
		"alias": func(b *builder, c *conf, d *nginxconf.Directive, _ bool) (err error) {
			c.alias, err = b.parseTemplate(d.Args[0])
			return err
		},
		"index": func(b *builder, c *conf, d *nginxconf.Directive, first bool) error {
			if first {
				c.index = nil
			}
			for _, a := range d.Args {
				t, err := b.parseTemplate(a)
				if err != nil {
					return err
				}
				c.index = append(slices.Clip(c.index), t)
			}
			return nil
		},
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
		"proxy_pass_header": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			c.passed = maps.Clone(c.passed)
			c.passed[headerName(strings.ReplaceAll(d.Args[0], "-", "_"))] = true
			return nil
		},
		"proxy_send_timeout": duration(func(c *conf) *time.Duration { return &c.proxy.send }),
		"proxy_http_version": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) error {
			if d.Args[0] != "1.0" && d.Args[0] != "1.1" {
				return fmt.Errorf("%q: allowed are 1.0 and 1.1", d.Args[0])
			}
			c.proxy.http11 = d.Args[0] == "1.1"
			return nil
		},
		"proxy_bind": func(_ *builder, c *conf, d *nginxconf.Directive, _ bool) (err error) {
			if c.proxy.source = (netip.Addr{}); d.Args[0] != "off" {
				if c.proxy.source, err = netip.ParseAddr(d.Args[0]); err != nil {
					return fmt.Errorf("%q: want an address or off", d.Args[0])
				}
			}
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
				switch a {
				case "error", "timeout", "invalid_header", "non_idempotent", "http_500", "http_502", "http_503", "http_504", "http_403", "http_404", "http_429", "updating", "off":
					c.proxy.next[a] = true
				default:
					return fmt.Errorf("invalid value %q: allowed are error, timeout, invalid_header, non_idempotent, http_500, http_502, http_503, http_504, http_403, http_404, http_429, off", a)
				}
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
			if d.Args[0] == "unix:" {
				return nil // nobody comes that way
			}
			p, err := parseNetwork(d.Args[0])
			if err != nil {
				return err
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
	maps.Copy(setters, answerSetters())
	maps.Copy(setters, limitSetters())
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
