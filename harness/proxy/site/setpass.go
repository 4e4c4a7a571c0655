package site

import (
	"fmt"
	"strings"

	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/upstream"
)

func setProxyPass(b *builder, c *conf, d *nginxconf.Directive, _ bool) error {
	whole, err := b.parseTemplate(d.Args[0])
	if err != nil {
		return err
	}
	if !whole.constant() {
		c.pass = &pass{whole: whole}
		return nil
	}
	p, err := parsePass(d.Args[0])
	if err != nil {
		return err
	}
	if p.group = b.site.groups[p.host]; p.group == nil {
		if p.group, err = p.own(); err != nil {
			return err
		}
	}
	c.pass = p
	return nil
}

// parsePass reads the URL of a proxy_pass.
func parsePass(text string) (*pass, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("%q: the URL begins with http:// or https:// (invalid URL prefix)", text)
	}
	p := &pass{scheme: scheme, host: rest}
	if strings.HasPrefix(rest, "unix:") { // unix:/path:/uri
		path, uri, has := strings.Cut(strings.TrimPrefix(rest, "unix:"), ":")
		p.host, p.uri, p.hasURI = "unix:"+path, uri, has
	} else if i := strings.IndexAny(rest, "/?"); i >= 0 {
		if p.host, p.uri, p.hasURI = rest[:i], rest[i:], true; rest[i] == '?' {
			p.uri = "/" + p.uri
		}
	}
	if p.host == "" {
		return nil, fmt.Errorf("no host in upstream %q", text)
	}
	return p, nil
}

// own is the group of one that a host is which no upstream block names.
func (p *pass) own() (*upstream.Group, error) {
	port := "80"
	if p.scheme == "https" {
		port = "443"
	}
	s, err := upstream.ParseServer([]string{upstream.WithPort(p.host, port)})
	if err != nil {
		return nil, err
	}
	return upstream.NewGroup(p.host, []*upstream.Server{s}), nil
}

func (b *builder) setProxyRedirect(c *conf, d *nginxconf.Directive, first bool) error {
	if first {
		c.redirects = nil
	}
	if !first && (d.Args[0] == "off" || c.redirects == nil) {
		return fmt.Errorf("%q directive is duplicate: off stands alone", d.Name)
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
