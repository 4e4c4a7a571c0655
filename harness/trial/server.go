package trial

import (
	"fmt"
	"io"
	"slices"
	"time"

	"tlsurge/harness/engine"
	"tlsurge/harness/keys"
	"tlsurge/harness/proxy"
	"tlsurge/harness/proxy/stack"
	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// Server is a personality with a configuration, to be joined to browsers in memory. One goroutine at a
// time uses it.
type Server struct {
	Name  string
	stack *stack.Stack
	host  string
	// cfg is the default server's; named the one that a hello with our name gets, if it is another.
	cfg, named *engine.ServerConfig
	stores     [2]stores // of cfg and named
	expired    *engine.Certificate
	verifier   *engine.Verifier
	deadline   time.Duration // from accept to the end of the handshake

	// references are what undisturbed first visits came to, by profile.
	references map[string]Result
	shares     map[shareOf]*keys.Share
}

// shareOf names a browser's key share: every browser of a seed has the same for a group, which costs a tenth of a
// trial less than a fresh one and changes nothing that a browser, a fault or a log line depends on.
type shareOf struct {
	group wire.Group
	seed  uint64
}

func (s *Server) share(g wire.Group, seed uint64) (*keys.Share, error) {
	of := shareOf{g, seed}
	if share, ok := s.shares[of]; ok {
		return share, nil
	}
	share, err := keys.GenerateShare(g, stream(seed, uint64(g)))
	if err == nil {
		s.shares[of] = share
	}
	return share, err
}

// Newest is the highest version that the server speaks; 0 where its settings leave it none.
func (s *Server) Newest() wire.Version { return s.cfg.Versions.Max() }

// stores says what a server remembers of sessions.
type stores struct{ ids, tickets bool }

// ServerOptions are the settings that matter to a handshake; empty ones take the stack's defaults.
type ServerOptions struct {
	Host         string // name in the certificate
	Protocols    []string
	Ciphers      string // OpenSSL's language
	PreferServer bool
	Certificates []*engine.Certificate
	// Verifier judges the chain on the browsers' side; nil: any is taken.
	Verifier *engine.Verifier
	// Expired is served to attempts that a fault cert_expired hits.
	Expired *engine.Certificate
}

// defaultDeadline is nginx's client_header_timeout.
const defaultDeadline = time.Minute

// NewServer makes a server of a stack. The stack "go" is real crypto/tls, which needs a socket, and is
// refused.
func NewServer(st *stack.Stack, o ServerOptions) (*Server, error) {
	if err := playable(st); err != nil {
		return nil, err
	}
	versions := slices.DeleteFunc(slices.Clone(st.Versions), func(v wire.Version) bool { return v < wire.TLS10 })
	if len(o.Protocols) > 0 {
		var err error
		if versions, _, err = st.Protocols(o.Protocols); err != nil {
			return nil, err
		}
	}
	ciphers := o.Ciphers
	if ciphers == "" {
		ciphers = st.DefaultCiphers
	}
	list, err := st.Expand(ciphers)
	if err != nil {
		return nil, err
	}
	t := proxy.TLSSettings{Certificates: o.Certificates, Versions: st.AtLevel(versions, list.SecurityLevel), Suites: list.Suites,
		PreferServer: o.PreferServer, Groups: st.Groups, DH: keys.DHGroupOf(st.DHBits), Timeout: 5 * time.Minute, SecurityLevel: list.SecurityLevel,
		SessionCache: proxy.CacheSettings{Mode: "shared"}, Tickets: st.Tickets}
	return newServer(st, &proxy.Listener{Servers: []*proxy.VirtualServer{{TLS: &t, HeaderTimeout: defaultDeadline}}}, o), nil
}

// FromConfig makes a server of an edge's configuration: that of its first listener with TLS. Of the options
// only Host, Verifier and Expired count.
func FromConfig(cfg *proxy.Config, o ServerOptions) (*Server, error) {
	if err := playable(cfg.Stack); err != nil {
		return nil, err
	}
	for _, l := range cfg.Listeners {
		if l.TLS {
			return newServer(cfg.Stack, l, o), nil
		}
	}
	return nil, fmt.Errorf("the configuration has no listener with TLS")
}

func playable(st *stack.Stack) error {
	if !st.Library {
		return fmt.Errorf("stack %s is no engine personality: it cannot be played in memory", st.Name)
	}
	return nil
}

func newServer(st *stack.Stack, l *proxy.Listener, o ServerOptions) *Server {
	s := &Server{Name: st.Name, stack: st, host: o.Host, expired: o.Expired, verifier: o.Verifier, references: map[string]Result{}, shares: map[shareOf]*keys.Share{}}
	first, named := l.Servers[0], l.Servers[0]
	if st.ServerName {
		named = l.Named(o.Host)
	}
	config := func(i int, vs *proxy.VirtualServer) *engine.ServerConfig {
		s.stores[i] = stores{vs.TLS.SessionCache.Stores(), vs.TLS.Tickets}
		cfg := vs.TLS.Engine(st, l.HTTP2)
		if vs.TLS.Reject {
			cfg.Select = func(ch *hello.ClientHello) (*engine.ServerConfig, error) {
				return nil, fmt.Errorf("%w: handshake rejected", engine.ErrUnknownServerName)
			}
		}
		return cfg
	}
	s.cfg, s.deadline = config(0, first), first.HeaderTimeout
	if s.deadline == 0 {
		s.deadline = defaultDeadline
	}
	if named != first {
		s.named = config(1, named)
		ofFirst := s.cfg.Select
		s.cfg.Select = func(ch *hello.ClientHello) (*engine.ServerConfig, error) {
			switch {
			case ch.ServerName() != s.host && ofFirst != nil:
				return ofFirst(ch)
			case ch.ServerName() != s.host:
				return nil, nil
			case named.TLS.Reject:
				return s.named.Select(ch)
			}
			return s.named, nil
		}
	}
	return s
}

// reset forgets sessions and draws new ticket keys: a trial knows nothing of the one before.
func (s *Server) reset(random io.Reader) {
	for i, cfg := range []*engine.ServerConfig{s.cfg, s.named} {
		if cfg == nil {
			continue
		}
		cfg.Sessions, cfg.Tickets = nil, nil
		if s.stores[i].ids {
			cfg.Sessions = memoryStore{}
		}
		if s.stores[i].tickets {
			var k engine.TicketKey
			for _, part := range [][]byte{k.Name[:], k.AES[:], k.HMAC[:]} {
				_, _ = io.ReadFull(random, part) // a seeded stream has no end
			}
			cfg.Tickets = engine.FixedTicketKeys{k}
		}
	}
}

// conn accepts a connection; expired serves the certificate whose time is over.
func (s *Server) conn(random io.Reader, expired bool) *engine.Conn {
	s.cfg.Rand = random
	if s.named != nil {
		s.named.Rand = random
	}
	if expired && s.expired != nil {
		cfg := *s.cfg
		cfg.Certificates, cfg.Select = []*engine.Certificate{s.expired}, nil
		return engine.NewServer(&cfg)
	}
	return engine.NewServer(s.cfg)
}

// memoryStore keeps sessions by ID; trials are short, so nothing expires.
type memoryStore map[string]*engine.Session

func (m memoryStore) Get(_ time.Time, id []byte) *engine.Session    { return m[string(id)] }
func (m memoryStore) Put(_ time.Time, id []byte, s *engine.Session) { m[string(id)] = s }
func (m memoryStore) Delete(id []byte)                              { delete(m, string(id)) }
