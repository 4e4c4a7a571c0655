package proxy

import (
	"net/netip"
	"time"

	"tlsurge/faults"
	"tlsurge/harness/engine"
	"tlsurge/harness/keys"
	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/site"
	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles/wire"
	"tlsurge/results"
)

// Config is one edge, read and checked: what Load returns and New takes. It is not changed afterwards, but
// for Name, Phase, Faults and Reporter, which the caller sets before New.
type Config struct {
	// Name is the edge's name in reports ("edge-1") and Phase the phase whose evidence it makes.
	Name  string
	Phase string
	// Faults are the phase's rules; those of other engines are passed over.
	Faults []faults.Rule
	// Reporter receives the evidence; nil: nobody.
	Reporter Reporter
	// KeyLog receives SSLKEYLOGFILE lines in parts; nil: none.
	KeyLog func(label string, clientRandom, secret []byte)
	// Plant is a regression put in on purpose, for a bench to catch.
	Plant Plant

	// Stack is the TLS library that the edge stands for.
	Stack *stack.Stack
	// Workers × WorkerConnections is the size of the connection table: clients and upstreams together.
	Workers           int
	WorkerConnections int

	Listeners []*Listener
	// Metrics is Options.Metrics.
	Metrics string
	// ErrorLog is where lines about connections without a server of their own go: the first listener's.
	ErrorLog []LogTarget

	// Warnings are what the configuration says in vain.
	Warnings []nginxconf.Warning
	// Notes are where this edge knowingly falls short of the library it stands for.
	Notes []nginxconf.Warning

	expired *engine.Certificate
	site    *site.Site
}

// Listener is one address with the virtual servers behind it.
type Listener struct {
	Address       netip.AddrPort
	TLS           bool
	HTTP2         bool
	ProxyProtocol bool
	Backlog       int // 511, as nginx
	// Servers share the address; the first is the default.
	Servers []*VirtualServer
}

// VirtualServer is one server block.
type VirtualServer struct {
	Names []string
	TLS   *TLSSettings // nil: no certificate

	HeaderTimeout     time.Duration // client_header_timeout: one deadline from accept to the end of the handshake
	KeepaliveTimeout  time.Duration // how long an idle connection is kept; 0: closed after each answer
	KeepaliveHeader   time.Duration // keepalive_timeout's second argument: the Keep-Alive header
	KeepaliveRequests int
	BodyTimeout       time.Duration // client_body_timeout: between two reads of a body
	SendTimeout       time.Duration // send_timeout: of one write to the client
	MaxHeaderBytes    int           // large_client_header_buffers: number × size
	ErrorLog          []LogTarget

	block       *site.Server
	names       names
	lineLimit   int
	underscores bool
	anyHeader   bool // ignore_invalid_headers off
}

// TLSSettings is what ssl_* directives say, for one virtual server.
type TLSSettings struct {
	Certificates  []*engine.Certificate
	Versions      []wire.Version
	CipherString  string
	Suites        []wire.CipherSuite
	PreferServer  bool
	Groups        []wire.Group
	DH            *keys.DHGroup // for DHE; nil: none
	SessionCache  CacheSettings
	Timeout       time.Duration // ssl_session_timeout
	Tickets       bool
	TicketKeys    []engine.TicketKey // first is current; empty: made at start
	EarlyData     bool
	Reject        bool // ssl_reject_handshake
	SecurityLevel int
}

// CacheSettings is ssl_session_cache.
type CacheSettings struct {
	// Mode is "shared", "builtin", "none" (IDs are offered and nothing is stored) or "off".
	Mode  string
	Name  string // shared: servers that name the same cache share it
	Bytes int64  // shared: a session takes about 256 bytes of it
}

// Stores says whether sessions are kept under their IDs at all.
func (s *CacheSettings) Stores() bool { return s.Mode == "shared" || s.Mode == "builtin" }

// LogTarget is a file and the lowest level that goes there.
type LogTarget struct {
	Path  string // "stderr" is standard error; empty: nothing is written
	Level string // debug, info, notice, warn, error, crit, alert, emerg
}

// Reporter receives an edge's evidence. Calls come from many goroutines and must not block.
type Reporter interface {
	// ServerEvent is one line about a connection in the error log, whatever the log's level.
	ServerEvent(results.ServerEvent)
	// Firing is one connection that a rule of engine "edge", or a filter on the listener, has hit.
	Firing(faults.Firing)
}

// Options is what Load takes: a source and what is laid over it.
type Options struct {
	// Name is Config.Name.
	Name string
	// Source is the path of a file in nginx's syntax or TOML (told apart by its content), or
	// "builtin:fl-ssl.conf", or empty for the built-in edge of `tlsurge edge --listen`.
	Source string
	// Listen replaces the addresses of the configuration: "127.0.0.11:8443". Port 0 is any free one.
	Listen []string
	// Stack is the TLS library; empty: the configuration's own (TOML `stack`), else stack.Default.
	Stack string
	// Certificate and Key replace ssl_certificate and ssl_certificate_key everywhere.
	Certificate, Key string
	// Expired is a certificate for the same key whose time is over: what a rule cert_expired serves.
	Expired string
	// Sites are the sites of the edge in order, where there are several; the first is the default server.
	Sites []Site
	// Ciphers and Protocols replace ssl_ciphers and ssl_protocols everywhere.
	Ciphers   string
	Protocols []string
	// Set lays directives over the configuration: name to arguments, as after the name in nginx's syntax
	// ("client_header_timeout": "5s"). A directive goes into the outermost block that takes it, and
	// replaces every other of its name.
	Set map[string]string
	// Upstream stands for every upstream server of a built-in configuration: "127.0.0.1:9000".
	// Empty: the application runs inside the edge.
	Upstream string
	// Root stands for the folder of static files of a built-in configuration; empty: files that are built in.
	Root string
	// ErrorLog and AccessLog replace the log files; ErrorLevel the level of the first ("info").
	ErrorLog, ErrorLevel, AccessLog string
	// Dir is where relative log paths are; empty: the working directory.
	Dir string
	// Metrics is where /metrics answers in Prometheus's format ("127.0.0.1:9101"); empty: nowhere.
	Metrics string
	// Connections replaces worker_connections (with one worker); 0: the configuration's.
	Connections int
}

// Site is a name with a certificate of its own. The one without files is what the configuration's own servers
// with TLS are for; the others answer as these do.
type Site struct{ Name, Certificate, Key string }

// LoadConfig reads the file at path with nothing laid over it.
func LoadConfig(path string) (*Config, error) { return Load(Options{Source: path}) }
