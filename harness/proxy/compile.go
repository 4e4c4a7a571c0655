package proxy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/site"
)

// compiler turns a checked tree into a Config.
type compiler struct {
	cfg  *Config
	o    *Options
	tree []*nginxconf.Directive
	http *nginxconf.Directive
	// certificates by their files, so that many servers share one.
	certs map[string]*certificate
}

// at puts file and line before an error.
func at(d *nginxconf.Directive, err error) error {
	var se *nginxconf.SyntaxError
	if err == nil || d == nil || errors.As(err, &se) {
		return err
	}
	return &nginxconf.SyntaxError{File: d.File, Line: d.Line, Text: err.Error()}
}

func (c *compiler) compile() error {
	c.cfg.Workers, c.cfg.WorkerConnections = 1, 512
	for _, d := range nginxconf.Find(c.tree, "worker_processes") {
		if d.Args[0] == "auto" {
			continue
		}
		n, err := strconv.Atoi(d.Args[0])
		if err != nil || n < 1 {
			return at(d, fmt.Errorf("worker_processes %q: a number, 1 or more, or auto", d.Args[0]))
		}
		c.cfg.Workers = n
	}
	for _, e := range nginxconf.Find(c.tree, "events") {
		for _, d := range nginxconf.Find(e.Block, "worker_connections") {
			n, err := strconv.Atoi(d.Args[0])
			if err != nil || n < 1 {
				return at(d, fmt.Errorf("worker_connections %q: a number, 1 or more", d.Args[0]))
			}
			c.cfg.WorkerConnections = n
		}
	}
	https := nginxconf.Find(c.tree, "http")
	if len(https) != 1 {
		return fmt.Errorf("%s: %d http blocks, exactly one is needed", c.o.Source, len(https))
	}
	c.http = https[0]
	c.paths(c.tree)
	var err error
	if c.cfg.ErrorLog, err = c.errorLogs(nil); err != nil {
		return err
	}
	st, blocks, err := site.Build(c.http)
	if err != nil {
		return err
	}
	c.cfg.site = st
	servers := nginxconf.Find(c.http.Block, "server")
	if len(servers) == 0 {
		return fmt.Errorf("%s: no server block", c.o.Source)
	}
	c.certs = map[string]*certificate{}
	for i, d := range servers {
		if err := c.server(d, blocks[i]); err != nil {
			return at(d, err)
		}
	}
	return c.checkListeners()
}

// beside are the directives whose file, if its path is relative, nginx looks for in the configuration's folder.
var beside = map[string]bool{"ssl_certificate": true, "ssl_certificate_key": true, "ssl_dhparam": true, "ssl_session_ticket_key": true,
	"proxy_ssl_trusted_certificate": true, "auth_basic_user_file": true}

// paths makes the log paths absolute: relative ones are in the options' Dir. Files that stand beside the
// configuration are found there before they are looked for in the working directory.
func (c *compiler) paths(block []*nginxconf.Directive) {
	for _, d := range block {
		if beside[d.Name] && len(d.Args) == 1 && !filepath.IsAbs(d.Args[0]) && d.Line > 0 {
			near := filepath.Join(filepath.Dir(c.o.Source), d.Args[0])
			if _, err := os.Stat(near); err == nil {
				d.Args[0] = near
			}
		}
		if (d.Name == "access_log" || d.Name == "error_log") && len(d.Args) > 0 {
			if p := d.Args[0]; p != "off" && p != "stderr" && !filepath.IsAbs(p) && c.o.Dir != "" {
				d.Args[0] = filepath.Join(c.o.Dir, p)
			}
		}
		c.paths(d.Block)
	}
}

// errorLogs finds the error_log directives that hold for a server (nil: outside of any).
func (c *compiler) errorLogs(server *nginxconf.Directive) ([]LogTarget, error) {
	blocks := [][]*nginxconf.Directive{c.http.Block, c.tree}
	if server != nil {
		blocks = append([][]*nginxconf.Directive{server.Block}, blocks...)
	}
	for _, b := range blocks {
		var out []LogTarget
		for _, d := range nginxconf.Find(b, "error_log") {
			t := LogTarget{Path: d.Args[0], Level: "error"}
			if len(d.Args) == 2 {
				t.Level = d.Args[1]
			}
			if levelIndex(t.Level) < 0 {
				return nil, at(d, fmt.Errorf("error_log level %q: allowed are %s", t.Level, strings.Join(logLevels, ", ")))
			}
			out = append(out, t)
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return []LogTarget{{Path: "stderr", Level: "error"}}, nil
}

// nearest finds the directive that holds for a server: its own, else http's.
func (c *compiler) nearest(server *nginxconf.Directive, name string) *nginxconf.Directive {
	if found := nginxconf.Find(server.Block, name); len(found) > 0 {
		return found[len(found)-1]
	}
	if found := nginxconf.Find(c.http.Block, name); len(found) > 0 {
		return found[len(found)-1]
	}
	return nil
}

func (c *compiler) duration(server *nginxconf.Directive, name string, fallback time.Duration) (time.Duration, error) {
	d := c.nearest(server, name)
	if d == nil {
		return fallback, nil
	}
	t, err := site.Duration(d.Args[0])
	return t, at(d, err)
}

func (c *compiler) flag(server *nginxconf.Directive, name string, fallback bool) (bool, error) {
	d := c.nearest(server, name)
	if d == nil {
		return fallback, nil
	}
	on, err := site.OnOff(d.Args[0])
	return on, at(d, err)
}

// server compiles one server block and puts it behind its listeners.
func (c *compiler) server(d *nginxconf.Directive, block *site.Server) (err error) {
	vs := &VirtualServer{block: block, KeepaliveRequests: c.cfg.Stack.Nginx.KeepaliveRequests, MaxHeaderBytes: 4 * 8 << 10}
	for _, n := range nginxconf.Find(d.Block, "server_name") {
		vs.Names = append(vs.Names, n.Args...)
	}
	if vs.names, err = compileNames(vs.Names); err != nil {
		return err
	}
	if vs.HeaderTimeout, err = c.duration(d, "client_header_timeout", 60*time.Second); err != nil {
		return err
	}
	if vs.KeepaliveTimeout, err = c.duration(d, "keepalive_timeout", 75*time.Second); err != nil {
		return err
	}
	if k := c.nearest(d, "keepalive_timeout"); k != nil && len(k.Args) == 2 {
		if vs.KeepaliveHeader, err = site.Duration(k.Args[1]); err != nil {
			return at(k, err)
		}
	}
	if k := c.nearest(d, "keepalive_requests"); k != nil {
		if vs.KeepaliveRequests, err = strconv.Atoi(k.Args[0]); err != nil || vs.KeepaliveRequests < 1 {
			return at(k, fmt.Errorf("keepalive_requests %q: a number, 1 or more", k.Args[0]))
		}
	}
	if vs.BodyTimeout, err = c.duration(d, "client_body_timeout", 60*time.Second); err != nil {
		return err
	}
	if vs.SendTimeout, err = c.duration(d, "send_timeout", 60*time.Second); err != nil {
		return err
	}
	if err = c.headerLimits(d, vs); err != nil {
		return err
	}
	if vs.ErrorLog, err = c.errorLogs(d); err != nil {
		return err
	}
	sslOn, err := c.flag(d, "ssl", false)
	if err != nil {
		return err
	}
	listens, err := c.listens(d, sslOn)
	if err != nil {
		return err
	}
	for _, l := range listens {
		if l.TLS && vs.TLS == nil {
			if vs.TLS, err = c.tls(d); err != nil {
				return err
			}
		}
		c.attach(l, vs)
	}
	return nil
}

func (c *compiler) headerLimits(d *nginxconf.Directive, vs *VirtualServer) (err error) {
	vs.lineLimit = 8 << 10
	if h := c.nearest(d, "large_client_header_buffers"); h != nil {
		n, err := strconv.Atoi(h.Args[0])
		size, err2 := site.Size(h.Args[1])
		if err != nil || err2 != nil || n < 1 || size < 128 || int64(n)*size > 16<<20 {
			return at(h, fmt.Errorf("large_client_header_buffers %s %s: a number and a size, together at most 16m", h.Args[0], h.Args[1]))
		}
		vs.lineLimit, vs.MaxHeaderBytes = int(size), n*int(size)
	}
	if vs.underscores, err = c.flag(d, "underscores_in_headers", false); err != nil {
		return err
	}
	ignore, err := c.flag(d, "ignore_invalid_headers", true)
	vs.anyHeader = !ignore
	return err
}

// checkListeners: the default server of a TLS listener needs a certificate, as nginx insists.
func (c *compiler) checkListeners() error {
	if len(c.cfg.Listeners) == 0 {
		return fmt.Errorf("%s: no server listens anywhere", c.o.Source)
	}
	for _, l := range c.cfg.Listeners {
		if l.TLS && (l.Servers[0].TLS == nil || len(l.Servers[0].TLS.Certificates) == 0 && !l.Servers[0].TLS.Reject) {
			return fmt.Errorf("%s: no ssl_certificate is defined for the server that listens on %s with TLS", c.o.Source, l.Address)
		}
	}
	return nil
}
