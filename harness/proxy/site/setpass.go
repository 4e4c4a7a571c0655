package site

import (
	"fmt"
	"strings"

	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/upstream"
)

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
