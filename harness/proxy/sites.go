package proxy

import (
	"fmt"
	"slices"

	"tlsurge/harness/proxy/nginxconf"
)

// addSites puts a copy of the servers with TLS beside them for each further site: the same in all but name and
// certificate.
func (o *Options) addSites(tree []*nginxconf.Directive) error {
	https := nginxconf.Find(tree, "http")
	if len(https) != 1 {
		return fmt.Errorf("%s: %d http blocks, exactly one is needed", o.Source, len(https))
	}
	h := https[0]
	var own []*nginxconf.Directive
	for _, s := range nginxconf.Find(h.Block, "server") {
		if withTLS(h, s) {
			own = append(own, s)
		}
	}
	if len(own) == 0 {
		return fmt.Errorf("%s: no server listens with TLS, so there is none for other sites to stand beside", o.Source)
	}
	var before, after []*nginxconf.Directive
	to := &before
	for _, site := range o.Sites {
		if site.Certificate == "" {
			to = &after
			for _, s := range own {
				named(s, site.Name)
				listening(s, func(option string) bool { return option == "default_server" || option == "default" })
			}
			continue
		}
		for _, s := range own {
			*to = append(*to, siteServer(s, site))
		}
	}
	first := slices.Index(h.Block, own[0])
	h.Block = slices.Concat(h.Block[:first], before, h.Block[first:], after)
	return nil
}

// named adds a name to a server's own.
func named(s *nginxconf.Directive, name string) {
	for _, d := range nginxconf.Find(s.Block, "server_name") {
		if !slices.Contains(d.Args, name) {
			d.Args = append(d.Args, name)
		}
		return
	}
	s.Block = append(s.Block, &nginxconf.Directive{Name: "server_name", Args: []string{name}, File: s.File, Line: s.Line})
}

// siteServer is the server once more, for another site.
func siteServer(s *nginxconf.Directive, site Site) *nginxconf.Directive {
	c := cloned(s)
	c.Block = slices.DeleteFunc(c.Block, func(d *nginxconf.Directive) bool {
		return d.Name == "server_name" || d.Name == "ssl_certificate" || d.Name == "ssl_certificate_key"
	})
	listening(c, func(option string) bool { return option != "ssl" && option != "http2" && option != "proxy_protocol" })
	for _, d := range [][2]string{{"server_name", site.Name}, {"ssl_certificate", site.Certificate}, {"ssl_certificate_key", site.Key}} {
		c.Block = append(c.Block, &nginxconf.Directive{Name: d[0], Args: []string{d[1]}, File: s.File, Line: s.Line})
	}
	return c
}

// listening drops options of a server's listen directives: the order of the servers says which is the default,
// and what concerns the socket may be said once.
func listening(s *nginxconf.Directive, drop func(option string) bool) {
	for _, l := range nginxconf.Find(s.Block, "listen") {
		l.Args = append(l.Args[:1:1], slices.DeleteFunc(slices.Clone(l.Args[1:]), drop)...)
	}
}

func cloned(d *nginxconf.Directive) *nginxconf.Directive {
	c := *d
	c.Args, c.Block = slices.Clone(d.Args), nil
	for _, b := range d.Block {
		c.Block = append(c.Block, cloned(b))
	}
	return &c
}

// withTLS says whether a server of this http block listens with TLS: by its listen directives, or by "ssl on".
func withTLS(h, s *nginxconf.Directive) bool {
	for _, l := range nginxconf.Find(s.Block, "listen") {
		if slices.Contains(l.Args[1:], "ssl") {
			return true
		}
	}
	ssl := nginxconf.Find(s.Block, "ssl")
	if len(ssl) == 0 {
		ssl = nginxconf.Find(h.Block, "ssl")
	}
	return len(ssl) > 0 && ssl[0].Args[0] == "on"
}
