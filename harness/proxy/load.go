package proxy

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/site"
	"tlsurge/harness/proxy/stack"
)

//go:embed builtin
var builtinFiles embed.FS

// BuiltinPrefix begins the name of a configuration that is built in.
const BuiltinPrefix = "builtin:"

// Builtins lists the configurations that are built in.
func Builtins() []string {
	entries, _ := builtinFiles.ReadDir("builtin")
	var out []string
	for _, e := range entries {
		out = append(out, BuiltinPrefix+e.Name())
	}
	return out
}

// Load reads a configuration, lays the options over it and checks all of it: certificates are read, regular
// expressions compiled, addresses resolved. Nothing is opened or started.
func Load(o Options) (*Config, error) {
	tree, warnings, stackName, err := effective(&o)
	if err != nil {
		return nil, err
	}
	if o.Stack != "" {
		stackName = o.Stack
	}
	if stackName == "" {
		stackName = stack.Default
	}
	cfg := &Config{Name: o.Name, Metrics: o.Metrics, Warnings: warnings, files: []string{o.Source}}
	if cfg.Stack, err = stack.Lookup(stackName); err != nil {
		return nil, err
	}
	c := &compiler{cfg: cfg, o: &o, tree: tree}
	if err := c.compile(); err != nil {
		return nil, err
	}
	if o.Expired != "" {
		cert, err := loadCertificate(o.Expired, o.Key)
		if err != nil {
			return nil, err
		}
		cfg.expired = cert.engine
	}
	return cfg, nil
}

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

// effective reads the source and lays the options over it.
func effective(o *Options) (tree []*nginxconf.Directive, warnings []nginxconf.Warning, stackName string, err error) {
	if tree, warnings, stackName, err = readTree(o); err != nil {
		return nil, nil, "", err
	}
	if tree, err = o.overlay(tree); err != nil {
		return nil, nil, "", err
	}
	_, err = nginxconf.Check(tree)
	return tree, warnings, stackName, err
}

// readTree reads the source, whichever of the three it is.
func readTree(o *Options) (tree []*nginxconf.Directive, warnings []nginxconf.Warning, stackName string, err error) {
	source := o.Source
	if source == "" {
		source = BuiltinPrefix + "edge.conf"
	}
	if name, ok := strings.CutPrefix(source, BuiltinPrefix); ok {
		if !slices.Contains(Builtins(), source) {
			return nil, nil, "", fmt.Errorf("%s: no such configuration is built in; there are %s", source, strings.Join(Builtins(), ", "))
		}
		tree, warnings, err = nginxconf.Load(nginxconf.Embedded(builtinFiles), "builtin/"+name, o.fillIn)
		return tree, warnings, "", err
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return nil, nil, "", err
	}
	if looksLikeTOML(text) {
		tree, stackName, err = parseTOML(source, text)
		if err != nil {
			return nil, nil, "", err
		}
		warnings, err = nginxconf.Check(tree)
		return tree, warnings, stackName, err
	}
	tree, warnings, err = nginxconf.Load(nginxconf.Disk(), source, nil)
	return tree, warnings, "", err
}

// looksLikeTOML: the first line that says something is "[table]" or "key = value", which nginx's language has
// neither of.
func looksLikeTOML(text []byte) bool {
	for _, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		return tomlLine.Match(line)
	}
	return false
}

var tomlLine = regexp.MustCompile(`^(\[+[\w."-]+\]+|[\w."-]+\s*=)`)

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
	if !nginxconf.Known(name) {
		return nil, fmt.Errorf("override %q: no such directive", name)
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

// paths makes the log paths absolute: relative ones are in the options' Dir.
func (c *compiler) paths(block []*nginxconf.Directive) {
	for _, d := range block {
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
	vs.underscores, err = c.flag(d, "underscores_in_headers", false)
	return err
}

// listens reads a server's listen directives; without one it is *:80. Addresses of the options replace
// those of servers with TLS; servers without TLS then have none, unless none has TLS.
func (c *compiler) listens(d *nginxconf.Directive, sslOn bool) (out []listenSpec, err error) {
	found := nginxconf.Find(d.Block, "listen")
	if len(found) == 0 {
		found = []*nginxconf.Directive{{Name: "listen", Args: []string{"80"}, File: d.File, Line: d.Line}}
	}
	for _, l := range found {
		spec, err := parseListen(l.Args, sslOn)
		if err != nil {
			return nil, at(l, err)
		}
		spec.where = l
		out = append(out, spec)
	}
	if len(c.o.Listen) == 0 {
		return out, nil
	}
	first := out[0]
	for _, s := range out {
		if s.TLS {
			first = s
			break
		}
	}
	if !first.TLS && c.anyTLS() {
		c.cfg.Warnings = append(c.cfg.Warnings, nginxconf.Warning{File: d.File, Line: d.Line,
			Text: "this server without TLS has no listener: the addresses given replace those with TLS"})
		return nil, nil
	}
	out = nil
	for _, text := range c.o.Listen {
		spec := first
		if spec.Address, err = parseAddress(text); err != nil {
			return nil, err
		}
		out = append(out, spec)
	}
	return out, nil
}

func (c *compiler) anyTLS() bool {
	for _, s := range nginxconf.Find(c.http.Block, "server") {
		if on, _ := c.flag(s, "ssl", false); on {
			return true
		}
		for _, l := range nginxconf.Find(s.Block, "listen") {
			if slices.Contains(l.Args[1:], "ssl") {
				return true
			}
		}
	}
	return false
}

type listenSpec struct {
	Listener
	isDefault bool
	where     *nginxconf.Directive
}

func parseListen(args []string, sslOn bool) (s listenSpec, err error) {
	s.TLS, s.Backlog = sslOn, 511
	if s.Address, err = parseAddress(args[0]); err != nil {
		return s, err
	}
	for _, a := range args[1:] {
		key, value, _ := strings.Cut(a, "=")
		switch key {
		case "ssl":
			s.TLS = true
		case "http2":
			s.HTTP2 = true
		case "default_server", "default":
			s.isDefault = true
		case "proxy_protocol":
			s.ProxyProtocol = true
		case "backlog":
			if s.Backlog, err = strconv.Atoi(value); err != nil || s.Backlog < 1 {
				return s, fmt.Errorf("listen: backlog %q: a number, 1 or more", value)
			}
		case "spdy", "deferred", "bind", "reuseport", "ipv6only", "so_keepalive", "rcvbuf", "sndbuf", "fastopen", "setfib":
		default:
			return s, fmt.Errorf("listen: unknown parameter %q", a)
		}
	}
	return s, nil
}

// parseAddress reads the address of listen: a port, an address, both; "*" is every IPv4 address.
func parseAddress(text string) (netip.AddrPort, error) {
	bad := fmt.Errorf("address %q: allowed are PORT, ADDRESS, ADDRESS:PORT, [IPV6]:PORT and *:PORT", text)
	if n, err := strconv.ParseUint(text, 10, 16); err == nil {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(n)), nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), "80"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, bad
	}
	switch host {
	case "*", "":
		host = "0.0.0.0"
	case "localhost":
		host = "127.0.0.1"
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, bad
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}

// attach puts a server behind an address.
func (c *compiler) attach(s listenSpec, vs *VirtualServer) {
	for _, l := range c.cfg.Listeners {
		if l.Address == s.Address && l.Address.Port() != 0 {
			l.TLS, l.HTTP2, l.ProxyProtocol = l.TLS || s.TLS, l.HTTP2 || s.HTTP2, l.ProxyProtocol || s.ProxyProtocol
			if s.isDefault {
				l.Servers = append([]*VirtualServer{vs}, l.Servers...)
			} else {
				l.Servers = append(l.Servers, vs)
			}
			return
		}
		if l.Address == s.Address && slices.Contains(c.o.Listen, s.Address.String()) && !slices.Contains(l.Servers, vs) {
			l.Servers = append(l.Servers, vs) // port 0: the servers of one address share the port that comes
			return
		}
	}
	l := s.Listener
	l.Servers = []*VirtualServer{vs}
	c.cfg.Listeners = append(c.cfg.Listeners, &l)
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
