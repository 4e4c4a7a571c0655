package nginxconf

import (
	"fmt"
	"sort"
	"strings"

	"tlsurge/profiles/wire"
)

// Context is where a directive may stand.
type Context uint16

const (
	Main Context = 1 << iota
	Events
	HTTP
	Server
	ServerIf
	Location
	LocationIf
	Upstream
	Types
	any3 = HTTP | Server | Location
	anyL = HTTP | Server | Location | LocationIf
)

func (c Context) String() string {
	names := []string{"main", "events", "http", "server", "if in server", "location", "if in location", "upstream", "types"}
	var out []string
	for i, n := range names {
		if c&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return strings.Join(out, ", ")
}

// spec is one known directive: where it may stand, how many arguments it takes (max -1: any number), whether
// it opens a block, and, where it does nothing here, why.
type spec struct {
	in       Context
	min, max int
	block    bool
	idle     string
}

const (
	idleProcess = "the edge is one process with the rights it was started with"
	idleFile    = "the edge holds bodies in memory and writes no temporary files"
	idleSocket  = "the edge leaves this to Go's network poller"
	idleHash    = "the edge's tables size themselves"
)

// known is every directive that the edge accepts. One that is not here is an error.
var known = map[string]spec{
	// main and events
	"user": {Main, 1, 2, false, idleProcess}, "pid": {Main, 1, 1, false, idleProcess},
	"daemon": {Main, 1, 1, false, idleProcess}, "master_process": {Main, 1, 1, false, idleProcess},
	"worker_rlimit_nofile": {Main, 1, 1, false, idleProcess}, "worker_cpu_affinity": {Main, 1, -1, false, idleProcess},
	"worker_priority": {Main, 1, 1, false, idleProcess}, "lock_file": {Main, 1, 1, false, idleProcess},
	"pcre_jit": {Main, 1, 1, false, "regular expressions are Go's"}, "load_module": {Main, 1, 1, false, "the edge loads no modules"},
	"worker_processes":   {in: Main, min: 1, max: 1},
	"error_log":          {in: Main | any3, min: 1, max: 2},
	"events":             {in: Main, block: true},
	"worker_connections": {in: Events, min: 1, max: 1},
	"use":                {Events, 1, 1, false, idleSocket}, "multi_accept": {Events, 1, 1, false, idleSocket},
	"accept_mutex": {Events, 1, 1, false, idleProcess},
	"http":         {in: Main, block: true},

	// http and server
	"server":                        {in: HTTP, block: true},
	"upstream":                      {in: HTTP, min: 1, max: 1, block: true},
	"types":                         {in: any3, block: true},
	"default_type":                  {in: any3, min: 1, max: 1},
	"log_format":                    {in: HTTP, min: 2, max: -1},
	"access_log":                    {in: anyL, min: 1, max: 4},
	"listen":                        {in: Server, min: 1, max: -1},
	"server_name":                   {in: Server, min: 1, max: -1},
	"server_tokens":                 {any3, 1, 1, false, "the Server header has no version here"},
	"server_names_hash_bucket_size": {HTTP, 1, 1, false, idleHash}, "server_names_hash_max_size": {HTTP, 1, 1, false, idleHash},
	"types_hash_max_size": {any3, 1, 1, false, idleHash}, "types_hash_bucket_size": {any3, 1, 1, false, idleHash},
	"variables_hash_max_size": {HTTP, 1, 1, false, idleHash}, "variables_hash_bucket_size": {HTTP, 1, 1, false, idleHash},
	"sendfile":   {anyL, 1, 1, false, "every listener here may speak TLS, where a file passes through memory anyway"},
	"tcp_nopush": {any3, 1, 1, false, idleSocket}, "tcp_nodelay": {any3, 1, 1, false, "Go sets TCP_NODELAY on every connection"},
	"aio": {any3, 1, 1, false, idleSocket}, "directio": {any3, 1, 1, false, idleSocket},
	"keepalive_timeout":           {in: any3, min: 1, max: 2},
	"keepalive_requests":          {in: any3, min: 1, max: 1},
	"client_header_timeout":       {in: HTTP | Server, min: 1, max: 1},
	"client_body_timeout":         {in: any3, min: 1, max: 1},
	"send_timeout":                {in: any3, min: 1, max: 1},
	"client_max_body_size":        {in: any3, min: 1, max: 1},
	"large_client_header_buffers": {in: HTTP | Server, min: 2, max: 2},
	"client_header_buffer_size":   {HTTP | Server, 1, 1, false, "large_client_header_buffers alone bounds a header here"},
	"client_body_buffer_size":     {any3, 1, 1, false, idleFile},
	"client_body_temp_path":       {any3, 1, 4, false, idleFile},
	"reset_timedout_connection":   {any3, 1, 1, false, "a connection that timed out is closed, not reset"},
	"underscores_in_headers":      {in: HTTP | Server, min: 1, max: 1},
	"ignore_invalid_headers":      {HTTP | Server, 1, 1, false, "a header with an invalid name is answered with 400"},
	"merge_slashes":               {in: HTTP | Server, min: 1, max: 1},

	// TLS
	"ssl":                       {in: HTTP | Server, min: 1, max: 1},
	"ssl_certificate":           {in: HTTP | Server, min: 1, max: 1},
	"ssl_certificate_key":       {in: HTTP | Server, min: 1, max: 1},
	"ssl_session_timeout":       {in: HTTP | Server, min: 1, max: 1},
	"ssl_session_cache":         {in: HTTP | Server, min: 1, max: 2},
	"ssl_session_tickets":       {in: HTTP | Server, min: 1, max: 1},
	"ssl_session_ticket_key":    {in: HTTP | Server, min: 1, max: 1},
	"ssl_protocols":             {in: HTTP | Server, min: 1, max: -1},
	"ssl_ciphers":               {in: HTTP | Server, min: 1, max: 1},
	"ssl_prefer_server_ciphers": {in: HTTP | Server, min: 1, max: 1},
	"ssl_dhparam":               {in: HTTP | Server, min: 1, max: 1},
	"ssl_ecdh_curve":            {in: HTTP | Server, min: 1, max: 1},
	"ssl_early_data":            {in: HTTP | Server, min: 1, max: 1},
	"ssl_buffer_size":           {HTTP | Server, 1, 1, false, "records are as long as what is written at once, 16 KiB at most"},
	"ssl_stapling":              {HTTP | Server, 1, 1, false, "the edge asks no OCSP responder"},
	"ssl_reject_handshake":      {in: HTTP | Server, min: 1, max: 1},

	// behind the edge
	"proxy_pass":                    {in: Location | LocationIf, min: 1, max: 1},
	"proxy_set_header":              {in: any3, min: 2, max: 2},
	"proxy_hide_header":             {in: any3, min: 1, max: 1},
	"proxy_pass_header":             {in: any3, min: 1, max: 1},
	"proxy_redirect":                {in: any3, min: 1, max: 2},
	"proxy_http_version":            {in: any3, min: 1, max: 1},
	"proxy_bind":                    {in: any3, min: 1, max: 1},
	"proxy_connect_timeout":         {in: any3, min: 1, max: 1},
	"proxy_read_timeout":            {in: any3, min: 1, max: 1},
	"proxy_send_timeout":            {in: any3, min: 1, max: 1},
	"proxy_next_upstream":           {in: any3, min: 1, max: -1},
	"proxy_intercept_errors":        {in: any3, min: 1, max: 1},
	"proxy_ssl_verify":              {in: any3, min: 1, max: 1},
	"proxy_ssl_trusted_certificate": {in: any3, min: 1, max: 1},
	"proxy_ssl_server_name":         {any3, 1, 1, false, "the name of proxy_ssl_name, or of the upstream, is always sent"},
	"proxy_ssl_name":                {in: any3, min: 1, max: 1},
	"proxy_protocol":                {in: any3, min: 1, max: 1},
	"proxy_buffering":               {any3, 1, 1, false, "answers are passed on as they come"},
	"proxy_buffers":                 {any3, 2, 2, false, "answers are passed on as they come"},
	"proxy_buffer_size":             {any3, 1, 1, false, "answers are passed on as they come"},
	"proxy_busy_buffers_size":       {any3, 1, 1, false, "answers are passed on as they come"},
	"proxy_request_buffering":       {any3, 1, 1, false, "requests are passed on as they come"},
	"proxy_max_temp_file_size":      {any3, 1, 1, false, idleFile}, "proxy_temp_path": {any3, 1, 4, false, idleFile},
	"keepalive": {in: Upstream, min: 1, max: 1}, "least_conn": {in: Upstream}, "zone": {Upstream, 1, 2, false, idleProcess},

	// locations and what they answer
	"location":          {in: Server | Location, min: 1, max: 2, block: true},
	"root":              {in: anyL, min: 1, max: 1},
	"alias":             {in: Location, min: 1, max: 1},
	"index":             {in: any3, min: 1, max: -1},
	"try_files":         {in: Server | Location, min: 2, max: -1},
	"internal":          {in: Location},
	"error_page":        {in: anyL, min: 2, max: -1},
	"expires":           {in: anyL, min: 1, max: 2},
	"add_header":        {in: anyL, min: 2, max: 3},
	"etag":              {in: any3, min: 1, max: 1},
	"stub_status":       {in: Server | Location, max: 1},
	"gzip":              {in: anyL, min: 1, max: 1},
	"gzip_http_version": {in: any3, min: 1, max: 1}, "gzip_comp_level": {in: any3, min: 1, max: 1},
	"gzip_proxied": {in: any3, min: 1, max: -1}, "gzip_types": {in: any3, min: 1, max: -1},
	"gzip_vary": {in: any3, min: 1, max: 1}, "gzip_min_length": {in: any3, min: 1, max: 1},
	"gzip_disable": {in: any3, min: 1, max: -1}, "gzip_buffers": {any3, 2, 2, false, idleFile},
	"set_real_ip_from": {in: any3, min: 1, max: 1}, "real_ip_header": {in: any3, min: 1, max: 1},
	"real_ip_recursive": {in: any3, min: 1, max: 1},

	// rewrite module
	"if":           {in: Server | Location, min: 1, max: -1, block: true},
	"set":          {in: Server | ServerIf | Location | LocationIf, min: 2, max: 2},
	"rewrite":      {in: Server | ServerIf | Location | LocationIf, min: 2, max: 3},
	"return":       {in: Server | ServerIf | Location | LocationIf, min: 1, max: 2},
	"break":        {in: Server | ServerIf | Location | LocationIf},
	"rewrite_log":  {Server | ServerIf | Location | LocationIf, 1, 1, false, "the edge keeps no rewrite log"},
	"msie_padding": {in: any3, min: 1, max: 1},
}

// serverInUpstream is "server" inside upstream: a directive with arguments, not a block.
var serverInUpstream = spec{in: Upstream, min: 1, max: -1}

// Names lists the directives that have an effect.
func Names() []string {
	var out []string
	for name, s := range known {
		if s.idle == "" {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// Known says whether the edge knows a directive of this name.
func Known(name string) bool { _, ok := known[name]; return ok }

// Inheritable says where a directive may stand, as Check sees it: an override of a directive goes into the
// outermost context that takes it.
func Inheritable(name string) Context { return known[name].in }

// Check walks a tree: every directive must be known, stand where it may and have the right number of
// arguments. Warnings name what is known and has no effect.
func Check(tree []*Directive) ([]Warning, error) {
	var warnings []Warning
	err := check(tree, Main, &warnings)
	return warnings, err
}

func check(block []*Directive, in Context, warnings *[]Warning) error {
	for _, d := range block {
		if in == Types {
			if len(d.Args) == 0 || d.HasBlock {
				return &SyntaxError{d.File, d.Line, fmt.Sprintf("types: %q needs at least one file ending", d.Name)}
			}
			continue
		}
		s, ok := known[d.Name]
		if d.Name == "server" && in == Upstream {
			s = serverInUpstream
		}
		if !ok {
			return unknown(d)
		}
		if err := d.fits(s, in); err != nil {
			return err
		}
		if s.idle != "" {
			*warnings = append(*warnings, Warning{d.File, d.Line, fmt.Sprintf("%q has no effect: %s", d.Name, s.idle)})
		}
		if s.block {
			if err := check(d.Block, inside(d.Name, in), warnings); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Directive) fits(s spec, in Context) error {
	fail := func(format string, a ...any) error {
		return &SyntaxError{d.File, d.Line, fmt.Sprintf(format, a...)}
	}
	switch n := len(d.Args); {
	case s.in&in == 0:
		return fail("%q is not allowed in %v; it may stand in: %v", d.Name, in, s.in)
	case s.block && !d.HasBlock:
		return fail(`%q needs a block: "{ … }"`, d.Name)
	case !s.block && d.HasBlock:
		return fail(`%q takes no block; it ends with ";"`, d.Name)
	case n < s.min || s.max >= 0 && n > s.max:
		return fail("%q has %d arguments, allowed are %s", d.Name, n, span(s.min, s.max))
	}
	return nil
}

func span(lo, hi int) string {
	switch {
	case hi < 0:
		return fmt.Sprintf("%d or more", lo)
	case lo == hi:
		return fmt.Sprint(lo)
	}
	return fmt.Sprintf("%d to %d", lo, hi)
}

func inside(name string, in Context) Context {
	switch name {
	case "events":
		return Events
	case "http":
		return HTTP
	case "server":
		return Server
	case "upstream":
		return Upstream
	case "types":
		return Types
	case "location":
		return Location
	case "if":
		if in == Server {
			return ServerIf
		}
		return LocationIf
	}
	return in
}

func unknown(d *Directive) error {
	text := fmt.Sprintf("unknown directive %q", d.Name)
	if n := nearest(d.Name); n != "" {
		text += fmt.Sprintf("; the nearest that is known is %q", n)
	}
	return &SyntaxError{d.File, d.Line, text}
}

// nearest finds the known directive with the smallest edit distance, if it is near enough to be a slip.
func nearest(name string) string {
	best, bestAt := "", len(name)/2+1
	for k := range known {
		if d := wire.EditDistance(name, k); d < bestAt || d == bestAt && best != "" && k < best {
			best, bestAt = k, d
		}
	}
	return best
}
