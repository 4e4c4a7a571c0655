package proxy

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/site"
)

// Effective gives the configuration as Load sees it, for another server than ours: includes in their places,
// what a built-in one leaves open filled in, the options laid over it, their addresses among the listen
// directives of servers with TLS. nginxconf.Format prints it.
func Effective(o Options) ([]*nginxconf.Directive, error) {
	tree, _, _, err := effective(&o)
	if err != nil {
		return nil, err
	}
	c := &compiler{cfg: &Config{}, o: &o, tree: tree}
	https := nginxconf.Find(tree, "http")
	if len(https) != 1 {
		return nil, fmt.Errorf("%s: %d http blocks, exactly one is needed", o.Source, len(https))
	}
	c.http = https[0]
	c.paths(tree)
	if len(o.Listen) > 0 {
		c.relisten()
	}
	return tree, nil
}

// relisten writes the options' addresses into the listen directives.
func (c *compiler) relisten() {
	any := c.anyTLS()
	for _, s := range nginxconf.Find(c.http.Block, "server") {
		old := nginxconf.Find(s.Block, "listen")
		on, _ := c.flag(s, "ssl", false)
		var args []string
		for _, l := range old {
			if args == nil || slices.Contains(l.Args[1:], "ssl") {
				args = l.Args[1:]
			}
		}
		if any && !on && !slices.Contains(args, "ssl") {
			continue
		}
		var fresh []*nginxconf.Directive
		for _, a := range c.o.Listen {
			fresh = append(fresh, &nginxconf.Directive{Name: "listen", Args: append([]string{a}, args...), File: s.File, Line: s.Line})
		}
		s.Block = append(fresh, slices.DeleteFunc(s.Block, func(d *nginxconf.Directive) bool { return d.Name == "listen" })...)
	}
}

// fillIn puts what a built-in configuration leaves open into its text.
func (o *Options) fillIn(text []byte) []byte {
	up := o.Upstream
	if up == "" {
		up = "builtin:application"
	}
	root := o.Root
	if root == "" {
		root = site.BuiltinRoot
	}
	prefer := "off"
	if o.Ciphers != "" {
		prefer = "on"
	}
	text = bytes.ReplaceAll(text, []byte("@prefer@"), []byte(prefer))
	text = bytes.ReplaceAll(text, []byte("@upstream@"), []byte(up))
	return bytes.ReplaceAll(text, []byte("@root@"), []byte(root))
}

// overlay lays the options over the tree.
func (o *Options) overlay(tree []*nginxconf.Directive) ([]*nginxconf.Directive, error) {
	set := map[string]string{}
	quoted := func(s string) string { return strconv.Quote(s) }
	if o.Certificate != "" {
		set["ssl_certificate"] = quoted(o.Certificate)
	}
	if o.Key != "" {
		set["ssl_certificate_key"] = quoted(o.Key)
	}
	if o.Ciphers != "" {
		set["ssl_ciphers"] = quoted(o.Ciphers)
	}
	if len(o.Protocols) > 0 {
		set["ssl_protocols"] = strings.Join(o.Protocols, " ")
	}
	if o.Connections > 0 {
		set["worker_connections"] = strconv.Itoa(o.Connections)
		set["worker_processes"] = "1"
	}
	for name, args := range o.Set {
		set[name] = args
	}
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		var err error
		if tree, err = override(tree, name, set[name]); err != nil {
			return nil, err
		}
	}
	if len(o.Sites) > 0 {
		if err := o.addSites(tree); err != nil {
			return nil, err
		}
	}
	if o.ErrorLog != "" {
		level := o.ErrorLevel
		if level == "" {
			level = "info"
		}
		var err error
		if tree, err = override(tree, "error_log", quoted(o.ErrorLog)+" "+level); err != nil {
			return nil, err
		}
	}
	if o.AccessLog != "" && !renamed(tree, "access_log", o.AccessLog) {
		return override(tree, "access_log", quoted(o.AccessLog))
	}
	return tree, nil
}

// renamed gives every access_log of the tree another path; false: there is none.
func renamed(block []*nginxconf.Directive, name, path string) (found bool) {
	for _, d := range block {
		if d.Name == name && d.Args[0] != "off" {
			d.Args = append([]string{path}, d.Args[1:]...)
			found = true
		}
		if renamed(d.Block, name, path) {
			found = true
		}
	}
	return found
}

// override replaces every directive of that name by one in the outermost block that takes it.
func override(tree []*nginxconf.Directive, name, args string) ([]*nginxconf.Directive, error) {
	ds, err := nginxconf.Parse("override", []byte(name+" "+args+";"))
	if err != nil || len(ds) != 1 || ds[0].HasBlock {
		return nil, fmt.Errorf("override %q = %q: not the arguments of one directive", name, args)
	}
	ds[0].File, ds[0].Line = name+" (laid over the configuration)", 0
	if !nginxconf.Known(name) {
		_, err := nginxconf.Check(ds)
		return nil, err
	}
	tree = without(tree, name)
	in := nginxconf.Inheritable(name)
	switch {
	case in&nginxconf.Main != 0:
		return append(tree, ds[0]), nil
	case in&nginxconf.Events != 0:
		return into(tree, "events", ds[0]), nil
	case in&nginxconf.HTTP != 0:
		return into(tree, "http", ds[0]), nil
	case in&nginxconf.Server != 0:
		for _, h := range nginxconf.Find(tree, "http") {
			for _, s := range nginxconf.Find(h.Block, "server") {
				s.Block = append(s.Block, ds[0])
			}
		}
		return tree, nil
	}
	return nil, fmt.Errorf("override %q: it stands in %v alone, not where an override could put it", name, in)
}

func without(block []*nginxconf.Directive, name string) []*nginxconf.Directive {
	block = slices.DeleteFunc(block, func(d *nginxconf.Directive) bool { return d.Name == name })
	for _, d := range block {
		d.Block = without(d.Block, name)
	}
	return block
}

func into(tree []*nginxconf.Directive, block string, d *nginxconf.Directive) []*nginxconf.Directive {
	found := nginxconf.Find(tree, block)
	if len(found) == 0 {
		b := &nginxconf.Directive{Name: block, HasBlock: true, File: d.File, Line: d.Line}
		tree, found = append(tree, b), []*nginxconf.Directive{b}
	}
	found[0].Block = append(found[0].Block, d)
	return tree
}
